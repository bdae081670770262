/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef ACCLOAD_H
#define ACCLOAD_H

#include <linux/atomic.h>
#include <linux/ktime.h>
#include <linux/scatterlist.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

/* Entries of one scatterlist; the ZIP driver's hardware list has room for ten. */
#define ACC_SEGS	4
#define ACC_STEPS	4
#define ACC_BUFS	5

/* What a round of any cipher has in its buffers; the other works have lists of their own. */
enum acc_buf {
	ACC_REF,	/* what the data must be; never shown to the device */
	ACC_PLAIN,	/* what the device gets of it */
	ACC_CODED,	/* what the device makes of that */
	ACC_RESULT,	/* and what it makes of this */
	ACC_SOFT,	/* what software makes of ACC_REF */
};

enum acc_counter {
	ACC_SUBMITTED,
	ACC_COMPLETED,
	ACC_ERRORS,
	ACC_MISMATCHES,
	ACC_DUPLICATES,
	ACC_SOFTWARE,
	ACC_REFUSED,
	ACC_BUSY,
	ACC_HUNG,
	ACC_LOST,
	ACC_ROUNDS,
	ACC_BYTES,
	ACC_COUNTERS
};

/* One step of a lane; at most one of a lane's jobs is out at a time. */
struct acc_job {
	struct acc_lane *lane;
	void *req;
	struct scatterlist src[ACC_SEGS];
	struct scatterlist dst[ACC_SEGS];
	u8 iv[16];
	/* Where the result goes, how long it may be: what is behind must come back untouched. */
	u8 *out;
	unsigned int room;
	/* Number of the submission that is out, 0 if none is. */
	atomic64_t number;
	ktime_t since;
	bool reported;
	int err;
	int expected;	/* the right err */
};

struct acc_lane {
	struct delayed_work work;
	struct acc_tfm *tfm;
	struct acc_job job[ACC_STEPS];
	unsigned int step;
	u64 round;	/* 0: none has begun */
	unsigned int len;
	void *soft_req;
	u8 *buf[ACC_BUFS];
};

/* What the lanes of one transform share: two queues of the accelerator. */
struct acc_tfm {
	struct acc_kind *kind;
	const struct acc_work *work;
	void *hw[2];
	void *soft;
};

/* How a transform is worked on. A round is one job after the other, @steps of them. */
struct acc_work {
	const char *driver;	/* the accelerator's algorithm, and software's */
	const char *software;
	unsigned int steps;
	unsigned int segs;	/* most entries of a scatterlist */
	unsigned int key_len;
	/* Allocates the transform, and the requests of a lane. */
	int (*open)(struct acc_tfm *tfm, unsigned int number);
	int (*equip)(struct acc_lane *lane);
	/* Makes up the data of a new round. */
	int (*begin)(struct acc_lane *lane);
	/* Submits a step's job and returns what the driver says. */
	int (*submit)(struct acc_lane *lane, struct acc_job *job);
	/* Is the result of a step right? */
	bool (*check)(struct acc_lane *lane, struct acc_job *job);
};

/* A kind of accelerator, and all that works on it */
struct acc_kind {
	const char *name;
	const struct acc_work *works;
	unsigned int nr_works;
	unsigned int max_depth;
	unsigned int max_room;

	spinlock_t lock;	/* count, last, gap_ms */
	u64 count[ACC_COUNTERS];
	ktime_t last;
	s64 gap_ms;

	atomic64_t seq;
	wait_queue_head_t idle;
	atomic_t running;	/* lanes that have not come to rest */
	struct workqueue_struct *wq;
	struct delayed_work watch;
	struct acc_tfm *tfm;
	struct acc_lane *lane;
	unsigned int lanes;
	unsigned int size;	/* most bytes of plain data */
	unsigned int room;	/* bytes of a buffer lent to the device */
	bool stopping;
	bool stopped;
};

extern struct acc_kind acc_zip, acc_sec, acc_hpre;

void acc_done(void *data, int err);
void acc_fill(u8 *buf, unsigned int len, u64 seed);
void acc_random(u8 *buf, unsigned int len, u64 seed);
void acc_lend(struct acc_job *job, u8 *src, unsigned int slen, u8 *dst, unsigned int room);

#endif
