/*
 * HiSilicon accelerator: what the files of the model share
 *
 * One PF holds the state of all its functions: HisiAccFn 0 is the PF itself, n
 * is VF n - 1. The VFs' PCI devices are thin shells, because the PF must be
 * able to reach a VF's state (migration windows, PF-VF messages) while every
 * function does DMA and interrupts with its own requester id.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_HISI_ACC_H
#define HW_MISC_HISI_ACC_H

#include "block/aio.h"
#include "qemu/bitops.h"
#include "qemu/queue.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "hw/pci/pci_device.h"
#include "qom/object.h"
#include "regs.h"

#define TYPE_HISI_ACC_PF "hisi-acc-pf"
#define TYPE_HISI_ACC_VF "hisi-acc-vf"
OBJECT_DECLARE_TYPE(HisiAccPF, HisiAccPFClass, HISI_ACC_PF)
OBJECT_DECLARE_SIMPLE_TYPE(HisiAccVF, HISI_ACC_VF)

#define HISI_ACC_VENDOR_ID      0x19e5      /* Huawei */
#define HISI_ACC_VFS            63
#define HISI_ACC_FNS            (HISI_ACC_VFS + 1)
#define HISI_ACC_BAR            2
#define HISI_ACC_PF_BAR_SIZE    (4 * MiB)
#define HISI_ACC_VF_BAR_SIZE    (64 * KiB)
#define HISI_ACC_SQE_DWORDS     32

typedef struct HisiAccFn HisiAccFn;
typedef struct HisiAccQueue HisiAccQueue;
typedef struct HisiAccJob HisiAccJob;

/* -------------------------------------------------- counters */

/* Monotonic counters of a function; monitor.c has their names */
typedef enum HisiAccStat {
    STAT_READS,
    STAT_WRITES,
    STAT_WINDOW_READS,
    STAT_WINDOW_WRITES,
    STAT_MAILBOX_READS,
    STAT_MAILBOX_COMMANDS,
    STAT_DOORBELLS,
    STAT_RESTARTS,
    STAT_JOBS,
    STAT_JOB_ERRORS,
    STAT_BYTES_IN,
    STAT_BYTES_OUT,
    STAT_MAX_IN_FLIGHT,
    STAT_INTERRUPTS,
    STAT_PAUSES,
    STAT_PAUSE_DRAINED,
    STAT_WRITEBACKS,
    STAT_FLRS,
    STAT_COUNT
} HisiAccStat;

/* What a driver must not do, or what follows only from a driver's mistake */
typedef enum HisiAccViolation {
    /* DMA of a paused function other than cache writeback */
    VIOLATION_DMA_AFTER_PAUSE,
    /* a submission entry was executed a second time */
    VIOLATION_SQE_TWICE,
    /* a restart discarded contexts newer than the table in memory */
    VIOLATION_STALE_RELOAD,
    /* SQ head and CQ tail of an idle queue differ */
    VIOLATION_HEAD_TAIL,
    /* an access of one VF's controls fell into the next window */
    VIOLATION_NEIGHBOUR_WINDOW,
    /* access to migration controls that are not there */
    VIOLATION_NO_WINDOW,
    /* doorbell for a queue or index that does not exist */
    VIOLATION_DOORBELL_RANGE,
    /* mailbox command while the previous one was busy */
    VIOLATION_MAILBOX_OVERRUN,
    VIOLATION_COUNT
} HisiAccViolation;

typedef enum HisiAccFaultKind {
    FAULT_MAILBOX_FAIL,
    FAULT_MAILBOX_BUSY,
    FAULT_PAUSE_STUCK,
    FAULT_WRITEBACK_STUCK,
    FAULT_DEAD,
    FAULT_MSI_LOST,
    FAULT_PF_ERROR,
    FAULT_ENGINE_ERROR,
    FAULT_COUNT
} HisiAccFaultKind;

#define FAULT_ANY_ARG UINT32_MAX

/*
 * Ways in which real hardware might differ from this model, each against one
 * assumption of the migration driver. They apply to all VFs of a PF.
 */
typedef enum HisiAccQuirk {
    QUIRK_MASK_KEEPS_PAUSE,
    QUIRK_RESTART_FROM_CACHE,
    QUIRK_RESTART_TAKES_INDEX,
    QUIRK_PAUSE_EARLY,
    QUIRK_PAUSE_RUNS_DOORBELLS,
    QUIRK_PAUSE_DROPS_DOORBELLS,
    QUIRK_TABLES_KEEP_CACHES,
    QUIRK_TABLES_READ_ZERO,
    QUIRK_WB_DONE_WRITABLE,
    QUIRK_RESET_KEEPS_EQC,
    QUIRK_RESET_KEEPS_TABLES,
    QUIRK_RESET_KEEPS_READY,
    QUIRK_RESET_KEEPS_PAUSE,
    QUIRK_BLANK_PAUSE_FAILS,
    QUIRK_BLANK_WRITEBACK_WRITES,
    QUIRK_WRITEBACK_SKIPS,
    QUIRK_EQ_DOORBELL_SILENT,
    QUIRK_MESSAGE_SOURCE_STICKS,
    QUIRK_EQC_READ_ONLY,
    QUIRK_EQC_NOT_TAKEN_OVER,
    QUIRK_COUNT
} HisiAccQuirk;

typedef struct HisiAccFault {
    HisiAccFaultKind kind;
    unsigned fn;
    uint32_t arg;                   /* FAULT_ANY_ARG when none was given */
    QTAILQ_ENTRY(HisiAccFault) next;
} HisiAccFault;

/* -------------------------------------------------- engines */

typedef struct HisiAccReg {
    uint32_t offset;
    uint32_t value;
} HisiAccReg;

/* A stretch of guest memory */
typedef struct HisiAccPiece {
    uint64_t addr, len;
} HisiAccPiece;

/*
 * One accelerator engine. A job passes through fetch (guest memory may be
 * read), execute (in a thread, no lock held, only the job's own buffers) and
 * complete (guest memory may be written).
 */
typedef struct HisiAccEngine {
    const char *name;
    const char *vf_type;
    uint16_t device_id, vf_device_id;
    unsigned sqe_size;
    /* These end with offset 0 */
    const HisiAccReg *caps;         /* words it adds to the QM's capabilities */
    const HisiAccReg *reset;        /* PF BAR2: what does not reset to 0 */
    uint32_t raz, raz_end;          /* PF BAR2: counters, always 0 */
    uint32_t int_source, int_mask, int_status;
    bool int_mask_enables;          /* a 1 in it lets through, not stops */

    /* Set job->status to refuse the job; it then skips execute */
    void (*fetch)(HisiAccJob *job);
    void (*execute)(HisiAccJob *job);
    void (*complete)(HisiAccJob *job);
    void (*release)(HisiAccJob *job);
    /* Does this entry carry result fields, i.e. was it executed before? */
    bool (*is_spent)(const uint32_t *sqe);
} HisiAccEngine;

/* -------------------------------------------------- queues */

/*
 * A context as it lies in guest memory (SQC, CQC, EQC, AEQC), in host byte
 * order. The cached copy keeps every bit that the driver put there; queue.c has
 * the field accessors.
 */
typedef struct HisiAccCtx {
    uint32_t dw[QM_CONTEXT_SIZE / 4];
    bool valid;
} HisiAccCtx;

struct HisiAccQueue {
    HisiAccFn *fn;
    uint16_t qn;
    HisiAccCtx sq, cq;
    unsigned in_flight;             /* fetched, i.e. past sq's head */
    unsigned replay;                /* entries ahead that were executed once */
    bool held;                      /* by a pause, until a restart */
    bool dirty;                     /* contexts differ from the tables */
    bool runnable;                  /* on fn->runnable */
    QTAILQ_ENTRY(HisiAccQueue) next;
};

typedef struct HisiAccEq {
    HisiAccCtx ctx;
    bool signalled;                 /* interrupt sent, no doorbell since */
} HisiAccEq;

struct HisiAccJob {
    HisiAccFn *fn; /* NULL once disowned by a reset or a reload */
    HisiAccQueue *queue;
    const HisiAccEngine *engine;
    unsigned index;                 /* in the ring */
    unsigned alg_type;              /* of the queue: selects the engine half */
    uint64_t sqe_addr;
    uint32_t sqe[HISI_ACC_SQE_DWORDS];
    unsigned status;                /* as the engine reports it in the SQE */
    bool failed;                    /* the submitter sees an error */
    int64_t deadline;
    size_t bytes_in, bytes_out;
    void *work;                     /* the engine's */
    BlockAIOCB *request;            /* to the thread pool, until it answers */
    bool begun;                     /* atomic: somebody executes it, or did */
    bool executed; /* atomic: set by the thread that executed it */
    QemuEvent executed_event;
    unsigned refs;
    QTAILQ_ENTRY(HisiAccJob) next;
};

struct HisiAccFn {
    HisiAccPF *pf;
    PCIDevice *dev;                 /* whose requester id DMA and MSI carry */
    unsigned id;

    uint32_t reg[QM_FN_REGS_END / 4];
    uint32_t db_latch[2]; /* low halves of doorbells that arrive as two words */

    uint32_t mb_in[4], mb_out[4];
    bool mb_busy;                   /* a stop, flush or pause waits for jobs */

    uint64_t sqc_bt, cqc_bt;
    HisiAccEq eq[2];                /* completion events, asynchronous events */
    HisiAccQueue *queues;
    unsigned nr_queues;
    QTAILQ_HEAD(, HisiAccQueue) runnable;

    QTAILQ_HEAD(, HisiAccJob) jobs; /* in flight, in order of completion */
    unsigned in_flight;
    QEMUTimer *job_timer;
    QEMUTimer *resume_timer;
    unsigned irqs;                  /* vectors that irq_bh is to send */
    QEMUBH *irq_bh;

    bool paused;
    bool events_withheld; /* some CQ has an event that could not be written */
    bool in_writeback;
    bool wb_pending;                /* started and not done, for the fault */
    uint32_t wb_done;               /* what software wrote there, for a quirk */

    bool ifc_pending;               /* message of the PF not acknowledged */
    uint64_t ifc_to_vf, ifc_to_pf;  /* message slots of this VF */

    uint64_t stats[STAT_COUNT];
};

/* -------------------------------------------------- devices */

typedef enum HisiAccHw {
    HISI_ACC_HW_V3,
    HISI_ACC_HW_V4,
    HISI_ACC_HW_COUNT
} HisiAccHw;
typedef enum HisiAccPause { PAUSE_HOLD, PAUSE_DRAIN, PAUSE_COUNT } HisiAccPause;

struct HisiAccPF {
    PCIDevice parent_obj;
    MemoryRegion bar;
    const HisiAccEngine *engine;

    HisiAccFn fn[HISI_ACC_FNS];
    uint32_t *reg; /* storage behind BAR2, from QM_PF_GLOBALS on */
    uint64_t vft[VFT_TYPES][HISI_ACC_FNS * 2];
    uint64_t ifc_ready;             /* bit n: VF n has not acknowledged */
    uint64_t ifc_source;            /* bit n: VF n sent a message */
    uint64_t ifc_out;               /* latched PF message, V4 */

    /* construct-only properties */
    char *hw_name;
    HisiAccHw hw;
    uint16_t queue_depth;
    uint16_t total_queues;
    uint32_t caps;                  /* run-time properties */
    uint64_t job_time_ns;
    uint64_t job_slots;
    HisiAccPause pause_policy;
    bool pause_sync;
    QTAILQ_HEAD(, HisiAccFault) faults;
    uint32_t quirks;                /* bit n: HisiAccQuirk n */

    uint64_t violations[VIOLATION_COUNT];
};

struct HisiAccPFClass {
    PCIDeviceClass parent_class;
    const HisiAccEngine *engine;
};

struct HisiAccVF {
    PCIDevice parent_obj;
    MemoryRegion bar;
    HisiAccFn *fn;
};

/* A 64-bit field of the SQE */
static inline uint64_t hisi_acc_sqe_quad(const HisiAccJob *job, unsigned dw)
{
    return deposit64(job->sqe[dw], 32, 32, job->sqe[dw + 1]);
}

/* gcrypt.c */
void hisi_acc_gcrypt_init(void);

/* pci.c */
void hisi_acc_engine_class_init(ObjectClass *klass, void *engine);
uint8_t hisi_acc_revision(const HisiAccPF *pf);
bool hisi_acc_fn_enabled(const HisiAccFn *fn);
bool hisi_acc_irq(HisiAccFn *fn, unsigned vector);
void hisi_acc_irq_bh(void *fn);
bool hisi_acc_dma_read(HisiAccFn *fn, uint64_t addr, void *buf, size_t len);
bool hisi_acc_dma_write(HisiAccFn *fn, uint64_t addr, const void *buf,
                        size_t len);
bool hisi_acc_dma_read_dwords(HisiAccFn *fn, uint64_t addr, uint32_t *dw,
                              unsigned n);
bool hisi_acc_dma_write_dwords(HisiAccFn *fn, uint64_t addr, const uint32_t *dw,
                               unsigned n);

/* qm.c */
uint64_t hisi_acc_fn_read(HisiAccFn *fn, hwaddr off, unsigned size,
                          bool window);
void hisi_acc_fn_write(HisiAccFn *fn, hwaddr off, uint64_t val, unsigned size,
                       bool window);
void hisi_acc_mailbox_progress(HisiAccFn *fn);
void hisi_acc_fn_reset(HisiAccFn *fn);
void hisi_acc_ifc_ring_vfs(HisiAccPF *pf);

/* queue.c */
void hisi_acc_fn_init(HisiAccFn *fn, HisiAccPF *pf, unsigned id);
void hisi_acc_fn_exit(HisiAccFn *fn);
void hisi_acc_queues_resize(HisiAccFn *fn, unsigned nr);
void hisi_acc_queues_invalidate(HisiAccFn *fn, bool sq, bool cq);
void hisi_acc_queues_reset(HisiAccFn *fn);
bool hisi_acc_context_mailbox(HisiAccFn *fn, unsigned opcode, unsigned qn,
                              uint64_t addr, bool read);
void hisi_acc_doorbell(HisiAccFn *fn, uint64_t db);
void hisi_acc_eq_update(HisiAccFn *fn, unsigned which);
void hisi_acc_pause(HisiAccFn *fn);
void hisi_acc_resume(HisiAccFn *fn);
void hisi_acc_check_idle(HisiAccFn *fn);
void hisi_acc_writeback(HisiAccFn *fn);
void hisi_acc_jobs_kick(HisiAccFn *fn);
void hisi_acc_jobs_retime(HisiAccFn *fn);
void hisi_acc_jobs_finish_now(HisiAccFn *fn);
bool hisi_acc_queue_idle(const HisiAccQueue *q);
bool hisi_acc_fn_idle(const HisiAccFn *fn);
unsigned hisi_acc_fn_posted(const HisiAccFn *fn);

/* sgl.c */
GArray *hisi_acc_sgl_walk(HisiAccFn *fn, uint64_t addr, uint64_t offset,
                          uint64_t len);
bool hisi_acc_pieces_copy(HisiAccFn *fn, GArray *pieces, uint8_t *buf,
                          size_t len, bool to_guest);

/* pf.c */
extern const MemoryRegionOps hisi_acc_pf_ops;
bool hisi_acc_controls_in_pf(const HisiAccPF *pf);
void hisi_acc_pf_reset(HisiAccPF *pf, bool flr);

/* monitor.c */
void hisi_acc_violation(HisiAccFn *fn, HisiAccViolation kind, unsigned qn,
                        uint64_t detail);
const HisiAccFault *hisi_acc_fault(const HisiAccFn *fn, HisiAccFaultKind kind);
uint32_t hisi_acc_fault_bits(const HisiAccPF *pf, HisiAccFaultKind kind);
void hisi_acc_faults_clear(HisiAccPF *pf);
bool hisi_acc_quirk(const HisiAccFn *fn, HisiAccQuirk quirk);
void hisi_acc_monitor_class_init(ObjectClass *klass);

#endif
