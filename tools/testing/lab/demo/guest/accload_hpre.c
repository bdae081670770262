// SPDX-License-Identifier: GPL-2.0-only
/*
 * Work for HPRE. RSA: encrypt, compare with software, decrypt, compare. DH and ECDH: two sides make
 * their public keys, and from each other's one shared secret. One has a new secret in each round;
 * the public key of the other is known from software, which takes its time and makes it once.
 */

#include <crypto/akcipher.h>
#include <crypto/dh.h>
#include <crypto/ecdh.h>
#include <crypto/kpp.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "accload.h"
#include "accload_keys.h"

/* Bytes of RSA's modulus and of DH's prime; of an ECDH key and a DH exponent */
#define HPRE_BYTES	256
#define HPRE_SECRET	32

/* RSA: the public and the private operation have a transform each. */

enum {
	RSA_ENCRYPT,
	RSA_DECRYPT,
	RSA_STEPS
};

static int rsa_open(struct acc_tfm *tfm, unsigned int number)
{
	unsigned int i;
	int err;

	for (i = 0; i < RSA_STEPS; i++) {
		tfm->hw[i] = crypto_alloc_akcipher(tfm->work->driver, 0, 0);
		if (IS_ERR(tfm->hw[i]))
			return PTR_ERR(tfm->hw[i]);
		err = crypto_akcipher_set_priv_key(tfm->hw[i], rsa_key, sizeof(rsa_key));
		if (err)
			return err;
	}
	tfm->soft = crypto_alloc_akcipher(tfm->work->software, 0, 0);
	if (IS_ERR(tfm->soft))
		return PTR_ERR(tfm->soft);
	return crypto_akcipher_set_priv_key(tfm->soft, rsa_key, sizeof(rsa_key));
}

static int rsa_equip(struct acc_lane *lane)
{
	unsigned int i;

	for (i = 0; i < RSA_STEPS; i++) {
		lane->job[i].req = akcipher_request_alloc(lane->tfm->hw[i], GFP_KERNEL);
		if (!lane->job[i].req)
			return -ENOMEM;
		akcipher_request_set_callback(lane->job[i].req, 0, acc_done, &lane->job[i]);
	}
	lane->soft_req = akcipher_request_alloc(lane->tfm->soft, GFP_KERNEL);
	return lane->soft_req ? 0 : -ENOMEM;
}

static int rsa_begin(struct acc_lane *lane)
{
	lane->len = HPRE_BYTES;
	acc_random(lane->buf[ACC_REF], HPRE_BYTES, lane->round);
	lane->buf[ACC_REF][0] = 0;	/* smaller than the modulus */
	memcpy(lane->buf[ACC_PLAIN], lane->buf[ACC_REF], HPRE_BYTES);
	return 0;
}

static int rsa_submit(struct acc_lane *lane, struct acc_job *job)
{
	bool encrypt = lane->step == RSA_ENCRYPT;

	acc_lend(job, lane->buf[encrypt ? ACC_PLAIN : ACC_CODED], HPRE_BYTES,
		 lane->buf[encrypt ? ACC_CODED : ACC_RESULT], HPRE_BYTES);
	akcipher_request_set_crypt(job->req, job->src, job->dst, HPRE_BYTES, HPRE_BYTES);
	return encrypt ? crypto_akcipher_encrypt(job->req) : crypto_akcipher_decrypt(job->req);
}

static bool rsa_check(struct acc_lane *lane, struct acc_job *job)
{
	struct scatterlist src, dst;

	if (((struct akcipher_request *)job->req)->dst_len != HPRE_BYTES)
		return false;
	if (lane->step == RSA_DECRYPT)
		return !memcmp(lane->buf[ACC_RESULT], lane->buf[ACC_REF], HPRE_BYTES);

	sg_init_one(&src, lane->buf[ACC_REF], HPRE_BYTES);
	sg_init_one(&dst, lane->buf[ACC_SOFT], HPRE_BYTES);
	akcipher_request_set_crypt(lane->soft_req, &src, &dst, HPRE_BYTES, HPRE_BYTES);
	return !crypto_akcipher_encrypt(lane->soft_req) &&
	       !memcmp(lane->buf[ACC_CODED], lane->buf[ACC_SOFT], HPRE_BYTES);
}

/* DH and ECDH. In a lane's buffers, by step: a side's public key, and what it takes for shared. */

enum {
	KPP_PUBLIC,		/* of side 0, then of side 1 */
	KPP_SHARED = 2,
	KPP_STEPS = 4,
	KPP_SOFT = 4
};

static int kpp_open(struct acc_tfm *tfm, unsigned int number)
{
	unsigned int side;

	for (side = 0; side < 2; side++) {
		tfm->hw[side] = crypto_alloc_kpp(tfm->work->driver, 0, 0);
		if (IS_ERR(tfm->hw[side]))
			return PTR_ERR(tfm->hw[side]);
	}
	tfm->soft = crypto_alloc_kpp(tfm->work->software, 0, 0);
	return PTR_ERR_OR_ZERO(tfm->soft);
}

static int kpp_equip(struct acc_lane *lane)
{
	unsigned int step;

	for (step = 0; step < KPP_STEPS; step++) {
		lane->job[step].req = kpp_request_alloc(lane->tfm->hw[step % 2], GFP_KERNEL);
		if (!lane->job[step].req)
			return -ENOMEM;
		kpp_request_set_callback(lane->job[step].req, 0, acc_done, &lane->job[step]);
	}
	lane->soft_req = kpp_request_alloc(lane->tfm->soft, GFP_KERNEL);
	return lane->soft_req ? 0 : -ENOMEM;
}

static int dh_secret(struct crypto_kpp *kpp, u8 *secret)
{
	static const u8 generator = 2;
	const struct dh dh = {
		.key = secret, .key_size = HPRE_SECRET,
		.p = dh_prime, .p_size = sizeof(dh_prime),
		.g = &generator, .g_size = sizeof(generator),
	};
	unsigned int len = crypto_dh_key_len(&dh);
	char *packed = kmalloc(len, GFP_KERNEL);
	int err = -ENOMEM;

	if (packed)
		err = crypto_dh_encode_key(packed, len, &dh) ?:
		      crypto_kpp_set_secret(kpp, packed, len);
	kfree(packed);
	return err;
}

static int ecdh_secret(struct crypto_kpp *kpp, u8 *secret)
{
	const struct ecdh ecdh = { .key = secret, .key_size = HPRE_SECRET };
	char packed[64];

	return crypto_ecdh_encode_key(packed, crypto_ecdh_key_len(&ecdh), &ecdh) ?:
	       crypto_kpp_set_secret(kpp, packed, crypto_ecdh_key_len(&ecdh));
}

static int kpp_begin(struct acc_lane *lane, int (*give)(struct crypto_kpp *kpp, u8 *secret))
{
	u8 secret[2][HPRE_SECRET];

	/* Side 0 has the same one in all rounds, so that its public key is known. */
	acc_random(secret[0], HPRE_SECRET, 0);
	acc_random(secret[1], HPRE_SECRET, lane->round);
	/* smaller than the order of the curve */
	secret[0][0] &= 0x7f;
	secret[1][0] &= 0x7f;
	return give(lane->tfm->hw[0], secret[0]) ?: give(lane->tfm->hw[1], secret[1]) ?:
	       (lane->soft_req ? give(lane->tfm->soft, secret[0]) : 0);
}

static int dh_begin(struct acc_lane *lane)
{
	return kpp_begin(lane, dh_secret);
}

static int ecdh_begin(struct acc_lane *lane)
{
	return kpp_begin(lane, ecdh_secret);
}

static int kpp_submit(struct acc_lane *lane, struct acc_job *job)
{
	bool public = lane->step < KPP_SHARED;
	u8 *peer = lane->buf[KPP_PUBLIC + (lane->step + 1) % 2];

	/* Keys and what is shared are of the same size: of two coordinates, or of a number. */
	lane->len = crypto_kpp_maxsize(lane->tfm->hw[0]);
	acc_lend(job, peer, lane->len, lane->buf[lane->step], lane->len);
	kpp_request_set_input(job->req, public ? NULL : job->src, public ? 0 : lane->len);
	kpp_request_set_output(job->req, job->dst, lane->len);
	return public ? crypto_kpp_generate_public_key(job->req) :
			crypto_kpp_compute_shared_secret(job->req);
}

/* Software makes the public key of side 0 from its secret. */
static int kpp_learn(struct acc_lane *lane)
{
	struct scatterlist dst;
	int err;

	sg_init_one(&dst, lane->buf[KPP_SOFT], lane->len);
	kpp_request_set_input(lane->soft_req, NULL, 0);
	kpp_request_set_output(lane->soft_req, &dst, lane->len);
	err = crypto_kpp_generate_public_key(lane->soft_req);
	kpp_request_free(lane->soft_req);
	lane->soft_req = NULL;
	return err;
}

static bool kpp_check(struct acc_lane *lane, struct acc_job *job)
{
	if (((struct kpp_request *)job->req)->dst_len != lane->len)
		return false;
	if (lane->step == KPP_PUBLIC)
		return (!lane->soft_req || !kpp_learn(lane)) &&
		       !memcmp(lane->buf[KPP_PUBLIC], lane->buf[KPP_SOFT], lane->len);
	if (lane->step < KPP_STEPS - 1)
		return true;
	/* Two sides with one key would agree on anything. */
	return !memcmp(lane->buf[KPP_SHARED], lane->buf[KPP_SHARED + 1], lane->len) &&
	       memcmp(lane->buf[KPP_PUBLIC], lane->buf[KPP_PUBLIC + 1], lane->len);
}

#define HPRE_KPP(name, entries, begin_round) {		\
	.driver = "hpre-" name,				\
	.software = name "-generic",			\
	.steps = KPP_STEPS,				\
	.segs = entries,				\
	.open = kpp_open,				\
	.equip = kpp_equip,				\
	.begin = begin_round,				\
	.submit = kpp_submit,				\
	.check = kpp_check,				\
}

static const struct acc_work hpre_works[] = {
	{
		.driver = "hpre-rsa",
		.software = "rsa-generic",
		.steps = RSA_STEPS,
		.segs = ACC_SEGS,
		.open = rsa_open,
		.equip = rsa_equip,
		.begin = rsa_begin,
		.submit = rsa_submit,
		.check = rsa_check,
	},
	HPRE_KPP("ecdh-nist-p256", 1, ecdh_begin),	/* the driver wants one entry */
	HPRE_KPP("dh", ACC_SEGS, dh_begin),
};

/* One lane for each transform: a round's secrets are the transform's. */
struct acc_kind acc_hpre = {
	.name = "hpre",
	.works = hpre_works,
	.nr_works = ARRAY_SIZE(hpre_works),
	.max_depth = 1,
	.max_room = HPRE_BYTES,
};
