/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kselftest programs here share: the command line and the two ways to open a device.
 *
 *	PROGRAM [-m group|cdev] [harness options] BDF [BDF2]
 *
 * Every fixture has a variant for each way. Both run unless -m (or VFIO_TEST_MODE) says that the
 * kernel has only one of them: a way that was asked for and does not work is a failure.
 *
 * Tests of the fixture "pair" need a second VF; it is left out when only one was given.
 */
#ifndef SELFTESTS_MIG_TEST_H
#define SELFTESTS_MIG_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "vfio_mig.h"

/* Seconds after which the harness ends a hung test; an emulated server is slow. */
#define MIG_TEST_TIMEOUT	300

#define MIG_TEST_F(fixture, test)	TEST_F_TIMEOUT(fixture, test, MIG_TEST_TIMEOUT)

#define MIG_VARIANTS(fixture)						\
	FIXTURE_VARIANT(fixture) { enum vdev_mode mode; };		\
	FIXTURE_VARIANT_ADD(fixture, group) { .mode = VDEV_GROUP };	\
	FIXTURE_VARIANT_ADD(fixture, cdev) { .mode = VDEV_CDEV }

/* For loops over states: says where it happened when the preceding EXPECT failed. */
#define ABOUT(from, to)							\
	TH_LOG("at %s -> %s", mig_state_name(from), mig_state_name(to))

/* The caller's from and to live on when a helper ends. */
#define MIG_EVERY_STATE(state, flags)					\
	for (__u32 state = VFIO_DEVICE_STATE_STOP; state < VFIO_DEVICE_STATE_NR; state++) \
		if (mig_state_offered(state, flags))

static const char *mig_bdf, *mig_bdf2;

/*
 * For tests that touch a mapping which may be closed to them:
 *
 *	if (!sigsetjmp(mig_on_sigbus, 1))
 *		touch it;
 *
 * after mig_catch_sigbus(), in any thread; or mig_touch() if a read will do.
 */
static _Thread_local sigjmp_buf mig_on_sigbus;

static inline void mig_sigbus(int sig)
{
	siglongjmp(mig_on_sigbus, sig);
}

static inline int mig_catch_sigbus(void)
{
	return sigaction(SIGBUS, &(struct sigaction){ .sa_handler = mig_sigbus }, NULL);
}

/* Return: whether the mapping was open to a read */
static inline bool mig_touch(volatile __u32 *va)
{
	if (sigsetjmp(mig_on_sigbus, 1))
		return false;
	(void)*va;
	return true;
}

static inline void mig_close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static inline int mig_usage(const char *prog)
{
	fprintf(stderr, "Usage: %s [-m group|cdev] [harness options, see -h] BDF [BDF2]\n", prog);
	return KSFT_SKIP;
}

static inline bool mig_is_bdf(const char *arg)
{
	unsigned int n[4];

	return sscanf(arg, "%x:%x:%x.%x", &n[0], &n[1], &n[2], &n[3]) == 4;
}

/*
 * Takes the addresses off the end of argv and turns -m into the harness's own filter. The
 * addresses may come from the environment, as with the kernel's other VFIO tests. devices is how
 * many the program cannot do without.
 */
static inline int mig_test_main(int argc, char **argv, int devices)
{
	const char *mode = getenv("VFIO_TEST_MODE");
	char **args = calloc(argc + 5, sizeof(*args));
	int n = 0;

	mig_bdf = getenv("VFIO_SELFTESTS_BDF");
	args[n++] = argv[0];
	n += 4;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-m") && i + 1 < argc)
			mode = argv[++i];
		else if (mig_is_bdf(argv[i]) && i + 1 < argc && mig_is_bdf(argv[i + 1]))
			mig_bdf2 = argv[i + 1], mig_bdf = argv[i++];
		else if (mig_is_bdf(argv[i]))
			mig_bdf = argv[i];
		else
			args[n++] = argv[i];
	}
	args[1] = "-V";
	if (!mode)
		args[2] = "none";
	else if (!strcmp(mode, "group"))
		args[2] = "cdev";
	else if (!strcmp(mode, "cdev"))
		args[2] = "group";
	else
		return mig_usage(argv[0]), KSFT_FAIL;
	args[3] = "-F";
	args[4] = mig_bdf2 ? "none" : "pair";
	for (int i = 5; i < n; i++)
		if (!strcmp(args[i], "-h") || !strcmp(args[i], "-l"))
			return test_harness_run(n, args);
	if (!mig_bdf)
		return mig_usage(argv[0]);
	if (devices > 1 && !mig_bdf2)
		return mig_usage(argv[0]), KSFT_FAIL;
	return test_harness_run(n, args);
}

#endif
