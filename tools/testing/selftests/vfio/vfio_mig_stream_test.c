// SPDX-License-Identifier: GPL-2.0-only
/*
 * The data fd of a migration: how reading ends, sizes and splits, what is refused, what the sizes
 * that the driver reports are worth. Knows no device: what it saves, it loads into the same device.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "lib/mig_test.h"

#define ST(name)	VFIO_DEVICE_STATE_##name

static const size_t chunks[] = { 1, MIG_ODD, 39, 64, 4096, MIG_BULK };

FIXTURE(stream)
{
	struct vdev dev;
	__u32 flags;
	struct mig_stream stream;	/* what the device saves right after it was opened */
};

MIG_VARIANTS(stream);

FIXTURE_SETUP(stream)
{
	ASSERT_EQ(0, vdev_open(&self->dev, mig_bdf, variant->mode));
	ASSERT_EQ(0, mig_flags(&self->dev, &self->flags));
	ASSERT_EQ(0, mig_snapshot(&self->dev, &self->stream));
	ASSERT_LT(0, self->stream.len);
}

FIXTURE_TEARDOWN(stream)
{
	mig_stream_free(&self->stream);
	vdev_close(&self->dev);
}

/* What is asked of PRE_COPY is asked of a device that has it; one that does not must refuse it. */
#define PRECOPY_OR_REFUSED()							\
	do {									\
		if (!(self->flags & VFIO_MIGRATION_PRE_COPY)) {			\
			EXPECT_EQ(-EINVAL, mig_set(&self->dev, ST(PRE_COPY), NULL)); \
			return;							\
		}								\
	} while (0)

static __u32 state_of(struct vdev *d)
{
	__u32 state;
	int ret = mig_get(d, &state);

	return ret ? (__u32)ret : state;
}

static int read_errno(int fd)
{
	char byte;
	ssize_t n = read(fd, &byte, 1);

	return n < 0 ? errno : 0;
}

static int write_errno(int fd)
{
	ssize_t n = write(fd, "", 1);

	return n < 0 ? errno : 0;
}

/* Loads a stream that the device saved and lets it run: 0 or the error of whatever refused. */
static int load(struct vdev *d, const void *data, size_t len, size_t chunk)
{
	int fd, ret;

	ret = mig_set(d, ST(RESUMING), &fd);
	if (ret)
		return ret;
	ret = mig_fill(fd, data, len, chunk, NULL);
	if (!ret)
		ret = mig_set(d, ST(STOP), NULL);
	close(fd);
	return ret ?: mig_set(d, ST(RUNNING), NULL);
}

/*
 * Is what is no stream refused, by write() or at the latest by the arc that ends the session, with
 * a device that a reset brings back?
 */
static int refused(struct vdev *d, const void *data, size_t len, size_t chunk)
{
	__u32 state;
	int fd, ret;

	ret = mig_set(d, ST(RESUMING), &fd);
	if (ret)
		return ret;
	mig_fill(fd, data, len, chunk, NULL);
	/* A VMM that does not look at what write() said. */
	ret = mig_set(d, ST(RUNNING), NULL) ? 0 : -ENOTRECOVERABLE;
	close(fd);
	state = state_of(d);
	if (!ret && state != ST(RESUMING) && state != ST(ERROR))
		ret = -EPROTO;
	if (vdev_reset(d) || state_of(d) != ST(RUNNING))
		ret = -EIO;
	return ret;
}

/* PRE_COPY ends with ENOMSG as often as one asks, STOP_COPY with 0. */
MIG_TEST_F(stream, end_of_precopy_and_of_stream)
{
	int fd;

	PRECOPY_OR_REFUSED();
	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		struct mig_stream s = {};

		ASSERT_EQ(0, mig_set(&self->dev, ST(PRE_COPY), &fd));
		EXPECT_EQ(-ENOMSG, mig_drain(fd, &s, chunks[i]));
		EXPECT_LT(0, s.len);
		EXPECT_EQ(ENOMSG, read_errno(fd));
		if (self->flags & VFIO_MIGRATION_P2P) {
			ASSERT_EQ(0, mig_set(&self->dev, ST(PRE_COPY_P2P), NULL));
			EXPECT_EQ(-ENOMSG, mig_drain(fd, &s, chunks[i]));
		}
		ASSERT_EQ(0, mig_set(&self->dev, ST(STOP_COPY), NULL));
		EXPECT_EQ(0, mig_drain(fd, &s, chunks[i]));
		EXPECT_EQ(0, read_errno(fd));
		EXPECT_EQ(0, mig_drain(fd, &s, chunks[i]));
		close(fd);
		ASSERT_EQ(0, mig_set(&self->dev, ST(RUNNING), NULL));
		EXPECT_EQ(0, load(&self->dev, s.data, s.len, chunks[i]));
		mig_stream_free(&s);
	}
}

/* Nothing read in PRE_COPY, or only a part: STOP_COPY goes on where reading stopped. */
MIG_TEST_F(stream, precopy_data_left_for_stop_copy)
{
	PRECOPY_OR_REFUSED();
	for (size_t left = 0; left < 4; left++) {
		struct mig_stream s = { .data = calloc(1, 4), .len = left };
		int fd;

		ASSERT_EQ(0, mig_set(&self->dev, ST(PRE_COPY), &fd));
		ASSERT_EQ(left, read(fd, s.data, left));
		ASSERT_EQ(0, mig_set(&self->dev, ST(STOP_COPY), NULL));
		EXPECT_EQ(0, mig_drain(fd, &s, MIG_BULK));
		close(fd);
		ASSERT_EQ(0, mig_set(&self->dev, ST(RUNNING), NULL));
		EXPECT_EQ(0, load(&self->dev, s.data, s.len, MIG_BULK));
		mig_stream_free(&s);
	}
}

/* A stopped device does not change, so it gives the same bytes however they are read. */
MIG_TEST_F(stream, same_bytes_however_read)
{
	struct mig_stream first = {};

	ASSERT_EQ(0, mig_set(&self->dev, ST(STOP), NULL));
	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		struct mig_stream s = {};
		int fd;

		ASSERT_EQ(0, mig_set(&self->dev, ST(STOP_COPY), &fd));
		EXPECT_EQ(0, mig_drain(fd, &s, chunks[i]));
		EXPECT_EQ(0, mig_drain(fd, &s, chunks[i]));
		close(fd);
		if (first.data) {
			ASSERT_EQ(first.len, s.len);
			EXPECT_EQ(0, memcmp(first.data, s.data, s.len));
			mig_stream_free(&s);
		} else {
			first = s;
		}
		ASSERT_EQ(0, mig_set(&self->dev, ST(STOP), NULL));
	}
	mig_stream_free(&first);
}

MIG_TEST_F(stream, loads_however_written)
{
	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		EXPECT_EQ(0, load(&self->dev, self->stream.data, self->stream.len, chunks[i])) {
			TH_LOG("pieces of %zu bytes", chunks[i]);
		}
	}
}

/* A bad buffer takes nothing out of the stream and puts nothing into it. */
MIG_TEST_F(stream, bad_buffers)
{
	struct mig_stream s = {};
	int fd;

	ASSERT_EQ(0, mig_set(&self->dev, ST(STOP), NULL));
	ASSERT_EQ(0, mig_set(&self->dev, ST(STOP_COPY), &fd));
	EXPECT_EQ(-1, read(fd, (void *)8, self->stream.len));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, mig_drain(fd, &s, MIG_BULK));
	EXPECT_EQ(self->stream.len, s.len);
	close(fd);
	ASSERT_EQ(0, mig_set(&self->dev, ST(RESUMING), &fd));
	EXPECT_EQ(-1, write(fd, (void *)8, s.len));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, mig_fill(fd, s.data, s.len, MIG_BULK, NULL));
	EXPECT_EQ(0, mig_set(&self->dev, ST(RUNNING), NULL));
	close(fd);
	mig_stream_free(&s);
}

MIG_TEST_F(stream, not_seekable)
{
	char byte;
	int fd;

	ASSERT_EQ(0, mig_set(&self->dev, ST(STOP), NULL));
	ASSERT_EQ(0, mig_set(&self->dev, ST(STOP_COPY), &fd));
	EXPECT_EQ(-1, pread(fd, &byte, 1, 0));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, lseek(fd, 0, SEEK_SET));
	EXPECT_EQ(ESPIPE, errno);
	close(fd);
	ASSERT_EQ(0, mig_set(&self->dev, ST(RESUMING), &fd));
	EXPECT_EQ(-1, pwrite(fd, self->stream.data, 1, 0));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, lseek(fd, 0, SEEK_END));
	EXPECT_EQ(ESPIPE, errno);
	close(fd);
}

MIG_TEST_F(stream, one_direction)
{
	int fd;

	MIG_EVERY_STATE(state, self->flags) {
		if (!mig_state_saving(state))
			continue;
		ASSERT_EQ(0, mig_set(&self->dev, state, &fd));
		EXPECT_EQ(EBADF, write_errno(fd)) ABOUT(state, state);
		close(fd);
		ASSERT_EQ(0, mig_set(&self->dev, ST(RUNNING), NULL));
	}
	ASSERT_EQ(0, mig_set(&self->dev, ST(RESUMING), &fd));
	EXPECT_EQ(EBADF, read_errno(fd));
	close(fd);
}

/* The state is left: the fd is dead for good, also when the same state is entered again. */
MIG_TEST_F(stream, dead_fd)
{
	MIG_EVERY_STATE(state, self->flags) {
		bool saving = mig_state_saving(state);
		int fd, next;

		if (!mig_arc_opens(ST(STOP), state))
			continue;
		for (int again = 0; again < 2; again++) {
			ASSERT_EQ(0, mig_set(&self->dev, state, &fd));
			if (!saving) {
				ASSERT_EQ(0, mig_fill(fd, self->stream.data, self->stream.len,
						      MIG_BULK, NULL));
			}
			ASSERT_EQ(0, mig_set(&self->dev, ST(RUNNING), NULL)) ABOUT(state, state);
			next = -1;
			if (again) {
				ASSERT_EQ(0, mig_set(&self->dev, state, &next));
			}
			EXPECT_EQ(ENODEV, saving ? read_errno(fd) : write_errno(fd)) {
				ABOUT(state, again ? state : ST(RUNNING));
			}
			close(fd);
			if (again) {
				close(next);
				ASSERT_EQ(0, saving ? mig_set(&self->dev, ST(RUNNING), NULL) :
						      vdev_reset(&self->dev));
			}
		}
	}
}

/* Every prefix of a short stream, a choice of those of a long one. */
MIG_TEST_F(stream, truncated)
{
	size_t step = self->stream.len / 48 + 1;

	for (size_t len = 0; len < self->stream.len; len += step) {
		EXPECT_EQ(0, refused(&self->dev, self->stream.data, len, MIG_BULK)) {
			TH_LOG("%zu of %zu bytes", len, self->stream.len);
		}
	}
	EXPECT_EQ(0, refused(&self->dev, self->stream.data, self->stream.len - 1, 1));
	EXPECT_EQ(0, load(&self->dev, self->stream.data, self->stream.len, MIG_BULK));
}

MIG_TEST_F(stream, overlong)
{
	size_t len = self->stream.len;
	__u8 *more = calloc(1, len + 4096);

	ASSERT_NE(NULL, more);
	memcpy(more, self->stream.data, len);
	EXPECT_EQ(0, refused(&self->dev, more, len + 1, MIG_BULK));
	EXPECT_EQ(0, refused(&self->dev, more, len + 1, 1));
	EXPECT_EQ(0, refused(&self->dev, more, len + 4096, MIG_BULK));
	EXPECT_EQ(0, refused(&self->dev, more, len + 4096, MIG_ODD));
	EXPECT_EQ(0, load(&self->dev, self->stream.data, len, MIG_BULK));
	free(more);
}

/* What begins with the wrong byte is refused, and stays refused whatever follows. */
MIG_TEST_F(stream, poisoned)
{
	__u8 *bad = malloc(self->stream.len);
	int fd, ret;

	ASSERT_NE(NULL, bad);
	memcpy(bad, self->stream.data, self->stream.len);
	bad[0] ^= 0x80;
	EXPECT_EQ(0, refused(&self->dev, bad, self->stream.len, MIG_BULK));
	EXPECT_EQ(0, refused(&self->dev, bad, self->stream.len, 1));

	ASSERT_EQ(0, mig_set(&self->dev, ST(RESUMING), &fd));
	ret = mig_fill(fd, bad, self->stream.len, MIG_BULK, NULL);
	EXPECT_GT(0, ret);
	for (int i = 0; i < 3; i++) {
		EXPECT_GT(0, mig_fill(fd, self->stream.data, self->stream.len, MIG_BULK, NULL));
	}
	EXPECT_GT(0, mig_set(&self->dev, ST(STOP), NULL));
	EXPECT_GT(0, mig_set(&self->dev, ST(RUNNING), NULL));
	close(fd);
	ASSERT_EQ(0, vdev_reset(&self->dev));
	/* And what was accepted once says nothing about the next. */
	EXPECT_EQ(0, load(&self->dev, self->stream.data, self->stream.len, MIG_BULK));
	EXPECT_EQ(0, refused(&self->dev, bad, self->stream.len, MIG_BULK));
	EXPECT_EQ(0, load(&self->dev, self->stream.data, self->stream.len, MIG_BULK));
	free(bad);
}

struct writer {
	int fd;
	const struct mig_stream *s;
	size_t accepted;
};

static void *write_it_all(void *arg)
{
	struct writer *w = arg;

	for (int i = 0; i < 50; i++) {
		ssize_t n = write(w->fd, w->s->data, w->s->len);

		if (n > 0)
			w->accepted += n;
	}
	return NULL;
}

/* Writers that race share one position and one limit. */
MIG_TEST_F(stream, racing_writers)
{
	for (int round = 0; round < 20; round++) {
		struct writer w[2] = { { .s = &self->stream }, { .s = &self->stream } };
		pthread_t thread;
		int fd;

		ASSERT_EQ(0, mig_set(&self->dev, ST(RESUMING), &fd));
		w[0].fd = fd;
		w[1].fd = fd;
		ASSERT_EQ(0, pthread_create(&thread, NULL, write_it_all, &w[1]));
		write_it_all(&w[0]);
		ASSERT_EQ(0, pthread_join(thread, NULL));
		/* The second stream is too much; the driver may say so late, but has to. */
		EXPECT_LE(self->stream.len, w[0].accepted + w[1].accepted);
		if (w[0].accepted + w[1].accepted > self->stream.len) {
			EXPECT_GT(0, mig_set(&self->dev, ST(STOP), NULL));
		}
		close(fd);
		ASSERT_EQ(0, vdev_reset(&self->dev));
	}
	EXPECT_EQ(0, load(&self->dev, self->stream.data, self->stream.len, MIG_BULK));
}

/* In every state: more than 0, and no less than what is then really read. */
MIG_TEST_F(stream, data_size)
{
	__u64 size;

	MIG_EVERY_STATE(state, self->flags) {
		struct mig_stream s = {};
		int fd = -1, rest;

		if (state != ST(RUNNING)) {
			ASSERT_EQ(0, mig_set(&self->dev, state, &fd));
		}
		EXPECT_EQ(0, mig_size(&self->dev, &size)) ABOUT(state, state);
		EXPECT_LT(0, size) ABOUT(state, state);
		if (state == ST(RESUMING)) {
			ASSERT_EQ(0, mig_fill(fd, self->stream.data, self->stream.len, MIG_BULK,
					      NULL));
			EXPECT_EQ(0, mig_size(&self->dev, &size));
			EXPECT_LT(0, size);
		}
		/* A byte less to read each time, never less than promised */
		if (mig_state_saving(state)) {
			__u64 before = size;
			__u8 byte;

			for (int i = 0; i < 8 && read(fd, &byte, 1) == 1; i++) {
				EXPECT_EQ(0, mig_size(&self->dev, &size)) ABOUT(state, state);
				EXPECT_LT(0, size) ABOUT(state, state);
				EXPECT_GE(before, size) ABOUT(state, state);
			}
		}
		/* The rest as a VMM reads it, whatever state it starts from */
		ASSERT_EQ(0, mig_set(&self->dev, ST(STOP_COPY), &rest)) ABOUT(state, ST(STOP_COPY));
		EXPECT_EQ(0, mig_drain(mig_state_saving(state) ? fd : rest, &s, MIG_BULK));
		EXPECT_LE(s.len, size) ABOUT(state, ST(STOP_COPY));
		/* Nothing left to read, and still no zero */
		EXPECT_EQ(0, mig_size(&self->dev, &size)) ABOUT(state, ST(STOP_COPY));
		EXPECT_LT(0, size) ABOUT(state, ST(STOP_COPY));
		mig_stream_free(&s);
		mig_close_fd(rest);
		mig_close_fd(fd);
		ASSERT_EQ(0, mig_set(&self->dev, ST(RUNNING), NULL));
	}
}

/* The estimate starts above 0, falls with what is read, and is 0 where ENOMSG begins. */
MIG_TEST_F(stream, precopy_info)
{
	struct vfio_precopy_info info;
	__u64 left;
	__u8 byte;
	int fd, ret;

	PRECOPY_OR_REFUSED();
	ASSERT_EQ(0, mig_set(&self->dev, ST(PRE_COPY), &fd));
	ASSERT_EQ(0, mig_precopy_info(fd, &info));
	EXPECT_LT(0, info.initial_bytes);
	EXPECT_EQ(0, info.dirty_bytes);
	left = info.initial_bytes + info.dirty_bytes;
	while (read(fd, &byte, 1) == 1) {
		ASSERT_EQ(0, mig_precopy_info(fd, &info));
		ASSERT_LT(info.initial_bytes + info.dirty_bytes, left);
		left = info.initial_bytes + info.dirty_bytes;
	}
	EXPECT_EQ(0, left);
	if (self->flags & VFIO_MIGRATION_P2P) {
		ASSERT_EQ(0, mig_set(&self->dev, ST(PRE_COPY_P2P), NULL));
		EXPECT_EQ(0, mig_precopy_info(fd, &info));
	}
	ASSERT_EQ(0, mig_set(&self->dev, ST(STOP_COPY), NULL));
	EXPECT_EQ(-EINVAL, mig_precopy_info(fd, &info));
	/* Not in PRE_COPY, and the fd is dead: either is a good reason. */
	ASSERT_EQ(0, mig_set(&self->dev, ST(STOP), NULL));
	ret = mig_precopy_info(fd, &info);
	/* An ended session is one in another state. */
	EXPECT_EQ(-EINVAL, ret);
	close(fd);
}

MIG_TEST_F(stream, precopy_info_outside_precopy)
{
	struct vfio_precopy_info info;

	MIG_EVERY_STATE(state, self->flags) {
		int fd, ret;

		if (!mig_arc_opens(ST(STOP), state) || state == ST(PRE_COPY) ||
		    state == ST(PRE_COPY_P2P))
			continue;
		ASSERT_EQ(0, mig_set(&self->dev, state, &fd));
		ret = mig_precopy_info(fd, &info);
		/* Without PRE_COPY, or on a file to write to, there need be no ioctl at all. */
		EXPECT_TRUE(ret == -EINVAL ||
			    (ret == -ENOTTY && (state == ST(RESUMING) ||
						!(self->flags & VFIO_MIGRATION_PRE_COPY)))) {
			TH_LOG("%s: %d", mig_state_name(state), ret);
		}
		close(fd);
		ASSERT_EQ(0, vdev_reset(&self->dev));
	}
}

MIG_TEST_F(stream, precopy_info_arguments)
{
	struct vfio_precopy_info info = {
		.argsz = offsetof(struct vfio_precopy_info, dirty_bytes),
	};
	struct { struct vfio_precopy_info info; char more[32]; } big = {
		.info.argsz = sizeof(big),
	};
	int fd;

	PRECOPY_OR_REFUSED();
	ASSERT_EQ(0, mig_set(&self->dev, ST(PRE_COPY), &fd));
	EXPECT_EQ(-1, ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO, &info));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO, NULL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, ioctl(fd, VFIO_DEVICE_RESET));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(0, ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO, &big));
	close(fd);
}

/* Version 2 turns flags from something to ignore into an output; kernels without it refuse it. */
MIG_TEST_F(stream, precopy_info_v2)
{
	__u32 v2 = VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2;
	struct vfio_precopy_info info = { .argsz = sizeof(info), .flags = ~0U };
	int fd, ret;

	ret = vdev_feature(&self->dev, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET | v2,
			   NULL, 0);
	if (ret == -ENOTTY || !(self->flags & VFIO_MIGRATION_PRE_COPY)) {
		EXPECT_GT(0, ret);
		EXPECT_GT(0, vdev_feature(&self->dev, VFIO_DEVICE_FEATURE_SET | v2, NULL, 0));
		return;
	}
	ASSERT_EQ(0, ret);
	EXPECT_EQ(-EINVAL, vdev_feature(&self->dev, VFIO_DEVICE_FEATURE_GET | v2, NULL, 0));
	ASSERT_EQ(0, vdev_feature(&self->dev, VFIO_DEVICE_FEATURE_SET | v2, NULL, 0));
	ASSERT_EQ(0, mig_set(&self->dev, ST(PRE_COPY), &fd));
	ASSERT_EQ(0, ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO, &info));
	EXPECT_EQ(0, info.flags & ~VFIO_PRECOPY_INFO_REINIT);
	EXPECT_LT(0, info.initial_bytes);
	close(fd);
}

static bool readable(int ep)
{
	struct epoll_event e;

	return epoll_wait(ep, &e, 1, 0) == 1 && (e.events & EPOLLIN);
}

static short poll_now(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

/* Waits in another thread, where a session that ends has to wake it. */
static void *wait_readable(void *arg)
{
	struct pollfd p = { .fd = *(int *)arg, .events = POLLIN };

	return (void *)(long)(poll(&p, 1, 60000) == 1 ? p.revents : 0);
}

/* In every state: what poll() says is what the next read() or write() does. */
MIG_TEST_F(stream, poll_every_state)
{
	MIG_EVERY_STATE(state, self->flags) {
		bool saving = mig_state_saving(state);
		struct mig_stream s = {};
		int fd;

		if (!mig_arc_opens(ST(STOP), state))
			continue;
		ASSERT_EQ(0, mig_set(&self->dev, state, &fd));
		EXPECT_EQ(saving ? POLLIN : POLLOUT, poll_now(fd)) ABOUT(state, state);
		if (saving)
			mig_drain(fd, &s, MIG_BULK);
		else
			ASSERT_EQ(0, mig_fill(fd, self->stream.data, self->stream.len, MIG_BULK,
					      NULL));
		/* The end of a stream is readable, that of the pre-copy data is not. */
		EXPECT_EQ(state == ST(STOP_COPY) ? POLLIN : saving ? 0 : POLLOUT, poll_now(fd)) {
			ABOUT(state, state);
		}
		if (!saving) {
			EXPECT_EQ(-ENOSPC, mig_fill(fd, "", 1, 1, NULL));
			EXPECT_EQ(POLLOUT | POLLERR, poll_now(fd));
		}
		ASSERT_EQ(0, vdev_reset(&self->dev));
		EXPECT_EQ((saving ? POLLIN : POLLOUT) | POLLERR, poll_now(fd)) {
			ABOUT(state, ST(RUNNING));
		}
		close(fd);
		mig_stream_free(&s);
	}
}

/* Whoever sleeps in poll() at the end of the pre-copy data is woken by more, and by the end. */
MIG_TEST_F(stream, poll_wakes)
{
	static const __u32 next[] = { ST(STOP_COPY), ST(RUNNING) };

	if (!(self->flags & VFIO_MIGRATION_PRE_COPY))
		return;
	for (int i = 0; i < 3; i++) {
		struct mig_stream s = {};
		pthread_t thread;
		void *events;
		int fd;

		ASSERT_EQ(0, mig_set(&self->dev, ST(PRE_COPY), &fd));
		EXPECT_EQ(-ENOMSG, mig_drain(fd, &s, MIG_BULK));
		ASSERT_EQ(0, pthread_create(&thread, NULL, wait_readable, &fd));
		usleep(20000);
		ASSERT_EQ(0, i < 2 ? mig_set(&self->dev, next[i], NULL) :
				     vdev_reset_from_outside(&self->dev));
		pthread_join(thread, &events);
		EXPECT_EQ(i ? POLLIN | POLLERR : POLLIN, (long)events);
		close(fd);
		mig_stream_free(&s);
		ASSERT_EQ(0, vdev_reset(&self->dev));
	}
}

/* Edges, as epoll sees them */
MIG_TEST_F(stream, poll)
{
	struct epoll_event e = { .events = EPOLLIN };
	int ep = epoll_create1(0), fd;
	struct mig_stream s = {};

	ASSERT_LE(0, ep);
	ASSERT_EQ(0, mig_set(&self->dev, ST(STOP), NULL));
	ASSERT_EQ(0, mig_set(&self->dev, ST(STOP_COPY), &fd));
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	EXPECT_TRUE(readable(ep));
	EXPECT_EQ(0, mig_drain(fd, &s, MIG_BULK));
	EXPECT_TRUE(readable(ep));
	ASSERT_EQ(0, mig_set(&self->dev, ST(RUNNING), NULL));
	close(fd);

	if (self->flags & VFIO_MIGRATION_PRE_COPY) {
		ASSERT_EQ(0, mig_set(&self->dev, ST(PRE_COPY), &fd));
		ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
		EXPECT_TRUE(readable(ep));
		EXPECT_EQ(-ENOMSG, mig_drain(fd, &s, MIG_BULK));
		EXPECT_FALSE(readable(ep));
		ASSERT_EQ(0, mig_set(&self->dev, ST(STOP_COPY), NULL));
		EXPECT_TRUE(readable(ep));
		/* Whoever sleeps in poll() learns that the session is over. */
		ASSERT_EQ(0, mig_set(&self->dev, ST(STOP), NULL));
		EXPECT_EQ(1, epoll_wait(ep, &e, 1, 0));
		close(fd);
	}
	close(ep);
	mig_stream_free(&s);
}

int main(int argc, char **argv)
{
	return mig_test_main(argc, argv, 1);
}
