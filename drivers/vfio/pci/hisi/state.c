// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the arcs of a migration mean for this hardware.
 *
 * The state of a VF is in three places:
 *
 * - in guest memory: the queues themselves, and a table with the context of each queue (where its
 *   ring is, how far both sides are). Migrates with the guest's memory;
 * - in the function's cache: contexts of queues in use, newer than those in memory. Written back
 *   when the function is stopped;
 * - in registers: interrupt masks, contexts of the two event queues, addresses of the tables. These
 *   make the record that is saved.
 *
 * Jobs are never in the record. A paused function has finished all it had fetched, and the rest is
 * posted in memory, where the target finds it when it is restarted.
 *
 * Restarting makes a function fetch its contexts from memory, whatever it has cached. So they are
 * written back just before, also after a mere pause, during which doorbells may have come in. Only
 * after a load memory is right by itself, and the cache is empty.
 */
#include <linux/pci.h>
#include <linux/pm_runtime.h>

#include "hisi.h"

static void hv_drain_work(struct work_struct *work)
{
	struct hisi_vfio_device *hv = container_of(work, struct hisi_vfio_device, drain_work);

	/* After a reset there is nothing to pause; a function that runs must not be restarted. */
	if (vfio_pci_mig_resets(&hv->mdev) != hv->drain_resets)
		goto out;

	hv->drain_err = hv_qm_pause(hv);
	/* A reset that began meanwhile may have come before the pause. */
	hv->drain_overtaken = vfio_pci_mig_resets(&hv->mdev) != hv->drain_resets;
out:
	pm_runtime_put(&hv->qm->pdev->dev);
	complete_all(&hv->drained);
}

/* Whoever waits for the hardware can be killed; nothing is undone by that. */
static int await_drain(struct hisi_vfio_device *hv)
{
	return wait_for_completion_killable(&hv->drained) ? -EINTR : 0;
}

/**
 * hv_state_init() - Prepare a device for the callbacks of hv_mig_ops
 * @hv: a VF that is not registered yet
 */
void hv_state_init(struct hisi_vfio_device *hv)
{
	INIT_WORK(&hv->drain_work, hv_drain_work);
	init_completion(&hv->drained);
	complete_all(&hv->drained);
}

/* Returns whether a reset overtook the drain, so that the function may be paused. */
static bool hv_forget(struct hisi_vfio_device *hv)
{
	bool overtaken;

	flush_work(&hv->drain_work);
	/* A pause that was refused has stopped nothing. */
	overtaken = hv->drain_overtaken && (!hv->drain_err || hv->drain_err == -ETIMEDOUT);
	hv->drain_overtaken = false;
	hv->drain_err = 0;
	hv->used_at_drain = false;
	hv->loaded = false;
	hv->ready = false;
	return overtaken;
}

static void hv_mig_reset(struct vfio_pci_mig_device *mdev)
{
	struct hisi_vfio_device *hv = hisi_vfio_device(mdev);
	int ret;

	if (!hv_forget(hv))
		return;
	/* Nobody starts a function that is reported to run. */
	ret = hv_qm_run(hv);
	if (ret)
		vfio_pci_mig_broken(mdev, ret);
}

static int hv_mig_open(struct vfio_pci_mig_device *mdev)
{
	return hv_qm_map(hisi_vfio_device(mdev));
}

static void hv_mig_close(struct vfio_pci_mig_device *mdev)
{
	struct hisi_vfio_device *hv = hisi_vfio_device(mdev);

	hv_forget(hv);
	hv_qm_unmap(hv);
}

static int hv_mig_drain(struct vfio_pci_mig_device *mdev)
{
	struct hisi_vfio_device *hv = hisi_vfio_device(mdev);

	if (hv_pf_resetting(hv))
		return -EBUSY;

	/* A function that does not answer is found out by the pause. */
	if (hv_qm_read_ready(hv, &hv->used_at_drain))
		hv->used_at_drain = false;

	/* The arc's hold on the device's power ends before the work does. */
	pm_runtime_get_noresume(&hv->qm->pdev->dev);
	hv->drain_resets = vfio_pci_mig_resets(mdev);
	reinit_completion(&hv->drained);
	schedule_work(&hv->drain_work);
	return 0;
}

/*
 * The PF's reset is one of its VFs as well, but nobody tells their drivers. While it lasts nothing
 * is begun, and whatever was going on when it began has failed.
 */
static int pf_reset_meanwhile(struct hisi_vfio_device *hv, int ret)
{
	return hv_pf_resetting(hv) ? vfio_pci_mig_broken(&hv->mdev, -EBUSY) : ret;
}

/*
 * A whole reset of the PF may have passed since the function was stopped or loaded. A function that
 * was in use then and is not now was reset: the user cannot have said so himself, since the core
 * keeps him out.
 */
static int check_not_reset(struct hisi_vfio_device *hv)
{
	bool ready;
	int ret;

	if (hv_pf_resetting(hv))
		return -EBUSY;
	if (!hv->ready)
		return 0;
	ret = hv_qm_read_ready(hv, &ready);
	if (ret || ready)
		return ret;
	pci_info_ratelimited(hv->qm->pdev, "its state is lost: the PF was reset\n");
	return vfio_pci_mig_broken(&hv->mdev, -EIO);
}

static int hv_mig_stop(struct vfio_pci_mig_device *mdev)
{
	struct hisi_vfio_device *hv = hisi_vfio_device(mdev);
	int ret;

	if (hv_pf_resetting(hv))
		return -EBUSY;

	ret = await_drain(hv);
	if (ret)
		return ret;
	/* It has been reported that DMA stops. If it does not, no state fits the function. */
	if (hv->drain_err)
		return vfio_pci_mig_broken(mdev, hv->drain_err);

	/* Messages are between the guest and this host; the target's PF has none to answer. */
	if (!hv_qm_messages_answered(hv))
		pci_info_ratelimited(hv->qm->pdev,
				     "stopped with a message between PF and VF unanswered\n");

	ret = hv_qm_read_ready(hv, &hv->ready);
	if (ret)
		return vfio_pci_mig_broken(mdev, ret);
	if (hv->used_at_drain && !hv->ready) {
		/* Or the user, who may until now, gave it up: nothing is to be stopped. */
		pci_info_ratelimited(hv->qm->pdev, "not stopped: it was reset since it was drained\n");
		hv->used_at_drain = false;
		return -EIO;
	}

	ret = hv->loaded ? 0 : hv_qm_writeback(hv);
	return pf_reset_meanwhile(hv, ret);
}

static int hv_mig_start(struct vfio_pci_mig_device *mdev)
{
	struct hisi_vfio_device *hv = hisi_vfio_device(mdev);
	int ret;

	ret = await_drain(hv);
	if (ret)
		return ret;
	if (hv->drain_err == -ETIMEDOUT)
		return vfio_pci_mig_broken(mdev, hv->drain_err);
	if (hv->drain_err) {
		/* The pause was refused: the function has never stopped. */
		hv->drain_err = 0;
		return 0;
	}

	ret = check_not_reset(hv);
	if (ret)
		return ret;
	if (hv->loaded) {
		hv_qm_restart(hv, hv->eq_head, hv->aeq_head);
	} else {
		ret = hv_qm_run(hv);
		if (ret)
			return vfio_pci_mig_broken(mdev, ret);
	}
	hv->loaded = false;
	hv->ready = false;
	return pf_reset_meanwhile(hv, 0);
}

static ssize_t hv_mig_precopy(struct vfio_pci_mig_device *mdev, void *buf)
{
	hisi_wire_fill_match(buf, &hisi_vfio_device(mdev)->id, true);
	return HISI_ACC_MIG_MATCH_SIZE;
}

/* A state part of zeros says that no guest driver used the VF. */
static void clear_state(struct hisi_acc_mig_record *rec)
{
	memset((void *)rec + HISI_ACC_MIG_MATCH_SIZE, 0,
	       HISI_ACC_MIG_RECORD_SIZE - HISI_ACC_MIG_MATCH_SIZE);
}

static ssize_t hv_mig_save(struct vfio_pci_mig_device *mdev, void *buf, size_t done)
{
	struct hisi_vfio_device *hv = hisi_vfio_device(mdev);
	struct hisi_acc_mig_record *rec = buf;
	bool ready = hv->ready, complete = false;
	const char *why;
	int ret;

	ret = check_not_reset(hv);
	if (ret)
		return ret;

	memset(buf + HISI_ACC_MIG_MATCH_SIZE, 0,
	       HISI_ACC_MIG_RECORD_SIZE - HISI_ACC_MIG_MATCH_SIZE);
	if (!done)
		hisi_wire_fill_match(rec, &hv->id, ready);

	if (ready) {
		ret = hv_qm_save(hv, rec);
		if (ret)
			return ret;
		/*
		 * A guest that says it is ready before it has set up its queues must not be able to
		 * make a record that every target refuses.
		 */
		ret = hisi_wire_check_state(rec, &complete, &why);
		if (ret || !complete) {
			pci_info_ratelimited(hv->qm->pdev, "saved as unused: %s\n",
					     why ?: "the guest has not set up its queues");
			clear_state(rec);
		}
	}
	return pf_reset_meanwhile(hv, 0) ?: HISI_ACC_MIG_RECORD_SIZE;
}

/* Says why a stream is refused: the VMM that wrote it shows no more than an errno. */
static int refuse(struct hisi_vfio_device *hv, int err, const char *why)
{
	pci_info_ratelimited(hv->qm->pdev, "saved state refused: %s\n", why);
	return err;
}

static ssize_t load_match(struct hisi_vfio_device *hv, const struct hisi_acc_mig_record *rec,
			  bool *complete)
{
	const char *why;
	bool in_use;
	int ret;

	ret = hisi_wire_check_match(rec, &hv->id, &why);
	if (ret)
		return refuse(hv, ret, why);

	if (hisi_wire_may_end_at_match(rec)) {
		ret = hv_qm_read_ready(hv, &in_use);
		if (ret)
			return ret;
		*complete = !in_use;
		hv->ready = in_use;
	}
	return HISI_ACC_MIG_RECORD_SIZE;
}

static ssize_t load_state(struct hisi_vfio_device *hv, const struct hisi_acc_mig_record *rec,
			  bool *complete)
{
	const char *why;
	bool ready, in_use;
	int ret;

	ret = hisi_wire_check_state(rec, &ready, &why);
	if (ret)
		return refuse(hv, ret, why);
	if (hv_pf_resetting(hv))
		return refuse(hv, -EBUSY, "the PF is being reset");

	if (ready) {
		ret = hv_qm_load(hv, rec);
		if (ret)
			return vfio_pci_mig_broken(&hv->mdev, ret);
		hv->eq_head = lower_16_bits(le32_to_cpu(rec->eqc[0]));
		hv->aeq_head = lower_16_bits(le32_to_cpu(rec->aeqc[0]));
	} else {
		/* There is nothing to load, and no way but a reset to be rid of what is there. */
		ret = hv_qm_read_ready(hv, &in_use);
		if (ret)
			return ret;
		if (in_use)
			return refuse(hv, -EBUSY, "the VF has to be reset first");
	}
	hv->ready = ready;
	hv->loaded = ready;
	*complete = true;
	return pf_reset_meanwhile(hv, 0) ?: HISI_ACC_MIG_RECORD_SIZE;
}

static ssize_t hv_mig_load(struct vfio_pci_mig_device *mdev, const void *buf, size_t len,
			   bool *complete)
{
	struct hisi_vfio_device *hv = hisi_vfio_device(mdev);

	switch (len) {
	case 0:
		return HISI_ACC_MIG_MATCH_SIZE;
	case HISI_ACC_MIG_MATCH_SIZE:
		return load_match(hv, buf, complete);
	default:
		return load_state(hv, buf, complete);
	}
}

/* The guest's memory has arrived meanwhile, which may have taken minutes. */
static int hv_mig_load_end(struct vfio_pci_mig_device *mdev)
{
	return check_not_reset(hisi_vfio_device(mdev));
}

const struct vfio_pci_mig_ops hv_mig_ops = {
	.open = hv_mig_open,
	.close = hv_mig_close,
	.reset = hv_mig_reset,
	.drain = hv_mig_drain,
	.stop = hv_mig_stop,
	.start = hv_mig_start,
	.precopy = hv_mig_precopy,
	.save = hv_mig_save,
	.load = hv_mig_load,
	.load_end = hv_mig_load_end,
	.stream_size = HISI_ACC_MIG_RECORD_SIZE,
};
