/*
 * HiSilicon accelerator: ZIP engine, raw deflate and inflate, LZ4 compression
 *
 * The format of submissions is that of Linux's
 * drivers/crypto/hisilicon/zip ("type 3" SQEs with hardware SGLs);
 * real hardware knows more formats that no kernel submits.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "hisi_acc.h"
#include <lz4.h>
#include <zlib.h>

#define TYPE_HISI_ZIP       "hisi-zip"
#define TYPE_HISI_ZIP_VF    "hisi-zip-vf"

/* Dwords of the SQE */
enum {
    SQE_CONSUMED = 0,
    SQE_PRODUCED = 1,
    SQE_STATUS = 3,
    SQE_RESULTS = 4,            /* number of dwords that the engine may write */
    SQE_INPUT_LEN = 4,
    SQE_TYPE = 7,               /* and offset into the input */
    SQE_OUTPUT_OFFSET = 8,
    SQE_REQUEST = 9,
    SQE_OUTPUT_LEN = 14,
    SQE_SOURCE = 18,
    SQE_DEST = 20,
};

/*
 * Only 0 and 0x0d (output longer than input, a success too) are known from the
 * driver
 */
enum {
    STATUS_OK = 0,
    STATUS_NO_SPACE = 2,
    STATUS_DATA = 3,
    STATUS_FORMAT = 4,
    STATUS_DMA = 5
};

enum { ALG_COMPRESS = 0, ALG_DECOMPRESS = 1 };  /* of the queue, SQC alg type */

#define SQE_TYPE_SGL3       3
enum { REQUEST_DEFLATE = 1, REQUEST_LZ4 = 4 };
#define BUFFER_SGL          1

/* Of one buffer: what a guest may make us allocate */
#define BUFFER_MAX          (32 * MiB)

typedef struct ZipWork {
    uint8_t *in, *out;
    size_t in_len, out_max;
    GArray *dest;               /* of HisiAccPiece */
    int window_bits;
    bool compress, lz4;
} ZipWork;

static void zip_fetch(HisiAccJob *job)
{
    const uint32_t *sqe = job->sqe;
    ZipWork *w = g_new0(ZipWork, 1);
    unsigned window = extract32(sqe[SQE_REQUEST], 12, 4);
    GArray *src;

    job->work = w;
    w->compress = job->alg_type == ALG_COMPRESS;
    w->lz4 = extract32(sqe[SQE_REQUEST], 0, 8) == REQUEST_LZ4;
    /* 0, 1, 2, 4 stand for 4, 8, 16, 32 KiB. A decompressor takes any. */
    w->window_bits = w->compress ? MIN(12 + window, 15) : 15;
    w->in_len = sqe[SQE_INPUT_LEN];
    w->out_max = MIN(sqe[SQE_OUTPUT_LEN], BUFFER_MAX);
    if (extract32(sqe[SQE_TYPE], 28, 4) != SQE_TYPE_SGL3 ||
        (extract32(sqe[SQE_REQUEST], 0, 8) != REQUEST_DEFLATE &&
         !(w->lz4 && w->compress)) ||
        extract32(sqe[SQE_REQUEST], 8, 4) != BUFFER_SGL ||
        job->alg_type > ALG_DECOMPRESS || w->in_len > BUFFER_MAX) {
        job->status = STATUS_FORMAT;
        return;
    }

    src = hisi_acc_sgl_walk(job->fn, hisi_acc_sqe_quad(job, SQE_SOURCE),
                            extract32(sqe[SQE_TYPE], 0, 24), w->in_len);
    w->dest = hisi_acc_sgl_walk(job->fn, hisi_acc_sqe_quad(job, SQE_DEST),
                                extract32(sqe[SQE_OUTPUT_OFFSET], 0, 24),
                                w->out_max);
    w->in = g_malloc(w->in_len);
    w->out = g_malloc(w->out_max);
    if (!src || !w->dest ||
        !hisi_acc_pieces_copy(job->fn, src, w->in, w->in_len, false)) {
        job->status = STATUS_DMA;
    }
    if (src) {
        g_array_free(src, true);
    }
}

/* One block without a frame */
static void lz4_execute(HisiAccJob *job)
{
    ZipWork *w = job->work;

    job->bytes_out = LZ4_compress_default((const char *)w->in, (char *)w->out,
                                          w->in_len, w->out_max);
    if (!job->bytes_out) {
        job->status = STATUS_NO_SPACE;
        return;
    }
    job->bytes_in = w->in_len;
}

static void deflate_execute(HisiAccJob *job)
{
    ZipWork *w = job->work;
    z_stream z = {
        .next_in = w->in,
        .avail_in = w->in_len,
        .next_out = w->out,
        .avail_out = w->out_max,
    };
    int ret;

    if (w->compress) {
        ret = deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, -w->window_bits,
                           MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY);
        if (ret == Z_OK) {
            ret = deflate(&z, Z_FINISH);
            deflateEnd(&z);
        }
    } else {
        ret = inflateInit2(&z, -w->window_bits);
        if (ret == Z_OK) {
            ret = inflate(&z, Z_FINISH);
            inflateEnd(&z);
        }
    }
    if (ret != Z_STREAM_END) {
        job->status = !z.avail_out ? STATUS_NO_SPACE : STATUS_DATA;
        return;
    }
    job->bytes_in = z.total_in;
    job->bytes_out = z.total_out;
}

static void zip_execute(HisiAccJob *job)
{
    ZipWork *w = job->work;

    if (w->lz4) {
        lz4_execute(job);
    } else {
        deflate_execute(job);
    }
}

static void zip_complete(HisiAccJob *job)
{
    ZipWork *w = job->work;

    if (!job->status &&
        !hisi_acc_pieces_copy(job->fn, w->dest, w->out, job->bytes_out, true)) {
        job->status = STATUS_DMA;
    }
    if (job->status) {
        job->failed = true;
        job->bytes_in = 0;
        job->bytes_out = 0;
    }
    job->sqe[SQE_CONSUMED] = job->bytes_in;
    job->sqe[SQE_PRODUCED] = job->bytes_out;
    job->sqe[SQE_STATUS] = deposit32(job->sqe[SQE_STATUS], 0, 8, job->status);
    /*
     * Only the results: the rest of the slot, the tag above all, stays as
     * submitted
     */
    if (!hisi_acc_dma_write_dwords(job->fn, job->sqe_addr, job->sqe,
                                   SQE_RESULTS)) {
        job->failed = true;
    }
}

static void zip_release(HisiAccJob *job)
{
    ZipWork *w = job->work;

    if (w->dest) {
        g_array_free(w->dest, true);
    }
    g_free(w->in);
    g_free(w->out);
    g_free(w);
}

/*
 * Submitters clear the result fields, so these tell that the entry was
 * completed before
 */
static bool zip_is_spent(const uint32_t *sqe)
{
    return sqe[SQE_CONSUMED] || sqe[SQE_PRODUCED] ||
           extract32(sqe[SQE_STATUS], 0, 8);
}

static const HisiAccReg zip_caps[] = {
    { 0x3124, 0x00007c77 },     /* QM errors that are non-fatal */
    { 0x3128, 0x00006c77 },     /* ... that need a reset */
    { 0x312c, 0x00000008 },     /* ... that are correctable */
    { 0x3130, 0x00001ffe },     /* the same of the engine */
    { 0x3134, 0x000007fe },
    { 0x3138, 0x00000001 },
    { 0x313c, 0x12050203 },     /* 1 cluster, 2 kinds, 5 cores: 2 + 3 */
    { 0x3140, 0x001c0003 },     /* which of them are enabled */
    { 0x3144, 0x00000130 },     /* for the crypto API: deflate, LZ4 */
    { 0x3148, 0x0000003f },     /* for user space, without LZ4 */
    { 0x314c, 0x000000d5 },     /* per core */
    { 0x3150, 0x000000d5 },
    { 0x3154, 0x0000002a },
    { 0x3158, 0x0000002a },
    { 0x315c, 0x0000002a },
    { }
};

static const HisiAccEngine zip_engine = {
    .name = "ZIP",
    .vf_type = TYPE_HISI_ZIP_VF,
    .device_id = 0xa250,
    .vf_device_id = 0xa251,
    .sqe_size = 128,
    .caps = zip_caps,
    .raz = 0x302000,            /* a page of counters per core */
    .raz_end = 0x30a000,
    .int_source = 0x3010a0,
    .int_mask = 0x3010a4,
    .int_status = 0x3010ac,
    .fetch = zip_fetch,
    .execute = zip_execute,
    .complete = zip_complete,
    .release = zip_release,
    .is_spent = zip_is_spent,
};

static const TypeInfo zip_types[] = {
    { .name = TYPE_HISI_ZIP,
      .parent = TYPE_HISI_ACC_PF,
      .class_init = hisi_acc_engine_class_init,
      .class_data = (void *)&zip_engine },
    { .name = TYPE_HISI_ZIP_VF,
      .parent = TYPE_HISI_ACC_VF,
      .class_init = hisi_acc_engine_class_init,
      .class_data = (void *)&zip_engine },
};

DEFINE_TYPES(zip_types)
