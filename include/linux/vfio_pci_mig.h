/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Migration core for vfio-pci variant drivers.
 *
 * The core owns the migration state machine of the VFIO uAPI, the data files, what is done about
 * resets, and which parts of the device's BARs the user sees. A back end knows the device: how to
 * stop it, save it, load it and start it again. It sees no file, no state and no user memory.
 */
#ifndef LINUX_VFIO_PCI_MIG_H
#define LINUX_VFIO_PCI_MIG_H

#include <linux/types.h>
#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>

struct vfio_pci_mig_device;
struct vfio_pci_mig_fsm;

/**
 * struct vfio_pci_mig_ops - What a back end implements
 *
 * Callbacks run in process context with the device's state mutex held and no user copy inside, and
 * may sleep. Every wait on hardware is bounded. All but @reset, @close and @reset_blocked run with
 * the device open and powered up; those three must not touch it.
 *
 * A callback has three outcomes. Zero (or the documented positive value): done. A negative errno:
 * failed, and the device is exactly as before. A negative errno returned through
 * vfio_pci_mig_broken(): failed, and the condition of the device is unknown; the core enters
 * %VFIO_DEVICE_STATE_ERROR, which only a reset leaves.
 *
 * @open: the device was opened and reset; map what the other callbacks need. Optional
 * @close: exact inverse of @open. Optional
 * @reset: a reset happened since the last callback; forget everything that was learned about the
 *	device's state
 * @reset_blocked: would a reset of the device collide with something, a reset of its PF say? The
 *	core asks before every reset of a user's, open and close included, and waits 10 s at most
 *	until the answer is no. Called with the state mutex, or with the device not open. Optional
 * @drain: complete all outstanding DMA and start none (RUNNING -> RUNNING_P2P and the same with
 *	PRE_COPY). The user reaches the device's registers meanwhile and until @stop
 * @stop: the user is kept out from now on. Drain again, because the user may have restarted the
 *	device; then bring all state that the device caches to where @save and the VMM's copy of
 *	memory find it (RUNNING_P2P -> STOP). Fails before, never after, it gave up on part of the
 *	state
 * @start: let the device run again as if nothing had happened (RUNNING_P2P -> RUNNING). Called
 *	after @drain, after @drain and @stop with or without @save, and after a load
 * @check: is the state that @stop left, or @load brought, still in the device (STOP -> STOP_COPY,
 *	STOP -> RUNNING_P2P, RESUMING -> STOP after a complete stream)? Fails for nothing that
 *	depends on the stream or on the user. Optional
 * @precopy: write the bytes that do not depend on a stopped device to @buf (RUNNING -> PRE_COPY).
 *	Touches nothing that a running user could notice. Return: number of bytes, more than 0
 * @save: write what follows the first @done bytes to @buf, where those are still found
 *	(-> STOP_COPY). @done is 0 if there was no PRE_COPY. Return: number of all bytes
 * @load: look at the first @len bytes of a stream (RESUMING). Called first with @len 0, then each
 *	time when as many bytes are there as it asked for. Loads whatever is complete into the
 *	device: after the last byte was accepted nothing that depends on the stream may fail any
 *	more. Sets @complete to whether the stream may end here. Return: the number of bytes, from
 *	the beginning of the stream, at which it wants to be called again; @len if it takes no more
 * @stream_size: size in bytes of the largest stream, at most 64 KiB
 */
struct vfio_pci_mig_ops {
	int (*open)(struct vfio_pci_mig_device *mdev);
	void (*close)(struct vfio_pci_mig_device *mdev);
	void (*reset)(struct vfio_pci_mig_device *mdev);
	bool (*reset_blocked)(struct vfio_pci_mig_device *mdev);

	int (*drain)(struct vfio_pci_mig_device *mdev);
	int (*stop)(struct vfio_pci_mig_device *mdev);
	int (*start)(struct vfio_pci_mig_device *mdev);
	int (*check)(struct vfio_pci_mig_device *mdev);

	ssize_t (*precopy)(struct vfio_pci_mig_device *mdev, void *buf);
	ssize_t (*save)(struct vfio_pci_mig_device *mdev, void *buf, size_t done);
	ssize_t (*load)(struct vfio_pci_mig_device *mdev, const void *buf, size_t len,
			bool *complete);

	size_t stream_size;
};

/**
 * struct vfio_pci_mig_reason - Why a device cannot be migrated
 * @name: one word, for programs; NULL if it can be
 * @text: the rest of a sentence, for the log
 */
struct vfio_pci_mig_reason {
	const char *name;
	const char *text;
};

/**
 * struct vfio_pci_mig_device - A vfio-pci device that may be migratable
 * @core: the kernel's vfio-pci device; must come first
 * @fsm: the core's state of migration, NULL for a device that is only passed through
 * @controls: one word for where the back end reaches the controls of a migration, or NULL
 * @reason: why the device cannot be migrated
 * @debug: the device's directory in debugfs; the core's
 * @bar_visible: bytes of each BAR, from its start, that the user may reach; 0 for all of it.
 *
 * What a back end sets it sets before the device is registered.
 *
 * A driver embeds this at the beginning of its own structure, so that vfio_alloc_device() works.
 */
struct vfio_pci_mig_device {
	struct vfio_pci_core_device core;
	struct vfio_pci_mig_fsm *fsm;
	const char *controls;
	struct vfio_pci_mig_reason reason;
	struct dentry *debug;
	resource_size_t bar_visible[PCI_STD_NUM_BARS];
};

static inline struct vfio_pci_mig_device *vfio_pci_mig_device(struct vfio_device *vdev)
{
	return container_of(vdev, struct vfio_pci_mig_device, core.vdev);
}

int vfio_pci_mig_init_device(struct vfio_pci_mig_device *mdev, const struct vfio_pci_mig_ops *ops);
void vfio_pci_mig_release_device(struct vfio_pci_mig_device *mdev);
void vfio_pci_mig_observe(struct vfio_pci_mig_device *mdev);
void vfio_pci_mig_unobserve(struct vfio_pci_mig_device *mdev);
int vfio_pci_mig_broken(struct vfio_pci_mig_device *mdev, int err);
void vfio_pci_mig_assert_locked(struct vfio_pci_mig_device *mdev);
void vfio_pci_mig_reset_prepare(struct vfio_pci_mig_device *mdev);
void vfio_pci_mig_reset_done(struct vfio_pci_mig_device *mdev);

/* For dev_groups of struct pci_driver, if driver data is the struct vfio_pci_core_device. */
extern const struct attribute_group *vfio_pci_mig_groups[];

/* For struct vfio_device_ops. Without a state of migration they do what vfio-pci does. */
int vfio_pci_mig_open_device(struct vfio_device *vdev);
void vfio_pci_mig_close_device(struct vfio_device *vdev);
ssize_t vfio_pci_mig_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos);
ssize_t vfio_pci_mig_write(struct vfio_device *vdev, const char __user *buf, size_t count,
			   loff_t *ppos);
int vfio_pci_mig_mmap(struct vfio_device *vdev, struct vm_area_struct *vma);
long vfio_pci_mig_ioctl(struct vfio_device *vdev, unsigned int cmd, unsigned long arg);
int vfio_pci_mig_get_region_info(struct vfio_device *vdev, struct vfio_region_info *info,
				 struct vfio_info_cap *caps);

#endif /* LINUX_VFIO_PCI_MIG_H */
