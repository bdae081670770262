// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every access to a register of the hardware.
 *
 * A VF's registers that migration needs are those that its guest uses too (masks, doorbells,
 * mailbox) and the contexts of its two event queues, which only the host may touch. Up to
 * Kunpeng 930 all of them are in the VF's BAR, the contexts in the upper half, which is hidden from
 * the user. Later ones have them in a window of 8 KiB for each VF in the PF's BAR. What is read of
 * them comes from the user, directly or not, and is stored or passed on, never used.
 *
 * Offsets and fields: drivers/crypto/hisilicon/qm.c and drivers/vfio/pci/hisilicon of the kernel.
 */
#include <linux/bitfield.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/iopoll.h>
#include <linux/ktime.h>
#include <linux/pci.h>

#include "hisi.h"
#include "../core/compat.h"

/* Registers of a function, in its BAR and in its window in the PF's BAR. */
#define QM_AEQ_MASK		0x04
#define QM_EQ_MASK		0x0c
#define QM_IFC_SOURCE		0x20
#define QM_IFC_MASK		0x24
#define   QM_IFC_MASKED		BIT(0)
#define QM_IFC_SET		0x2c
#define QM_ISOLATION		0x30
#define QM_PAGE_SIZE		0x34
#define QM_STATE		0x60
#define   QM_STATE_NOT_READY	BIT(0)
#define QM_WB_START		0x204
#define QM_WB_DONE		0x208

/* Registers of the PF. */
#define QM_PF_MIG_REGION	0x100198
#define   QM_PF_MIG_REGION_EN	BIT(0)
#define QM_PF_WINDOWS		0x180000
#define QM_PF_WINDOW_SIZE	0x2000

#define QM_MB_PAUSE		0x0e
#define QM_MB_STATUS		GENMASK(12, 9)
#define QM_MB_BUSY		BIT(QM_MB_BUSY_SHIFT)

/* Result of the mailbox command that reads a function's entry of the queue table. */
#define QM_VFT_BASE		GENMASK_ULL(43, 28)
#define QM_VFT_NUM		GENMASK_ULL(54, 45)

#define QM_DB_QUEUE		GENMASK_ULL(11, 0)
#define QM_DB_COMMAND		GENMASK_ULL(15, 12)
#define QM_DB_INDEX		GENMASK_ULL(47, 32)
#define QM_DB_PRIORITY		GENMASK_ULL(63, 48)
/* Have the function fetch the queue's contexts from memory and go on; the index has no meaning. */
#define   QM_DB_RESTART		1

#define EQC_SIZE		(HISI_ACC_MIG_EQC_WORDS * sizeof(u32))

/* The hardware answers within microseconds; a function that is gone never does. */
#define QM_POLL_US		10
#define QM_WB_TIMEOUT_US	(100 * USEC_PER_MSEC)
#define QM_MESSAGE_TIMEOUT_US	(10 * USEC_PER_MSEC)
/*
 * A pause is answered once all fetched jobs are done, and so is a command of the guest's that may
 * be in its way. Linux 7.3 waits as long for any command.
 */
#define QM_PAUSE_TIMEOUT_US	USEC_PER_SEC

static const struct hv_qm_layout hv_qm_layout_vf = {
	.name = "vf",
	.text = "the VF's own BAR",
	.eqc = 0x8000,
	.aeqc = 0x8020,
};

static const struct hv_qm_layout hv_qm_layout_pf = {
	.name = "pf",
	.text = "a window of the PF's BAR",
	.eqc = 0x1c00,
	.aeqc = 0x1c20,
};

/* The single registers of a record. Those that report something are not loaded. */
static const struct {
	u32 reg;
	u32 field;
	bool load;
} saved_regs[] = {
#define SAVED(reg, field, load) { reg, offsetof(struct hisi_acc_mig_record, field), load }
	SAVED(QM_AEQ_MASK, aeq_mask, true),
	SAVED(QM_EQ_MASK, eq_mask, true),
	SAVED(QM_IFC_SOURCE, ifc_source, false),
	SAVED(QM_IFC_MASK, ifc_mask, false),	/* loaded by itself, see hv_qm_load() */
	SAVED(QM_IFC_SET, ifc_set, false),
	SAVED(QM_PAGE_SIZE, page_size, true),
#undef SAVED
};

static u32 qm_read(struct hisi_vfio_device *hv, u32 reg)
{
	return readl(hv->qm->io_base + reg);
}

/*
 * A removed function reads as all ones, but a guest can write all ones too. QM_WB_DONE is
 * hardware-owned, so test that.
 */
static bool qm_gone(struct hisi_vfio_device *hv)
{
	return PCI_POSSIBLE_ERROR(qm_read(hv, QM_WB_DONE));
}

static void qm_write(struct hisi_vfio_device *hv, u32 reg, u32 val)
{
	writel(val, hv->qm->io_base + reg);
}

static void qm_doorbell(void __iomem *addr, u8 cmd, u16 queue, u16 index, u16 priority)
{
	writeq(FIELD_PREP(QM_DB_QUEUE, queue) | FIELD_PREP(QM_DB_COMMAND, cmd) |
	       FIELD_PREP(QM_DB_INDEX, index) | FIELD_PREP(QM_DB_PRIORITY, priority), addr);
}

/* Choose where the controls are, and make sure that they are there and nowhere else. */
static int choose_layout(struct hisi_vfio_device *hv, struct pci_dev *pdev,
			 struct vfio_pci_mig_reason *why)
{
	resource_size_t pf_len = pci_resource_len(hv->pf_qm->pdev, HISI_BAR);
	resource_size_t vf_len = pci_resource_len(pdev, HISI_BAR);
	u64 window;

	*why = WHY("bar", "the BAR of its registers is too small");
	if (vf_len < QM_DOORBELL_EQ_AEQ_BASE_V2 + sizeof(u64) ||
	    pf_len < QM_PF_MIG_REGION + sizeof(u32))
		return -ENODEV;

	if (hv->pf_qm->ver == QM_HW_V3 ||
	    !(readl(hv->pf_qm->io_base + QM_PF_MIG_REGION) & QM_PF_MIG_REGION_EN)) {
		hv->layout = &hv_qm_layout_vf;
		hv->mdev.bar_visible[HISI_BAR] = vf_len / 2;
		if (hv->layout->eqc < vf_len / 2 || hv->layout->aeqc + EQC_SIZE > vf_len)
			return -ENODEV;
		return 0;
	}

	*why = WHY("pf-window", "its window in the BAR of its PF is missing");
	hv->layout = &hv_qm_layout_pf;
	static_assert(0x1c20 + EQC_SIZE <= QM_PF_WINDOW_SIZE);
	/* Windows are counted by function, and the PF is function 0. */
	window = QM_PF_WINDOWS + (u64)(pci_iov_vf_id(pdev) + 1) * QM_PF_WINDOW_SIZE;
	if (window + QM_PF_WINDOW_SIZE > pf_len)
		return -ENODEV;
	hv->qm->io_base = hv->pf_qm->io_base + window;
	return 0;
}

/*
 * The PF tells each function its queues in a table. The PF's own access to that table goes through
 * registers that it shares with nobody; a function may ask for its own entry by mailbox, and now,
 * before it has a user, nobody else uses that.
 */
static int read_queue_table(struct hisi_vfio_device *hv, struct vfio_pci_mig_reason *why)
{
	u64 entry;
	int ret;

	*why = WHY("queue-table", "its entry of the queue table cannot be read");
	ret = hisi_qm_mb_read(hv->qm, &entry, QM_MB_CMD_SQC_VFT_V2, 0);
	if (ret)
		return ret;

	hv->id.qp_base = FIELD_GET(QM_VFT_BASE, entry);
	hv->id.qp_num = FIELD_GET(QM_VFT_NUM, entry) + 1;

	*why = WHY("no-queues", "it has no queues of its own");
	if (hv->id.qp_base < hv->pf_qm->qp_num ||
	    hv->id.qp_base + hv->id.qp_num > hv->pf_qm->ctrl_qp_num)
		return -ENODEV;
	return 0;
}

/**
 * hv_qm_init() - Learn all that can be learned before the VF has a user
 * @hv: the VF's device, with its PF
 * @pdev: the VF
 * @why: set to the reason if the VF cannot be migrated
 *
 * Context: in probe of the VF.
 * Return: 0, or a negative errno.
 */
int hv_qm_init(struct hisi_vfio_device *hv, struct pci_dev *pdev, struct vfio_pci_mig_reason *why)
{
	void __iomem *vf_bar;
	int ret;

	ret = choose_layout(hv, pdev, why);
	if (ret)
		return ret;

	vf_bar = pci_iomap(pdev, HISI_BAR, 0);
	*why = WHY("bar-mapping", "its registers cannot be mapped");
	if (!vf_bar)
		return -ENOMEM;
	if (hv->layout == &hv_qm_layout_vf)
		hv->qm->io_base = vf_bar;

	hv->id.isolation = readl(hv->pf_qm->io_base + QM_ISOLATION);
	ret = read_queue_table(hv, why);

	pci_iounmap(pdev, vf_bar);
	return ret;
}

/**
 * hv_qm_map() - Map the registers of a VF that is open
 * @hv: a migratable VF
 *
 * Return: 0 or a negative errno.
 */
int hv_qm_map(struct hisi_vfio_device *hv)
{
	void __iomem *vf_bar = vfio_pci_mig_iomap(&hv->mdev.core, HISI_BAR);

	if (IS_ERR(vf_bar))
		return PTR_ERR(vf_bar);

	hv->vf_bar = vf_bar;
	if (hv->layout == &hv_qm_layout_vf)
		hv->qm->io_base = vf_bar;
	return 0;
}

/**
 * hv_qm_unmap() - Inverse of hv_qm_map(); vfio-pci owns the mapping
 * @hv: a migratable VF
 */
void hv_qm_unmap(struct hisi_vfio_device *hv)
{
	hv->vf_bar = NULL;
	if (hv->layout == &hv_qm_layout_vf)
		hv->qm->io_base = NULL;
}

/**
 * hv_qm_read_ready() - Does a guest driver use the function?
 * @hv: an open VF
 * @ready: set to the answer
 *
 * Return: 0, or -EIO if the function does not answer.
 */
int hv_qm_read_ready(struct hisi_vfio_device *hv, bool *ready)
{
	u32 val = qm_read(hv, QM_STATE);

	if (PCI_POSSIBLE_ERROR(val) && qm_gone(hv))
		return -EIO;
	*ready = !(val & QM_STATE_NOT_READY);
	return 0;
}

/**
 * hv_qm_read_has_eq() - Does the function have an event queue?
 * @hv: an open VF
 * @has_eq: set to the answer, see hisi_wire_has_eq()
 *
 * Return: 0, or -EIO if the function does not answer.
 */
int hv_qm_read_has_eq(struct hisi_vfio_device *hv, bool *has_eq)
{
	u32 val = qm_read(hv, hv->layout->eqc + HISI_WIRE_EQC_SIZE_WORD * sizeof(u32));

	if (PCI_POSSIBLE_ERROR(val) && qm_gone(hv))
		return -EIO;
	*has_eq = hisi_wire_eqc_in_use(val);
	return 0;
}

/* Until the mailbox is free, with what is left of the time until @deadline */
static int await_mailbox(struct hisi_vfio_device *hv, ktime_t deadline, u32 *mb)
{
	return read_poll_timeout(qm_read, *mb, !(*mb & QM_MB_BUSY), QM_POLL_US,
				 max(ktime_us_delta(deadline, ktime_get()), 1), false,
				 hv, QM_MB_CMD_SEND_BASE);
}

/**
 * hv_qm_pause() - Stop the function's DMA
 * @hv: an open VF
 *
 * Returns when DMA has stopped, after a second at most.
 *
 * Return: 0; -EBUSY or -EIO if the command was not taken, so that the function runs on; -ETIMEDOUT
 * if it is not known whether the function runs.
 */
int hv_qm_pause(struct hisi_vfio_device *hv)
{
	ktime_t deadline = ktime_add_us(ktime_get(), QM_PAUSE_TIMEOUT_US);
	u32 mb;
	int ret;

	/* Tells a mailbox that the guest keeps busy from a command that is not answered. */
	if (await_mailbox(hv, deadline, &mb))
		return qm_gone(hv) ? -EIO : -EBUSY;

	ret = hisi_qm_mb(hv->qm, QM_MB_PAUSE, 0, 0, 0);
	if (ret != -ETIMEDOUT)
		return ret;

	/* Linux 6.12 says so after 1 ms, when a function that is busy has just begun. */
	ret = await_mailbox(hv, deadline, &mb);
	if (ret)
		return ret;
	return FIELD_GET(QM_MB_STATUS, mb) ? -EIO : 0;
}

/**
 * hv_qm_message_taken() - Wait until the PF has taken the function's message
 * @hv: a paused VF
 *
 * One in the other direction is not waited for: its user, who would take it, is kept out.
 *
 * Return: whether there is none, or none any more.
 */
bool hv_qm_message_taken(struct hisi_vfio_device *hv)
{
	u32 set;

	return !read_poll_timeout(qm_read, set, !set, QM_POLL_US, QM_MESSAGE_TIMEOUT_US,
				  false, hv, QM_IFC_SET);
}

/**
 * hv_qm_writeback() - Bring the queue contexts in memory up to date with those in the function
 * @hv: a paused VF
 *
 * Return: 0, -ETIMEDOUT, or -EIO if the function does not answer any more.
 */
int hv_qm_writeback(struct hisi_vfio_device *hv)
{
	u32 done;
	int ret;

	qm_write(hv, QM_WB_START, 1);
	ret = read_poll_timeout(qm_read, done, done & 1, QM_POLL_US, QM_WB_TIMEOUT_US, false,
				hv, QM_WB_DONE);
	return PCI_POSSIBLE_ERROR(done) ? -EIO : ret;
}

/* Where the function's tables of queue contexts are; 0 if it was not told. */
static int read_tables(struct hisi_vfio_device *hv, u64 *sqc_addr, u64 *cqc_addr)
{
	return hisi_qm_mb_read(hv->qm, sqc_addr, QM_MB_CMD_SQC_BT, 0) ?:
	       hisi_qm_mb_read(hv->qm, cqc_addr, QM_MB_CMD_CQC_BT, 0);
}

/**
 * hv_qm_save() - Read the state of the function
 * @hv: a stopped VF that is ready
 * @rec: where the state part goes
 *
 * Changes nothing in the function. The event queue's context is read last: if it is still there, no
 * reset has cleared what was read before.
 *
 * Return: 0 or a negative errno.
 */
int hv_qm_save(struct hisi_vfio_device *hv, struct hisi_acc_mig_record *rec)
{
	u64 sqc_addr, cqc_addr;
	unsigned int i;
	int ret;

	ret = read_tables(hv, &sqc_addr, &cqc_addr);
	if (ret)
		return ret;

	for (i = 0; i < ARRAY_SIZE(saved_regs); i++)
		*(__le32 *)((void *)rec + saved_regs[i].field) =
			cpu_to_le32(qm_read(hv, saved_regs[i].reg));

	for (i = 0; i < HISI_ACC_MIG_EQC_WORDS; i++)
		rec->aeqc[i] = cpu_to_le32(qm_read(hv, hv->layout->aeqc + i * sizeof(u32)));
	for (i = 0; i < HISI_ACC_MIG_EQC_WORDS; i++)
		rec->eqc[i] = cpu_to_le32(qm_read(hv, hv->layout->eqc + i * sizeof(u32)));
	if (PCI_POSSIBLE_ERROR(le32_to_cpu(rec->eqc[4])) && qm_gone(hv))
		return -EIO;

	hisi_wire_fill_addrs(rec, sqc_addr, cqc_addr);
	return 0;
}

/**
 * hv_qm_load() - Write the state of a function
 * @hv: a stopped VF
 * @rec: a complete record that was accepted, of a VF that was ready
 *
 * Reads no memory of the guest, which may not have arrived yet: the queues' contexts are fetched
 * when they are restarted.
 *
 * Return: 0, or a negative errno: then part of the state may have been written.
 */
int hv_qm_load(struct hisi_vfio_device *hv, const struct hisi_acc_mig_record *rec)
{
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(saved_regs); i++)
		if (saved_regs[i].load)
			qm_write(hv, saved_regs[i].reg,
				 le32_to_cpup((const void *)rec + saved_regs[i].field));
	qm_write(hv, QM_ISOLATION, hv->id.isolation);

	/* In ascending order: the last word of a context makes the function take it over. */
	for (i = 0; i < HISI_ACC_MIG_EQC_WORDS; i++)
		qm_write(hv, hv->layout->eqc + i * sizeof(u32), le32_to_cpu(rec->eqc[i]));
	for (i = 0; i < HISI_ACC_MIG_EQC_WORDS; i++)
		qm_write(hv, hv->layout->aeqc + i * sizeof(u32), le32_to_cpu(rec->aeqc[i]));

	ret = hisi_qm_mb(hv->qm, QM_MB_CMD_SQC_BT, le64_to_cpu(rec->sqc_addr), 0, 0) ?:
	      hisi_qm_mb(hv->qm, QM_MB_CMD_CQC_BT, le64_to_cpu(rec->cqc_addr), 0, 0);
	if (ret)
		return ret;

	/* A message that the PF left on this function was not for the guest that arrives. */
	qm_write(hv, QM_IFC_SOURCE, 1);
	/*
	 * Unmasking messages makes a paused function go on with the contexts that it has cached. It
	 * has none any more, now that it was told other tables.
	 */
	qm_write(hv, QM_IFC_MASK, le32_to_cpu(rec->ifc_mask));
	/* Last: from here on the function counts as one with a guest driver. */
	qm_write(hv, QM_STATE, 0);
	return 0;
}

/**
 * hv_qm_restart() - Let every queue of a paused function go on
 * @hv: a paused VF whose queue contexts in memory are up to date
 * @eq_head: consumer index of the event queue
 * @aeq_head: consumer index of the asynchronous event queue
 *
 * The doorbells of the event queues tell the function nothing new, but make it raise the interrupt
 * again for events that nobody has seen: the one that announced them may have been lost between
 * two hosts. They are rung in the VF's BAR also if the controls are in the PF's, where that offset
 * is the first one of the next VF's window.
 */
void hv_qm_restart(struct hisi_vfio_device *hv, u16 eq_head, u16 aeq_head)
{
	void __iomem *sq_db = hv->qm->io_base + QM_DOORBELL_SQ_CQ_BASE_V2;
	void __iomem *eq_db = hv->vf_bar + QM_DOORBELL_EQ_AEQ_BASE_V2;
	u32 queue;

	for (queue = 0; queue < hv->id.qp_num; queue++)
		qm_doorbell(sq_db, QM_DOORBELL_CMD_SQ, queue, 0, QM_DB_RESTART);

	qm_doorbell(eq_db, QM_DOORBELL_CMD_AEQ, 0, aeq_head, 0);
	qm_doorbell(eq_db, QM_DOORBELL_CMD_EQ, 0, eq_head, 0);
}

/**
 * hv_qm_run() - Let a paused function go on from what it has cached
 * @hv: a paused VF, which was not loaded since
 *
 * A restarted function fetches its contexts from memory, so only one whose guest driver is there is
 * restarted: a driver that was unloaded leaves the addresses of its tables behind, and that memory
 * may be anything by now. Nor is one without tables. The others are made to go on by unmasking
 * messages, and keep what they have cached.
 *
 * Return: 0, or a negative errno: then the function may be paused or running.
 */
int hv_qm_run(struct hisi_vfio_device *hv)
{
	u32 mask = qm_read(hv, QM_IFC_MASK);
	u64 sqc_addr = 0, cqc_addr = 0;
	u16 eq_head, aeq_head;
	bool ready;
	int ret;

	if (PCI_POSSIBLE_ERROR(mask) && qm_gone(hv))
		return -EIO;

	ret = hv_qm_read_ready(hv, &ready);
	if (!ret && ready)
		ret = read_tables(hv, &sqc_addr, &cqc_addr);
	if (ret)
		return ret;
	if (!sqc_addr || !cqc_addr) {
		qm_write(hv, QM_IFC_MASK, mask & ~QM_IFC_MASKED);
		if (mask & QM_IFC_MASKED)
			qm_write(hv, QM_IFC_MASK, mask);
		return 0;
	}

	ret = hv_qm_writeback(hv);
	if (ret)
		return ret;
	eq_head = lower_16_bits(qm_read(hv, hv->layout->eqc));
	aeq_head = lower_16_bits(qm_read(hv, hv->layout->aeqc));
	hv_qm_restart(hv, eq_head, aeq_head);
	return 0;
}
