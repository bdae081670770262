// SPDX-License-Identifier: GPL-2.0-only
/* ZIP: even queues deflate, odd ones inflate. */
#include <errno.h>
#include <string.h>

#include "hisi_engine.h"

/* Deflates without searching for matches: literals, fixed codes, most significant bit first. */
static unsigned int encode(const __u8 *in, unsigned int len, __u8 *out)
{
	unsigned int pos = 0;

	memset(out, 0, HACC_BUF_SIZE);
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

static void fill(const struct hacc *a, const struct hacc_queue *q, const struct hacc_job *job,
		 __u32 *sqe)
{
	__u8 text[HACC_JOB_MAX];
	unsigned int in_len = job->len;
	__u64 src, dst;

	hacc_plain(job->seed, text, job->len);
	if (q->odd)
		in_len = encode(text, job->len, job->src);
	else
		memcpy(job->src, text, job->len);
	src = hacc_sgl(a, job->params, job->src, 1 + in_len / 3);
	dst = hacc_sgl(a, job->params + HACC_SGL_SIZE, job->dst, 77);

	sqe[4] = in_len;
	sqe[7] = 3u << 28;				/* layout of this SQE */
	sqe[9] = 1 | 1 << 8 | 2 << 12;			/* deflate, SGL, 16 KiB window */
	sqe[14] = HACC_BUF_SIZE;
	sqe[18] = src;
	sqe[19] = src >> 32;
	sqe[20] = dst;
	sqe[21] = dst >> 32;
}

static int check(const struct hacc_queue *q, const struct hacc_job *job, const __u32 *sqe)
{
	__u8 want[HACC_JOB_MAX], got[HACC_JOB_MAX + 1];
	unsigned int status = sqe[3] & 0xff, made = sqe[1];
	int n = made;

	/* 0d: did not get smaller, which is all right */
	if (status && (status != 0xd || q->odd))
		return complain(EIO, "queue %u, job %u: status 0x%x", q->qn, job->seed, status);
	if (!made || made > HACC_BUF_SIZE)
		return complain(EILSEQ, "queue %u, job %u: %u bytes", q->qn, job->seed, made);
	if (!q->odd)
		n = hzip_inflate(job->dst, made, got, sizeof(got));
	else if (made <= sizeof(got))
		memcpy(got, job->dst, made);
	hacc_plain(job->seed, want, job->len);
	if (n != (int)job->len || memcmp(want, got, n))
		return complain(EILSEQ, "queue %u, job %u: wrong data", q->qn, job->seed);
	return made;
}

const struct hacc_engine hacc_zip = {
	.name = "ZIP",
	.id = 0xa251,
	.sqe_size = 128,
	.tag = 26,
	.type = { 0, 1 },
	.fill = fill,
	.check = check,
};
