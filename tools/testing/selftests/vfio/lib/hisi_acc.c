// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <linux/pci_regs.h>

#include "hisi_engine.h"

#define REG_MAILBOX		0x300
#define   MB_BUSY		(1u << 13)
#define   MB_STATUS(word)	((word) >> 9 & 0xf)
#define REG_DB_SQ_CQ		0x1000
#define REG_DB_EQ_AEQ		0x2000
#define REG_CAPS		0x3100
#define   CAP_MESSAGES		(1u << 11)
#define   CAP_PREFETCH		(1u << 14)

#define SQE_MAX			128	/* of all kinds */
#define CQE_SIZE		16
#define AEQ_DEPTH		64
#define POISON			0xa5

/* Above 4 GiB, so that a lost upper half is noticed. */
#define GUEST_IOVA		0x500000000ULL

/* Without any completion for so long, a queue is called hung. */
#define HUNG_SECONDS		20

static const struct hacc_engine *const engines[] = { &hacc_zip, &hacc_sec, &hacc_hpre };

const struct hacc_config hacc_default = {
	.queues = 4, .depth = 32, .eq_depth = 64, .job_len = 2000,
};

int complain(int err, const char *fmt, ...)
{
	va_list args;

	printf("# ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	return -err;
}

/* What the device wrote before what we have just read; what we wrote before the doorbell. */
static void read_barrier(void)
{
	__asm__ volatile("dmb oshld" ::: "memory");
}

static void write_barrier(void)
{
	__asm__ volatile("dmb oshst" ::: "memory");
}

__u16 hacc_id(const struct hacc *a)
{
	return a->engine->id;
}

__u32 hacc_read(struct hacc *a, unsigned int reg)
{
	return *(volatile __u32 *)(a->regs + reg);
}

void hacc_write(struct hacc *a, unsigned int reg, __u32 value)
{
	write_barrier();
	*(volatile __u32 *)(a->regs + reg) = value;
}

void hacc_doorbell(struct hacc *a, unsigned int cmd, unsigned int qn, unsigned int index,
		   unsigned int priority)
{
	unsigned int reg = cmd < HACC_DB_EQ ? REG_DB_SQ_CQ : REG_DB_EQ_AEQ;

	write_barrier();
	*(volatile __u64 *)(a->regs + reg) =
		qn | cmd << 12 | (__u64)index << 32 | (__u64)priority << 48;
}

/* The mailbox is 16 bytes, taken as one by the hardware. */
static void mailbox_store(struct hacc *a, __u64 low, __u64 high)
{
	write_barrier();
	__asm__ volatile("stp %0, %1, [%2]"
			 :: "r"(low), "r"(high), "r"(a->regs + REG_MAILBOX) : "memory");
}

static void mailbox_load(struct hacc *a, __u64 *low, __u64 *high)
{
	__asm__ volatile("ldp %0, %1, [%2]"
			 : "=&r"(*low), "=&r"(*high) : "r"(a->regs + REG_MAILBOX) : "memory");
	read_barrier();
}

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

int hacc_mailbox(struct hacc *a, unsigned int opcode, unsigned int flags, unsigned int queue,
		 __u64 *data)
{
	time_t limit = seconds() + HUNG_SECONDS;
	__u64 low, high;

	mailbox_store(a, opcode | MB_BUSY | flags | queue << 16 | *data << 32, *data >> 32);
	do {
		mailbox_load(a, &low, &high);
		if (seconds() > limit)
			return complain(ETIMEDOUT, "mailbox command %u hangs", opcode);
	} while (low & MB_BUSY);
	if (MB_STATUS(low))
		return complain(EIO, "mailbox command %u, queue %u: status %u", opcode, queue,
				(unsigned int)MB_STATUS(low));
	*data = low >> 32 | high << 32;
	return 0;
}

static int mailbox_write(struct hacc *a, unsigned int opcode, unsigned int queue, __u64 data)
{
	return hacc_mailbox(a, opcode, 0, queue, &data);
}

__u64 hacc_iova(const struct hacc *a, const volatile void *p)
{
	return GUEST_IOVA + ((const volatile __u8 *)p - a->mem);
}

static void *take(struct hacc *a, size_t len)
{
	void *p = a->mem + a->mem_used;

	a->mem_used += (len + 4095) & ~4095UL;
	return p;
}

int hacc_create(struct hacc *a, const struct hacc_config *cfg)
{
	*a = (struct hacc){ .cfg = *cfg, .seed = 1 };
	if (cfg->queues > HACC_MAX_QUEUES || cfg->job_len > HACC_JOB_MAX)
		return -EINVAL;
	for (int i = 0; i < HACC_IRQS; i++)
		a->irq[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	a->mem_len = 256 * 1024 + cfg->queues * cfg->depth * (2 * HACC_BUF_SIZE + 1024UL);
	a->mem_len = (a->mem_len + cfg->queues * 16384 + 0xffff) & ~0xffffUL;
	a->mem = mmap(NULL, a->mem_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (a->mem == MAP_FAILED)
		return -ENOMEM;

	a->ctx = take(a, HACC_CTX_SIZE);
	a->tables = take(a, 2 * HACC_MAX_VF_QUEUES * HACC_CTX_SIZE);
	a->sqc_table = hacc_iova(a, a->tables);
	a->cqc_table = a->sqc_table + HACC_MAX_VF_QUEUES * HACC_CTX_SIZE;
	a->eq = take(a, 4 * cfg->eq_depth);
	a->aeq = take(a, 4 * AEQ_DEPTH);
	for (unsigned int i = 0; i < cfg->queues; i++) {
		struct hacc_queue *q = &a->q[i];

		q->qn = i;
		q->odd = i & 1;
		q->sqe = take(a, SQE_MAX * cfg->depth);
		q->cqe = take(a, CQE_SIZE * cfg->depth);
		q->jobs = calloc(cfg->depth, sizeof(*q->jobs));
		if (!q->jobs)
			return -ENOMEM;
		q->jobs[0].params = take(a, HACC_PARAMS_SIZE * cfg->depth);
		q->jobs[0].src = take(a, 2 * HACC_BUF_SIZE * cfg->depth);
		for (unsigned int j = 0; j < cfg->depth; j++) {
			q->jobs[j].params = q->jobs[0].params + j * HACC_PARAMS_SIZE;
			q->jobs[j].src = q->jobs[0].src + j * 2 * HACC_BUF_SIZE;
			q->jobs[j].dst = q->jobs[j].src + HACC_BUF_SIZE;
		}
	}
	return a->mem_used <= a->mem_len ? 0 : -ENOMEM;
}

void hacc_destroy(struct hacc *a)
{
	for (unsigned int i = 0; i < a->cfg.queues; i++)
		free(a->q[i].jobs);
	for (int i = 0; i < HACC_IRQS; i++)
		close(a->irq[i]);
	if (a->regs)
		munmap((void *)a->regs, a->regs_len);
	munmap(a->mem, a->mem_len);
}

int hacc_map(struct hacc *a, struct vdev *dev)
{
	return vdev_map_dma(dev, a->mem, a->mem_len, GUEST_IOVA);
}

static const struct hacc_engine *find_engine(__u16 id)
{
	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++)
		if (engines[i]->id == id)
			return engines[i];
	return NULL;
}

int hacc_attach(struct hacc *a, struct vdev *dev)
{
	const struct hacc_engine *engine;
	__u16 id, cmd;
	int ret;

	ret = vdev_config_read16(dev, PCI_DEVICE_ID, &id);
	if (ret)
		return ret;
	engine = find_engine(id);
	if (!engine)
		return complain(ENODEV, "%s is no VF of an accelerator (%04x)", dev->bdf, id);
	if (a->engine && a->engine != engine)
		return complain(ENODEV, "%s is a %s VF, the guest has a %s", dev->bdf,
				     engine->name, a->engine->name);
	a->engine = engine;
	if (a->regs)
		munmap((void *)a->regs, a->regs_len);
	a->dev = dev;
	a->regs = vdev_map_region(dev, VFIO_PCI_BAR2_REGION_INDEX, &a->regs_len);
	if (!a->regs)
		return complain(EIO, "BAR 2 of %s cannot be mapped", dev->bdf);
	ret = vdev_config_read16(dev, PCI_COMMAND, &cmd);
	return ret ?: vdev_config_write16(dev, PCI_COMMAND,
					  cmd | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static int start_queue(struct hacc *a, struct hacc_queue *q)
{
	__u32 sqc[HACC_CTX_SIZE / 4] = { 0 }, cqc[HACC_CTX_SIZE / 4] = { 0 };
	unsigned int last = a->cfg.depth - 1;
	int ret;

	memset(q->sqe, 0, SQE_MAX * a->cfg.depth);
	memset((void *)q->cqe, 0, CQE_SIZE * a->cfg.depth);
	for (unsigned int i = 0; i < a->cfg.depth; i++)
		q->jobs[i].used = false;
	q->sq_tail = 0;
	q->cq_head = 0;
	q->cq_phase = 1;
	q->posted = 0;
	q->done = 0;

	sqc[1] = hacc_iova(a, q->sqe);
	sqc[2] = hacc_iova(a, q->sqe) >> 32;
	sqc[3] = last | __builtin_ctz(a->engine->sqe_size) << 12;
	sqc[6] = q->qn | (1u << 4 | a->engine->type[q->odd] << 8) << 16;
	memcpy(a->ctx, sqc, sizeof(sqc));
	ret = mailbox_write(a, HACC_MB_SQC, q->qn, hacc_iova(a, a->ctx));
	if (ret)
		return ret;
	cqc[1] = hacc_iova(a, q->cqe);
	cqc[2] = hacc_iova(a, q->cqe) >> 32;
	cqc[3] = last | 4 << 12;
	cqc[6] = 3;					/* phase 1, event armed */
	memcpy(a->ctx, cqc, sizeof(cqc));
	return mailbox_write(a, HACC_MB_CQC, q->qn, hacc_iova(a, a->ctx));
}

int hacc_start_event_queue(struct hacc *a, unsigned int opcode)
{
	const volatile __u32 *ring = opcode == HACC_MB_EQC ? a->eq : a->aeq;
	unsigned int depth = opcode == HACC_MB_EQC ? a->cfg.eq_depth : AEQ_DEPTH;
	__u32 eqc[HACC_CTX_SIZE / 4] = { 0 };

	eqc[1] = hacc_iova(a, ring);
	eqc[2] = hacc_iova(a, ring) >> 32;
	eqc[4] = a->cfg.eqc_unused;
	eqc[5] = a->cfg.eqc_unused;
	eqc[6] = (depth - 1) | 1u << 16;
	memset((void *)ring, 0, 4 * depth);
	memcpy(a->ctx, eqc, sizeof(eqc));
	return mailbox_write(a, opcode, 0, hacc_iova(a, a->ctx));
}

/* A table of contexts is where the hardware looks for those that it has not cached. */
int hacc_start_tables(struct hacc *a)
{
	int ret = mailbox_write(a, HACC_MB_SQC_BT, 0, a->sqc_table);

	return ret ?: mailbox_write(a, HACC_MB_CQC_BT, 0, a->cqc_table);
}

int hacc_start(struct hacc *a)
{
	__u64 vft = 0;
	__u32 caps;
	int ret;

	ret = hacc_mailbox(a, HACC_MB_SQC_VFT, HACC_MB_READ, 0, &vft);
	if (ret)
		return ret;
	a->vf_queues = (vft >> 45 & 0x3ff) + 1;
	if (a->vf_queues < a->cfg.queues)
		return complain(ENOSPC, "%s has %u queues only", a->dev->bdf, a->vf_queues);

	caps = hacc_read(a, REG_CAPS);
	if (caps & CAP_MESSAGES && !a->cfg.no_messages) {
		hacc_write(a, HACC_REG_MSG_SOURCE, 1);
		hacc_write(a, HACC_REG_MSG_MASK, hacc_read(a, HACC_REG_MSG_MASK) & ~1u);
	}
	memset(a->tables, 0, 2 * HACC_MAX_VF_QUEUES * HACC_CTX_SIZE);
	ret = hacc_start_event_queue(a, HACC_MB_EQC);
	if (!ret)
		ret = hacc_start_event_queue(a, HACC_MB_AEQC);
	if (!ret)
		ret = hacc_start_tables(a);
	if (ret)
		return ret;
	a->eq_head = 0;
	a->eq_phase = 1;
	if (caps & CAP_PREFETCH)
		hacc_write(a, HACC_REG_PAGE_SIZE, 0);
	hacc_doorbell(a, HACC_DB_AEQ, 0, 0, 0);
	hacc_doorbell(a, HACC_DB_EQ, 0, 0, 0);
	hacc_write(a, HACC_REG_EQ_MASK, 0);
	hacc_write(a, HACC_REG_AEQ_MASK, 0);
	hacc_write(a, HACC_REG_VF_STATE, 0);
	for (unsigned int i = 0; !ret && i < a->cfg.queues; i++)
		ret = start_queue(a, &a->q[i]);
	return ret;
}

void hacc_stop(struct hacc *a)
{
	hacc_write(a, HACC_REG_EQ_MASK, 1);
	hacc_write(a, HACC_REG_AEQ_MASK, 1);
	hacc_write(a, HACC_REG_VF_STATE, 1);
}

void hacc_forge(struct hacc *a, unsigned int jobs)
{
	for (unsigned int i = 0; i < a->cfg.queues; i++) {
		__u16 *sqc = (__u16 *)(a->tables + a->q[i].qn * HACC_CTX_SIZE);

		sqc[1] = (sqc[0] + jobs) % a->cfg.depth;
	}
}

int hacc_writeback(struct hacc *a)
{
	hacc_write(a, HACC_REG_WB_START, 1);
	for (int i = 0; i < 100; i++) {
		if (hacc_read(a, HACC_REG_WB_DONE) & 1)
			return 0;
		usleep(1000);
	}
	return -ETIMEDOUT;
}

int hacc_restart(struct hacc *a)
{
	int ret = hacc_writeback(a);

	for (unsigned int i = 0; !ret && i < a->cfg.queues; i++)
		hacc_doorbell(a, HACC_DB_SQ, a->q[i].qn, 0, 1);
	return ret;
}

int hacc_irqs_on(struct hacc *a)
{
	return vdev_msi_enable(a->dev, a->irq, HACC_IRQS);
}

void hacc_irqs_off(struct hacc *a)
{
	__u64 count;

	vdev_msi_disable(a->dev);
	while (read(a->irq[HACC_IRQ_EQ], &count, sizeof(count)) > 0)
		;
}

int hacc_wait_irq(struct hacc *a)
{
	struct pollfd p = { .fd = a->irq[HACC_IRQ_EQ], .events = POLLIN };
	__u64 count;

	if (poll(&p, 1, HUNG_SECONDS * 1000) != 1)
		return complain(ETIMEDOUT, "no interrupt");
	return read(p.fd, &count, sizeof(count)) == sizeof(count) ? 0 : -EIO;
}

/* Text with repetitions near and far, different for each seed. */
void hacc_plain(__u32 seed, __u8 *out, unsigned int len)
{
	__u32 x = seed * 2654435761u + 1;

	for (unsigned int i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		out[i] = i > 16 && x % 3 ? out[i - 1 - (x >> 8) % 16] : (x >> 16) % 256;
	}
}

static unsigned int plain_len(const struct hacc *a, __u32 seed)
{
	return 1 + seed * 2246822519u % a->cfg.job_len;
}

__u64 hacc_sgl(const struct hacc *a, __u8 *sgl, const __u8 *buf,
	       unsigned int split)
{
	__u64 addr[2] = { hacc_iova(a, buf), hacc_iova(a, buf + split) };
	__u32 len[2] = { split, HACC_BUF_SIZE - split };
	__u16 entries = 2;

	memset(sgl, 0, HACC_SGL_SIZE);
	for (int i = 0; i < 3; i++)
		memcpy(sgl + 8 + 2 * i, &entries, 2);	/* in the chain, valid here, capacity */
	for (int i = 0; i < 2; i++) {
		memcpy(sgl + 64 + 32 * i, &addr[i], 8);
		memcpy(sgl + 64 + 32 * i + 16, &len[i], 4);
	}
	return hacc_iova(a, sgl);
}

static bool poisoned(const struct hacc_job *job)
{
	for (unsigned int i = 0; i < HACC_BUF_SIZE; i++)
		if (job->dst[i] != POISON)
			return false;
	return true;
}

static __u32 *sqe_at(const struct hacc *a, const struct hacc_queue *q, unsigned int at)
{
	return q->sqe + at * a->engine->sqe_size / 4;
}

static unsigned int outstanding(const struct hacc_queue *q)
{
	return q->posted - q->done;
}

int hacc_post(struct hacc *a, unsigned int queue, unsigned int count)
{
	struct hacc_queue *q = &a->q[queue];
	unsigned int room = a->cfg.depth - 1 - outstanding(q);

	if (!count)
		count = room;
	if (count > room)
		return -EAGAIN;
	for (unsigned int i = 0; i < count; i++) {
		struct hacc_job *job = &q->jobs[q->sq_tail];
		__u32 *sqe = sqe_at(a, q, q->sq_tail);

		if (job->used && !poisoned(job))
			return complain(EILSEQ, "queue %u: the output of finished job %u changed",
					q->qn, job->seed);
		job->used = true;
		job->seed = a->seed++;
		job->len = plain_len(a, job->seed);
		memset(job->dst, POISON, HACC_BUF_SIZE);
		memset(sqe, 0, a->engine->sqe_size);
		a->engine->fill(a, q, job, sqe);
		sqe[a->engine->tag] = job->seed;
		sqe[a->engine->tag + 1] = ~job->seed;
		q->sq_tail = (q->sq_tail + 1) % a->cfg.depth;
		q->posted++;
	}
	hacc_doorbell(a, HACC_DB_SQ, q->qn, q->sq_tail, 0);
	return count;
}

int hacc_post_all(struct hacc *a, unsigned int count)
{
	int sum = 0;

	for (unsigned int i = 0; i < a->cfg.queues; i++) {
		int n = hacc_post(a, i, count);

		if (n < 0)
			return n;
		sum += n;
	}
	return sum;
}

int hacc_expect(const struct hacc_queue *q, const struct hacc_job *job, const __u8 *want,
		unsigned int len)
{
	if (memcmp(want, job->dst, len))
		return complain(EILSEQ, "queue %u, job %u: wrong data", q->qn, job->seed);
	return len;
}

static int check_job(const struct hacc *a, const struct hacc_queue *q, struct hacc_job *job,
		     const __u32 *sqe)
{
	const __u32 *tag = sqe + a->engine->tag;
	int made;

	if (tag[0] != job->seed || tag[1] != ~job->seed)
		return complain(EILSEQ, "queue %u: the SQE is not the one of job %u", q->qn,
				     job->seed);
	made = a->engine->check(q, job, sqe);
	if (made < 0)
		return made;
	for (unsigned int i = made; i < HACC_BUF_SIZE; i++)
		if (job->dst[i] != POISON)
			return complain(EILSEQ, "queue %u, job %u: wrote beyond %u bytes", q->qn,
					     job->seed, made);
	/* From now on nothing may write there. */
	memset(job->dst, POISON, HACC_BUF_SIZE);
	return 0;
}

static const volatile __u32 *cqe_at(const struct hacc *a, const struct hacc_queue *q,
				    unsigned int ahead, bool *valid)
{
	unsigned int at = q->cq_head + ahead, phase = q->cq_phase;
	const volatile __u32 *cqe;

	if (at >= a->cfg.depth) {
		at -= a->cfg.depth;
		phase ^= 1;
	}
	cqe = q->cqe + at * CQE_SIZE / 4;
	*valid = (cqe[3] >> 16 & 1) == phase;
	read_barrier();
	return cqe;
}

static int reap_queue(struct hacc *a, struct hacc_queue *q)
{
	int count = 0;

	for (;;) {
		bool valid;
		const volatile __u32 *cqe = cqe_at(a, q, 0, &valid);
		int ret;

		if (!valid)
			break;
		if (!outstanding(q))
			return complain(EILSEQ, "queue %u: more completions than jobs", q->qn);
		/* In order, so the entry's own place says which SQE it must name. */
		if ((cqe[2] & 0xffff) != q->cq_head || cqe[2] >> 16 != q->qn)
			return complain(EILSEQ, "queue %u: CQE %u names SQE %u of queue %u", q->qn,
					q->cq_head, cqe[2] & 0xffff, cqe[2] >> 16);
		ret = check_job(a, q, &q->jobs[q->cq_head], sqe_at(a, q, q->cq_head));
		if (ret)
			return ret;
		q->cq_head = (q->cq_head + 1) % a->cfg.depth;
		q->cq_phase ^= !q->cq_head;
		q->done++;
		count++;
	}
	if (count)
		hacc_doorbell(a, HACC_DB_CQ, q->qn, q->cq_head, 1);
	return count;
}

static bool event_pending(const struct hacc *a)
{
	return (a->eq[a->eq_head] >> 16 & 1) == a->eq_phase;
}

static int reap_events(struct hacc *a)
{
	int count = 0;

	for (; event_pending(a); count++) {
		unsigned int qn = a->eq[a->eq_head] & 0xffff;

		if (qn >= a->cfg.queues)
			return complain(EILSEQ, "event of queue %u, which is not in use", qn);
		a->eq_head = (a->eq_head + 1) % a->cfg.eq_depth;
		a->eq_phase ^= !a->eq_head;
	}
	a->events += count;
	if (count)
		hacc_doorbell(a, HACC_DB_EQ, 0, a->eq_head, 0);
	if (a->aeq[0] >> 16 & 1)
		return complain(EIO, "asynchronous error event 0x%x", a->aeq[0]);
	return count;
}

int hacc_reap(struct hacc *a)
{
	int sum = reap_events(a);

	if (sum < 0)
		return sum;
	sum = 0;
	for (unsigned int i = 0; i < a->cfg.queues; i++) {
		int n = reap_queue(a, &a->q[i]);

		if (n < 0)
			return n;
		sum += n;
	}
	return sum;
}

unsigned int hacc_outstanding(const struct hacc *a)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < a->cfg.queues; i++)
		sum += outstanding(&a->q[i]);
	return sum;
}

unsigned int hacc_unfinished(const struct hacc *a)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < a->cfg.queues; i++) {
		const struct hacc_queue *q = &a->q[i];
		unsigned int n = 0;
		bool valid = true;

		while (n < outstanding(q) && (cqe_at(a, q, n, &valid), valid))
			n++;
		sum += outstanding(q) - n;
	}
	return sum;
}

int hacc_check_memory(struct hacc *a)
{
	for (unsigned int i = 0; i < a->cfg.queues; i++) {
		const struct hacc_queue *q = &a->q[i];
		bool valid;

		cqe_at(a, q, outstanding(q), &valid);
		if (valid)
			return complain(EILSEQ, "queue %u: more completions than jobs", q->qn);
		for (unsigned int n = outstanding(q); n < a->cfg.depth; n++) {
			unsigned int at = (q->cq_head + n) % a->cfg.depth;

			if (q->jobs[at].used && !poisoned(&q->jobs[at]))
				return complain(EILSEQ, "queue %u: finished job %u was done again",
						q->qn, q->jobs[at].seed);
		}
	}
	return 0;
}

static int hung(const struct hacc *a)
{
	for (unsigned int i = 0; i < a->cfg.queues; i++) {
		const struct hacc_queue *q = &a->q[i];

		if (outstanding(q))
			complain(0, "queue %u hangs: %llu posted, %llu completed, at CQE %u", i,
				 (unsigned long long)q->posted, (unsigned long long)q->done,
				 q->cq_head);
	}
	return -ETIMEDOUT;
}

int hacc_settle(struct hacc *a)
{
	time_t limit = seconds() + HUNG_SECONDS;
	int n;

	while (hacc_outstanding(a)) {
		n = hacc_reap(a);
		if (n < 0)
			return n;
		if (n) {
			limit = seconds() + HUNG_SECONDS;
			continue;
		}
		if (seconds() > limit)
			return hung(a);
		usleep(500);
	}
	/* What comes now is too much. */
	usleep(10000);
	n = hacc_reap(a);
	return n < 0 ? n : hacc_check_memory(a);
}

int hacc_work(struct hacc *a, unsigned int jobs)
{
	while (jobs) {
		unsigned int batch = jobs < a->cfg.depth - 1 ? jobs : a->cfg.depth - 1;
		int ret = hacc_post_all(a, batch);

		if (ret < 0)
			return ret;
		ret = hacc_settle(a);
		if (ret)
			return ret;
		jobs -= batch;
	}
	return 0;
}
