/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest's driver for a VF of a HiSilicon accelerator, as far as a test needs one: it makes the
 * queues in a piece of memory, posts jobs whose results it can check, and takes completions. What
 * kind of accelerator it is, and so what the jobs are, is found when a VF is attached.
 *
 * All that a guest has in its RAM is in struct hacc and its memory; when the VF is migrated the
 * guest goes on with another VF of the kind (hacc_attach()), which has the same memory mapped at
 * the same addresses.
 *
 * Functions return 0 (or a count) or -errno and print what they found wrong.
 */
#ifndef SELFTESTS_HISI_ACC_H
#define SELFTESTS_HISI_ACC_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

#include "vfio_mig.h"

#define HACC_MAX_QUEUES		16
#define HACC_IRQS		4	/* event, asynchronous event, PF message, reserved */
#define HACC_IRQ_EQ		0
#define HACC_CTX_SIZE		32	/* of an entry in the tables of contexts */
#define HACC_MAX_VF_QUEUES	1024

/* Function registers that a migration has to bring along. */
#define HACC_REG_AEQ_MASK	0x04
#define HACC_REG_EQ_MASK	0x0c
#define HACC_REG_MSG_SOURCE	0x20
#define HACC_REG_MSG_MASK	0x24
#define HACC_REG_PAGE_SIZE	0x34
#define HACC_REG_VF_STATE	0x60
/* The caches' writeback */
#define HACC_REG_WB_START	0x204
#define HACC_REG_WB_DONE	0x208

/* Mailbox commands, and the flag of those that read; doorbells */
enum {
	HACC_MB_SQC, HACC_MB_CQC, HACC_MB_EQC, HACC_MB_AEQC, HACC_MB_SQC_BT, HACC_MB_CQC_BT,
	HACC_MB_SQC_VFT,
	HACC_MB_PAUSE = 0x0e,
};

#define HACC_MB_READ		(1u << 14)

enum { HACC_DB_SQ, HACC_DB_CQ, HACC_DB_EQ, HACC_DB_AEQ };

struct hacc_job;
struct hacc_engine;

struct hacc_queue {
	unsigned int qn;
	bool odd;			/* of the two things that an engine is given to do */
	__u32 *sqe;			/* ring */
	volatile __u32 *cqe;		/* ring of 16 byte entries */
	unsigned int sq_tail, cq_head, cq_phase;
	struct hacc_job *jobs;		/* one for each SQE */
	__u64 posted, done;
};

struct hacc_config {
	unsigned int queues;		/* even ones do the one thing, odd ones the other */
	unsigned int depth;		/* of each SQ and CQ */
	unsigned int eq_depth;
	unsigned int job_len;		/* bytes of plain data, at most HACC_JOB_MAX */
	__u32 eqc_unused;		/* in the event queues' contexts, where it means nothing */
	bool no_messages;		/* hacc_start() leaves the registers of PF messages alone */
};

#define HACC_JOB_MAX		3072

struct hacc {
	struct hacc_config cfg;
	struct vdev *dev;		/* the VF in use */
	const struct hacc_engine *engine;	/* once a VF was attached */
	volatile __u8 *regs;
	size_t regs_len;
	__u8 *mem;
	size_t mem_len, mem_used;
	unsigned int vf_queues;		/* what the hardware says */

	__u64 sqc_table, cqc_table;
	__u8 *ctx, *tables;
	volatile __u32 *eq, *aeq;
	unsigned int eq_head, eq_phase;
	__u64 events;
	struct hacc_queue q[HACC_MAX_QUEUES];
	__u32 seed;
	int irq[HACC_IRQS];
};

extern const struct hacc_config hacc_default;

/* The guest's memory and its view of the queues; no device yet. */
int hacc_create(struct hacc *a, const struct hacc_config *cfg);
void hacc_destroy(struct hacc *a);
/* Gives a VF access to the guest's memory. Once for each open of the device. */
int hacc_map(struct hacc *a, struct vdev *dev);
/* From here on registers and doorbells are this VF's. Touches no register. */
int hacc_attach(struct hacc *a, struct vdev *dev);
/* What a driver does at probe, up to "ready"; and at removal. */
int hacc_start(struct hacc *a);
void hacc_stop(struct hacc *a);
/* What the host does to a paused function, and a hostile guest can do, too */
int hacc_writeback(struct hacc *a);
int hacc_restart(struct hacc *a);
/* Steps of hacc_start(): one of the two event queues; the tables of queue contexts */
int hacc_start_event_queue(struct hacc *a, unsigned int opcode);
int hacc_start_tables(struct hacc *a);

/* MSI through eventfds (a->irq); they are the attached VF's. */
int hacc_irqs_on(struct hacc *a);
void hacc_irqs_off(struct hacc *a);
/* Waits until the event queue's interrupt comes, bounded. */
int hacc_wait_irq(struct hacc *a);

/* Rings the doorbell once for all of them. As many as fit if count is 0; returns how many. */
int hacc_post(struct hacc *a, unsigned int queue, unsigned int count);
int hacc_post_all(struct hacc *a, unsigned int count);
/*
 * Takes and checks what is complete. hacc_settle() goes on until every posted job is complete,
 * then makes sure that nothing comes twice.
 */
int hacc_reap(struct hacc *a);
int hacc_settle(struct hacc *a);
/* Posts and settles until each queue has done so many jobs more. */
int hacc_work(struct hacc *a, unsigned int jobs);

/* Makes the contexts in the queues' tables look as if there were so many jobs more. */
void hacc_forge(struct hacc *a, unsigned int jobs);

/* By memory alone, so also when the VF must not be touched. */
unsigned int hacc_unfinished(const struct hacc *a);	/* posted, and no completion in memory */
unsigned int hacc_outstanding(const struct hacc *a);	/* posted, and not taken yet */
/* Has anything happened in memory that no posted job accounts for? */
int hacc_check_memory(struct hacc *a);

/* Where the VF finds something that is in the guest's memory */
__u64 hacc_iova(const struct hacc *a, const volatile void *p);

/* The PCI device ID of the kind of VF that is attached */
__u16 hacc_id(const struct hacc *a);

__u32 hacc_read(struct hacc *a, unsigned int reg);
void hacc_write(struct hacc *a, unsigned int reg, __u32 value);
void hacc_doorbell(struct hacc *a, unsigned int cmd, unsigned int qn, unsigned int index,
		   unsigned int priority);
/* *data is sent with the command, and what a command with HACC_MB_READ has read after it */
int hacc_mailbox(struct hacc *a, unsigned int opcode, unsigned int flags, unsigned int queue,
		 __u64 *data);

#endif
