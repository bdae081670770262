/*
 * HiSilicon accelerator: queues - contexts, doorbells, jobs, events, pause and
 * restart
 *
 * The life of a submission (SQE): posted (tail moved past it), fetched (head
 * moved past it, in flight), completed (result, SQE, CQE, event written, in
 * this order). Fetching is limited by job-slots and takes turns among the
 * function's queues; a fetched job completes job-time-ns later, in the order of
 * fetching.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "block/aio.h"
#include "block/block-io.h"
#include "block/thread-pool.h"
#include "hisi_acc.h"
#include "trace.h"

/* -------------------------------------------------- context fields */

/* Alike in all contexts */
static unsigned ctx_head(const HisiAccCtx *c)
{
    return extract32(c->dw[0], 0, 16);
}

static unsigned ctx_tail(const HisiAccCtx *c)
{
    return extract32(c->dw[0], 16, 16);
}

static uint64_t ctx_base(const HisiAccCtx *c)
{
    return deposit64(c->dw[1], 32, 32, c->dw[2]);
}

static void ctx_set_head(HisiAccCtx *c, unsigned head)
{
    c->dw[0] = deposit32(c->dw[0], 0, 16, head);
}

static void ctx_set_tail(HisiAccCtx *c, unsigned tail)
{
    c->dw[0] = deposit32(c->dw[0], 16, 16, tail);
}

/*
 * SQC and CQC: depth, tag against stale doorbells, parity that toggles whenever
 * the tail wraps
 */
static unsigned xq_depth(const HisiAccCtx *c)
{
    return extract32(c->dw[3], 0, 12) + 1;
}

static unsigned xq_tag(const HisiAccCtx *c)
{
    return extract32(c->dw[4], 0, 16);
}

static bool xq_parity(const HisiAccCtx *c)
{
    return extract32(c->dw[5], 22, 1);
}

static void xq_toggle_parity(HisiAccCtx *c)
{
    c->dw[5] ^= 1 << 22;
}

static unsigned sq_cqn(const HisiAccCtx *c)
{
    return extract32(c->dw[6], 0, 16);
}

static bool sq_disabled(const HisiAccCtx *c)
{
    return extract32(c->dw[6], 22, 1);
}

static unsigned sq_alg_type(const HisiAccCtx *c)
{
    return extract32(c->dw[6], 24, 4);
}

static unsigned sq_posted(const HisiAccCtx *c)
{
    return c->valid ? (ctx_tail(c) + xq_depth(c) - ctx_head(c)) % xq_depth(c)
                    : 0;
}

/*
 * The parity the head had when it last wrapped: the tail is at most one lap
 * ahead
 */
static bool sq_head_parity(const HisiAccCtx *c)
{
    return xq_parity(c) ^ (ctx_tail(c) < ctx_head(c));
}

static bool cq_phase(const HisiAccCtx *c)
{
    return extract32(c->dw[6], 0, 1);
}

static bool cq_armed(const HisiAccCtx *c)
{
    return extract32(c->dw[6], 1, 1);
}

static void cq_arm(HisiAccCtx *c, bool armed)
{
    c->dw[6] = deposit32(c->dw[6], 1, 1, armed);
}

/* EQC and AEQC */
static unsigned eq_depth(const HisiAccCtx *c)
{
    return extract32(c->dw[6], 0, 16) + 1;
}

static bool eq_phase(const HisiAccCtx *c)
{
    return extract32(c->dw[6], 16, 1);
}

/*
 * What memory gets to see of an SQC: a head that counts only completed entries,
 * so that a context taken while jobs are in flight is one from which all of
 * them would be executed again, never lost.
 */
static HisiAccCtx sq_image(const HisiAccQueue *q)
{
    HisiAccCtx c = q->sq;
    unsigned depth = xq_depth(&c);

    if (c.valid) {
        ctx_set_head(&c, (ctx_head(&c) + depth - q->in_flight) % depth);
    }
    return c;
}

/* -------------------------------------------------- events */

/* Interrupt once per doorbell, if there is something and it is not masked */
void hisi_acc_eq_update(HisiAccFn *fn, unsigned which)
{
    static const struct { uint16_t mask, vector; } eqs[] = {
        { QM_EQ_INT_MASK, VEC_EQ }, { QM_AEQ_INT_MASK, VEC_AEQ },
    };
    HisiAccEq *eq = &fn->eq[which];

    if (eq->ctx.valid && !eq->signalled &&
        ctx_head(&eq->ctx) != ctx_tail(&eq->ctx) &&
        !(fn->reg[eqs[which].mask / 4] & 1)) {
        eq->signalled = hisi_acc_irq(fn, eqs[which].vector);
    }
}

static bool eq_full(const HisiAccCtx *c)
{
    return (ctx_tail(c) + 1) % eq_depth(c) == ctx_head(c);
}

/*
 * Tell of completions in a CQ whose event is armed. An event that cannot be
 * written now (EQ full, not there, function paused) stays armed and comes with
 * the next call, at the latest at the EQ doorbell or the restart.
 */
static void cq_event(HisiAccQueue *q)
{
    HisiAccFn *fn = q->fn;
    HisiAccCtx *eq = &fn->eq[0].ctx, *cq = &q->cq;
    uint32_t eqe;

    if (!cq->valid || !cq_armed(cq) || ctx_head(cq) == ctx_tail(cq)) {
        return;
    }
    if (fn->paused || !eq->valid || eq_full(eq)) {
        fn->events_withheld = true;
        return;
    }
    cq_arm(cq, false);
    q->dirty = true;

    eqe = q->qn | eq_phase(eq) << 16;
    hisi_acc_dma_write_dwords(fn, ctx_base(eq) + ctx_tail(eq) * QM_EQE_SIZE,
                              &eqe, 1);
    ctx_set_tail(eq, (ctx_tail(eq) + 1) % eq_depth(eq));
    if (ctx_tail(eq) == 0) {
        eq->dw[6] ^= 1 << 16;
    }
    hisi_acc_eq_update(fn, 0);
}

static void cq_events_retry(HisiAccFn *fn)
{
    if (!fn->events_withheld) {
        return;
    }
    fn->events_withheld = false;
    for (unsigned i = 0; i < fn->nr_queues; i++) {
        cq_event(&fn->queues[i]);
    }
}

/* -------------------------------------------------- jobs */

static void job_unref(HisiAccJob *job)
{
    if (--job->refs == 0) {
        if (job->engine->release) {
            job->engine->release(job);
        }
        qemu_event_destroy(&job->executed_event);
        g_free(job);
    }
}

/* Nothing of this job may be seen from now on */
static void job_disown(HisiAccJob *job)
{
    HisiAccFn *fn = job->fn;

    QTAILQ_REMOVE(&fn->jobs, job, next);
    fn->in_flight--;
    job->queue->in_flight--;
    job->fn = NULL;
    /* Its buffers are not to wait for their turn in the pool */
    if (job->request) {
        bdrv_aio_cancel_async(job->request);
    }
    job_unref(job);
}

/* q is NULL for all of the function's */
static void jobs_disown(HisiAccFn *fn, const HisiAccQueue *q)
{
    HisiAccJob *job, *next;

    QTAILQ_FOREACH_SAFE(job, &fn->jobs, next, next) {
        if (!q || job->queue == q) {
            job_disown(job);
        }
    }
}

/* Keep fn->runnable in step with the queue's state */
static void queue_update(HisiAccQueue *q)
{
    HisiAccFn *fn = q->fn;
    bool runnable = !q->held && sq_posted(&q->sq) &&
                    sq_cqn(&q->sq) < fn->nr_queues &&
                    fn->queues[sq_cqn(&q->sq)].cq.valid;

    if (runnable && !q->runnable) {
        QTAILQ_INSERT_TAIL(&fn->runnable, q, next);
    } else if (!runnable && q->runnable) {
        QTAILQ_REMOVE(&fn->runnable, q, next);
    }
    q->runnable = runnable;
}

static void cqe_write(HisiAccQueue *cq_owner, uint32_t entry)
{
    HisiAccFn *fn = cq_owner->fn;
    HisiAccCtx *cq = &cq_owner->cq;
    const uint32_t cqe[QM_CQE_SIZE / 4] = {
        [2] = entry, [3] = cq_phase(cq) << 16
    };
    uint64_t addr = ctx_base(cq) + ctx_tail(cq) * QM_CQE_SIZE;

    hisi_acc_dma_write_dwords(fn, addr, cqe, 3);
    /* The dword with the phase comes last: it is what the driver polls */
    smp_wmb();
    hisi_acc_dma_write_dwords(fn, addr + 12, &cqe[3], 1);
    ctx_set_tail(cq, (ctx_tail(cq) + 1) % xq_depth(cq));
    if (ctx_tail(cq) == 0) {
        cq->dw[6] ^= 1;
        xq_toggle_parity(cq);
    }
    cq_owner->dirty = true;
}

static void job_complete(HisiAccJob *job)
{
    HisiAccFn *fn = job->fn;
    HisiAccQueue *q = job->queue, *cq_owner = &fn->queues[sq_cqn(&q->sq)];

    /*
     * 1. result and 2. SQE: the driver's callback reads status and length from
     * the ring
     */
    job->engine->complete(job);
    q->dirty = true;
    /* 3. CQE */
    if (cq_owner->cq.valid) {
        cqe_write(cq_owner, job->index | q->qn << 16);
    }

    fn->stats[STAT_JOBS]++;
    fn->stats[STAT_JOB_ERRORS] += job->failed;
    fn->stats[STAT_BYTES_IN] += job->bytes_in;
    fn->stats[STAT_BYTES_OUT] += job->bytes_out;
    trace_hisi_acc_complete(fn->id, q->qn, job->index, job->status);

    /* 4. event and 5. interrupt */
    cq_event(cq_owner);
    job_disown(job);
}

static void jobs_reap(HisiAccFn *fn);

/*
 * In a pool thread, without the BQL, unless hisi_acc_jobs_finish_now() comes
 * first: touches only what belongs to the job
 */
static int job_execute(void *opaque)
{
    HisiAccJob *job = opaque;

    if (!qatomic_xchg(&job->begun, true)) {
        job->engine->execute(job);
        qatomic_store_release(&job->executed, true);
        qemu_event_set(&job->executed_event);
    }
    return 0;
}

static void job_executed(void *opaque, int ret)
{
    HisiAccJob *job = opaque;
    HisiAccFn *fn = job->fn;

    job->request = NULL;
    job_unref(job);
    if (fn) {
        jobs_reap(fn);
    }
}

static void queue_fetch(HisiAccQueue *q)
{
    HisiAccFn *fn = q->fn;
    const HisiAccEngine *engine = fn->pf->engine;
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    HisiAccJob *job = g_new0(HisiAccJob, 1), *last = QTAILQ_LAST(&fn->jobs);
    bool spent;

    job->fn = fn;
    job->queue = q;
    job->engine = engine;
    job->refs = 1;
    job->index = ctx_head(&q->sq);
    job->alg_type = sq_alg_type(&q->sq);
    job->sqe_addr = ctx_base(&q->sq) + job->index * engine->sqe_size;
    job->deadline = MAX(now + (int64_t)fn->pf->job_time_ns,
                        last ? last->deadline : 0);
    qemu_event_init(&job->executed_event, false);

    hisi_acc_dma_read_dwords(fn, job->sqe_addr, job->sqe, engine->sqe_size / 4);
    spent = engine->is_spent(job->sqe);
    if (q->replay || spent) {
        hisi_acc_violation(fn, VIOLATION_SQE_TWICE, q->qn, job->index);
    }
    q->replay -= q->replay > 0;

    ctx_set_head(&q->sq, (job->index + 1) % xq_depth(&q->sq));
    q->dirty = true;
    q->in_flight++;
    fn->in_flight++;
    fn->stats[STAT_MAX_IN_FLIGHT] = MAX(fn->stats[STAT_MAX_IN_FLIGHT],
                                        fn->in_flight);
    QTAILQ_INSERT_TAIL(&fn->jobs, job, next);
    trace_hisi_acc_fetch(fn->id, q->qn, job->index, fn->in_flight);

    engine->fetch(job);
    if (job->status) {
        job->begun = true;
        job->executed = true;
        qemu_event_set(&job->executed_event);
    } else {
        job->refs++;
        job->request = thread_pool_submit_aio(job_execute, job, job_executed,
                                              job);
    }
}

/*
 * Fetch what may be fetched, in turns among the queues, and set the timer for
 * what is in flight
 */
void hisi_acc_jobs_kick(HisiAccFn *fn)
{
    HisiAccQueue *q;
    HisiAccJob *first;

    while (fn->in_flight < fn->pf->job_slots &&
           (q = QTAILQ_FIRST(&fn->runnable))) {
        QTAILQ_REMOVE(&fn->runnable, q, next);
        q->runnable = false;
        queue_fetch(q);
        queue_update(q);
    }
    first = QTAILQ_FIRST(&fn->jobs);
    if (first) {
        timer_mod(fn->job_timer, first->deadline);
    } else {
        timer_del(fn->job_timer);
    }
}

static void jobs_reap(HisiAccFn *fn)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    HisiAccJob *job;

    /*
     * A job that is due but not yet computed calls again through job_executed()
     */
    while ((job = QTAILQ_FIRST(&fn->jobs)) && job->deadline <= now &&
           qatomic_load_acquire(&job->executed)) {
        job_complete(job);
    }
    hisi_acc_mailbox_progress(fn);
    hisi_acc_jobs_kick(fn);
}

static void job_timer(void *opaque)
{
    HisiAccFn *fn = opaque;
    HisiAccJob *first = QTAILQ_FIRST(&fn->jobs);

    /* Do not spin on a job that is late: its thread calls jobs_reap() */
    if (first && qatomic_load_acquire(&first->executed)) {
        jobs_reap(fn);
    }
}

/*
 * The time of a job was changed: those in flight need no longer than one
 * fetched now
 */
void hisi_acc_jobs_retime(HisiAccFn *fn)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    HisiAccJob *job;

    QTAILQ_FOREACH(job, &fn->jobs, next) {
        job->deadline = MIN(job->deadline, now + (int64_t)fn->pf->job_time_ns);
    }
    hisi_acc_jobs_kick(fn);
}

/*
 * Finish all that is or can be fetched before returning, for drivers with short
 * timeouts. What no thread has begun must not be waited for: the main loop
 * makes the pool's threads, and may be waiting for the BQL, which is ours.
 */
void hisi_acc_jobs_finish_now(HisiAccFn *fn)
{
    HisiAccJob *job;

    do {
        while ((job = QTAILQ_FIRST(&fn->jobs))) {
            job_execute(job);
            qemu_event_wait(&job->executed_event);
            job_complete(job);
        }
        hisi_acc_jobs_kick(fn);
    } while (fn->in_flight);
}

bool hisi_acc_queue_idle(const HisiAccQueue *q)
{
    return !q->in_flight && !sq_posted(&q->sq);
}

unsigned hisi_acc_fn_posted(const HisiAccFn *fn)
{
    unsigned posted = 0;

    for (unsigned i = 0; i < fn->nr_queues; i++) {
        posted += sq_posted(&fn->queues[i].sq);
    }
    return posted;
}

bool hisi_acc_fn_idle(const HisiAccFn *fn)
{
    return !fn->in_flight && !hisi_acc_fn_posted(fn);
}

/* -------------------------------------------------- contexts */

static void queue_invalidate(HisiAccQueue *q, bool sq, bool cq)
{
    jobs_disown(q->fn, q);
    q->sq.valid &= !sq;
    q->cq.valid &= !cq;
    q->replay = 0;
    q->dirty = false;
    if (sq) {
        q->held = false;
    }
    queue_update(q);
}

void hisi_acc_queues_invalidate(HisiAccFn *fn, bool sq, bool cq)
{
    for (unsigned i = 0; i < fn->nr_queues; i++) {
        queue_invalidate(&fn->queues[i], sq, cq);
    }
}

/* The PF gave this function another number of queues */
void hisi_acc_queues_resize(HisiAccFn *fn, unsigned nr)
{
    if (nr == fn->nr_queues) {
        return;
    }
    hisi_acc_queues_invalidate(fn, true, true);
    g_free(fn->queues);
    fn->queues = g_new0(HisiAccQueue, nr);
    fn->nr_queues = nr;
    for (unsigned i = 0; i < nr; i++) {
        fn->queues[i].fn = fn;
        fn->queues[i].qn = i;
    }
    hisi_acc_mailbox_progress(fn);
}

void hisi_acc_queues_reset(HisiAccFn *fn)
{
    hisi_acc_queues_invalidate(fn, true, true);
    timer_del(fn->job_timer);
    timer_del(fn->resume_timer);
    if (!hisi_acc_quirk(fn, QUIRK_RESET_KEEPS_TABLES)) {
        fn->sqc_bt = 0;
        fn->cqc_bt = 0;
    }
    if (!hisi_acc_quirk(fn, QUIRK_RESET_KEEPS_EQC)) {
        memset(fn->eq, 0, sizeof(fn->eq));
    }
    memset(fn->db_latch, 0, sizeof(fn->db_latch));
    fn->paused &= hisi_acc_quirk(fn, QUIRK_RESET_KEEPS_PAUSE);
    fn->events_withheld = false;
}

/*
 * Mailbox commands that load a context into the cache, or store it from there
 */
bool hisi_acc_context_mailbox(HisiAccFn *fn, unsigned opcode, unsigned qn,
                              uint64_t addr, bool read)
{
    static const char *const what[] = { "sqc", "cqc", "eqc", "aeqc" };
    bool is_eq = opcode == MB_EQC || opcode == MB_AEQC;
    HisiAccQueue *q = !is_eq && qn < fn->nr_queues ? &fn->queues[qn] : NULL;
    HisiAccCtx image, *ctx;

    if (!is_eq && !q) {
        return false;
    }
    ctx = opcode == MB_SQC ? &q->sq :
          opcode == MB_CQC ? &q->cq : &fn->eq[opcode - MB_EQC].ctx;

    if (read) {
        image = opcode == MB_SQC ? sq_image(q) : *ctx;
        return hisi_acc_dma_write_dwords(fn, addr, image.dw,
                                         ARRAY_SIZE(image.dw));
    }

    if (!hisi_acc_dma_read_dwords(fn, addr, image.dw, ARRAY_SIZE(image.dw))) {
        return false;
    }
    image.valid = true;
    if (q) {
        queue_invalidate(q, opcode == MB_SQC, opcode == MB_CQC);
    }
    *ctx = image;
    if (opcode == MB_SQC) {
        q->held = fn->paused;
    }
    trace_hisi_acc_context(fn->id, what[opcode], qn, ctx_head(ctx),
                           ctx_tail(ctx), ctx_base(ctx));
    if (q) {
        q->dirty = true;
        queue_update(q);
        /* The slots of what this queue lost are free for the others */
        hisi_acc_jobs_kick(fn);
    } else {
        fn->eq[opcode - MB_EQC].signalled = false;
    }
    return true;
}

/*
 * SQ head and CQ tail of a queue without jobs in flight name the same entry in
 * the same lap. A driver that saves or restores the two at different times
 * breaks that.
 */
static void queue_check_idle(HisiAccQueue *q)
{
    const HisiAccCtx *sq = &q->sq, *cq;

    if (!sq->valid || q->in_flight || sq_cqn(sq) >= q->fn->nr_queues) {
        return;
    }
    cq = &q->fn->queues[sq_cqn(sq)].cq;
    if (cq->valid && xq_depth(sq) == xq_depth(cq) &&
        (ctx_head(sq) != ctx_tail(cq) || sq_head_parity(sq) != xq_parity(cq))) {
        hisi_acc_violation(q->fn, VIOLATION_HEAD_TAIL, q->qn, sq->dw[0]);
    }
}

void hisi_acc_check_idle(HisiAccFn *fn)
{
    for (unsigned i = 0; i < fn->nr_queues; i++) {
        queue_check_idle(&fn->queues[i]);
    }
}

void hisi_acc_writeback(HisiAccFn *fn)
{
    bool skip = hisi_acc_quirk(fn, QUIRK_WRITEBACK_SKIPS);
    bool blind = hisi_acc_quirk(fn, QUIRK_BLANK_WRITEBACK_WRITES);
    unsigned contexts = 0;

    fn->stats[STAT_WRITEBACKS]++;
    fn->in_writeback = true;
    for (unsigned i = 0; i < fn->nr_queues; i++) {
        HisiAccQueue *q = &fn->queues[i];
        HisiAccCtx sq = sq_image(q);

        /*
         * An entry that never was configured stays as the driver left it, zero
         */
        if ((sq.valid && fn->sqc_bt && !skip) || blind) {
            hisi_acc_dma_write_dwords(fn, fn->sqc_bt + i * QM_CONTEXT_SIZE,
                                      sq.dw, ARRAY_SIZE(sq.dw));
            contexts++;
        }
        if ((q->cq.valid && fn->cqc_bt && !skip) || blind) {
            hisi_acc_dma_write_dwords(fn, fn->cqc_bt + i * QM_CONTEXT_SIZE,
                                      q->cq.dw, ARRAY_SIZE(q->cq.dw));
            contexts++;
        }
        q->dirty = false;
    }
    fn->in_writeback = false;
    fn->wb_pending = false;
    trace_hisi_acc_writeback(fn->id, contexts);
    hisi_acc_check_idle(fn);
}

/*
 * Read SQC and CQC of a queue from the tables; false if there is nothing to run
 */
static bool queue_read_tables(HisiAccQueue *q, HisiAccCtx *sq, HisiAccCtx *cq)
{
    HisiAccFn *fn = q->fn;

    sq->valid = fn->sqc_bt &&
                hisi_acc_dma_read_dwords(fn,
                                         fn->sqc_bt + q->qn * QM_CONTEXT_SIZE,
                                         sq->dw, ARRAY_SIZE(sq->dw)) &&
                sq->dw[3] && !sq_disabled(sq) && sq_cqn(sq) < fn->nr_queues;
    cq->valid = sq->valid && fn->cqc_bt &&
                hisi_acc_dma_read_dwords(
                    fn, fn->cqc_bt + sq_cqn(sq) * QM_CONTEXT_SIZE, cq->dw,
                    ARRAY_SIZE(cq->dw)) &&
                cq->dw[3];
    return sq->valid && cq->valid;
}

static void queue_install(HisiAccQueue *q, const HisiAccCtx *sq,
                          const HisiAccCtx *cq)
{
    HisiAccFn *fn = q->fn;
    HisiAccQueue *cq_owner = &fn->queues[sq_cqn(sq)];
    unsigned lap = xq_depth(sq) * 2, was, now, behind = 0;

    /*
     * Entries between the head that memory remembers and the one we had reached
     * run again
     */
    if (q->sq.valid && xq_depth(&q->sq) == xq_depth(sq) &&
        ctx_base(&q->sq) == ctx_base(sq)) {
        HisiAccCtx done = sq_image(q);

        was = ctx_head(&done) + xq_depth(sq) * sq_head_parity(&done);
        now = ctx_head(sq) + xq_depth(sq) * sq_head_parity(sq);
        behind = (was + lap - now) % lap;
        behind = behind <= xq_depth(sq) ? behind : 0;
    }
    queue_invalidate(q, true, false);
    q->sq = *sq;
    q->replay = behind;
    cq_owner->cq = *cq;
    cq_owner->dirty = false;
    trace_hisi_acc_context(fn->id, "table", q->qn, ctx_head(sq), ctx_tail(sq),
                           ctx_base(sq));
    queue_check_idle(q);
}

static bool ctx_differs(const HisiAccCtx *a, const HisiAccCtx *b)
{
    return memcmp(a->dw, b->dw, sizeof(a->dw));
}

/*
 * SQ doorbell of priority 1: take the queue over from the tables and run it
 * from its head, whatever the index (drivers send 0). It releases this queue
 * only: another one must not run from its cache while its own restart is still
 * to come.
 */
static void queue_restart(HisiAccQueue *q, unsigned index)
{
    HisiAccFn *fn = q->fn;
    HisiAccCtx sq, cq, cached = sq_image(q);

    fn->stats[STAT_RESTARTS]++;
    fn->paused = false;
    timer_del(fn->resume_timer);
    q->held = false;

    if (cached.valid && hisi_acc_quirk(fn, QUIRK_RESTART_FROM_CACHE)) {
        cq_event(&fn->queues[sq_cqn(&q->sq)]);
    } else if (queue_read_tables(q, &sq, &cq)) {
        if (cached.valid && (q->dirty || q->in_flight) &&
            (q->in_flight || ctx_differs(&cached, &sq) ||
             ctx_differs(&fn->queues[sq_cqn(&sq)].cq, &cq))) {
            hisi_acc_violation(fn, VIOLATION_STALE_RELOAD, q->qn, cached.dw[0]);
        }
        queue_install(q, &sq, &cq);
        if (hisi_acc_quirk(fn, QUIRK_RESTART_TAKES_INDEX)) {
            ctx_set_tail(&q->sq, index % xq_depth(&q->sq));
        }
        cq_event(&fn->queues[sq_cqn(&sq)]);
    } else if (cached.valid && q->dirty) {
        hisi_acc_violation(fn, VIOLATION_STALE_RELOAD, q->qn, cached.dw[0]);
    }
    hisi_acc_eq_update(fn, 0);
    hisi_acc_eq_update(fn, 1);
    queue_update(q);
    hisi_acc_jobs_kick(fn);
    /* What a stop, flush or pause waits for may just have been dropped */
    hisi_acc_mailbox_progress(fn);
}

/* -------------------------------------------------- pause */

/* Undo a pause with the contexts that are cached */
void hisi_acc_resume(HisiAccFn *fn)
{
    trace_hisi_acc_resume(fn->id);
    fn->paused = false;
    for (unsigned i = 0; i < fn->nr_queues; i++) {
        fn->queues[i].held = false;
        queue_update(&fn->queues[i]);
    }
    cq_events_retry(fn);
    hisi_acc_jobs_kick(fn);
}

/*
 * Finish what was fetched; with policy "hold" leave what is only posted, in all
 * queues, until somebody restarts them. An ordinary doorbell then only moves
 * the tail. The alternative, to let it run that queue, would be a DMA of a
 * device that promised to do none: in the P2P states the guest still runs and
 * still rings. "drain" fetches on until nothing is posted, and is not sticky.
 */
void hisi_acc_pause(HisiAccFn *fn)
{
    bool hold = fn->pf->pause_policy == PAUSE_HOLD;

    fn->stats[STAT_PAUSES]++;
    fn->stats[STAT_PAUSE_DRAINED] += fn->in_flight;
    trace_hisi_acc_pause(fn->id, hold, fn->in_flight);
    timer_del(fn->resume_timer);
    if (!hold) {
        hisi_acc_resume(fn);
        return;
    }
    for (unsigned i = 0; i < fn->nr_queues; i++) {
        fn->queues[i].held = fn->queues[i].sq.valid;
        queue_update(&fn->queues[i]);
    }
}

/* -------------------------------------------------- doorbells */

static void sq_doorbell(HisiAccQueue *q, unsigned tag, unsigned index)
{
    HisiAccFn *fn = q->fn;
    HisiAccCtx *sq = &q->sq, table_sq, table_cq;

    /*
     * A context that is not cached is looked up; one marked by its driver drops
     * stale doorbells
     */
    if (!sq->valid && !fn->paused &&
        queue_read_tables(q, &table_sq, &table_cq)) {
        queue_install(q, &table_sq, &table_cq);
    }
    if (!sq->valid || tag != xq_tag(sq) ||
        (fn->paused && hisi_acc_quirk(fn, QUIRK_PAUSE_DROPS_DOORBELLS))) {
        return;
    }
    if (index >= xq_depth(sq)) {
        hisi_acc_violation(fn, VIOLATION_DOORBELL_RANGE, q->qn, index);
        return;
    }
    if (index < ctx_tail(sq)) {
        xq_toggle_parity(sq);
    }
    ctx_set_tail(sq, index);
    q->held &= !hisi_acc_quirk(fn, QUIRK_PAUSE_RUNS_DOORBELLS);
    q->dirty = true;
    queue_update(q);
    hisi_acc_jobs_kick(fn);
}

static void cq_doorbell(HisiAccQueue *q, unsigned tag, unsigned index, bool arm)
{
    HisiAccCtx *cq = &q->cq;

    if (!cq->valid || tag != xq_tag(cq)) {
        return;
    }
    if (index >= xq_depth(cq)) {
        hisi_acc_violation(q->fn, VIOLATION_DOORBELL_RANGE, q->qn, index);
        return;
    }
    ctx_set_head(cq, index);
    cq_arm(cq, arm);
    q->dirty = true;
    /*
     * The driver looked for more before it armed: what came in between must not
     * be lost
     */
    cq_event(q);
}

static void eq_doorbell(HisiAccFn *fn, unsigned which, unsigned index)
{
    HisiAccEq *eq = &fn->eq[which];

    if (!eq->ctx.valid) {
        return;
    }
    if (index >= eq_depth(&eq->ctx)) {
        hisi_acc_violation(fn, VIOLATION_DOORBELL_RANGE, 0, index);
        return;
    }
    if (index == ctx_head(&eq->ctx) &&
        hisi_acc_quirk(fn, QUIRK_EQ_DOORBELL_SILENT)) {
        return;
    }
    ctx_set_head(&eq->ctx, index);
    eq->signalled = false;
    cq_events_retry(fn);
    /*
     * The driver's handler stops after half a ring and relies on another
     * interrupt
     */
    hisi_acc_eq_update(fn, which);
}

void hisi_acc_doorbell(HisiAccFn *fn, uint64_t db)
{
    unsigned qn = extract64(db, 0, 12), cmd = extract64(db, 12, 4);
    unsigned tag = extract64(db, 16, 16);
    unsigned index = extract64(db, 32, 16), priority = extract64(db, 48, 16);
    bool restart = cmd == DB_SQ && priority == 1;

    trace_hisi_acc_doorbell(fn->id, cmd, qn, index, priority);
    fn->stats[STAT_DOORBELLS] += !restart;

    if (cmd == DB_EQ || cmd == DB_AEQ) {
        eq_doorbell(fn, cmd - DB_EQ, index);
    } else if (cmd > DB_AEQ || qn >= fn->nr_queues) {
        hisi_acc_violation(fn, VIOLATION_DOORBELL_RANGE, qn, db);
    } else if (restart) {
        queue_restart(&fn->queues[qn], index);
    } else if (cmd == DB_SQ) {
        sq_doorbell(&fn->queues[qn], tag, index);
    } else {
        cq_doorbell(&fn->queues[qn], tag, index, priority);
    }
}

/* -------------------------------------------------- life cycle */

static void resume_timer(void *opaque)
{
    hisi_acc_resume(opaque);
}

void hisi_acc_fn_init(HisiAccFn *fn, HisiAccPF *pf, unsigned id)
{
    fn->pf = pf;
    fn->id = id;
    QTAILQ_INIT(&fn->runnable);
    QTAILQ_INIT(&fn->jobs);
    fn->job_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, job_timer, fn);
    fn->resume_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, resume_timer, fn);
    fn->irq_bh = qemu_bh_new(hisi_acc_irq_bh, fn);
}

void hisi_acc_fn_exit(HisiAccFn *fn)
{
    hisi_acc_queues_resize(fn, 0);
    timer_free(fn->job_timer);
    timer_free(fn->resume_timer);
    qemu_bh_delete(fn->irq_bh);
}
