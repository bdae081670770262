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
 *
 * A reset of the PF is one of its VFs as well, but nobody tells their drivers. It is found out by
 * the context of the event queue, which a reset clears and nothing else while the user is kept out.
 */
#include <linux/pci.h>

#include "hisi.h"

static void hv_forget(struct hisi_vfio_device *hv)
{
	vfio_pci_mig_assert_locked(&hv->mdev);

	hv->has_eq = false;
	hv->loaded = false;
	hv->ready = false;
}

static void hv_mig_reset(struct vfio_pci_mig_device *mdev)
{
	hv_forget(hisi_vfio_device(mdev));
}

static bool hv_mig_reset_blocked(struct vfio_pci_mig_device *mdev)
{
	return hv_pf_resetting(hisi_vfio_device(mdev));
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

/* If the pause is not answered it is not known whether the function runs. */
static int hv_pause(struct hisi_vfio_device *hv)
{
	int ret;

	ret = hv_pf_wait(hv);
	if (ret)
		return ret;
	ret = hv_qm_pause(hv);
	return ret == -ETIMEDOUT ? vfio_pci_mig_broken(&hv->mdev, ret) : ret;
}

static int hv_mig_drain(struct vfio_pci_mig_device *mdev)
{
	struct hisi_vfio_device *hv = hisi_vfio_device(mdev);
	int ret;

	ret = hv_pause(hv);
	if (ret)
		return ret;
	/* The function is paused by now, so this must not fail; stop() finds out what is wrong. */
	if (hv_qm_read_has_eq(hv, &hv->has_eq))
		hv->has_eq = false;
	return 0;
}

static int hv_state_lost(struct hisi_vfio_device *hv)
{
	pci_info_ratelimited(hv->qm->pdev, "its state is lost: the PF was reset\n");
	return vfio_pci_mig_broken(&hv->mdev, -EIO);
}

static int hv_mig_check(struct vfio_pci_mig_device *mdev)
{
	struct hisi_vfio_device *hv = hisi_vfio_device(mdev);
	bool has_eq;
	int ret;

	ret = hv_pf_wait(hv);
	if (ret)
		return ret;
	ret = hv_qm_read_has_eq(hv, &has_eq);
	if (ret || has_eq == hv->has_eq)
		return ret;
	return hv_state_lost(hv);
}

static int hv_mig_stop(struct vfio_pci_mig_device *mdev)
{
	struct hisi_vfio_device *hv = hisi_vfio_device(mdev);
	bool was_in_use = hv->has_eq;
	int ret;

	/* The user could make the function go on until now. */
	ret = hv_pause(hv);
	if (ret)
		return ret;
	if (hv_pf_failed(hv)) {
		pci_info_ratelimited(hv->qm->pdev, "not stopped: an error has stopped the hardware\n");
		return -EIO;
	}

	/* The target's PF would know nothing of it. */
	if (!hv_qm_message_taken(hv))
		pci_info_ratelimited(hv->qm->pdev,
				     "stopped with a message to the PF not taken\n");

	ret = hv_qm_read_has_eq(hv, &hv->has_eq);
	if (ret)
		return vfio_pci_mig_broken(mdev, ret);
	if (was_in_use && !hv->has_eq) {
		/* Or the user, who may until now, gave it up. Once is enough to say so. */
		pci_info_ratelimited(hv->qm->pdev, "not stopped: it was reset since it was drained\n");
		return -EIO;
	}

	/* Without one it is not in use, whatever its guest says, and has nothing to bring along. */
	hv->ready = false;
	if (!hv->has_eq)
		return 0;
	ret = hv_qm_read_ready(hv, &hv->ready);
	if (ret)
		return vfio_pci_mig_broken(mdev, ret);
	return hv->loaded ? 0 : hv_qm_writeback(hv);
}

static int hv_mig_start(struct vfio_pci_mig_device *mdev)
{
	struct hisi_vfio_device *hv = hisi_vfio_device(mdev);
	int ret;

	ret = hv_pf_wait(hv);
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
	return 0;
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

	memset(buf + HISI_ACC_MIG_MATCH_SIZE, 0,
	       HISI_ACC_MIG_RECORD_SIZE - HISI_ACC_MIG_MATCH_SIZE);
	if (!done)
		hisi_wire_fill_match(rec, &hv->id, ready);

	if (ready) {
		ret = hv_qm_save(hv, rec);
		if (ret)
			return ret;
		if (!hisi_wire_has_eq(rec))
			return hv_state_lost(hv);
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
	return HISI_ACC_MIG_RECORD_SIZE;
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
	ret = hv_pf_wait(hv);
	if (ret)
		return refuse(hv, ret, "the PF is being reset");

	if (ready) {
		ret = hv_qm_load(hv, rec);
		if (ret)
			return vfio_pci_mig_broken(&hv->mdev, ret);
		/* A reset of the PF in between is found by the check that follows the last byte. */
		hv->has_eq = hisi_wire_has_eq(rec);
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
	return HISI_ACC_MIG_RECORD_SIZE;
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

const struct vfio_pci_mig_ops hv_mig_ops = {
	.open = hv_mig_open,
	.close = hv_mig_close,
	.reset = hv_mig_reset,
	.reset_blocked = hv_mig_reset_blocked,
	.drain = hv_mig_drain,
	.stop = hv_mig_stop,
	.start = hv_mig_start,
	.check = hv_mig_check,
	.precopy = hv_mig_precopy,
	.save = hv_mig_save,
	.load = hv_mig_load,
	.stream_size = HISI_ACC_MIG_RECORD_SIZE,
};
