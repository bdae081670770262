/*
 * HiSilicon accelerator: HPRE engine, public key arithmetic
 *
 * The format of submissions is that of Linux's
 * drivers/crypto/hisilicon/hpre. A number is a big-endian string of bytes, as
 * long as the operand size of the submission says.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/cutils.h"
#include "hisi_acc.h"
#include <gcrypt.h>

#define TYPE_HISI_HPRE      "hisi-hpre"
#define TYPE_HISI_HPRE_VF   "hisi-hpre-vf"

/* Dwords of the SQE */
enum {
    SQE_STATE = 0,              /* operation, result */
    SQE_SIZE = 1,               /* of an operand, in units of 8 bytes less 1 */
    SQE_KEY = 2,
    SQE_INPUT = 4,
    SQE_OUTPUT = 6,
};

enum {
    OP_MODEXP = 0x00,
    OP_MODEXP_CRT = 0x01,
    OP_DH_BASE_2 = 0x04,
    OP_DH = 0x05,
    OP_EC_MULTIPLY = 0x0d,
    OP_CURVE25519 = 0x10,
    OP_COUNT = 0x20
};

/* Only 0 is known from the driver */
enum { STATUS_OK = 0, STATUS_OPERAND = 1, STATUS_FORMAT = 2, STATUS_DMA = 3 };

#define STATE_DONE          3

#define MODULUS_MAX         512     /* bytes: 4096 bits */
#define FIELD_MIN           32
#define FIELD_MAX           48

typedef struct HpreWork {
    uint8_t key[MODULUS_MAX / 2 * 5], in[MODULUS_MAX], out[MODULUS_MAX];
    size_t size;                    /* of an operand */
    size_t key_len, in_len, out_len;
    bool (*run)(struct HpreWork *w);
} HpreWork;

/* -------------------------------------------------- numbers */

G_DEFINE_AUTO_CLEANUP_FREE_FUNC(gcry_mpi_t, gcry_mpi_release, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(gcry_mpi_point_t, gcry_mpi_point_release, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(gcry_sexp_t, gcry_sexp_release, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(gcry_ctx_t, gcry_ctx_release, NULL)

static gcry_mpi_t number(const uint8_t *bytes, size_t len)
{
    gcry_mpi_t n;
    gcry_error_t err = gcry_mpi_scan(&n, GCRYMPI_FMT_USG, bytes, len, NULL);

    g_assert(!err);                 /* fails for want of memory only */
    return n;
}

/* Over the whole field, with zeros on the left */
static bool put_number(uint8_t *field, size_t len, gcry_mpi_t n)
{
    size_t used;

    if (gcry_mpi_print(GCRYMPI_FMT_USG, field, len, &used, n)) {
        return false;
    }
    memmove(field + len - used, field, used);
    memset(field, 0, len - used);
    return true;
}

/* -------------------------------------------------- RSA and DH */

/* Key: exponent, modulus */
static bool modexp(HpreWork *w)
{
    g_auto(gcry_mpi_t) base = number(w->in, w->size);
    g_auto(gcry_mpi_t) exponent = number(w->key, w->size);
    g_auto(gcry_mpi_t) modulus = number(w->key + w->size, w->size);
    g_auto(gcry_mpi_t) result = gcry_mpi_new(0);

    if (!gcry_mpi_cmp_ui(modulus, 0)) {
        return false;
    }
    gcry_mpi_powm(result, base, exponent, modulus);
    return put_number(w->out, w->size, result);
}

static bool dh_base_2(HpreWork *w)
{
    w->in[w->size - 1] = 2;
    return modexp(w);
}

/* Key, of half the size: dq, dp, q, p, the inverse of q modulo p */
static bool modexp_crt(HpreWork *w)
{
    size_t half = w->size / 2;
    g_auto(gcry_mpi_t) base = number(w->in, w->size);
    g_auto(gcry_mpi_t) dq = number(w->key, half);
    g_auto(gcry_mpi_t) dp = number(w->key + half, half);
    g_auto(gcry_mpi_t) q = number(w->key + 2 * half, half);
    g_auto(gcry_mpi_t) p = number(w->key + 3 * half, half);
    g_auto(gcry_mpi_t) qinv = number(w->key + 4 * half, half);
    g_auto(gcry_mpi_t) m1 = gcry_mpi_new(0);
    g_auto(gcry_mpi_t) m2 = gcry_mpi_new(0);

    if (!gcry_mpi_cmp_ui(p, 0) || !gcry_mpi_cmp_ui(q, 0)) {
        return false;
    }
    gcry_mpi_powm(m1, base, dp, p);
    gcry_mpi_powm(m2, base, dq, q);
    /* m2 + q * (qinv * (m1 - m2) mod p) */
    gcry_mpi_subm(m1, m1, m2, p);
    gcry_mpi_mulm(m1, m1, qinv, p);
    gcry_mpi_mul(m1, m1, q);
    gcry_mpi_add(m1, m1, m2);
    return put_number(w->out, w->size, m1);
}

/* -------------------------------------------------- elliptic curves */

/*
 * Key: p, a, scalar, b of y^2 = x^3 + ax + b modulo p. A prime shorter than the
 * field is padded like any number.
 */
static bool ec_multiply(HpreWork *w)
{
    size_t size = w->size;
    g_auto(gcry_mpi_t) p = number(w->key, size);
    g_auto(gcry_mpi_t) a = number(w->key + size, size);
    g_auto(gcry_mpi_t) scalar = number(w->key + 2 * size, size);
    g_auto(gcry_mpi_t) b = number(w->key + 3 * size, size);
    g_auto(gcry_mpi_t) x = number(w->in, size);
    g_auto(gcry_mpi_t) y = number(w->in + size, size);
    g_auto(gcry_mpi_t) z = gcry_mpi_set_ui(NULL, 1);
    g_auto(gcry_mpi_t) gcd = gcry_mpi_new(0);
    g_auto(gcry_mpi_point_t) point = gcry_mpi_point_set(NULL, x, y, z);
    g_auto(gcry_mpi_point_t) result = gcry_mpi_point_new(0);
    g_auto(gcry_sexp_t) params = NULL;
    g_auto(gcry_ctx_t) curve = NULL;

    /* libgcrypt takes this for granted, and would run for ages without */
    if (gcry_mpi_cmp_ui(p, 3) <= 0 || !gcry_mpi_test_bit(p, 0) ||
        gcry_mpi_cmp(a, p) >= 0 || gcry_mpi_cmp(b, p) >= 0 ||
        gcry_mpi_cmp(x, p) >= 0 || gcry_mpi_cmp(y, p) >= 0) {
        return false;
    }
    if (gcry_sexp_build(&params, NULL, "(ecc (p %b) (a %b) (b %b))",
                        (int)size, w->key, (int)size, w->key + size,
                        (int)size, w->key + 3 * size) ||
        gcry_mpi_ec_new(&curve, params, NULL) ||
        !gcry_mpi_ec_curve_point(point, curve)) {
        return false;
    }
    gcry_mpi_ec_mul(result, scalar, point, curve);
    /*
     * Coordinates are to be divided by z, which is 0 at infinity. There may be
     * others without an inverse if p is no prime.
     */
    gcry_mpi_point_get(NULL, NULL, z, result);
    if (!gcry_mpi_gcd(gcd, z, p) ||
        gcry_mpi_ec_get_affine(x, y, result, curve)) {
        return false;
    }
    /* libgcrypt negates a y of 0 to p */
    gcry_mpi_mod(y, y, p);
    return put_number(w->out, size, x) && put_number(w->out + size, size, y);
}

static void copy_reversed(uint8_t *to, const uint8_t *from, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        to[i] = from[len - 1 - i];
    }
}

/* Key: p, (A - 2) / 4, scalar. Nothing else than this curve is served. */
static bool curve25519(HpreWork *w)
{
    static const uint8_t curve[] = {
        0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xed,
        [61] = 0x01, 0xdb, 0x41
    };
    uint8_t scalar[32], x[32], result[32];

    copy_reversed(scalar, w->key + sizeof(curve), sizeof(scalar));
    copy_reversed(x, w->in, sizeof(x));
    if (memcmp(w->key, curve, sizeof(curve)) ||
        gcry_ecc_mul_point(GCRY_ECC_CURVE25519, result, scalar, x) ||
        buffer_is_zero(result, sizeof(result))) {   /* infinity */
        return false;
    }
    copy_reversed(w->out, result, sizeof(result));
    return true;
}

/* -------------------------------------------------- jobs */

static const struct {
    bool (*run)(HpreWork *w);
    uint16_t size_min, size_max;        /* of an operand */
    uint8_t key_halves, in, out;        /* lengths, in (half) operands */
} operations[OP_COUNT] = {
    [OP_MODEXP] = { modexp, 8, MODULUS_MAX, 4, 1, 1 },
    [OP_MODEXP_CRT] = { modexp_crt, 8, MODULUS_MAX, 5, 1, 1 },
    [OP_DH_BASE_2] = { dh_base_2, 8, MODULUS_MAX, 4, 0, 1 },
    [OP_DH] = { modexp, 8, MODULUS_MAX, 4, 1, 1 },
    [OP_EC_MULTIPLY] = { ec_multiply, FIELD_MIN, FIELD_MAX, 8, 2, 2 },
    [OP_CURVE25519] = { curve25519, FIELD_MIN, FIELD_MIN, 6, 1, 1 },
};

static void hpre_fetch(HisiAccJob *job)
{
    const uint32_t *sqe = job->sqe;
    unsigned op = extract32(sqe[SQE_STATE], 0, 5);
    HpreWork *w = g_new0(HpreWork, 1);

    job->work = w;
    w->size = (extract32(sqe[SQE_SIZE], 0, 8) + 1) * 8;
    w->run = operations[op].run;
    if (!w->run || w->size < operations[op].size_min ||
        w->size > operations[op].size_max) {
        job->status = STATUS_FORMAT;
        return;
    }

    w->key_len = w->size * operations[op].key_halves / 2;
    w->in_len = w->size * operations[op].in;
    w->out_len = w->size * operations[op].out;
    /* The address of an input that there is not need not be one */
    if (!hisi_acc_dma_read(job->fn, hisi_acc_sqe_quad(job, SQE_KEY), w->key,
                           w->key_len) ||
        (w->in_len && !hisi_acc_dma_read(job->fn,
                                         hisi_acc_sqe_quad(job, SQE_INPUT),
                                         w->in, w->in_len))) {
        job->status = STATUS_DMA;
    }
}

static void hpre_execute(HisiAccJob *job)
{
    HpreWork *w = job->work;

    if (!w->run(w)) {
        job->status = STATUS_OPERAND;
    }
}

static void hpre_complete(HisiAccJob *job)
{
    HpreWork *w = job->work;

    if (!job->status &&
        !hisi_acc_dma_write(job->fn, hisi_acc_sqe_quad(job, SQE_OUTPUT), w->out,
                            w->out_len)) {
        job->status = STATUS_DMA;
    }
    job->failed = job->status;
    if (!job->failed) {
        job->bytes_in = w->in_len;
        job->bytes_out = w->out_len;
    }
    job->sqe[SQE_STATE] = deposit32(job->sqe[SQE_STATE], 5, 11, job->status);
    job->sqe[SQE_STATE] = deposit32(job->sqe[SQE_STATE], 30, 2, STATE_DONE);
    /* The rest of the slot, the tag above all, stays as submitted */
    if (!hisi_acc_dma_write_dwords(job->fn, job->sqe_addr,
                                   &job->sqe[SQE_STATE], 1)) {
        job->failed = true;
    }
}

static void hpre_release(HisiAccJob *job)
{
    g_free(job->work);
}

static bool hpre_is_spent(const uint32_t *sqe)
{
    return extract32(sqe[SQE_STATE], 30, 2) == STATE_DONE;
}

/* -------------------------------------------------- device */

static const HisiAccReg hpre_caps[] = {
    { 0x3124, 0x00007c37 },     /* QM errors that are non-fatal */
    { 0x3128, 0x00006c37 },     /* ... that need a reset */
    { 0x312c, 0x00000008 },     /* ... that are correctable */
    { 0x3130, 0x01fffc3e },     /* the same of the engine */
    { 0x3134, 0x00bffc3e },
    { 0x3138, 0x00000001 },
    { 0x313c, 0x00120a0a },     /* 1 cluster, 2 kinds, 10 cores */
    { 0x3140, 0x000003ff },     /* which of them are enabled */
    { 0x3144, 0x00000027 },     /* crypto API: RSA, DH, ECDH, Curve25519 */
    { 0x3148, 0x0000007f },     /* for user space */
    { 0x314c, 0x0000007f },     /* per core */
    { 0x3150, 0x0000007f },
    { 0x3154, 0x0000007f },
    { 0x3158, 0x0000007f },
    { 0x315c, 0x0000007f },
    { 0x3160, 0x0000007f },
    { 0x3164, 0x0000007f },
    { 0x3168, 0x0000007f },
    { 0x316c, 0x00000010 },
    { 0x3170, 0x00000010 },
    { }
};

static const HisiAccReg hpre_reset[] = {
    { 0x301a00, 0x00000001 },   /* read channel initialized */
    { 0x302080, 0x000003ff },   /* cores of the cluster initialized */
    { }
};

static const HisiAccEngine hpre_engine = {
    .name = "HPRE",
    .vf_type = TYPE_HISI_HPRE_VF,
    .device_id = 0xa258,
    .vf_device_id = 0xa259,
    .sqe_size = 64,
    .caps = hpre_caps,
    .reset = hpre_reset,
    .int_source = 0x301600,
    .int_mask = 0x301400,
    .int_status = 0x301800,
    .fetch = hpre_fetch,
    .execute = hpre_execute,
    .complete = hpre_complete,
    .release = hpre_release,
    .is_spent = hpre_is_spent,
};

static void hpre_class_init(ObjectClass *klass, void *data)
{
    g_auto(gcry_ctx_t) last = NULL;

    hisi_acc_gcrypt_init();
    /*
     * The first user of curves fills a table of the primes up to its own, and
     * takes no lock. This is the last of them, and we are alone here.
     */
    gcry_mpi_ec_new(&last, NULL, "secp256k1");
    hisi_acc_engine_class_init(klass, data);
}

static const TypeInfo hpre_types[] = {
    { .name = TYPE_HISI_HPRE,
      .parent = TYPE_HISI_ACC_PF,
      .class_init = hpre_class_init,
      .class_data = (void *)&hpre_engine },
    { .name = TYPE_HISI_HPRE_VF,
      .parent = TYPE_HISI_ACC_VF,
      .class_init = hpre_class_init,
      .class_data = (void *)&hpre_engine },
};

DEFINE_TYPES(hpre_types)
