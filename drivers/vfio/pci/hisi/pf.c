// SPDX-License-Identifier: GPL-2.0-only
/*
 * The physical function: may this VF be migrated at all, and who drives its PF.
 *
 * The controls of a VF's migration belong to the host. They are only safe to offer to a user, by
 * way of the arcs, if the PF is in the hands of the host's own driver and the IOMMU keeps the VF
 * apart from it.
 */
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "hisi.h"

/*
 * The getter comes from symbol_get() and is NULL where its driver is not loaded: calling it plainly
 * would make this module depend on all three drivers.
 */
static struct pci_driver *pf_driver(struct pci_driver *(*getter)(void))
{
	struct pci_driver *driver;

	if (!getter)
		return NULL;
	driver = getter();
	symbol_put_addr(getter);
	return driver;
}

static struct pci_driver *pf_driver_of(struct pci_dev *vf)
{
	switch (vf->device) {
	case PCI_DEVICE_ID_HUAWEI_ZIP_VF:
		return pf_driver(symbol_get(hisi_zip_get_pf_driver));
	case PCI_DEVICE_ID_HUAWEI_SEC_VF:
		return pf_driver(symbol_get(hisi_sec_get_pf_driver));
	case PCI_DEVICE_ID_HUAWEI_HPRE_VF:
		return pf_driver(symbol_get(hisi_hpre_get_pf_driver));
	default:
		return NULL;
	}
}

static bool same_iommu_group(struct device *a, struct device *b)
{
	struct iommu_group *ga = iommu_group_get(a);
	struct iommu_group *gb = iommu_group_get(b);
	bool same = ga && ga == gb;

	iommu_group_put(ga);
	iommu_group_put(gb);
	return same;
}

/**
 * hv_pf_attach() - Find the PF of a VF and make the VF migratable
 * @hv: the VF's device, before it is registered
 * @pdev: the VF
 * @why: set to the reason if the VF cannot be migrated
 *
 * The PF's driver data stays valid until this driver's remove() returns: the PF driver removes its
 * VFs before it lets go of it (pci_iov_get_pf_drvdata()).
 *
 * Context: in probe of the VF.
 * Return: 0; -ENODEV if the VF can only be passed through; another errno if something failed.
 */
int hv_pf_attach(struct hisi_vfio_device *hv, struct pci_dev *pdev, const char **why)
{
	struct pci_driver *driver;
	struct hisi_qm *pf_qm;
	int ret;

	*why = "this is not a virtual function whose PF is in this system";
	if (!pdev->is_virtfn)
		return -ENODEV;

	*why = "its PF is not bound to the HiSilicon driver of its kind";
	driver = pf_driver_of(pdev);
	if (!driver)
		return -ENODEV;
	pf_qm = pci_iov_get_pf_drvdata(pdev, driver);
	if (IS_ERR_OR_NULL(pf_qm))
		return -ENODEV;

	*why = "its hardware is older than Kunpeng 930";
	if (pf_qm->ver < QM_HW_V3)
		return -ENODEV;

	*why = "it is in the IOMMU group of its PF";
	if (same_iommu_group(&pdev->dev, &pf_qm->pdev->dev))
		return -ENODEV;

	*why = "out of memory";
	hv->qm = kzalloc(sizeof(*hv->qm), GFP_KERNEL);
	if (!hv->qm)
		return -ENOMEM;
	mutex_init(&hv->qm->mailbox_lock);
	hv->qm->fun_type = QM_HW_VF;
	hv->qm->ver = pf_qm->ver;
	hv->qm->pdev = pdev;
	hv->pf_qm = pf_qm;
	hv->id.dev_id = pdev->device;

	ret = hv_qm_init(hv, pdev, why);
	if (ret)
		hv_pf_detach(hv);
	return ret;
}

/**
 * hv_pf_detach() - Inverse of hv_pf_attach()
 * @hv: the VF's device, closed
 */
void hv_pf_detach(struct hisi_vfio_device *hv)
{
	kfree(hv->qm);
	hv->qm = NULL;
	hv->pf_qm = NULL;
}

/**
 * hv_pf_resetting() - Is the PF being reset, and its VFs with it?
 * @hv: a migratable VF
 *
 * Return: the answer, which may be old when it arrives.
 */
bool hv_pf_resetting(struct hisi_vfio_device *hv)
{
	return test_bit(QM_RESETTING, &hv->pf_qm->misc_ctl);
}
