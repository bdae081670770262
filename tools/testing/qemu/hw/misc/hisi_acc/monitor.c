/*
 * HiSilicon accelerator: what is seen and set from outside - counters,
 * violations, faults, quirks, pace
 *
 * All of it are QOM properties of the PF that work while the machine runs (QMP
 * qom-get, qom-set).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "hisi_acc.h"
#include "trace.h"

static const char *const stat_names[STAT_COUNT] = {
    [STAT_READS] = "reads",
    [STAT_WRITES] = "writes",
    [STAT_WINDOW_READS] = "window-reads",
    [STAT_WINDOW_WRITES] = "window-writes",
    [STAT_MAILBOX_READS] = "mailbox-reads",
    [STAT_MAILBOX_COMMANDS] = "mailbox-commands",
    [STAT_DOORBELLS] = "doorbells",
    [STAT_RESTARTS] = "restarts",
    [STAT_JOBS] = "jobs",
    [STAT_JOB_ERRORS] = "job-errors",
    [STAT_BYTES_IN] = "bytes-in",
    [STAT_BYTES_OUT] = "bytes-out",
    [STAT_MAX_IN_FLIGHT] = "max-in-flight",
    [STAT_INTERRUPTS] = "interrupts",
    [STAT_PAUSES] = "pauses",
    [STAT_PAUSE_DRAINED] = "pause-drained",
    [STAT_WRITEBACKS] = "writebacks",
    [STAT_FLRS] = "flrs",
};

static const char *const violation_names[VIOLATION_COUNT] = {
    [VIOLATION_DMA_AFTER_PAUSE] = "dma-after-pause",
    [VIOLATION_SQE_TWICE] = "sqe-twice",
    [VIOLATION_STALE_RELOAD] = "stale-reload",
    [VIOLATION_HEAD_TAIL] = "head-tail",
    [VIOLATION_NEIGHBOUR_WINDOW] = "neighbour-window",
    [VIOLATION_NO_WINDOW] = "no-window",
    [VIOLATION_DOORBELL_RANGE] = "doorbell-range",
    [VIOLATION_MAILBOX_OVERRUN] = "mailbox-overrun",
};

static const char *const fault_names[FAULT_COUNT] = {
    [FAULT_MAILBOX_FAIL] = "mailbox-fail",
    [FAULT_MAILBOX_BUSY] = "mailbox-busy",
    [FAULT_PAUSE_STUCK] = "pause-stuck",
    [FAULT_WRITEBACK_STUCK] = "writeback-stuck",
    [FAULT_DEAD] = "dead",
    [FAULT_MSI_LOST] = "msi-lost",
    [FAULT_PF_ERROR] = "pf-error",
    [FAULT_ENGINE_ERROR] = "engine-error",
};

static const char *const quirk_names[QUIRK_COUNT] = {
    [QUIRK_MASK_KEEPS_PAUSE] = "mask-keeps-pause",
    [QUIRK_RESTART_FROM_CACHE] = "restart-from-cache",
    [QUIRK_RESTART_TAKES_INDEX] = "restart-takes-index",
    [QUIRK_PAUSE_EARLY] = "pause-early",
    [QUIRK_PAUSE_RUNS_DOORBELLS] = "pause-runs-doorbells",
    [QUIRK_PAUSE_DROPS_DOORBELLS] = "pause-drops-doorbells",
    [QUIRK_TABLES_KEEP_CACHES] = "tables-keep-caches",
    [QUIRK_TABLES_READ_ZERO] = "tables-read-zero",
    [QUIRK_WB_DONE_WRITABLE] = "wb-done-writable",
    [QUIRK_RESET_KEEPS_EQC] = "reset-keeps-eqc",
    [QUIRK_RESET_KEEPS_TABLES] = "reset-keeps-tables",
    [QUIRK_RESET_KEEPS_READY] = "reset-keeps-ready",
    [QUIRK_RESET_KEEPS_PAUSE] = "reset-keeps-pause",
    [QUIRK_BLANK_PAUSE_FAILS] = "blank-pause-fails",
    [QUIRK_BLANK_WRITEBACK_WRITES] = "blank-writeback-writes",
    [QUIRK_WRITEBACK_SKIPS] = "writeback-skips",
    [QUIRK_EQ_DOORBELL_SILENT] = "eq-doorbell-silent",
    [QUIRK_MESSAGE_SOURCE_STICKS] = "message-source-sticks",
    [QUIRK_EQC_READ_ONLY] = "eqc-read-only",
    [QUIRK_EQC_NOT_TAKEN_OVER] = "eqc-not-taken-over",
};
QEMU_BUILD_BUG_ON(QUIRK_COUNT > 32);

static const char *const pause_names[PAUSE_COUNT] = {
    [PAUSE_HOLD] = "hold",
    [PAUSE_DRAIN] = "drain",
};

/* Index of name in an array of n, n if it is not there */
static unsigned find_name(const char *const *names, unsigned n,
                          const char *name)
{
    unsigned i = 0;

    while (i < n && strcmp(names[i], name)) {
        i++;
    }
    return i;
}

/* -------------------------------------------------- violations */

void hisi_acc_violation(HisiAccFn *fn, HisiAccViolation kind, unsigned qn,
                        uint64_t detail)
{
    /* With a quirk they are the hardware's, not the driver's */
    fn->pf->violations[kind] += !fn->pf->quirks;
    trace_hisi_acc_violation(fn->id, violation_names[kind], qn, detail);
}

/* -------------------------------------------------- faults */

const HisiAccFault *hisi_acc_fault(const HisiAccFn *fn, HisiAccFaultKind kind)
{
    HisiAccFault *f;

    QTAILQ_FOREACH(f, &fn->pf->faults, next) {
        if (f->kind == kind && f->fn == fn->id) {
            return f;
        }
    }
    return NULL;
}

/*
 * PF-wide error bits of all faults of this kind; they stay until the fault is
 * cleared
 */
uint32_t hisi_acc_fault_bits(const HisiAccPF *pf, HisiAccFaultKind kind)
{
    HisiAccFault *f;
    uint32_t bits = 0;

    QTAILQ_FOREACH(f, &pf->faults, next) {
        bits |= f->kind == kind ? f->arg : 0;
    }
    return bits;
}

void hisi_acc_faults_clear(HisiAccPF *pf)
{
    HisiAccFault *f, *next;

    QTAILQ_FOREACH_SAFE(f, &pf->faults, next, next) {
        QTAILQ_REMOVE(&pf->faults, f, next);
        g_free(f);
    }
}

static HisiAccFault *fault_parse(const char *value, Error **errp)
{
    g_auto(GStrv) part = g_strsplit(value, ":", 3);
    HisiAccFaultKind kind;
    unsigned fn;
    uint32_t arg = FAULT_ANY_ARG;
    HisiAccFault *f;

    kind = part[0] ? find_name(fault_names, FAULT_COUNT, part[0]) : FAULT_COUNT;
    if (kind == FAULT_COUNT || !part[1] ||
        qemu_strtoui(part[1], NULL, 0, &fn) || fn >= HISI_ACC_FNS ||
        (part[2] && qemu_strtoui(part[2], NULL, 0, &arg))) {
        error_setg(errp, "fault is \"none\" or KIND:FN[:ARG]");
        return NULL;
    }
    if ((kind == FAULT_PF_ERROR || kind == FAULT_ENGINE_ERROR) && !part[2]) {
        error_setg(errp, "%s needs the error bits", fault_names[kind]);
        return NULL;
    }
    f = g_new0(HisiAccFault, 1);
    f->kind = kind;
    f->fn = fn;
    f->arg = arg;
    return f;
}

static char *get_fault(Object *obj, Error **errp)
{
    GString *s = g_string_new(NULL);
    HisiAccFault *f;

    QTAILQ_FOREACH(f, &HISI_ACC_PF(obj)->faults, next) {
        g_string_append_printf(s, "%s%s:%u", s->len ? " " : "",
                               fault_names[f->kind], f->fn);
        if (f->arg != FAULT_ANY_ARG) {
            g_string_append_printf(s, ":0x%x", f->arg);
        }
    }
    return g_string_free(s->len ? s : g_string_assign(s, "none"), false);
}

static void set_fault(Object *obj, const char *value, Error **errp)
{
    HisiAccPF *pf = HISI_ACC_PF(obj);
    HisiAccFault *f;

    if (strcmp(value, "none")) {
        f = fault_parse(value, errp);
        if (f) {
            QTAILQ_INSERT_TAIL(&pf->faults, f, next);
        }
        return;
    }
    hisi_acc_faults_clear(pf);
    /* What was stuck goes on */
    for (unsigned i = 0; pf->engine && i < HISI_ACC_FNS; i++) {
        if (pf->fn[i].wb_pending) {
            hisi_acc_writeback(&pf->fn[i]);
        }
        hisi_acc_mailbox_progress(&pf->fn[i]);
    }
}

/* -------------------------------------------------- quirks */

bool hisi_acc_quirk(const HisiAccFn *fn, HisiAccQuirk quirk)
{
    return fn->id && (fn->pf->quirks & BIT(quirk));
}

static char *get_quirk(Object *obj, Error **errp)
{
    GString *s = g_string_new(NULL);

    for (unsigned i = 0; i < QUIRK_COUNT; i++) {
        if (HISI_ACC_PF(obj)->quirks & BIT(i)) {
            g_string_append_printf(s, "%s%s", s->len ? " " : "",
                                   quirk_names[i]);
        }
    }
    return g_string_free(s->len ? s : g_string_assign(s, "none"), false);
}

static void set_quirk(Object *obj, const char *value, Error **errp)
{
    unsigned quirk = find_name(quirk_names, QUIRK_COUNT, value);

    if (!strcmp(value, "none")) {
        HISI_ACC_PF(obj)->quirks = 0;
    } else if (quirk == QUIRK_COUNT) {
        error_setg(errp, "there is no quirk \"%s\"", value);
    } else {
        HISI_ACC_PF(obj)->quirks |= BIT(quirk);
    }
}

/* -------------------------------------------------- pace */

static void pace_changed(HisiAccPF *pf)
{
    for (unsigned i = 0; pf->engine && i < HISI_ACC_FNS; i++) {
        hisi_acc_jobs_retime(&pf->fn[i]);
    }
}

static void get_uint64(Object *obj, Visitor *v, const char *name, void *opaque,
                       Error **errp)
{
    visit_type_uint64(v, name, (uint64_t *)((char *)obj + (uintptr_t)opaque),
                      errp);
}

static void set_uint64(Object *obj, Visitor *v, const char *name, void *opaque,
                       Error **errp)
{
    uint64_t value;

    if (!visit_type_uint64(v, name, &value, errp)) {
        return;
    }
    if (value > INT64_MAX / 2) {
        error_setg(errp, "%s is too large", name);
        return;
    }
    *(uint64_t *)((char *)obj + (uintptr_t)opaque) = value;
    pace_changed(HISI_ACC_PF(obj));
}

static char *get_pause_policy(Object *obj, Error **errp)
{
    return g_strdup(pause_names[HISI_ACC_PF(obj)->pause_policy]);
}

static void set_pause_policy(Object *obj, const char *value, Error **errp)
{
    unsigned policy = find_name(pause_names, PAUSE_COUNT, value);

    if (policy == PAUSE_COUNT) {
        error_setg(errp, "pause-policy must be hold or drain");
        return;
    }
    HISI_ACC_PF(obj)->pause_policy = policy;
}

static bool get_pause_sync(Object *obj, Error **errp)
{
    return HISI_ACC_PF(obj)->pause_sync;
}

static void set_pause_sync(Object *obj, bool value, Error **errp)
{
    HISI_ACC_PF(obj)->pause_sync = value;
}

/* -------------------------------------------------- counters */

static QDict *fn_stats(const HisiAccFn *fn)
{
    QDict *d = qdict_new();

    qdict_put_int(d, "fn", fn->id);
    qdict_put_bool(d, "enabled", hisi_acc_fn_enabled(fn));
    for (unsigned i = 0; i < STAT_COUNT; i++) {
        qdict_put_int(d, stat_names[i], fn->stats[i]);
    }
    qdict_put_int(d, "in-flight", fn->in_flight);
    qdict_put_int(d, "posted", hisi_acc_fn_posted(fn));
    qdict_put_bool(d, "paused", fn->paused);
    return d;
}

static void get_stats(Object *obj, Visitor *v, const char *name, void *opaque,
                      Error **errp)
{
    HisiAccPF *pf = HISI_ACC_PF(obj);
    g_autoptr(QDict) stats = qdict_new();
    QDict *kinds = qdict_new();
    QList *functions = qlist_new();
    uint64_t violations = 0;
    QObject *o = QOBJECT(stats);

    for (unsigned i = 0; i < VIOLATION_COUNT; i++) {
        violations += pf->violations[i];
        if (pf->violations[i]) {
            qdict_put_int(kinds, violation_names[i], pf->violations[i]);
        }
    }
    for (unsigned i = 0; i < HISI_ACC_FNS; i++) {
        if (hisi_acc_fn_enabled(&pf->fn[i])) {
            qlist_append(functions, fn_stats(&pf->fn[i]));
        }
    }
    qdict_put_int(stats, "violations", violations);
    qdict_put(stats, "violation-kinds", kinds);
    qdict_put(stats, "functions", functions);
    visit_type_any(v, name, &o, errp);
}

void hisi_acc_monitor_class_init(ObjectClass *klass)
{
    static const struct {
        const char *name;
        size_t offset;
        const char *help;
    } pace[] = {
        { "job-time-ns", offsetof(HisiAccPF, job_time_ns),
          "virtual time from fetch to completion" },
        { "job-slots", offsetof(HisiAccPF, job_slots),
          "jobs of one function in flight at once" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(pace); i++) {
        object_class_property_add(klass, pace[i].name, "uint64", get_uint64,
                                  set_uint64, NULL,
                                  (void *)(uintptr_t)pace[i].offset);
        object_class_property_set_description(klass, pace[i].name,
                                              pace[i].help);
    }
    object_class_property_add_str(klass, "pause-policy", get_pause_policy,
                                  set_pause_policy);
    object_class_property_add_bool(klass, "pause-sync", get_pause_sync,
                                   set_pause_sync);
    object_class_property_add_str(klass, "fault", get_fault, set_fault);
    object_class_property_add_str(klass, "quirk", get_quirk, set_quirk);
    object_class_property_add(klass, "stats", "any", get_stats, NULL, NULL,
                              NULL);
}
