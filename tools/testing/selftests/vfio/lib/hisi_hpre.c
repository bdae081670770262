// SPDX-License-Identifier: GPL-2.0-only
/*
 * HPRE: powers modulo p = 2^1024 - 105, a prime that makes the reduction short. Even queues have
 * them computed as for RSA, odd ones as for Diffie and Hellman.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "hisi_engine.h"

#define SIZE			128	/* bytes of an operand, which is big-endian */
#define WORDS			(SIZE / 8)
#define SHORT_OF_2_1024		105

#define STATE(error, done)	((error) << 5 | (__u32)(done) << 30)

enum { OP_MODEXP = 0, OP_DH = 5 };

/* Least significant word first */
struct number {
	__u64 word[WORDS];
};

/* sum = sum + a * b; what does not fit */
static __u64 add_product(__u64 *sum, const __u64 *a, __u64 b)
{
	unsigned __int128 carry = 0;

	for (int i = 0; i < WORDS; i++) {
		carry += (unsigned __int128)a[i] * b + sum[i];
		sum[i] = carry;
		carry >>= 64;
	}
	return carry;
}

/* 2^1024 is 105 here. A result between p and 2^1024 is not reduced. */
static void multiply(struct number *a, const struct number *b)
{
	__u64 product[2 * WORDS] = { 0 };
	struct number over = { { 0 } };

	for (int i = 0; i < WORDS; i++)
		product[i + WORDS] = add_product(product + i, a->word, b->word[i]);
	memcpy(a, product, sizeof(*a));
	over.word[0] = add_product(a->word, product + WORDS, SHORT_OF_2_1024);
	while (over.word[0])
		over.word[0] = add_product(a->word, over.word, SHORT_OF_2_1024);
}

static void power(struct number *a, unsigned int exponent)
{
	const struct number base = *a;
	unsigned int bit = 1u << (31 - __builtin_clz(exponent));

	while (bit >>= 1) {
		multiply(a, a);
		if (exponent & bit)
			multiply(a, &base);
	}
}

static void put(const struct number *a, __u8 *out)
{
	for (int i = 0; i < WORDS; i++) {
		__u64 word = htobe64(a->word[WORDS - 1 - i]);

		memcpy(out + i * 8, &word, 8);
	}
}

/* Short, because it is for us to do as well */
static unsigned int exponent_of(const struct hacc_job *job)
{
	return 3 + job->seed % 0xfffc;
}

static void base_of(const struct hacc_job *job, struct number *base)
{
	hacc_plain(job->seed, (__u8 *)base, sizeof(*base));
	base->word[WORDS - 1] >>= 1;		/* so that it is less than p */
}

static void fill(const struct hacc *a, const struct hacc_queue *q, const struct hacc_job *job,
		 __u32 *sqe)
{
	__u64 src = hacc_iova(a, job->src), dst = hacc_iova(a, job->dst);
	__u64 key = hacc_iova(a, job->params);
	struct number n = { { exponent_of(job) } };

	put(&n, job->params);
	memset(&n, 0xff, sizeof(n));
	n.word[0] -= SHORT_OF_2_1024 - 1;
	put(&n, job->params + SIZE);
	base_of(job, &n);
	put(&n, job->src);

	sqe[0] = (q->odd ? OP_DH : OP_MODEXP) | STATE(0, 1);
	sqe[1] = SIZE / 8 - 1;
	sqe[2] = key;
	sqe[3] = key >> 32;
	sqe[4] = src;
	sqe[5] = src >> 32;
	sqe[6] = dst;
	sqe[7] = dst >> 32;
}

static int check(const struct hacc_queue *q, const struct hacc_job *job, const __u32 *sqe)
{
	__u32 state = sqe[0] & STATE(0x7ff, 3);
	__u8 want[SIZE];
	struct number n;

	if (state != STATE(0, 3))
		return complain(EIO, "queue %u, job %u: state 0x%x", q->qn, job->seed, state);
	base_of(job, &n);
	power(&n, exponent_of(job));
	put(&n, want);
	return hacc_expect(q, job, want, sizeof(want));
}

const struct hacc_engine hacc_hpre = {
	.name = "HPRE",
	.id = 0xa259,
	.sqe_size = 64,
	.tag = 8,
	.fill = fill,
	.check = check,
};
