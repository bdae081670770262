// SPDX-License-Identifier: GPL-2.0-only
/*
 * accload - endless, self-checking work for accelerators
 *
 * A lane owns one chain of jobs: make up data that no earlier round had, let the accelerator work
 * on it, let it undo that or do it another way, compare byte by byte, start over. Several
 * transforms (each with its own pair of hardware queues) with several lanes each keep many jobs in
 * flight. What the jobs are is a matter of the kind of accelerator, see accload_*.c; each kind has
 * lanes and counters of its own.
 *
 * Every job has a number and an owner, so a job that never completes, completes twice, or was
 * quietly done in software is told apart from one that went well:
 *
 *	submitted	accepted by the driver (it said -EINPROGRESS)
 *	completed	called back, once, for a job that was out
 *	errors		completed with an error
 *	mismatches	completed with wrong data
 *	duplicates	called back for a job that was not out
 *	software	done inside the submitting call: no hardware works like that
 *	refused		not accepted for another reason than full queues
 *	hung		out for longer than hang_seconds of guest time
 *	lost		still out when stopping gave up waiting
 *
 * Nothing is ever freed and the module stays: the device may still write to what a lost job lent
 * it, and a guest in which the work cannot begin is of no use.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/prandom.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "accload.h"

/* Entries begin on their own cache lines, as the DMA API asks of memory a device writes. */
#define ACC_ALIGN	128
/* Beyond the memory that was lent to the device: must come back untouched. */
#define ACC_GUARD	64
#define ACC_POISON	0xa5
#define ACC_RETRY	msecs_to_jiffies(10)
#define ACC_WATCH	(10 * HZ)

/* What a kind begins to work with */
static unsigned int tfms = 4;
module_param(tfms, uint, 0644);
MODULE_PARM_DESC(tfms, "transforms, each with queues of its own (default 4)");

static unsigned int depth = 8;
module_param(depth, uint, 0644);
MODULE_PARM_DESC(depth, "most lanes, that is jobs in flight, of each transform (default 8)");

static unsigned int size = 4096;
module_param(size, uint, 0644);
MODULE_PARM_DESC(size, "most bytes of plain data in one job (default 4096)");

static unsigned int hang_seconds = 120;
module_param(hang_seconds, uint, 0644);
MODULE_PARM_DESC(hang_seconds, "guest time after which a job counts as hung (default 120)");

static const char * const acc_names[ACC_COUNTERS] = {
	[ACC_SUBMITTED]		= "submitted",
	[ACC_COMPLETED]		= "completed",
	[ACC_ERRORS]		= "errors",
	[ACC_MISMATCHES]	= "mismatches",
	[ACC_DUPLICATES]	= "duplicates",
	[ACC_SOFTWARE]		= "software",
	[ACC_REFUSED]		= "refused",
	[ACC_BUSY]		= "busy",
	[ACC_HUNG]		= "hung",
	[ACC_LOST]		= "lost",
	[ACC_ROUNDS]		= "rounds",
	[ACC_BYTES]		= "bytes",
};

static void acc_count(struct acc_kind *kind, enum acc_counter c, u64 n)
{
	unsigned long flags;

	spin_lock_irqsave(&kind->lock, flags);
	kind->count[c] += n;
	spin_unlock_irqrestore(&kind->lock, flags);
}

static u64 acc_get(struct acc_kind *kind, enum acc_counter c)
{
	unsigned long flags;
	u64 n;

	spin_lock_irqsave(&kind->lock, flags);
	n = kind->count[c];
	spin_unlock_irqrestore(&kind->lock, flags);
	return n;
}

static void acc_seed(struct rnd_state *rnd, u64 seed)
{
	prandom_seed_state(rnd, seed * 0x9e3779b97f4a7c15ULL);
}

void acc_random(u8 *buf, unsigned int len, u64 seed)
{
	struct rnd_state rnd;

	acc_seed(&rnd, seed);
	prandom_bytes_state(&rnd, buf, len);
}

/* Literals, runs and repeats of earlier text: work for deflate, different in every round. */
void acc_fill(u8 *buf, unsigned int len, u64 seed)
{
	unsigned int pos = 0, n, back;
	struct rnd_state rnd;
	u32 r;

	acc_seed(&rnd, seed);
	while (pos < len) {
		r = prandom_u32_state(&rnd);
		n = min(len - pos, 4 + (r >> 8) % 60);
		switch (r & 3) {
		case 0:
			prandom_bytes_state(&rnd, buf + pos, n);
			break;
		case 1:
			memset(buf + pos, r >> 24, n);
			break;
		default:
			back = pos ? 1 + (r >> 16) % pos : 0;
			n = min(n, back);
			if (n)
				memcpy(buf + pos, buf + pos - back, n);
			else
				buf[pos + n++] = r >> 24;
			break;
		}
		pos += n;
	}
}

/* Spreads @len bytes of @buf over up to @segs entries. */
static void acc_sg(struct scatterlist *sg, u8 *buf, unsigned int len, unsigned int segs)
{
	unsigned int part, i;

	segs = min(segs, DIV_ROUND_UP(len, ACC_ALIGN));
	part = round_up(DIV_ROUND_UP(len, segs), ACC_ALIGN);
	segs = DIV_ROUND_UP(len, part);

	sg_init_table(sg, segs);
	for (i = 0; i < segs; i++) {
		sg_set_buf(&sg[i], buf + i * part, min(part, len));
		len -= min(part, len);
	}
}

/* Sets up a job's scatterlists, cut differently from round to round. @src may be NULL. */
void acc_lend(struct acc_job *job, u8 *src, unsigned int slen, u8 *dst, unsigned int room)
{
	struct acc_lane *lane = job->lane;
	unsigned int segs = lane->tfm->work->segs;
	unsigned int cut = lane->round;

	if (src)
		acc_sg(job->src, src, slen, 1 + cut % segs);
	acc_sg(job->dst, dst, room, 1 + cut / segs % segs);
	memset(dst, ACC_POISON, lane->tfm->kind->room + ACC_GUARD);
	job->out = dst;
	job->room = room;
}

/* What lies in the room but behind the result is the device's business; what is behind is not. */
static bool acc_guarded(struct acc_job *job)
{
	return !memchr_inv(job->out + job->room, ACC_POISON,
			   job->lane->tfm->kind->room + ACC_GUARD - job->room);
}

/* The completion of all requests */
void acc_done(void *data, int err)
{
	struct acc_job *job = data;
	struct acc_kind *kind = job->lane->tfm->kind;
	unsigned long flags;
	ktime_t now;

	/* A backlogged request reports that it was started; none is backlogged here. */
	if (err == -EINPROGRESS)
		return;

	if (!atomic64_xchg(&job->number, 0)) {
		acc_count(kind, ACC_DUPLICATES, 1);
		return;
	}
	job->err = err;

	now = ktime_get();
	spin_lock_irqsave(&kind->lock, flags);
	kind->count[ACC_COMPLETED]++;
	kind->gap_ms = max(kind->gap_ms, ktime_ms_delta(now, kind->last));
	kind->last = now;
	spin_unlock_irqrestore(&kind->lock, flags);

	queue_delayed_work(kind->wq, &job->lane->work, 0);
}

/* Returns false when the lane has to try again later. */
static bool acc_submit(struct acc_lane *lane)
{
	struct acc_job *job = &lane->job[lane->step];
	struct acc_kind *kind = lane->tfm->kind;
	int err;

	job->reported = false;
	job->since = ktime_get();
	atomic64_set(&job->number, atomic64_inc_return(&kind->seq));
	/* Counted before: the completion may come before the call returns. */
	acc_count(kind, ACC_SUBMITTED, 1);

	err = lane->tfm->work->submit(lane, job);
	if (err == -EINPROGRESS)
		return true;

	atomic64_set(&job->number, 0);
	acc_count(kind, ACC_SUBMITTED, -1);
	if (err == -EAGAIN || err == -EBUSY || err == -ENOSPC) {
		acc_count(kind, ACC_BUSY, 1);
		return false;
	}
	acc_count(kind, err ? ACC_REFUSED : ACC_SOFTWARE, 1);
	pr_err_ratelimited("%s: %s, step %u, %u bytes: %d instead of a job\n", kind->name,
			   lane->tfm->work->driver, lane->step, lane->len, err);
	return false;
}

static bool acc_begin(struct acc_lane *lane)
{
	struct acc_kind *kind = lane->tfm->kind;

	lane->step = 0;
	lane->round = atomic64_inc_return(&kind->seq);
	lane->len = 64 + (lane->round * 2654435761U >> 8) % (kind->size - 63);
	if (lane->tfm->work->begin(lane)) {
		acc_count(kind, ACC_REFUSED, 1);
		return false;
	}
	return acc_submit(lane);
}

/* Takes over the result of the job that came back; true if it may be built upon. */
static bool acc_check(struct acc_lane *lane)
{
	struct acc_job *job = &lane->job[lane->step];
	struct acc_kind *kind = lane->tfm->kind;

	if (job->err == job->expected && lane->tfm->work->check(lane, job) && acc_guarded(job))
		return true;
	/* To find nothing wrong where something is counts as wrong data. */
	acc_count(kind, job->err && job->err != job->expected ? ACC_ERRORS : ACC_MISMATCHES, 1);
	return false;
}

static void acc_work(struct work_struct *work)
{
	struct acc_lane *lane = container_of(to_delayed_work(work), struct acc_lane, work);
	struct acc_kind *kind = lane->tfm->kind;
	bool last = lane->step == lane->tfm->work->steps - 1;
	bool good = lane->round && acc_check(lane);

	if (good && last) {
		acc_count(kind, ACC_ROUNDS, 1);
		acc_count(kind, ACC_BYTES, lane->len);
	}

	if (READ_ONCE(kind->stopping)) {
		if (atomic_dec_and_test(&kind->running))
			wake_up_all(&kind->idle);
		return;
	}

	if (good && !last) {
		lane->step++;
		if (acc_submit(lane))
			return;
	} else if (acc_begin(lane)) {
		return;
	}

	/* Nothing is out: begin a new round after a breath. */
	lane->round = 0;
	queue_delayed_work(kind->wq, &lane->work, ACC_RETRY);
}

/* Looks for jobs that are out for too long; returns how many are out at all. */
static unsigned int acc_look(struct acc_kind *kind)
{
	unsigned int i, step, out = 0;
	struct acc_job *job;
	s64 number, age;

	for (i = 0; i < kind->lanes; i++) {
		for (step = 0; step < ACC_STEPS; step++) {
			job = &kind->lane[i].job[step];
			number = atomic64_read(&job->number);
			if (!number)
				continue;
			out++;
			age = ktime_ms_delta(ktime_get(), job->since);
			if (job->reported || age < (s64)hang_seconds * MSEC_PER_SEC)
				continue;
			job->reported = true;
			acc_count(kind, ACC_HUNG, 1);
			pr_err("%s: job %lld (%s, step %u) of lane %u is out for %lld ms\n",
			       kind->name, number, kind->lane[i].tfm->work->driver, step, i, age);
		}
	}
	return out;
}

static void acc_watch(struct work_struct *work)
{
	struct acc_kind *kind = container_of(to_delayed_work(work), struct acc_kind, watch);

	acc_look(kind);
	queue_delayed_work(kind->wq, &kind->watch, ACC_WATCH);
}

static int acc_lane_init(struct acc_lane *lane)
{
	struct acc_kind *kind = lane->tfm->kind;
	unsigned int i;

	INIT_DELAYED_WORK(&lane->work, acc_work);
	for (i = 0; i < ACC_BUFS; i++) {
		lane->buf[i] = kmalloc(kind->room + ACC_GUARD, GFP_KERNEL);
		if (!lane->buf[i])
			return -ENOMEM;
	}
	for (i = 0; i < ACC_STEPS; i++)
		lane->job[i].lane = lane;
	return lane->tfm->work->equip(lane);
}

static int acc_prepare(struct acc_kind *kind)
{
	unsigned int i, lanes;
	int err;

	if (!tfms || tfms > 1024 || !depth || depth > 64 || size < 64 || size > SZ_64K) {
		pr_err("tfms goes from 1 to 1024, depth from 1 to 64, size from 64 to 65536\n");
		return -EINVAL;
	}

	spin_lock_init(&kind->lock);
	init_waitqueue_head(&kind->idle);
	INIT_DELAYED_WORK(&kind->watch, acc_watch);
	kind->size = min(size, kind->max_room ?: size);
	/* Data that does not compress grows a little, and authentication adds to it. */
	kind->room = kind->max_room ?: round_up(size + size / 8, ACC_ALIGN) + ACC_ALIGN;

	lanes = tfms * min(depth, kind->max_depth ?: depth);
	kind->wq = alloc_workqueue("accload_%s", WQ_UNBOUND | WQ_MEM_RECLAIM, 0, kind->name);
	kind->tfm = kcalloc(tfms, sizeof(*kind->tfm), GFP_KERNEL);
	kind->lane = kcalloc(lanes, sizeof(*kind->lane), GFP_KERNEL);
	if (!kind->wq || !kind->tfm || !kind->lane)
		return -ENOMEM;

	for (i = 0; i < tfms; i++) {
		kind->tfm[i].kind = kind;
		kind->tfm[i].work = &kind->works[i % kind->nr_works];
		err = kind->tfm[i].work->open(&kind->tfm[i], i);
		if (err) {
			pr_err("%s: no %s (%d)\n", kind->name, kind->tfm[i].work->driver, err);
			return err;
		}
	}
	for (i = 0; i < lanes; i++) {
		kind->lane[i].tfm = &kind->tfm[i % tfms];
		err = acc_lane_init(&kind->lane[i]);
		if (err)
			return err;
	}
	kind->lanes = lanes;
	return 0;
}

static int acc_start(struct acc_kind *kind)
{
	unsigned int i;
	int err;

	if (kind->wq)
		return -EBUSY;
	__module_get(THIS_MODULE);
	err = acc_prepare(kind);
	if (err)
		return err;

	pr_info("%s: %u tfms, %u jobs in flight\n", kind->name, tfms, kind->lanes);
	kind->last = ktime_get();
	atomic_set(&kind->running, kind->lanes);
	for (i = 0; i < kind->lanes; i++)
		queue_delayed_work(kind->wq, &kind->lane[i].work, 0);
	queue_delayed_work(kind->wq, &kind->watch, ACC_WATCH);
	return 0;
}

static int acc_stop(struct acc_kind *kind)
{
	u64 seen, now = 0;

	if (!kind->lanes)
		return -EINVAL;
	if (kind->stopped)
		return 0;

	WRITE_ONCE(kind->stopping, true);
	/* Slow is fine, silence is not: give up only when nothing moved for hang_seconds. */
	do {
		seen = now;
		now = acc_get(kind, ACC_COMPLETED) + 1;
	} while (now != seen &&
		 !wait_event_timeout(kind->idle, !atomic_read(&kind->running), hang_seconds * HZ));

	acc_count(kind, ACC_LOST, acc_look(kind));
	kind->stopped = true;
	pr_info("%s: stopped: %llu jobs completed, %llu lost\n", kind->name,
		acc_get(kind, ACC_COMPLETED), acc_get(kind, ACC_LOST));
	return 0;
}

/* A parameter of each kind's name: write start or stop, read the counters. One call at a time. */
static int acc_set(const char *val, const struct kernel_param *kp)
{
	if (sysfs_streq(val, "start"))
		return acc_start(kp->arg);
	if (sysfs_streq(val, "stop"))
		return acc_stop(kp->arg);
	return -EINVAL;
}

static int acc_status(char *buf, const struct kernel_param *kp)
{
	struct acc_kind *kind = kp->arg;
	u64 count[ACC_COUNTERS];
	unsigned long flags;
	s64 gap;
	int i, n;

	if (!kind->lanes)
		return sysfs_emit(buf, "state=absent\n");

	spin_lock_irqsave(&kind->lock, flags);
	memcpy(count, kind->count, sizeof(count));
	gap = kind->gap_ms;
	spin_unlock_irqrestore(&kind->lock, flags);

	n = sysfs_emit(buf, "state=%s inflight=%lld max_gap_ms=%lld",
		       kind->stopped ? "stopped" : kind->stopping ? "stopping" : "running",
		       count[ACC_SUBMITTED] - count[ACC_COMPLETED], gap);
	for (i = 0; i < ACC_COUNTERS; i++)
		n += sysfs_emit_at(buf, n, " %s=%llu", acc_names[i], count[i]);
	return n + sysfs_emit_at(buf, n, "\n");
}

static const struct kernel_param_ops acc_ops = { .set = acc_set, .get = acc_status };

module_param_cb(zip, &acc_ops, &acc_zip, 0644);
MODULE_PARM_DESC(zip, "work for hisi_zip: write start or stop, read all counters, key=value");
module_param_cb(sec, &acc_ops, &acc_sec, 0644);
MODULE_PARM_DESC(sec, "work for hisi_sec2");
module_param_cb(hpre, &acc_ops, &acc_hpre, 0644);
MODULE_PARM_DESC(hpre, "work for hisi_hpre");

MODULE_DESCRIPTION("Endless, self-checking work for accelerators");
MODULE_LICENSE("GPL");
