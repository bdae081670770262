// SPDX-License-Identifier: GPL-2.0-only
/*
 * A user who does everything at once: states in any order, resets from two sides in the middle of
 * arcs, data fds read and written by several threads at odd sizes and from buffers that are
 * mappings of the device itself, touches of the BARs, ioeventfds, fds closed in any order, the
 * device closed and its driver unbound under all of it. Knows no device.
 *
 * What each call returns depends on the race. What must hold: every answer is one that the uAPI
 * has, nothing hangs, the kernel complains about nothing, and after a reset the device can be saved
 * and loaded as ever.
 *
 *	WALK_SEED=N	the same walk again, as far as threads repeat themselves (default: 1)
 *	WALK_STEPS=N	how long (default: 300 steps for each thread and life of the device)
 */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "lib/mig_test.h"

#define ST(name)	VFIO_DEVICE_STATE_##name

#define LIVES		4		/* openings of the device */
#define FDS		3		/* data fds that are open at a time */
#define MAX_CHUNK	97

struct walk {
	struct vdev dev;
	__u32 flags;
	struct mig_stream stream;
	void *va;			/* a mapping of the device, or NULL */
	size_t va_len;
	off_t bar;
	unsigned int steps;
	bool unbinding;
	pthread_mutex_t fds_lock;
	int fds[FDS];
	_Atomic unsigned long wrong;
};

struct walker {
	struct walk *w;
	unsigned int seed;
	pthread_t thread;
};

FIXTURE(walk)
{
	struct walk w;
	unsigned int seed;
};

MIG_VARIANTS(walk);

static unsigned int env(const char *name, unsigned int otherwise)
{
	const char *value = getenv(name);

	return value ? strtoul(value, NULL, 0) : otherwise;
}

static unsigned int pick(struct walker *me, unsigned int n)
{
	return rand_r(&me->seed) % n;
}

/* Is this an answer that the uAPI and the documentation of the driver have? */
static void answer(struct walk *w, const char *what, long ret, const int *allowed)
{
	if (ret >= 0)
		return;
	for (; *allowed; allowed++)
		if (ret == -*allowed)
			return;
	if (atomic_fetch_add(&w->wrong, 1) < 20)
		printf("# %s: %s\n", what, strerror(-ret));
}

/* The errno of a refused stream stays with RESUMING. */
static const int set_errnos[] = { EBUSY, EINVAL, EIO, ENOSPC, EOPNOTSUPP, ETIMEDOUT, EXDEV, 0 };
/* A stream that others have written pieces of, too, is any nonsense. */
static const int write_errnos[] = { EBADF, EBUSY, EFAULT, EINVAL, EIO, ENODEV, ENOSPC, EOPNOTSUPP,
				    EXDEV, ETIMEDOUT, 0 };
static const int read_errnos[] = { EBADF, EFAULT, ENODEV, ENOMSG, 0 };
static const int info_errnos[] = { EINVAL, ENODEV, ENOTTY, 0 };
static const int none[] = { 0 };

static long result(long ret)
{
	return ret < 0 ? -errno : ret;
}

/* A place for a new data fd; the one that was there is closed, whatever it is used for. */
static void keep_fd(struct walker *me, int fd)
{
	struct walk *w = me->w;
	unsigned int slot = pick(me, FDS);
	int old;

	pthread_mutex_lock(&w->fds_lock);
	old = w->fds[slot];
	w->fds[slot] = fd;
	pthread_mutex_unlock(&w->fds_lock);
	mig_close_fd(old);
}

/* A reference of its own to one of the data fds, or -1 */
static int some_fd(struct walker *me)
{
	struct walk *w = me->w;
	int fd;

	pthread_mutex_lock(&w->fds_lock);
	fd = w->fds[pick(me, FDS)];
	fd = fd < 0 ? -1 : dup(fd);
	pthread_mutex_unlock(&w->fds_lock);
	return fd;
}

static void *walk_states(void *arg)
{
	struct walker *me = arg;
	struct walk *w = me->w;

	for (unsigned int i = 0; i < w->steps; i++) {
		__u32 state = pick(me, VFIO_DEVICE_STATE_NR), now;
		int fd, ret;

		/* What is loaded is sometimes all of it, so that RESUMING can be left. */
		ret = mig_set(&w->dev, state, &fd);
		answer(w, mig_state_name(state), ret, set_errnos);
		if (!ret && fd >= 0) {
			if (state == ST(RESUMING) && pick(me, 2))
				answer(w, "load", mig_fill(fd, w->stream.data, w->stream.len,
							   1 + pick(me, 200), NULL), write_errnos);
			keep_fd(me, fd);
		}
		answer(w, "get state", mig_get(&w->dev, &now), none);
		if (now >= VFIO_DEVICE_STATE_NR)
			atomic_fetch_add(&w->wrong, 1);
		/* ERROR and an incomplete load are left by a reset only. */
		if (now == ST(ERROR) || (now == ST(RESUMING) && !pick(me, 3)))
			answer(w, "reset", vdev_reset(&w->dev), (const int[]){ EBUSY, EAGAIN, 0 });
	}
	return NULL;
}

static void *walk_resets(void *arg)
{
	struct walker *me = arg;
	struct walk *w = me->w;

	for (unsigned int i = 0; i < w->steps / 10; i++) {
		usleep(pick(me, 20000));
		/* sysfs would wait for the unbinding, which waits for us. */
		if (pick(me, 2) || w->unbinding)
			answer(w, "reset", vdev_reset(&w->dev), (const int[]){ EBUSY, EAGAIN, 0 });
		else
			answer(w, "reset from outside", vdev_reset_from_outside(&w->dev),
			       (const int[]){ EBUSY, EAGAIN, 0 });
	}
	return NULL;
}

static void *walk_data(void *arg)
{
	struct walker *me = arg;
	struct walk *w = me->w;
	__u8 buf[MAX_CHUNK] = {};

	for (unsigned int i = 0; i < 3 * w->steps; i++) {
		size_t len = 1 + pick(me, MAX_CHUNK);
		struct vfio_precopy_info info;
		int fd = some_fd(me);
		void *at = buf;

		/* Reading into registers would be a wild write to them: only what is written is. */
		switch (pick(me, 4)) {
		case 0:
			answer(w, "read", result(read(fd, at, len)), read_errnos);
			break;
		case 1:
			if (w->va && pick(me, 2))
				at = w->va;
			answer(w, "write", result(write(fd, at, len)), write_errnos);
			break;
		case 2:
			if (fd >= 0)
				answer(w, "precopy info", mig_precopy_info(fd, &info), info_errnos);
			break;
		case 3:
			if (fd >= 0 && !pick(me, 4))
				keep_fd(me, dup(fd));
			break;
		}
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

static void *walk_touches(void *arg)
{
	struct walker *me = arg;
	struct walk *w = me->w;
	int event = eventfd(0, EFD_CLOEXEC);

	for (unsigned int i = 0; i < 3 * w->steps; i++) {
		struct vfio_device_ioeventfd io = {
			.argsz = sizeof(io), .flags = VFIO_DEVICE_IOEVENTFD_32,
			.offset = w->bar, .fd = event,
		};
		__u32 value;
		void *va;

		switch (w->va ? pick(me, 4) : 3) {
		case 0:
			mig_touch(w->va);
			break;
		case 1:
			answer(w, "read of a BAR", result(pread(w->dev.fd, &value, 4, w->bar)),
			       (const int[]){ EIO, 0 });
			break;
		case 2:
			va = mmap(NULL, 4096, PROT_READ, MAP_SHARED, w->dev.fd, w->bar);
			if (va == MAP_FAILED)
				break;
			mig_touch(va);
			munmap(va, 4096);
			break;
		case 3:
			answer(w, "ioeventfd", result(ioctl(w->dev.fd, VFIO_DEVICE_IOEVENTFD, &io)),
			       (const int[]){ EINVAL, ENOTTY, 0 });
			break;
		}
	}
	close(event);
	return NULL;
}

static int driver_file(const char *bdf, const char *file, const char *what)
{
	char path[PATH_MAX];
	int fd, ret;

	snprintf(path, sizeof(path), "/sys/bus/pci/%s", file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = result(write(fd, bdf, strlen(bdf)));
	if (ret < 0)
		printf("# %s: %s\n", what, strerror(-ret));
	close(fd);
	return ret < 0 ? ret : 0;
}

/* Waits in the kernel until the user has gone. */
static void *walk_unbind(void *arg)
{
	struct walker *me = arg;
	char file[PATH_MAX];
	int ret;

	snprintf(file, sizeof(file), "devices/%s/driver/unbind", me->w->dev.bdf);
	ret = driver_file(me->w->dev.bdf, file, "unbind");
	answer(me->w, "unbind", ret, none);
	return NULL;
}

FIXTURE_SETUP(walk)
{
	struct walk *w = &self->w;

	self->seed = env("WALK_SEED", 1);
	w->steps = env("WALK_STEPS", 300);
	pthread_mutex_init(&w->fds_lock, NULL);
	for (int i = 0; i < FDS; i++)
		w->fds[i] = -1;
	ASSERT_EQ(0, mig_catch_sigbus());
	ASSERT_EQ(0, vdev_open(&w->dev, mig_bdf, variant->mode));
	ASSERT_EQ(0, mig_flags(&w->dev, &w->flags));
	ASSERT_EQ(0, mig_snapshot(&w->dev, &w->stream));
}

FIXTURE_TEARDOWN(walk)
{
	mig_stream_free(&self->w.stream);
	vdev_close(&self->w.dev);
}

static void map_some_bar(struct walk *w)
{
	struct vfio_region_info info;

	w->va = NULL;
	for (unsigned int i = 0; !w->va && i < VFIO_PCI_ROM_REGION_INDEX; i++) {
		w->va = vdev_map_region(&w->dev, i, &w->va_len);
		if (!vdev_region(&w->dev, i, &info))
			w->bar = info.offset;
	}
}

/* After whatever there was: reset, saved, loaded. */
static void check_usable(struct __test_metadata *_metadata, struct walk *w)
{
	__u32 state;

	ASSERT_EQ(0, vdev_reset(&w->dev));
	ASSERT_EQ(0, mig_get(&w->dev, &state));
	EXPECT_EQ(ST(RUNNING), state);
	EXPECT_EQ(0, mig_save_and_load(&w->dev, w->stream.len, 7));
}

MIG_TEST_F(walk, everything_at_once)
{
	static void *(*const walks[])(void *) = {
		walk_states, walk_states, walk_resets, walk_data, walk_data, walk_touches,
	};
	struct walker walker[ARRAY_SIZE(walks)], unbinder;
	struct walk *w = &self->w;

	TH_LOG("WALK_SEED=%u WALK_STEPS=%u", self->seed, w->steps);
	for (unsigned int life = 0; life < LIVES; life++) {
		char driver[PATH_MAX], path[PATH_MAX], bind[PATH_MAX];
		ssize_t n;

		w->unbinding = life & 1;
		map_some_bar(w);
		for (size_t i = 0; i < ARRAY_SIZE(walks); i++) {
			walker[i] = (struct walker){ .w = w, .seed = self->seed + life * 100 + i };
			ASSERT_EQ(0, pthread_create(&walker[i].thread, NULL, walks[i], &walker[i]));
		}
		if (w->unbinding) {
			snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", w->dev.bdf);
			n = readlink(path, driver, sizeof(driver) - 1);
			ASSERT_LT(0, n);
			driver[n] = 0;
			unbinder = (struct walker){ .w = w };
			ASSERT_EQ(0, pthread_create(&unbinder.thread, NULL, walk_unbind,
						    &unbinder));
		}
		for (size_t i = 0; i < ARRAY_SIZE(walks); i++)
			pthread_join(walker[i].thread, NULL);
		EXPECT_EQ(0, atomic_load(&w->wrong));

		if (!w->unbinding)
			check_usable(_metadata, w);
		if (w->va)
			munmap(w->va, w->va_len);
		vdev_close(&w->dev);
		if (w->unbinding) {
			pthread_join(unbinder.thread, NULL);
			snprintf(bind, sizeof(bind), "drivers/%s/bind", strrchr(driver, '/') + 1);
			ASSERT_EQ(0, driver_file(w->dev.bdf, bind, "bind"));
		}

		/* Data fds of a device that is closed, of a driver that is gone */
		for (int i = 0; i < FDS; i++) {
			__u8 byte = 0;

			if (w->fds[i] < 0)
				continue;
			answer(w, "read of a dead fd", result(read(w->fds[i], &byte, 1)),
			       (const int[]){ EBADF, ENODEV, 0 });
			answer(w, "write to a dead fd", result(write(w->fds[i], &byte, 1)),
			       (const int[]){ EBADF, ENODEV, 0 });
			close(w->fds[i]);
			w->fds[i] = -1;
		}
		ASSERT_EQ(0, vdev_open(&w->dev, mig_bdf, variant->mode));
		check_usable(_metadata, w);
	}
	EXPECT_EQ(0, atomic_load(&w->wrong));
}

int main(int argc, char **argv)
{
	return mig_test_main(argc, argv, 1);
}
