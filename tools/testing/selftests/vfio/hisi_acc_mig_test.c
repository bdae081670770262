// SPDX-License-Identifier: GPL-2.0-only
/*
 * Migration of a HiSilicon accelerator's VF with its queues: jobs posted before, during and after
 * it are done exactly once and give the right data, wherever the migration ends or is given up.
 * With one VF it is moved to itself, with a reset between; with two, from BDF to BDF2.
 */
#include <endian.h>
#include <pthread.h>
#include <stdatomic.h>
#include <linux/hisi_acc_mig.h>
#include <linux/pci_regs.h>

#include "lib/hisi_migrate.h"
#include "lib/mig_test.h"

#define ST(name)	VFIO_DEVICE_STATE_##name

/* Jobs on each queue while something happens to the VF */
#define JOBS		24

FIXTURE(acc)
{
	struct vdev dev[2];
	struct vdev *src, *dst;
	__u32 flags;
	struct hacc a;
};

MIG_VARIANTS(acc);

FIXTURE_SETUP(acc)
{
	self->src = &self->dev[0];
	self->dst = self->src;
	self->dev[1] = VDEV_CLOSED;
	ASSERT_EQ(0, vdev_open(self->src, mig_bdf, variant->mode));
	ASSERT_EQ(0, mig_flags(self->src, &self->flags));
	ASSERT_EQ(0, hacc_create(&self->a, &hacc_default));
	ASSERT_EQ(0, hacc_map(&self->a, self->src));
	if (mig_bdf2) {
		self->dst = &self->dev[1];
		ASSERT_EQ(0, vdev_open(self->dst, mig_bdf2, variant->mode));
		ASSERT_EQ(0, hacc_map(&self->a, self->dst));
	}
	ASSERT_EQ(0, hacc_attach(&self->a, self->src));
}

FIXTURE_TEARDOWN(acc)
{
	/* Devices first: what they may still write to must outlive them. */
	vdev_close(&self->dev[0]);
	vdev_close(&self->dev[1]);
	hacc_destroy(&self->a);
}

static const struct hmig_how precopy = { .precopy = true, .chunk = MIG_BULK };
static const struct hmig_how direct = { .precopy = false, .chunk = MIG_BULK };

static bool stopped(__u32 state)
{
	return state == ST(STOP) || state == ST(STOP_COPY);
}

/* What the guest sees when it runs again: all that was posted, and the queues go on. */
#define GOES_ON()								\
	do {									\
		EXPECT_EQ(0, hacc_settle(&self->a));				\
		EXPECT_EQ(0, hacc_work(&self->a, 5));				\
	} while (0)

MIG_TEST_F(acc, jobs)
{
	ASSERT_EQ(0, hacc_start(&self->a));
	EXPECT_EQ(0, hacc_work(&self->a, 3 * hacc_default.depth));
	EXPECT_LT(0, self->a.events);
}

MIG_TEST_F(acc, interrupts)
{
	ASSERT_EQ(0, hacc_irqs_on(&self->a));
	ASSERT_EQ(0, hacc_start(&self->a));
	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(1, hacc_post(&self->a, 0, 1));
		ASSERT_EQ(0, hacc_wait_irq(&self->a));
		ASSERT_EQ(0, hacc_settle(&self->a));
	}
}

/*
 * Every way out of RUNNING and back. While the VF is stopped nothing is written, afterwards
 * everything that was posted is done, once.
 */
MIG_TEST_F(acc, cancel)
{
	static const __u32 routes[][5] = {
		{ ST(STOP) },
		{ ST(RUNNING_P2P) },
		{ ST(RUNNING_P2P), ST(STOP) },
		{ ST(STOP), ST(RUNNING_P2P) },
		{ ST(STOP), ST(RUNNING_P2P), ST(STOP) },
		{ ST(STOP), ST(STOP_COPY) },
		{ ST(STOP), ST(STOP_COPY), ST(STOP) },
		{ ST(STOP), ST(STOP_COPY), ST(STOP), ST(STOP_COPY) },
		{ ST(STOP), ST(STOP_COPY), ST(RUNNING_P2P) },
		{ ST(PRE_COPY) },
		{ ST(PRE_COPY), ST(STOP_COPY) },
		{ ST(PRE_COPY), ST(STOP_COPY), ST(STOP) },
		{ ST(PRE_COPY), ST(STOP) },
		{ ST(PRE_COPY), ST(PRE_COPY_P2P) },
		{ ST(PRE_COPY), ST(PRE_COPY_P2P), ST(PRE_COPY) },
		{ ST(PRE_COPY), ST(PRE_COPY_P2P), ST(STOP_COPY) },
		{ ST(PRE_COPY), ST(PRE_COPY_P2P), ST(RUNNING_P2P) },
		{ ST(PRE_COPY), ST(PRE_COPY_P2P), ST(PRE_COPY), ST(PRE_COPY_P2P), ST(STOP_COPY) },
		{ ST(RUNNING_P2P), ST(PRE_COPY_P2P), ST(RUNNING_P2P) },
		{ ST(RUNNING_P2P), ST(PRE_COPY_P2P), ST(STOP_COPY) },
	};

	ASSERT_EQ(0, hacc_start(&self->a));
	for (size_t r = 0; r < ARRAY_SIZE(routes); r++) {
		struct mig_stream s = {};
		unsigned int unfinished = 0;
		__u8 *copy = NULL;
		__u32 at = ST(RUNNING);
		bool offered = true;
		int fd = -1;

		for (int n = 0; n < 5 && routes[r][n]; n++)
			offered &= mig_state_offered(routes[r][n], self->flags);
		if (!offered)
			continue;

		ASSERT_LT(0, hacc_post_all(&self->a, JOBS));
		for (int n = 0; n < 5 && routes[r][n]; at = routes[r][n++]) {
			int new;

			ASSERT_EQ(0, mig_set(self->src, routes[r][n], &new)) {
				ABOUT(at, routes[r][n]);
			}
			fd = new >= 0 ? new : fd;
			if (stopped(routes[r][n]) && !copy) {
				unfinished = hacc_unfinished(&self->a);
				ASSERT_EQ(0, hmig_freeze(&self->a, &copy));
			}
			if (!stopped(routes[r][n]) && copy) {
				EXPECT_EQ(0, hmig_frozen(&self->a, copy));
				copy = NULL;
			}
			if (mig_state_saving(routes[r][n])) {
				mig_drain(fd, &s, MIG_BULK);
				EXPECT_LT(0, s.len);
			}
		}
		if (copy) {
			EXPECT_EQ(0, hmig_frozen(&self->a, copy));
			EXPECT_TRUE(hmig_pending_ok(unfinished));
		}
		ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL)) ABOUT(at, ST(RUNNING));
		ASSERT_EQ(0, hacc_settle(&self->a)) {
			TH_LOG("route %zu, over %s", r, mig_state_name(at));
		}
		ASSERT_EQ(0, hacc_work(&self->a, 3));
		if (fd >= 0)
			close(fd);
		mig_stream_free(&s);
	}
}

/* PRE_COPY is running: jobs are done there as ever. */
MIG_TEST_F(acc, work_in_precopy)
{
	struct mig_stream s = {};
	int fd;

	ASSERT_EQ(0, hacc_start(&self->a));
	ASSERT_EQ(0, mig_set(self->src, ST(PRE_COPY), &fd));
	EXPECT_EQ(0, hacc_work(&self->a, 40));
	EXPECT_EQ(-ENOMSG, mig_drain(fd, &s, MIG_BULK));
	EXPECT_EQ(0, hacc_work(&self->a, 40));
	ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL));
	GOES_ON();
	close(fd);
	mig_stream_free(&s);
}

/* In a P2P state doorbells may still come; what they announce is not lost on either way out. */
MIG_TEST_F(acc, post_in_p2p)
{
	unsigned int unfinished;

	if (!(self->flags & VFIO_MIGRATION_P2P)) {
		EXPECT_EQ(-EINVAL, mig_set(self->src, ST(RUNNING_P2P), NULL));
		return;
	}
	ASSERT_EQ(0, hacc_start(&self->a));
	for (int i = 0; i < 4; i++) {
		ASSERT_LT(0, hacc_post_all(&self->a, 7));
		ASSERT_EQ(0, mig_set(self->src, i & 1 ? ST(PRE_COPY_P2P) : ST(RUNNING_P2P), NULL));
		ASSERT_LT(0, hacc_post_all(&self->a, 7));
		ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL));
		ASSERT_LT(0, hacc_post_all(&self->a, 3));
		GOES_ON();
	}
	ASSERT_LT(0, hacc_post_all(&self->a, 7));
	ASSERT_EQ(0, mig_set(self->src, ST(RUNNING_P2P), NULL));
	ASSERT_LT(0, hacc_post_all(&self->a, 7));
	ASSERT_EQ(0, mig_set(self->src, ST(STOP), NULL));
	ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL));
	GOES_ON();
	ASSERT_LT(0, hacc_post_all(&self->a, 7));
	ASSERT_EQ(0, mig_set(self->src, ST(RUNNING_P2P), NULL));
	ASSERT_LT(0, hacc_post_all(&self->a, 7));
	ASSERT_EQ(0, hmig_migrate(&self->a, self->src, self->dst, &direct, &unfinished));
	GOES_ON();
}

/* A stopped VM is paused and continued more often than it is migrated. */
MIG_TEST_F(acc, stop_and_continue)
{
	ASSERT_EQ(0, hacc_start(&self->a));
	for (int i = 0; i < 20; i++) {
		ASSERT_LT(0, hacc_post_all(&self->a, 1 + i));
		ASSERT_EQ(0, mig_set(self->src, ST(STOP), NULL));
		ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL));
		ASSERT_EQ(0, hacc_settle(&self->a));
	}
	GOES_ON();
}

/* D3hot keeps the queues of a function, and so do the arcs that wake it. */
MIG_TEST_F(acc, d3hot)
{
	unsigned int unfinished;

	ASSERT_EQ(0, hacc_start(&self->a));
	MIG_EVERY_STATE(state, self->flags) {
		if (state == ST(RUNNING) || state == ST(RESUMING))
			continue;
		ASSERT_EQ(0, vdev_sleep(self->src));
		ASSERT_EQ(0, mig_set(self->src, state, NULL)) ABOUT(ST(RUNNING), state);
		ASSERT_EQ(0, vdev_sleep(self->src));
		ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL)) ABOUT(state, ST(RUNNING));
		EXPECT_EQ(0, hacc_work(&self->a, 5));
	}
	ASSERT_EQ(0, vdev_sleep(self->src));
	ASSERT_EQ(0, hmig_migrate(&self->a, self->src, self->dst, &precopy, &unfinished));
	GOES_ON();
}

/*
 * A VF that is given its own state back goes on where it was, and not before it is told to, however
 * long that takes.
 */
MIG_TEST_F(acc, load_own_state)
{
	ASSERT_EQ(0, hacc_start(&self->a));
	for (int i = 0; i < 3; i++) {
		struct mig_stream s = {};
		__u8 *copy;
		int fd;

		ASSERT_LT(0, hacc_post_all(&self->a, JOBS));
		ASSERT_EQ(0, hmig_save(self->src, i & 1 ? &precopy : &direct, &s, NULL));
		ASSERT_EQ(0, mig_set(self->src, ST(RESUMING), &fd));
		EXPECT_EQ(0, mig_fill(fd, s.data, s.len, MIG_BULK, NULL));
		ASSERT_EQ(0, hmig_freeze(&self->a, &copy));
		EXPECT_EQ(0, hmig_frozen(&self->a, copy));
		ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL));
		GOES_ON();
		close(fd);
		mig_stream_free(&s);
	}
}

/* A load that is given up needs a reset, as the uAPI says; then the VF is as new. */
MIG_TEST_F(acc, give_up_resuming)
{
	struct mig_stream s = {};

	ASSERT_EQ(0, hacc_start(&self->a));
	ASSERT_EQ(0, hmig_save(self->src, &direct, &s, NULL));
	for (size_t part = 0; part < 4; part++) {
		int fd;

		ASSERT_EQ(0, mig_set(self->src, ST(RESUMING), &fd));
		ASSERT_EQ(0, mig_fill(fd, s.data, part * (s.len - 1) / 3, MIG_BULK, NULL));
		EXPECT_EQ(-EINVAL, mig_set(self->src, ST(RUNNING), NULL));
		close(fd);
		ASSERT_EQ(0, vdev_reset(self->src));
		ASSERT_EQ(0, hacc_attach(&self->a, self->src));
		ASSERT_EQ(0, hacc_start(&self->a));
		EXPECT_EQ(0, hacc_work(&self->a, 10));
	}
	mig_stream_free(&s);
}

/* A session that ends without a load (given up by a reset) leaves nothing behind for the next. */
MIG_TEST_F(acc, reset_while_stopped)
{
	ASSERT_EQ(0, hacc_start(&self->a));
	MIG_EVERY_STATE(state, self->flags) {
		ASSERT_LT(0, hacc_post_all(&self->a, JOBS));
		ASSERT_EQ(0, mig_set(self->src, state, NULL));
		ASSERT_EQ(0, vdev_reset(self->src));
		ASSERT_EQ(0, hacc_attach(&self->a, self->src));
		ASSERT_EQ(0, hacc_start(&self->a));
		EXPECT_EQ(0, hacc_work(&self->a, 10)) ABOUT(state, ST(RUNNING));
	}
}

/* The guest has moved: the next migration goes the other way. */
static void turn_round(FIXTURE_DATA(acc) *self)
{
	struct vdev *last = self->dst;

	self->dst = self->src;
	self->src = last;
}

/*
 * A reset that the VMM did not ask for, between stop and save say, must not look like a migration
 * that went well: the next arc fails, once. The VF itself is as new.
 */
static void check_reset_from_outside(struct __test_metadata *_metadata, FIXTURE_DATA(acc) *self,
				     bool config)
{
	ASSERT_EQ(0, hacc_start(&self->a));
	MIG_EVERY_STATE(state, self->flags) {
		ASSERT_LT(0, hacc_post_all(&self->a, JOBS));
		ASSERT_EQ(0, mig_set(self->src, state, NULL));
		ASSERT_EQ(0, vdev_reset_from_outside(self->src));
		if (config)
			ASSERT_EQ(0, vdev_config_write16(self->src, PCI_INTERRUPT_LINE, 0));
		EXPECT_EQ(state == ST(RUNNING) ? 0 : -EBUSY,
			  mig_set(self->src, ST(STOP), NULL)) {
			ABOUT(state, ST(STOP));
		}
		ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL)) ABOUT(state, ST(RUNNING));
		ASSERT_EQ(0, hacc_attach(&self->a, self->src));
		ASSERT_EQ(0, hacc_start(&self->a));
		EXPECT_EQ(0, hacc_work(&self->a, 10)) ABOUT(state, ST(RUNNING));
	}
}

MIG_TEST_F(acc, reset_from_outside)
{
	check_reset_from_outside(_metadata, self, false);
}

/* A VMM that writes to configuration space, as it does when it loads, did not ask for it either. */
MIG_TEST_F(acc, reset_from_outside_then_config)
{
	check_reset_from_outside(_metadata, self, true);
}

/*
 * Where the guest may write it can write all ones, of which a function that is gone consists: that
 * keeps nobody from stopping it, saving it, and letting it go on.
 */
MIG_TEST_F(acc, all_ones)
{
	static const unsigned int regs[] = {
		HACC_REG_VF_STATE, HACC_REG_MSG_MASK, HACC_REG_PAGE_SIZE, HACC_REG_AEQ_MASK,
	};

	self->a.cfg.eqc_unused = ~0;
	ASSERT_EQ(0, hacc_start(&self->a));
	for (size_t i = 0; i < ARRAY_SIZE(regs); i++) {
		__u32 old = hacc_read(&self->a, regs[i]);

		hacc_write(&self->a, regs[i], ~0);
		EXPECT_EQ(0, hacc_work(&self->a, JOBS));
		EXPECT_EQ(0, mig_set(self->src, ST(STOP), NULL)) ABOUT(ST(RUNNING), ST(STOP));
		EXPECT_EQ(0, mig_set(self->src, ST(STOP_COPY), NULL)) {
			ABOUT(ST(STOP), ST(STOP_COPY));
		}
		EXPECT_EQ(0, mig_set(self->src, ST(RUNNING), NULL)) {
			ABOUT(ST(STOP_COPY), ST(RUNNING));
			TH_LOG("register 0x%x", regs[i]);
		}
		EXPECT_EQ(0, hacc_work(&self->a, JOBS));
		hacc_write(&self->a, regs[i], old);
	}
}

/*
 * A guest that makes a paused function go on as long as it can. Restart doorbells, which would lose
 * it jobs if they came at any time, are in hisi_acc_fault_test.py.
 */
struct hostile {
	struct hacc *a;
	_Atomic bool on, at_it, end;
};

static void *resist(void *arg)
{
	struct hostile *h = arg;

	while (!atomic_load(&h->end)) {
		atomic_store(&h->at_it, atomic_load(&h->on));
		if (!atomic_load(&h->at_it) || sigsetjmp(mig_on_sigbus, 1)) {
			sched_yield();
			continue;
		}
		hacc_write(h->a, HACC_REG_MSG_MASK, 0);
		for (unsigned int i = 0; i < h->a->cfg.queues; i++)
			hacc_doorbell(h->a, HACC_DB_SQ, h->a->q[i].qn,
				      h->a->q[i].sq_tail, 0);
	}
	return NULL;
}

/* It never outlasts the arc to STOP, by whichever way. */
MIG_TEST_F(acc, hostile_until_stopped)
{
	static const __u32 routes[][3] = {
		{ ST(STOP) },
		{ ST(RUNNING_P2P), ST(STOP) },
		{ ST(STOP), ST(STOP_COPY) },
		{ ST(PRE_COPY), ST(STOP_COPY) },
		{ ST(PRE_COPY), ST(PRE_COPY_P2P), ST(STOP_COPY) },
	};
	struct hostile h = { .a = &self->a };
	pthread_t thread;

	ASSERT_EQ(0, mig_catch_sigbus());
	ASSERT_EQ(0, hacc_start(&self->a));
	ASSERT_EQ(0, pthread_create(&thread, NULL, resist, &h));
	for (int i = 0; i < 3; i++) {
		for (size_t r = 0; r < ARRAY_SIZE(routes); r++) {
			__u8 *copy;

			ASSERT_LT(0, hacc_post_all(&self->a, JOBS));
			atomic_store(&h.on, true);
			for (int n = 0; n < 3 && routes[r][n]; n++)
				ASSERT_EQ(0, mig_set(self->src, routes[r][n], NULL));
			ASSERT_EQ(0, hmig_freeze(&self->a, &copy));
			usleep(100000);
			EXPECT_EQ(0, hmig_frozen(&self->a, copy)) TH_LOG("route %zu", r);
			atomic_store(&h.on, false);
			while (atomic_load(&h.at_it))
				sched_yield();
			ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL));
			EXPECT_EQ(0, hacc_settle(&self->a));
		}
	}
	atomic_store(&h.end, true);
	pthread_join(thread, NULL);
	GOES_ON();
}

/*
 * A driver that was unloaded leaves the addresses of its tables in the function. Their memory is
 * another's by now, and looks like a queue with jobs.
 */
MIG_TEST_F(acc, unloaded_driver)
{
	ASSERT_EQ(0, hacc_start(&self->a));
	ASSERT_EQ(0, hacc_work(&self->a, 5));
	ASSERT_EQ(0, hacc_restart(&self->a));
	hacc_stop(&self->a);
	for (int i = 0; i < 4; i++) {
		__u8 *copy;

		ASSERT_EQ(0, mig_set(self->src, i & 1 ? ST(RUNNING_P2P) : ST(STOP), NULL));
		hacc_forge(&self->a, 3);
		ASSERT_EQ(0, hmig_freeze(&self->a, &copy));
		ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL));
		usleep(100000);
		EXPECT_EQ(0, hmig_frozen(&self->a, copy));
	}
}

/* One migration, with so many jobs done on each queue before, and so many posted. */
#define MIGRATE(how, jobs_before, pending)						\
	do {										\
		unsigned int unfinished;						\
											\
		ASSERT_EQ(0, hacc_work(&self->a, jobs_before));				\
		if (pending) {								\
			ASSERT_LT(0, hacc_post_all(&self->a, pending));			\
		}									\
		ASSERT_EQ(0, hmig_migrate(&self->a, self->src, self->dst, how, &unfinished)); \
		if (pending) {								\
			EXPECT_TRUE(hmig_pending_ok(unfinished));			\
		}									\
		turn_round(self);							\
		GOES_ON();								\
	} while (0)

MIG_TEST_F(acc, migrate_idle)
{
	ASSERT_EQ(0, hacc_start(&self->a));
	MIGRATE(&precopy, 10, 0);
}

MIG_TEST_F(acc, migrate_idle_direct)
{
	ASSERT_EQ(0, hacc_start(&self->a));
	MIGRATE(&direct, 10, 0);
}

MIG_TEST_F(acc, migrate_unused_queues)
{
	ASSERT_EQ(0, hacc_start(&self->a));
	MIGRATE(&precopy, 0, 0);
}

MIG_TEST_F(acc, migrate_pending)
{
	ASSERT_EQ(0, hacc_start(&self->a));
	MIGRATE(&precopy, 10, JOBS);
}

MIG_TEST_F(acc, migrate_pending_direct)
{
	ASSERT_EQ(0, hacc_start(&self->a));
	MIGRATE(&direct, 10, JOBS);
}

/* Nothing was completed yet, so head is still 0, and the rings are full. */
MIG_TEST_F(acc, migrate_full_rings)
{
	ASSERT_EQ(0, hacc_start(&self->a));
	MIGRATE(&precopy, 0, hacc_default.depth - 1);
}

/* Odd and even numbers of wraps, with the posted jobs across the end of the ring. */
MIG_TEST_F(acc, migrate_wrapped)
{
	ASSERT_EQ(0, hacc_start(&self->a));
	for (int i = 1; i < 4; i++)
		MIGRATE(i & 1 ? &precopy : &direct, hacc_default.depth - 4, JOBS);
}

/* The event queue has wrapped an odd number of times too. */
MIG_TEST_F(acc, migrate_wrapped_events)
{
	ASSERT_EQ(0, hacc_start(&self->a));
	for (int i = 0; i < 1000 && (self->a.eq_phase || self->a.q[0].cq_phase); i++) {
		ASSERT_EQ(0, hacc_work(&self->a, 3));
	}
	ASSERT_EQ(0, self->a.eq_phase);
	ASSERT_EQ(0, self->a.q[0].cq_phase);
	MIGRATE(&precopy, 0, JOBS);
}

MIG_TEST_F(acc, migrate_in_small_pieces)
{
	static const struct hmig_how bytes = { .precopy = true, .chunk = 1 };
	static const struct hmig_how odd = { .precopy = true, .chunk = MIG_ODD };

	ASSERT_EQ(0, hacc_start(&self->a));
	MIGRATE(&bytes, 5, JOBS);
	MIGRATE(&odd, 5, JOBS);
}

/* There and back and there: each migration starts from what the last one made. $HISI_ACC_ROUNDS */
MIG_TEST_F(acc, migrate_again_and_again)
{
	const char *rounds = getenv("HISI_ACC_ROUNDS");

	ASSERT_EQ(0, hacc_start(&self->a));
	for (int i = 0; i < (rounds ? atoi(rounds) : 6); i++)
		MIGRATE(i % 3 ? &precopy : &direct, 7, JOBS);
}

MIG_TEST_F(acc, migrate_after_cancel)
{
	struct mig_stream s = {};

	ASSERT_EQ(0, hacc_start(&self->a));
	ASSERT_LT(0, hacc_post_all(&self->a, JOBS));
	ASSERT_EQ(0, hmig_save(self->src, &precopy, &s, NULL));
	ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL));
	mig_stream_free(&s);
	GOES_ON();
	MIGRATE(&precopy, 3, JOBS);
}

/* Many queues, so that contexts are not only those of the first. */
MIG_TEST_F(acc, migrate_many_queues)
{
	struct hacc_config many = hacc_default;

	vdev_close(&self->dev[0]);
	vdev_close(&self->dev[1]);
	hacc_destroy(&self->a);
	many.queues = HACC_MAX_QUEUES;
	ASSERT_EQ(0, hacc_create(&self->a, &many));
	ASSERT_EQ(0, vdev_open(self->src, mig_bdf, variant->mode));
	ASSERT_EQ(0, hacc_map(&self->a, self->src));
	if (mig_bdf2) {
		ASSERT_EQ(0, vdev_open(self->dst, mig_bdf2, variant->mode));
		ASSERT_EQ(0, hacc_map(&self->a, self->dst));
	}
	ASSERT_EQ(0, hacc_attach(&self->a, self->src));
	ASSERT_EQ(0, hacc_start(&self->a));
	MIGRATE(&precopy, 10, JOBS);
	MIGRATE(&direct, 10, JOBS);
}

/*
 * A completion whose interrupt the guest never got: the event is in memory, and the target has to
 * raise the interrupt, else the guest waits for ever.
 */
MIG_TEST_F(acc, migrate_lost_interrupt)
{
	static const struct hmig_how irqs = { .precopy = true, .chunk = MIG_BULK, .irqs = true };
	unsigned int unfinished;

	ASSERT_EQ(0, hacc_start(&self->a));
	ASSERT_EQ(0, hacc_work(&self->a, 3));
	ASSERT_EQ(1, hacc_post(&self->a, 1, 1));
	for (int i = 0; i < 100000 && hacc_unfinished(&self->a); i++)
		usleep(100);
	ASSERT_EQ(0, hacc_unfinished(&self->a));
	ASSERT_EQ(0, hmig_migrate(&self->a, self->src, self->dst, &irqs, &unfinished));
	EXPECT_EQ(0, hacc_wait_irq(&self->a));
	GOES_ON();
	/* and the next ones come by themselves */
	ASSERT_EQ(1, hacc_post(&self->a, 0, 1));
	EXPECT_EQ(0, hacc_wait_irq(&self->a));
	EXPECT_EQ(0, hacc_settle(&self->a));
}

MIG_TEST_F(acc, migrate_with_interrupts)
{
	static const struct hmig_how irqs = { .precopy = true, .chunk = MIG_BULK, .irqs = true };
	unsigned int unfinished;

	ASSERT_EQ(0, hacc_irqs_on(&self->a));
	ASSERT_EQ(0, hacc_start(&self->a));
	for (int i = 0; i < 3; i++) {
		ASSERT_LT(0, hacc_post_all(&self->a, JOBS));
		ASSERT_EQ(0, hmig_migrate(&self->a, self->src, self->dst, &irqs, &unfinished));
		turn_round(self);
		while (hacc_outstanding(&self->a)) {
			ASSERT_EQ(0, hacc_wait_irq(&self->a));
			ASSERT_LE(0, hacc_reap(&self->a));
		}
		GOES_ON();
	}
}

MIG_TEST_F(acc, registers_travel)
{
	static const unsigned int regs[] = {
		HACC_REG_AEQ_MASK, HACC_REG_EQ_MASK, HACC_REG_PAGE_SIZE, HACC_REG_VF_STATE,
		HACC_REG_MSG_MASK,
	};
	__u32 before[ARRAY_SIZE(regs)];
	unsigned int unfinished;

	ASSERT_EQ(0, hacc_start(&self->a));
	hacc_write(&self->a, HACC_REG_AEQ_MASK, 1);
	hacc_write(&self->a, HACC_REG_PAGE_SIZE, 2);
	for (size_t i = 0; i < ARRAY_SIZE(regs); i++)
		before[i] = hacc_read(&self->a, regs[i]);
	ASSERT_EQ(0, hmig_migrate(&self->a, self->src, self->dst, &precopy, &unfinished));
	for (size_t i = 0; i < ARRAY_SIZE(regs); i++) {
		EXPECT_EQ(before[i], hacc_read(&self->a, regs[i])) {
			TH_LOG("register 0x%x", regs[i]);
		}
	}
}

/* The guests of two VFs know nothing of each other. */

FIXTURE(pair)
{
	struct vdev dev[2];
	struct hacc a[2];
};

MIG_VARIANTS(pair);

FIXTURE_SETUP(pair)
{
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, vdev_open(&self->dev[i], i ? mig_bdf2 : mig_bdf, variant->mode));
		ASSERT_EQ(0, hacc_create(&self->a[i], &hacc_default));
		ASSERT_EQ(0, hacc_map(&self->a[i], &self->dev[i]));
		ASSERT_EQ(0, hacc_attach(&self->a[i], &self->dev[i]));
		ASSERT_EQ(0, hacc_start(&self->a[i]));
	}
}

FIXTURE_TEARDOWN(pair)
{
	for (int i = 0; i < 2; i++) {
		vdev_close(&self->dev[i]);
		hacc_destroy(&self->a[i]);
	}
}

/* One of them is stopped, saved, reset and loaded, with jobs; the other one works meanwhile. */
MIG_TEST_F(pair, neighbour)
{
	for (int i = 0; i < 6; i++) {
		struct hacc *a = &self->a[i & 1], *other = &self->a[~i & 1];
		struct vdev *dev = &self->dev[i & 1];
		__u32 mask = i / 2 & 1;
		unsigned int unfinished;

		hacc_write(other, HACC_REG_AEQ_MASK, mask);
		ASSERT_LT(0, hacc_post_all(other, JOBS));
		ASSERT_LT(0, hacc_post_all(a, JOBS));
		ASSERT_EQ(0, hmig_migrate(a, dev, dev, i & 2 ? &direct : &precopy, &unfinished));
		EXPECT_EQ(mask, hacc_read(other, HACC_REG_AEQ_MASK));
		EXPECT_EQ(0, hacc_read(other, HACC_REG_EQ_MASK));
		EXPECT_EQ(0, hacc_read(other, HACC_REG_VF_STATE));
		for (int n = 0; n < 2; n++) {
			EXPECT_EQ(0, hacc_settle(&self->a[n]));
			EXPECT_EQ(0, hacc_work(&self->a[n], 5));
		}
	}
}

/* Neither may know where the other one is: stopped together, started one by one. */
MIG_TEST_F(pair, stopped_together)
{
	for (int i = 0; i < 4; i++) {
		for (int n = 0; n < 2; n++) {
			ASSERT_LT(0, hacc_post_all(&self->a[n], JOBS));
		}
		for (int n = 0; n < 2; n++) {
			ASSERT_EQ(0, mig_set(&self->dev[n], ST(STOP), NULL));
		}
		ASSERT_EQ(0, mig_set(&self->dev[i & 1], ST(RUNNING), NULL));
		EXPECT_EQ(0, hacc_settle(&self->a[i & 1]));
		EXPECT_EQ(0, hacc_work(&self->a[i & 1], 5));
		ASSERT_EQ(0, mig_set(&self->dev[~i & 1], ST(RUNNING), NULL));
		EXPECT_EQ(0, hacc_settle(&self->a[~i & 1]));
	}
}

/* The record: what is in it, how it is read, and what is not taken for one. */

FIXTURE(record)
{
	struct vdev dev[2];
	struct vdev *src, *dst;
	struct hacc a;
	struct mig_stream s;
	struct hisi_acc_mig_record rec;
	int fd;
};

MIG_VARIANTS(record);

/* A source in STOP_COPY with jobs, everything read. */
FIXTURE_SETUP(record)
{
	self->src = &self->dev[0];
	self->dst = self->src;
	self->dev[1] = VDEV_CLOSED;
	ASSERT_EQ(0, vdev_open(self->src, mig_bdf, variant->mode));
	ASSERT_EQ(0, hacc_create(&self->a, &hacc_default));
	ASSERT_EQ(0, hacc_map(&self->a, self->src));
	if (mig_bdf2) {
		self->dst = &self->dev[1];
		ASSERT_EQ(0, vdev_open(self->dst, mig_bdf2, variant->mode));
		ASSERT_EQ(0, hacc_map(&self->a, self->dst));
	}
	ASSERT_EQ(0, hacc_attach(&self->a, self->src));
	ASSERT_EQ(0, hacc_start(&self->a));
	ASSERT_EQ(0, hacc_work(&self->a, 11));
	ASSERT_LT(0, hacc_post_all(&self->a, JOBS));
	ASSERT_EQ(0, hmig_save(self->src, &direct, &self->s, &self->fd));
	ASSERT_EQ(HISI_ACC_MIG_RECORD_SIZE, self->s.len);
	memcpy(&self->rec, self->s.data, sizeof(self->rec));
}

FIXTURE_TEARDOWN(record)
{
	close(self->fd);
	vdev_close(&self->dev[0]);
	vdev_close(&self->dev[1]);
	mig_stream_free(&self->s);
	hacc_destroy(&self->a);
}

/*
 * Offers some bytes to the target: what write() said, how much was taken before it, and what the
 * end of the session said. With one VF the source has to be given up for it.
 */
static int offer(struct vdev *dst, const void *data, size_t len, size_t chunk, int *end)
{
	int fd, ret;

	ret = vdev_reset(dst);
	if (!ret)
		ret = mig_set(dst, ST(RESUMING), &fd);
	if (ret)
		return 1;
	ret = mig_fill(fd, data, len, chunk, NULL);
	*end = mig_set(dst, ST(STOP), NULL);
	close(fd);
	return ret;
}

/* After a target that refused: the source, or with one VF its good state, goes on. */
static int source_goes_on(struct hacc *a, struct vdev *src, struct vdev *dst,
			  const struct mig_stream *s)
{
	int ret = src == dst ? hmig_load(a, dst, &direct, s) : mig_set(src, ST(RUNNING), NULL);

	if (!ret)
		ret = hacc_settle(a);
	return ret ?: hacc_work(a, 5);
}

static __u64 words(const __le32 *eqc)
{
	return (__u64)le32toh(eqc[2]) << 32 | le32toh(eqc[1]);
}

MIG_TEST_F(record, contents)
{
	struct hisi_acc_mig_record *r = &self->rec;
	struct hacc *a = &self->a;

	EXPECT_EQ(HISI_ACC_MIG_MAGIC_V2, le64toh(r->magic));
	EXPECT_EQ(HISI_ACC_MIG_MAJOR, le16toh(r->major));
	EXPECT_EQ(hacc_id(a), le32toh(r->dev_id));
	EXPECT_EQ(a->vf_queues, le32toh(r->qp_num));
	EXPECT_EQ(HISI_ACC_MIG_VF_READY, le32toh(r->vf_state));
	EXPECT_EQ(0, r->reserved0[0] | r->reserved0[1] | r->pad0);
	for (size_t i = 0; i < ARRAY_SIZE(r->reserved1); i++) {
		EXPECT_EQ(0, r->reserved1[i]);
	}
	EXPECT_EQ(0, le32toh(r->aeq_mask));
	EXPECT_EQ(0, le32toh(r->eq_mask));
	EXPECT_EQ(a->sqc_table, le64toh(r->sqc_addr));
	EXPECT_EQ(a->cqc_table, le64toh(r->cqc_addr));
	EXPECT_EQ(words(r->eqc), le64toh(r->eq_addr));
	EXPECT_EQ(words(r->aeqc), le64toh(r->aeq_addr));
	EXPECT_EQ(a->eq_head, le32toh(r->eqc[0]) & 0xffff);
	EXPECT_EQ(hacc_default.eq_depth - 1, le32toh(r->eqc[6]) & 0xffff);
	EXPECT_EQ(0, source_goes_on(a, self->src, self->src, &self->s));
}

/* MIG_DATA_SIZE is what is still to be read; ENOMSG comes at 40 bytes, the end at 176. */
MIG_TEST_F(record, sizes)
{
	struct mig_stream s = {};
	__u64 size;
	__u8 byte;
	int fd;

	ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL));
	EXPECT_EQ(0, mig_size(self->src, &size));
	EXPECT_EQ(HISI_ACC_MIG_RECORD_SIZE, size);
	ASSERT_EQ(0, mig_set(self->src, ST(PRE_COPY), &fd));
	for (unsigned int n = 0; n < HISI_ACC_MIG_MATCH_SIZE; n++) {
		struct vfio_precopy_info info;

		EXPECT_EQ(0, mig_size(self->src, &size));
		EXPECT_EQ(HISI_ACC_MIG_RECORD_SIZE - n, size);
		EXPECT_EQ(0, mig_precopy_info(fd, &info));
		EXPECT_EQ(HISI_ACC_MIG_MATCH_SIZE - n, info.initial_bytes);
		EXPECT_EQ(0, info.dirty_bytes);
		ASSERT_EQ(1, read(fd, &byte, 1));
	}
	EXPECT_EQ(-1, read(fd, &byte, 1));
	EXPECT_EQ(ENOMSG, errno);
	ASSERT_EQ(0, mig_set(self->src, ST(STOP_COPY), NULL));
	for (unsigned int n = HISI_ACC_MIG_MATCH_SIZE; n < HISI_ACC_MIG_RECORD_SIZE; n++) {
		EXPECT_EQ(0, mig_size(self->src, &size));
		EXPECT_EQ(HISI_ACC_MIG_RECORD_SIZE - n, size);
		ASSERT_EQ(1, read(fd, &byte, 1));
	}
	EXPECT_EQ(0, read(fd, &byte, 1));
	close(fd);
	ASSERT_EQ(0, mig_set(self->src, ST(STOP), NULL));
	EXPECT_EQ(0, mig_size(self->src, &size));
	EXPECT_EQ(HISI_ACC_MIG_RECORD_SIZE, size);
	ASSERT_EQ(0, mig_set(self->src, ST(STOP_COPY), &fd));
	EXPECT_EQ(0, mig_drain(fd, &s, MIG_ODD));
	/* The VF has not run since. */
	ASSERT_EQ(HISI_ACC_MIG_RECORD_SIZE, s.len);
	close(fd);
	mig_stream_free(&s);
	ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL));
	EXPECT_EQ(0, hacc_settle(&self->a));
}

/* A stopped VF is saved as often as one likes, always the same; then it goes on. */
MIG_TEST_F(record, saved_twice)
{
	struct mig_stream again = {};
	int fd;

	ASSERT_EQ(0, mig_set(self->src, ST(STOP), NULL));
	ASSERT_EQ(0, mig_set(self->src, ST(STOP_COPY), &fd));
	EXPECT_EQ(0, mig_drain(fd, &again, 1));
	ASSERT_EQ(self->s.len, again.len);
	EXPECT_EQ(0, memcmp(self->s.data, again.data, again.len));
	close(fd);
	mig_stream_free(&again);
	ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL));
	EXPECT_EQ(0, hacc_settle(&self->a));
	EXPECT_EQ(0, hacc_work(&self->a, 5));
}

/*
 * A target that is migrated on before it ever ran has to hand on what it was given, and may be
 * started after all.
 */
MIG_TEST_F(record, passed_on)
{
	struct mig_stream again = {};
	__u32 flags;
	int fd;

	ASSERT_EQ(0, mig_flags(self->dst, &flags));
	ASSERT_EQ(0, vdev_reset(self->dst));
	ASSERT_EQ(0, hacc_attach(&self->a, self->dst));
	ASSERT_EQ(0, mig_set(self->dst, ST(RESUMING), &fd));
	ASSERT_EQ(0, mig_fill(fd, self->s.data, self->s.len, MIG_BULK, NULL));
	close(fd);
	if (flags & VFIO_MIGRATION_P2P) {
		ASSERT_EQ(0, mig_set(self->dst, ST(RUNNING_P2P), NULL));
		ASSERT_EQ(0, mig_set(self->dst, ST(STOP), NULL));
	}
	ASSERT_EQ(0, mig_set(self->dst, ST(STOP_COPY), &fd));
	EXPECT_EQ(0, mig_drain(fd, &again, MIG_BULK));
	close(fd);
	ASSERT_EQ(self->s.len, again.len);
	/* Where its queues begin in the device is the one thing that is each VF's own. */
	memcpy(&self->rec.qp_base, again.data + offsetof(struct hisi_acc_mig_record, qp_base),
	       sizeof(self->rec.qp_base));
	EXPECT_EQ(0, memcmp(&self->rec, again.data, again.len));
	ASSERT_EQ(0, mig_set(self->dst, ST(RUNNING), NULL));
	EXPECT_EQ(0, hacc_settle(&self->a));
	EXPECT_EQ(0, hacc_work(&self->a, 5));
	mig_stream_free(&again);
}

/* Every length but the whole: refused where the session ends. */
MIG_TEST_F(record, truncated)
{
	bool legacy = le16toh(self->rec.minor) == HISI_ACC_MIG_MINOR_LEGACY;

	for (size_t len = 0; len < HISI_ACC_MIG_RECORD_SIZE; len += len < 40 ? 8 : 17) {
		int end, ret = offer(self->dst, &self->rec, len, MIG_BULK, &end);

		EXPECT_EQ(0, ret);
		/* Streams of the kernel's driver may end there, without guest driver. */
		EXPECT_EQ(legacy && len == HISI_ACC_MIG_MATCH_SIZE ? 0 : -EINVAL, end) {
			TH_LOG("%zu bytes", len);
		}
	}
	EXPECT_EQ(0, source_goes_on(&self->a, self->src, self->dst, &self->s));
}

MIG_TEST_F(record, overlong)
{
	__u8 more[HISI_ACC_MIG_RECORD_SIZE + 100] = { 0 };
	static const size_t chunks[] = { 1, MIG_ODD, MIG_BULK };

	memcpy(more, &self->rec, sizeof(self->rec));
	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		for (size_t len = HISI_ACC_MIG_RECORD_SIZE + 1; len <= sizeof(more); len += 33) {
			int end;

			EXPECT_EQ(-ENOSPC, offer(self->dst, more, len, chunks[i], &end));
			EXPECT_EQ(-ENOSPC, end);
		}
	}
	EXPECT_EQ(0, source_goes_on(&self->a, self->src, self->dst, &self->s));
}

/* What is wrong is refused by write(), and again by the end of the session. */
MIG_TEST_F(record, wrong)
{
#define FIELD(f)	offsetof(struct hisi_acc_mig_record, f), sizeof(self->rec.f)
#define FLIP(f, bits)	FIELD(f), ~0ULL, bits
#define ZERO(f)		FIELD(f), 0, 0
	static const struct {
		const char *what;
		size_t offset, size;
		__u64 keep, flip;	/* bits */
		int err;
	} cases[] = {
		{ "magic",			FLIP(magic, 1),			EINVAL },
		{ "magic 0",			ZERO(magic),			EINVAL },
		{ "major",			FLIP(major, 2),			EOPNOTSUPP },
		{ "major 0",			ZERO(major),			EOPNOTSUPP },
		{ "device id",			FLIP(dev_id, 7),		EXDEV },
		{ "device id, upper half",	FLIP(dev_id, 0x10000),		EXDEV },
		{ "queues",			FLIP(qp_num, 1),		EXDEV },
		{ "many queues",		FLIP(qp_num, 0xffff0000),	EXDEV },
		{ "no queues",			ZERO(qp_num),			EXDEV },
		{ "isolation",			FLIP(isolation, 1),		EXDEV },
		{ "state",			FLIP(vf_state, 2),		EINVAL },
		{ "not ready, with queues",	FLIP(vf_state, 1),		EINVAL },
		{ "reserved 0",			FLIP(reserved0[0], 1),		EINVAL },
		{ "reserved 1",			FLIP(reserved0[1], 0x80000000),	EINVAL },
		{ "reserved 2",			FLIP(reserved1[0], 1),		EINVAL },
		{ "reserved 6",			FLIP(reserved1[4], 0x80000000),	EINVAL },
		{ "padding",			FLIP(pad0, 1),			EINVAL },
		{ "SQC table 0",		ZERO(sqc_addr),			EINVAL },
		{ "CQC table 0",		ZERO(cqc_addr),			EINVAL },
		{ "event queue 0",		ZERO(eq_addr),			EINVAL },
		{ "other event queue 0",	ZERO(aeq_addr),			EINVAL },
		{ "event queue elsewhere",	FLIP(eq_addr, 0x1000),		EINVAL },
		{ "event queue in context",	FLIP(eqc[1], 0x1000),		EINVAL },
		{ "other event queue",		FLIP(aeqc[2], 1),		EINVAL },
		{ "SQC table misaligned",	FLIP(sqc_addr, 4),		EINVAL },
		{ "CQC table misaligned",	FLIP(cqc_addr, 4),		EINVAL },
	};
	static const size_t chunks[] = { MIG_BULK, 1 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t c = 0; c < ARRAY_SIZE(chunks); c++) {
			struct hisi_acc_mig_record bad = self->rec;
			__u64 value = 0;
			int ret, end;

			memcpy(&value, (char *)&bad + cases[i].offset, cases[i].size);
			value = (value & cases[i].keep) ^ cases[i].flip;
			memcpy((char *)&bad + cases[i].offset, &value, cases[i].size);
			ret = offer(self->dst, &bad, sizeof(bad), chunks[c], &end);
			EXPECT_EQ(-cases[i].err, ret) {
				TH_LOG("%s: write()", cases[i].what);
			}
			EXPECT_EQ(-cases[i].err, end) {
				TH_LOG("%s: end of the session", cases[i].what);
			}
		}
	}
	EXPECT_EQ(0, source_goes_on(&self->a, self->src, self->dst, &self->s));
}

/* A wrong match part is told as soon as its 40 bytes are there, while the guest still runs. */
MIG_TEST_F(record, wrong_early)
{
	struct hisi_acc_mig_record bad = self->rec;
	size_t done;
	int fd;

	bad.qp_num = htole32(le32toh(bad.qp_num) + 1);
	ASSERT_EQ(0, vdev_reset(self->dst));
	ASSERT_EQ(0, mig_set(self->dst, ST(RESUMING), &fd));
	EXPECT_EQ(-EXDEV, mig_fill(fd, &bad, HISI_ACC_MIG_MATCH_SIZE, 1, &done));
	EXPECT_EQ(HISI_ACC_MIG_MATCH_SIZE - 1, done);
	/* Poisoned: also for what would have been right. */
	EXPECT_EQ(-EXDEV, mig_fill(fd, &self->rec, sizeof(self->rec), MIG_BULK, NULL));
	EXPECT_EQ(-EXDEV, mig_fill(fd, &self->rec, 1, 1, NULL));
	EXPECT_EQ(-EXDEV, mig_set(self->dst, ST(STOP), NULL));
	EXPECT_EQ(-EXDEV, mig_set(self->dst, ST(RUNNING), NULL));
	close(fd);
	EXPECT_EQ(0, source_goes_on(&self->a, self->src, self->dst, &self->s));
}

/* What older and newer drivers write */
MIG_TEST_F(record, other_versions)
{
	static const struct {
		__u64 magic;
		__u16 major, minor;
		bool junk_addresses;
	} versions[] = {
		{ HISI_ACC_MIG_MAGIC_V1, 0, 0, true },
		{ HISI_ACC_MIG_MAGIC_V1, 0, 0, false },
		{ HISI_ACC_MIG_MAGIC_V2, HISI_ACC_MIG_MAJOR, HISI_ACC_MIG_MINOR_LEGACY, false },
		{ HISI_ACC_MIG_MAGIC_V2, HISI_ACC_MIG_MAJOR, HISI_ACC_MIG_MINOR, false },
		{ HISI_ACC_MIG_MAGIC_V2, HISI_ACC_MIG_MAJOR, 0xffff, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		struct hisi_acc_mig_record rec = self->rec;
		struct mig_stream s = { .data = (__u8 *)&rec, .len = sizeof(rec) };

		rec.magic = htole64(versions[i].magic);
		rec.major = htole16(versions[i].major);
		rec.minor = htole16(versions[i].minor);
		if (versions[i].junk_addresses) {
			rec.eq_addr = htole64(0x123400005678);
			rec.aeq_addr = htole64(0x567800001234);
		}
		ASSERT_EQ(0, hmig_load(&self->a, self->dst, &direct, &s)) {
			TH_LOG("version %zu", i);
		}
		EXPECT_EQ(0, hacc_settle(&self->a));
		EXPECT_EQ(0, hacc_work(&self->a, 5));

		/* Another source for the next one */
		ASSERT_LT(0, hacc_post_all(&self->a, JOBS));
		mig_stream_free(&self->s);
		ASSERT_EQ(0, hmig_save(self->dst, &precopy, &self->s, NULL));
		ASSERT_EQ(sizeof(self->rec), self->s.len);
		memcpy(&self->rec, self->s.data, sizeof(self->rec));
	}
	EXPECT_EQ(0, hmig_load(&self->a, self->dst, &direct, &self->s));
	EXPECT_EQ(0, hacc_settle(&self->a));
}

/* The same from a VF without guest driver: the kernel's drivers send the match part alone. */
MIG_TEST_F(record, no_guest_driver_of_other_versions)
{
	static const __u64 magic[] = { HISI_ACC_MIG_MAGIC_V1, HISI_ACC_MIG_MAGIC_V2 };

	for (size_t i = 0; i < ARRAY_SIZE(magic); i++) {
		struct hisi_acc_mig_record rec = self->rec;
		struct mig_stream s = { .data = (__u8 *)&rec, .len = HISI_ACC_MIG_MATCH_SIZE };

		rec.magic = htole64(magic[i]);
		rec.major = htole16(magic[i] == HISI_ACC_MIG_MAGIC_V2 ? HISI_ACC_MIG_MAJOR : 0);
		rec.minor = htole16(HISI_ACC_MIG_MINOR_LEGACY);
		ASSERT_EQ(0, hmig_load(&self->a, self->dst, &direct, &s));
		EXPECT_EQ(0, hacc_start(&self->a));
		EXPECT_EQ(0, hacc_work(&self->a, 5));
	}
}

static void *write_record(void *arg)
{
	struct { int fd; const void *rec; size_t taken; } *w = arg;

	for (int i = 0; i < 100; i++) {
		ssize_t n = write(w->fd, w->rec, HISI_ACC_MIG_RECORD_SIZE);

		w->taken += n > 0 ? n : 0;
	}
	return NULL;
}

MIG_TEST_F(record, racing_writers)
{
	for (int round = 0; round < 20; round++) {
		struct { int fd; const void *rec; size_t taken; } w[2] = {
			{ .rec = &self->rec }, { .rec = &self->rec }
		};
		pthread_t thread;
		int fd;

		ASSERT_EQ(0, vdev_reset(self->dst));
		ASSERT_EQ(0, mig_set(self->dst, ST(RESUMING), &fd));
		w[0].fd = fd;
		w[1].fd = fd;
		ASSERT_EQ(0, pthread_create(&thread, NULL, write_record, &w[1]));
		write_record(&w[0]);
		ASSERT_EQ(0, pthread_join(thread, NULL));
		EXPECT_EQ(HISI_ACC_MIG_RECORD_SIZE, w[0].taken + w[1].taken);
		EXPECT_EQ(-ENOSPC, mig_set(self->dst, ST(STOP), NULL));
		close(fd);
	}
	EXPECT_EQ(0, source_goes_on(&self->a, self->src, self->dst, &self->s));
}

/* A VF that nobody uses */

static bool says_unused(const struct mig_stream *s)
{
	struct hisi_acc_mig_record rec, none = {};

	memcpy(&rec, s->data, s->len < sizeof(rec) ? s->len : sizeof(rec));
	if (le16toh(rec.minor) == HISI_ACC_MIG_MINOR_LEGACY)
		return s->len == HISI_ACC_MIG_MATCH_SIZE;
	return s->len == sizeof(rec) &&
	       !memcmp(&rec.aeq_mask, &none.aeq_mask, sizeof(rec) - HISI_ACC_MIG_MATCH_SIZE);
}

/* Never loaded, half loaded, or unloaded again: the target is as good as new. */
MIG_TEST_F(acc, no_guest_driver)
{
	for (int what = 0; what < 3; what++) {
		for (int how = 0; how < 2; how++) {
			struct mig_stream s = {};

			ASSERT_EQ(0, vdev_reset(self->src));
			ASSERT_EQ(0, hacc_attach(&self->a, self->src));
			if (what == 1)
				hacc_write(&self->a, HACC_REG_VF_STATE, 1);
			if (what == 2) {
				ASSERT_EQ(0, hacc_start(&self->a));
				ASSERT_EQ(0, hacc_work(&self->a, 5));
				hacc_stop(&self->a);
			}
			ASSERT_EQ(0, hmig_save(self->src, how ? &precopy : &direct, &s, NULL));
			EXPECT_TRUE(says_unused(&s));
			/* The source may go on, too. */
			ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL));
			if (what < 2) {
				EXPECT_EQ(0, hacc_start(&self->a));
				EXPECT_EQ(0, hacc_work(&self->a, 5));
			}
			ASSERT_EQ(0, hmig_load(&self->a, self->dst, &direct, &s));
			EXPECT_EQ(0, hacc_start(&self->a));
			EXPECT_EQ(0, hacc_work(&self->a, 5));
			mig_stream_free(&s);
		}
	}
}

/*
 * The VM is paused and continued while its driver probes: queues are there, but the driver does
 * not say so yet. It must find a VF that works.
 */
MIG_TEST_F(acc, paused_while_probing)
{
	ASSERT_EQ(0, hacc_start(&self->a));
	hacc_write(&self->a, HACC_REG_VF_STATE, 1);
	ASSERT_EQ(0, mig_set(self->src, ST(STOP), NULL));
	ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL));
	hacc_write(&self->a, HACC_REG_VF_STATE, 0);
	EXPECT_EQ(0, hacc_work(&self->a, 5));
	ASSERT_EQ(0, mig_set(self->src, ST(STOP), NULL));
	ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL));
	EXPECT_EQ(0, hacc_work(&self->a, 5));
}

/* Such a record on a VF whose queues are live would leave them there. */
MIG_TEST_F(acc, no_guest_driver_on_live_vf)
{
	struct mig_stream s = {};
	int fd;

	ASSERT_EQ(0, hmig_save(self->src, &direct, &s, NULL));
	ASSERT_EQ(0, mig_set(self->src, ST(RUNNING), NULL));
	ASSERT_EQ(0, hacc_start(&self->a));
	ASSERT_EQ(0, hacc_work(&self->a, 5));
	ASSERT_EQ(0, mig_set(self->src, ST(RESUMING), &fd));
	EXPECT_EQ(-EBUSY, mig_fill(fd, s.data, s.len, MIG_BULK, NULL));
	EXPECT_EQ(-EBUSY, mig_set(self->src, ST(STOP), NULL));
	close(fd);
	mig_stream_free(&s);
}

int main(int argc, char **argv)
{
	return mig_test_main(argc, argv, 1);
}
