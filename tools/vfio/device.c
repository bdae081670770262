// SPDX-License-Identifier: GPL-2.0-only
/* What is known about a PCI function */

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vfioctl.h"

/* One for the life of the program */
static struct udev *udev(void)
{
	static struct udev *context;

	if (!context)
		context = udev_new();
	if (!context)
		abort();
	return context;
}

struct udev_device *device_find(const char *bdf)
{
	bool has_domain = strchr(bdf, ':') != strrchr(bdf, ':');
	char *name = text("%s%s", has_domain ? "" : "0000:", bdf);
	struct udev_device *device;

	device = udev_device_new_from_subsystem_sysname(udev(), "pci", name);
	if (!device)
		fail("there is no PCI function '%s'; see 'vfioctl list --all'", bdf);
	free(name);
	return device;
}

const char *device_bdf(struct udev_device *device)
{
	return udev_device_get_sysname(device);
}

/* Last part of what a link in its directory points to, in a static buffer, or NULL */
static const char *device_link(struct udev_device *device, const char *name)
{
	static char target[PATH_MAX];
	char *path = text("%s/%s", udev_device_get_syspath(device), name);
	ssize_t length = readlink(path, target, sizeof(target) - 1);

	free(path);
	if (length < 0)
		return NULL;
	target[length] = '\0';
	return strrchr(target, '/') ? strrchr(target, '/') + 1 : target;
}

int device_group(struct udev_device *device)
{
	const char *group = device_link(device, "iommu_group");

	return group ? atoi(group) : -1;
}

static int by_bdf(const void *a, const void *b)
{
	return strcmp(device_bdf(*(struct udev_device *const *)a),
		      device_bdf(*(struct udev_device *const *)b));
}

struct udev_device **device_all(void)
{
	struct udev_enumerate *scan = udev_enumerate_new(udev());
	struct udev_list_entry *entry;
	struct udev_device **all;
	size_t n = 0;

	if (!scan || udev_enumerate_add_match_subsystem(scan, "pci") < 0 ||
	    udev_enumerate_scan_devices(scan) < 0)
		abort();
	udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(scan))
		n++;
	all = calloc(n + 1, sizeof(*all));
	if (!all)
		abort();
	n = 0;
	udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(scan)) {
		all[n] = udev_device_new_from_syspath(udev(), udev_list_entry_get_name(entry));
		if (all[n])
			n++;
	}
	udev_enumerate_unref(scan);
	qsort(all, n, sizeof(*all), by_bdf);
	return all;
}

void device_free_all(struct udev_device **devices)
{
	for (struct udev_device **device = devices; *device; device++)
		udev_device_unref(*device);
	free(devices);
}
