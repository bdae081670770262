/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the migration core share. */
#ifndef VFIO_PCI_MIG_INTERNAL_H
#define VFIO_PCI_MIG_INTERNAL_H

#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/vfio_pci_mig.h>

struct vfio_pci_mig_file;

/**
 * struct vfio_pci_mig_fsm - The state of migration of one device
 * @ref: the device holds one reference, each data file another, so that a data file that outlives
 *	its device always has a mutex to take before it asks whether there is still a device
 * @ops: the back end
 * @lock: the state mutex. Held across back-end callbacks, never across user copies, never taken
 *	in a reset callback
 * @mdev: the device, NULL while it is closed; protected by @lock
 * @state: what the user is told; protected by @lock
 * @broken: the running callback said that the device is in an unknown condition; protected by @lock
 * @reset_unseen: a reset that the user did not ask for undid the state he believes in, and he has
 *	not been told; protected by @lock
 * @file: the session in progress; written under @lock and @reset_lock
 * @reset_lock: all that a reset callback takes
 * @resets: counts beginnings of resets; protected by @reset_lock
 * @reset_pending: the device was reset and whoever takes @lock next completes that; protected by
 *	@reset_lock
 *
 * Lock order: a file's io mutex -> @lock -> @reset_lock -> a file's spinlock.
 */
struct vfio_pci_mig_fsm {
	struct kref ref;
	const struct vfio_pci_mig_ops *ops;
	struct mutex lock;
	struct vfio_pci_mig_device *mdev;
	enum vfio_device_mig_state state;
	bool broken;
	bool reset_unseen;
	struct vfio_pci_mig_file *file;
	spinlock_t reset_lock;
	unsigned int resets;
	bool reset_pending;
};

void vfio_pci_mig_fsm_get(struct vfio_pci_mig_fsm *fsm);
void vfio_pci_mig_fsm_put(struct vfio_pci_mig_fsm *fsm);
void vfio_pci_mig_fsm_lock(struct vfio_pci_mig_fsm *fsm);
void vfio_pci_mig_fsm_unlock(struct vfio_pci_mig_fsm *fsm);
void vfio_pci_mig_fsm_reset_seen(struct vfio_pci_mig_fsm *fsm);
int vfio_pci_mig_fsm_outcome(struct vfio_pci_mig_fsm *fsm, int ret);

struct file *vfio_pci_mig_file_open(struct vfio_pci_mig_fsm *fsm, bool resuming);
int vfio_pci_mig_file_precopy(struct vfio_pci_mig_fsm *fsm);
int vfio_pci_mig_file_save(struct vfio_pci_mig_fsm *fsm);
int vfio_pci_mig_file_load_begin(struct vfio_pci_mig_fsm *fsm);
int vfio_pci_mig_file_load_end(struct vfio_pci_mig_fsm *fsm);
void vfio_pci_mig_file_kill(struct vfio_pci_mig_fsm *fsm);
void vfio_pci_mig_file_mark_dead(struct vfio_pci_mig_file *mf);
size_t vfio_pci_mig_file_unread(struct vfio_pci_mig_fsm *fsm);

#endif
