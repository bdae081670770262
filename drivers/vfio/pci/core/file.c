// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data files: one session of saving or loading each.
 *
 * A data file belongs to its user, who may keep it for as long as he likes: past the end of the
 * session, the closing of the device, its unbinding. So it owns its buffer, and holds a reference
 * to the state machine but never one to the device. What may have become of the device is asked
 * under the state mutex only.
 *
 * A file's io mutex serialises its users and is held across user copies. The buffer may be a
 * mapping of this very device, or of anything else that stalls: whoever holds the state mutex, or
 * a lock that a reset needs, never waits for the io mutex.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/pm_runtime.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "compat.h"
#include "internal.h"

/**
 * struct vfio_pci_mig_file - A session of saving or loading
 * @ref: one reference by the struct file, one by the state machine while the session lasts
 * @fsm: the state machine, which outlives the file
 * @io: serialises read() or write() calls, across user copies
 * @wait: for poll(), woken after each change of what it answers
 * @lock: a leaf; protects the members below
 * @dead: the session is over; nothing can be read or written any more
 * @err: negative errno of the write() after which nothing more is accepted
 * @len: bytes in @buf; those are never changed again
 * @pos: saving: bytes that were read
 * @want: loading: length at which the back end looks at the stream again
 * @complete: saving: no more bytes will come. Loading: the stream may end here
 * @buf: the stream, as many bytes as the back end's largest one has
 */
struct vfio_pci_mig_file {
	struct kref ref;
	struct vfio_pci_mig_fsm *fsm;
	struct mutex io;
	wait_queue_head_t wait;
	spinlock_t lock;
	bool dead;
	int err;
	size_t len;
	size_t pos;
	size_t want;
	bool complete;
	u8 buf[];
};

static void mig_file_release(struct kref *ref)
{
	struct vfio_pci_mig_file *mf = container_of(ref, struct vfio_pci_mig_file, ref);

	mutex_destroy(&mf->io);
	vfio_pci_mig_fsm_put(mf->fsm);
	kvfree(mf);
}

static int vfio_pci_mig_fop_release(struct inode *inode, struct file *filp)
{
	struct vfio_pci_mig_file *mf = filp->private_data;

	kref_put(&mf->ref, mig_file_release);
	return 0;
}

static ssize_t vfio_pci_mig_fop_read(struct file *filp, char __user *ubuf, size_t count,
				     loff_t *ppos)
{
	struct vfio_pci_mig_file *mf = filp->private_data;
	ssize_t ret;
	size_t pos;

	if (mutex_lock_interruptible(&mf->io))
		return -EINTR;

	spin_lock(&mf->lock);
	pos = mf->pos;
	count = min(count, mf->len - pos);
	if (mf->dead)
		ret = -ENODEV;
	else if (pos == mf->len && !mf->complete)
		ret = -ENOMSG;
	else
		ret = count;
	spin_unlock(&mf->lock);

	if (ret > 0) {
		if (copy_to_user(ubuf, mf->buf + pos, count)) {
			ret = -EFAULT;
		} else {
			spin_lock(&mf->lock);
			mf->pos = pos + count;
			spin_unlock(&mf->lock);
		}
	}
	mutex_unlock(&mf->io);
	return ret;
}

/* Also says whether there is a device. The dead flag lags behind what the state mutex protects. */
static bool mig_file_in_session(struct vfio_pci_mig_file *mf)
{
	lockdep_assert_held(&mf->fsm->lock);
	return mf->fsm->file == mf;
}

/*
 * Shows the back end the @len bytes that have arrived. What it asks for is how far the buffer is
 * filled next: no mistake of a back end shall make that more than there is.
 */
static ssize_t mig_file_show(struct vfio_pci_mig_file *mf, size_t len, bool *complete)
{
	struct vfio_pci_mig_fsm *fsm = mf->fsm;
	ssize_t want = vfio_pci_mig_call(fsm, load, mf->buf, len, complete);

	if (want >= 0 && WARN_ON_ONCE(want < len || want > fsm->ops->stream_size))
		return -EIO;
	return want;
}

/* Called with the io mutex held. */
static int mig_file_load(struct vfio_pci_mig_file *mf)
{
	struct vfio_pci_mig_fsm *fsm = mf->fsm;
	bool complete = false;
	struct device *dev;
	ssize_t ret;

	/* It is not interrupted: the bytes that it is about were taken. */
	vfio_pci_mig_fsm_lock(fsm);

	/* While the session lasts the device is open and cannot go away under the state mutex. */
	ret = mig_file_in_session(mf) ? vfio_pci_mig_fsm_enter(fsm) : -ENODEV;
	if (!ret) {
		dev = &fsm->mdev->core.pdev->dev;
		/* VFIO sees to the device's power in ioctls, but knows nothing of this file. */
		ret = pm_runtime_resume_and_get(dev);
		if (!ret) {
			ret = vfio_pci_mig_fsm_wake(fsm) ?: mig_file_show(mf, mf->len, &complete);
			pm_runtime_put(dev);
		}
		ret = vfio_pci_mig_fsm_outcome(fsm, min_t(ssize_t, ret, 0)) ?: ret;
	}

	spin_lock(&mf->lock);
	if (ret < 0) {
		mf->err = ret;
	} else {
		mf->want = ret;
		mf->complete = complete;
	}
	spin_unlock(&mf->lock);
	if (ret < 0)
		wake_up_poll(&mf->wait, EPOLLERR);

	vfio_pci_mig_fsm_unlock(fsm);
	return min_t(ssize_t, ret, 0);
}

/* Takes bytes up to where the back end wants to see them. Called with the io mutex held. */
static ssize_t mig_file_take(struct vfio_pci_mig_file *mf, const char __user *ubuf, size_t count)
{
	size_t len;
	int ret;

	spin_lock(&mf->lock);
	len = mf->len;
	count = min(count, mf->want - len);
	if (!mf->err && !count)
		mf->err = -ENOSPC;
	ret = mf->dead ? -ENODEV : mf->err;
	spin_unlock(&mf->lock);
	if (ret) {
		wake_up_poll(&mf->wait, EPOLLERR);
		return ret;
	}

	if (copy_from_user(mf->buf + len, ubuf, count))
		return -EFAULT;

	spin_lock(&mf->lock);
	mf->len = len + count;
	if (len + count < mf->want)
		mf->complete = false;
	spin_unlock(&mf->lock);

	if (len + count == mf->want)
		ret = mig_file_load(mf);
	return ret ?: count;
}

static ssize_t vfio_pci_mig_fop_write(struct file *filp, const char __user *ubuf, size_t count,
				      loff_t *ppos)
{
	struct vfio_pci_mig_file *mf = filp->private_data;
	ssize_t ret = 0;
	size_t done = 0;

	if (mutex_lock_interruptible(&mf->io))
		return -EINTR;

	while (done < count) {
		ret = mig_file_take(mf, ubuf + done, count - done);
		if (ret < 0)
			break;
		done += ret;
	}
	mutex_unlock(&mf->io);

	/*
	 * A stream that is refused is refused as a whole, also when the bytes that were good came
	 * in the same call. Only a bad user buffer leaves something to go on with.
	 */
	if (ret < 0 && !(ret == -EFAULT && done))
		return ret;
	return done;
}

/*
 * An error is what the next read() or write() would fail with, but for the end of the pre-copy
 * data, where more may come. The end of the stream is readable.
 */
static __poll_t vfio_pci_mig_fop_poll(struct file *filp, poll_table *wait)
{
	struct vfio_pci_mig_file *mf = filp->private_data;
	__poll_t mask = 0;

	poll_wait(filp, &mf->wait, wait);
	spin_lock(&mf->lock);
	if (mf->dead || mf->err)
		mask |= EPOLLERR;
	if (filp->f_mode & FMODE_WRITE)
		mask |= EPOLLOUT | EPOLLWRNORM;
	else if (mf->dead || mf->complete || mf->pos < mf->len)
		mask |= EPOLLIN | EPOLLRDNORM;
	spin_unlock(&mf->lock);
	return mask;
}

static size_t mig_file_unread(struct vfio_pci_mig_file *mf)
{
	size_t unread;

	spin_lock(&mf->lock);
	unread = mf->len - mf->pos;
	spin_unlock(&mf->lock);
	return unread;
}

static long vfio_pci_mig_fop_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	const size_t minsz = offsetofend(struct vfio_precopy_info, dirty_bytes);
	struct vfio_pci_mig_file *mf = filp->private_data;
	struct vfio_pci_mig_fsm *fsm = mf->fsm;
	void __user *uarg = (void __user *)arg;
	struct vfio_precopy_info info;
	int ret;

	if (cmd != VFIO_MIG_GET_PRECOPY_INFO)
		return -ENOTTY;
	if (copy_from_user(&info, uarg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;

	ret = vfio_pci_mig_fsm_lock_killable(fsm);
	if (ret)
		return ret;
	if (!mig_file_in_session(mf) || (fsm->state != VFIO_DEVICE_STATE_PRE_COPY &&
					 fsm->state != VFIO_DEVICE_STATE_PRE_COPY_P2P)) {
		ret = -EINVAL;
	} else {
		if (vfio_pci_mig_precopy_info_v2(&fsm->mdev->core.vdev))
			info.flags = 0;
		info.initial_bytes = mig_file_unread(mf);
		info.dirty_bytes = 0;
	}
	vfio_pci_mig_fsm_unlock(fsm);

	if (ret)
		return ret;
	return copy_to_user(uarg, &info, minsz) ? -EFAULT : 0;
}

static const struct file_operations vfio_pci_mig_save_fops = {
	.owner = THIS_MODULE,
	.read = vfio_pci_mig_fop_read,
	.poll = vfio_pci_mig_fop_poll,
	.unlocked_ioctl = vfio_pci_mig_fop_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = vfio_pci_mig_fop_release,
};

static const struct file_operations vfio_pci_mig_load_fops = {
	.owner = THIS_MODULE,
	.write = vfio_pci_mig_fop_write,
	.poll = vfio_pci_mig_fop_poll,
	.release = vfio_pci_mig_fop_release,
};

/**
 * vfio_pci_mig_file_open() - Begin a session
 * @fsm: the state of migration, locked, with no session in progress
 * @resuming: whether the user will write
 *
 * Return: the file for the user, or an ERR_PTR().
 */
struct file *vfio_pci_mig_file_open(struct vfio_pci_mig_fsm *fsm, bool resuming)
{
	struct vfio_pci_mig_file *mf;
	struct file *filp;

	lockdep_assert_held(&fsm->lock);

	mf = kvzalloc(struct_size(mf, buf, fsm->ops->stream_size), GFP_KERNEL_ACCOUNT);
	if (!mf)
		return ERR_PTR(-ENOMEM);

	kref_init(&mf->ref);
	mutex_init(&mf->io);
	init_waitqueue_head(&mf->wait);
	spin_lock_init(&mf->lock);
	mf->fsm = fsm;
	vfio_pci_mig_fsm_get(fsm);

	filp = anon_inode_getfile("[vfio-pci-mig]",
				  resuming ? &vfio_pci_mig_load_fops : &vfio_pci_mig_save_fops,
				  mf, resuming ? O_WRONLY : O_RDONLY);
	if (IS_ERR(filp)) {
		kref_put(&mf->ref, mig_file_release);
		return filp;
	}
	stream_open(filp->f_inode, filp);

	kref_get(&mf->ref);
	spin_lock(&fsm->reset_lock);
	fsm->file = mf;
	spin_unlock(&fsm->reset_lock);
	return filp;
}

/* Makes @len bytes readable. */
static void mig_file_publish(struct vfio_pci_mig_file *mf, size_t len, bool complete)
{
	spin_lock(&mf->lock);
	mf->len = len;
	mf->complete = complete;
	spin_unlock(&mf->lock);
	wake_up_poll(&mf->wait, EPOLLIN | EPOLLRDNORM);
}

/**
 * vfio_pci_mig_file_precopy() - Fill the session with what can be read in PRE_COPY
 * @fsm: the state of migration, locked, with a session in progress
 *
 * Return: 0, or what the back end failed with.
 */
int vfio_pci_mig_file_precopy(struct vfio_pci_mig_fsm *fsm)
{
	ssize_t len = vfio_pci_mig_call(fsm, precopy, fsm->file->buf);

	if (len < 0)
		return len;
	mig_file_publish(fsm->file, len, false);
	return 0;
}

/**
 * vfio_pci_mig_file_save() - Fill the session with the rest of a stopped device's state
 * @fsm: the state of migration, locked, with a session in progress
 *
 * Return: 0, or what the back end failed with.
 */
int vfio_pci_mig_file_save(struct vfio_pci_mig_fsm *fsm)
{
	struct vfio_pci_mig_file *mf = fsm->file;
	/* Only callers with the state mutex, which is held, make a saving session longer. */
	ssize_t len = vfio_pci_mig_call(fsm, save, mf->buf, mf->len);

	if (len < 0)
		return len;
	mig_file_publish(mf, len, true);
	return 0;
}

/**
 * vfio_pci_mig_file_unread() - What the user still has to read until the end of the session
 * @fsm: the state of migration, locked
 *
 * Return: bytes; 0 if no saving session is in progress.
 */
size_t vfio_pci_mig_file_unread(struct vfio_pci_mig_fsm *fsm)
{
	size_t unread;

	switch (fsm->state) {
	case VFIO_DEVICE_STATE_STOP_COPY:
		return mig_file_unread(fsm->file);
	case VFIO_DEVICE_STATE_PRE_COPY:
	case VFIO_DEVICE_STATE_PRE_COPY_P2P:
		spin_lock(&fsm->file->lock);
		unread = fsm->ops->stream_size - fsm->file->pos;
		spin_unlock(&fsm->file->lock);
		return unread;
	default:
		return 0;
	}
}

/**
 * vfio_pci_mig_file_load_begin() - Ask the back end what it wants to see first
 * @fsm: the state of migration, locked, with a session in progress
 *
 * Return: 0, or what the back end failed with.
 */
int vfio_pci_mig_file_load_begin(struct vfio_pci_mig_fsm *fsm)
{
	struct vfio_pci_mig_file *mf = fsm->file;
	ssize_t want = mig_file_show(mf, 0, &mf->complete);

	if (want < 0)
		return want;
	spin_lock(&mf->lock);
	mf->want = want;
	spin_unlock(&mf->lock);
	return 0;
}

/**
 * vfio_pci_mig_file_load_end() - Was everything loaded?
 * @fsm: the state of migration, locked, with a session in progress
 *
 * Return: 0, the errno of the write() that failed, or -EINVAL if bytes are missing.
 */
int vfio_pci_mig_file_load_end(struct vfio_pci_mig_fsm *fsm)
{
	struct vfio_pci_mig_file *mf = fsm->file;
	int ret;

	spin_lock(&mf->lock);
	ret = mf->err ?: mf->complete ? 0 : -EINVAL;
	spin_unlock(&mf->lock);
	return ret;
}

/**
 * vfio_pci_mig_file_mark_dead() - End a session for its user
 * @mf: the session
 *
 * Context: any; takes a spinlock.
 */
void vfio_pci_mig_file_mark_dead(struct vfio_pci_mig_file *mf)
{
	spin_lock(&mf->lock);
	mf->dead = true;
	spin_unlock(&mf->lock);
	wake_up_poll(&mf->wait, EPOLLERR);
}

/**
 * vfio_pci_mig_file_kill() - End the session in progress, if there is one
 * @fsm: the state of migration, locked
 */
void vfio_pci_mig_file_kill(struct vfio_pci_mig_fsm *fsm)
{
	struct vfio_pci_mig_file *mf = fsm->file;

	lockdep_assert_held(&fsm->lock);

	if (!mf)
		return;
	spin_lock(&fsm->reset_lock);
	fsm->file = NULL;
	spin_unlock(&fsm->reset_lock);
	vfio_pci_mig_file_mark_dead(mf);
	kref_put(&mf->ref, mig_file_release);
}
