// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which parts of the device's BARs the user reaches.
 *
 * Every path to a BAR goes through this file: read, write, mmap, region info, ioeventfd. dma-buf is
 * no path, because drivers on this core leave vfio_pci_core_device.pci_ops alone.
 */
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "internal.h"

/* Bytes of a region that the user may reach; false if that is all of it. */
static bool region_limit(struct vfio_pci_mig_device *mdev, unsigned int index, u64 *visible)
{
	if (index >= PCI_STD_NUM_BARS || !mdev->bar_visible[index])
		return false;
	*visible = mdev->bar_visible[index];
	return true;
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

/**
 * vfio_pci_mig_read() - read of struct vfio_device_ops
 * @vdev: a struct vfio_pci_mig_device
 * @buf: as for vfio_pci_core_read()
 * @count: as for vfio_pci_core_read()
 * @ppos: as for vfio_pci_core_read()
 *
 * Return: as vfio_pci_core_read(); the hidden part of a BAR is beyond its end.
 */
ssize_t vfio_pci_mig_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos)
{
	ssize_t n = clip_access(vdev, count, *ppos);

	return n < 0 ? n : vfio_pci_core_read(vdev, buf, n, ppos);
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_read);

/**
 * vfio_pci_mig_write() - write of struct vfio_device_ops
 * @vdev: a struct vfio_pci_mig_device
 * @buf: as for vfio_pci_core_write()
 * @count: as for vfio_pci_core_write()
 * @ppos: as for vfio_pci_core_write()
 *
 * Return: as vfio_pci_core_write(); the hidden part of a BAR is beyond its end.
 */
ssize_t vfio_pci_mig_write(struct vfio_device *vdev, const char __user *buf, size_t count,
			   loff_t *ppos)
{
	ssize_t n = clip_access(vdev, count, *ppos);

	return n < 0 ? n : vfio_pci_core_write(vdev, buf, n, ppos);
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_write);

/**
 * vfio_pci_mig_mmap() - mmap of struct vfio_device_ops
 * @vdev: a struct vfio_pci_mig_device
 * @vma: as for vfio_pci_core_mmap()
 *
 * Return: as vfio_pci_core_mmap(); -EINVAL if a page would show hidden registers.
 */
int vfio_pci_mig_mmap(struct vfio_device *vdev, struct vm_area_struct *vma)
{
	unsigned int index = vma->vm_pgoff >> (VFIO_PCI_OFFSET_SHIFT - PAGE_SHIFT);
	u64 off = ((u64)vma->vm_pgoff << PAGE_SHIFT) & VFIO_PCI_OFFSET_MASK;
	u64 visible;

	if (region_limit(vfio_pci_mig_device(vdev), index, &visible) &&
	    (off >= visible || vma->vm_end - vma->vm_start > visible - off))
		return -EINVAL;
	return vfio_pci_core_mmap(vdev, vma);
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

/**
 * vfio_pci_mig_ioctl() - ioctl of struct vfio_device_ops
 * @vdev: a struct vfio_pci_mig_device
 * @cmd: as for vfio_pci_core_ioctl()
 * @arg: as for vfio_pci_core_ioctl()
 *
 * A migratable device has no ioeventfds: vfio-pci reads the offset from user memory again, so that
 * none that is checked here is the one that is used, and they fire when the device is stopped.
 *
 * Return: as vfio_pci_core_ioctl().
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

	ret = vfio_pci_core_ioctl(vdev, cmd, arg);

	if (fsm && !ret && (cmd == VFIO_DEVICE_RESET || cmd == VFIO_DEVICE_PCI_HOT_RESET)) {
		vfio_pci_mig_fsm_lock(fsm);
		vfio_pci_mig_fsm_reset_seen(fsm);
		vfio_pci_mig_fsm_unlock(fsm);
	}
	return ret;
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_ioctl);
