/*
 * HiSilicon accelerator: the function page of the queue manager - registers,
 * mailbox, PF-VF messages
 *
 * The page exists once per function and is reached through the function's own
 * BAR2 or, with the migration controls in the PF, through a window of the PF's
 * BAR2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/log.h"
#include "hisi_acc.h"
#include "trace.h"

/*
 * How long "IFC interrupt mask := 0" waits for restart doorbells before it ends
 * a pause, see reg_write()
 */
#define RESUME_DELAY_NS (1 * SCALE_MS)

static bool in_range(hwaddr off, hwaddr start, hwaddr end)
{
    return off >= start && off < end;
}

/* -------------------------------------------------- capability words */

static uint32_t capability(const HisiAccFn *fn, hwaddr off)
{
    const HisiAccPF *pf = fn->pf;

    switch (off) {
    case QM_CAPS:
        return pf->caps;
    case QM_CAP_XEQ_DEPTH:
        return 0x04000800;
    case QM_CAP_QP_DEPTH:
        return pf->queue_depth << 16 | pf->queue_depth;
    case QM_CAP_EQ_IRQ:
        return 0x10000 | VEC_EQ;
    case QM_CAP_AEQ_IRQ:
        return 0x10000 | VEC_AEQ;
    case QM_CAP_ABN_IRQ:
        return 0x10000 | VEC_ABNORMAL;
    case QM_CAP_IFC_IRQ:
        return 0x10000 | VEC_IFC;
    case QM_CAP_IRQ_NUM:
        /*
         * V3 silicon says 3 for a VF; the driver rounds up to the 4 that the
         * capability has
         */
        return VEC_COUNT << 16 | (VEC_COUNT - 1);
    case QM_CAP_EXT_BAR:
        return 0x14;
    }
    for (const HisiAccReg *cap = pf->engine->caps; cap->offset; cap++) {
        if (cap->offset == off) {
            return cap->value;
        }
    }
    return 0;
}

/* -------------------------------------------------- PF-VF messages (IFC) */

/*
 * Each side has one message slot per VF; "pending" works while the interrupt is
 * masked
 */
static void ifc_interrupt(HisiAccFn *fn)
{
    if (!(fn->reg[QM_IFC_INT_MASK / 4] & 1)) {
        hisi_acc_irq(fn, VEC_IFC);
    }
}

static bool ifc_source(const HisiAccFn *fn)
{
    return fn->id ? fn->ifc_pending : fn->pf->ifc_source != 0;
}

static void ifc_vf_rings_pf(HisiAccFn *fn)
{
    HisiAccPF *pf = fn->pf;

    fn->reg[QM_IFC_INT_SET_V / 4] |= 1;
    pf->ifc_source |= BIT_ULL(fn->id);
    ifc_interrupt(&pf->fn[0]);
}

static void ifc_vf_acks(HisiAccFn *fn)
{
    fn->ifc_pending = false;
    fn->pf->ifc_ready &= ~BIT_ULL(fn->id);
}

void hisi_acc_ifc_ring_vfs(HisiAccPF *pf)
{
    uint32_t target = extract32(pf->reg[(QM_IFC_INT_CFG - QM_PF_GLOBALS) / 4],
                                0, 7);

    for (unsigned i = 1; i < HISI_ACC_FNS; i++) {
        HisiAccFn *fn = &pf->fn[i];

        if ((target != 0x7f && target != i) || !hisi_acc_fn_enabled(fn)) {
            continue;
        }
        if (pf->hw == HISI_ACC_HW_V4) {
            /* the message register names no target, so latch on ring */
            fn->ifc_to_vf = pf->ifc_out;
        }
        fn->ifc_pending = true;
        pf->ifc_ready |= BIT_ULL(i);
        ifc_interrupt(fn);
    }
}

static bool ifc_send(HisiAccFn *fn, unsigned target, uint64_t msg)
{
    HisiAccPF *pf = fn->pf;

    if (fn->id) {
        fn->ifc_to_pf = msg;
        return true;
    }
    if (target != 0xffff && (!target || target >= HISI_ACC_FNS)) {
        return false;
    }
    for (unsigned i = 1; i < HISI_ACC_FNS; i++) {
        if (target == 0xffff || target == i) {
            pf->fn[i].ifc_to_vf = msg;
        }
    }
    return true;
}

/* -------------------------------------------------- mailbox */

static void mailbox_done(HisiAccFn *fn, bool ok, uint64_t result)
{
    uint32_t w0 = fn->mb_in[0] & ~(MB_BUSY | MB_STATUS_MASK);

    fn->mb_busy = false;
    fn->mb_out[0] = w0 | (ok ? 0 : 1 << MB_STATUS_SHIFT);
    if (ok && (w0 & MB_READ)) {
        fn->mb_out[1] = result;
        fn->mb_out[2] = result >> 32;
    }
    trace_hisi_acc_mailbox_done(fn->id, w0 & 0xff, !ok, result);
}

/* Has the stop, flush or pause that keeps the mailbox busy been achieved? */
static bool mailbox_wait_over(HisiAccFn *fn)
{
    unsigned qn = fn->mb_in[0] >> 16;

    switch (fn->mb_in[0] & 0xff) {
    case MB_STOP_QP:
        /* the PF may have taken the queue away meanwhile */
        return qn >= fn->nr_queues || hisi_acc_queue_idle(&fn->queues[qn]);
    case MB_FLUSH_QM:
        return hisi_acc_fn_idle(fn);
    case MB_PAUSE_QM:
        if (hisi_acc_fault(fn, FAULT_PAUSE_STUCK)) {
            return false;
        }
        if (hisi_acc_quirk(fn, QUIRK_PAUSE_EARLY)) {
            return true;
        }
        return fn->pf->pause_policy == PAUSE_HOLD ? !fn->in_flight
                                                  : hisi_acc_fn_idle(fn);
    default:
        g_assert_not_reached();
    }
}

void hisi_acc_mailbox_progress(HisiAccFn *fn)
{
    if (!fn->mb_busy || !mailbox_wait_over(fn)) {
        return;
    }
    if ((fn->mb_in[0] & 0xff) == MB_PAUSE_QM) {
        fn->paused = fn->pf->pause_policy == PAUSE_HOLD;
        trace_hisi_acc_paused(fn->id);
        hisi_acc_check_idle(fn);
    }
    mailbox_done(fn, true, 0);
}

static void mailbox_wait(HisiAccFn *fn)
{
    fn->mb_busy = true;
    if (fn->pf->pause_sync) {
        hisi_acc_jobs_finish_now(fn);
    }
    hisi_acc_mailbox_progress(fn);
}

static void mailbox_execute(HisiAccFn *fn)
{
    unsigned opcode = fn->mb_in[0] & 0xff, qn = fn->mb_in[0] >> 16;
    uint64_t addr = deposit64(fn->mb_in[1], 32, 32, fn->mb_in[2]);
    bool read = fn->mb_in[0] & MB_READ;
    const HisiAccFault *fail = hisi_acc_fault(fn, FAULT_MAILBOX_FAIL);
    uint64_t result = 0;
    bool ok = true;

    fn->stats[STAT_MAILBOX_COMMANDS]++;
    trace_hisi_acc_mailbox(fn->id, opcode, read, qn, addr);
    memcpy(fn->mb_out, fn->mb_in, sizeof(fn->mb_out));

    if (fail && (fail->arg == FAULT_ANY_ARG || fail->arg == opcode)) {
        mailbox_done(fn, false, 0);
        return;
    }

    switch (opcode) {
    case MB_SQC:
    case MB_CQC:
    case MB_EQC:
    case MB_AEQC:
        ok = hisi_acc_context_mailbox(fn, opcode, qn, addr, read);
        break;
    case MB_SQC_BT:
    case MB_CQC_BT: {
        uint64_t *bt = opcode == MB_SQC_BT ? &fn->sqc_bt : &fn->cqc_bt;

        if (!read) {
            *bt = addr;
        }
        if (!read && !hisi_acc_quirk(fn, QUIRK_TABLES_KEEP_CACHES)) {
            hisi_acc_queues_invalidate(fn, opcode == MB_SQC_BT,
                                       opcode == MB_CQC_BT);
        }
        result = hisi_acc_quirk(fn, QUIRK_TABLES_READ_ZERO) ? 0 : *bt;
        break;
    }
    case MB_SQC_VFT:
        result = fn->pf->vft[VFT_SQC][fn->id];
        break;
    case MB_STOP_QP:
        if (qn < fn->nr_queues) {
            mailbox_wait(fn);
            return;
        }
        ok = false;
        break;
    case MB_PAUSE_QM:
        if (!fn->sqc_bt && hisi_acc_quirk(fn, QUIRK_BLANK_PAUSE_FAILS)) {
            ok = false;
            break;
        }
        hisi_acc_pause(fn);
        /* fall through */
    case MB_FLUSH_QM:
        mailbox_wait(fn);
        return;
    case MB_IFC_SRC:
        ok = ifc_send(fn, qn, addr);
        break;
    case MB_IFC_DST:
        ok = qn < HISI_ACC_FNS;
        result = !ok ? 0 : fn->id ? fn->ifc_to_vf : fn->pf->fn[qn].ifc_to_pf;
        fn->mb_in[0] |= MB_READ;    /* Linux 6.12 asks without the read bit */
        break;
    default:
        qemu_log_mask(LOG_GUEST_ERROR,
                      "hisi-acc: fn %u: unknown mailbox opcode 0x%x\n", fn->id,
                      opcode);
        ok = false;
    }
    mailbox_done(fn, ok, result);
}

/*
 * A command is one 16-byte store, which reaches us as two or four accesses in
 * ascending order. It is complete with its last word, and not busy before, so
 * that nobody sees busy without a command.
 */
static void mailbox_write(HisiAccFn *fn, unsigned i, uint32_t val)
{
    fn->mb_in[i] = fn->mb_busy ? fn->mb_in[i] : val;
    if (i != 3) {
        return;
    }
    if (fn->mb_busy || hisi_acc_fault(fn, FAULT_MAILBOX_BUSY)) {
        hisi_acc_violation(fn, VIOLATION_MAILBOX_OVERRUN, 0, fn->mb_in[0]);
        return;
    }
    mailbox_execute(fn);
}

static uint32_t mailbox_read(const HisiAccFn *fn, unsigned i)
{
    bool busy = fn->mb_busy || hisi_acc_fault(fn, FAULT_MAILBOX_BUSY);

    return fn->mb_out[i] | (i == 0 && busy ? MB_BUSY : 0);
}

/* -------------------------------------------------- registers */

/*
 * With the controls in the PF all of the VF's BAR2 is the guest's, and there is
 * nothing where they are otherwise
 */
static bool controls_absent(const HisiAccFn *fn, hwaddr off, bool window)
{
    return fn->id && !window && hisi_acc_controls_in_pf(fn->pf) &&
           in_range(off, QM_MIG_VF_XEQC,
                    QM_MIG_VF_XEQC + 2 * QM_MIG_XEQC_STRIDE);
}

/* The context dword behind a migration control, NULL if off is none */
static uint32_t *migration_dword(HisiAccFn *fn, hwaddr off, bool window,
                                 unsigned *which, unsigned *dw)
{
    hwaddr base = window ? QM_MIG_PF_XEQC : QM_MIG_VF_XEQC;

    if (!fn->id || !in_range(off, base, base + 2 * QM_MIG_XEQC_STRIDE) ||
        controls_absent(fn, off, window)) {
        return NULL;
    }
    *which = (off - base) / QM_MIG_XEQC_STRIDE;
    *dw = (off - base) % QM_MIG_XEQC_STRIDE / 4;
    return *dw < 7 ? &fn->eq[*which].ctx.dw[*dw] : NULL;
}

static uint32_t reg_read(HisiAccFn *fn, hwaddr off, bool window)
{
    unsigned which, dw;
    uint32_t *p = migration_dword(fn, off, window, &which, &dw);

    if (p) {
        return *p;
    }
    switch (off) {
    case QM_IFC_INT_SOURCE_V:
        return ifc_source(fn);
    case QM_IFC_INT_STATUS:
        return ifc_source(fn) && !(fn->reg[QM_IFC_INT_MASK / 4] & 1);
    case QM_CACHE_WB_DONE:
        if (fn->wb_done && hisi_acc_quirk(fn, QUIRK_WB_DONE_WRITABLE)) {
            return fn->wb_done;
        }
        return !fn->wb_pending || !hisi_acc_fault(fn, FAULT_WRITEBACK_STUCK);
    case QM_MAILBOX ... QM_MAILBOX_END - 1:
        return mailbox_read(fn, (off - QM_MAILBOX) / 4);
    case QM_PF2VF_MSG:
        return fn->ifc_to_vf;
    case QM_PF2VF_MSG + 4:
        return fn->ifc_to_vf >> 32;
    case QM_CAPS ... QM_CAPS + 0xfc:
        return capability(fn, off);
    }
    return off < QM_FN_REGS_END ? fn->reg[off / 4] : 0;
}

static void reg_write(HisiAccFn *fn, hwaddr off, uint32_t val, bool window)
{
    unsigned which, dw;
    uint32_t *p = migration_dword(fn, off, window, &which, &dw);

    if (p) {
        if (hisi_acc_quirk(fn, QUIRK_EQC_READ_ONLY)) {
            return;
        }
        *p = val;
        /*
         * The last dword completes the context. Whether it was signalled does
         * not migrate.
         */
        if (dw == 6 && !hisi_acc_quirk(fn, QUIRK_EQC_NOT_TAKEN_OVER)) {
            fn->eq[which].ctx.valid = fn->eq[which].ctx.dw[1] ||
                                      fn->eq[which].ctx.dw[2];
            fn->eq[which].signalled = false;
        }
        return;
    }

    switch (off) {
    case QM_EQ_INT_MASK:
    case QM_AEQ_INT_MASK:
        fn->reg[off / 4] = val;
        hisi_acc_eq_update(fn, off == QM_AEQ_INT_MASK);
        break;
    case QM_IFC_INT_SOURCE_V:
        if ((val & 1) && hisi_acc_quirk(fn, QUIRK_MESSAGE_SOURCE_STICKS)) {
            fn->ifc_pending = true;
        } else if ((val & 1) && fn->id) {
            ifc_vf_acks(fn);
        }
        break;
    case QM_IFC_INT_MASK:
        fn->reg[off / 4] = val;
        if (!(val & 1) && ifc_source(fn)) {
            ifc_interrupt(fn);
        }
        if (hisi_acc_quirk(fn, QUIRK_MASK_KEEPS_PAUSE)) {
            break;
        }
        /*
         * The in-kernel migration driver undoes a pause with this write alone
         * when it cancels a migration (hisi_acc_vf_start_device() with no queue
         * count), and otherwise with this write followed by restart doorbells.
         * Wait a moment for the latter, so that queues which are about to be
         * reloaded do not run from their caches first.
         */
        if (!(val & 1) && fn->paused && !fn->sqc_bt) {
            /* Without tables there is nothing that could be reloaded */
            hisi_acc_resume(fn);
        } else if (!(val & 1) && fn->paused) {
            timer_mod(fn->resume_timer,
                      qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + RESUME_DELAY_NS);
        }
        break;
    case QM_IFC_INT_SET_V:
        if ((val & 1) && fn->id) {
            ifc_vf_rings_pf(fn);
        }
        break;
    case QM_CACHE_WB_DONE:
        fn->wb_done = val;
        break;
    case QM_CACHE_WB_START:
        if (val & 1) {
            fn->wb_pending = true;
            if (!hisi_acc_fault(fn, FAULT_WRITEBACK_STUCK)) {
                hisi_acc_writeback(fn);
            }
        }
        break;
    case QM_MAILBOX ... QM_MAILBOX_END - 1:
        mailbox_write(fn, (off - QM_MAILBOX) / 4, val);
        break;
    case QM_VF2PF_MSG:
        fn->ifc_to_pf = deposit64(fn->ifc_to_pf, 0, 32, val);
        break;
    case QM_VF2PF_MSG + 4:
        fn->ifc_to_pf = deposit64(fn->ifc_to_pf, 32, 32, val);
        break;
    case QM_DB_SQ_CQ:
    case QM_DB_EQ_AEQ:
        fn->db_latch[off == QM_DB_EQ_AEQ] = val;
        break;
    case QM_DB_SQ_CQ + 4:
    case QM_DB_EQ_AEQ + 4:
        hisi_acc_doorbell(
            fn, deposit64(fn->db_latch[off == QM_DB_EQ_AEQ + 4], 32, 32, val));
        break;
    case QM_QUE_ISO_CFG:
    case QM_PAGE_SIZE_CFG:
    case QM_FUN_DB_DROP:
    case QM_VF_STATE:
        fn->reg[off / 4] = val;
        break;
    }
}

static bool is_mailbox(hwaddr off)
{
    return in_range(off, QM_MAILBOX, QM_MAILBOX_END);
}

static bool is_doorbell(hwaddr off)
{
    return in_range(off, QM_DB_SQ_CQ, QM_DB_SQ_CQ + 8) ||
           in_range(off, QM_DB_EQ_AEQ, QM_DB_EQ_AEQ + 8);
}

uint64_t hisi_acc_fn_read(HisiAccFn *fn, hwaddr off, unsigned size, bool window)
{
    uint64_t val;

    if (is_mailbox(off)) {
        /* the upper half of a 16-byte read belongs to the lower */
        fn->stats[STAT_MAILBOX_READS] += size == 4 || off == QM_MAILBOX;
    } else {
        fn->stats[window ? STAT_WINDOW_READS : STAT_READS]++;
    }
    if (controls_absent(fn, off, window)) {
        hisi_acc_violation(fn, VIOLATION_NO_WINDOW, 0, off);
    }

    if (hisi_acc_fault(fn, FAULT_DEAD)) {
        val = MAKE_64BIT_MASK(0, size * 8);
    } else {
        val = reg_read(fn, off, window);
        if (size == 8) {
            val = deposit64(val, 32, 32, reg_read(fn, off + 4, window));
        }
    }
    trace_hisi_acc_fn_read(fn->id, window, off, size, val);
    return val;
}

void hisi_acc_fn_write(HisiAccFn *fn, hwaddr off, uint64_t val, unsigned size,
                       bool window)
{
    trace_hisi_acc_fn_write(fn->id, window, off, size, val);
    if (!is_mailbox(off) && !is_doorbell(off)) {
        fn->stats[window ? STAT_WINDOW_WRITES : STAT_WRITES]++;
    }
    if (controls_absent(fn, off, window)) {
        hisi_acc_violation(fn, VIOLATION_NO_WINDOW, 0, off);
    }
    if (hisi_acc_fault(fn, FAULT_DEAD)) {
        return;
    }
    reg_write(fn, off, val, window);
    if (size == 8) {
        reg_write(fn, off + 4, val >> 32, window);
    }
}

/*
 * Of PF or VF: everything but the queues' division among functions, which is
 * the PF's
 */
void hisi_acc_fn_reset(HisiAccFn *fn)
{
    HisiAccPF *pf = fn->pf;
    bool ready = hisi_acc_quirk(fn, QUIRK_RESET_KEEPS_READY) &&
                 !fn->reg[QM_VF_STATE / 4];

    hisi_acc_queues_reset(fn);
    fn->irqs = 0;
    memset(fn->reg, 0, sizeof(fn->reg));
    fn->reg[QM_AEQ_INT_MASK / 4] = 1;
    fn->reg[QM_EQ_INT_MASK / 4] = 1;
    /*
     * A VF starts with messages unmasked: its driver does not touch the mask
     * after an FLR of the VF and still has to hear of the next reset of the PF.
     * The PF's driver polls for answers after an FLR of the PF and unmasks when
     * it has seen them all.
     */
    fn->reg[QM_IFC_INT_MASK / 4] = fn->id == 0;
    fn->reg[QM_VF_STATE / 4] = !ready;
    memset(fn->mb_in, 0, sizeof(fn->mb_in));
    memset(fn->mb_out, 0, sizeof(fn->mb_out));
    fn->mb_busy = false;
    fn->wb_pending = false;
    fn->wb_done = 0;
    fn->ifc_pending = false;
    fn->ifc_to_vf = 0;
    fn->ifc_to_pf = 0;
    pf->ifc_ready &= ~BIT_ULL(fn->id);
    pf->ifc_source &= ~BIT_ULL(fn->id);
}
