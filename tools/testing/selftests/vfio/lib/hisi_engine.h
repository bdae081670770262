/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tells the kinds of accelerators apart, for the guest's driver of hisi_acc.h: their jobs. The
 * queues are the same.
 */
#ifndef SELFTESTS_HISI_ENGINE_H
#define SELFTESTS_HISI_ENGINE_H

#include "hisi_acc.h"

#define HACC_BUF_SIZE		4096
#define HACC_PARAMS_SIZE	512
#define HACC_SGL_SIZE		128	/* a header and two entries */

struct hacc_job {
	__u32 seed;
	unsigned int len;		/* of the plain data, if the engine leaves the choice */
	__u8 *src, *dst;		/* HACC_BUF_SIZE each */
	__u8 *params;			/* HACC_PARAMS_SIZE for scatter lists, keys and so on */
	bool used;			/* at least once, so that idle means poisoned */
};

struct hacc_engine {
	const char *name;
	__u16 id;			/* PCI device ID of the VF */
	unsigned int sqe_size;
	unsigned int tag;		/* two dwords of the SQE that stay as they are, the first */
	__u8 type[2];			/* of even and odd queues, for the hardware */
	/* Fills an SQE of zeros and its operands. The destination is poisoned already. */
	void (*fill)(const struct hacc *a, const struct hacc_queue *q, const struct hacc_job *job,
		     __u32 *sqe);
	/* Is the result right? The number of bytes that it has, or -errno. */
	int (*check)(const struct hacc_queue *q, const struct hacc_job *job, const __u32 *sqe);
};

extern const struct hacc_engine hacc_zip, hacc_sec, hacc_hpre;

/* Prints and returns -err. */
int complain(int err, const char *fmt, ...);
/* Data for a job, different for each seed: text with repetitions near and far */
void hacc_plain(__u32 seed, __u8 *out, unsigned int len);
/* Is it at the destination? The same answer as check() */
int hacc_expect(const struct hacc_queue *q, const struct hacc_job *job, const __u8 *want,
		unsigned int len);
/* The scatter list of ZIP and SEC for a buffer in two pieces, and its address */
__u64 hacc_sgl(const struct hacc *a, __u8 *sgl, const __u8 *buf, unsigned int split);

/* Raw deflate data, by a decoder of our own: bytes produced or -EINVAL. */
int hzip_inflate(const __u8 *in, size_t in_len, __u8 *out, size_t out_len);

#endif
