/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the migration core share. */
#ifndef VFIO_PCI_MIG_INTERNAL_H
#define VFIO_PCI_MIG_INTERNAL_H

#include <linux/kref.h>
#include <linux/ktime.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/vfio_pci_mig.h>

struct vfio_pci_mig_file;

/* The callbacks that are timed, by the name they have in struct vfio_pci_mig_ops */
enum vfio_pci_mig_op {
	VFIO_PCI_MIG_OP_drain,
	VFIO_PCI_MIG_OP_stop,
	VFIO_PCI_MIG_OP_start,
	VFIO_PCI_MIG_OP_precopy,
	VFIO_PCI_MIG_OP_save,
	VFIO_PCI_MIG_OP_load,
	VFIO_PCI_MIG_OP_check,
	VFIO_PCI_MIG_OP_NR
};

/**
 * struct vfio_pci_mig_op_stat - What became of the calls of one callback since the device was bound
 * @calls: all of them
 * @failures: those that returned an error
 * @max_ns: duration of the longest one
 */
struct vfio_pci_mig_op_stat {
	u64 calls;
	u64 failures;
	u64 max_ns;
};

/**
 * struct vfio_pci_mig_last_arc - The last arc that was tried
 * @from: state before
 * @to: state that was asked for, or the next one on the way there
 * @ret: 0 or a negative errno
 * @ns: duration
 */
struct vfio_pci_mig_last_arc {
	enum vfio_device_mig_state from;
	enum vfio_device_mig_state to;
	int ret;
	u64 ns;
};

/**
 * struct vfio_pci_mig_fsm - The state of migration of one device
 * @ref: the device holds one reference, each data file another, so that a data file that outlives
 *	its device always has a mutex to take before it asks whether there is still a device
 * @ops: the back end
 * @lock: the state mutex. Held across back-end callbacks and the user's own resets, never across
 *	the user copies of read() and write(), never taken in a reset callback
 * @mdev: the device, NULL while it is closed; protected by @lock
 * @state: what the user is told; protected by @lock
 * @broken: the running callback said that the device is in an unknown condition; protected by @lock
 * @reset_unseen: a reset that the user did not ask for undid the state that the user was told, who
 *	does not know yet; protected by @lock
 * @file: the session in progress; written under @lock and @reset_lock
 * @gate: held for reading across each access of the user to the device, for writing to change
 *	@gate_open
 * @gate_open: whether the user may reach the device; protected by @gate
 * @unguarded: a mapping was made that the gate cannot close, so the device is not migrated; set
 *	with @gate held for reading and @gate_open, never cleared
 * @core_vm_ops: how vfio-pci handles faults of BARs; written once, see vfio_pci_mig_gate_adopt()
 * @af_cap: offset of the AF capability in configuration space, 0 if there is none; set by open
 * @reset_lock: the only lock that a reset callback takes
 * @resets: resets that began; protected by @reset_lock
 * @resetting: a reset began and has not ended; protected by @reset_lock
 * @entered: the back end is at work; protected by @reset_lock
 * @spoiled: the last reset began while the back end was at work; protected by @reset_lock
 * @reset_pending: the device was reset and whoever takes @lock next completes that; protected by
 *	@reset_lock
 * @user: the thread that resets the device for its user, for comparison only; protected by
 *	@reset_lock
 * @reset_by_user: @user's reset began; protected by @reset_lock
 * @op_stat: statistics of the callbacks; protected by @reset_lock
 * @last_arc: the last arc, if @arcs is not 0; protected by @reset_lock
 * @arcs: arcs that were tried; protected by @reset_lock
 *
 * Lock order: a file's io mutex -> @lock -> @gate -> vfio-pci's memory_lock -> @reset_lock -> a
 * file's spinlock. A fault holds the mmap lock when it takes @gate.
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
	struct rw_semaphore gate;
	bool gate_open;
	bool unguarded;
	const struct vm_operations_struct *core_vm_ops;
	u8 af_cap;
	spinlock_t reset_lock;
	unsigned int resets;
	bool resetting;
	bool entered;
	bool spoiled;
	bool reset_pending;
	bool reset_by_user;
	const struct task_struct *user;
	struct vfio_pci_mig_op_stat op_stat[VFIO_PCI_MIG_OP_NR];
	struct vfio_pci_mig_last_arc last_arc;
	u64 arcs;
};

/* Calls callback @op of the back end, with a trace point around it. */
#define vfio_pci_mig_call(fsm, op, ...) ({						\
	struct vfio_pci_mig_fsm *_fsm = (fsm);						\
	u64 _start = ktime_get_ns();							\
	long _ret = _fsm->ops->op(_fsm->mdev, ##__VA_ARGS__);				\
											\
	vfio_pci_mig_observe_op(_fsm, VFIO_PCI_MIG_OP_##op, _ret, ktime_get_ns() - _start);	\
	_ret;										\
})

/* fsm.c */
void vfio_pci_mig_fsm_get(struct vfio_pci_mig_fsm *fsm);
void vfio_pci_mig_fsm_put(struct vfio_pci_mig_fsm *fsm);
void vfio_pci_mig_fsm_lock(struct vfio_pci_mig_fsm *fsm);
int vfio_pci_mig_fsm_lock_killable(struct vfio_pci_mig_fsm *fsm);
void vfio_pci_mig_fsm_unlock(struct vfio_pci_mig_fsm *fsm);
void vfio_pci_mig_fsm_error(struct vfio_pci_mig_fsm *fsm);
int vfio_pci_mig_fsm_wake(struct vfio_pci_mig_fsm *fsm);
int vfio_pci_mig_fsm_open(struct vfio_pci_mig_device *mdev);
void vfio_pci_mig_fsm_close(struct vfio_pci_mig_device *mdev);

/* reset.c */
bool vfio_pci_mig_fsm_reset_pending(struct vfio_pci_mig_fsm *fsm);
void vfio_pci_mig_fsm_complete_reset(struct vfio_pci_mig_fsm *fsm);
void vfio_pci_mig_fsm_reset_on_open(struct vfio_pci_mig_fsm *fsm);
int vfio_pci_mig_wait_resettable(struct vfio_pci_mig_device *mdev, bool killable);
int vfio_pci_mig_user_reset_begin(struct vfio_pci_mig_fsm *fsm);
bool vfio_pci_mig_user_reset_end(struct vfio_pci_mig_fsm *fsm, bool failed);
int vfio_pci_mig_fsm_enter(struct vfio_pci_mig_fsm *fsm);
int vfio_pci_mig_fsm_outcome(struct vfio_pci_mig_fsm *fsm, int ret);

/* observe.c */
extern const char *const vfio_pci_mig_state_names[VFIO_DEVICE_STATE_NR];

void vfio_pci_mig_observe_op(struct vfio_pci_mig_fsm *fsm, enum vfio_pci_mig_op op, long ret,
			     u64 ns);
void vfio_pci_mig_observe_arc(struct vfio_pci_mig_fsm *fsm, enum vfio_device_mig_state from,
			      enum vfio_device_mig_state to, int ret, u64 ns);

/* access.c */
void vfio_pci_mig_gate_set(struct vfio_pci_mig_fsm *fsm, bool open);
int vfio_pci_mig_gate_adopt(struct vfio_pci_mig_device *mdev, struct vm_area_struct *vma);

/* file.c */
struct file *vfio_pci_mig_file_open(struct vfio_pci_mig_fsm *fsm, bool resuming);
int vfio_pci_mig_file_precopy(struct vfio_pci_mig_fsm *fsm);
int vfio_pci_mig_file_save(struct vfio_pci_mig_fsm *fsm);
int vfio_pci_mig_file_load_begin(struct vfio_pci_mig_fsm *fsm);
int vfio_pci_mig_file_load_end(struct vfio_pci_mig_fsm *fsm);
void vfio_pci_mig_file_kill(struct vfio_pci_mig_fsm *fsm);
void vfio_pci_mig_file_mark_dead(struct vfio_pci_mig_file *mf);
size_t vfio_pci_mig_file_unread(struct vfio_pci_mig_fsm *fsm);

#endif
