// SPDX-License-Identifier: GPL-2.0-only
/*
 * The physical function: may this VF be migrated at all, and who drives its PF.
 *
 * The controls of a VF's migration belong to the host. They are only safe to offer to a user, by
 * way of the arcs, if the PF is in the hands of the host's own driver and the IOMMU keeps the VF
 * apart from it.
 */
#include <linux/delay.h>
#include <linux/iommu.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "hisi.h"
#include "../core/compat.h"

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

/* The PF's reset may take seconds, and a probe holds up its administrator only. */
#define PF_PROBE_WAIT_MS	10000
/* An arc waits as long for the PF as for the function itself. */
#define PF_ARC_WAIT_MS		1000

/**
 * hv_pf_resetting() - Is the PF being reset, and its VFs with it?
 * @hv: a VF with its PF
 *
 * QM_RESETTING alone does not say so: reading and writing alg_qos holds that bit, and so does the
 * kernel's migration driver while it resets another VF. But only a reset stops a PF that has VFs
 * (hisi_qm_stop() in drivers/crypto/hisilicon/qm.c).
 *
 * Return: the answer, which may be old when it arrives.
 */
bool hv_pf_resetting(struct hisi_vfio_device *hv)
{
	return test_bit(QM_RESETTING, &hv->pf_qm->misc_ctl) &&
	       atomic_read(&hv->pf_qm->status.flags) == QM_STOP;
}

static int wait_while_resetting(struct hisi_vfio_device *hv, unsigned int ms)
{
	ktime_t end = ktime_add_ms(ktime_get(), ms);

	while (hv_pf_resetting(hv)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (ktime_after(ktime_get(), end))
			return -EBUSY;
		fsleep(USEC_PER_MSEC);
	}
	return 0;
}

/**
 * hv_pf_wait() - Wait until the PF is not being reset, before an arc touches the function
 * @hv: a migratable VF
 *
 * Context: may sleep, for a second at most.
 * Return: 0, -EBUSY or -EINTR.
 */
int hv_pf_wait(struct hisi_vfio_device *hv)
{
	vfio_pci_mig_assert_locked(&hv->mdev);
	return wait_while_resetting(hv, PF_ARC_WAIT_MS);
}

/**
 * hv_pf_failed() - Did the hardware stop because of an error?
 * @hv: an open VF
 *
 * Only the errors that block DMA count (the shutdown masks of hisi_qm). The PF's status is shared
 * by all its VFs, and any other error in it may be that of another VF.
 *
 * Return: the answer. The PF's driver resets the hardware soon.
 */
bool hv_pf_failed(struct hisi_vfio_device *hv)
{
	return hisi_qm_shut_down(hv->pf_qm);
}

/**
 * hv_pf_attach() - Find the PF of a VF and make the VF migratable
 * @hv: the VF's device, before it is registered
 * @pdev: the VF
 * @why: set to the reason if the VF cannot be migrated
 *
 * Whatever fails leaves a VF that can still be passed through.
 *
 * The PF's driver data stays valid until this driver's remove() returns: the PF driver removes its
 * VFs before it lets go of it (pci_iov_get_pf_drvdata()).
 *
 * Context: in probe of the VF.
 * Return: 0, or a negative errno.
 */
int hv_pf_attach(struct hisi_vfio_device *hv, struct pci_dev *pdev,
		 struct vfio_pci_mig_reason *why)
{
	struct pci_driver *driver;
	struct hisi_qm *pf_qm;
	int ret;

	*why = WHY("no-pf", "this is not a virtual function whose PF is in this system");
	if (!pdev->is_virtfn)
		return -ENODEV;

	*why = WHY("pf-driver", "its PF is not bound to the HiSilicon driver of its kind");
	driver = pf_driver_of(pdev);
	if (!driver)
		return -ENODEV;
	pf_qm = pci_iov_get_pf_drvdata(pdev, driver);
	if (IS_ERR_OR_NULL(pf_qm))
		return -ENODEV;

	*why = WHY("hardware", "its hardware is older than Kunpeng 930");
	if (pf_qm->ver < QM_HW_V3)
		return -ENODEV;

	*why = WHY("shared-group", "it is in the IOMMU group of its PF");
	if (same_iommu_group(&pdev->dev, &pf_qm->pdev->dev))
		return -ENODEV;

	*why = WHY("memory", "out of memory");
	hv->qm = kzalloc(sizeof(*hv->qm), GFP_KERNEL);
	if (!hv->qm)
		return -ENOMEM;
	mutex_init(&hv->qm->mailbox_lock);
	hv->qm->fun_type = QM_HW_VF;
	hv->qm->ver = pf_qm->ver;
	hv->qm->pdev = pdev;
	hv->pf_qm = pf_qm;
	hv->id.dev_id = pdev->device;

	*why = WHY("pf-resetting", "its PF was being reset; bind it again");
	ret = wait_while_resetting(hv, PF_PROBE_WAIT_MS) ?: hv_qm_init(hv, pdev, why);
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
