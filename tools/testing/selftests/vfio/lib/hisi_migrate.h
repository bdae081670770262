/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Moving the guest of hisi_acc.h from one VF to another. Both have its memory mapped at the same
 * addresses, which stands for the copy of memory that a VMM makes.
 */
#ifndef SELFTESTS_HISI_MIGRATE_H
#define SELFTESTS_HISI_MIGRATE_H

#include "hisi_acc.h"

struct hmig_how {
	bool precopy;
	bool irqs;		/* switch the target's MSI on while it is RESUMING, as QEMU does */
	size_t chunk;		/* of reads and writes; MIG_ODD, MIG_BULK, ... */
};

/*
 * From RUNNING to STOP_COPY by way of the states that the device has, all of the stream in s.
 * data_fd stays open if one is asked for.
 */
int hmig_save(struct vdev *src, const struct hmig_how *how, struct mig_stream *s, int *data_fd);
/* A target: RESUMING, the stream, RUNNING. The target is reset before, as a VMM does. */
int hmig_load(struct hacc *a, struct vdev *dst, const struct hmig_how *how,
	      const struct mig_stream *s);
/*
 * All of it; src may be dst. The guest is attached to dst afterwards, src stays in STOP.
 * *unfinished is the number of jobs that had no completion when src was in STOP_COPY.
 */
int hmig_migrate(struct hacc *a, struct vdev *src, struct vdev *dst, const struct hmig_how *how,
		 unsigned int *unfinished);

/* A stopped VF writes nowhere: remember the guest's memory, and compare it some time later. */
int hmig_freeze(struct hacc *a, __u8 **copy);
int hmig_frozen(struct hacc *a, __u8 *copy);

/*
 * With HISI_ACC_PENDING in the environment jobs have to be unfinished when a VF stops, which takes
 * slow jobs, and hardware that does not finish them all first.
 */
bool hmig_pending_ok(unsigned int unfinished);

#endif
