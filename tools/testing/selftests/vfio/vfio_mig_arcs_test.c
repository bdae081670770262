// SPDX-License-Identifier: GPL-2.0-only
/*
 * The migration states of a VFIO device: every pair of states, the fds they return, what closing
 * and resetting does in each state. Knows no device: what it saves, it loads into the same device.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>

#include "lib/mig_test.h"

#define ST(name)	VFIO_DEVICE_STATE_##name

/* Arcs while something else happens to the device */
struct racer {
	struct vdev *dev;
	__u32 flags;
	_Atomic bool end;
};

FIXTURE(arcs)
{
	struct vdev dev;
	__u32 flags;
	struct mig_stream stream;	/* what the device saves right after it was opened */
};

MIG_VARIANTS(arcs);

FIXTURE_SETUP(arcs)
{
	ASSERT_EQ(0, vdev_open(&self->dev, mig_bdf, variant->mode));
	ASSERT_EQ(0, mig_flags(&self->dev, &self->flags)) {
		TH_LOG("%s is not migratable", mig_bdf);
	}
	ASSERT_EQ(0, mig_snapshot(&self->dev, &self->stream));
	ASSERT_LT(0, self->stream.len);
}

FIXTURE_TEARDOWN(arcs)
{
	mig_stream_free(&self->stream);
	vdev_close(&self->dev);
}

static __u32 state_of(struct vdev *d)
{
	__u32 state;
	int ret = mig_get(d, &state);

	return ret ? (__u32)ret : state;
}

/* Does this data fd still belong to a session? One byte tells, if it may be lost. */
static bool session_ended(int fd, __u32 state)
{
	char byte = 0;
	ssize_t n = state == ST(RESUMING) ? write(fd, &byte, 1) : read(fd, &byte, 1);

	return n < 0 && errno == ENODEV;
}

/* From any state to RUNNING; a session of RESUMING that got nothing is given up by a reset. */
static int leave(struct vdev *d)
{
	return state_of(d) == ST(RESUMING) ? vdev_reset(d) : mig_set(d, ST(RUNNING), NULL);
}

MIG_TEST_F(arcs, flags)
{
	__u32 known = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY;

	EXPECT_TRUE(self->flags & VFIO_MIGRATION_STOP_COPY);
	EXPECT_EQ(0, self->flags & ~known);
	EXPECT_EQ(ST(RUNNING), state_of(&self->dev));
}

MIG_TEST_F(arcs, feature_flags_and_argsz)
{
	enum { PROBE = VFIO_DEVICE_FEATURE_PROBE, GET = VFIO_DEVICE_FEATURE_GET,
	       SET = VFIO_DEVICE_FEATURE_SET };
	enum { MIG = VFIO_DEVICE_FEATURE_MIGRATION, STATE = VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
	       SIZE = VFIO_DEVICE_FEATURE_MIG_DATA_SIZE };
	static const struct {
		__u32 flags;
		int payload;	/* bytes that argsz promises beyond the header */
		int err;
	} cases[] = {
		{ MIG | GET,			8,	0 },
		{ MIG | GET,			64,	0 },
		{ MIG | GET,			7,	EINVAL },
		{ MIG | GET,			0,	EINVAL },
		{ MIG | GET,			-1,	EINVAL },
		{ MIG | SET,			8,	EINVAL },
		{ MIG,				8,	EINVAL },
		{ MIG | GET | SET,		8,	EINVAL },
		{ MIG | GET | 1 << 19,		8,	EINVAL },
		{ MIG | PROBE,			0,	0 },
		{ MIG | PROBE | GET,		0,	0 },
		{ MIG | PROBE | SET,		0,	EINVAL },
		{ MIG | PROBE | GET | SET,	0,	EINVAL },
		{ STATE | GET,			8,	0 },
		{ STATE | GET,			4,	EINVAL },
		{ STATE | GET,			-1,	EINVAL },
		{ STATE | SET,			4,	EINVAL },
		{ STATE,			8,	EINVAL },
		{ STATE | GET | SET,		8,	EINVAL },
		{ STATE | SET | 1 << 19,	8,	EINVAL },
		{ STATE | PROBE,		0,	0 },
		{ STATE | PROBE | GET,		0,	0 },
		{ STATE | PROBE | SET,		8,	0 },
		{ STATE | PROBE | GET | SET,	8,	0 },
		{ SIZE | GET,			8,	0 },
		{ SIZE | GET,			64,	0 },
		{ SIZE | GET,			7,	EINVAL },
		{ SIZE | GET,			-1,	EINVAL },
		{ SIZE | SET,			8,	EINVAL },
		{ SIZE,				8,	EINVAL },
		{ SIZE | PROBE | GET,		0,	0 },
		{ SIZE | PROBE | SET,		0,	EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		__u64 buf[16] = {};
		struct vfio_device_feature *f = (void *)buf;
		struct vfio_device_feature_mig_state *state = (void *)f->data;
		int ret;

		f->argsz = sizeof(*f) + cases[i].payload;
		f->flags = cases[i].flags;
		/* A probe or a refused SET that takes effect would stop the device. */
		state->device_state = ST(STOP);
		ret = ioctl(self->dev.fd, VFIO_DEVICE_FEATURE, f) ? errno : 0;
		EXPECT_EQ(cases[i].err, ret) {
			TH_LOG("case %zu, flags 0x%x", i, cases[i].flags);
		}
		EXPECT_EQ(ST(RUNNING), state_of(&self->dev));
	}
}

/* GET_STATE says which state it is and returns no fd, in every state. */
MIG_TEST_F(arcs, get_state)
{
	MIG_EVERY_STATE(state, self->flags) {
		struct vfio_device_feature_mig_state mig = { .data_fd = MIG_FD_UNTOUCHED };
		int fd;

		ASSERT_EQ(0, mig_enter(&self->dev, state, &self->stream, &fd));
		EXPECT_EQ(0, vdev_feature(&self->dev, VFIO_DEVICE_FEATURE_GET |
					  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &mig,
					  sizeof(mig)));
		EXPECT_EQ(state, mig.device_state);
		EXPECT_EQ(-1, mig.data_fd);
		mig_close_fd(fd);
		ASSERT_EQ(0, leave(&self->dev));
	}
}

/*
 * From every state to every value, offered or not: it works exactly where the uAPI has a path, the
 * reported state follows, a new fd comes exactly with the arcs that begin a session, and the old
 * one dies exactly with those that end it. What is refused changes nothing.
 */
MIG_TEST_F(arcs, every_pair)
{
	static const __u32 beyond[] = { VFIO_DEVICE_STATE_NR, 0x80000000, ~0U };
	unsigned int legal = 0, illegal = 0, combined = 0;

	MIG_EVERY_STATE(from, self->flags) {
		for (size_t i = 0; i < VFIO_DEVICE_STATE_NR + ARRAY_SIZE(beyond); i++) {
			__u32 to = i < VFIO_DEVICE_STATE_NR ? i :
				      beyond[i - VFIO_DEVICE_STATE_NR];
			__u32 path[VFIO_DEVICE_STATE_NR];
			bool opens = false, closes = false;
			int arcs, old, new, ret;

			ASSERT_EQ(0, mig_enter(&self->dev, from, &self->stream, &old))
				ABOUT(from, to);
			arcs = mig_path(from, to, self->flags, path);
			ret = mig_set(&self->dev, to, &new);
			if (arcs < 0) {
				illegal++;
				EXPECT_EQ(-EINVAL, ret) ABOUT(from, to);
				EXPECT_EQ(-1, new) ABOUT(from, to);
				EXPECT_EQ(from, state_of(&self->dev)) ABOUT(from, to);
			} else {
				legal++;
				combined += arcs > 1;
				for (__u32 n = 0, at = from; n < (__u32)arcs; at = path[n++]) {
					closes |= mig_arc_closes(at, path[n]);
					opens = mig_arc_opens(at, path[n]);
				}
				EXPECT_EQ(0, ret) ABOUT(from, to);
				EXPECT_EQ(to, state_of(&self->dev)) ABOUT(from, to);
				EXPECT_EQ(opens, new >= 0) ABOUT(from, to);
				EXPECT_LE(-1, new) ABOUT(from, to);
			}
			if (old >= 0 && (closes || from != ST(RESUMING))) {
				EXPECT_EQ(closes, session_ended(old, from)) ABOUT(from, to);
			}
			if (new >= 0 && mig_state_saving(to)) {
				EXPECT_FALSE(session_ended(new, to)) ABOUT(from, to);
			}
			mig_close_fd(old);
			mig_close_fd(new);
			ASSERT_EQ(0, leave(&self->dev)) ABOUT(from, to);
		}
	}
	ksft_print_msg("%u legal pairs (%u of several arcs), %u refused\n", legal, combined,
		       illegal);
}

/* A user who closes the data fd before leaving the state (as after an error) loses nothing else. */
MIG_TEST_F(arcs, data_fd_closed_first)
{
	MIG_EVERY_STATE(state, self->flags) {
		int fd;

		ASSERT_EQ(0, mig_enter(&self->dev, state, &self->stream, &fd));
		mig_close_fd(fd);
		EXPECT_EQ(state, state_of(&self->dev)) ABOUT(state, state);
		EXPECT_EQ(0, leave(&self->dev)) ABOUT(state, ST(RUNNING));
		EXPECT_EQ(ST(RUNNING), state_of(&self->dev)) ABOUT(state, ST(RUNNING));
	}
}

MIG_TEST_F(arcs, reset_in_every_state)
{
	MIG_EVERY_STATE(state, self->flags) {
		struct mig_stream again = {};
		int fd;

		ASSERT_EQ(0, mig_enter(&self->dev, state, &self->stream, &fd));
		EXPECT_EQ(0, vdev_reset(&self->dev)) ABOUT(state, ST(RUNNING));
		EXPECT_EQ(ST(RUNNING), state_of(&self->dev)) ABOUT(state, ST(RUNNING));
		if (fd >= 0) {
			EXPECT_TRUE(session_ended(fd, state)) ABOUT(state, ST(RUNNING));
		}
		mig_close_fd(fd);
		/* Usable as ever */
		EXPECT_EQ(0, mig_snapshot(&self->dev, &again)) ABOUT(state, ST(RUNNING));
		mig_stream_free(&again);
	}
}

/*
 * A hot reset is one, or it is refused because of others on the bus, which a VF always shares with
 * its PF: then nothing may have changed, least of all the session.
 */
MIG_TEST_F(arcs, hot_reset_in_every_state)
{
	MIG_EVERY_STATE(state, self->flags) {
		__u32 after = state;
		int fd;

		ASSERT_EQ(0, mig_enter(&self->dev, state, &self->stream, &fd));
		if (!vdev_hot_reset(&self->dev))
			after = ST(RUNNING);
		EXPECT_EQ(after, state_of(&self->dev)) ABOUT(state, after);
		if (fd >= 0 && after == state && state != ST(RESUMING)) {
			EXPECT_FALSE(session_ended(fd, state)) ABOUT(state, after);
		}
		mig_close_fd(fd);
		EXPECT_EQ(0, leave(&self->dev)) ABOUT(state, ST(RUNNING));
	}
}

static void *walk_arcs(void *arg)
{
	struct racer *r = arg;

	while (!atomic_load(&r->end))
		for (__u32 state = 0; state < VFIO_DEVICE_STATE_NR; state++)
			if (mig_state_offered(state, r->flags))
				mig_set(r->dev, state, NULL);
	return NULL;
}

/* The user resets the device amid its own arcs: a reset that succeeds never leaves ERROR. */
static void check_reset_amid_arcs(struct __test_metadata *_metadata, FIXTURE_DATA(arcs) *self,
				  int (*reset)(struct vdev *d))
{
	struct racer racer = { .dev = &self->dev, .flags = self->flags };
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, walk_arcs, &racer));
	for (int i = 0; i < 100; i++) {
		EXPECT_EQ(0, reset(&self->dev));
		EXPECT_NE(ST(ERROR), state_of(&self->dev)) {
			TH_LOG("after reset %d", i);
			break;
		}
	}
	atomic_store(&racer.end, true);
	pthread_join(thread, NULL);
	ASSERT_EQ(0, reset(&self->dev));
	EXPECT_EQ(ST(RUNNING), state_of(&self->dev));
	EXPECT_EQ(0, mig_set(&self->dev, ST(STOP), NULL));
	EXPECT_EQ(0, mig_set(&self->dev, ST(RUNNING), NULL));
}

MIG_TEST_F(arcs, reset_amid_arcs)
{
	check_reset_amid_arcs(_metadata, self, vdev_reset);
}

MIG_TEST_F(arcs, flr_amid_arcs)
{
	check_reset_amid_arcs(_metadata, self, vdev_flr);
}

/*
 * Somebody else resets the device. The user may be told by one refused arc, but has a device that
 * is in the state it says and can be used.
 */
MIG_TEST_F(arcs, reset_from_outside)
{
	MIG_EVERY_STATE(state, self->flags) {
		int fd;

		ASSERT_EQ(0, mig_enter(&self->dev, state, &self->stream, &fd));
		ASSERT_EQ(0, vdev_reset_from_outside(&self->dev));
		EXPECT_EQ(ST(RUNNING), state_of(&self->dev)) ABOUT(state, ST(RUNNING));
		if (fd >= 0) {
			EXPECT_TRUE(session_ended(fd, state)) ABOUT(state, ST(RUNNING));
		}
		mig_close_fd(fd);
		if (mig_set(&self->dev, ST(STOP), NULL)) {
			EXPECT_EQ(ST(RUNNING), state_of(&self->dev)) ABOUT(state, ST(RUNNING));
			EXPECT_EQ(0, mig_set(&self->dev, ST(STOP), NULL)) ABOUT(state, ST(STOP));
		}
		EXPECT_EQ(ST(STOP), state_of(&self->dev)) ABOUT(state, ST(STOP));
		ASSERT_EQ(0, mig_set(&self->dev, ST(RUNNING), NULL));
	}
}

/* A reset between the states of a migration kills it; a new one can begin at once. */
MIG_TEST_F(arcs, reset_in_resuming_then_load)
{
	int old, new;

	ASSERT_EQ(0, mig_set(&self->dev, ST(RESUMING), &old));
	ASSERT_EQ(0, mig_fill(old, self->stream.data, self->stream.len / 2, 1, NULL));
	ASSERT_EQ(0, vdev_reset(&self->dev));
	ASSERT_EQ(0, mig_set(&self->dev, ST(RESUMING), &new));
	EXPECT_TRUE(session_ended(old, ST(RESUMING)));
	EXPECT_EQ(0, mig_fill(new, self->stream.data, self->stream.len, 1, NULL));
	EXPECT_EQ(0, mig_set(&self->dev, ST(RUNNING), NULL));
	close(old);
	close(new);
}

MIG_TEST_F(arcs, close_in_every_state)
{
	MIG_EVERY_STATE(state, self->flags) {
		int fd;

		ASSERT_EQ(0, mig_enter(&self->dev, state, &self->stream, &fd));
		vdev_close(&self->dev);
		if (fd >= 0) {
			EXPECT_TRUE(session_ended(fd, state)) ABOUT(state, ST(RUNNING));
		}
		ASSERT_EQ(0, vdev_open(&self->dev, mig_bdf, variant->mode));
		EXPECT_EQ(ST(RUNNING), state_of(&self->dev)) ABOUT(state, ST(RUNNING));
		/* The fd of the last user is not one of this user's session. */
		if (fd >= 0 && state != ST(RESUMING)) {
			struct mig_stream again = {};
			int now;

			ASSERT_EQ(0, mig_enter(&self->dev, state, &self->stream, &now));
			EXPECT_TRUE(session_ended(fd, state)) ABOUT(state, state);
			EXPECT_FALSE(session_ended(now, state)) ABOUT(state, state);
			close(now);
			ASSERT_EQ(0, leave(&self->dev));
			mig_stream_free(&again);
		}
		mig_close_fd(fd);
	}
}

MIG_TEST_F(arcs, stop_and_continue)
{
	MIG_EVERY_STATE(state, self->flags) {
		if (mig_arc_opens(ST(STOP), state))
			continue;
		for (int i = 0; i < 3; i++) {
			EXPECT_EQ(0, mig_set(&self->dev, state, NULL)) {
				ABOUT(ST(RUNNING), state);
			}
			EXPECT_EQ(0, mig_set(&self->dev, ST(RUNNING), NULL)) {
				ABOUT(state, ST(RUNNING));
			}
		}
	}
	EXPECT_EQ(ST(RUNNING), state_of(&self->dev));
}

/* A whole migration, as a VMM does it; the target is the device itself after a reset. */
static int migrate(struct vdev *d, __u32 flags, bool precopy)
{
	struct mig_stream s = {};
	int fd = -1, ret, end;

	if (precopy) {
		ret = mig_set(d, ST(PRE_COPY), &fd);
		/* How it says that there is no more for now is the stream test's concern. */
		if (!ret)
			ret = mig_drain(fd, &s, MIG_BULK);
		if (ret == -ENOMSG)
			ret = 0;
		if (!ret && (flags & VFIO_MIGRATION_P2P))
			ret = mig_set(d, ST(PRE_COPY_P2P), NULL);
		if (!ret)
			ret = mig_set(d, ST(STOP_COPY), NULL);
	} else {
		ret = mig_set(d, ST(STOP), NULL);
		if (!ret)
			ret = mig_set(d, ST(STOP_COPY), &fd);
	}
	if (!ret)
		ret = mig_drain(fd, &s, MIG_BULK);
	mig_close_fd(fd);
	if (!ret)
		ret = mig_set(d, ST(STOP), NULL);
	if (!ret)
		ret = vdev_reset(d);
	if (!ret)
		ret = mig_set(d, ST(RESUMING), &fd);
	if (!ret) {
		ret = mig_fill(fd, s.data, s.len, MIG_BULK, NULL);
		end = mig_set(d, ST(RUNNING), NULL);
		ret = ret ?: end;
		close(fd);
	}
	mig_stream_free(&s);
	return ret;
}

/* A guest that has switched its device off does not keep it from moving. */
MIG_TEST_F(arcs, memory_decode_off)
{
	const unsigned int command = 0x04;
	__u16 before;

	ASSERT_EQ(0, vdev_config_read16(&self->dev, command, &before));
	ASSERT_EQ(0, vdev_config_write16(&self->dev, command, 0));
	EXPECT_EQ(0, mig_save_and_load(&self->dev, self->stream.len, MIG_BULK));
	ASSERT_EQ(0, vdev_config_write16(&self->dev, command, before));
	EXPECT_EQ(0, mig_save_and_load(&self->dev, self->stream.len, MIG_BULK));
}

/* Nor one that has put it to sleep. */
MIG_TEST_F(arcs, low_power)
{
	const __u32 set = VFIO_DEVICE_FEATURE_SET;

	ASSERT_EQ(0, vdev_feature(&self->dev, set | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, NULL, 0));
	EXPECT_EQ(0, mig_save_and_load(&self->dev, self->stream.len, MIG_BULK));
	ASSERT_EQ(0, vdev_feature(&self->dev, set | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, NULL, 0));
	EXPECT_EQ(0, mig_save_and_load(&self->dev, self->stream.len, MIG_BULK));
}

/* Nor one that has it in D3hot, in whatever state. */
MIG_TEST_F(arcs, d3hot)
{
	MIG_EVERY_STATE(state, self->flags) {
		int fd;

		ASSERT_EQ(0, vdev_sleep(&self->dev));
		ASSERT_EQ(0, mig_enter(&self->dev, state, &self->stream, &fd)) {
			ABOUT(ST(RUNNING), state);
		}
		ASSERT_EQ(0, vdev_sleep(&self->dev));
		ASSERT_EQ(0, mig_set(&self->dev, ST(RUNNING), NULL)) ABOUT(state, ST(RUNNING));
		mig_close_fd(fd);
	}
	ASSERT_EQ(0, vdev_sleep(&self->dev));
	EXPECT_EQ(0, mig_save_and_load(&self->dev, self->stream.len, MIG_BULK));
}

MIG_TEST_F(arcs, several_migrations)
{
	bool precopy = self->flags & VFIO_MIGRATION_PRE_COPY;

	for (int i = 0; i < 6; i++) {
		ASSERT_EQ(0, migrate(&self->dev, self->flags, precopy && i % 2 == 0)) {
			TH_LOG("migration %d", i + 1);
		}
	}
	vdev_close(&self->dev);
	ASSERT_EQ(0, vdev_open(&self->dev, mig_bdf, variant->mode));
	ASSERT_EQ(0, migrate(&self->dev, self->flags, precopy));
}

/* Loads follow one another without a reset: each session starts from nothing. */
MIG_TEST_F(arcs, several_loads)
{
	for (int i = 0; i < 3; i++) {
		int fd;

		ASSERT_EQ(0, mig_set(&self->dev, ST(RESUMING), &fd));
		EXPECT_EQ(0, mig_fill(fd, self->stream.data, self->stream.len, MIG_ODD, NULL));
		ASSERT_EQ(0, mig_set(&self->dev, ST(STOP), NULL));
		EXPECT_TRUE(session_ended(fd, ST(RESUMING)));
		close(fd);
	}
	EXPECT_EQ(0, mig_set(&self->dev, ST(RUNNING), NULL));
}

/* A walk over all legal pairs in an order that no other test has. */
MIG_TEST_F(arcs, long_walk)
{
	__u32 at = ST(RUNNING), dice = 1;
	int fd = -1;

	for (int step = 0; step < 300; step++) {
		__u32 path[VFIO_DEVICE_STATE_NR], to;
		int arcs, new;

		do {
			dice = dice * 1664525 + 1013904223;
			to = (dice >> 16) % VFIO_DEVICE_STATE_NR;
			arcs = mig_path(at, to, self->flags, path);
		} while (arcs < 0);

		ASSERT_EQ(0, mig_set(&self->dev, to, &new)) {
			TH_LOG("step %d, %s -> %s", step, mig_state_name(at), mig_state_name(to));
		}
		ASSERT_EQ(to, state_of(&self->dev)) ABOUT(at, to);
		if (new >= 0) {
			mig_close_fd(fd);
			fd = new;
		}
		if (arcs && to == ST(RESUMING)) {
			ASSERT_EQ(0, mig_fill(fd, self->stream.data, self->stream.len, MIG_ODD,
					      NULL));
		}
		at = to;
	}
	mig_close_fd(fd);
}

int main(int argc, char **argv)
{
	return mig_test_main(argc, argv, 1);
}
