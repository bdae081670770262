// SPDX-License-Identifier: GPL-2.0-only
/* Work for ZIP: compress, decompress, compare. */

#include <crypto/acompress.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "accload.h"

enum {
	ZIP_COMPRESS,
	ZIP_DECOMPRESS,
	ZIP_STEPS
};

static int zip_open(struct acc_tfm *tfm, unsigned int number)
{
	tfm->hw[0] = crypto_alloc_acomp(tfm->work->driver, 0, 0);
	return PTR_ERR_OR_ZERO(tfm->hw[0]);
}

static int zip_equip(struct acc_lane *lane)
{
	unsigned int step;

	for (step = 0; step < ZIP_STEPS; step++) {
		lane->job[step].req = acomp_request_alloc(lane->tfm->hw[0]);
		if (!lane->job[step].req)
			return -ENOMEM;
		acomp_request_set_callback(lane->job[step].req, 0, acc_done, &lane->job[step]);
	}
	return 0;
}

static int zip_begin(struct acc_lane *lane)
{
	acc_fill(lane->buf[ACC_REF], lane->len, lane->round);
	memcpy(lane->buf[ACC_PLAIN], lane->buf[ACC_REF], lane->len);
	return 0;
}

static int zip_submit(struct acc_lane *lane, struct acc_job *job)
{
	struct acomp_req *req = job->req, *packed = lane->job[ZIP_COMPRESS].req;
	bool compress = lane->step == ZIP_COMPRESS;
	unsigned int len = compress ? lane->len : packed->dlen;

	if (compress)
		acc_lend(job, lane->buf[ACC_PLAIN], len, lane->buf[ACC_CODED],
			 lane->tfm->kind->room);
	else
		acc_lend(job, lane->buf[ACC_CODED], len, lane->buf[ACC_RESULT],
			 lane->tfm->kind->room);
	acomp_request_set_params(req, job->src, job->dst, len, job->room);
	return compress ? crypto_acomp_compress(req) : crypto_acomp_decompress(req);
}

static bool zip_check(struct acc_lane *lane, struct acc_job *job)
{
	unsigned int got = ((struct acomp_req *)job->req)->dlen;

	if (lane->step == ZIP_COMPRESS)
		return got && got <= job->room;
	return got == lane->len && !memcmp(lane->buf[ACC_RESULT], lane->buf[ACC_REF], got) &&
	       !memcmp(lane->buf[ACC_PLAIN], lane->buf[ACC_REF], got);
}

static const struct acc_work zip_works[] = {
	{
		.driver = "hisi-deflate-acomp",
		.steps = ZIP_STEPS,
		.segs = ACC_SEGS,
		.open = zip_open,
		.equip = zip_equip,
		.begin = zip_begin,
		.submit = zip_submit,
		.check = zip_check,
	},
};

struct acc_kind acc_zip = {
	.name = "zip",
	.works = zip_works,
	.nr_works = ARRAY_SIZE(zip_works),
};
