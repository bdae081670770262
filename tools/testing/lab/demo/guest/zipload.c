// SPDX-License-Identifier: GPL-2.0-only
/*
 * zipload - endless, self-checking work for a compression accelerator
 *
 * A lane owns one chain of jobs: fill a buffer with data that no earlier round had, compress it,
 * decompress the result, compare byte by byte, start over. Several tfms (each with its own pair of
 * hardware queues) with several lanes each keep many jobs in flight.
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
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <crypto/acompress.h>
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/kstrtox.h>
#include <linux/ktime.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/prandom.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

/* Entries of one scatterlist; the driver's hardware list has room for ten. */
#define ZIPLOAD_SEGS		4
/* Entries begin on their own cache lines, as the DMA API asks of memory a device writes. */
#define ZIPLOAD_ALIGN		128
/* Beyond the memory that was lent to the device: must come back untouched. */
#define ZIPLOAD_GUARD		64
#define ZIPLOAD_POISON		0xa5
#define ZIPLOAD_RETRY		msecs_to_jiffies(10)
#define ZIPLOAD_WATCH		(10 * HZ)

static char *algorithm = "hisi-deflate-acomp";
module_param(algorithm, charp, 0444);
MODULE_PARM_DESC(algorithm, "driver name of the compressor (default hisi-deflate-acomp)");

static unsigned int tfms = 4;
module_param(tfms, uint, 0444);
MODULE_PARM_DESC(tfms, "transforms, each with queues of its own (default 4)");

static unsigned int depth = 8;
module_param(depth, uint, 0444);
MODULE_PARM_DESC(depth, "lanes, that is jobs in flight, of each transform (default 8)");

static unsigned int size = 4096;
module_param(size, uint, 0444);
MODULE_PARM_DESC(size, "most bytes of plain data in one job (default 4096)");

static unsigned int hang_seconds = 120;
module_param(hang_seconds, uint, 0644);
MODULE_PARM_DESC(hang_seconds, "guest time after which a job counts as hung (default 120)");

enum zipload_counter {
	ZL_SUBMITTED,
	ZL_COMPLETED,
	ZL_ERRORS,
	ZL_MISMATCHES,
	ZL_DUPLICATES,
	ZL_SOFTWARE,
	ZL_REFUSED,
	ZL_BUSY,
	ZL_HUNG,
	ZL_LOST,
	ZL_ROUNDS,
	ZL_BYTES,
	ZL_COUNTERS
};

static const char * const zipload_names[ZL_COUNTERS] = {
	[ZL_SUBMITTED]	= "submitted",
	[ZL_COMPLETED]	= "completed",
	[ZL_ERRORS]	= "errors",
	[ZL_MISMATCHES]	= "mismatches",
	[ZL_DUPLICATES]	= "duplicates",
	[ZL_SOFTWARE]	= "software",
	[ZL_REFUSED]	= "refused",
	[ZL_BUSY]	= "busy",
	[ZL_HUNG]	= "hung",
	[ZL_LOST]	= "lost",
	[ZL_ROUNDS]	= "rounds",
	[ZL_BYTES]	= "bytes",
};

enum zipload_step {
	ZL_COMPRESS,
	ZL_DECOMPRESS,
	ZL_STEPS
};

struct zipload_lane;

/* One kind of job of a lane; at most one of a lane's jobs is out at a time. */
struct zipload_job {
	struct zipload_lane *lane;
	struct acomp_req *req;
	struct scatterlist src[ZIPLOAD_SEGS];
	struct scatterlist dst[ZIPLOAD_SEGS];
	/* Number of the submission that is out, 0 if none is. */
	atomic64_t out;
	ktime_t since;
	bool reported;
	int err;
};

struct zipload_lane {
	struct delayed_work work;
	struct zipload_job job[ZL_STEPS];
	enum zipload_step step;
	u64 round;
	unsigned int len;
	unsigned int packed_len;
	u8 *ref;	/* what the data must be; never shown to the device */
	u8 *plain;	/* what the device compresses */
	u8 *packed;
	u8 *result;
};

static struct {
	spinlock_t lock;	/* count, last, gap_ms */
	u64 count[ZL_COUNTERS];
	ktime_t last;
	s64 gap_ms;

	struct mutex stop_lock;	/* serialises writers of "stop" */
	bool stopping;
	bool stopped;

	atomic64_t seq;
	wait_queue_head_t idle;
	atomic_t running;	/* lanes that have not come to rest */
	struct workqueue_struct *wq;
	struct crypto_acomp **tfm;
	struct zipload_lane *lane;
	unsigned int lanes;
	unsigned int room;	/* bytes of a buffer lent to the device */
} zl = {
	.lock = __SPIN_LOCK_UNLOCKED(zl.lock),
	.stop_lock = __MUTEX_INITIALIZER(zl.stop_lock),
	.idle = __WAIT_QUEUE_HEAD_INITIALIZER(zl.idle),
};

static void zipload_watch(struct work_struct *work);
static DECLARE_DELAYED_WORK(zipload_watch_work, zipload_watch);

static void zipload_count(enum zipload_counter c, u64 n)
{
	unsigned long flags;

	spin_lock_irqsave(&zl.lock, flags);
	zl.count[c] += n;
	spin_unlock_irqrestore(&zl.lock, flags);
}

static u64 zipload_get(enum zipload_counter c)
{
	unsigned long flags;
	u64 n;

	spin_lock_irqsave(&zl.lock, flags);
	n = zl.count[c];
	spin_unlock_irqrestore(&zl.lock, flags);
	return n;
}

/* Literals, runs and repeats of earlier text: work for deflate, different in every round. */
static void zipload_fill(u8 *buf, unsigned int len, u64 seed)
{
	unsigned int pos = 0, n, back;
	struct rnd_state rnd;
	u32 r;

	prandom_seed_state(&rnd, seed * 0x9e3779b97f4a7c15ULL);
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

/* What lies in the room but behind the result is the device's business; the guard is not. */
static bool zipload_guarded(const u8 *buf)
{
	return !memchr_inv(buf + zl.room, ZIPLOAD_POISON, ZIPLOAD_GUARD);
}

/* Spreads @len bytes of @buf over up to @segs entries, cut differently from round to round. */
static void zipload_sg(struct scatterlist *sg, u8 *buf, unsigned int len, unsigned int segs)
{
	unsigned int part, i;

	segs = min(segs, DIV_ROUND_UP(len, ZIPLOAD_ALIGN));
	part = round_up(DIV_ROUND_UP(len, segs), ZIPLOAD_ALIGN);
	segs = DIV_ROUND_UP(len, part);

	sg_init_table(sg, segs);
	for (i = 0; i < segs; i++) {
		sg_set_buf(&sg[i], buf + i * part, min(part, len));
		len -= min(part, len);
	}
}

static void zipload_done(void *data, int err)
{
	struct zipload_job *job = data;
	unsigned long flags;
	ktime_t now;

	/* A backlogged request reports that it was started; none is backlogged here. */
	if (err == -EINPROGRESS)
		return;

	if (!atomic64_xchg(&job->out, 0)) {
		zipload_count(ZL_DUPLICATES, 1);
		return;
	}
	job->err = err;

	now = ktime_get();
	spin_lock_irqsave(&zl.lock, flags);
	zl.count[ZL_COMPLETED]++;
	zl.gap_ms = max(zl.gap_ms, ktime_ms_delta(now, zl.last));
	zl.last = now;
	spin_unlock_irqrestore(&zl.lock, flags);

	queue_delayed_work(zl.wq, &job->lane->work, 0);
}

static void zipload_rest(void)
{
	if (atomic_dec_and_test(&zl.running))
		wake_up_all(&zl.idle);
}

/* Returns false when the lane has to try again later. */
static bool zipload_submit(struct zipload_lane *lane, u8 *src, unsigned int slen, u8 *dst)
{
	struct zipload_job *job = &lane->job[lane->step];
	unsigned int cut = lane->round;
	int err;

	memset(dst, ZIPLOAD_POISON, zl.room + ZIPLOAD_GUARD);
	zipload_sg(job->src, src, slen, 1 + cut % ZIPLOAD_SEGS);
	zipload_sg(job->dst, dst, zl.room, 1 + cut / ZIPLOAD_SEGS % ZIPLOAD_SEGS);
	acomp_request_set_callback(job->req, 0, zipload_done, job);
	acomp_request_set_params(job->req, job->src, job->dst, slen, zl.room);

	job->reported = false;
	job->since = ktime_get();
	atomic64_set(&job->out, atomic64_inc_return(&zl.seq));
	/* Counted before: the completion may come before the call returns. */
	zipload_count(ZL_SUBMITTED, 1);

	err = lane->step == ZL_COMPRESS ? crypto_acomp_compress(job->req) :
					  crypto_acomp_decompress(job->req);
	if (err == -EINPROGRESS)
		return true;

	atomic64_set(&job->out, 0);
	zipload_count(ZL_SUBMITTED, -1);
	if (err == -EAGAIN || err == -EBUSY || err == -ENOSPC)
		zipload_count(ZL_BUSY, 1);
	else
		zipload_count(err ? ZL_REFUSED : ZL_SOFTWARE, 1);
	return false;
}

static bool zipload_begin(struct zipload_lane *lane)
{
	lane->step = ZL_COMPRESS;
	lane->round = atomic64_inc_return(&zl.seq);
	lane->len = 64 + (lane->round * 2654435761U >> 8) % (size - 63);
	zipload_fill(lane->ref, lane->len, lane->round);
	memcpy(lane->plain, lane->ref, lane->len);

	return zipload_submit(lane, lane->plain, lane->len, lane->packed);
}

/* Takes over the result of the job that came back; true if it may be built upon. */
static bool zipload_check(struct zipload_lane *lane)
{
	struct zipload_job *job = &lane->job[lane->step];
	unsigned int got = job->req->dlen;
	bool good;

	if (job->err) {
		zipload_count(ZL_ERRORS, 1);
		return false;
	}

	if (lane->step == ZL_COMPRESS) {
		good = got && got <= zl.room && zipload_guarded(lane->packed);
		lane->packed_len = got;
	} else {
		good = got == lane->len && !memcmp(lane->result, lane->ref, got) &&
		       !memcmp(lane->plain, lane->ref, got) && zipload_guarded(lane->result);
	}
	if (!good)
		zipload_count(ZL_MISMATCHES, 1);
	return good;
}

static void zipload_work(struct work_struct *work)
{
	struct zipload_lane *lane = container_of(to_delayed_work(work), struct zipload_lane, work);
	bool good = lane->round && zipload_check(lane);

	if (good && lane->step == ZL_DECOMPRESS) {
		zipload_count(ZL_ROUNDS, 1);
		zipload_count(ZL_BYTES, lane->len);
	}

	if (READ_ONCE(zl.stopping)) {
		zipload_rest();
		return;
	}

	if (good && lane->step == ZL_COMPRESS) {
		lane->step = ZL_DECOMPRESS;
		if (zipload_submit(lane, lane->packed, lane->packed_len, lane->result))
			return;
	} else if (zipload_begin(lane)) {
		return;
	}

	/* Nothing is out: begin a new round after a breath. */
	lane->round = 0;
	queue_delayed_work(zl.wq, &lane->work, ZIPLOAD_RETRY);
}

/* Looks for jobs that are out for too long; returns how many are out at all. */
static unsigned int zipload_look(void)
{
	unsigned int i, step, out = 0;
	struct zipload_job *job;
	s64 seq, age;

	for (i = 0; i < zl.lanes; i++) {
		for (step = 0; step < ZL_STEPS; step++) {
			job = &zl.lane[i].job[step];
			seq = atomic64_read(&job->out);
			if (!seq)
				continue;
			out++;
			age = ktime_ms_delta(ktime_get(), job->since);
			if (job->reported || age < (s64)hang_seconds * MSEC_PER_SEC)
				continue;
			job->reported = true;
			zipload_count(ZL_HUNG, 1);
			pr_err("job %lld (%s) of lane %u is out for %lld ms\n", seq,
			       step == ZL_COMPRESS ? "compress" : "decompress", i, age);
		}
	}
	return out;
}

static void zipload_watch(struct work_struct *work)
{
	zipload_look();
	queue_delayed_work(zl.wq, &zipload_watch_work, ZIPLOAD_WATCH);
}

static void zipload_halt(void)
{
	u64 seen, now = 0;

	mutex_lock(&zl.stop_lock);
	if (zl.stopped)
		goto unlock;

	WRITE_ONCE(zl.stopping, true);
	/* Slow is fine, silence is not: give up only when nothing moved for hang_seconds. */
	do {
		seen = now;
		now = zipload_get(ZL_COMPLETED) + 1;
	} while (now != seen &&
		 !wait_event_timeout(zl.idle, !atomic_read(&zl.running), hang_seconds * HZ));

	zipload_count(ZL_LOST, zipload_look());
	zl.stopped = true;
	pr_info("stopped: %llu jobs completed, %llu lost\n", zipload_get(ZL_COMPLETED),
		zipload_get(ZL_LOST));
unlock:
	mutex_unlock(&zl.stop_lock);
}

static int zipload_status(char *buf, const struct kernel_param *kp)
{
	u64 count[ZL_COUNTERS];
	unsigned long flags;
	s64 gap;
	int i, n;

	spin_lock_irqsave(&zl.lock, flags);
	memcpy(count, zl.count, sizeof(count));
	gap = zl.gap_ms;
	spin_unlock_irqrestore(&zl.lock, flags);

	n = sysfs_emit(buf, "state=%s inflight=%lld max_gap_ms=%lld",
		       zl.stopped ? "stopped" : zl.stopping ? "stopping" : "running",
		       count[ZL_SUBMITTED] - count[ZL_COMPLETED], gap);
	for (i = 0; i < ZL_COUNTERS; i++)
		n += sysfs_emit_at(buf, n, " %s=%llu", zipload_names[i], count[i]);
	return n + sysfs_emit_at(buf, n, "\n");
}

static int zipload_stop(const char *val, const struct kernel_param *kp)
{
	bool stop;
	int err;

	err = kstrtobool(val, &stop);
	if (err)
		return err;
	if (!stop || !zl.lane)
		return -EINVAL;
	zipload_halt();
	return 0;
}

static const struct kernel_param_ops zipload_status_ops = { .get = zipload_status };
static const struct kernel_param_ops zipload_stop_ops = { .set = zipload_stop };

module_param_cb(status, &zipload_status_ops, NULL, 0444);
MODULE_PARM_DESC(status, "all counters, key=value");
module_param_cb(stop, &zipload_stop_ops, NULL, 0200);
MODULE_PARM_DESC(stop, "write 1: submit no more and wait for what is out");

static void zipload_free(void)
{
	unsigned int i, step;

	for (i = 0; zl.lane && i < zl.lanes; i++) {
		for (step = 0; step < ZL_STEPS; step++)
			acomp_request_free(zl.lane[i].job[step].req);
		kfree(zl.lane[i].ref);
		kfree(zl.lane[i].plain);
		kfree(zl.lane[i].packed);
		kfree(zl.lane[i].result);
	}
	for (i = 0; zl.tfm && i < tfms; i++)
		if (!IS_ERR_OR_NULL(zl.tfm[i]))
			crypto_free_acomp(zl.tfm[i]);
	if (zl.wq)
		destroy_workqueue(zl.wq);
	kfree(zl.lane);
	kfree(zl.tfm);
	zl.lane = NULL;
}

static int zipload_lane_init(struct zipload_lane *lane, struct crypto_acomp *tfm)
{
	unsigned int bytes = zl.room + ZIPLOAD_GUARD, step;

	INIT_DELAYED_WORK(&lane->work, zipload_work);
	lane->ref = kmalloc(bytes, GFP_KERNEL);
	lane->plain = kmalloc(bytes, GFP_KERNEL);
	lane->packed = kmalloc(bytes, GFP_KERNEL);
	lane->result = kmalloc(bytes, GFP_KERNEL);
	if (!lane->ref || !lane->plain || !lane->packed || !lane->result)
		return -ENOMEM;

	for (step = 0; step < ZL_STEPS; step++) {
		lane->job[step].lane = lane;
		lane->job[step].req = acomp_request_alloc(tfm);
		if (!lane->job[step].req)
			return -ENOMEM;
	}
	return 0;
}

static int __init zipload_init(void)
{
	unsigned int i;
	int err = -ENOMEM;

	if (!tfms || tfms > 64 || !depth || depth > 64 || size < 64 || size > SZ_64K) {
		pr_err("tfms and depth go from 1 to 64, size from 64 to 65536\n");
		return -EINVAL;
	}

	zl.lanes = tfms * depth;
	/* Data that does not compress grows a little. */
	zl.room = round_up(size + size / 8, ZIPLOAD_ALIGN);

	zl.wq = alloc_workqueue("zipload", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	zl.tfm = kcalloc(tfms, sizeof(*zl.tfm), GFP_KERNEL);
	zl.lane = kcalloc(zl.lanes, sizeof(*zl.lane), GFP_KERNEL);
	if (!zl.wq || !zl.tfm || !zl.lane)
		goto free;

	for (i = 0; i < tfms; i++) {
		zl.tfm[i] = crypto_alloc_acomp(algorithm, 0, 0);
		if (IS_ERR(zl.tfm[i])) {
			err = PTR_ERR(zl.tfm[i]);
			pr_err("no %s (%d)\n", algorithm, err);
			goto free;
		}
	}
	for (i = 0; i < zl.lanes; i++) {
		err = zipload_lane_init(&zl.lane[i], zl.tfm[i % tfms]);
		if (err)
			goto free;
	}

	pr_info("%s, %u tfms, %u jobs in flight\n", algorithm, tfms, zl.lanes);
	zl.last = ktime_get();
	atomic_set(&zl.running, zl.lanes);
	for (i = 0; i < zl.lanes; i++)
		queue_delayed_work(zl.wq, &zl.lane[i].work, 0);
	queue_delayed_work(zl.wq, &zipload_watch_work, ZIPLOAD_WATCH);
	return 0;

free:
	zipload_free();
	return err;
}

static void __exit zipload_exit(void)
{
	zipload_halt();
	cancel_delayed_work_sync(&zipload_watch_work);
	/* The device may still write to what a lost job lent it: rather hang than free that. */
	wait_event(zl.idle, !atomic_read(&zl.running));
	zipload_free();
}

module_init(zipload_init);
module_exit(zipload_exit);

MODULE_DESCRIPTION("Endless, self-checking work for a compression accelerator");
MODULE_LICENSE("GPL");
