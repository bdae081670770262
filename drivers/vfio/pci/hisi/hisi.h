/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the HiSilicon back end share.
 *
 *	main.c	VFIO and PCI glue
 *	state.c	what the core's arcs mean for this hardware
 *	pf.c	the physical function: may this VF be migrated, and where are its controls
 *	qm.c	every access to a register
 *	wire.c	the wire format, free of kernel and hardware
 */
#ifndef HISI_VFIO_PCI_H
#define HISI_VFIO_PCI_H

#include <linux/hisi_acc_qm.h>
#include <linux/vfio_pci_mig.h>

#include "wire.h"

/* The BAR with all registers, of a PF and of a VF. */
#define HISI_BAR	2

/**
 * struct hv_qm_layout - Where the migration controls of a VF are
 * @name: for programs
 * @text: for messages
 * @eqc: offset of the seven words of the event queue context from the base of the controls
 * @aeqc: offset of the seven words of the asynchronous event queue context, the last register
 */
struct hv_qm_layout {
	const char *name;
	const char *text;
	u32 eqc;
	u32 aeqc;
};

/**
 * struct hisi_vfio_device - A VF
 * @mdev: the migratable device; must come first
 * @qm: what the exported functions of hisi_qm want to know of a function. Only the members that
 *	they use for a mailbox command are set. NULL if the VF cannot be migrated
 * @pf_qm: the PF, valid while this driver is bound to the VF
 * @layout: where the controls are, from the base that @qm->io_base holds
 * @vf_bar: the VF's own registers, while the device is open
 * @id: what the hardware said of this VF at probe
 * @has_eq: the function had an event queue when it was drained, stopped or loaded
 * @loaded: the function's contexts are in guest memory alone, since a load
 * @ready: a guest driver was using the function when it was stopped
 * @eq_head: consumer index of the event queue that was loaded
 * @aeq_head: consumer index of the asynchronous event queue that was loaded
 *
 * The members from @has_eq on are protected by the core's state mutex.
 */
struct hisi_vfio_device {
	struct vfio_pci_mig_device mdev;
	struct hisi_qm *qm;
	struct hisi_qm *pf_qm;
	const struct hv_qm_layout *layout;
	void __iomem *vf_bar;
	struct hisi_wire_ident id;

	bool has_eq;
	bool loaded;
	bool ready;
	u16 eq_head;
	u16 aeq_head;
};

static inline struct hisi_vfio_device *hisi_vfio_device(struct vfio_pci_mig_device *mdev)
{
	return container_of(mdev, struct hisi_vfio_device, mdev);
}

#define WHY(name, text)	((struct vfio_pci_mig_reason) { name, text })

/* state.c */
extern const struct vfio_pci_mig_ops hv_mig_ops;

/* pf.c */
int hv_pf_attach(struct hisi_vfio_device *hv, struct pci_dev *pdev,
		 struct vfio_pci_mig_reason *why);
void hv_pf_detach(struct hisi_vfio_device *hv);
bool hv_pf_resetting(struct hisi_vfio_device *hv);
int hv_pf_wait(struct hisi_vfio_device *hv);
bool hv_pf_failed(struct hisi_vfio_device *hv);

/* qm.c */
int hv_qm_init(struct hisi_vfio_device *hv, struct pci_dev *pdev, struct vfio_pci_mig_reason *why);
int hv_qm_map(struct hisi_vfio_device *hv);
void hv_qm_unmap(struct hisi_vfio_device *hv);
int hv_qm_read_ready(struct hisi_vfio_device *hv, bool *ready);
int hv_qm_read_has_eq(struct hisi_vfio_device *hv, bool *has_eq);
int hv_qm_pause(struct hisi_vfio_device *hv);
int hv_qm_run(struct hisi_vfio_device *hv);
bool hv_qm_message_taken(struct hisi_vfio_device *hv);
int hv_qm_writeback(struct hisi_vfio_device *hv);
int hv_qm_save(struct hisi_vfio_device *hv, struct hisi_acc_mig_record *rec);
int hv_qm_load(struct hisi_vfio_device *hv, const struct hisi_acc_mig_record *rec);
void hv_qm_restart(struct hisi_vfio_device *hv, u16 eq_head, u16 aeq_head);

#endif
