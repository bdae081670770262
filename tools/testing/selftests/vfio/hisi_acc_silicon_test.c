// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does the hardware behave as hisi_vfio_pci assumes? The assumptions are inferred from what the
 * kernel's other drivers do; Documentation/driver-api/hisi-vfio-pci-silicon.rst lists them, and has
 * one test here for each. A "# verdict:" line says what the hardware does.
 *
 * Takes one idle VF bound to hisi_vfio_pci, resets it before and after each test, and touches
 * nothing else. Where the hardware might misread a command, the command is chosen so that every
 * reading of it is harmless.
 */
#include <assert.h>
#include <endian.h>
#include <poll.h>
#include <linux/hisi_acc_mig.h>
#include <sys/mman.h>

#include "lib/hisi_migrate.h"
#include "lib/mig_test.h"

#define ST(name)	VFIO_DEVICE_STATE_##name

/* Jobs that each queue has done before a test begins, and that the test posts */
#define DONE		5
#define JOBS		4

/* How long to watch for something that must not happen, and to wait for what must */
#define WATCH_US	50000
#define WAIT_MS		5000

/* An entry of the tables of queue contexts */
struct context {
	__le16 head, tail;
	__le32 base[2];
	__le32 size;
	__le32 rest[4];
};

static_assert(sizeof(struct context) == HACC_CTX_SIZE, "");

static volatile struct context *sqc_of(struct hacc *a, unsigned int queue)
{
	return (volatile struct context *)a->tables + queue;
}

static volatile struct context *cqc_of(struct hacc *a, unsigned int queue)
{
	return (volatile struct context *)a->tables + HACC_MAX_VF_QUEUES + queue;
}

FIXTURE(silicon)
{
	struct vdev dev;
	struct hacc a;
};

MIG_VARIANTS(silicon);

/* The VF as its next user gets it */
static int fresh(FIXTURE_DATA(silicon) *self)
{
	return vdev_reset(&self->dev) ?: hacc_attach(&self->a, &self->dev);
}

FIXTURE_SETUP(silicon)
{
	ASSERT_EQ(0, vdev_open(&self->dev, mig_bdf, variant->mode));
	ASSERT_EQ(0, hacc_create(&self->a, &hacc_default));
	ASSERT_EQ(0, hacc_map(&self->a, &self->dev));
	ASSERT_EQ(0, fresh(self));
}

FIXTURE_TEARDOWN(silicon)
{
	EXPECT_EQ(0, vdev_reset(&self->dev));
	/* Device first: what it may still write to must outlive it. */
	vdev_close(&self->dev);
	hacc_destroy(&self->a);
}

static bool judge(bool as_inferred, const char *fact, const char *meaning)
{
	if (as_inferred)
		printf("# verdict: as inferred\n");
	else
		printf("# verdict: OTHERWISE: %s. This means: %s\n", fact, meaning);
	return as_inferred;
}

#define VERDICT(as_inferred, fact, meaning)			\
	do {							\
		bool good = judge(as_inferred, fact, meaning);	\
								\
		EXPECT_TRUE(good);				\
	} while (0)

/* For tests that depend on something that another row found missing */
#define NOT_SEEN(why)						\
	do {							\
		printf("# verdict: none: %s\n", why);		\
		SKIP(return, why);				\
	} while (0)

#define NOT_HELD	"a paused function does not hold its jobs, see pause_holds"

static int pause_vf(struct hacc *a)
{
	__u64 none = 0;

	return hacc_mailbox(a, HACC_MB_PAUSE, 0, 0, &none);
}

static int read_table(struct hacc *a, unsigned int opcode, __u64 *addr)
{
	*addr = 0;
	return hacc_mailbox(a, opcode, HACC_MB_READ, 0, addr);
}

/* No ring wraps, so that the tests can do without arithmetic on indices. */
static int start_and_pause(struct hacc *a)
{
	return hacc_start(a) ?: hacc_work(a, DONE) ?: pause_vf(a);
}

/* Call after posting to a paused function. Return: whether it left these jobs alone */
static bool holds(const struct hacc *a, unsigned int jobs)
{
	usleep(WATCH_US);
	return hacc_unfinished(a) == jobs;
}

/* Return: whether the function finishes everything, each job once */
static bool finishes(struct hacc *a)
{
	for (int i = 0; i < WAIT_MS / 10 && hacc_unfinished(a); i++)
		usleep(10000);
	return !hacc_unfinished(a) && !hacc_settle(a);
}

/* For doorbells that were lost in the pause: pause_keeps_doorbells judges that. */
static void ring_again(struct hacc *a)
{
	usleep(WATCH_US);
	hacc_doorbell(a, HACC_DB_SQ, 0, a->q[0].sq_tail, 0);
}

static bool interrupts(struct hacc *a, int ms)
{
	struct pollfd p = { .fd = a->irq[HACC_IRQ_EQ], .events = POLLIN };
	__u64 count;

	return poll(&p, 1, ms) == 1 && read(p.fd, &count, sizeof(count)) == sizeof(count);
}

/* Leaves the VF stopped. */
static int save(FIXTURE_DATA(silicon) *self, struct mig_stream *s, struct hisi_acc_mig_record *rec)
{
	static const struct hmig_how how = { .chunk = MIG_BULK };
	int ret = hmig_save(&self->dev, &how, s, NULL);

	if (ret)
		return ret;
	if (s->len != sizeof(*rec))
		return -EBADMSG;
	memcpy(rec, s->data, sizeof(*rec));
	return 0;
}

/* Pause */

/* Fetched jobs are done when the pause is answered, and no other job is fetched afterwards. */
MIG_TEST_F(silicon, pause_finishes_fetched)
{
	struct hacc *a = &self->a;
	unsigned int finished = 0;
	bool late = false;
	int posted = 0;

	for (int i = 0; i < 5; i++) {
		unsigned int left;
		__u8 *copy;
		int n;

		ASSERT_EQ(0, fresh(self));
		ASSERT_EQ(0, hacc_start(a));
		n = hacc_post_all(a, 0);
		ASSERT_LT(0, n);
		ASSERT_EQ(0, pause_vf(a));
		left = hacc_unfinished(a);
		ASSERT_EQ(0, hmig_freeze(a, &copy));
		usleep(WATCH_US);
		late |= hmig_frozen(a, copy) || hacc_unfinished(a) != left;
		posted += n;
		finished += n - left;
	}
	printf("# of %d posted jobs %u were finished before the pause was answered\n", posted,
	       finished);
	VERDICT(!late,
		"a paused function keeps writing",
		"memory that is sent after a stop is not complete; do not migrate");
}

/* A doorbell rung during the pause starts nothing either. */
MIG_TEST_F(silicon, pause_holds)
{
	struct hacc *a = &self->a;
	int posted;

	ASSERT_EQ(0, start_and_pause(a));
	posted = hacc_post_all(a, JOBS);
	ASSERT_LT(0, posted);
	VERDICT(holds(a, posted),
		"doorbells make a paused function run",
		"in P2P states it still does DMA. STOP is safe: no doorbell gets through there");
}

MIG_TEST_F(silicon, pause_keeps_doorbells)
{
	struct hacc *a = &self->a;

	ASSERT_EQ(0, start_and_pause(a));
	ASSERT_EQ(JOBS, hacc_post(a, 0, JOBS));
	if (!holds(a, JOBS))
		NOT_SEEN(NOT_HELD);
	ASSERT_EQ(0, hacc_writeback(a));
	VERDICT(le16toh(sqc_of(a, 0)->tail) == DONE + JOBS,
		"a paused function drops doorbells",
		"jobs posted in a P2P state wait for the next doorbell of their queue");
}

/* The tables in memory are empty, so jobs can only run from the caches. */
MIG_TEST_F(silicon, mask_ends_pause)
{
	struct hacc *a = &self->a;

	ASSERT_EQ(0, start_and_pause(a));
	ASSERT_EQ(JOBS, hacc_post(a, 0, JOBS));
	if (!holds(a, JOBS))
		NOT_SEEN(NOT_HELD);
	/* The kernel's driver writes 0 only. */
	hacc_write(a, HACC_REG_MSG_MASK, 1);
	ring_again(a);
	printf("# a 1 written to the mask %s the pause\n",
	       holds(a, JOBS) ? "does not end" : "ends");
	hacc_write(a, HACC_REG_MSG_MASK, 0);
	ring_again(a);
	VERDICT(finishes(a),
		"unmasking messages does not end a pause",
		"a VF stopped and continued without a guest driver stays paused until a reset");
}

/*
 * Restart a function after posting JOBS jobs on queue 0. The cached context has all of them, the
 * one in memory one less, and the doorbell's index is that after the first.
 *
 * Return: how many jobs are done; -EAGAIN if the pause did not hold them; -ENODATA if the context
 * was not written back.
 */
static int restart(struct hacc *a)
{
	int ret = start_and_pause(a);

	if (ret)
		return ret;
	ret = hacc_post(a, 0, JOBS);
	if (ret != JOBS)
		return -EINVAL;
	if (!holds(a, JOBS))
		return -EAGAIN;
	ret = hacc_writeback(a);
	if (ret)
		return ret;
	if (le32toh(sqc_of(a, 0)->base[0]) != (__u32)hacc_iova(a, a->q[0].sqe))
		return -ENODATA;
	sqc_of(a, 0)->tail = htole16(DONE + JOBS - 1);

	/* All queues, as the driver does. The others have no jobs, whatever the index means. */
	for (unsigned int i = 0; i < a->vf_queues; i++)
		hacc_doorbell(a, HACC_DB_SQ, i, i ? (i < a->cfg.queues ? DONE : 0) : DONE + 1, 1);
	for (int i = 0; i < 100 && hacc_unfinished(a) > 1; i++)
		usleep(10000);
	usleep(WATCH_US);
	return JOBS - hacc_unfinished(a);
}

MIG_TEST_F(silicon, restart_fetches)
{
	struct hacc *a = &self->a;
	int done = restart(a);

	if (done == -EAGAIN)
		NOT_SEEN(NOT_HELD);
	if (done == -ENODATA)
		NOT_SEEN("no context is written back, see writeback_current");
	ASSERT_LE(0, done);
	printf("# %d jobs: memory says %d, the cache %d, the index 1\n", done, JOBS - 1, JOBS);
	if (done == 1)
		NOT_SEEN("the doorbell's index counts, see restart_ignores_index");
	if (done == JOBS - 1)
		ring_again(a);
	VERDICT(done == JOBS - 1 && finishes(a),
		"a restart does not fetch the context of its queue",
		"a loaded VF does not run; do not migrate");
}

MIG_TEST_F(silicon, restart_ignores_index)
{
	struct hacc *a = &self->a;
	int done = restart(a);

	if (done == -EAGAIN)
		NOT_SEEN(NOT_HELD);
	if (done == -ENODATA)
		NOT_SEEN("no context is written back, see writeback_current");
	ASSERT_LE(0, done);
	printf("# %d jobs: memory says %d, the cache %d, the index 1\n", done, JOBS - 1, JOBS);
	if (!done)
		NOT_SEEN("a restart does nothing, see restart_fetches");
	VERDICT(done != 1,
		"the index of a restart becomes the queue's tail",
		"the driver sends 0, and finished jobs run again; do not migrate");
}

/* Caches and tables */

MIG_TEST_F(silicon, writeback_current)
{
	struct hacc *a = &self->a;
	bool current = true;

	ASSERT_EQ(0, hacc_start(a));
	for (int round = 1; round <= 2; round++) {
		ASSERT_EQ(0, hacc_work(a, DONE));
		ASSERT_EQ(0, hacc_writeback(a));
		for (unsigned int i = 0; i < a->cfg.queues; i++)
			current &= le16toh(sqc_of(a, i)->head) == round * DONE &&
				   le16toh(sqc_of(a, i)->tail) == round * DONE &&
				   le16toh(cqc_of(a, i)->head) == round * DONE &&
				   le16toh(cqc_of(a, i)->tail) == round * DONE;
	}
	VERDICT(current,
		"the writeback leaves stale contexts in memory",
		"the target starts queues where they were earlier; do not migrate");
}

/*
 * Without tables there is no place for contexts. Memory is mapped at address 0, to see whether the
 * function takes that for a table.
 */
MIG_TEST_F(silicon, blank_pause)
{
	static const size_t len = 2 * HACC_MAX_VF_QUEUES * HACC_CTX_SIZE;
	struct hacc *a = &self->a;
	bool written = false;
	__u8 *low, *copy;
	int ret;

	low = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, low);
	memset(low, 0xa5, len);
	ASSERT_EQ(0, vdev_map_dma(&self->dev, low, len, 0));
	ASSERT_EQ(0, hmig_freeze(a, &copy));
	ret = pause_vf(a) ?: hacc_writeback(a);
	written |= hmig_frozen(a, copy);
	for (size_t i = 0; i < len; i++)
		written |= low[i] != 0xa5;
	printf("# pause and writeback: %s\n", ret ? strerror(-ret) : "done");
	VERDICT(!ret && !written,
		ret ? "a function without queues cannot be stopped" :
		      "a function without queues writes to memory when it is stopped",
		ret ? "a VF is neither a target nor saved without a guest driver; do not migrate" :
		      "the guest's memory at address 0 is damaged; do not migrate");
}

MIG_TEST_F(silicon, tables_read_back)
{
	struct hacc *a = &self->a;
	__u64 sqc, cqc;

	ASSERT_EQ(0, hacc_start(a));
	ASSERT_EQ(0, read_table(a, HACC_MB_SQC_BT, &sqc));
	ASSERT_EQ(0, read_table(a, HACC_MB_CQC_BT, &cqc));
	printf("# written 0x%llx 0x%llx, read 0x%llx 0x%llx\n", a->sqc_table, a->cqc_table, sqc,
	       cqc);
	VERDICT(sqc == a->sqc_table && cqc == a->cqc_table,
		"a function reports other table addresses than it was given",
		"no saved record is right; do not migrate");
}

/* The same addresses as before, as in a VF that loads its own state */
MIG_TEST_F(silicon, tables_drop_caches)
{
	struct hacc *a = &self->a;

	ASSERT_EQ(0, start_and_pause(a));
	ASSERT_EQ(JOBS, hacc_post(a, 0, JOBS));
	if (!holds(a, JOBS))
		NOT_SEEN(NOT_HELD);
	memset(a->tables, 0, HACC_CTX_SIZE * a->cfg.queues);
	ASSERT_EQ(0, hacc_start_tables(a));
	hacc_write(a, HACC_REG_MSG_MASK, 0);
	usleep(4 * WATCH_US);
	VERDICT(hacc_unfinished(a) == JOBS,
		"contexts stay cached when a function is given tables",
		"a VF that is loaded without a reset runs before it is started");
}

/* Registers */

/*
 * All ones in this register tell the driver that the function is gone. Which other registers a
 * guest can set to all ones is printed only.
 */
MIG_TEST_F(silicon, writeback_done_read_only)
{
	static const unsigned int others[] = {
		HACC_REG_AEQ_MASK, HACC_REG_EQ_MASK, HACC_REG_MSG_MASK, HACC_REG_PAGE_SIZE,
		HACC_REG_VF_STATE,
	};
	struct hacc *a = &self->a;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		__u32 was = hacc_read(a, others[i]);

		hacc_write(a, others[i], ~0U);
		printf("# register 0x%02x with all ones written: 0x%08x\n", others[i],
		       hacc_read(a, others[i]));
		hacc_write(a, others[i], was);
	}
	hacc_write(a, HACC_REG_WB_DONE, ~0U);
	printf("# register 0x%02x with all ones written: 0x%08x\n", HACC_REG_WB_DONE,
	       hacc_read(a, HACC_REG_WB_DONE));
	VERDICT(hacc_read(a, HACC_REG_WB_DONE) != ~0U,
		"a guest can write all ones to QM_WB_DONE",
		"it can make its own VF look removed, and its migration fail");
}

/* Only the PF sends messages, so there may be none to clear. Mere storage would read 1, though. */
MIG_TEST_F(silicon, message_source_clears)
{
	struct hacc *a = &self->a;

	printf("# before: 0x%x\n", hacc_read(a, HACC_REG_MSG_SOURCE));
	hacc_write(a, HACC_REG_MSG_SOURCE, 1);
	VERDICT(!(hacc_read(a, HACC_REG_MSG_SOURCE) & 1),
		"a 1 written to IFC_SOURCE does not clear it",
		"a message left in the target VF reaches the guest that is loaded");
}

/*
 * The function raises one interrupt for pending events, and a guest that missed it waits forever.
 * The doorbell's index is the one that the function already has.
 */
MIG_TEST_F(silicon, eq_doorbell_interrupts)
{
	struct hacc *a = &self->a;

	ASSERT_EQ(0, hacc_irqs_on(a));
	ASSERT_EQ(0, hacc_start(a));
	ASSERT_EQ(1, hacc_post(a, 0, 1));
	for (int i = 0; i < WAIT_MS / 10 && hacc_unfinished(a); i++)
		usleep(10000);
	ASSERT_TRUE(interrupts(a, WAIT_MS));
	while (interrupts(a, 100))
		;
	ASSERT_EQ(a->eq_phase, a->eq[a->eq_head] >> 16 & 1);
	hacc_doorbell(a, HACC_DB_EQ, 0, a->eq_head, 0);
	VERDICT(interrupts(a, 2000),
		"an EQ doorbell that changes nothing raises no interrupt",
		"one that is lost between two hosts stays lost until the guest submits more");
}

/* Reset */

MIG_TEST_F(silicon, reset_not_ready)
{
	struct hacc *a = &self->a;

	hacc_write(a, HACC_REG_VF_STATE, 0);
	ASSERT_EQ(0, fresh(self));
	printf("# VF_STATE after a reset: 0x%x\n", hacc_read(a, HACC_REG_VF_STATE));
	VERDICT(hacc_read(a, HACC_REG_VF_STATE) & 1,
		"VF_STATE reads \"ready\" after a reset",
		"a blank VF counts as one in use, and refuses the record of an unused one");
}

MIG_TEST_F(silicon, reset_clears_tables)
{
	struct hacc *a = &self->a;
	__u64 sqc, cqc;

	ASSERT_EQ(0, hacc_start(a));
	ASSERT_EQ(0, fresh(self));
	ASSERT_EQ(0, read_table(a, HACC_MB_SQC_BT, &sqc));
	ASSERT_EQ(0, read_table(a, HACC_MB_CQC_BT, &cqc));
	printf("# tables after a reset: 0x%llx 0x%llx\n", sqc, cqc);
	VERDICT(!sqc && !cqc,
		"a reset leaves table addresses",
		"a VF that is not set up yet may be restarted from its last user's addresses");
}

/*
 * The driver saves a VF as unused (all zeros) unless every address is set. So set all but one after
 * the reset: a record of zeros then means that the last one was cleared.
 */
static int reset_keeps(FIXTURE_DATA(silicon) *self, unsigned int opcode, bool *keeps)
{
	unsigned int other = opcode == HACC_MB_EQC ? HACC_MB_AEQC : HACC_MB_EQC;
	struct hisi_acc_mig_record rec = {};
	struct hacc *a = &self->a;
	struct mig_stream s = {};
	int ret;

	ret = hacc_start(a) ?: hacc_work(a, DONE) ?: save(self, &s, &rec);
	if (!ret && le64toh(rec.eq_addr) != hacc_iova(a, a->eq))
		ret = -EBADMSG;
	if (!ret)
		ret = fresh(self) ?: hacc_start_event_queue(a, other) ?: hacc_start_tables(a);
	if (!ret) {
		hacc_write(a, HACC_REG_VF_STATE, 0);
		mig_stream_free(&s);
		ret = save(self, &s, &rec);
	}
	*keeps = rec.eq_addr || rec.aeq_addr;
	mig_stream_free(&s);
	return ret ?: fresh(self);
}

MIG_TEST_F(silicon, reset_clears_event_queues)
{
	bool eq, aeq;

	ASSERT_EQ(0, reset_keeps(self, HACC_MB_EQC, &eq));
	ASSERT_EQ(0, reset_keeps(self, HACC_MB_AEQC, &aeq));
	printf("# after a reset: EQ %s, AEQ %s\n", eq ? "kept" : "cleared",
	       aeq ? "kept" : "cleared");
	VERDICT(!eq && !aeq,
		"a reset leaves the contexts of event queues",
		"a reset of the PF during a migration goes unnoticed, and jobs are lost");
}

/* The guest's driver leaves messages alone here, because unmasking them ends a pause too. */
MIG_TEST_F(silicon, reset_ends_pause)
{
	struct hacc *a = &self->a;

	a->cfg.no_messages = true;
	ASSERT_EQ(0, start_and_pause(a));
	ASSERT_EQ(0, fresh(self));
	ASSERT_EQ(0, hacc_start(a));
	ASSERT_EQ(JOBS, hacc_post(a, 0, JOBS));
	VERDICT(finishes(a),
		"a reset does not end a pause",
		"a VF that is reset while stopped stays paused until messages are unmasked");
}

/* Load */

MIG_TEST_F(silicon, load_reads_back)
{
	static const size_t state = offsetof(struct hisi_acc_mig_record, aeq_mask);
	struct hisi_acc_mig_record before, after = {};
	struct hacc *a = &self->a;
	struct mig_stream s = {};
	bool same;
	int fd, ret;

	ASSERT_EQ(0, hacc_start(a));
	ASSERT_EQ(0, hacc_work(a, DONE));
	ASSERT_EQ(0, save(self, &s, &before));
	ASSERT_EQ(hacc_iova(a, a->eq), le64toh(before.eq_addr));
	ASSERT_EQ(hacc_iova(a, a->aeq), le64toh(before.aeq_addr));
	ASSERT_EQ(a->sqc_table, le64toh(before.sqc_addr));

	ASSERT_EQ(0, fresh(self));
	ASSERT_EQ(0, mig_set(&self->dev, ST(RESUMING), &fd));
	ret = mig_fill(fd, s.data, s.len, MIG_BULK, NULL) ?: mig_set(&self->dev, ST(STOP), NULL);
	close(fd);
	mig_stream_free(&s);
	if (!ret)
		ret = save(self, &s, &after);
	mig_stream_free(&s);
	/* The driver may find it out by itself. */
	ASSERT_TRUE(!ret || ret == -EIO);
	printf("# load: %s\n", ret ? strerror(-ret) : "done");

	/* These are informative and not loaded. */
	after.ifc_source = before.ifc_source;
	after.ifc_set = before.ifc_set;
	same = !ret;
	for (size_t i = state; same && i < sizeof(before); i += 4)
		if (memcmp((__u8 *)&before + i, (__u8 *)&after + i, 4)) {
			printf("# the record differs at 0x%zx\n", i);
			same = false;
		}
	VERDICT(same,
		"what is loaded cannot be read back",
		"event queues cannot be restored; do not migrate");
}

/* Reading back shows storage only, so see whether the function uses the event queue. */
MIG_TEST_F(silicon, load_starts_events)
{
	static const struct hmig_how how = { .chunk = MIG_BULK };
	struct hisi_acc_mig_record rec;
	struct hacc *a = &self->a;
	struct mig_stream s = {};
	__u64 events;
	bool runs;

	ASSERT_EQ(0, hacc_start(a));
	ASSERT_EQ(0, hacc_work(a, DONE));
	ASSERT_EQ(0, save(self, &s, &rec));
	ASSERT_EQ(0, hmig_load(a, &self->dev, &how, &s));
	mig_stream_free(&s);
	events = a->events;
	runs = !hacc_work(a, DONE);
	printf("# %llu events before the load, %llu after it\n", events, a->events - events);
	VERDICT(runs && a->events > events,
		runs ? "a loaded event queue is not used" : "a loaded function does not run",
		"a migrated guest hangs; do not migrate");
}

int main(int argc, char **argv)
{
	return mig_test_main(argc, argv, 1);
}
