// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: the migration core on a device that does not exist.
 *
 * The back end below writes down what it is called for and, at the callback that a case names, does
 * what the case wants: fail, not know, be reset. The core is called as VFIO calls it for a user.
 * Resets come from another thread, in atomic context, and may have to wait for nothing.
 */
#include <kunit/test.h>
#include <linux/file.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pm_runtime.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "internal.h"

#define S(name)		VFIO_DEVICE_STATE_##name

/* An errno that neither core nor kernel would come up with */
#define ERRNO		(-EREMOTEIO)

/* A stream: PRE_COPY says 13 bytes, a stopped device is 50; room for some that it does not use */
#define PRECOPY_LEN	13
#define STREAM_LEN	50
#define STREAM_MAX	61
/* Lengths at which the back end looks. The stream may end at the last two */
static const size_t looks[] = { 4, PRECOPY_LEN, STREAM_LEN };

/* What one case has */
struct fake {
	struct kunit *test;
	struct vfio_pci_mig_device *mdev;	/* NULL when it is gone */
	struct file *file;	/* the data file that came last */
	bool ended;		/* it is dead, and the log says so */
	size_t pos;		/* bytes that went through it */

	const char *at;		/* the callback that goes wrong; there */
	bool reset;		/* the device is reset, */
	bool opened;		/* (and its user let in at once) */
	bool broken;		/* and breaks, */
	int err;		/* or only fails */
	unsigned int blocked;	/* so often it cannot be reset yet */
	char log[128];		/* callbacks; "file" if one came, "end" if the last one died */

	u8 stream[STREAM_MAX + 3];	/* what is saved and loaded, and some more */
	u8 buf[PAGE_SIZE];
	char __user *ubuf;	/* a page of user memory with nothing mapped behind it */

	struct work_struct resetter;
	struct completion reset_over;
	spinlock_t atomic;	/* held around a reset */
	struct pci_dev pdev;	/* the core asks it for its power only */
};

struct fake_device {
	struct vfio_pci_mig_device mig;
	struct fake *fake;
};

static struct fake *to_fake(struct vfio_pci_mig_device *mdev)
{
	return container_of(mdev, struct fake_device, mig)->fake;
}

static void note(struct fake *f, const char *what)
{
	if (f->log[0])
		strlcat(f->log, " ", sizeof(f->log));
	strlcat(f->log, what, sizeof(f->log));
}

static void reset_work(struct work_struct *work)
{
	struct fake *f = container_of(work, struct fake, resetter);

	spin_lock(&f->atomic);
	vfio_pci_mig_reset_prepare(f->mdev);
	vfio_pci_mig_reset_done(f->mdev);
	spin_unlock(&f->atomic);
	complete(&f->reset_over);
}

static void reset_device(struct fake *f)
{
	schedule_work(&f->resetter);
	if (!wait_for_completion_timeout(&f->reset_over, 10 * HZ))
		KUNIT_FAIL(f->test, "a reset waits for whoever holds the state mutex");
}

/* Around what VFIO or vfio-pci powers the device up for. In between it may be asleep. */
static void power(struct fake *f, bool up)
{
	if (up)
		KUNIT_EXPECT_EQ(f->test, pm_runtime_resume_and_get(&f->pdev.dev), 0);
	else
		pm_runtime_put_sync(&f->pdev.dev);
}

/* The back end */

static int called(struct vfio_pci_mig_device *mdev, const char *name)
{
	struct fake *f = to_fake(mdev);

	note(f, name);
	/* Those two touch nothing. */
	if (strcmp(name, "reset") && strcmp(name, "close"))
		KUNIT_EXPECT_GT_MSG(f->test, atomic_read(&f->pdev.dev.power.usage_count), 0,
				    "%s of a device that may be asleep", name);
	if (!f->at || strcmp(f->at, name))
		return 0;
	if (f->reset) {
		reset_device(f);
		f->opened = vfio_pci_mig_fsm_reset_pending(mdev->fsm);
	}
	return f->broken ? vfio_pci_mig_broken(mdev, f->err) : f->err;
}

#define FAKE(name)							\
	static int fake_##name(struct vfio_pci_mig_device *mdev)	\
	{								\
		return called(mdev, #name);				\
	}
FAKE(open)
FAKE(drain)
FAKE(stop)
FAKE(start)
FAKE(check)

static void fake_close(struct vfio_pci_mig_device *mdev)
{
	called(mdev, "close");
}

static void fake_reset(struct vfio_pci_mig_device *mdev)
{
	called(mdev, "reset");
}

static bool fake_reset_blocked(struct vfio_pci_mig_device *mdev)
{
	struct fake *f = to_fake(mdev);

	return f->blocked && f->blocked--;
}

static ssize_t fake_precopy(struct vfio_pci_mig_device *mdev, void *buf)
{
	memcpy(buf, to_fake(mdev)->stream, PRECOPY_LEN);
	return called(mdev, "precopy") ?: PRECOPY_LEN;
}

static ssize_t fake_save(struct vfio_pci_mig_device *mdev, void *buf, size_t done)
{
	struct fake *f = to_fake(mdev);
	char name[16];

	KUNIT_EXPECT_MEMEQ(f->test, buf, f->stream, done);
	memcpy(buf + done, f->stream + done, STREAM_LEN - done);
	snprintf(name, sizeof(name), "save%zu", done);
	return called(mdev, name) ?: STREAM_LEN;
}

static ssize_t fake_load(struct vfio_pci_mig_device *mdev, const void *buf, size_t len,
			 bool *complete)
{
	struct fake *f = to_fake(mdev);
	size_t want = len;
	char name[16];
	int i;

	KUNIT_EXPECT_MEMEQ(f->test, buf, f->stream, len);
	for (i = ARRAY_SIZE(looks) - 1; i >= 0 && looks[i] > len; i--)
		want = looks[i];
	*complete = len >= PRECOPY_LEN;
	snprintf(name, sizeof(name), "load%zu", len);
	return called(mdev, name) ?: want;
}

static const struct vfio_pci_mig_ops fake_ops = {
	.open = fake_open,
	.close = fake_close,
	.reset = fake_reset,
	.reset_blocked = fake_reset_blocked,
	.drain = fake_drain,
	.stop = fake_stop,
	.start = fake_start,
	.check = fake_check,
	.precopy = fake_precopy,
	.save = fake_save,
	.load = fake_load,
	.stream_size = STREAM_MAX,
};

/* The user */

static enum vfio_device_mig_state state(struct fake *f)
{
	struct vfio_device *vdev = &f->mdev->core.vdev;
	enum vfio_device_mig_state state = S(NR);

	KUNIT_EXPECT_EQ(f->test, vdev->mig_ops->migration_get_state(vdev, &state), 0);
	return state;
}

static unsigned long data_size(struct fake *f)
{
	struct vfio_device *vdev = &f->mdev->core.vdev;
	unsigned long size = 0;

	KUNIT_EXPECT_EQ(f->test, vdev->mig_ops->migration_get_data_size(vdev, &size), 0);
	return size;
}

static ssize_t sys_read(struct fake *f, char __user *buf, size_t len)
{
	KUNIT_ASSERT_NOT_NULL(f->test, f->file);
	return f->file->f_op->read(f->file, buf, len, NULL);
}

static ssize_t sys_write(struct fake *f, const char __user *buf, size_t len)
{
	KUNIT_ASSERT_NOT_NULL(f->test, f->file);
	return f->file->f_op->write(f->file, buf, len, NULL);
}

/* Checks what comes. Both return what the system call does. */
static ssize_t read_some(struct fake *f, size_t len)
{
	ssize_t n = sys_read(f, f->ubuf, len);

	if (n > 0) {
		KUNIT_ASSERT_LE(f->test, f->pos + n, STREAM_LEN);
		KUNIT_EXPECT_EQ(f->test, copy_from_user(f->buf, f->ubuf, n), 0);
		KUNIT_EXPECT_MEMEQ(f->test, f->buf, f->stream + f->pos, n);
		f->pos += n;
	}
	return n;
}

static ssize_t write_some(struct fake *f, size_t len)
{
	ssize_t n;

	KUNIT_ASSERT_LE(f->test, f->pos + len, sizeof(f->stream));
	KUNIT_EXPECT_EQ(f->test, copy_to_user(f->ubuf, f->stream + f->pos, len), 0);
	n = sys_write(f, f->ubuf, len);
	if (n > 0)
		f->pos += n;
	return n;
}

/* 0 if the stream was taken up to @end, in pieces of at most @chunk. */
static int write_until(struct fake *f, size_t end, size_t chunk)
{
	while (f->pos < end) {
		size_t len = min(chunk, end - f->pos);
		ssize_t n = write_some(f, len);

		if (n < 0)
			return n;
		KUNIT_ASSERT_EQ(f->test, n, len);
	}
	return 0;
}

static bool dead(struct fake *f)
{
	if (f->file->f_mode & FMODE_WRITE)
		return sys_write(f, f->ubuf, 1) == -ENODEV;
	return sys_read(f, f->ubuf, 0) == -ENODEV;
}

/* Bytes that GET_PRECOPY_INFO offers, or what it fails with */
static long precopy_bytes(struct fake *f)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info), .dirty_bytes = 1 };
	void __user *arg = f->ubuf;
	long ret;

	KUNIT_ASSERT_NOT_NULL(f->test, f->file);
	KUNIT_EXPECT_EQ(f->test, copy_to_user(arg, &info, sizeof(info)), 0);
	ret = f->file->f_op->unlocked_ioctl(f->file, VFIO_MIG_GET_PRECOPY_INFO, (unsigned long)arg);
	if (ret)
		return ret;
	KUNIT_EXPECT_EQ(f->test, copy_from_user(&info, arg, sizeof(info)), 0);
	KUNIT_EXPECT_EQ(f->test, info.dirty_bytes, 0);
	return info.initial_bytes;
}

static void close_file(struct fake *f)
{
	if (f->file)
		__fput_sync(f->file);
	f->file = NULL;
	f->ended = false;
	f->pos = 0;
}

static int set_state(struct fake *f, u32 new)
{
	struct vfio_device *vdev = &f->mdev->core.vdev;
	struct file *file;

	power(f, true);
	file = vdev->mig_ops->migration_set_state(vdev, new);
	power(f, false);

	/* To ask a file that is written is to write it: only when nothing can become of that. */
	if (f->file && !f->ended && !(f->file->f_mode & FMODE_WRITE && state(f) == S(RESUMING)) &&
	    dead(f)) {
		note(f, "end");
		f->ended = true;
	}
	if (IS_ERR(file))
		return PTR_ERR(file);
	if (file) {
		note(f, "file");
		close_file(f);
		f->file = file;
	}
	return 0;
}

/* Who has a reference to the state machine: the device, and each data file until it is closed. */
static unsigned int references(struct fake *f)
{
	/* A file that the core took back is not gone at once. */
	flush_delayed_fput();
	return kref_read(&f->mdev->fsm->ref);
}

static int open_device(struct fake *f)
{
	int ret;

	power(f, true);
	ret = vfio_pci_mig_fsm_open(f->mdev);
	power(f, false);
	return ret;
}

/* The device goes, as after its last user. */
static void release_device(struct fake *f)
{
	if (f->mdev->fsm->mdev)
		vfio_pci_mig_fsm_close(f->mdev);
	KUNIT_EXPECT_EQ(f->test, references(f), f->file ? 2 : 1);
	vfio_put_device(&f->mdev->core.vdev);
	f->mdev = NULL;
}

static void all_well(struct fake *f)
{
	f->at = NULL;
	f->log[0] = 0;
}

static void go_wrong(struct fake *f, const char *at, int err, bool broken, bool reset)
{
	f->log[0] = 0;
	f->at = at;
	f->err = err;
	f->broken = broken;
	f->reset = reset;
}

/* A device just opened, brought to this state, nothing written to it */
static void begin(struct fake *f, enum vfio_device_mig_state to)
{
	vfio_pci_mig_fsm_close(f->mdev);
	close_file(f);
	all_well(f);
	KUNIT_ASSERT_EQ(f->test, open_device(f), 0);
	if (to == S(ERROR)) {
		go_wrong(f, "drain", ERRNO, true, false);
		KUNIT_ASSERT_EQ(f->test, set_state(f, S(RUNNING_P2P)), ERRNO);
	} else {
		KUNIT_ASSERT_EQ(f->test, set_state(f, to), 0);
	}
	KUNIT_ASSERT_EQ(f->test, state(f), to);
	all_well(f);
}

/* What has been called since is @want. */
static void expect_log(int line, struct fake *f, const char *want)
{
	KUNIT_EXPECT_STREQ_MSG(f->test, f->log, want, "line %d", line);
	f->log[0] = 0;
}

/* A SET to @to returns @ret, leaves the device in @end, and what has been called since is @want. */
static void expect_set(int line, struct fake *f, u32 to, int ret, u32 end, const char *want)
{
	KUNIT_EXPECT_EQ_MSG(f->test, set_state(f, to), ret, "line %d, to %u", line, to);
	KUNIT_EXPECT_EQ_MSG(f->test, state(f), end, "line %d, to %u", line, to);
	expect_log(line, f, want);
}

#define EXPECT_LOG(...)	expect_log(__LINE__, __VA_ARGS__)
#define EXPECT_SET(...)	expect_set(__LINE__, __VA_ARGS__)

/*
 * Arcs. What each SET calls; NULL: it fails and changes nothing. From RESUMING with a complete
 * stream.
 */
static const char *const sets[S(NR)][S(NR)] = {
	[S(RUNNING)] = {
		[S(RUNNING)] = "", [S(RUNNING_P2P)] = "drain", [S(STOP)] = "drain stop",
		[S(STOP_COPY)] = "drain stop check save0 file",
		[S(RESUMING)] = "drain stop load0 file",
		[S(PRE_COPY)] = "precopy file", [S(PRE_COPY_P2P)] = "drain precopy file",
	},
	[S(RUNNING_P2P)] = {
		[S(RUNNING)] = "start", [S(RUNNING_P2P)] = "", [S(STOP)] = "stop",
		[S(STOP_COPY)] = "stop check save0 file", [S(RESUMING)] = "stop load0 file",
		[S(PRE_COPY)] = "start precopy file", [S(PRE_COPY_P2P)] = "precopy file",
	},
	[S(STOP)] = {
		[S(RUNNING)] = "check start", [S(RUNNING_P2P)] = "check", [S(STOP)] = "",
		[S(STOP_COPY)] = "check save0 file", [S(RESUMING)] = "load0 file",
		[S(PRE_COPY)] = "check start precopy file",
		[S(PRE_COPY_P2P)] = "check precopy file",
	},
	[S(STOP_COPY)] = {
		[S(RUNNING)] = "check start end", [S(RUNNING_P2P)] = "check end",
		[S(STOP)] = "end", [S(STOP_COPY)] = "", [S(RESUMING)] = "load0 end file",
	},
	[S(RESUMING)] = {
		[S(RUNNING)] = "check check start end", [S(RUNNING_P2P)] = "check check end",
		[S(STOP)] = "check end", [S(STOP_COPY)] = "check check save0 end file",
		[S(RESUMING)] = "", [S(PRE_COPY)] = "check check start precopy end file",
		[S(PRE_COPY_P2P)] = "check check precopy end file",
	},
	[S(PRE_COPY)] = {
		[S(RUNNING)] = "end", [S(RUNNING_P2P)] = "drain end", [S(STOP)] = "drain stop end",
		[S(STOP_COPY)] = "drain stop save13", [S(RESUMING)] = "drain stop load0 end file",
		[S(PRE_COPY)] = "", [S(PRE_COPY_P2P)] = "drain",
	},
	[S(PRE_COPY_P2P)] = {
		[S(RUNNING)] = "start end", [S(RUNNING_P2P)] = "end", [S(STOP)] = "stop end",
		[S(STOP_COPY)] = "stop save13", [S(RESUMING)] = "stop load0 end file",
		[S(PRE_COPY)] = "start", [S(PRE_COPY_P2P)] = "",
	},
};

static const u8 states[] = {
	S(ERROR), S(STOP), S(RUNNING), S(STOP_COPY), S(RESUMING), S(RUNNING_P2P), S(PRE_COPY),
	S(PRE_COPY_P2P),
};

static void state_desc(const u8 *s, char *desc)
{
	strscpy(desc, vfio_pci_mig_state_names[*s], KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(state, states, state_desc);

/* To all states, and to one that is none */
static void arcs(struct kunit *test)
{
	const u8 from = *(const u8 *)test->param_value;
	struct fake *f = test->priv;
	u32 to;

	for (to = 0; to <= S(NR); to++) {
		const char *want = to < S(NR) ? sets[from][to] : NULL;
		u32 end = want ? to : from;

		begin(f, from);
		if (from == S(RESUMING))
			KUNIT_ASSERT_EQ(test, write_until(f, STREAM_LEN, STREAM_LEN), 0);
		f->log[0] = 0;
		EXPECT_SET(f, to, want ? 0 : from == S(ERROR) ? -EIO : -EINVAL, end, want ?: "");
		KUNIT_EXPECT_EQ_MSG(test, data_size(f),
				    end == S(STOP_COPY) ? STREAM_LEN : STREAM_MAX, "to %u", to);
	}
}

/*
 * Outcomes. All moments at which a back end can fail. The calls end with the callback that does;
 * what is called then all the same if it only was reset. Those with a length are in write().
 */
static const struct moment {
	u8 from, to;
	const char *at, *calls, *then;
	size_t len;
} moments[] = {
	{ S(RUNNING), S(RUNNING_P2P), "drain", "drain" },
	{ S(PRE_COPY), S(PRE_COPY_P2P), "drain", "drain" },
	{ S(RUNNING_P2P), S(STOP), "stop", "stop" },
	{ S(PRE_COPY_P2P), S(STOP_COPY), "stop", "stop", " save13" },
	{ S(PRE_COPY_P2P), S(STOP_COPY), "save13", "stop save13" },
	{ S(RUNNING_P2P), S(RUNNING), "start", "start" },
	{ S(PRE_COPY_P2P), S(PRE_COPY), "start", "start" },
	{ S(RUNNING), S(PRE_COPY), "precopy", "precopy" },
	{ S(RUNNING_P2P), S(PRE_COPY_P2P), "precopy", "precopy" },
	{ S(STOP), S(STOP_COPY), "check", "check", " save0" },
	{ S(STOP), S(RUNNING_P2P), "check", "check" },
	{ S(STOP), S(STOP_COPY), "save0", "check save0" },
	{ S(STOP), S(RESUMING), "load0", "load0" },
	{ S(RESUMING), S(STOP), "load4", "load4", .len = 4 },
	{ S(RESUMING), S(STOP), "load13", "load13", .len = 13 },
	{ S(RESUMING), S(STOP), "load50", "load50", .len = 50 },
};

static void moment_desc(const struct moment *m, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s in %s", m->at,
		 vfio_pci_mig_state_names[m->from]);
}

KUNIT_ARRAY_PARAM(moment, moments, moment_desc);

/* Everything is right until this moment, at which it goes wrong. Returns what the user is told. */
static int at_moment(struct fake *f, const struct moment *m, int err, bool broken, bool reset)
{
	begin(f, m->from);
	if (m->len)
		KUNIT_ASSERT_EQ(f->test, write_until(f, m->len - 1, STREAM_LEN), 0);
	go_wrong(f, m->at, err, broken, reset);
	return m->len ? write_until(f, m->len, 1) : set_state(f, m->to);
}

/* An errno: as if nothing had been tried; both ways are open. But a stream is refused for good. */
static void outcome_unchanged(struct kunit *test)
{
	const struct moment *m = test->param_value;
	const u8 to[] = { m->to, S(RUNNING) };
	struct fake *f = test->priv;
	int i;

	for (i = 0; i < ARRAY_SIZE(to); i++) {
		KUNIT_EXPECT_EQ(test, at_moment(f, m, ERRNO, false, false), ERRNO);
		KUNIT_EXPECT_EQ(test, state(f), m->from);
		EXPECT_LOG(f, m->calls);
		all_well(f);
		if (m->len)
			KUNIT_EXPECT_EQ(test, write_some(f, 1), ERRNO);
		EXPECT_SET(f, to[i], m->len ? ERRNO : 0, m->len ? m->from : to[i],
			   m->len ? "" : sets[m->from][to[i]]);
	}
}

/* Nobody knows: ERROR, until a reset */
static void outcome_broken(struct kunit *test)
{
	const struct moment *m = test->param_value;
	struct fake *f = test->priv;
	u32 to;

	KUNIT_EXPECT_EQ(test, at_moment(f, m, ERRNO, true, false), ERRNO);
	if (f->file)
		KUNIT_EXPECT_TRUE(test, dead(f));
	close_file(f);
	all_well(f);
	for (to = 0; to <= S(NR); to++) {
		EXPECT_SET(f, to, -EIO, S(ERROR), "");
		KUNIT_EXPECT_EQ(test, data_size(f), STREAM_MAX);
	}
	reset_device(f);
	KUNIT_EXPECT_EQ(test, state(f), S(RUNNING));
	EXPECT_SET(f, S(PRE_COPY), 0, S(PRE_COPY), "reset precopy file");
}

/* A reset meanwhile: whatever the callback says nobody knows what is left of its work. */
static void outcome_reset(struct kunit *test)
{
	const struct moment *m = test->param_value;
	struct fake *f = test->priv;
	char want[64];
	int i;

	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, at_moment(f, m, i ? ERRNO : 0, i > 1, true), -EBUSY);
		if (f->file && !f->ended)
			KUNIT_EXPECT_TRUE(test, dead(f));
		KUNIT_EXPECT_FALSE(test, f->opened);
		KUNIT_EXPECT_EQ(test, state(f), S(ERROR));
		KUNIT_EXPECT_EQ(test, data_size(f), STREAM_MAX);
		snprintf(want, sizeof(want), "%s%s%s", m->calls, !i && m->then ? m->then : "",
			 f->ended ? " end" : "");
		EXPECT_LOG(f, want);

		all_well(f);
		close_file(f);
		EXPECT_SET(f, S(PRE_COPY), -EIO, S(ERROR), "");
		/* The end of one that began before puts nothing right. */
		vfio_pci_mig_reset_done(f->mdev);
		KUNIT_EXPECT_FALSE(test, vfio_pci_mig_fsm_reset_pending(f->mdev->fsm));
		EXPECT_SET(f, S(PRE_COPY), -EIO, S(ERROR), "");
		reset_device(f);
		EXPECT_SET(f, S(PRE_COPY), 0, S(PRE_COPY), "reset precopy file");
		KUNIT_EXPECT_EQ(test, read_some(f, 1), 1);
	}
}

/* Resets that nobody asked for, in each state */

static bool surprising(u8 from)
{
	return from != S(RUNNING) && from != S(ERROR);
}

static void reset_unasked(struct kunit *test)
{
	const u8 from = *(const u8 *)test->param_value;
	struct fake *f = test->priv;
	unsigned int resets;

	begin(f, from);
	resets = f->mdev->fsm->resets;
	reset_device(f);
	reset_device(f);
	KUNIT_EXPECT_EQ(test, f->mdev->fsm->resets, resets + 2);
	if (f->file)
		KUNIT_EXPECT_TRUE(test, dead(f));
	/* A reset only marks; whoever looks completes it. */
	EXPECT_LOG(f, "");
	KUNIT_EXPECT_EQ(test, state(f), S(RUNNING));
	KUNIT_EXPECT_EQ(test, data_size(f), STREAM_MAX);
	EXPECT_LOG(f, "reset");
	close_file(f);

	if (surprising(from))
		EXPECT_SET(f, S(STOP_COPY), -EBUSY, S(RUNNING), "");
	EXPECT_SET(f, S(STOP_COPY), 0, S(STOP_COPY), "drain stop check save0 file");
}

/* After it the device runs, before anybody has completed that. */
static void reset_opens(struct kunit *test)
{
	struct fake *f = test->priv;
	struct vfio_pci_mig_fsm *fsm = f->mdev->fsm;

	begin(f, *(const u8 *)test->param_value);
	KUNIT_EXPECT_FALSE(test, vfio_pci_mig_fsm_reset_pending(fsm));
	vfio_pci_mig_reset_prepare(f->mdev);
	KUNIT_EXPECT_FALSE(test, vfio_pci_mig_fsm_reset_pending(fsm));
	vfio_pci_mig_reset_done(f->mdev);
	KUNIT_EXPECT_TRUE(test, vfio_pci_mig_fsm_reset_pending(fsm));
	KUNIT_EXPECT_EQ(test, state(f), S(RUNNING));
	KUNIT_EXPECT_FALSE(test, vfio_pci_mig_fsm_reset_pending(fsm));
}

/* As by an ioctl that returns @ret, after callbacks if the reset is tried */
static bool user_reset(struct fake *f, int ret, bool tried)
{
	KUNIT_ASSERT_EQ(f->test, vfio_pci_mig_user_reset_begin(f->mdev->fsm), 0);
	/* No arc overlaps it. */
	KUNIT_EXPECT_TRUE(f->test, mutex_is_locked(&f->mdev->fsm->lock));
	if (tried) {
		vfio_pci_mig_reset_prepare(f->mdev);
		vfio_pci_mig_reset_done(f->mdev);
	}
	return vfio_pci_mig_user_reset_end(f->mdev->fsm, ret);
}

/* A reset that succeeds leaves RUNNING, and its user need not be told. */
static void reset_by_user(struct kunit *test)
{
	const u8 from = *(const u8 *)test->param_value;
	struct fake *f = test->priv;

	begin(f, from);
	KUNIT_EXPECT_FALSE(test, user_reset(f, 0, true));
	KUNIT_EXPECT_EQ(test, state(f), S(RUNNING));
	close_file(f);
	EXPECT_LOG(f, "reset");
	EXPECT_SET(f, S(STOP), 0, S(STOP), "drain stop");
}

/* One that fails after it began leaves the device unknown; one that never began changes nothing. */
static void reset_by_user_fails(struct kunit *test)
{
	const u8 from = *(const u8 *)test->param_value;
	struct fake *f = test->priv;

	begin(f, from);
	KUNIT_EXPECT_FALSE(test, user_reset(f, -EAGAIN, false));
	KUNIT_EXPECT_EQ(test, state(f), from);
	EXPECT_LOG(f, "");

	KUNIT_EXPECT_FALSE(test, user_reset(f, -ENOTTY, true));
	KUNIT_EXPECT_EQ(test, state(f), S(ERROR));
	if (f->file)
		KUNIT_EXPECT_TRUE(test, dead(f));
	close_file(f);
	KUNIT_EXPECT_FALSE(test, user_reset(f, 0, true));
	KUNIT_EXPECT_EQ(test, state(f), S(RUNNING));
}

/* A reset from outside is not taken for the user's own, which did not happen. */
static void reset_unasked_before_users(struct kunit *test)
{
	struct fake *f = test->priv;

	begin(f, S(STOP));
	reset_device(f);
	KUNIT_EXPECT_FALSE(test, user_reset(f, -EAGAIN, false));
	EXPECT_SET(f, S(STOP), -EBUSY, S(RUNNING), "reset");
}

/* The back end makes the user wait, and reset again if what it waits for came in between. */
static void reset_blocked(struct kunit *test)
{
	struct fake *f = test->priv;

	begin(f, S(STOP));
	f->blocked = 3;
	KUNIT_ASSERT_EQ(test, vfio_pci_mig_user_reset_begin(f->mdev->fsm), 0);
	KUNIT_EXPECT_EQ(test, f->blocked, 0);
	vfio_pci_mig_reset_prepare(f->mdev);
	vfio_pci_mig_reset_done(f->mdev);
	f->blocked = 1;
	KUNIT_EXPECT_TRUE(test, vfio_pci_mig_user_reset_end(f->mdev->fsm, 0));
	KUNIT_EXPECT_EQ(test, state(f), S(RUNNING));

	/* If that never ends nothing is done to the device. */
	begin(f, S(STOP));
	f->blocked = UINT_MAX;
	KUNIT_EXPECT_EQ(test, vfio_pci_mig_user_reset_begin(f->mdev->fsm), -ETIMEDOUT);
	f->blocked = 0;
	KUNIT_EXPECT_EQ(test, state(f), S(STOP));
	EXPECT_LOG(f, "");
}

/* A second one does not make the first forgotten, although the device was RUNNING by then. */
static void reset_unasked_twice(struct kunit *test)
{
	const u8 from = *(const u8 *)test->param_value;
	struct fake *f = test->priv;

	begin(f, from);
	reset_device(f);
	data_size(f);
	reset_device(f);
	close_file(f);
	EXPECT_LOG(f, "reset");
	if (surprising(from))
		EXPECT_SET(f, S(STOP), -EBUSY, S(RUNNING), "reset");
	EXPECT_SET(f, S(STOP), 0, S(STOP), surprising(from) ? "drain stop" : "reset drain stop");
}

/* Nor does one that comes while another is completed get lost. */
static void reset_in_reset(struct kunit *test)
{
	struct fake *f = test->priv;

	begin(f, S(STOP));
	go_wrong(f, "reset", 0, false, true);
	reset_device(f);
	KUNIT_EXPECT_EQ(test, state(f), S(RUNNING));
	EXPECT_LOG(f, "reset");
	all_well(f);
	EXPECT_SET(f, S(STOP), -EBUSY, S(RUNNING), "reset");
	EXPECT_SET(f, S(STOP), 0, S(STOP), "drain stop");
}

/* An arc after a reset that nobody has completed yet is one of a state that is no more. */
static void reset_before_arc(struct kunit *test)
{
	struct fake *f = test->priv;

	begin(f, S(RUNNING));
	go_wrong(f, "reset", 0, false, true);
	reset_device(f);
	EXPECT_SET(f, S(PRE_COPY), -EBUSY, S(RUNNING), "reset reset");
	all_well(f);
	EXPECT_SET(f, S(PRE_COPY), 0, S(PRE_COPY), "reset precopy file");
	EXPECT_SET(f, S(STOP_COPY), 0, S(STOP_COPY), "drain stop save13");
}

/* Between its beginning and its end nothing is tried. */
static void reset_begun(struct kunit *test)
{
	struct fake *f = test->priv;

	begin(f, S(STOP));
	vfio_pci_mig_reset_prepare(f->mdev);
	EXPECT_SET(f, S(RUNNING), -EBUSY, S(STOP), "");
	vfio_pci_mig_reset_done(f->mdev);
	EXPECT_SET(f, S(STOP_COPY), -EBUSY, S(RUNNING), "reset");

	begin(f, S(RESUMING));
	vfio_pci_mig_reset_prepare(f->mdev);
	KUNIT_EXPECT_EQ(test, write_until(f, STREAM_LEN, STREAM_LEN), -EBUSY);
	vfio_pci_mig_reset_done(f->mdev);
	EXPECT_SET(f, S(STOP), -EBUSY, S(RUNNING), "reset end");
}

/* Nor when it began before the device was opened. */
static void reset_begun_before_open(struct kunit *test)
{
	struct fake *f = test->priv;

	vfio_pci_mig_fsm_close(f->mdev);
	all_well(f);
	vfio_pci_mig_reset_prepare(f->mdev);
	KUNIT_ASSERT_EQ(test, open_device(f), 0);
	EXPECT_SET(f, S(STOP), -EBUSY, S(RUNNING), "open reset");
	vfio_pci_mig_reset_done(f->mdev);
	EXPECT_SET(f, S(STOP), 0, S(STOP), "reset drain stop");
}

/* A device that is only passed through has resets too. */
static void reset_without_fsm(struct kunit *test)
{
	struct vfio_pci_mig_device *mdev = kunit_kzalloc(test, sizeof(*mdev), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, mdev);
	vfio_pci_mig_reset_prepare(mdev);
	vfio_pci_mig_reset_done(mdev);
	vfio_pci_mig_release_device(mdev);
	KUNIT_EXPECT_NULL(test, mdev->fsm);
}

/* Data files, read and written in pieces of each of these sizes */

static const size_t chunks[] = { 1, 2, 3, 7, 12, 13, 14, 49, 50, 51, PAGE_SIZE };

static void chunk_desc(const size_t *chunk, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "by %zu", *chunk);
}

KUNIT_ARRAY_PARAM(chunk, chunks, chunk_desc);

static void read_pieces(struct kunit *test)
{
	const size_t chunk = *(const size_t *)test->param_value;
	struct fake *f = test->priv;
	ssize_t len;

	begin(f, S(PRE_COPY));
	while (f->pos < PRECOPY_LEN) {
		KUNIT_EXPECT_EQ(test, precopy_bytes(f), PRECOPY_LEN - f->pos);
		KUNIT_EXPECT_EQ(test, data_size(f), STREAM_MAX - f->pos);
		len = min(chunk, PRECOPY_LEN - f->pos);
		KUNIT_ASSERT_EQ(test, read_some(f, chunk), len);
	}
	KUNIT_EXPECT_EQ(test, read_some(f, chunk), -ENOMSG);
	KUNIT_EXPECT_EQ(test, set_state(f, S(PRE_COPY_P2P)), 0);
	KUNIT_EXPECT_EQ(test, read_some(f, chunk), -ENOMSG);
	KUNIT_EXPECT_EQ(test, precopy_bytes(f), 0);
	KUNIT_EXPECT_EQ(test, data_size(f), STREAM_MAX - PRECOPY_LEN);

	KUNIT_EXPECT_EQ(test, set_state(f, S(STOP_COPY)), 0);
	KUNIT_EXPECT_EQ(test, precopy_bytes(f), -EINVAL);
	while (f->pos < STREAM_LEN) {
		KUNIT_EXPECT_EQ(test, data_size(f), STREAM_LEN - f->pos);
		len = min(chunk, STREAM_LEN - f->pos);
		KUNIT_ASSERT_EQ(test, read_some(f, chunk), len);
	}
	KUNIT_EXPECT_EQ(test, read_some(f, chunk), 0);
	KUNIT_EXPECT_EQ(test, read_some(f, chunk), 0);
	KUNIT_EXPECT_EQ(test, data_size(f), STREAM_MAX);

	KUNIT_EXPECT_EQ(test, set_state(f, S(STOP)), 0);
	KUNIT_EXPECT_EQ(test, read_some(f, chunk), -ENODEV);
	KUNIT_EXPECT_EQ(test, precopy_bytes(f), -EINVAL);
}

/* What PRE_COPY left is read together with what STOP_COPY adds; a bad address costs nothing. */
static void read_across(struct kunit *test)
{
	struct fake *f = test->priv;

	begin(f, S(PRE_COPY));
	KUNIT_EXPECT_EQ(test, read_some(f, 5), 5);
	KUNIT_EXPECT_EQ(test, sys_read(f, f->ubuf + PAGE_SIZE, 5), -EFAULT);
	KUNIT_EXPECT_EQ(test, precopy_bytes(f), PRECOPY_LEN - 5);
	KUNIT_EXPECT_EQ(test, set_state(f, S(STOP_COPY)), 0);
	KUNIT_EXPECT_EQ(test, data_size(f), STREAM_LEN - 5);
	KUNIT_EXPECT_EQ(test, read_some(f, PAGE_SIZE), STREAM_LEN - 5);
	KUNIT_EXPECT_EQ(test, read_some(f, 1), 0);
}

static void write_pieces(struct kunit *test)
{
	const size_t chunk = *(const size_t *)test->param_value;
	struct fake *f = test->priv;

	begin(f, S(RESUMING));
	KUNIT_EXPECT_EQ(test, write_until(f, STREAM_LEN, chunk), 0);
	KUNIT_EXPECT_EQ(test, data_size(f), STREAM_MAX);
	EXPECT_SET(f, S(STOP), 0, S(STOP), "load4 load13 load50 check end");
}

/* A stream may end where the back end says, and nowhere else; then it may still go on. */
static void write_incomplete(struct kunit *test)
{
	struct fake *f = test->priv;
	size_t len;

	for (len = 0; len <= STREAM_LEN; len++) {
		bool complete = len == PRECOPY_LEN || len == STREAM_LEN;

		begin(f, S(RESUMING));
		KUNIT_EXPECT_EQ(test, write_until(f, len, STREAM_LEN), 0);
		if (!complete)
			KUNIT_EXPECT_EQ_MSG(test, set_state(f, S(STOP)), -EINVAL, "%zu", len);
		if (!complete)
			KUNIT_EXPECT_EQ(test, write_until(f, STREAM_LEN, STREAM_LEN), 0);
		KUNIT_EXPECT_EQ_MSG(test, set_state(f, S(STOP)), 0, "%zu", len);
	}
}

/* One byte too many, alone or with all the others: the stream is refused for good. */
static void write_too_long(struct kunit *test)
{
	struct fake *f = test->priv;
	int together;

	for (together = 0; together < 2; together++) {
		begin(f, S(RESUMING));
		if (!together)
			KUNIT_EXPECT_EQ(test, write_until(f, STREAM_LEN, STREAM_LEN), 0);
		KUNIT_EXPECT_EQ(test, write_some(f, STREAM_LEN + 1 - f->pos), -ENOSPC);
		EXPECT_SET(f, S(STOP), -ENOSPC, S(RESUMING), "load4 load13 load50");
	}
}

/* A buffer that ends within the third piece: two were taken, and it goes on from there. */
static void write_bad_address(struct kunit *test)
{
	struct fake *f = test->priv;
	char __user *last;

	begin(f, S(RESUMING));
	last = f->ubuf + PAGE_SIZE - 20;
	KUNIT_EXPECT_EQ(test, copy_to_user(last, f->stream, 20), 0);
	KUNIT_EXPECT_EQ(test, sys_write(f, last, STREAM_LEN), PRECOPY_LEN);
	KUNIT_EXPECT_EQ(test, sys_write(f, last + 20, 1), -EFAULT);
	f->pos = PRECOPY_LEN;
	KUNIT_EXPECT_EQ(test, write_until(f, STREAM_LEN, STREAM_LEN), 0);
	EXPECT_SET(f, S(STOP), 0, S(STOP), "load4 load13 load50 check end");
}

/* Lifetimes */

static bool has_file(u8 s)
{
	return s == S(STOP_COPY) || s == S(RESUMING) || s == S(PRE_COPY) || s == S(PRE_COPY_P2P);
}

/* A user closes the device in any state; the next one finds it RUNNING, whatever he left open. */
static void reopen(struct kunit *test)
{
	const u8 from = *(const u8 *)test->param_value;
	struct fake *f = test->priv;

	begin(f, from);
	KUNIT_EXPECT_EQ(test, references(f), 1 + has_file(from));
	vfio_pci_mig_fsm_close(f->mdev);
	EXPECT_LOG(f, "close");
	/* For all that anybody knows of a closed device. */
	reset_device(f);
	if (f->file)
		KUNIT_EXPECT_TRUE(test, dead(f));

	go_wrong(f, "open", ERRNO, false, false);
	KUNIT_EXPECT_EQ(test, open_device(f), ERRNO);
	EXPECT_LOG(f, "open");

	all_well(f);
	KUNIT_EXPECT_EQ(test, open_device(f), 0);
	KUNIT_EXPECT_EQ(test, state(f), S(RUNNING));
	close_file(f);
	EXPECT_SET(f, S(STOP), 0, S(STOP), "open reset drain stop");
}

/* A data file outlives its device, and is the last to know the state machine. */
static void file_outlives_device(struct kunit *test)
{
	const u8 from = *(const u8 *)test->param_value;
	struct fake *f = test->priv;

	begin(f, from);
	release_device(f);
	if (!f->file)
		return;
	if (from == S(RESUMING)) {
		KUNIT_EXPECT_EQ(test, write_some(f, 1), -ENODEV);
		KUNIT_EXPECT_EQ(test, write_some(f, STREAM_LEN), -ENODEV);
	} else {
		KUNIT_EXPECT_EQ(test, read_some(f, 1), -ENODEV);
		KUNIT_EXPECT_EQ(test, precopy_bytes(f), -EINVAL);
	}
}

/* The session outlives its file. */
static void session_outlives_file(struct kunit *test)
{
	const u8 from = *(const u8 *)test->param_value;
	struct fake *f = test->priv;
	u32 to;

	for (to = 0; to < S(NR); to++) {
		begin(f, from);
		close_file(f);
		KUNIT_EXPECT_EQ(test, references(f), 1 + has_file(from));
		/* Nobody completes a stream any more. */
		KUNIT_EXPECT_EQ_MSG(test, set_state(f, to),
				    from == S(ERROR) ? -EIO : !sets[from][to] ? -EINVAL :
				    from == S(RESUMING) && to != from ? -EINVAL : 0, "to %u", to);
		reset_device(f);
		KUNIT_EXPECT_EQ(test, state(f), S(RUNNING));
		close_file(f);
		KUNIT_EXPECT_EQ(test, references(f), 1);
	}
}

/* The file of an old session has no part in a new one. */
static void two_sessions(struct kunit *test)
{
	struct fake *f = test->priv;
	struct file *old;

	begin(f, S(STOP_COPY));
	old = f->file;
	f->file = NULL;
	KUNIT_EXPECT_EQ(test, set_state(f, S(STOP)), 0);
	KUNIT_EXPECT_EQ(test, set_state(f, S(STOP_COPY)), 0);
	KUNIT_EXPECT_EQ(test, references(f), 3);
	KUNIT_EXPECT_EQ(test, read_some(f, 10), 10);
	KUNIT_EXPECT_EQ(test, old->f_op->read(old, f->ubuf, 10, NULL), -ENODEV);
	__fput_sync(old);
	KUNIT_EXPECT_EQ(test, references(f), 2);
	KUNIT_EXPECT_EQ(test, data_size(f), STREAM_LEN - 10);
	KUNIT_EXPECT_EQ(test, read_some(f, PAGE_SIZE), STREAM_LEN - 10);
}

/* Mappings */

static vm_fault_t fake_fault(struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

static const struct vm_operations_struct fake_vm_ops = { .fault = fake_fault };
static const struct vm_operations_struct other_vm_ops = { .fault = fake_fault };
static const struct vm_operations_struct no_fault_ops = { };

/* A mapping of BAR 0 as vfio-pci makes it */
static struct vm_area_struct *fake_vma(struct fake *f)
{
	struct vm_area_struct *vma = kunit_kzalloc(f->test, sizeof(*vma), GFP_KERNEL);
	struct file *file = kunit_kzalloc(f->test, sizeof(*file), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(f->test, vma);
	KUNIT_ASSERT_NOT_NULL(f->test, file);
	file->f_mapping = f->mdev->core.vdev.inode->i_mapping;
	vma->vm_file = file;
	vma->vm_ops = &fake_vm_ops;
	vma->vm_private_data = &f->mdev->core;
	return vma;
}

static void map_expected(struct kunit *test)
{
	const u8 from = *(const u8 *)test->param_value;
	struct fake *f = test->priv;
	struct vm_area_struct *vma = fake_vma(f);

	begin(f, from);
	KUNIT_EXPECT_EQ(test, vfio_pci_mig_gate_adopt(f->mdev, vma), 0);
	KUNIT_EXPECT_PTR_NE(test, vma->vm_ops, &fake_vm_ops);
	KUNIT_EXPECT_FALSE(test, f->mdev->fsm->unguarded);
}

/* A mapping that the gate cannot close ends migration, and is refused while the gate is closed. */
static void map_unexpected(struct kunit *test)
{
	const int way = *(const int *)test->param_value;
	struct fake *f = test->priv;
	struct vm_area_struct *vma = fake_vma(f);

	KUNIT_ASSERT_EQ(test, vfio_pci_mig_gate_adopt(f->mdev, fake_vma(f)), 0);
	switch (way) {
	case 0:
		vma->vm_private_data = f;
		break;
	case 1:
		vma->vm_ops = NULL;
		break;
	case 2:
		vma->vm_ops = &no_fault_ops;
		break;
	case 3:
		vma->vm_ops = &other_vm_ops;
		break;
	case 4:
		vma->vm_file->f_mapping = NULL;
		break;
	case 5:
		vma->vm_pgoff = VFIO_PCI_INDEX_TO_OFFSET(VFIO_PCI_NUM_REGIONS) >> PAGE_SHIFT;
		break;
	}
	begin(f, S(STOP));
	KUNIT_EXPECT_EQ(test, vfio_pci_mig_gate_adopt(f->mdev, vma), -EBUSY);
	EXPECT_SET(f, S(RUNNING), 0, S(RUNNING), "check start");

	KUNIT_EXPECT_EQ(test, vfio_pci_mig_gate_adopt(f->mdev, vma), 0);
	KUNIT_EXPECT_EQ(test, f->mdev->core.vdev.migration_flags, 0);
	KUNIT_EXPECT_STREQ(test, f->mdev->reason.name, "mapping");
	EXPECT_SET(f, S(STOP), -EOPNOTSUPP, S(RUNNING), "");
	EXPECT_SET(f, S(PRE_COPY), -EOPNOTSUPP, S(RUNNING), "");
}

static const int ways[] = { 0, 1, 2, 3, 4, 5 };

static void way_desc(const int *way, char *desc)
{
	static const char *const names[] = {
		"private data", "no operations", "no fault handler", "other operations",
		"other address space", "other region",
	};

	strscpy(desc, names[*way], KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(way, ways, way_desc);

/* The device, as a driver makes it */

static int fake_init_device(struct vfio_device *vdev)
{
	return vfio_pci_core_init_dev(vdev) ?:
	       vfio_pci_mig_init_device(vfio_pci_mig_device(vdev), &fake_ops);
}

static void fake_release_device(struct vfio_device *vdev)
{
	vfio_pci_mig_release_device(vfio_pci_mig_device(vdev));
	vfio_pci_core_release_dev(vdev);
}

static const struct vfio_device_ops fake_vfio_ops = {
	.name = "vfio-pci-mig-kunit",
	.init = fake_init_device,
	.release = fake_release_device,
};

static void release_nothing(struct device *dev)
{
}

static int fake_init(struct kunit *test)
{
	struct fake *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	struct fake_device *fd;
	size_t i;

	KUNIT_ASSERT_NOT_NULL(test, f);
	f->test = test;
	for (i = 0; i < sizeof(f->stream); i++)
		f->stream[i] = 7 * i + 1;
	INIT_WORK(&f->resetter, reset_work);
	init_completion(&f->reset_over);
	spin_lock_init(&f->atomic);
	f->ubuf = (char __user *)kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
					       MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL((void __force *)f->ubuf));

	device_initialize(&f->pdev.dev);
	dev_set_name(&f->pdev.dev, "vfio-pci-mig-kunit");
	f->pdev.dev.release = release_nothing;
	pm_runtime_set_active(&f->pdev.dev);
	pm_runtime_no_callbacks(&f->pdev.dev);
	pm_runtime_enable(&f->pdev.dev);
	test->priv = f;

	fd = vfio_alloc_device(fake_device, mig.core.vdev, &f->pdev.dev, &fake_vfio_ops);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, fd);
	fd->fake = f;
	f->mdev = &fd->mig;
	return open_device(f);
}

static void fake_exit(struct kunit *test)
{
	struct fake *f = test->priv;

	if (!f)
		return;
	flush_work(&f->resetter);
	close_file(f);
	f->at = NULL;
	if (f->mdev)
		release_device(f);
	pm_runtime_disable(&f->pdev.dev);
	put_device(&f->pdev.dev);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(arcs, state_gen_params),
	KUNIT_CASE_PARAM(outcome_unchanged, moment_gen_params),
	KUNIT_CASE_PARAM(outcome_broken, moment_gen_params),
	KUNIT_CASE_PARAM(outcome_reset, moment_gen_params),
	KUNIT_CASE_PARAM(reset_unasked, state_gen_params),
	KUNIT_CASE_PARAM(reset_unasked_twice, state_gen_params),
	KUNIT_CASE_PARAM(reset_opens, state_gen_params),
	KUNIT_CASE_PARAM(reset_by_user, state_gen_params),
	KUNIT_CASE_PARAM(reset_by_user_fails, state_gen_params),
	KUNIT_CASE(reset_unasked_before_users),
	KUNIT_CASE_SLOW(reset_blocked),
	KUNIT_CASE(reset_in_reset),
	KUNIT_CASE(reset_before_arc),
	KUNIT_CASE(reset_begun),
	KUNIT_CASE(reset_begun_before_open),
	KUNIT_CASE(reset_without_fsm),
	KUNIT_CASE_PARAM(read_pieces, chunk_gen_params),
	KUNIT_CASE(read_across),
	KUNIT_CASE_PARAM(write_pieces, chunk_gen_params),
	KUNIT_CASE(write_incomplete),
	KUNIT_CASE(write_too_long),
	KUNIT_CASE(write_bad_address),
	KUNIT_CASE_PARAM(reopen, state_gen_params),
	KUNIT_CASE_PARAM(file_outlives_device, state_gen_params),
	KUNIT_CASE_PARAM(session_outlives_file, state_gen_params),
	KUNIT_CASE(two_sessions),
	KUNIT_CASE_PARAM(map_expected, state_gen_params),
	KUNIT_CASE_PARAM(map_unexpected, way_gen_params),
	{}
};

static struct kunit_suite suite = {
	.name = "vfio-pci-mig",
	.init = fake_init,
	.exit = fake_exit,
	.test_cases = cases,
};

kunit_test_suite(suite);

MODULE_IMPORT_NS(VFIO_PCI_MIG_KUNIT_NS);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("KUnit tests of the migration core for vfio-pci variant drivers");
