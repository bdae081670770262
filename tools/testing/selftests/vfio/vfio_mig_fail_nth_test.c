// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is not there, and user memory that is not: makes the first, second, ... allocation or
 * user copy of an operation fail, until it gets by without. Each time the operation has to fail
 * cleanly: the device can be opened, saved and loaded afterwards. Needs a kernel with
 * CONFIG_FAULT_INJECTION, FAILSLAB, FAIL_PAGE_ALLOC and FAULT_INJECTION_USERCOPY. Knows no device.
 */
#include <fcntl.h>

#include "lib/mig_test.h"

#define ST(name)	VFIO_DEVICE_STATE_##name
#define DEBUGFS		"/sys/kernel/debug/"

/* More than any operation here has; one that never ends is a failure. */
#define MAX_NTH		4000

FIXTURE(fail)
{
	struct vdev dev;
	__u32 flags;
	struct mig_stream stream;
	int nth;			/* /proc/thread-self/fail-nth */
};

MIG_VARIANTS(fail);

static int put(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = fd < 0 || write(fd, value, strlen(value)) < 0 ? -errno : 0;

	if (ret)
		printf("# %s: %s\n", path, strerror(-ret));
	if (fd >= 0)
		close(fd);
	return ret;
}

FIXTURE_SETUP(fail)
{
	/* GFP_KERNEL allocations, too; and nothing about each of them in the log */
	ASSERT_EQ(0, put(DEBUGFS "failslab/ignore-gfp-wait", "N"));
	ASSERT_EQ(0, put(DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N"));
	ASSERT_EQ(0, put(DEBUGFS "fail_page_alloc/min-order", "0"));
	ASSERT_EQ(0, put(DEBUGFS "failslab/verbose", "0"));
	ASSERT_EQ(0, put(DEBUGFS "fail_page_alloc/verbose", "0"));
	ASSERT_EQ(0, put(DEBUGFS "fail_usercopy/verbose", "0"));
	self->nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->nth);
	ASSERT_EQ(0, vdev_open(&self->dev, mig_bdf, variant->mode));
	ASSERT_EQ(0, mig_flags(&self->dev, &self->flags));
	ASSERT_EQ(0, mig_snapshot(&self->dev, &self->stream));
}

FIXTURE_TEARDOWN(fail)
{
	mig_stream_free(&self->stream);
	vdev_close(&self->dev);
	close(self->nth);
}

/* What is injected may hit the very calls that control it, and is used up by that. */
static void arm(int file, unsigned int nth)
{
	char value[16];
	int len = snprintf(value, sizeof(value), "%u", nth);

	if (pwrite(file, value, len, 0) != len && pwrite(file, value, len, 0) != len)
		abort();
}

/* Disarms; was it used up? */
static bool fired(int file)
{
	char value[16] = "1";
	ssize_t n = pread(file, value, sizeof(value) - 1, 0);

	arm(file, 0);
	return n > 0 && !strtoul(value, NULL, 10);
}

/*
 * Runs the statements for each nth. They leave their result in ret. Afterwards, when nothing fails
 * any more, `undo` is done, and `good` has to be 0.
 */
#define SWEEP(undo, good, ...)							\
	do {									\
		unsigned int nth = 0, failures = 0;				\
		bool injected;							\
		long ret;							\
										\
		do {								\
			arm(self->nth, ++nth);					\
			do { __VA_ARGS__ } while (0);				\
			injected = fired(self->nth);				\
			failures += ret != 0;					\
			undo;							\
			if (!injected) {					\
				ASSERT_EQ(0, ret) {				\
					TH_LOG("failed without reason, nth %u", nth); \
				}						\
			}							\
			ASSERT_EQ(0, good) TH_LOG("after nth %u", nth);		\
		} while (injected && nth < MAX_NTH);				\
		ASSERT_FALSE(injected);						\
		TH_LOG("%u injected, %u of them failures", nth - 1, failures);	\
		EXPECT_LT(0, nth - 1);						\
	} while (0)

static int works(struct vdev *d, const struct mig_stream *expected)
{
	return vdev_reset(d) ?: mig_save_and_load(d, expected->len, MIG_BULK);
}

MIG_TEST_F(fail, open)
{
	struct vdev other;

	vdev_close(&self->dev);
	SWEEP(vdev_close(&other), 0,
		other = VDEV_CLOSED;
		ret = vdev_open(&other, mig_bdf, variant->mode);
	);
	ASSERT_EQ(0, vdev_open(&self->dev, mig_bdf, variant->mode));
	EXPECT_EQ(0, works(&self->dev, &self->stream));
}

MIG_TEST_F(fail, every_arc)
{
	MIG_EVERY_STATE(from, self->flags) {
		MIG_EVERY_STATE(to, self->flags) {
			__u32 path[VFIO_DEVICE_STATE_NR];
			int fd = -1;

			/* One arc at a time; RESUMING is the next test's. */
			if (from == ST(RESUMING) || mig_path(from, to, self->flags, path) != 1)
				continue;
			ABOUT(from, to);
			ASSERT_EQ(0, mig_set(&self->dev, from, NULL));
			SWEEP(mig_close_fd(fd),
			      works(&self->dev, &self->stream) ?: mig_set(&self->dev, from, NULL),
				fd = -1;
				ret = mig_set(&self->dev, to, &fd);
			);
			ASSERT_EQ(0, vdev_reset(&self->dev));
		}
	}
}

MIG_TEST_F(fail, load)
{
	int fd = -1;

	SWEEP(mig_close_fd(fd), works(&self->dev, &self->stream),
		fd = -1;
		ret = mig_set(&self->dev, ST(RESUMING), &fd);
		if (!ret)
			ret = mig_fill(fd, self->stream.data, self->stream.len, 50, NULL) ?:
			      mig_set(&self->dev, ST(RUNNING), NULL);
	);
}

MIG_TEST_F(fail, save)
{
	struct mig_stream s = {};

	SWEEP(mig_stream_free(&s), works(&self->dev, &self->stream),
		ret = mig_snapshot(&self->dev, &s);
	);
}

MIG_TEST_F(fail, map_and_touch)
{
	SWEEP(, works(&self->dev, &self->stream),
		struct vfio_region_info info;
		__u32 value;

		ret = vdev_region(&self->dev, VFIO_PCI_BAR2_REGION_INDEX, &info);
		if (!ret && info.size && pread(self->dev.fd, &value, 4, info.offset) != 4)
			ret = -errno;
	);
}

int main(int argc, char **argv)
{
	return mig_test_main(argc, argv, 1);
}
