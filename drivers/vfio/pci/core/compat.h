/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Differences between the kernels that the drivers build for: 6.12 LTS to 7.3. All of them are
 * here; nothing else asks for a version. Built and run on 6.12, 7.2 and 7.3 only: for a kernel in
 * between the numbers below are when the change is known to have been made.
 */
#ifndef VFIO_PCI_MIG_COMPAT_H
#define VFIO_PCI_MIG_COMPAT_H

#include <linux/version.h>
#include <linux/vfio_pci_core.h>

/*
 * 6.19: the vfio core asks for region info by a callback of its own. Before, the driver has to
 * catch the ioctl; VFIO_PCI_MIG_REGION_INFO_IOCTL tells access.c to.
 * 6.17: a VF token is checked through .match_token_uuid, on the cdev path too.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
#define VFIO_PCI_MIG_REGION_INFO_IOCTL	0
#define VFIO_PCI_MIG_REGION_INFO_OP	.get_region_info_caps = vfio_pci_mig_get_region_info,
#else
#define VFIO_PCI_MIG_REGION_INFO_IOCTL	1
#define VFIO_PCI_MIG_REGION_INFO_OP
static inline int vfio_pci_ioctl_get_region_info(struct vfio_device *vdev,
						 struct vfio_region_info *info,
						 struct vfio_info_cap *caps)
{
	return -ENOTTY;
}
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
#define VFIO_PCI_MIG_MATCH_TOKEN_OP	.match_token_uuid = vfio_pci_core_match_token_uuid,
#else
#define VFIO_PCI_MIG_MATCH_TOKEN_OP
#endif

/* 7.1: a user may opt in to flags that GET_PRECOPY_INFO returns. Before, flags are left alone. */
static inline bool vfio_pci_mig_precopy_info_v2(struct vfio_device *vdev)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 1, 0)
	return vdev->precopy_info_v2;
#else
	return false;
#endif
}

/* 6.13: a symbol namespace is named by a string. This is that of symbols for KUnit tests. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define VFIO_PCI_MIG_KUNIT_NS	"EXPORTED_FOR_KUNIT_TESTING"
#else
#define VFIO_PCI_MIG_KUNIT_NS	EXPORTED_FOR_KUNIT_TESTING
#endif

/* 7.1: BARs are mapped when the device is opened. Before, when somebody asks. */
static inline void __iomem *vfio_pci_mig_iomap(struct vfio_pci_core_device *core, int bar)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 1, 0)
	return vfio_pci_core_get_iomap(core, bar);
#else
	int ret = vfio_pci_core_setup_barmap(core, bar);

	return ret ? IOMEM_ERR_PTR(ret) : core->barmap[bar];
#endif
}

/*
 * 7.0: a mailbox command that reads returns its result from the same access that saw it finish.
 * Before, the result is fetched from the registers by hand. For files that include the QM's header.
 */
#if defined(HISI_ACC_QM_H) && LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
static inline int hisi_qm_mb_read(struct hisi_qm *qm, u64 *val, u8 cmd, u16 queue)
{
	int ret = hisi_qm_mb(qm, cmd, 0, queue, 1);

	if (!ret)
		*val = readl(qm->io_base + QM_MB_CMD_DATA_ADDR_L) |
		       (u64)readl(qm->io_base + QM_MB_CMD_DATA_ADDR_H) << 32;
	return ret;
}
#endif

/*
 * 6.18: the masks of errors are grouped by where the error is, and the PF's driver says by itself
 * whether its engine is shut down. Is the PF's hardware shut down by an error?
 */
#if defined(HISI_ACC_QM_H)
static inline bool hisi_qm_shut_down(struct hisi_qm *pf_qm)
{
	u32 status = readl(pf_qm->io_base + 0x100008);	/* QM_ABNORMAL_INT_STATUS of qm.c */

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
	return status & pf_qm->err_info.qm_err.shutdown_mask ||
	       (pf_qm->err_ini->dev_is_abnormal && pf_qm->err_ini->dev_is_abnormal(pf_qm));
#else
	return status & pf_qm->err_info.qm_shutdown_mask ||
	       pf_qm->err_ini->get_dev_hw_err_status(pf_qm) & pf_qm->err_info.dev_shutdown_mask;
#endif
}
#endif

#endif
