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

#include "hisi_zip.h"

#define REG_MAILBOX		0x300
#define   MB_BUSY		(1u << 13)
#define   MB_READ		(1u << 14)
#define   MB_STATUS(word)	((word) >> 9 & 0xf)
#define REG_DB_SQ_CQ		0x1000
#define REG_DB_EQ_AEQ		0x2000
#define REG_CAPS		0x3100
#define   CAP_MESSAGES		(1u << 11)
#define   CAP_PREFETCH		(1u << 14)
#define REG_MSG_SOURCE		0x20
#define REG_MSG_MASK		0x24

enum { MB_SQC, MB_CQC, MB_EQC, MB_AEQC, MB_SQC_BT, MB_CQC_BT, MB_SQC_VFT };
enum { DB_SQ, DB_CQ, DB_EQ, DB_AEQ };

#define SQE_SIZE		128
#define CQE_SIZE		16
#define CTX_SIZE		32
#define MAX_VF_QUEUES		1024
#define AEQ_DEPTH		64
#define BUF_SIZE		4096
#define SGL_SIZE		128	/* a header and two entries */
#define POISON			0xa5

/* Above 4 GiB, so that a lost upper half is noticed. */
#define GUEST_IOVA		0x500000000ULL

/* Without any completion for so long, a queue is called hung. */
#define HUNG_SECONDS		20

struct hzip_job {
	__u32 seed;
	unsigned int len;
	__u8 *src, *dst, *sgl;	/* source and destination SGL */
	bool used;			/* at least once, so that idle means poisoned */
};

const struct hzip_config hzip_default = {
	.queues = 4, .depth = 32, .eq_depth = 64, .job_len = 2000,
};

static int complain(int err, const char *fmt, ...)
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

__u32 hzip_read(struct hzip *z, unsigned int reg)
{
	return *(volatile __u32 *)(z->regs + reg);
}

void hzip_write(struct hzip *z, unsigned int reg, __u32 value)
{
	write_barrier();
	*(volatile __u32 *)(z->regs + reg) = value;
}

static void doorbell(struct hzip *z, unsigned int cmd, unsigned int qn, unsigned int index,
		     unsigned int priority)
{
	unsigned int reg = cmd < DB_EQ ? REG_DB_SQ_CQ : REG_DB_EQ_AEQ;

	write_barrier();
	*(volatile __u64 *)(z->regs + reg) =
		qn | cmd << 12 | (__u64)index << 32 | (__u64)priority << 48;
}

/* The mailbox is 16 bytes, taken as one by the hardware. */
static void mailbox_store(struct hzip *z, __u64 low, __u64 high)
{
	write_barrier();
	__asm__ volatile("stp %0, %1, [%2]"
			 :: "r"(low), "r"(high), "r"(z->regs + REG_MAILBOX) : "memory");
}

static void mailbox_load(struct hzip *z, __u64 *low, __u64 *high)
{
	__asm__ volatile("ldp %0, %1, [%2]"
			 : "=&r"(*low), "=&r"(*high) : "r"(z->regs + REG_MAILBOX) : "memory");
	read_barrier();
}

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static int mailbox(struct hzip *z, unsigned int opcode, unsigned int flags, unsigned int queue,
		   __u64 *data)
{
	time_t limit = seconds() + HUNG_SECONDS;
	__u64 low, high;

	mailbox_store(z, opcode | MB_BUSY | flags | queue << 16 | *data << 32, *data >> 32);
	do {
		mailbox_load(z, &low, &high);
		if (seconds() > limit)
			return complain(ETIMEDOUT, "mailbox command %u hangs", opcode);
	} while (low & MB_BUSY);
	if (MB_STATUS(low))
		return complain(EIO, "mailbox command %u, queue %u: status %u", opcode, queue,
				(unsigned int)MB_STATUS(low));
	*data = low >> 32 | high << 32;
	return 0;
}

static int mailbox_write(struct hzip *z, unsigned int opcode, unsigned int queue, __u64 data)
{
	return mailbox(z, opcode, 0, queue, &data);
}

static __u64 iova(const struct hzip *z, const volatile void *p)
{
	return GUEST_IOVA + ((const volatile __u8 *)p - z->mem);
}

static void *take(struct hzip *z, size_t len)
{
	void *p = z->mem + z->mem_used;

	z->mem_used += (len + 4095) & ~4095UL;
	return p;
}

int hzip_create(struct hzip *z, const struct hzip_config *cfg)
{
	*z = (struct hzip){ .cfg = *cfg, .seed = 1 };
	if (cfg->queues > HZIP_MAX_QUEUES || cfg->job_len > HZIP_JOB_MAX)
		return -EINVAL;
	for (int i = 0; i < HZIP_IRQS; i++)
		z->irq[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	z->mem_len = 256 * 1024 + cfg->queues * cfg->depth * (2 * BUF_SIZE + 1024UL);
	z->mem_len = (z->mem_len + cfg->queues * 16384 + 0xffff) & ~0xffffUL;
	z->mem = mmap(NULL, z->mem_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (z->mem == MAP_FAILED)
		return -ENOMEM;

	z->ctx = take(z, CTX_SIZE);
	z->tables = take(z, 2 * MAX_VF_QUEUES * CTX_SIZE);
	z->sqc_table = iova(z, z->tables);
	z->cqc_table = z->sqc_table + MAX_VF_QUEUES * CTX_SIZE;
	z->eq = take(z, 4 * cfg->eq_depth);
	z->aeq = take(z, 4 * AEQ_DEPTH);
	for (unsigned int i = 0; i < cfg->queues; i++) {
		struct hzip_queue *q = &z->q[i];

		q->qn = i;
		q->inflate = i & 1;
		q->sqe = take(z, SQE_SIZE * cfg->depth);
		q->cqe = take(z, CQE_SIZE * cfg->depth);
		q->jobs = calloc(cfg->depth, sizeof(*q->jobs));
		if (!q->jobs)
			return -ENOMEM;
		q->jobs[0].sgl = take(z, 2 * SGL_SIZE * cfg->depth);
		q->jobs[0].src = take(z, 2 * BUF_SIZE * cfg->depth);
		for (unsigned int j = 0; j < cfg->depth; j++) {
			q->jobs[j].sgl = q->jobs[0].sgl + j * 2 * SGL_SIZE;
			q->jobs[j].src = q->jobs[0].src + j * 2 * BUF_SIZE;
			q->jobs[j].dst = q->jobs[j].src + BUF_SIZE;
		}
	}
	return z->mem_used <= z->mem_len ? 0 : -ENOMEM;
}

void hzip_destroy(struct hzip *z)
{
	for (unsigned int i = 0; i < z->cfg.queues; i++)
		free(z->q[i].jobs);
	for (int i = 0; i < HZIP_IRQS; i++)
		close(z->irq[i]);
	if (z->regs)
		munmap((void *)z->regs, z->regs_len);
	munmap(z->mem, z->mem_len);
}

int hzip_map(struct hzip *z, struct vdev *dev)
{
	return vdev_map_dma(dev, z->mem, z->mem_len, GUEST_IOVA);
}

int hzip_attach(struct hzip *z, struct vdev *dev)
{
	__u16 id, cmd;
	int ret;

	ret = vdev_config_read16(dev, PCI_DEVICE_ID, &id);
	if (ret)
		return ret;
	if (id != HZIP_ID)
		return complain(ENODEV, "%s is not a ZIP VF (%04x)", dev->bdf, id);
	if (z->regs)
		munmap((void *)z->regs, z->regs_len);
	z->dev = dev;
	z->regs = vdev_map_region(dev, VFIO_PCI_BAR2_REGION_INDEX, &z->regs_len);
	if (!z->regs)
		return complain(EIO, "BAR 2 of %s cannot be mapped", dev->bdf);
	ret = vdev_config_read16(dev, PCI_COMMAND, &cmd);
	return ret ?: vdev_config_write16(dev, PCI_COMMAND,
					  cmd | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static int start_queue(struct hzip *z, struct hzip_queue *q)
{
	__u32 sqc[CTX_SIZE / 4] = { 0 }, cqc[CTX_SIZE / 4] = { 0 };
	unsigned int last = z->cfg.depth - 1;
	int ret;

	memset(q->sqe, 0, SQE_SIZE * z->cfg.depth);
	memset((void *)q->cqe, 0, CQE_SIZE * z->cfg.depth);
	for (unsigned int i = 0; i < z->cfg.depth; i++)
		q->jobs[i].used = false;
	q->sq_tail = 0;
	q->cq_head = 0;
	q->cq_phase = 1;
	q->posted = 0;
	q->done = 0;

	sqc[1] = iova(z, q->sqe);
	sqc[2] = iova(z, q->sqe) >> 32;
	sqc[3] = last | 7 << 12;			/* log2 of the SQE size */
	sqc[6] = q->qn | (1u << 4 | q->inflate << 8) << 16;
	memcpy(z->ctx, sqc, sizeof(sqc));
	ret = mailbox_write(z, MB_SQC, q->qn, iova(z, z->ctx));
	if (ret)
		return ret;
	cqc[1] = iova(z, q->cqe);
	cqc[2] = iova(z, q->cqe) >> 32;
	cqc[3] = last | 4 << 12;
	cqc[6] = 3;					/* phase 1, event armed */
	memcpy(z->ctx, cqc, sizeof(cqc));
	return mailbox_write(z, MB_CQC, q->qn, iova(z, z->ctx));
}

static int start_event_queue(struct hzip *z, unsigned int opcode, const volatile __u32 *ring,
			     unsigned int depth)
{
	__u32 eqc[CTX_SIZE / 4] = { 0 };

	eqc[1] = iova(z, ring);
	eqc[2] = iova(z, ring) >> 32;
	eqc[6] = (depth - 1) | 1u << 16;
	memset((void *)ring, 0, 4 * depth);
	memcpy(z->ctx, eqc, sizeof(eqc));
	return mailbox_write(z, opcode, 0, iova(z, z->ctx));
}

int hzip_start(struct hzip *z)
{
	__u64 vft = 0;
	__u32 caps;
	int ret;

	ret = mailbox(z, MB_SQC_VFT, MB_READ, 0, &vft);
	if (ret)
		return ret;
	z->vf_queues = (vft >> 45 & 0x3ff) + 1;
	if (z->vf_queues < z->cfg.queues)
		return complain(ENOSPC, "%s has %u queues only", z->dev->bdf, z->vf_queues);

	caps = hzip_read(z, REG_CAPS);
	if (caps & CAP_MESSAGES) {
		hzip_write(z, REG_MSG_SOURCE, 1);
		hzip_write(z, REG_MSG_MASK, hzip_read(z, REG_MSG_MASK) & ~1u);
	}
	memset(z->tables, 0, 2 * MAX_VF_QUEUES * CTX_SIZE);
	ret = start_event_queue(z, MB_EQC, z->eq, z->cfg.eq_depth);
	if (!ret)
		ret = start_event_queue(z, MB_AEQC, z->aeq, AEQ_DEPTH);
	if (!ret)
		ret = mailbox_write(z, MB_SQC_BT, 0, z->sqc_table);
	if (!ret)
		ret = mailbox_write(z, MB_CQC_BT, 0, z->cqc_table);
	if (ret)
		return ret;
	z->eq_head = 0;
	z->eq_phase = 1;
	if (caps & CAP_PREFETCH)
		hzip_write(z, HZIP_REG_PAGE_SIZE, 0);
	doorbell(z, DB_AEQ, 0, 0, 0);
	doorbell(z, DB_EQ, 0, 0, 0);
	hzip_write(z, HZIP_REG_EQ_MASK, 0);
	hzip_write(z, HZIP_REG_AEQ_MASK, 0);
	hzip_write(z, HZIP_REG_VF_STATE, 0);
	for (unsigned int i = 0; !ret && i < z->cfg.queues; i++)
		ret = start_queue(z, &z->q[i]);
	return ret;
}

void hzip_stop(struct hzip *z)
{
	hzip_write(z, HZIP_REG_EQ_MASK, 1);
	hzip_write(z, HZIP_REG_AEQ_MASK, 1);
	hzip_write(z, HZIP_REG_VF_STATE, 1);
}

int hzip_irqs_on(struct hzip *z)
{
	return vdev_msi_enable(z->dev, z->irq, HZIP_IRQS);
}

void hzip_irqs_off(struct hzip *z)
{
	__u64 count;

	vdev_msi_disable(z->dev);
	while (read(z->irq[HZIP_IRQ_EQ], &count, sizeof(count)) > 0)
		;
}

int hzip_wait_irq(struct hzip *z)
{
	struct pollfd p = { .fd = z->irq[HZIP_IRQ_EQ], .events = POLLIN };
	__u64 count;

	if (poll(&p, 1, HUNG_SECONDS * 1000) != 1)
		return complain(ETIMEDOUT, "no interrupt");
	return read(p.fd, &count, sizeof(count)) == sizeof(count) ? 0 : -EIO;
}

/* Text with repetitions near and far, different for each seed. */
static void plain_text(__u32 seed, __u8 *out, unsigned int len)
{
	__u32 x = seed * 2654435761u + 1;

	for (unsigned int i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		out[i] = i > 16 && x % 3 ? out[i - 1 - (x >> 8) % 16] : (x >> 16) % 256;
	}
}

static unsigned int plain_len(const struct hzip *z, __u32 seed)
{
	return 1 + seed * 2246822519u % z->cfg.job_len;
}

/* Deflates without searching for matches: literals, fixed codes, most significant bit first. */
static unsigned int encode(const __u8 *in, unsigned int len, __u8 *out)
{
	unsigned int pos = 0;

	memset(out, 0, BUF_SIZE);
	out[0] = 3;		/* last block, fixed codes */
	pos = 3;
	for (unsigned int i = 0; i <= len; i++) {
		unsigned int bits, code;

		if (i == len)
			bits = 7, code = 0;
		else if (in[i] < 144)
			bits = 8, code = 0x30 + in[i];
		else
			bits = 9, code = 0x190 + in[i] - 144;
		while (bits--) {
			out[pos / 8] |= (code >> bits & 1) << pos % 8;
			pos++;
		}
	}
	return (pos + 7) / 8;
}

static __u64 fill_sgl(const struct hzip *z, __u8 *sgl, const __u8 *buf, unsigned int split)
{
	__u64 addr[2] = { iova(z, buf), iova(z, buf + split) };
	__u32 len[2] = { split, BUF_SIZE - split };
	__u16 entries = 2;

	memset(sgl, 0, SGL_SIZE);
	for (int i = 0; i < 3; i++)
		memcpy(sgl + 8 + 2 * i, &entries, 2);	/* in the chain, valid here, capacity */
	for (int i = 0; i < 2; i++) {
		memcpy(sgl + 64 + 32 * i, &addr[i], 8);
		memcpy(sgl + 64 + 32 * i + 16, &len[i], 4);
	}
	return iova(z, sgl);
}

static bool poisoned(const struct hzip_job *job)
{
	for (unsigned int i = 0; i < BUF_SIZE; i++)
		if (job->dst[i] != POISON)
			return false;
	return true;
}

static void fill_sqe(struct hzip *z, struct hzip_queue *q, struct hzip_job *job, __u32 *sqe)
{
	__u8 text[HZIP_JOB_MAX];
	unsigned int in_len = job->len;
	__u64 src, dst;

	plain_text(job->seed, text, job->len);
	if (q->inflate)
		in_len = encode(text, job->len, job->src);
	else
		memcpy(job->src, text, job->len);
	memset(job->dst, POISON, BUF_SIZE);
	src = fill_sgl(z, job->sgl, job->src, 1 + in_len / 3);
	dst = fill_sgl(z, job->sgl + SGL_SIZE, job->dst, 77);

	memset(sqe, 0, SQE_SIZE);
	sqe[4] = in_len;
	sqe[7] = 3u << 28;				/* layout of this SQE */
	sqe[9] = 1 | 1 << 8 | 2 << 12;			/* deflate, SGL, 16 KiB window */
	sqe[14] = BUF_SIZE;
	sqe[18] = src;
	sqe[19] = src >> 32;
	sqe[20] = dst;
	sqe[21] = dst >> 32;
	sqe[26] = job->seed;
	sqe[27] = ~job->seed;
}

static unsigned int outstanding(const struct hzip_queue *q)
{
	return q->posted - q->done;
}

int hzip_post(struct hzip *z, unsigned int queue, unsigned int count)
{
	struct hzip_queue *q = &z->q[queue];
	unsigned int room = z->cfg.depth - 1 - outstanding(q);

	if (!count)
		count = room;
	if (count > room)
		return -EAGAIN;
	for (unsigned int i = 0; i < count; i++) {
		struct hzip_job *job = &q->jobs[q->sq_tail];

		if (job->used && !poisoned(job))
			return complain(EILSEQ, "queue %u: the output of finished job %u changed",
					q->qn, job->seed);
		job->used = true;
		job->seed = z->seed++;
		job->len = plain_len(z, job->seed);
		fill_sqe(z, q, job, q->sqe + q->sq_tail * SQE_SIZE / 4);
		q->sq_tail = (q->sq_tail + 1) % z->cfg.depth;
		q->posted++;
	}
	doorbell(z, DB_SQ, q->qn, q->sq_tail, 0);
	return count;
}

int hzip_post_all(struct hzip *z, unsigned int count)
{
	int sum = 0;

	for (unsigned int i = 0; i < z->cfg.queues; i++) {
		int n = hzip_post(z, i, count);

		if (n < 0)
			return n;
		sum += n;
	}
	return sum;
}

static int check_job(const struct hzip_queue *q, struct hzip_job *job, const __u32 *sqe)
{
	__u8 want[HZIP_JOB_MAX], got[HZIP_JOB_MAX + 1];
	unsigned int status = sqe[3] & 0xff, made = sqe[1];
	int n = made;

	if (sqe[26] != job->seed || sqe[27] != ~job->seed)
		return complain(EILSEQ, "queue %u: the SQE is not the one of job %u", q->qn,
				job->seed);
	/* 0d: did not get smaller, which is all right */
	if (status && (status != 0xd || q->inflate))
		return complain(EIO, "queue %u, job %u: status 0x%x", q->qn, job->seed, status);
	if (!made || made > BUF_SIZE)
		return complain(EILSEQ, "queue %u, job %u: %u bytes", q->qn, job->seed, made);
	if (!q->inflate)
		n = hzip_inflate(job->dst, made, got, sizeof(got));
	else if (made <= sizeof(got))
		memcpy(got, job->dst, made);
	plain_text(job->seed, want, job->len);
	if (n != (int)job->len || memcmp(want, got, n))
		return complain(EILSEQ, "queue %u, job %u: wrong data", q->qn, job->seed);
	for (unsigned int i = made; i < BUF_SIZE; i++)
		if (job->dst[i] != POISON)
			return complain(EILSEQ, "queue %u, job %u: wrote beyond %u bytes", q->qn,
					job->seed, made);
	/* From now on nothing may write there. */
	memset(job->dst, POISON, BUF_SIZE);
	return 0;
}

static const volatile __u32 *cqe_at(const struct hzip *z, const struct hzip_queue *q,
				    unsigned int ahead, bool *valid)
{
	unsigned int at = q->cq_head + ahead, phase = q->cq_phase;
	const volatile __u32 *cqe;

	if (at >= z->cfg.depth) {
		at -= z->cfg.depth;
		phase ^= 1;
	}
	cqe = q->cqe + at * CQE_SIZE / 4;
	*valid = (cqe[3] >> 16 & 1) == phase;
	read_barrier();
	return cqe;
}

static int reap_queue(struct hzip *z, struct hzip_queue *q)
{
	int count = 0;

	for (;;) {
		bool valid;
		const volatile __u32 *cqe = cqe_at(z, q, 0, &valid);
		int ret;

		if (!valid)
			break;
		if (!outstanding(q))
			return complain(EILSEQ, "queue %u: more completions than jobs", q->qn);
		/* In order, so the entry's own place says which SQE it must name. */
		if ((cqe[2] & 0xffff) != q->cq_head || cqe[2] >> 16 != q->qn)
			return complain(EILSEQ, "queue %u: CQE %u names SQE %u of queue %u", q->qn,
					q->cq_head, cqe[2] & 0xffff, cqe[2] >> 16);
		ret = check_job(q, &q->jobs[q->cq_head], q->sqe + q->cq_head * SQE_SIZE / 4);
		if (ret)
			return ret;
		q->cq_head = (q->cq_head + 1) % z->cfg.depth;
		q->cq_phase ^= !q->cq_head;
		q->done++;
		count++;
	}
	if (count)
		doorbell(z, DB_CQ, q->qn, q->cq_head, 1);
	return count;
}

static bool event_pending(const struct hzip *z)
{
	return (z->eq[z->eq_head] >> 16 & 1) == z->eq_phase;
}

static int reap_events(struct hzip *z)
{
	int count = 0;

	for (; event_pending(z); count++) {
		unsigned int qn = z->eq[z->eq_head] & 0xffff;

		if (qn >= z->cfg.queues)
			return complain(EILSEQ, "event of queue %u, which is not in use", qn);
		z->eq_head = (z->eq_head + 1) % z->cfg.eq_depth;
		z->eq_phase ^= !z->eq_head;
	}
	z->events += count;
	if (count)
		doorbell(z, DB_EQ, 0, z->eq_head, 0);
	if (z->aeq[0] >> 16 & 1)
		return complain(EIO, "asynchronous error event 0x%x", z->aeq[0]);
	return count;
}

int hzip_reap(struct hzip *z)
{
	int sum = reap_events(z);

	if (sum < 0)
		return sum;
	sum = 0;
	for (unsigned int i = 0; i < z->cfg.queues; i++) {
		int n = reap_queue(z, &z->q[i]);

		if (n < 0)
			return n;
		sum += n;
	}
	return sum;
}

unsigned int hzip_outstanding(const struct hzip *z)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < z->cfg.queues; i++)
		sum += outstanding(&z->q[i]);
	return sum;
}

unsigned int hzip_unfinished(const struct hzip *z)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < z->cfg.queues; i++) {
		const struct hzip_queue *q = &z->q[i];
		unsigned int n = 0;
		bool valid = true;

		while (n < outstanding(q) && (cqe_at(z, q, n, &valid), valid))
			n++;
		sum += outstanding(q) - n;
	}
	return sum;
}

int hzip_check_memory(struct hzip *z)
{
	for (unsigned int i = 0; i < z->cfg.queues; i++) {
		const struct hzip_queue *q = &z->q[i];
		bool valid;

		cqe_at(z, q, outstanding(q), &valid);
		if (valid)
			return complain(EILSEQ, "queue %u: more completions than jobs", q->qn);
		for (unsigned int n = outstanding(q); n < z->cfg.depth; n++) {
			unsigned int at = (q->cq_head + n) % z->cfg.depth;

			if (q->jobs[at].used && !poisoned(&q->jobs[at]))
				return complain(EILSEQ, "queue %u: finished job %u was done again",
						q->qn, q->jobs[at].seed);
		}
	}
	return 0;
}

static int hung(const struct hzip *z)
{
	for (unsigned int i = 0; i < z->cfg.queues; i++) {
		const struct hzip_queue *q = &z->q[i];

		if (outstanding(q))
			complain(0, "queue %u hangs: %llu posted, %llu completed, at CQE %u", i,
				 (unsigned long long)q->posted, (unsigned long long)q->done,
				 q->cq_head);
	}
	return -ETIMEDOUT;
}

int hzip_settle(struct hzip *z)
{
	time_t limit = seconds() + HUNG_SECONDS;
	int n;

	while (hzip_outstanding(z)) {
		n = hzip_reap(z);
		if (n < 0)
			return n;
		if (n) {
			limit = seconds() + HUNG_SECONDS;
			continue;
		}
		if (seconds() > limit)
			return hung(z);
		usleep(500);
	}
	/* What comes now is too much. */
	usleep(10000);
	n = hzip_reap(z);
	return n < 0 ? n : hzip_check_memory(z);
}

int hzip_work(struct hzip *z, unsigned int jobs)
{
	while (jobs) {
		unsigned int batch = jobs < z->cfg.depth - 1 ? jobs : z->cfg.depth - 1;
		int ret = hzip_post_all(z, batch);

		if (ret < 0)
			return ret;
		ret = hzip_settle(z);
		if (ret)
			return ret;
		jobs -= batch;
	}
	return 0;
}
