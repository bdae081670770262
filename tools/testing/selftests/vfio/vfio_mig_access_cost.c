// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an access to a VFIO device costs its user, in nanoseconds: through a mapping, the first time
 * and later, by read(), and what GET and the arcs of a stop take. To be compared within one boot,
 * between a driver with a gate and plain vfio-pci:
 *
 *	vfio_mig_access_cost [-m group|cdev] BDF [OFFSET]
 *
 * OFFSET is that of a register without side effects in the first BAR that can be mapped (0). Each
 * number is the median of its samples.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lib/vfio_mig.h"

#define SAMPLES	201

static unsigned long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000UL + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	const unsigned long *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Prints the median of what @act takes, which it does @times in a row for a sample. */
static int measure(const char *name, unsigned int times, int (*act)(void *arg), void *arg)
{
	unsigned long ns[SAMPLES];

	for (int i = 0; i < SAMPLES; i++) {
		unsigned long start = now();

		for (unsigned int n = 0; n < times; n++) {
			int ret = act(arg);

			if (ret) {
				fprintf(stderr, "%s: %s\n", name, strerror(-ret));
				return ret;
			}
		}
		ns[i] = (now() - start) / times;
	}
	qsort(ns, SAMPLES, sizeof(ns[0]), compare);
	printf("%-24s %10lu ns\n", name, ns[SAMPLES / 2]);
	return 0;
}

struct access {
	struct vdev dev;
	struct vfio_region_info bar;
	__u64 offset;
	volatile __u32 *reg;
};

static int access_mapped(void *arg)
{
	const struct access *a = arg;

	(void)*a->reg;
	return 0;
}

static int access_fault(void *arg)
{
	const struct access *a = arg;
	size_t page = a->offset & ~(__u64)(sysconf(_SC_PAGESIZE) - 1);
	void *va = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED, a->dev.fd,
			a->bar.offset + page);

	if (va == MAP_FAILED)
		return -1;
	(void)*(volatile __u32 *)(va + a->offset - page);
	return munmap(va, sysconf(_SC_PAGESIZE));
}

static int access_read(void *arg)
{
	const struct access *a = arg;
	__u32 val;
	ssize_t n = pread(a->dev.fd, &val, sizeof(val), a->bar.offset + a->offset);

	return n == sizeof(val) ? 0 : -1;
}

static int get_state(void *arg)
{
	struct access *a = arg;
	__u32 state;

	return mig_get(&a->dev, &state);
}

static int stop_and_go(void *arg)
{
	struct access *a = arg;

	return mig_set(&a->dev, VFIO_DEVICE_STATE_STOP, NULL) ?:
	       mig_set(&a->dev, VFIO_DEVICE_STATE_RUNNING, NULL);
}

int main(int argc, char **argv)
{
	const char *mode = getenv("VFIO_TEST_MODE") ?: "group";
	struct access a = {};
	unsigned int index;
	__u32 flags;
	size_t len;
	int opt, ret;

	while ((opt = getopt(argc, argv, "m:")) == 'm')
		mode = optarg;
	if (opt != -1 || optind >= argc) {
		fprintf(stderr, "Usage: %s [-m group|cdev] BDF [OFFSET]\n", argv[0]);
		return 1;
	}
	if (vdev_open(&a.dev, argv[optind], strcmp(mode, "cdev") ? VDEV_GROUP : VDEV_CDEV))
		return 1;
	a.offset = argc > optind + 1 ? strtoull(argv[optind + 1], NULL, 0) : 0;
	for (index = 0; index < VFIO_PCI_ROM_REGION_INDEX && !a.reg; index++) {
		a.reg = vdev_map_region(&a.dev, index, &len);
		if (a.reg && (vdev_region(&a.dev, index, &a.bar) || a.offset + 4 > len))
			a.reg = NULL;
	}
	if (!a.reg) {
		fprintf(stderr, "%s: no BAR with that register can be mapped\n", a.dev.bdf);
		return 1;
	}
	a.reg += a.offset / 4;

	ret = measure("mapped access", 1000, access_mapped, &a) ?:
	      measure("map, fault and unmap", 20, access_fault, &a) ?:
	      measure("read()", 100, access_read, &a);
	if (!ret && !mig_flags(&a.dev, &flags))
		ret = measure("GET of the state", 100, get_state, &a) ?:
		      measure("to STOP and to RUNNING", 1, stop_and_go, &a);
	vdev_close(&a.dev);
	return !!ret;
}
