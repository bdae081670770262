/*
 * HiSilicon accelerator: SEC engine, ciphers and authenticated encryption
 *
 * The format of submissions is that of Linux's drivers/crypto/hisilicon/sec2
 * for V3 and later, the "type 3" BD; real hardware knows more, also of that
 * type, that no kernel submits.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "hisi_acc.h"
#include "sec.h"
#include "trace.h"

#define TYPE_HISI_SEC       "hisi-sec"
#define TYPE_HISI_SEC_VF    "hisi-sec-vf"

/* Dwords of the BD. Not all quadwords are aligned. */
enum {
    BD_PARAM = 0,
    BD_CIPHER = 1,
    BD_SOURCE = 4,
    BD_AUTH_KEY = 6,
    BD_AUTH_IV = 8,
    BD_KEY = 12,
    BD_AUTH = 14,
    BD_OFFSETS = 16,
    BD_AUTH_LEN = 17,
    BD_CIPHER_LEN = 18,
    BD_DEST = 19,
    BD_TAG = 21,
    BD_IV = 23,
    BD_RESULT = 28,
};

#define BD_TYPE_3           3
enum { ADDR_FLAT = 0, ADDR_SGL = 1 };
enum { CIPHER_ENCRYPT = 1, CIPHER_DECRYPT = 2 };
enum { AUTH_NONE = 0, AUTH_GENERATE = 1, AUTH_VERIFY = 2 };

/* Bits of the result: done, tag, kind of the job, error */
#define RESULT_DONE         (1 << 0)
#define RESULT_TAG_GOOD     (1 << 1)
#define RESULT_TAG_BAD      (2 << 1)
#define RESULT_CIPHER       (2 << 7)
#define RESULT_AEAD         (3 << 7)
#define RESULT_ERROR_SHIFT  16
/* All that the engine writes; the rest of the dword stays */
#define RESULT_MASK         0x00ff078f

/* Which values hardware uses is not known; drivers tell only 0 from others */
enum {
    STATUS_OK = 0,
    STATUS_FORMAT = 1,
    STATUS_ALGORITHM = 2,
    STATUS_LENGTH = 3,
    STATUS_DMA = 4,
    STATUS_INTERNAL = 5
};

typedef struct SecWork {
    SecMessage message;
    /* The source up to the end of the payload, or of what is authenticated */
    uint8_t *source;
    size_t source_len;
    GArray *dest;               /* of HisiAccPiece: where the payload goes */
} SecWork;

/* -------------------------------------------------- fetch */

static unsigned address_type(const HisiAccJob *job, unsigned shift)
{
    return extract32(job->sqe[BD_PARAM], shift, 3);
}

static bool in_place(const HisiAccJob *job)
{
    return !extract32(job->sqe[BD_PARAM], 9, 2);
}

static bool read_flat(HisiAccJob *job, unsigned dw, void *buf, size_t len)
{
    uint64_t addr = hisi_acc_sqe_quad(job, dw);

    return !len || (addr && hisi_acc_dma_read(job->fn, addr, buf, len));
}

/*
 * The pieces of [offset, offset + len) of source or destination, NULL if they
 * cannot be had
 */
static GArray *walk(HisiAccJob *job, bool dest, uint64_t offset, uint64_t len)
{
    uint64_t addr = hisi_acc_sqe_quad(job, dest ? BD_DEST : BD_SOURCE);
    uint64_t found = 0;
    GArray *pieces;

    if (len && !addr) {
        return NULL;
    }
    if (address_type(job, dest ? 14 : 11) == ADDR_SGL) {
        pieces = hisi_acc_sgl_walk(job->fn, addr, offset, len);
    } else {
        HisiAccPiece piece = { addr + offset, len };

        pieces = g_array_new(false, false, sizeof(HisiAccPiece));
        g_array_append_val(pieces, piece);
    }
    for (unsigned i = 0; pieces && i < pieces->len; i++) {
        found += g_array_index(pieces, HisiAccPiece, i).len;
    }
    if (pieces && found < len) {
        g_array_free(pieces, true);
        return NULL;
    }
    return pieces;
}

/* What is to be done; nothing is read yet */
static unsigned decode(HisiAccJob *job, SecMessage *m)
{
    const uint32_t *bd = job->sqe;
    unsigned dir = extract32(bd[BD_CIPHER], 0, 2);
    unsigned auth = extract32(bd[BD_AUTH], 0, 2);

    if (extract32(bd[BD_PARAM], 0, 4) != BD_TYPE_3 ||
        extract32(bd[BD_PARAM], 4, 5) ||            /* invalid; scene */
        extract32(bd[BD_PARAM], 9, 2) > 1 ||
        address_type(job, 11) > ADDR_SGL || address_type(job, 14) > ADDR_SGL ||
        address_type(job, 17) != ADDR_FLAT ||
        extract32(bd[BD_CIPHER], 2, 2) ||           /* IVs made by SEC */
        extract32(bd[BD_AUTH], 2, 2) ||
        extract32(bd[BD_AUTH], 21, 4)) {            /* keys kept in SEC */
        return STATUS_FORMAT;
    }
    if (dir != CIPHER_ENCRYPT && dir != CIPHER_DECRYPT) {
        return STATUS_FORMAT;
    }
    m->encrypt = dir == CIPHER_ENCRYPT;

    m->mode = extract32(bd[BD_CIPHER], 16, 4);
    m->cipher = sec_cipher_find(extract32(bd[BD_CIPHER], 20, 4),
                                extract32(bd[BD_CIPHER], 13, 3), m->mode);
    if (!m->cipher) {
        return STATUS_ALGORITHM;
    }
    m->key_len = m->cipher->key_len;
    m->iv_len = sec_iv_len(m->cipher, m->mode);
    m->payload_len = extract32(bd[BD_CIPHER_LEN], 0, 24);

    switch (m->mode) {
    case SEC_CCM:
    case SEC_GCM:
        if (auth != AUTH_NONE) {
            return STATUS_FORMAT;
        }
        m->tag_len = extract32(bd[BD_CIPHER], 4, 6);
        break;
    case SEC_XTS:
        m->key_len *= 2;
        break;
    case SEC_CBC:
        if (auth == AUTH_NONE) {
            break;
        }
        if (auth != (m->encrypt ? AUTH_GENERATE : AUTH_VERIFY)) {
            return STATUS_FORMAT;
        }
        m->hmac = sec_hmac_find(extract32(bd[BD_AUTH], 15, 6));
        if (!m->hmac) {
            return STATUS_ALGORITHM;
        }
        m->tag_len = extract32(bd[BD_AUTH], 4, 5) * 4;
        break;
    case SEC_ECB:
    case SEC_CTR:
        break;
    default:
        return STATUS_ALGORITHM;
    }
    /* With encryption comes the tag last, with decryption it is first */
    if (m->tag_len && extract32(bd[BD_CIPHER], 30, 1) == m->encrypt) {
        return STATUS_FORMAT;
    }
    if (m->tag_len) {
        m->aad_len = extract32(bd[BD_AUTH_LEN], 0, 24);
    }
    return sec_message_length_ok(m) ? STATUS_OK : STATUS_LENGTH;
}

static unsigned read_keys(HisiAccJob *job, SecMessage *m)
{
    size_t hmac_key_len = extract32(job->sqe[BD_AUTH], 9, 6) * 4;

    if (m->hmac && hmac_key_len > m->hmac->block) {
        return STATUS_LENGTH;
    }
    if (!read_flat(job, BD_KEY, m->key, m->key_len) ||
        !read_flat(job, BD_IV, m->iv, m->iv_len) ||
        (m->hmac && !read_flat(job, BD_AUTH_KEY, m->hmac_key, hmac_key_len)) ||
        (m->mode == SEC_CCM &&
         !read_flat(job, BD_AUTH_IV, m->b0, sizeof(m->b0))) ||
        (m->tag_len && !hisi_acc_sqe_quad(job, BD_TAG)) ||
        (!m->encrypt && !read_flat(job, BD_TAG, m->tag, m->tag_len))) {
        return STATUS_DMA;
    }
    return STATUS_OK;
}

static unsigned read_source(HisiAccJob *job, SecWork *w)
{
    SecMessage *m = &w->message;
    size_t offset = extract32(job->sqe[BD_OFFSETS], 16, 16);
    size_t auth_offset = extract32(job->sqe[BD_OFFSETS], 0, 16);
    GArray *source;
    bool ok;

    /* Lengths have 24 bits, offsets 16: at most 16 MiB and a bit */
    w->source_len = offset + m->payload_len;
    if (m->tag_len) {
        w->source_len = MAX(w->source_len, auth_offset + m->aad_len);
    }
    source = walk(job, false, 0, w->source_len);
    w->dest = walk(job, !in_place(job), offset, m->payload_len);
    if (source && w->dest) {
        w->source = g_malloc(w->source_len);
        ok = hisi_acc_pieces_copy(job->fn, source, w->source, w->source_len,
                                  false);
        m->payload = w->source + offset;
        m->aad = w->source + auth_offset;
    } else {
        ok = false;
    }
    if (source) {
        g_array_free(source, true);
    }
    return ok ? STATUS_OK : STATUS_DMA;
}

static void sec_fetch(HisiAccJob *job)
{
    SecWork *w = g_new0(SecWork, 1);

    job->work = w;
    job->status = decode(job, &w->message);
    if (!job->status) {
        job->status = read_keys(job, &w->message);
    }
    if (!job->status) {
        job->status = read_source(job, w);
    }
    trace_hisi_acc_sec(job->fn->id, extract32(job->sqe[BD_CIPHER], 20, 4),
                       w->message.mode, extract32(job->sqe[BD_AUTH], 15, 6),
                       w->message.encrypt, address_type(job, 11) == ADDR_SGL,
                       w->message.payload_len, w->message.aad_len,
                       w->message.tag_len, job->status);
}

/* -------------------------------------------------- execute, complete */

static void sec_execute(HisiAccJob *job)
{
    SecWork *w = job->work;

    if (!sec_message_process(&w->message)) {
        job->status = STATUS_INTERNAL;
    }
}

/* Result data to guest memory. Nothing of a message with a wrong tag. */
static bool write_result(HisiAccJob *job)
{
    SecWork *w = job->work;
    SecMessage *m = &w->message;

    job->bytes_in = w->source_len;
    if (m->mismatch) {
        return true;
    }
    job->bytes_out = m->payload_len + (m->encrypt ? m->tag_len : 0);
    return hisi_acc_pieces_copy(job->fn, w->dest, m->payload, m->payload_len,
                                true) &&
           (!m->encrypt || !m->tag_len ||
            hisi_acc_dma_write(job->fn, hisi_acc_sqe_quad(job, BD_TAG), m->tag,
                               m->tag_len));
}

static void sec_complete(HisiAccJob *job)
{
    SecWork *w = job->work;
    uint32_t result = RESULT_DONE;

    if (!job->status && !write_result(job)) {
        job->status = STATUS_DMA;
    }
    if (job->status) {
        job->failed = true;
        job->bytes_in = 0;
        job->bytes_out = 0;
        result |= job->status << RESULT_ERROR_SHIFT;
    } else if (!w->message.tag_len) {
        result |= RESULT_CIPHER;
    } else {
        /* A wrong tag is what the job found out, not an error of it */
        result |= RESULT_AEAD;
        result |= w->message.mismatch ? RESULT_TAG_BAD : RESULT_TAG_GOOD;
    }
    job->sqe[BD_RESULT] &= ~RESULT_MASK;
    job->sqe[BD_RESULT] |= result;
    /*
     * Only the result: the rest of the slot, the tag above all, stays as
     * submitted
     */
    if (!hisi_acc_dma_write_dwords(job->fn, job->sqe_addr + BD_RESULT * 4,
                                   &job->sqe[BD_RESULT], 1)) {
        job->failed = true;
    }
}

static void sec_release(HisiAccJob *job)
{
    SecWork *w = job->work;

    if (w->dest) {
        g_array_free(w->dest, true);
    }
    g_free(w->source);
    g_free(w);
}

/* Submitters clear the result, so it tells of an earlier completion */
static bool sec_is_spent(const uint32_t *sqe)
{
    return sqe[BD_RESULT] & RESULT_MASK;
}

/* -------------------------------------------------- tables */

static const HisiAccReg sec_caps[] = {
    { 0x3124, 0x00007c77 },     /* QM errors that are non-fatal */
    { 0x3128, 0x00006c77 },     /* ... that need a reset */
    { 0x312c, 0x00000008 },     /* ... that are correctable */
    { 0x3130, 0x00060177 },     /* the same of the engine */
    { 0x3134, 0x00000177 },
    { 0x3138, 0x0000c088 },
    { 0x313c, 0x00110404 },     /* 1 cluster, 1 kind, 4 cores */
    { 0x3140, 0x0000000f },     /* which of them are enabled */
    { 0x3144, 0x018670cf },     /* for the crypto API: all that is computed */
    { 0x3148, 0x0000395c },
    { 0x314c, 0xffffffff },     /* for user space */
    { 0x3150, 0x00003fff },
    { 0x3154, 0xffffffff },     /* per core */
    { 0x3158, 0x00003fff },
    { 0x315c, 0xffffffff },
    { 0x3160, 0x00003fff },
    { 0x3164, 0xffffffff },
    { 0x3168, 0x00003fff },
    { 0x316c, 0xffffffff },
    { 0x3170, 0x00003fff },
    { }
};

static const HisiAccReg sec_reset[] = {
    { 0x301104, 1 },            /* memory init is done */
    { }
};

static const HisiAccEngine sec_engine = {
    .name = "SEC",
    .vf_type = TYPE_HISI_SEC_VF,
    .device_id = 0xa255,
    .vf_device_id = 0xa256,
    .sqe_size = 128,
    .caps = sec_caps,
    .reset = sec_reset,
    .int_source = 0x301010,
    .int_mask = 0x301000,
    .int_mask_enables = true,
    .int_status = 0x301008,
    .fetch = sec_fetch,
    .execute = sec_execute,
    .complete = sec_complete,
    .release = sec_release,
    .is_spent = sec_is_spent,
};

static void sec_class_init(ObjectClass *klass, void *engine)
{
    hisi_acc_gcrypt_init();
    hisi_acc_engine_class_init(klass, engine);
}

static const TypeInfo sec_types[] = {
    { .name = TYPE_HISI_SEC,
      .parent = TYPE_HISI_ACC_PF,
      .class_init = sec_class_init,
      .class_data = (void *)&sec_engine },
    { .name = TYPE_HISI_SEC_VF,
      .parent = TYPE_HISI_ACC_VF,
      .class_init = sec_class_init,
      .class_data = (void *)&sec_engine },
};

DEFINE_TYPES(sec_types)
