// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO PCI variant driver for the virtual functions of HiSilicon accelerators (ZIP, SEC, HPRE),
 * with live migration.
 *
 * How the hardware's state is composed and moved: state.c. What of it crosses between hosts:
 * include/uapi/linux/hisi_acc_mig.h. When a VF can be migrated: pf.c.
 *
 * What the user controls is hostile: a user drives the VF's registers directly, and what is saved
 * and loaded is his. None of it is an index, a bound or an address of the kernel's. The controls of
 * a migration are out of his reach on every path (core/access.c).
 */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sizes.h>

#include "hisi.h"
#include "../core/compat.h"

/* Outside of a migration this is all that the driver keeps of a VF. */
static_assert(sizeof(struct hisi_vfio_device) + sizeof(struct hisi_qm) + SZ_512 < SZ_8K);

static int hisi_vfio_init(struct vfio_device *vdev)
{
	struct vfio_pci_mig_device *mdev = vfio_pci_mig_device(vdev);
	struct hisi_vfio_device *hv = hisi_vfio_device(mdev);
	struct pci_dev *pdev = to_pci_dev(vdev->dev);
	int ret;

	ret = hv_pf_attach(hv, pdev, &mdev->reason);
	/* Whatever else is wrong, the VF can be passed through. */
	if (ret == -ENOMEM || ret == -EINTR)
		return ret;
	if (!ret) {
		ret = vfio_pci_mig_init_device(mdev, &hv_mig_ops);
		if (ret)
			goto err_detach;
		mdev->controls = hv->layout->name;
	}

	ret = vfio_pci_core_init_dev(vdev);
	if (ret)
		goto err_release;
	return 0;

err_release:
	vfio_pci_mig_release_device(mdev);
err_detach:
	hv_pf_detach(hv);
	return ret;
}

static void hisi_vfio_release(struct vfio_device *vdev)
{
	struct vfio_pci_mig_device *mdev = vfio_pci_mig_device(vdev);

	vfio_pci_mig_release_device(mdev);
	hv_pf_detach(hisi_vfio_device(mdev));
	vfio_pci_core_release_dev(vdev);
}

static const struct vfio_device_ops hisi_vfio_ops = {
	.name = "hisi-vfio-pci",
	.init = hisi_vfio_init,
	.release = hisi_vfio_release,
	.open_device = vfio_pci_mig_open_device,
	.close_device = vfio_pci_mig_close_device,
	.ioctl = vfio_pci_mig_ioctl,
	VFIO_PCI_MIG_REGION_INFO_OP
	.device_feature = vfio_pci_core_ioctl_feature,
	.read = vfio_pci_mig_read,
	.write = vfio_pci_mig_write,
	.mmap = vfio_pci_mig_mmap,
	.request = vfio_pci_core_request,
	.match = vfio_pci_core_match,
	VFIO_PCI_MIG_MATCH_TOKEN_OP
	.bind_iommufd = vfio_iommufd_physical_bind,
	.unbind_iommufd = vfio_iommufd_physical_unbind,
	.attach_ioas = vfio_iommufd_physical_attach_ioas,
	.detach_ioas = vfio_iommufd_physical_detach_ioas,
};

static int hisi_vfio_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct hisi_vfio_device *hv;
	int ret;

	hv = vfio_alloc_device(hisi_vfio_device, mdev.core.vdev, &pdev->dev, &hisi_vfio_ops);
	if (IS_ERR(hv))
		return PTR_ERR(hv);

	dev_set_drvdata(&pdev->dev, &hv->mdev.core);
	ret = vfio_pci_core_register_device(&hv->mdev.core);
	if (ret) {
		vfio_put_device(&hv->mdev.core.vdev);
		return ret;
	}
	vfio_pci_mig_observe(&hv->mdev);
	if (hv->mdev.fsm)
		pci_info(pdev, "can be migrated, %u queues, controls in %s\n", hv->id.qp_num,
			 hv->layout->text);
	else
		pci_info(pdev, "passed through without migration: %s\n", hv->mdev.reason.text);
	return 0;
}

static struct vfio_pci_mig_device *hisi_vfio_drvdata(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *core = dev_get_drvdata(&pdev->dev);

	return vfio_pci_mig_device(&core->vdev);
}

static void hisi_vfio_remove(struct pci_dev *pdev)
{
	struct vfio_pci_mig_device *mdev = hisi_vfio_drvdata(pdev);

	vfio_pci_mig_unobserve(mdev);
	vfio_pci_core_unregister_device(&mdev->core);
	vfio_put_device(&mdev->core.vdev);
}

static void hisi_vfio_reset_prepare(struct pci_dev *pdev)
{
	vfio_pci_mig_reset_prepare(hisi_vfio_drvdata(pdev));
}

static void hisi_vfio_reset_done(struct pci_dev *pdev)
{
	vfio_pci_mig_reset_done(hisi_vfio_drvdata(pdev));
}

static const struct pci_device_id hisi_vfio_ids[] = {
	{ PCI_DRIVER_OVERRIDE_DEVICE_VFIO(PCI_VENDOR_ID_HUAWEI, PCI_DEVICE_ID_HUAWEI_ZIP_VF) },
	{ PCI_DRIVER_OVERRIDE_DEVICE_VFIO(PCI_VENDOR_ID_HUAWEI, PCI_DEVICE_ID_HUAWEI_SEC_VF) },
	{ PCI_DRIVER_OVERRIDE_DEVICE_VFIO(PCI_VENDOR_ID_HUAWEI, PCI_DEVICE_ID_HUAWEI_HPRE_VF) },
	{ }
};
MODULE_DEVICE_TABLE(pci, hisi_vfio_ids);

static const struct pci_error_handlers hisi_vfio_err_handlers = {
	.reset_prepare = hisi_vfio_reset_prepare,
	.reset_done = hisi_vfio_reset_done,
	.error_detected = vfio_pci_core_aer_err_detected,
};

static struct pci_driver hisi_vfio_driver = {
	.name = KBUILD_MODNAME,
	.id_table = hisi_vfio_ids,
	.probe = hisi_vfio_probe,
	.remove = hisi_vfio_remove,
	.err_handler = &hisi_vfio_err_handlers,
	.dev_groups = vfio_pci_mig_groups,
	/* The IOMMU core guards the group against drivers that do DMA for the host. */
	.driver_managed_dma = true,
};
module_pci_driver(hisi_vfio_driver);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("VFIO PCI driver with live migration for HiSilicon accelerators");
