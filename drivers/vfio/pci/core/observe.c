// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an administrator sees of a device: attributes in sysfs, statistics in debugfs.
 *
 * Nothing here takes the state mutex or touches the device, so that looking never disturbs a guest
 * and never waits for an arc. Documentation/ABI describes all files.
 */
#include <kunit/visibility.h>
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/export.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/sysfs.h>

#include "internal.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

const char *const vfio_pci_mig_state_names[VFIO_DEVICE_STATE_NR] = {
	[VFIO_DEVICE_STATE_ERROR] = "ERROR",
	[VFIO_DEVICE_STATE_STOP] = "STOP",
	[VFIO_DEVICE_STATE_RUNNING] = "RUNNING",
	[VFIO_DEVICE_STATE_STOP_COPY] = "STOP_COPY",
	[VFIO_DEVICE_STATE_RESUMING] = "RESUMING",
	[VFIO_DEVICE_STATE_RUNNING_P2P] = "RUNNING_P2P",
	[VFIO_DEVICE_STATE_PRE_COPY] = "PRE_COPY",
	[VFIO_DEVICE_STATE_PRE_COPY_P2P] = "PRE_COPY_P2P",
};
EXPORT_SYMBOL_IF_KUNIT(vfio_pci_mig_state_names);

static const char *const op_names[VFIO_PCI_MIG_OP_NR] = {
	[VFIO_PCI_MIG_OP_drain] = "drain",
	[VFIO_PCI_MIG_OP_stop] = "stop",
	[VFIO_PCI_MIG_OP_start] = "start",
	[VFIO_PCI_MIG_OP_precopy] = "precopy",
	[VFIO_PCI_MIG_OP_save] = "save",
	[VFIO_PCI_MIG_OP_load] = "load",
	[VFIO_PCI_MIG_OP_check] = "check",
};

/**
 * vfio_pci_mig_observe_op() - Account for one callback of the back end
 * @fsm: the state of migration, locked
 * @op: which
 * @ret: what it returned
 * @ns: how long it took
 */
void vfio_pci_mig_observe_op(struct vfio_pci_mig_fsm *fsm, enum vfio_pci_mig_op op, long ret,
			     u64 ns)
{
	struct vfio_pci_mig_op_stat *stat = &fsm->op_stat[op];

	spin_lock(&fsm->reset_lock);
	stat->calls++;
	stat->failures += ret < 0;
	stat->max_ns = max(stat->max_ns, ns);
	spin_unlock(&fsm->reset_lock);
	trace_vfio_pci_mig_call(fsm->mdev->core.vdev.dev, op_names[op], ret, ns);
}

/**
 * vfio_pci_mig_observe_arc() - Remember the last arc
 * @fsm: the state of migration, locked
 * @from: state before
 * @to: state that was asked for
 * @ret: 0 or what the arc failed with
 * @ns: how long it took
 */
void vfio_pci_mig_observe_arc(struct vfio_pci_mig_fsm *fsm, enum vfio_device_mig_state from,
			      enum vfio_device_mig_state to, int ret, u64 ns)
{
	spin_lock(&fsm->reset_lock);
	fsm->last_arc = (struct vfio_pci_mig_last_arc) { from, to, ret, ns };
	fsm->arcs++;
	spin_unlock(&fsm->reset_lock);
	trace_vfio_pci_mig_arc(fsm->mdev->core.vdev.dev, from, to, fsm->state, ret, ns);
}

static struct vfio_pci_mig_device *dev_mdev(struct device *dev)
{
	struct vfio_pci_core_device *core = dev_get_drvdata(dev);

	return vfio_pci_mig_device(&core->vdev);
}

static bool mig_supported(struct vfio_pci_mig_device *mdev)
{
	return mdev->fsm && !READ_ONCE(mdev->fsm->unguarded);
}

static ssize_t supported_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", mig_supported(dev_mdev(dev)));
}
static DEVICE_ATTR_RO(supported);

static ssize_t reason_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct vfio_pci_mig_device *mdev = dev_mdev(dev);

	return sysfs_emit(buf, "%s\n",
			  mig_supported(mdev) ? "none" : mdev->reason.name ?: "unknown");
}
static DEVICE_ATTR_RO(reason);

static ssize_t controls_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", dev_mdev(dev)->controls ?: "none");
}
static DEVICE_ATTR_RO(controls);

static ssize_t state_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct vfio_pci_mig_fsm *fsm = dev_mdev(dev)->fsm;

	if (!fsm)
		return sysfs_emit(buf, "none\n");
	if (!READ_ONCE(fsm->mdev))
		return sysfs_emit(buf, "closed\n");
	return sysfs_emit(buf, "%s\n", vfio_pci_mig_state_names[READ_ONCE(fsm->state)]);
}
static DEVICE_ATTR_RO(state);

static ssize_t reset_pending_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct vfio_pci_mig_fsm *fsm = dev_mdev(dev)->fsm;

	return sysfs_emit(buf, "%d\n", fsm && READ_ONCE(fsm->mdev) &&
			  vfio_pci_mig_fsm_reset_pending(fsm));
}
static DEVICE_ATTR_RO(reset_pending);

static struct attribute *mig_attrs[] = {
	&dev_attr_supported.attr,
	&dev_attr_reason.attr,
	&dev_attr_controls.attr,
	&dev_attr_state.attr,
	&dev_attr_reset_pending.attr,
	NULL
};

static const struct attribute_group mig_group = {
	.name = "vfio_pci_mig",
	.attrs = mig_attrs,
};

/* For pci_driver.dev_groups, so that they come and go with the binding. */
const struct attribute_group *vfio_pci_mig_groups[] = {
	&mig_group,
	NULL
};
EXPORT_SYMBOL_GPL(vfio_pci_mig_groups);

static int last_arc_show(struct seq_file *seq, void *unused)
{
	struct vfio_pci_mig_fsm *fsm = seq->private;
	struct vfio_pci_mig_last_arc last;
	u64 arcs;

	spin_lock(&fsm->reset_lock);
	last = fsm->last_arc;
	arcs = fsm->arcs;
	spin_unlock(&fsm->reset_lock);

	if (arcs)
		seq_printf(seq, "%s %s %d %llu\n", vfio_pci_mig_state_names[last.from],
			   vfio_pci_mig_state_names[last.to], last.ret, last.ns);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(last_arc);

static int stats_show(struct seq_file *seq, void *unused)
{
	struct vfio_pci_mig_fsm *fsm = seq->private;
	struct vfio_pci_mig_op_stat stat[VFIO_PCI_MIG_OP_NR];
	unsigned int resets, i;
	u64 arcs;

	spin_lock(&fsm->reset_lock);
	memcpy(stat, fsm->op_stat, sizeof(stat));
	arcs = fsm->arcs;
	resets = fsm->resets;
	spin_unlock(&fsm->reset_lock);

	seq_printf(seq, "arcs %llu\nresets %u\n", arcs, resets);
	for (i = 0; i < VFIO_PCI_MIG_OP_NR; i++)
		seq_printf(seq, "%s calls %llu failures %llu max_ns %llu\n", op_names[i],
			   stat[i].calls, stat[i].failures, stat[i].max_ns);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

/* The directory of all devices, as long as the module is loaded */
static struct dentry *mig_debug_root;

/**
 * vfio_pci_mig_observe() - Show a registered device in debugfs
 * @mdev: the device, migratable or not
 */
void vfio_pci_mig_observe(struct vfio_pci_mig_device *mdev)
{
	if (!mdev->fsm)
		return;
	mdev->debug = debugfs_create_dir(dev_name(mdev->core.vdev.dev), mig_debug_root);
	debugfs_create_file("last_arc", 0400, mdev->debug, mdev->fsm, &last_arc_fops);
	debugfs_create_file("stats", 0400, mdev->debug, mdev->fsm, &stats_fops);
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_observe);

/**
 * vfio_pci_mig_unobserve() - Inverse of vfio_pci_mig_observe()
 * @mdev: the device
 */
void vfio_pci_mig_unobserve(struct vfio_pci_mig_device *mdev)
{
	debugfs_remove(mdev->debug);
	mdev->debug = NULL;
}
EXPORT_SYMBOL_GPL(vfio_pci_mig_unobserve);

static int __init vfio_pci_mig_init(void)
{
	mig_debug_root = debugfs_create_dir("vfio-pci-mig", NULL);
	return 0;
}
module_init(vfio_pci_mig_init);

static void __exit vfio_pci_mig_exit(void)
{
	debugfs_remove(mig_debug_root);
}
module_exit(vfio_pci_mig_exit);
