// SPDX-License-Identifier: GPL-2.0-only
/*
 * The migration state machine: which arc calls what, and what is reported.
 *
 * The reported state never disagrees with the device: an arc succeeds, or leaves device and state
 * as they were, or ends in ERROR. What a reset does to that: reset.c.
 */
#include <kunit/visibility.h>
#include <linux/export.h>
#include <linux/file.h>
#include <linux/lockdep.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "internal.h"
#include "trace.h"

static void fsm_release(struct kref *ref)
{
	struct vfio_pci_mig_fsm *fsm = container_of(ref, struct vfio_pci_mig_fsm, ref);

	mutex_destroy(&fsm->lock);
	kfree(fsm);
}

void vfio_pci_mig_fsm_get(struct vfio_pci_mig_fsm *fsm)
{
	kref_get(&fsm->ref);
}

void vfio_pci_mig_fsm_put(struct vfio_pci_mig_fsm *fsm)
{
	kref_put(&fsm->ref, fsm_release);
}

/* May the user reach the device? In the other states its registers are the migration's. */
static bool state_runs(enum vfio_device_mig_state state)
{
	switch (state) {
	case VFIO_DEVICE_STATE_RUNNING:
	case VFIO_DEVICE_STATE_RUNNING_P2P:
	case VFIO_DEVICE_STATE_PRE_COPY:
	case VFIO_DEVICE_STATE_PRE_COPY_P2P:
		return true;
	default:
		return false;
	}
}

/**
 * vfio_pci_mig_fsm_error() - Nobody knows what the device does
 * @fsm: the state of migration, locked
 *
 * Only a reset that begins later than now ends this.
 */
void vfio_pci_mig_fsm_error(struct vfio_pci_mig_fsm *fsm)
{
	fsm->broken = false;
	fsm->state = VFIO_DEVICE_STATE_ERROR;
	vfio_pci_mig_file_kill(fsm);
}

/**
 * vfio_pci_mig_fsm_lock() - Take the state mutex
 * @fsm: the state of migration
 *
 * For callers that must not fail: others can be killed while they wait for somebody's arc.
 */
void vfio_pci_mig_fsm_lock(struct vfio_pci_mig_fsm *fsm)
{
	mutex_lock(&fsm->lock);
	vfio_pci_mig_fsm_complete_reset(fsm);
}

/**
 * vfio_pci_mig_fsm_lock_killable() - Take the state mutex
 * @fsm: the state of migration
 *
 * Return: 0 or -EINTR.
 */
int vfio_pci_mig_fsm_lock_killable(struct vfio_pci_mig_fsm *fsm)
{
	if (mutex_lock_killable(&fsm->lock))
		return -EINTR;
	vfio_pci_mig_fsm_complete_reset(fsm);
	return 0;
}

/**
 * vfio_pci_mig_fsm_unlock() - Release the state mutex
 * @fsm: the state of migration
 *
 * What the user may reach follows the state that is left behind.
 */
void vfio_pci_mig_fsm_unlock(struct vfio_pci_mig_fsm *fsm)
{
	if (fsm->mdev)
		vfio_pci_mig_gate_set(fsm, state_runs(fsm->state));
	mutex_unlock(&fsm->lock);
}

static bool sleeps(struct pci_dev *pdev)
{
	pci_power_t state = READ_ONCE(pdev->current_state);

	return state == PCI_D3hot || state == PCI_D3cold;
}

/**
 * vfio_pci_mig_fsm_wake() - Bring a device that its user has put to sleep back to D0
 * @fsm: the state of migration, locked
 *
 * In D3hot a device has no registers, and its user could keep it on this host by leaving it there.
 * Does what vfio-pci does when the user wakes it.
 *
 * Context: the device's runtime power management is held off.
 * Return: 0, -EINTR, or what the PCI core failed with.
 */
int vfio_pci_mig_fsm_wake(struct vfio_pci_mig_fsm *fsm)
{
	struct vfio_pci_core_device *core = &fsm->mdev->core;
	struct pci_dev *pdev = core->pdev;
	int ret = 0;

	lockdep_assert_held(&fsm->lock);

	/* A reset may hold the lock for long; it wakes the device as well. */
	if (!sleeps(pdev))
		return 0;
	if (down_write_killable(&core->memory_lock))
		return -EINTR;
	if (sleeps(pdev)) {
		ret = pci_set_power_state(pdev, PCI_D0);
		if (!ret && core->needs_pm_restore) {
			pci_load_and_free_saved_state(pdev, &core->pm_save);
			pci_restore_state(pdev);
		}
	}
	up_write(&core->memory_lock);
	return ret;
}

/**
 * vfio_pci_mig_broken() - Say that a callback left the device in an unknown condition
 * @mdev: the device
 * @err: negative errno of what went wrong
 *
 * Context: in a callback of struct vfio_pci_mig_ops that goes on to return the result.
 * Return: @err
 */
int vfio_pci_mig_broken(struct vfio_pci_mig_device *mdev, int err)
{
	lockdep_assert_held(&mdev->fsm->lock);
	mdev->fsm->broken = true;
	return err;
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_broken);

/**
 * vfio_pci_mig_assert_locked() - For functions of a back end that rely on the state mutex
 * @mdev: a migratable device
 */
void vfio_pci_mig_assert_locked(struct vfio_pci_mig_device *mdev)
{
	lockdep_assert_held(&mdev->fsm->lock);
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_assert_locked);

/* The arcs. What is not in the table below changes nothing but the reported state. */

/* Is what stop left, or load brought, still in the device? */
static int arc_check(struct vfio_pci_mig_fsm *fsm, struct file **filp)
{
	return fsm->ops->check ? vfio_pci_mig_call(fsm, check) : 0;
}

static int arc_drain(struct vfio_pci_mig_fsm *fsm, struct file **filp)
{
	return vfio_pci_mig_call(fsm, drain);
}

static int arc_stop(struct vfio_pci_mig_fsm *fsm, struct file **filp)
{
	return vfio_pci_mig_call(fsm, stop);
}

static int arc_start(struct vfio_pci_mig_fsm *fsm, struct file **filp)
{
	return vfio_pci_mig_call(fsm, start);
}

static int arc_kill_file(struct vfio_pci_mig_fsm *fsm, struct file **filp)
{
	vfio_pci_mig_file_kill(fsm);
	return 0;
}

/* Opens a data file and lets @fill begin the session with it; on failure there is no file. */
static int open_session(struct vfio_pci_mig_fsm *fsm, struct file **filp, bool resuming,
			int (*fill)(struct vfio_pci_mig_fsm *fsm))
{
	struct file *file = vfio_pci_mig_file_open(fsm, resuming);
	int ret;

	if (IS_ERR(file))
		return PTR_ERR(file);

	*filp = file;
	ret = fill(fsm);
	if (ret)
		vfio_pci_mig_file_kill(fsm);
	return ret;
}

static int arc_precopy(struct vfio_pci_mig_fsm *fsm, struct file **filp)
{
	return open_session(fsm, filp, false, vfio_pci_mig_file_precopy);
}

static int arc_save(struct vfio_pci_mig_fsm *fsm, struct file **filp)
{
	return arc_check(fsm, filp) ?: open_session(fsm, filp, false, vfio_pci_mig_file_save);
}

/*
 * If only the second half fails the device is stopped and reported to be in PRE_COPY_P2P, from
 * where both ways, again here and back by start, work with a device that is stopped.
 */
static int arc_stop_and_save(struct vfio_pci_mig_fsm *fsm, struct file **filp)
{
	return vfio_pci_mig_call(fsm, stop) ?: vfio_pci_mig_file_save(fsm);
}

static int arc_load_begin(struct vfio_pci_mig_fsm *fsm, struct file **filp)
{
	return open_session(fsm, filp, true, vfio_pci_mig_file_load_begin);
}

static int arc_load_end(struct vfio_pci_mig_fsm *fsm, struct file **filp)
{
	int ret = vfio_pci_mig_file_load_end(fsm) ?: arc_check(fsm, filp);

	if (!ret)
		vfio_pci_mig_file_kill(fsm);
	return ret;
}

#define ARC(from, to)	[VFIO_DEVICE_STATE_##from][VFIO_DEVICE_STATE_##to]

static int (*const arcs[VFIO_DEVICE_STATE_NR][VFIO_DEVICE_STATE_NR])(struct vfio_pci_mig_fsm *fsm,
								     struct file **filp) = {
	ARC(RUNNING, RUNNING_P2P) = arc_drain,
	ARC(PRE_COPY, PRE_COPY_P2P) = arc_drain,
	ARC(RUNNING_P2P, STOP) = arc_stop,
	ARC(RUNNING_P2P, RUNNING) = arc_start,
	ARC(PRE_COPY_P2P, PRE_COPY) = arc_start,
	/* Before the gate opens: later the user may have changed anything. */
	ARC(STOP, RUNNING_P2P) = arc_check,

	ARC(RUNNING, PRE_COPY) = arc_precopy,
	ARC(RUNNING_P2P, PRE_COPY_P2P) = arc_precopy,
	ARC(PRE_COPY, RUNNING) = arc_kill_file,
	ARC(PRE_COPY_P2P, RUNNING_P2P) = arc_kill_file,
	ARC(PRE_COPY_P2P, STOP_COPY) = arc_stop_and_save,
	ARC(STOP, STOP_COPY) = arc_save,
	ARC(STOP_COPY, STOP) = arc_kill_file,

	ARC(STOP, RESUMING) = arc_load_begin,
	ARC(RESUMING, STOP) = arc_load_end,
};

/* Can the gate keep the user away from the device? See vfio_pci_mig_gate_adopt(). */
static int fsm_check_guarded(struct vfio_pci_mig_fsm *fsm)
{
	return READ_ONCE(fsm->unguarded) ? -EOPNOTSUPP : 0;
}

static int fsm_walk_arc(struct vfio_pci_mig_fsm *fsm, enum vfio_device_mig_state next,
			struct file **filp)
{
	enum vfio_device_mig_state from = fsm->state;
	u64 start = ktime_get_ns();
	int ret;

	ret = vfio_pci_mig_fsm_enter(fsm);
	if (ret)
		return ret;

	/* Close the gate before the arc does anything. */
	if (!state_runs(next))
		vfio_pci_mig_gate_set(fsm, false);
	ret = fsm_check_guarded(fsm);
	if (!ret && arcs[from][next])
		ret = vfio_pci_mig_fsm_wake(fsm) ?: arcs[from][next](fsm, filp);

	ret = vfio_pci_mig_fsm_outcome(fsm, ret);
	if (!ret)
		fsm->state = next;
	vfio_pci_mig_observe_arc(fsm, from, next, ret, ktime_get_ns() - start);
	return ret;
}

static struct file *vfio_pci_mig_set_state(struct vfio_device *vdev,
					   enum vfio_device_mig_state new_state)
{
	struct vfio_pci_mig_fsm *fsm = vfio_pci_mig_device(vdev)->fsm;
	struct file *filp = NULL;
	int ret = vfio_pci_mig_fsm_lock_killable(fsm);

	if (ret)
		return ERR_PTR(ret);

	/* The vfio core's table knows no way out of ERROR and warns when it is asked for one. */
	ret = fsm->state == VFIO_DEVICE_STATE_ERROR ? -EIO : fsm_check_guarded(fsm);

	/*
	 * Whoever stopped a device and goes on to save it must not get a blank one because of a
	 * reset in between.
	 */
	if (fsm->reset_unseen) {
		fsm->reset_unseen = false;
		ret = -EBUSY;
	}

	while (!ret && fsm->state != new_state) {
		enum vfio_device_mig_state next;

		ret = vfio_mig_get_next_state(vdev, fsm->state, new_state, &next) ?:
		      fsm_walk_arc(fsm, next, &filp);
	}
	vfio_pci_mig_fsm_unlock(fsm);

	if (!ret)
		return filp;
	/* Not under the lock: the last reference to a file takes locks of its own. */
	if (filp)
		fput(filp);
	return ERR_PTR(ret);
}

static int vfio_pci_mig_get_state(struct vfio_device *vdev, enum vfio_device_mig_state *state)
{
	struct vfio_pci_mig_fsm *fsm = vfio_pci_mig_device(vdev)->fsm;
	int ret = vfio_pci_mig_fsm_lock_killable(fsm);

	if (ret)
		return ret;
	*state = fsm->state;
	vfio_pci_mig_fsm_unlock(fsm);
	return 0;
}

/*
 * What a user still has to read until the end of a stop copy. Never 0, not even when everything
 * was read: QEMU allocates its buffer by this number, and the next session needs it again.
 */
static int vfio_pci_mig_get_data_size(struct vfio_device *vdev, unsigned long *size)
{
	struct vfio_pci_mig_fsm *fsm = vfio_pci_mig_device(vdev)->fsm;
	int ret = vfio_pci_mig_fsm_lock_killable(fsm);

	if (ret)
		return ret;
	*size = vfio_pci_mig_file_unread(fsm) ?: fsm->ops->stream_size;
	vfio_pci_mig_fsm_unlock(fsm);
	return 0;
}

static const struct vfio_migration_ops vfio_pci_mig_vfio_ops = {
	.migration_set_state = vfio_pci_mig_set_state,
	.migration_get_state = vfio_pci_mig_get_state,
	.migration_get_data_size = vfio_pci_mig_get_data_size,
};

/**
 * vfio_pci_mig_init_device() - Make a device migratable
 * @mdev: a device that is not registered yet
 * @ops: the back end
 *
 * Context: in the init callback of struct vfio_device_ops.
 * Return: 0 or -ENOMEM.
 */
int vfio_pci_mig_init_device(struct vfio_pci_mig_device *mdev, const struct vfio_pci_mig_ops *ops)
{
	struct vfio_device *vdev = &mdev->core.vdev;
	struct vfio_pci_mig_fsm *fsm;

	fsm = kzalloc(sizeof(*fsm), GFP_KERNEL);
	if (!fsm)
		return -ENOMEM;

	kref_init(&fsm->ref);
	mutex_init(&fsm->lock);
	init_rwsem(&fsm->gate);
	spin_lock_init(&fsm->reset_lock);
	fsm->ops = ops;
	fsm->state = VFIO_DEVICE_STATE_RUNNING;

	mdev->fsm = fsm;
	vdev->mig_ops = &vfio_pci_mig_vfio_ops;
	vdev->migration_flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P |
				VFIO_MIGRATION_PRE_COPY;
	return 0;
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_init_device);

/**
 * vfio_pci_mig_release_device() - Inverse of vfio_pci_mig_init_device()
 * @mdev: a device that is closed and not registered any more, migratable or not
 *
 * Context: in the release callback of struct vfio_device_ops.
 */
void vfio_pci_mig_release_device(struct vfio_pci_mig_device *mdev)
{
	if (mdev->fsm)
		vfio_pci_mig_fsm_put(mdev->fsm);
	mdev->fsm = NULL;
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_release_device);

/**
 * vfio_pci_mig_fsm_open() - Begin with a device that was just enabled
 * @mdev: a migratable device
 *
 * Return: 0, or what the back end failed with.
 */
int vfio_pci_mig_fsm_open(struct vfio_pci_mig_device *mdev)
{
	struct vfio_pci_mig_fsm *fsm = mdev->fsm;
	int ret = 0;

	mutex_lock(&fsm->lock);
	if (fsm->ops->open)
		ret = fsm->ops->open(mdev);
	if (!ret) {
		fsm->mdev = mdev;
		vfio_pci_mig_fsm_reset_on_open(fsm);
	}
	vfio_pci_mig_fsm_unlock(fsm);
	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_pci_mig_fsm_open);

/**
 * vfio_pci_mig_fsm_close() - Inverse of vfio_pci_mig_fsm_open()
 * @mdev: a migratable device
 */
void vfio_pci_mig_fsm_close(struct vfio_pci_mig_device *mdev)
{
	struct vfio_pci_mig_fsm *fsm = mdev->fsm;

	vfio_pci_mig_fsm_lock(fsm);
	vfio_pci_mig_file_kill(fsm);
	if (fsm->ops->close)
		fsm->ops->close(mdev);
	fsm->mdev = NULL;
	vfio_pci_mig_fsm_unlock(fsm);
}
EXPORT_SYMBOL_IF_KUNIT(vfio_pci_mig_fsm_close);

/**
 * vfio_pci_mig_open_device() - open_device of struct vfio_device_ops
 * @vdev: a struct vfio_pci_mig_device
 *
 * Return: 0 or a negative errno of vfio-pci or of the back end; -ETIMEDOUT if the device cannot
 *	be reset now.
 */
int vfio_pci_mig_open_device(struct vfio_device *vdev)
{
	struct vfio_pci_mig_device *mdev = vfio_pci_mig_device(vdev);
	int ret;

	/* Enabling the device resets it. */
	ret = mdev->fsm ? vfio_pci_mig_wait_resettable(mdev, true) : 0;
	if (ret)
		return ret;

	ret = vfio_pci_core_enable(&mdev->core);
	if (ret)
		return ret;

	if (mdev->fsm) {
		mdev->fsm->af_cap = pci_find_capability(mdev->core.pdev, PCI_CAP_ID_AF);
		ret = vfio_pci_mig_fsm_open(mdev);
		if (ret) {
			vfio_pci_core_disable(&mdev->core);
			return ret;
		}
	}

	vfio_pci_core_finish_enable(&mdev->core);
	return 0;
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_open_device);

/**
 * vfio_pci_mig_close_device() - close_device of struct vfio_device_ops
 * @vdev: a struct vfio_pci_mig_device
 *
 * A data file that is still open is dead afterwards.
 */
void vfio_pci_mig_close_device(struct vfio_device *vdev)
{
	struct vfio_pci_mig_device *mdev = vfio_pci_mig_device(vdev);

	if (mdev->fsm) {
		vfio_pci_mig_fsm_close(mdev);
		/* Disabling the device resets it. Whoever opens it next finds out if that fails. */
		vfio_pci_mig_wait_resettable(mdev, false);
	}
	vfio_pci_core_close_device(vdev);
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_close_device);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Migration core for vfio-pci variant drivers");
