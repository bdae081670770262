/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A device under remote control: one command per line on stdin, one answer per line on stdout,
 * "ok ..." or "err ERRNO text". The device and its data fd stay open between commands.
 */
#ifndef SELFTESTS_MIG_CTL_H
#define SELFTESTS_MIG_CTL_H

#include <stdarg.h>

#include "vfio_mig.h"

struct mig_ctl;

struct mig_command {
	const char *name, *args;
	void (*run)(struct mig_ctl *ctl);	/* answers by ctl_ok() or ctl_err() */
};

struct mig_ctl {
	struct vdev dev;
	int data_fd;
	int argc;				/* words of the command, with its name */
	char *argv[8];
	const struct mig_command *more;		/* of the program, ends with an empty one */
	void *priv;
};

void ctl_ok(const char *fmt, ...);
void ctl_err(int err, const char *what);

/* Parses [-m group|cdev] and BDF, opens the device. Ends the program when that fails. */
void mig_ctl_open(struct mig_ctl *ctl, int argc, char **argv);
int mig_ctl_loop(struct mig_ctl *ctl);

#endif
