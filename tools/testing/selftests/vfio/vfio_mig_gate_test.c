// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the user reaches a VFIO device while it is migrated: in the states in which it runs, and in
 * no other. Knows no device: it reads the first register of each BAR, and writes back what it read.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "lib/mig_test.h"

#define ST(name)	VFIO_DEVICE_STATE_##name

FIXTURE(gate)
{
	struct vdev dev;
	__u32 flags;
	struct mig_stream stream;
	unsigned int bars;		/* BARs that can be mapped */
	struct {
		off_t offset;		/* in the device's file */
		size_t len;
		volatile __u32 *va;
	} bar[VFIO_PCI_ROM_REGION_INDEX];
};

MIG_VARIANTS(gate);

static bool map_write(volatile __u32 *va, __u32 value)
{
	if (sigsetjmp(mig_on_sigbus, 1))
		return false;
	*va = value;
	return true;
}

FIXTURE_SETUP(gate)
{
	ASSERT_EQ(0, mig_catch_sigbus());
	ASSERT_EQ(0, vdev_open(&self->dev, mig_bdf, variant->mode));
	ASSERT_EQ(0, mig_flags(&self->dev, &self->flags));
	ASSERT_EQ(0, mig_snapshot(&self->dev, &self->stream));
	for (unsigned int i = 0; i < VFIO_PCI_ROM_REGION_INDEX; i++) {
		struct vfio_region_info info;
		size_t len;
		void *va = vdev_map_region(&self->dev, i, &len);

		if (!va)
			continue;
		ASSERT_EQ(0, vdev_region(&self->dev, i, &info));
		self->bar[self->bars].offset = info.offset;
		self->bar[self->bars].len = len;
		self->bar[self->bars++].va = va;
	}
	ASSERT_LT(0, self->bars);
}

FIXTURE_TEARDOWN(gate)
{
	for (unsigned int i = 0; i < self->bars; i++)
		munmap((void *)self->bar[i].va, self->bar[i].len);
	mig_stream_free(&self->stream);
	vdev_close(&self->dev);
}

static bool runs(__u32 state)
{
	return state == ST(RUNNING) || state == ST(RUNNING_P2P) || state == ST(PRE_COPY) ||
	       state == ST(PRE_COPY_P2P);
}

static int enter(struct vdev *d, __u32 state, const struct mig_stream *s)
{
	int fd, ret = mig_enter(d, state, s, &fd);

	mig_close_fd(fd);
	return ret;
}

/* Everything that the uAPI has to reach a register, in one state. */
static void check_access(struct __test_metadata *_metadata, FIXTURE_DATA(gate) *self, __u32 state)
{
	struct vdev *d = &self->dev;
	bool open = runs(state);
	__u16 vendor = 0;

	for (unsigned int i = 0; i < self->bars; i++) {
		volatile __u32 *va = self->bar[i].va;
		off_t offset = self->bar[i].offset;
		__u32 value = 0;
		void *fresh;

		EXPECT_EQ(open, mig_touch(va)) ABOUT(state, state);
		EXPECT_EQ(open, mig_touch(va + self->bar[i].len / 4 - 1)) ABOUT(state, state);
		errno = 0;
		EXPECT_EQ(open ? 4 : -1, pread(d->fd, &value, 4, offset)) ABOUT(state, state);
		EXPECT_EQ(open ? 0 : EIO, errno) ABOUT(state, state);
		EXPECT_EQ(open ? 4 : -1, pwrite(d->fd, &value, 4, offset)) ABOUT(state, state);
		EXPECT_EQ(open ? 0 : EIO, errno) ABOUT(state, state);
		EXPECT_EQ(open, map_write(va, value)) ABOUT(state, state);

		/* A mapping that is made now */
		fresh = mmap(NULL, self->bar[i].len, PROT_READ, MAP_SHARED, d->fd, offset);
		ASSERT_NE(MAP_FAILED, fresh);
		EXPECT_EQ(open, mig_touch(fresh)) ABOUT(state, state);
		munmap(fresh, self->bar[i].len);
	}
	/* A VMM saves and loads configuration space in every state. */
	EXPECT_EQ(0, vdev_config_read16(d, 0, &vendor)) ABOUT(state, state);
	EXPECT_NE(0, vendor);
}

MIG_TEST_F(gate, every_state)
{
	MIG_EVERY_STATE(state, self->flags) {
		check_access(_metadata, self, ST(RUNNING));
		ASSERT_EQ(0, enter(&self->dev, state, &self->stream)) ABOUT(ST(RUNNING), state);
		check_access(_metadata, self, state);
		ASSERT_EQ(0, mig_set(&self->dev, ST(RUNNING), NULL)) ABOUT(state, ST(RUNNING));
		/* The old mappings work again, and nobody had to do anything for it. */
		check_access(_metadata, self, ST(RUNNING));
	}
}

/* A reset is a way back to RUNNING as well, whoever does it. */
MIG_TEST_F(gate, reset_opens)
{
	MIG_EVERY_STATE(state, self->flags) {
		ASSERT_EQ(0, enter(&self->dev, state, &self->stream)) ABOUT(ST(RUNNING), state);
		ASSERT_EQ(0, vdev_reset(&self->dev));
		check_access(_metadata, self, ST(RUNNING));

		ASSERT_EQ(0, enter(&self->dev, state, &self->stream)) ABOUT(ST(RUNNING), state);
		ASSERT_EQ(0, vdev_reset_from_outside(&self->dev));
		/* Before anybody asked for the state */
		check_access(_metadata, self, ST(RUNNING));
		mig_set(&self->dev, ST(RUNNING), NULL);
	}
}

/* ioeventfds would fire past the gate: they are refused on a device that can be migrated. */
MIG_TEST_F(gate, no_ioeventfd)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	for (unsigned int i = 0; i < self->bars; i++) {
		struct vfio_device_ioeventfd io = {
			.argsz = sizeof(io), .flags = VFIO_DEVICE_IOEVENTFD_32,
			.offset = self->bar[i].offset, .fd = fd,
		};

		errno = 0;
		EXPECT_EQ(-1, ioctl(self->dev.fd, VFIO_DEVICE_IOEVENTFD, &io));
		EXPECT_EQ(EINVAL, errno);
	}
	close(fd);
}

#ifdef VFIO_DEVICE_FEATURE_DMA_BUF
/* A dma-buf of a BAR outlives the gate: there is none. */
MIG_TEST_F(gate, no_dma_buf)
{
	struct {
		struct vfio_device_feature_dma_buf buf;
		struct vfio_region_dma_range range;
	} arg = { .buf = { .nr_ranges = 1 }, .range = { .length = 4096 } };

	for (__u32 i = 0; i < VFIO_PCI_ROM_REGION_INDEX; i++) {
		arg.buf.region_index = i;
		EXPECT_GT(0, vdev_feature(&self->dev,
					  VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF,
					  &arg, sizeof(arg)));
	}
}
#endif

/*
 * Buffers of read() and write() that are mappings of the device itself. Where the gate is closed
 * they are bad addresses; nowhere does anything wait for itself.
 */
MIG_TEST_F(gate, own_mapping_as_buffer)
{
	void *va = (void *)self->bar[0].va;
	off_t offset = self->bar[0].offset;
	int fd;

	/* The register is given the value that it has. */
	EXPECT_EQ(4, pread(self->dev.fd, va, 4, offset));
	EXPECT_EQ(4, pwrite(self->dev.fd, va, 4, offset));

	ASSERT_EQ(0, mig_set(&self->dev, ST(STOP), NULL));
	errno = 0;
	EXPECT_EQ(-1, pread(self->dev.fd, va, 4, offset));
	EXPECT_NE(0, errno);
	ASSERT_EQ(0, mig_set(&self->dev, ST(STOP_COPY), &fd));
	errno = 0;
	EXPECT_EQ(-1, read(fd, va, 64));
	EXPECT_EQ(EFAULT, errno);
	close(fd);
	ASSERT_EQ(0, mig_set(&self->dev, ST(STOP), NULL));
	ASSERT_EQ(0, mig_set(&self->dev, ST(RESUMING), &fd));
	errno = 0;
	EXPECT_EQ(-1, write(fd, va, 64));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, mig_fill(fd, self->stream.data, self->stream.len, MIG_BULK, NULL));
	close(fd);
	ASSERT_EQ(0, mig_set(&self->dev, ST(RUNNING), NULL));
	check_access(_metadata, self, ST(RUNNING));
}

/* A read of several registers at once is what it is without a gate: all widths, no byte lost. */
MIG_TEST_F(gate, sizes)
{
	for (unsigned int i = 0; i < self->bars; i++) {
		off_t offset = self->bar[i].offset;
		size_t len = self->bar[i].len;
		__u8 whole[64] = {}, again[64] = {};
		/* The compiler would rather have it somewhere. */
		void *volatile nowhere = NULL;

		ASSERT_EQ(64, pread(self->dev.fd, whole, 64, offset));
		for (size_t pos = 0; pos < 64; pos += 4)
			ASSERT_EQ(4, pread(self->dev.fd, again + pos, 4, offset + pos));
		EXPECT_EQ(0, memcmp(whole, again, 64));
		/* Beyond the end */
		EXPECT_EQ(4, pread(self->dev.fd, whole, 64, offset + len - 4));
		EXPECT_EQ(-1, pread(self->dev.fd, whole, 4, offset + len));
		errno = 0;
		EXPECT_EQ(-1, pread(self->dev.fd, nowhere, 4, offset));
		EXPECT_EQ(EFAULT, errno);
	}
}

struct toucher {
	struct vdev *dev;
	volatile __u32 *va;
	off_t offset;
	bool mapped;			/* else by read() */
	_Atomic unsigned int *phase;	/* odd while the gate is known to be closed */
	_Atomic bool *end;
	_Atomic unsigned int tries;
	unsigned long touched, refused, wrong;
};

static void *touch(void *arg)
{
	struct toucher *t = arg;

	while (!atomic_load(t->end)) {
		unsigned int phase = atomic_load(t->phase);
		__u32 value;
		bool ok = t->mapped ? mig_touch(t->va) :
				      pread(t->dev->fd, &value, 4, t->offset) == 4;

		if (ok && (phase & 1) && atomic_load(t->phase) == phase)
			t->wrong++;
		t->touched += ok;
		t->refused += !ok;
		atomic_fetch_add(&t->tries, 1);
	}
	return NULL;
}

/* Until both have tried once from beginning to end */
static void let_them_try(struct toucher t[2])
{
	unsigned int before[2] = { atomic_load(&t[0].tries), atomic_load(&t[1].tries) };

	while (atomic_load(&t[0].tries) - before[0] < 2 || atomic_load(&t[1].tries) - before[1] < 2)
		sched_yield();
}

/* Others keep touching the device while it is stopped and continued. */
MIG_TEST_F(gate, race)
{
	_Atomic unsigned int phase = 0;
	_Atomic bool end = false;
	struct toucher toucher[2] = {};
	pthread_t thread[2];

	for (int i = 0; i < 2; i++) {
		toucher[i] = (struct toucher){
			.dev = &self->dev, .va = self->bar[0].va, .offset = self->bar[0].offset,
			.mapped = i, .phase = &phase, .end = &end,
		};
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, touch, &toucher[i]));
	}
	for (int i = 0; i < 100; i++) {
		__u32 state = i & 1 ? ST(STOP) : ST(STOP_COPY);

		EXPECT_EQ(0, mig_set(&self->dev, state, NULL));
		atomic_fetch_add(&phase, 1);
		let_them_try(toucher);
		atomic_fetch_add(&phase, 1);
		EXPECT_EQ(0, mig_set(&self->dev, ST(RUNNING), NULL));
		let_them_try(toucher);
	}
	atomic_store(&end, true);
	for (int i = 0; i < 2; i++) {
		pthread_join(thread[i], NULL);
		EXPECT_EQ(0, toucher[i].wrong);
		EXPECT_LT(0, toucher[i].touched);
		EXPECT_LT(0, toucher[i].refused);
	}
}

int main(int argc, char **argv)
{
	return mig_test_main(argc, argv, 1);
}
