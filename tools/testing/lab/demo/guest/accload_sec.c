// SPDX-License-Identifier: GPL-2.0-only
/*
 * Work for SEC: encrypt, compare with what software makes of the same data, decrypt, compare; with
 * authentication also decrypt what was tampered with, which has to be found out.
 */

#include <crypto/aead.h>
#include <crypto/skcipher.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "accload.h"

#define SEC_TAG		16
#define SEC_MAX_KEY	64

enum {
	SEC_ENCRYPT,
	SEC_DECRYPT,
	SEC_TAMPERED,
	SEC_STEPS
};

/* Associated data goes before the rest. */
static unsigned int aad_len(struct acc_lane *lane)
{
	return 16 + lane->round % 17;
}

static int sec_begin(struct acc_lane *lane)
{
	/* Of a block cipher whole blocks; the others take what comes. */
	if (strstr(lane->tfm->work->software, "cbc"))
		lane->len = round_down(lane->len, 16);
	acc_random(lane->buf[ACC_REF], aad_len(lane) + lane->len, lane->round);
	memcpy(lane->buf[ACC_PLAIN], lane->buf[ACC_REF], aad_len(lane) + lane->len);
	return 0;
}

/* Each step gets a fresh one: drivers leave the next in its place. */
static void sec_iv(struct acc_lane *lane, u8 *iv)
{
	acc_random(iv, 16, ~lane->round);
}

/* Ciphers without authentication */

static int skcipher_open(struct acc_tfm *tfm, unsigned int number)
{
	u8 key[SEC_MAX_KEY];

	tfm->hw[0] = crypto_alloc_skcipher(tfm->work->driver, 0, 0);
	if (IS_ERR(tfm->hw[0]))
		return PTR_ERR(tfm->hw[0]);
	/* The mask keeps asynchronous ones out, of which the accelerator's is one. */
	tfm->soft = crypto_alloc_skcipher(tfm->work->software, 0, CRYPTO_ALG_ASYNC);
	if (IS_ERR(tfm->soft))
		return PTR_ERR(tfm->soft);

	acc_random(key, tfm->work->key_len, number + 1);
	return crypto_skcipher_setkey(tfm->hw[0], key, tfm->work->key_len) ?:
	       crypto_skcipher_setkey(tfm->soft, key, tfm->work->key_len);
}

static int skcipher_equip(struct acc_lane *lane)
{
	unsigned int step;

	for (step = 0; step < lane->tfm->work->steps; step++) {
		lane->job[step].req = skcipher_request_alloc(lane->tfm->hw[0], GFP_KERNEL);
		if (!lane->job[step].req)
			return -ENOMEM;
		skcipher_request_set_callback(lane->job[step].req, 0, acc_done, &lane->job[step]);
	}
	lane->soft_req = skcipher_request_alloc(lane->tfm->soft, GFP_KERNEL);
	return lane->soft_req ? 0 : -ENOMEM;
}

static int skcipher_submit(struct acc_lane *lane, struct acc_job *job)
{
	bool encrypt = lane->step == SEC_ENCRYPT;

	sec_iv(lane, job->iv);
	acc_lend(job, lane->buf[encrypt ? ACC_PLAIN : ACC_CODED], lane->len,
		 lane->buf[encrypt ? ACC_CODED : ACC_RESULT], lane->len);
	skcipher_request_set_crypt(job->req, job->src, job->dst, lane->len, job->iv);
	return encrypt ? crypto_skcipher_encrypt(job->req) : crypto_skcipher_decrypt(job->req);
}

static bool skcipher_check(struct acc_lane *lane, struct acc_job *job)
{
	struct scatterlist src, dst;
	u8 iv[16];

	if (lane->step == SEC_DECRYPT)
		return !memcmp(lane->buf[ACC_RESULT], lane->buf[ACC_REF], lane->len);

	sec_iv(lane, iv);
	sg_init_one(&src, lane->buf[ACC_REF], lane->len);
	sg_init_one(&dst, lane->buf[ACC_SOFT], lane->len);
	skcipher_request_set_crypt(lane->soft_req, &src, &dst, lane->len, iv);
	return !crypto_skcipher_encrypt(lane->soft_req) &&
	       !memcmp(lane->buf[ACC_CODED], lane->buf[ACC_SOFT], lane->len);
}

/* Ciphers with authentication: what is encrypted is followed by a tag. */

static int aead_open(struct acc_tfm *tfm, unsigned int number)
{
	u8 key[SEC_MAX_KEY];

	tfm->hw[0] = crypto_alloc_aead(tfm->work->driver, 0, 0);
	if (IS_ERR(tfm->hw[0]))
		return PTR_ERR(tfm->hw[0]);
	tfm->soft = crypto_alloc_aead(tfm->work->software, 0, CRYPTO_ALG_ASYNC);
	if (IS_ERR(tfm->soft))
		return PTR_ERR(tfm->soft);

	acc_random(key, tfm->work->key_len, number + 1);
	return crypto_aead_setauthsize(tfm->hw[0], SEC_TAG) ?:
	       crypto_aead_setauthsize(tfm->soft, SEC_TAG) ?:
	       crypto_aead_setkey(tfm->hw[0], key, tfm->work->key_len) ?:
	       crypto_aead_setkey(tfm->soft, key, tfm->work->key_len);
}

static int aead_equip(struct acc_lane *lane)
{
	unsigned int step;

	for (step = 0; step < lane->tfm->work->steps; step++) {
		lane->job[step].req = aead_request_alloc(lane->tfm->hw[0], GFP_KERNEL);
		if (!lane->job[step].req)
			return -ENOMEM;
		aead_request_set_callback(lane->job[step].req, 0, acc_done, &lane->job[step]);
	}
	lane->job[SEC_TAMPERED].expected = -EBADMSG;
	lane->soft_req = aead_request_alloc(lane->tfm->soft, GFP_KERNEL);
	return lane->soft_req ? 0 : -ENOMEM;
}

static int aead_submit(struct acc_lane *lane, struct acc_job *job)
{
	unsigned int plain = aad_len(lane) + lane->len, coded = plain + SEC_TAG;
	bool encrypt = lane->step == SEC_ENCRYPT;
	u8 *code = lane->buf[ACC_CODED];

	/* One bit, anywhere in associated data, ciphertext or tag */
	if (lane->step == SEC_TAMPERED)
		code[lane->round % coded] ^= 1 << lane->round % 8;

	sec_iv(lane, job->iv);
	if (encrypt)
		acc_lend(job, lane->buf[ACC_PLAIN], plain, code, coded);
	else
		acc_lend(job, code, coded, lane->buf[ACC_RESULT], plain);
	aead_request_set_crypt(job->req, job->src, job->dst,
			       encrypt ? lane->len : lane->len + SEC_TAG, job->iv);
	aead_request_set_ad(job->req, aad_len(lane));
	return encrypt ? crypto_aead_encrypt(job->req) : crypto_aead_decrypt(job->req);
}

static bool aead_check(struct acc_lane *lane, struct acc_job *job)
{
	unsigned int aad = aad_len(lane), plain = aad + lane->len, coded = plain + SEC_TAG;
	struct scatterlist src, dst;
	u8 iv[16];

	if (lane->step == SEC_TAMPERED)
		return true;
	if (lane->step == SEC_DECRYPT)
		return !memcmp(lane->buf[ACC_RESULT] + aad, lane->buf[ACC_REF] + aad, lane->len);

	sec_iv(lane, iv);
	sg_init_one(&src, lane->buf[ACC_REF], plain);
	sg_init_one(&dst, lane->buf[ACC_SOFT], coded);
	aead_request_set_crypt(lane->soft_req, &src, &dst, lane->len, iv);
	aead_request_set_ad(lane->soft_req, aad);
	if (crypto_aead_encrypt(lane->soft_req) ||
	    memcmp(lane->buf[ACC_CODED] + aad, lane->buf[ACC_SOFT] + aad, coded - aad))
		return false;
	/* The device need not copy associated data, but its decryption needs it. */
	memcpy(lane->buf[ACC_CODED], lane->buf[ACC_REF], aad);
	return true;
}

#define SEC_SKCIPHER(name, bytes) {		\
	.driver = "hisi_sec_" name,		\
	.software = name,			\
	.key_len = bytes,			\
	.steps = SEC_DECRYPT + 1,		\
	.segs = ACC_SEGS,			\
	.open = skcipher_open,			\
	.equip = skcipher_equip,		\
	.begin = sec_begin,			\
	.submit = skcipher_submit,		\
	.check = skcipher_check,		\
}

static const struct acc_work sec_works[] = {
	SEC_SKCIPHER("cbc(aes)", 32),
	SEC_SKCIPHER("xts(aes)", 64),
	SEC_SKCIPHER("ctr(aes)", 16),
	{
		.driver = "hisi_sec_gcm(aes)",
		.software = "gcm(aes)",
		.key_len = 32,
		.steps = SEC_STEPS,
		.segs = ACC_SEGS,
		.open = aead_open,
		.equip = aead_equip,
		.begin = sec_begin,
		.submit = aead_submit,
		.check = aead_check,
	},
};

struct acc_kind acc_sec = {
	.name = "sec",
	.works = sec_works,
	.nr_works = ARRAY_SIZE(sec_works),
};
