/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest's driver for a HiSilicon ZIP VF, as far as a test needs one: it makes the queues in a
 * piece of memory, posts jobs whose results it can check, and takes completions. All that a guest
 * has in its RAM is in struct hzip and its memory; when the VF is migrated the guest goes on with
 * another VF (hzip_attach()), which has the same memory mapped at the same addresses.
 *
 * Functions return 0 (or a count) or -errno and print what they found wrong.
 */
#ifndef SELFTESTS_HISI_ZIP_H
#define SELFTESTS_HISI_ZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

#include "vfio_mig.h"

#define HZIP_ID			0xa251
#define HZIP_MAX_QUEUES		16
#define HZIP_IRQS		4	/* event, asynchronous event, PF message, reserved */
#define HZIP_IRQ_EQ		0

/* Function registers that a migration has to bring along. */
#define HZIP_REG_AEQ_MASK	0x04
#define HZIP_REG_EQ_MASK	0x0c
#define HZIP_REG_PAGE_SIZE	0x34
#define HZIP_REG_VF_STATE	0x60

struct hzip_job;

struct hzip_queue {
	unsigned int qn;
	bool inflate;
	__u32 *sqe;			/* ring of 128 byte entries */
	volatile __u32 *cqe;		/* ring of 16 byte entries */
	unsigned int sq_tail, cq_head, cq_phase;
	struct hzip_job *jobs;		/* one for each SQE */
	__u64 posted, done;
};

struct hzip_config {
	unsigned int queues;		/* even ones deflate, odd ones inflate */
	unsigned int depth;		/* of each SQ and CQ */
	unsigned int eq_depth;
	unsigned int job_len;		/* bytes before compression, at most HZIP_JOB_MAX */
};

#define HZIP_JOB_MAX		3000

struct hzip {
	struct hzip_config cfg;
	struct vdev *dev;		/* the VF in use */
	volatile __u8 *regs;
	size_t regs_len;
	__u8 *mem;
	size_t mem_len, mem_used;
	unsigned int vf_queues;		/* what the hardware says */

	__u64 sqc_table, cqc_table, eq_iova, aeq_iova, ctx_iova;
	__u8 *ctx, *tables;
	volatile __u32 *eq, *aeq;
	unsigned int eq_head, eq_phase;
	__u64 events;
	struct hzip_queue q[HZIP_MAX_QUEUES];
	__u32 seed;
	int irq[HZIP_IRQS];
};

extern const struct hzip_config hzip_default;

/* The guest's memory and its view of the queues; no device yet. */
int hzip_create(struct hzip *z, const struct hzip_config *cfg);
void hzip_destroy(struct hzip *z);
/* Gives a VF access to the guest's memory. Once for each open of the device. */
int hzip_map(struct hzip *z, struct vdev *dev);
/* From here on registers and doorbells are this VF's. Touches no register. */
int hzip_attach(struct hzip *z, struct vdev *dev);
/* What a driver does at probe, up to "ready"; and at removal. */
int hzip_start(struct hzip *z);
void hzip_stop(struct hzip *z);

/* MSI through eventfds (z->irq); they are the attached VF's. */
int hzip_irqs_on(struct hzip *z);
void hzip_irqs_off(struct hzip *z);
/* Waits until the event queue's interrupt comes, bounded. */
int hzip_wait_irq(struct hzip *z);

/* Rings the doorbell once for all of them. As many as fit if count is 0; returns how many. */
int hzip_post(struct hzip *z, unsigned int queue, unsigned int count);
int hzip_post_all(struct hzip *z, unsigned int count);
/*
 * Takes and checks what is complete. hzip_settle() goes on until every posted job is complete,
 * then makes sure that nothing comes twice.
 */
int hzip_reap(struct hzip *z);
int hzip_settle(struct hzip *z);
/* Posts and settles until each queue has done so many jobs more. */
int hzip_work(struct hzip *z, unsigned int jobs);

/* By memory alone, so also when the VF must not be touched. */
unsigned int hzip_unfinished(const struct hzip *z);	/* posted, and no completion in memory */
unsigned int hzip_outstanding(const struct hzip *z);	/* posted, and not taken yet */
/* Has anything happened in memory that no posted job accounts for? */
int hzip_check_memory(struct hzip *z);

__u32 hzip_read(struct hzip *z, unsigned int reg);
void hzip_write(struct hzip *z, unsigned int reg, __u32 value);

/* Raw deflate data, by a decoder of our own: bytes produced or -EINVAL. */
int hzip_inflate(const __u8 *in, size_t in_len, __u8 *out, size_t out_len);

#endif
