// SPDX-License-Identifier: GPL-2.0-only
/* SEC: AES-128-CBC, each job with a key of its own. Even queues encrypt, odd ones decrypt. */
#include <errno.h>
#include <string.h>

#include "hisi_engine.h"

#define BLOCK			16
#define ROUNDS			10

#define RESULT(done, flag, error)	((done) | (flag) << 7 | (error) << 16)

struct secrets {
	__u8 key[BLOCK], iv[BLOCK];
};

static __u8 twice(__u8 x)
{
	return x << 1 ^ (x >> 7) * 0x1b;
}

static const __u8 *sbox(void)
{
	static __u8 box[256];
	__u8 power[255], x = 1;

	if (box[0])
		return box;
	/* All but 0 are powers of 3, so the inverse is the power from the other end. */
	for (int i = 0; i < 255; i++) {
		power[i] = x;
		x ^= twice(x);
	}
	for (int i = 0; i < 255; i++) {
		unsigned int inverse = power[(255 - i) % 255] * 0x101;

		box[power[i]] = inverse ^ inverse >> 4 ^ inverse >> 5 ^ inverse >> 6 ^
				inverse >> 7 ^ 0x63;
	}
	box[0] = 0x63;
	return box;
}

static void expand_key(const __u8 *key, __u8 *keys)
{
	const __u8 *box = sbox();
	__u8 rcon = 1;

	memcpy(keys, key, BLOCK);
	for (int i = BLOCK; i < (ROUNDS + 1) * BLOCK; i++) {
		__u8 *k = keys + i;

		if (i % BLOCK >= 4) {
			*k = k[-BLOCK] ^ k[-4];
			continue;
		}
		/* The first word: that before it, turned by one byte */
		*k = k[-BLOCK] ^ box[i % BLOCK == 3 ? k[-7] : k[-3]];
		if (i % BLOCK == 0) {
			*k ^= rcon;
			rcon = twice(rcon);
		}
	}
}

static void encrypt_block(const __u8 *keys, __u8 *s)
{
	const __u8 *box = sbox();
	__u8 t[BLOCK];

	for (int i = 0; i < BLOCK; i++)
		s[i] ^= keys[i];
	for (int round = 1; round <= ROUNDS; round++) {
		/* Byte i is in row i % 4, which is turned by as many columns. */
		for (int i = 0; i < BLOCK; i++)
			t[i] = box[s[(i + i % 4 * 4) % BLOCK]];
		for (int i = 0; i < BLOCK; i++) {
			const __u8 *column = t + i / 4 * 4;
			__u8 mixed = t[i];

			if (round < ROUNDS)
				mixed ^= column[0] ^ column[1] ^ column[2] ^ column[3] ^
					 twice(t[i] ^ column[(i + 1) % 4]);
			s[i] = mixed ^ keys[round * BLOCK + i];
		}
	}
}

static unsigned int data_len(const struct hacc_job *job)
{
	return (job->len + BLOCK - 1) / BLOCK * BLOCK;
}

static void secrets_of(const struct hacc_job *job, struct secrets *s)
{
	hacc_plain(~job->seed, (__u8 *)s, sizeof(*s));
}

/* What the job begins with, or ends with: the plain or the encrypted data */
static void text(const struct hacc_job *job, bool encrypted, __u8 *out)
{
	unsigned int len = data_len(job);
	__u8 keys[(ROUNDS + 1) * BLOCK];
	struct secrets s;

	hacc_plain(job->seed, out, len);
	if (!encrypted)
		return;
	secrets_of(job, &s);
	expand_key(s.key, keys);
	for (unsigned int at = 0; at < len; at += BLOCK) {
		const __u8 *last = at ? out + at - BLOCK : s.iv;

		for (int i = 0; i < BLOCK; i++)
			out[at + i] ^= last[i];
		encrypt_block(keys, out + at);
	}
}

static void fill(const struct hacc *a, const struct hacc_queue *q, const struct hacc_job *job,
		 __u32 *sqe)
{
	struct secrets *s = (struct secrets *)(job->params + 2 * HACC_SGL_SIZE);
	unsigned int len = data_len(job);
	__u64 src, dst, key, iv;

	text(job, q->odd, job->src);
	secrets_of(job, s);
	src = hacc_sgl(a, job->params, job->src, 1 + len / 3);
	dst = hacc_sgl(a, job->params + HACC_SGL_SIZE, job->dst, 77);
	key = hacc_iova(a, s->key);
	iv = hacc_iova(a, s->iv);

	sqe[0] = 3 | 1 << 9 | 1 << 11 | 1 << 14;	/* layout, not in place, SGL to SGL */
	sqe[1] = (q->odd ? 2 : 1) | 1 << 16 | 2 << 20;	/* direction, CBC, AES */
	sqe[4] = src;
	sqe[5] = src >> 32;
	sqe[12] = key;
	sqe[13] = key >> 32;
	sqe[14] = 2 << 25;				/* as Linux has it in every mode */
	sqe[18] = len;
	sqe[19] = dst;
	sqe[20] = dst >> 32;
	sqe[23] = iv;
	sqe[24] = iv >> 32;
}

static int check(const struct hacc_queue *q, const struct hacc_job *job, const __u32 *sqe)
{
	__u32 result = sqe[28] & RESULT(1, 0xf, 0xff);
	__u8 want[HACC_JOB_MAX];

	if (result != RESULT(1, 2, 0))
		return complain(EIO, "queue %u, job %u: result 0x%x", q->qn, job->seed, result);
	text(job, !q->odd, want);
	return hacc_expect(q, job, want, data_len(job));
}

const struct hacc_engine hacc_sec = {
	.name = "SEC",
	.id = 0xa256,
	.sqe_size = 128,
	.tag = 2,
	.fill = fill,
	.check = check,
};
