/*
 * HiSilicon accelerator: scatter lists of the engines' buffers
 *
 * The format is that of Linux's drivers/crypto/hisilicon/sgl.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "hisi_acc.h"

#define SGL_HEADER          64
#define SGL_ENTRY           32
/* Entries in use; 0x08 is the capacity in what the kernel writes */
#define SGL_VALID_OFFSET    0x0a
#define SGL_ENTRIES_MAX     255
#define SGL_CHAIN_MAX       64

/*
 * Collect the pieces (HisiAccPiece) of a logical buffer [offset, offset + len)
 * from a chain of SGLs. NULL if it cannot be read.
 */
GArray *hisi_acc_sgl_walk(HisiAccFn *fn, uint64_t addr, uint64_t offset,
                          uint64_t len)
{
    GArray *pieces = g_array_new(false, false, sizeof(HisiAccPiece));
    g_autofree uint8_t *entries = g_malloc(SGL_ENTRIES_MAX * SGL_ENTRY);

    for (unsigned i = 0; addr && len && i < SGL_CHAIN_MAX; i++) {
        uint8_t header[SGL_HEADER];
        unsigned valid;

        if (!hisi_acc_dma_read(fn, addr, header, sizeof(header))) {
            goto fail;
        }
        valid = lduw_le_p(header + SGL_VALID_OFFSET);
        if (valid > SGL_ENTRIES_MAX ||
            !hisi_acc_dma_read(fn, addr + SGL_HEADER, entries,
                               valid * SGL_ENTRY)) {
            goto fail;
        }
        for (unsigned j = 0; j < valid && len; j++) {
            uint64_t base = ldq_le_p(entries + j * SGL_ENTRY);
            uint64_t size = ldl_le_p(entries + j * SGL_ENTRY + 0x10);
            uint64_t skip = MIN(offset, size);
            HisiAccPiece piece = { base + skip, MIN(size - skip, len) };

            offset -= skip;
            len -= piece.len;
            g_array_append_val(pieces, piece);
        }
        addr = ldq_le_p(header);
    }
    return pieces;

fail:
    g_array_free(pieces, true);
    return NULL;
}

/*
 * Between a buffer of ours and pieces of guest memory. False if memory could
 * not be reached, or the pieces hold less than len.
 */
bool hisi_acc_pieces_copy(HisiAccFn *fn, GArray *pieces, uint8_t *buf,
                          size_t len, bool to_guest)
{
    for (unsigned i = 0; i < pieces->len && len; i++) {
        const HisiAccPiece *piece = &g_array_index(pieces, HisiAccPiece, i);
        size_t n = MIN(piece->len, len);

        if (!(to_guest ? hisi_acc_dma_write(fn, piece->addr, buf, n)
                       : hisi_acc_dma_read(fn, piece->addr, buf, n))) {
            return false;
        }
        buf += n;
        len -= n;
    }
    return !len;
}
