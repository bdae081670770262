/*
 * HiSilicon accelerator: what only the PF has - queue division, errors,
 * messages, migration windows
 *
 * Offsets that no case below names are plain storage or read as 0: the drivers
 * dump whole blocks of them and expect nothing.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "hisi_acc.h"
#include "trace.h"

#define PF_REG(pf, off) ((pf)->reg[((off) - QM_PF_GLOBALS) / 4])

/* -------------------------------------------------- queue division (VFT) */

static void vft_execute(HisiAccPF *pf)
{
    unsigned type = PF_REG(pf, QM_VFT_TYPE), index = PF_REG(pf, QM_VFT_INDEX);
    bool read = PF_REG(pf, QM_VFT_OP_READ) & 1;
    uint64_t *word;

    PF_REG(pf, QM_VFT_READY) = 1;
    if (type >= VFT_TYPES ||
        index >= (type == VFT_SHAPER ? HISI_ACC_FNS * 2 : HISI_ACC_FNS)) {
        return;
    }
    word = &pf->vft[type][index];
    if (read) {
        PF_REG(pf, QM_VFT_DATA_L) = *word;
        PF_REG(pf, QM_VFT_DATA_H) = *word >> 32;
    } else {
        *word = deposit64(PF_REG(pf, QM_VFT_DATA_L), 32, 32,
                          PF_REG(pf, QM_VFT_DATA_H));
        if (type == VFT_SQC) {
            hisi_acc_queues_resize(&pf->fn[index],
                                   *word & VFT_SQC_VALID
                                       ? extract64(*word, VFT_SQC_NUMBER_SHIFT,
                                                   VFT_SQC_NUMBER_BITS) +
                                             1
                                       : 0);
        }
    }
    trace_hisi_acc_vft(read, type, index, *word);
}

/* QM memory init: queue division and all cached contexts are gone */
static void memory_init(HisiAccPF *pf)
{
    memset(pf->vft, 0, sizeof(pf->vft));
    for (unsigned i = 0; i < HISI_ACC_FNS; i++) {
        hisi_acc_queues_resize(&pf->fn[i], 0);
    }
}

/* -------------------------------------------------- errors */

static uint32_t abnormal_status(const HisiAccPF *pf)
{
    return (PF_REG(pf, QM_ABN_INT_SOURCE) & ~PF_REG(pf, QM_ABN_INT_MASK)) |
           hisi_acc_fault_bits(pf, FAULT_PF_ERROR);
}

static uint32_t engine_status(const HisiAccPF *pf)
{
    const HisiAccEngine *engine = pf->engine;
    uint32_t mask = PF_REG(pf, engine->int_mask);
    uint32_t enabled = engine->int_mask_enables ? mask : ~mask;

    return (PF_REG(pf, engine->int_source) & enabled) |
           hisi_acc_fault_bits(pf, FAULT_ENGINE_ERROR);
}

/* -------------------------------------------------- messages */

static void ifc_ack(HisiAccPF *pf, uint64_t bits)
{
    pf->ifc_source &= ~bits;
    for (unsigned i = 1; i < HISI_ACC_FNS; i++) {
        if (bits & BIT_ULL(i)) {
            pf->fn[i].reg[QM_IFC_INT_SET_V / 4] &= ~1;
        }
    }
}

/* -------------------------------------------------- registers */

static bool engine_raz(const HisiAccPF *pf, hwaddr off)
{
    return off >= pf->engine->raz && off < pf->engine->raz_end;
}

static uint32_t reg_read(HisiAccPF *pf, hwaddr off)
{
    const HisiAccEngine *engine = pf->engine;

    switch (off) {
    case QM_ABN_INT_STATUS:
        return abnormal_status(pf);
    case QM_MEM_INIT_DONE:
        return 1;
    case QM_PEH_DFX_INFO0:
    case QM_PEH_DFX_INFO1:          /* no MSI under way */
        return 0;
    case QM_IFC_READY:
        return pf->ifc_ready;
    case QM_IFC_READY + 4:
        return pf->ifc_ready >> 32;
    case QM_IFC_INT_SOURCE_P:
        return pf->ifc_source;
    case QM_IFC_INT_SOURCE_P + 4:
        return pf->ifc_source >> 32;
    case QM_QP_TOTAL:
        return pf->total_queues << 11 | pf->total_queues;
    case QM_DFX_IDLE:
        return 1;
    case QM_VF2PF_MSG_P ... QM_VF2PF_MSG_P + 4 * HISI_ACC_FNS - 4:
        return pf->fn[(off - QM_VF2PF_MSG_P) / 4].ifc_to_pf;
    case AM_TRANS_RETURN:
        /* reads and writes of the AXI master have all returned */
        return 3;
    }
    if (off == engine->int_status) {
        return engine_status(pf);
    }
    return engine_raz(pf, off) ? 0 : PF_REG(pf, off);
}

static void reg_write(HisiAccPF *pf, hwaddr off, uint32_t val)
{
    const HisiAccEngine *engine = pf->engine;

    switch (off) {
    case QM_ABN_INT_SOURCE:
        PF_REG(pf, off) &= ~val;
        return;
    case QM_ABN_INT_SET:
        PF_REG(pf, QM_ABN_INT_SOURCE) |= val;
        if (abnormal_status(pf)) {
            hisi_acc_irq(&pf->fn[0], VEC_ABNORMAL);
        }
        return;
    case QM_MEM_START_INIT:
        if (val & 1) {
            memory_init(pf);
        }
        return;
    case QM_VFT_OP_ENABLE:
        if (val & 1) {
            vft_execute(pf);
        }
        return;
    case QM_IFC_INT_SET_P:
        if (val & 1) {
            hisi_acc_ifc_ring_vfs(pf);
        }
        return;
    case QM_IFC_INT_SOURCE_P:
        ifc_ack(pf, val);
        return;
    case QM_IFC_INT_SOURCE_P + 4:
        ifc_ack(pf, (uint64_t)val << 32);
        return;
    case QM_PF2VF_MSG_P:
        pf->ifc_out = deposit64(pf->ifc_out, 0, 32, val);
        return;
    case QM_PF2VF_MSG_P + 4:
        pf->ifc_out = deposit64(pf->ifc_out, 32, 32, val);
        return;
    case AM_STATUS ... AM_STATUS_END - 1:
        return;
    }
    if (off == engine->int_source) {
        PF_REG(pf, off) &= ~val;
    } else if (off != engine->int_status && !engine_raz(pf, off)) {
        PF_REG(pf, off) = val;
    }
}

/* -------------------------------------------------- migration windows */

bool hisi_acc_controls_in_pf(const HisiAccPF *pf)
{
    return pf->hw == HISI_ACC_HW_V4 && (PF_REG(pf, QM_MIG_REGION_SEL) & 1);
}

static bool is_window(hwaddr off)
{
    /* one qword more, where the spill of the last window lands */
    return off >= QM_MIG_WINDOW &&
           off < QM_MIG_WINDOW + HISI_ACC_FNS * QM_MIG_WINDOW_SIZE + 8;
}

static HisiAccFn *window_fn(HisiAccPF *pf, unsigned n)
{
    return n > 0 && n < HISI_ACC_FNS && hisi_acc_controls_in_pf(pf) &&
           hisi_acc_fn_enabled(&pf->fn[n]) ? &pf->fn[n] : NULL;
}

static uint64_t window_read(HisiAccPF *pf, hwaddr off, unsigned size)
{
    HisiAccFn *fn = window_fn(pf, (off - QM_MIG_WINDOW) / QM_MIG_WINDOW_SIZE);

    if (!fn) {
        hisi_acc_violation(&pf->fn[0], VIOLATION_NO_WINDOW, 0, off);
        return 0;
    }
    return hisi_acc_fn_read(fn, (off - QM_MIG_WINDOW) % QM_MIG_WINDOW_SIZE,
                            size, true);
}

/*
 * The in-kernel driver rings EQ and AEQ doorbells at the offset they have in
 * the VF's own page, 0x2000. That is just past the window, at offset 0 of the
 * next VF's. Take them for what they are meant to be, so that they do not end
 * in the neighbour's registers, but count them.
 */
static void window_write(HisiAccPF *pf, hwaddr off, uint64_t val, unsigned size)
{
    unsigned n = (off - QM_MIG_WINDOW) / QM_MIG_WINDOW_SIZE;
    HisiAccFn *fn = window_fn(pf, n),
              *neighbour = n ? window_fn(pf, n - 1) : NULL;
    unsigned cmd = extract64(val, 12, 4);

    off = (off - QM_MIG_WINDOW) % QM_MIG_WINDOW_SIZE;
    if (neighbour && off == 0 && size == 8 && (cmd == DB_EQ || cmd == DB_AEQ)) {
        hisi_acc_violation(neighbour, VIOLATION_NEIGHBOUR_WINDOW, 0, val);
        hisi_acc_fn_write(neighbour, QM_DB_EQ_AEQ, val, size, true);
    } else if (fn) {
        hisi_acc_fn_write(fn, off, val, size, true);
    } else {
        hisi_acc_violation(&pf->fn[0], VIOLATION_NO_WINDOW, 0, off);
    }
}

/* -------------------------------------------------- BAR2 */

static uint64_t pf_read(void *opaque, hwaddr off, unsigned size)
{
    HisiAccPF *pf = opaque;
    uint64_t val;

    if (off < QM_PF_GLOBALS) {
        return hisi_acc_fn_read(&pf->fn[0], off, size, false);
    }
    if (is_window(off)) {
        return window_read(pf, off, size);
    }
    pf->fn[0].stats[STAT_READS]++;
    if (hisi_acc_fault(&pf->fn[0], FAULT_DEAD)) {
        return MAKE_64BIT_MASK(0, size * 8);
    }
    val = reg_read(pf, off);
    if (size == 8) {
        val = deposit64(val, 32, 32, reg_read(pf, off + 4));
    }
    trace_hisi_acc_pf_read(off, size, val);
    return val;
}

static void pf_write(void *opaque, hwaddr off, uint64_t val, unsigned size)
{
    HisiAccPF *pf = opaque;

    if (off < QM_PF_GLOBALS) {
        hisi_acc_fn_write(&pf->fn[0], off, val, size, false);
        return;
    }
    if (is_window(off)) {
        window_write(pf, off, val, size);
        return;
    }
    trace_hisi_acc_pf_write(off, size, val);
    pf->fn[0].stats[STAT_WRITES]++;
    if (hisi_acc_fault(&pf->fn[0], FAULT_DEAD)) {
        return;
    }
    reg_write(pf, off, val);
    if (size == 8) {
        reg_write(pf, off + 4, val >> 32);
    }
}

/*
 * One flat region: a hole in a container would read as ones, or abort, in the
 * drivers' block dumps
 */
const MemoryRegionOps hisi_acc_pf_ops = {
    .read = pf_read,
    .write = pf_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 8 },
};

void hisi_acc_pf_reset(HisiAccPF *pf, bool flr)
{
    uint32_t select = PF_REG(pf, QM_MIG_REGION_SEL);

    memset(pf->reg, 0, HISI_ACC_PF_BAR_SIZE - QM_PF_GLOBALS);
    memory_init(pf);
    pf->ifc_ready = 0;
    pf->ifc_source = 0;
    pf->ifc_out = 0;
    PF_REG(pf, QM_ABN_INT_MASK) = UINT32_MAX;
    PF_REG(pf, QM_VFT_READY) = 1;       /* polled before the first operation */
    PF_REG(pf, QM_PEH_VENDOR_ID) = HISI_ACC_VENDOR_ID;
    for (const HisiAccReg *r = pf->engine->reset; r && r->offset; r++) {
        PF_REG(pf, r->offset) = r->value;
    }
    /*
     * The PF driver selects the windows when it probes and never again, so an
     * FLR has to leave them where the migration driver uses them.
     */
    PF_REG(pf, QM_MIG_REGION_SEL) = flr ? select : 0;
}
