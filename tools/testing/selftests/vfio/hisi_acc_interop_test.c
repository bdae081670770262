// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VF of an accelerator saved under one driver resumes under another one, with its jobs, and back.
 * Bind BDF and BDF2 to the two drivers; nothing here depends on which they are.
 */
#include "lib/hisi_migrate.h"
#include "lib/mig_test.h"

#define ST(name)	VFIO_DEVICE_STATE_##name

FIXTURE(pair)
{
	struct vdev dev[2];
	struct hacc a;
};

MIG_VARIANTS(pair);

FIXTURE_SETUP(pair)
{
	ASSERT_EQ(0, vdev_open(&self->dev[0], mig_bdf, variant->mode));
	ASSERT_EQ(0, vdev_open(&self->dev[1], mig_bdf2, variant->mode));
	ASSERT_EQ(0, hacc_create(&self->a, &hacc_default));
	ASSERT_EQ(0, hacc_map(&self->a, &self->dev[0]));
	ASSERT_EQ(0, hacc_map(&self->a, &self->dev[1]));
}

FIXTURE_TEARDOWN(pair)
{
	/* Devices first: what they may still write to must outlive them. */
	vdev_close(&self->dev[0]);
	vdev_close(&self->dev[1]);
	hacc_destroy(&self->a);
}

static int begin(struct hacc *a, struct vdev *dev)
{
	int ret = vdev_reset(dev);

	if (!ret)
		ret = hacc_attach(a, dev);
	return ret ?: hacc_start(a);
}

/* jobs: done before each hop; pending: posted on each queue when the hop begins. */
static int hops(struct hacc *a, struct vdev *dev, int from, int count, unsigned int jobs,
		unsigned int pending, const struct hmig_how *how)
{
	unsigned int unfinished;
	int ret = begin(a, &dev[from]);

	for (int hop = 0; !ret && hop < count; hop++, from ^= 1) {
		ret = hacc_work(a, jobs);
		if (!ret && pending)
			ret = hacc_post_all(a, pending);
		if (ret < 0)
			break;
		ret = hmig_migrate(a, &dev[from], &dev[from ^ 1], how, &unfinished);
		if (!ret && pending && !hmig_pending_ok(unfinished))
			ret = -ENODATA;
		if (!ret)
			ret = hacc_settle(a);
		if (ret)
			printf("# hop %d, %s -> %s\n", hop + 1, dev[from].bdf, dev[from ^ 1].bdf);
	}
	return ret ?: hacc_work(a, 3);
}

static const struct hmig_how hows[] = {
	{ .precopy = true, .chunk = MIG_BULK },
	{ .precopy = false, .chunk = MIG_BULK },
	{ .precopy = true, .chunk = 1 },
	{ .precopy = false, .chunk = MIG_ODD },
};

/* Both directions, in each of the ways; the first error */
static int both_ways(struct hacc *a, struct vdev *dev, int count, unsigned int jobs,
		     unsigned int pending)
{
	for (int from = 0; from < 2; from++) {
		for (size_t i = 0; i < ARRAY_SIZE(hows); i++) {
			int ret = hops(a, dev, from, count, jobs, pending, &hows[i]);

			if (ret) {
				printf("# from %s, way %zu\n", dev[from].bdf, i);
				return ret;
			}
		}
	}
	return 0;
}

MIG_TEST_F(pair, idle)
{
	EXPECT_EQ(0, both_ways(&self->a, self->dev, 1, 5, 0));
}

MIG_TEST_F(pair, unused_queues)
{
	EXPECT_EQ(0, both_ways(&self->a, self->dev, 1, 0, 0));
}

MIG_TEST_F(pair, pending_jobs)
{
	EXPECT_EQ(0, both_ways(&self->a, self->dev, 1, 5, 20));
}

/* The rings have wrapped once: phases are 0. */
MIG_TEST_F(pair, wrapped)
{
	EXPECT_EQ(0, both_ways(&self->a, self->dev, 1, hacc_default.depth + 3, 20));
}

MIG_TEST_F(pair, there_and_back)
{
	EXPECT_EQ(0, both_ways(&self->a, self->dev, 4, 7, 20));
}

/* No guest driver: nothing to bring along, and the target is as good as new. */
MIG_TEST_F(pair, no_guest_driver)
{
	for (int from = 0; from < 2; from++) {
		for (size_t i = 0; i < ARRAY_SIZE(hows); i++) {
			unsigned int unfinished;

			ASSERT_EQ(0, vdev_reset(&self->dev[from]));
			EXPECT_EQ(0, hmig_migrate(&self->a, &self->dev[from], &self->dev[from ^ 1],
						  &hows[i], &unfinished));
			EXPECT_EQ(0, hacc_start(&self->a));
			EXPECT_EQ(0, hacc_work(&self->a, 10));
		}
	}
}

int main(int argc, char **argv)
{
	return mig_test_main(argc, argv, 2);
}
