// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resets, whoever asks for them.
 *
 * The user
 *	by an ioctl, or by an FLR in configuration space. The whole reset runs under the state
 *	mutex, so no arc overlaps it, and when it succeeds the state is RUNNING.
 *
 * Anybody else
 *	sysfs, error recovery, another driver: at any time, and without the mutex. The callbacks
 *	take the reset spinlock only, so a reset never waits for an arc, for hardware or for a
 *	user copy. Between reset_prepare and reset_done no arc begins (EBUSY). Whoever next takes
 *	the mutex completes the reset: the session is dead and the state is RUNNING. If the user
 *	was told another state, the next SET fails once with EBUSY, because what was stopped or
 *	loaded is gone.
 *
 *	If the reset begins while the back end is at work, nobody can tell which of the two
 *	touched the device last. The arc fails with EBUSY, the state is ERROR, and this reset does
 *	not count: it takes one that begins later to leave ERROR.
 *
 * Opening and closing
 *	reset the device as well; open starts in RUNNING, whatever happened before.
 *
 * The reset of a PF resets its VFs, and nobody tells their drivers. Finding that out is up to the
 * back end's check callback.
 */
#include <kunit/visibility.h>
#include <linux/delay.h>
#include <linux/export.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>

#include "internal.h"
#include "trace.h"

/* A user's reset waits this long for the back end to allow it; documented for back ends. */
#define RESET_WAIT_MS	10000

/**
 * vfio_pci_mig_reset_prepare() - Take note of a reset that is about to happen
 * @mdev: the device that will be reset
 *
 * For the reset_prepare callback of struct pci_error_handlers. Takes only a spinlock.
 */
void vfio_pci_mig_reset_prepare(struct vfio_pci_mig_device *mdev)
{
	struct vfio_pci_mig_fsm *fsm = mdev->fsm;

	if (!fsm)
		return;

	spin_lock(&fsm->reset_lock);
	fsm->resets++;
	fsm->resetting = true;
	fsm->spoiled = fsm->entered;
	fsm->reset_by_user |= fsm->user == current;
	spin_unlock(&fsm->reset_lock);
	trace_vfio_pci_mig_reset(mdev->core.vdev.dev, false);
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_reset_prepare);

/**
 * vfio_pci_mig_reset_done() - Take note of a reset
 * @mdev: the device that was reset
 *
 * For the reset_done callback of struct pci_error_handlers. Takes only spinlocks: the PCI and VFIO
 * locks that are held around it must never wait for a user copy or for a migration.
 */
void vfio_pci_mig_reset_done(struct vfio_pci_mig_device *mdev)
{
	struct vfio_pci_mig_fsm *fsm = mdev->fsm;

	if (!fsm)
		return;

	spin_lock(&fsm->reset_lock);
	fsm->resetting = false;
	fsm->reset_pending |= !fsm->spoiled;
	if (fsm->file)
		vfio_pci_mig_file_mark_dead(fsm->file);
	spin_unlock(&fsm->reset_lock);
	trace_vfio_pci_mig_reset(mdev->core.vdev.dev, true);
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_reset_done);

/**
 * vfio_pci_mig_fsm_reset_pending() - Does the device run because of a reset nobody has completed?
 * @fsm: the state of migration
 *
 * Context: any; takes a spinlock.
 * Return: the answer.
 */
bool vfio_pci_mig_fsm_reset_pending(struct vfio_pci_mig_fsm *fsm)
{
	bool pending;

	spin_lock(&fsm->reset_lock);
	pending = fsm->reset_pending;
	spin_unlock(&fsm->reset_lock);
	return pending;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_pci_mig_fsm_reset_pending);

/**
 * vfio_pci_mig_fsm_complete_reset() - Put everything right if the device was reset
 * @fsm: the state of migration, locked
 */
void vfio_pci_mig_fsm_complete_reset(struct vfio_pci_mig_fsm *fsm)
{
	bool pending;

	lockdep_assert_held(&fsm->lock);

	spin_lock(&fsm->reset_lock);
	pending = fsm->reset_pending;
	fsm->reset_pending = false;
	spin_unlock(&fsm->reset_lock);

	if (!pending || !fsm->mdev)
		return;

	vfio_pci_mig_file_kill(fsm);
	fsm->ops->reset(fsm->mdev);
	/* In ERROR the user was told already, and waits for a reset. */
	fsm->reset_unseen |= fsm->state != VFIO_DEVICE_STATE_RUNNING &&
			     fsm->state != VFIO_DEVICE_STATE_ERROR;
	fsm->state = VFIO_DEVICE_STATE_RUNNING;
}

/**
 * vfio_pci_mig_fsm_reset_on_open() - Start over, as the device was just enabled
 * @fsm: the state of migration, locked, with its device set
 *
 * Enabling the device reset it, whether or not that could be told. Another reset may have begun
 * since.
 */
void vfio_pci_mig_fsm_reset_on_open(struct vfio_pci_mig_fsm *fsm)
{
	spin_lock(&fsm->reset_lock);
	fsm->reset_pending = true;
	fsm->spoiled = false;
	spin_unlock(&fsm->reset_lock);
	vfio_pci_mig_fsm_complete_reset(fsm);
	fsm->reset_unseen = false;
}

/**
 * vfio_pci_mig_wait_resettable() - Wait until the back end allows a reset
 * @mdev: a migratable device
 * @killable: whether a fatal signal ends the wait
 *
 * Context: memory_lock and the PCI core's locks must not be held, as whatever is waited for may
 *	need them. Sleeps for 10 s at most.
 * Return: 0, -EINTR or -ETIMEDOUT.
 */
int vfio_pci_mig_wait_resettable(struct vfio_pci_mig_device *mdev, bool killable)
{
	const struct vfio_pci_mig_ops *ops = mdev->fsm->ops;
	ktime_t end = ktime_add_ms(ktime_get(), RESET_WAIT_MS);

	while (ops->reset_blocked && ops->reset_blocked(mdev)) {
		if (killable && fatal_signal_pending(current))
			return -EINTR;
		if (ktime_after(ktime_get(), end))
			return -ETIMEDOUT;
		fsleep(USEC_PER_MSEC);
	}
	return 0;
}

/**
 * vfio_pci_mig_user_reset_begin() - Begin a reset that the user asked for
 * @fsm: the state of migration of an open device
 *
 * The device set's lock is taken inside this one here, and outside of it by open and close. The
 * two never meet, because whoever resets the device has it open.
 *
 * Return: 0 with the state mutex held; -EINTR; -ETIMEDOUT if the device cannot be reset now.
 */
int vfio_pci_mig_user_reset_begin(struct vfio_pci_mig_fsm *fsm)
{
	int ret;

	if (mutex_lock_killable_nested(&fsm->lock, SINGLE_DEPTH_NESTING))
		return -EINTR;
	vfio_pci_mig_fsm_complete_reset(fsm);

	ret = vfio_pci_mig_wait_resettable(fsm->mdev, true);
	if (ret) {
		vfio_pci_mig_fsm_unlock(fsm);
		return ret;
	}
	spin_lock(&fsm->reset_lock);
	fsm->user = current;
	fsm->reset_by_user = false;
	spin_unlock(&fsm->reset_lock);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_pci_mig_user_reset_begin);

/**
 * vfio_pci_mig_user_reset_end() - End what vfio_pci_mig_user_reset_begin() began
 * @fsm: the state of migration
 * @failed: whether the reset is known to have failed
 *
 * The PCI core says reset_done for a reset that failed, too: then it is not known what the device
 * does, and the state is ERROR.
 *
 * Return: whether the reset has to be done again, because whatever vfio_pci_mig_wait_resettable()
 *	waits for began meanwhile.
 */
bool vfio_pci_mig_user_reset_end(struct vfio_pci_mig_fsm *fsm, bool failed)
{
	const struct vfio_pci_mig_ops *ops = fsm->ops;
	bool happened, again;

	spin_lock(&fsm->reset_lock);
	fsm->user = NULL;
	happened = fsm->reset_by_user;
	spin_unlock(&fsm->reset_lock);

	vfio_pci_mig_fsm_complete_reset(fsm);
	if (happened) {
		fsm->reset_unseen = false;
		if (failed)
			vfio_pci_mig_fsm_error(fsm);
	}
	again = happened && ops->reset_blocked && ops->reset_blocked(fsm->mdev);
	vfio_pci_mig_fsm_unlock(fsm);
	return again;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_pci_mig_user_reset_end);

/**
 * vfio_pci_mig_fsm_enter() - Begin something that the back end does to the device
 * @fsm: the state of migration, locked
 *
 * Return: 0, or -EBUSY if the device is being reset, or was since the mutex was taken: nothing may
 * begin in a state that has gone.
 */
int vfio_pci_mig_fsm_enter(struct vfio_pci_mig_fsm *fsm)
{
	int ret = 0;

	lockdep_assert_held(&fsm->lock);

	spin_lock(&fsm->reset_lock);
	if (fsm->resetting || fsm->reset_pending)
		ret = -EBUSY;
	fsm->entered = !ret;
	spin_unlock(&fsm->reset_lock);
	return ret;
}

/**
 * vfio_pci_mig_fsm_outcome() - End what vfio_pci_mig_fsm_enter() began
 * @fsm: the state of migration, locked
 * @ret: what the back end returned
 *
 * Return: @ret, or -EBUSY if a reset began meanwhile.
 */
int vfio_pci_mig_fsm_outcome(struct vfio_pci_mig_fsm *fsm, int ret)
{
	lockdep_assert_held(&fsm->lock);

	spin_lock(&fsm->reset_lock);
	if (fsm->spoiled) {
		fsm->broken = true;
		ret = -EBUSY;
	}
	fsm->entered = false;
	spin_unlock(&fsm->reset_lock);

	if (fsm->broken) {
		vfio_pci_mig_fsm_error(fsm);
		ret = ret ?: -EIO;
	}
	return ret;
}
