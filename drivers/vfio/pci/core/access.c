// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which parts of the device's BARs the user reaches, and when.
 *
 * Every path to a BAR goes through this file: read, write, mmap, region info, ioeventfd. dma-buf is
 * no path, because drivers on this core leave vfio_pci_core_device.pci_ops alone.
 *
 * While the device is stopped, saved, loaded or in ERROR its registers belong to the migration: the
 * gate is closed. Mappings are zapped and fault, read() and write() fail. Configuration space stays
 * open, because a VMM saves and loads it then.
 */
#include <kunit/visibility.h>
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "internal.h"

/* Bytes of a region that the user may reach; false if that is all of it. */
static bool region_limit(struct vfio_pci_mig_device *mdev, unsigned int index, u64 *visible)
{
	/* Without migration there is nothing to hide. */
	if (!mdev->fsm || index >= PCI_STD_NUM_BARS || !mdev->bar_visible[index])
		return false;
	*visible = mdev->bar_visible[index];
	return true;
}

/**
 * vfio_pci_mig_gate_set() - Let the user reach the device, or not
 * @fsm: the state of migration of an open device, locked
 * @open: whether the user may
 *
 * Once the gate is closed no access of the user's is under way.
 */
void vfio_pci_mig_gate_set(struct vfio_pci_mig_fsm *fsm, bool open)
{
	const loff_t start = VFIO_PCI_INDEX_TO_OFFSET(VFIO_PCI_BAR0_REGION_INDEX);
	const loff_t end = VFIO_PCI_INDEX_TO_OFFSET(VFIO_PCI_ROM_REGION_INDEX);

	bool same;

	lockdep_assert_held(&fsm->lock);

	/* Waits for gate_enter(), which also opens the gate, but holds up nobody. */
	down_read(&fsm->gate);
	same = fsm->gate_open == open;
	up_read(&fsm->gate);
	if (same)
		return;

	down_write(&fsm->gate);
	if (fsm->gate_open && !open)
		unmap_mapping_range(fsm->mdev->core.vdev.inode->i_mapping, start, end - start,
				    true);
	fsm->gate_open = open;
	up_write(&fsm->gate);
}

/* If it returns true the gate stays open until gate_leave(). */
static bool gate_enter(struct vfio_pci_mig_fsm *fsm)
{
	down_read(&fsm->gate);
	if (fsm->gate_open)
		return true;
	up_read(&fsm->gate);

	/*
	 * After a reset the device runs, even before anybody completed that. The gate is opened,
	 * not passed: whoever closes it next has to know that there is a user to keep out.
	 */
	down_write(&fsm->gate);
	if (vfio_pci_mig_fsm_reset_pending(fsm))
		fsm->gate_open = true;
	if (fsm->gate_open) {
		downgrade_write(&fsm->gate);
		return true;
	}
	up_write(&fsm->gate);
	return false;
}

static void gate_leave(struct vfio_pci_mig_fsm *fsm)
{
	up_read(&fsm->gate);
}

static ssize_t core_rw(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos,
		       bool write)
{
	return write ? vfio_pci_core_write(vdev, buf, count, ppos) :
		       vfio_pci_core_read(vdev, buf, count, ppos);
}

/* How often an access is tried again because its buffer's page was taken away in between */
#define PAGE_TRIES	16

static bool fault_in(const char __user *buf, size_t count, bool write)
{
	return !(write ? fault_in_readable(buf, count) :
			 fault_in_safe_writeable((char __user *)buf, count));
}

/* core_rw() without faults: what is held meanwhile may be held up by a fault, or be taken by it. */
static ssize_t core_rw_nofault(struct vfio_device *vdev, char __user *buf, size_t count,
			       loff_t *ppos, bool write)
{
	ssize_t ret;

	pagefault_disable();
	ret = core_rw(vdev, buf, count, ppos, write);
	pagefault_enable();
	return ret;
}

/*
 * One access that the hardware sees as a whole, or several small ones below an 8-byte boundary. The
 * user's buffer may be anything, a mapping behind this very gate included: nothing is faulted in
 * while the gate is held.
 */
static ssize_t gated_piece(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos,
			   bool write)
{
	struct vfio_pci_mig_fsm *fsm = vfio_pci_mig_device(vdev)->fsm;
	unsigned int tries = PAGE_TRIES;
	ssize_t ret;

	do {
		if (!fault_in(buf, count, write))
			return -EFAULT;
		if (!gate_enter(fsm))
			return -EIO;
		ret = core_rw_nofault(vdev, buf, count, ppos, write);
		gate_leave(fsm);
	} while (ret == -EFAULT && --tries);
	return ret;
}

static ssize_t gated_rw(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos,
			bool write)
{
	size_t done = 0;

	while (done < count) {
		size_t piece = min_t(size_t, count - done, 8 - (*ppos & 7));
		ssize_t ret = gated_piece(vdev, buf + done, piece, ppos, write);

		if (ret <= 0)
			return done ?: ret;
		done += ret;
	}
	return done;
}

static ssize_t clip_access(struct vfio_device *vdev, size_t count, loff_t pos)
{
	struct vfio_pci_mig_device *mdev = vfio_pci_mig_device(vdev);
	u64 off = pos & VFIO_PCI_OFFSET_MASK;
	u64 visible;

	if (!region_limit(mdev, VFIO_PCI_OFFSET_TO_INDEX(pos), &visible))
		return count;
	if (off >= visible)
		return -EINVAL;
	return min_t(u64, count, visible - off);
}

/* Does an access to @count bytes of configuration space at @pos reach this byte? */
static bool config_covers(loff_t pos, size_t count, u8 cap, u8 byte)
{
	u64 off = pos & VFIO_PCI_OFFSET_MASK;

	return cap && off <= cap + byte && cap + byte - off < count;
}

/* Does a write reach one of the bits by which vfio-pci resets a function for its user? */
static bool config_may_reset(struct vfio_pci_mig_device *mdev, loff_t pos, size_t count)
{
	return config_covers(pos, count, mdev->core.pdev->pcie_cap, PCI_EXP_DEVCTL + 1) ||
	       config_covers(pos, count, mdev->fsm->af_cap, PCI_AF_CTRL);
}

static ssize_t config_reset_write(struct vfio_device *vdev, char __user *buf, size_t count,
				  loff_t *ppos)
{
	struct vfio_pci_mig_fsm *fsm = vfio_pci_mig_device(vdev)->fsm;
	unsigned int tries = PAGE_TRIES;
	loff_t pos = *ppos;
	ssize_t ret;
	bool again;

	do {
		if (!fault_in(buf, count, true))
			return -EFAULT;
		ret = vfio_pci_mig_user_reset_begin(fsm);
		if (ret)
			return ret;
		*ppos = pos;
		ret = core_rw_nofault(vdev, buf, count, ppos, true);
		again = vfio_pci_mig_user_reset_end(fsm, false);
	} while (again || (ret == -EFAULT && --tries));
	return ret;
}

static ssize_t mig_rw(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos,
		      bool write)
{
	struct vfio_pci_mig_device *mdev = vfio_pci_mig_device(vdev);
	bool config = VFIO_PCI_OFFSET_TO_INDEX(*ppos) == VFIO_PCI_CONFIG_REGION_INDEX;
	ssize_t ret = clip_access(vdev, count, *ppos);

	if (ret < 0)
		return ret;
	if (mdev->fsm && !config)
		return gated_rw(vdev, buf, ret, ppos, write);
	if (mdev->fsm && write && config_may_reset(mdev, *ppos, ret))
		return config_reset_write(vdev, buf, ret, ppos);
	return core_rw(vdev, buf, ret, ppos, write);
}

/**
 * vfio_pci_mig_read() - read of struct vfio_device_ops
 * @vdev: a struct vfio_pci_mig_device
 * @buf: as for vfio_pci_core_read()
 * @count: as for vfio_pci_core_read()
 * @ppos: as for vfio_pci_core_read()
 *
 * Return: as vfio_pci_core_read(); the hidden part of a BAR is beyond its end. -EIO while the
 * device is stopped, from everything but configuration space.
 */
ssize_t vfio_pci_mig_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos)
{
	return mig_rw(vdev, buf, count, ppos, false);
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_read);

/**
 * vfio_pci_mig_write() - write of struct vfio_device_ops
 * @vdev: a struct vfio_pci_mig_device
 * @buf: as for vfio_pci_core_write()
 * @count: as for vfio_pci_core_write()
 * @ppos: as for vfio_pci_core_write()
 *
 * Return: as vfio_pci_core_write(); the hidden part of a BAR is beyond its end. -EIO while the
 * device is stopped, to everything but configuration space.
 */
ssize_t vfio_pci_mig_write(struct vfio_device *vdev, const char __user *buf, size_t count,
			   loff_t *ppos)
{
	return mig_rw(vdev, (char __user *)buf, count, ppos, true);
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_write);

static struct vfio_pci_mig_fsm *vma_fsm(struct vm_area_struct *vma)
{
	struct vfio_pci_core_device *core = vma->vm_private_data;

	return vfio_pci_mig_device(&core->vdev)->fsm;
}

static vm_fault_t mig_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct vfio_pci_mig_fsm *fsm = vma_fsm(vmf->vma);
	vm_fault_t ret = VM_FAULT_FALLBACK;

	if (!gate_enter(fsm))
		return VM_FAULT_SIGBUS;
	if (!order)
		ret = fsm->core_vm_ops->fault(vmf);
	else if (fsm->core_vm_ops->huge_fault)
		ret = fsm->core_vm_ops->huge_fault(vmf, order);
	gate_leave(fsm);
	return ret;
}

static vm_fault_t mig_fault(struct vm_fault *vmf)
{
	return mig_huge_fault(vmf, 0);
}

/* vfio-pci's, with the gate in front */
static const struct vm_operations_struct mig_vm_ops = {
	.fault = mig_fault,
	.huge_fault = mig_huge_fault,
};

/* Is this a mapping of a BAR as vfio-pci has always made them? The gate relies on all of it. */
static bool vma_expected(struct vfio_pci_mig_device *mdev, struct vm_area_struct *vma)
{
	const struct vm_operations_struct *known = READ_ONCE(mdev->fsm->core_vm_ops);

	return vma->vm_pgoff >> (VFIO_PCI_OFFSET_SHIFT - PAGE_SHIFT) < VFIO_PCI_ROM_REGION_INDEX &&
	       vma->vm_private_data == &mdev->core &&
	       vma->vm_ops && vma->vm_ops->fault && (!known || vma->vm_ops == known) &&
	       vma->vm_file && mdev->core.vdev.inode &&
	       vma->vm_file->f_mapping == mdev->core.vdev.inode->i_mapping;
}

/**
 * vfio_pci_mig_gate_adopt() - Put a new mapping of vfio-pci's behind the gate
 * @mdev: a migratable device
 * @vma: what vfio_pci_core_mmap() made of it
 *
 * The gate closes a mapping by zapping the device's address space, and keeps it closed by standing
 * before vfio-pci's fault handler. A mapping for which that would not work, of a later kernel's or
 * of another kind of region, makes the device one that is only passed through.
 *
 * Context: with the mmap lock held.
 * Return: 0, or -EBUSY for such a mapping while the device is stopped.
 */
int vfio_pci_mig_gate_adopt(struct vfio_pci_mig_device *mdev, struct vm_area_struct *vma)
{
	struct vfio_pci_mig_fsm *fsm = mdev->fsm;

	if (vma_expected(mdev, vma)) {
		WRITE_ONCE(fsm->core_vm_ops, vma->vm_ops);
		vma->vm_ops = &mig_vm_ops;
		return 0;
	}

	/* An arc closes the gate before it asks whether it may go on. */
	if (!gate_enter(fsm))
		return -EBUSY;
	if (!fsm->unguarded) {
		mdev->reason = (struct vfio_pci_mig_reason) {
			"mapping", "this kernel maps its BARs in a way unknown to this driver",
		};
		mdev->core.vdev.migration_flags = 0;
		WRITE_ONCE(fsm->unguarded, true);
		dev_warn(mdev->core.vdev.dev, "passed through without migration from now on: %s\n",
			 mdev->reason.text);
	}
	gate_leave(fsm);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_pci_mig_gate_adopt);

/**
 * vfio_pci_mig_mmap() - mmap of struct vfio_device_ops
 * @vdev: a struct vfio_pci_mig_device
 * @vma: as for vfio_pci_core_mmap()
 *
 * While the device is stopped the mapping can be made, and a touch of it is SIGBUS.
 *
 * Return: as vfio_pci_core_mmap(); -EINVAL if a page would show hidden registers.
 */
int vfio_pci_mig_mmap(struct vfio_device *vdev, struct vm_area_struct *vma)
{
	unsigned int index = vma->vm_pgoff >> (VFIO_PCI_OFFSET_SHIFT - PAGE_SHIFT);
	u64 off = ((u64)vma->vm_pgoff << PAGE_SHIFT) & VFIO_PCI_OFFSET_MASK;
	struct vfio_pci_mig_device *mdev = vfio_pci_mig_device(vdev);
	u64 visible;
	int ret;

	if (region_limit(mdev, index, &visible) &&
	    (off >= visible || vma->vm_end - vma->vm_start > visible - off))
		return -EINVAL;

	ret = vfio_pci_core_mmap(vdev, vma);
	if (ret || !mdev->fsm)
		return ret;
	return vfio_pci_mig_gate_adopt(mdev, vma);
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_mmap);

/* Region info of a BAR with a hidden part; -ENOTTY if that is none of our business. */
static int limited_region_info(struct vfio_pci_mig_device *mdev, struct vfio_region_info *info)
{
	u64 visible;

	if (!region_limit(mdev, info->index, &visible))
		return -ENOTTY;

	info->offset = VFIO_PCI_INDEX_TO_OFFSET(info->index);
	info->size = visible;
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	if (mdev->core.bar_mmap_supported[info->index] && IS_ALIGNED(visible, PAGE_SIZE))
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	return 0;
}

/**
 * vfio_pci_mig_get_region_info() - get_region_info_caps of struct vfio_device_ops
 * @vdev: a struct vfio_pci_mig_device
 * @info: region to describe
 * @caps: capabilities to add to
 *
 * Return: 0 or a negative errno.
 */
int vfio_pci_mig_get_region_info(struct vfio_device *vdev, struct vfio_region_info *info,
				 struct vfio_info_cap *caps)
{
	int ret = limited_region_info(vfio_pci_mig_device(vdev), info);

	return ret == -ENOTTY ? vfio_pci_ioctl_get_region_info(vdev, info, caps) : ret;
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_get_region_info);

static long region_info_ioctl(struct vfio_device *vdev, unsigned long arg)
{
	const size_t minsz = offsetofend(struct vfio_region_info, offset);
	void __user *uarg = (void __user *)arg;
	struct vfio_region_info info;
	int ret;

	if (copy_from_user(&info, uarg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;

	info.cap_offset = 0;
	ret = limited_region_info(vfio_pci_mig_device(vdev), &info);
	if (ret)
		return ret;
	info.argsz = minsz;
	return copy_to_user(uarg, &info, minsz) ? -EFAULT : 0;
}

static long reset_ioctl(struct vfio_device *vdev, unsigned int cmd, unsigned long arg)
{
	struct vfio_pci_mig_fsm *fsm = vfio_pci_mig_device(vdev)->fsm;
	bool again;
	long ret;

	do {
		ret = vfio_pci_mig_user_reset_begin(fsm);
		if (ret)
			return ret;
		ret = vfio_pci_core_ioctl(vdev, cmd, arg);
		again = vfio_pci_mig_user_reset_end(fsm, ret);
	} while (again);
	return ret;
}

/**
 * vfio_pci_mig_ioctl() - ioctl of struct vfio_device_ops
 * @vdev: a struct vfio_pci_mig_device
 * @cmd: as for vfio_pci_core_ioctl()
 * @arg: as for vfio_pci_core_ioctl()
 *
 * A migratable device has no ioeventfds: vfio-pci reads the offset from user memory again, so that
 * none that is checked here is the one that is used, and they fire when the device is stopped.
 *
 * Return: as vfio_pci_core_ioctl(). A reset may also fail with -EINTR, or with -ETIMEDOUT if the
 *	device cannot be reset now: then nothing was done to it.
 */
long vfio_pci_mig_ioctl(struct vfio_device *vdev, unsigned int cmd, unsigned long arg)
{
	struct vfio_pci_mig_fsm *fsm = vfio_pci_mig_device(vdev)->fsm;
	long ret;

	if (cmd == VFIO_DEVICE_IOEVENTFD && fsm)
		return -EINVAL;

	if (VFIO_PCI_MIG_REGION_INFO_IOCTL && cmd == VFIO_DEVICE_GET_REGION_INFO) {
		ret = region_info_ioctl(vdev, arg);
		if (ret != -ENOTTY)
			return ret;
	}

	if (fsm && (cmd == VFIO_DEVICE_RESET || cmd == VFIO_DEVICE_PCI_HOT_RESET))
		return reset_ioctl(vdev, cmd, arg);
	return vfio_pci_core_ioctl(vdev, cmd, arg);
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_ioctl);
