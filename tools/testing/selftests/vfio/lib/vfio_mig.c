// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/iommufd.h>
#include <linux/pci_regs.h>

#include "vfio_mig.h"

static int fail(struct vdev *d, const char *what, int err)
{
	printf("# %s: %s: %s\n", d->bdf, what, strerror(err));
	vdev_close(d);
	return -err;
}

static int open_group(struct vdev *d)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[PATH_MAX], link[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", d->bdf);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return fail(d, path, errno);
	link[n] = '\0';

	d->iommu = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (d->iommu < 0)
		return fail(d, "/dev/vfio/vfio", errno);
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(link, '/') + 1);
	d->group = open(path, O_RDWR | O_CLOEXEC);
	if (d->group < 0)
		return fail(d, path, errno);
	if (ioctl(d->group, VFIO_GROUP_GET_STATUS, &status))
		return fail(d, "VFIO_GROUP_GET_STATUS", errno);
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return fail(d, "the group has a device of a host driver in it", EPERM);
	if (ioctl(d->group, VFIO_GROUP_SET_CONTAINER, &d->iommu))
		return fail(d, "VFIO_GROUP_SET_CONTAINER", errno);
	if (ioctl(d->iommu, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return fail(d, "VFIO_SET_IOMMU (is vfio_iommu_type1 loaded?)", errno);
	d->fd = ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, d->bdf);
	if (d->fd < 0)
		return fail(d, "VFIO_GROUP_GET_DEVICE_FD", errno);
	return 0;
}

static int open_cdev(struct vdev *d)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	char path[PATH_MAX], node[PATH_MAX] = "";
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", d->bdf);
	dir = opendir(path);
	if (!dir)
		return fail(d, path, errno);
	while ((e = readdir(dir)))
		if (!strncmp(e->d_name, "vfio", 4))
			snprintf(node, sizeof(node), "/dev/vfio/devices/%.64s", e->d_name);
	closedir(dir);

	d->fd = open(node, O_RDWR | O_CLOEXEC);
	if (d->fd < 0)
		return fail(d, *node ? node : "no VFIO character device", errno);
	d->iommu = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (d->iommu < 0)
		return fail(d, "/dev/iommu", errno);
	bind.iommufd = d->iommu;
	if (ioctl(d->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		return fail(d, "VFIO_DEVICE_BIND_IOMMUFD", errno);
	if (ioctl(d->iommu, IOMMU_IOAS_ALLOC, &alloc))
		return fail(d, "IOMMU_IOAS_ALLOC", errno);
	d->ioas = alloc.out_ioas_id;
	attach.pt_id = d->ioas;
	if (ioctl(d->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		return fail(d, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", errno);
	return 0;
}

int vdev_open(struct vdev *d, const char *bdf, enum vdev_mode mode)
{
	*d = VDEV_CLOSED;
	d->mode = mode;
	snprintf(d->bdf, sizeof(d->bdf), "%s", bdf);
	return mode == VDEV_GROUP ? open_group(d) : open_cdev(d);
}

void vdev_close(struct vdev *d)
{
	int *fds[] = { &d->fd, &d->group, &d->iommu };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

int vdev_reset(struct vdev *d)
{
	return ioctl(d->fd, VFIO_DEVICE_RESET) ? -errno : 0;
}

/* A reset of the bus, with what the user owns: the group, or by cdev all that his iommufd has */
int vdev_hot_reset(struct vdev *d)
{
	char buf[sizeof(struct vfio_pci_hot_reset) + sizeof(__s32)] = {};
	struct vfio_pci_hot_reset *reset = (void *)buf;

	reset->argsz = sizeof(buf);
	if (d->mode == VDEV_GROUP) {
		reset->count = 1;
		reset->group_fds[0] = d->group;
	}
	return ioctl(d->fd, VFIO_DEVICE_PCI_HOT_RESET, reset) ? -errno : 0;
}

/* A reset that the user of the device did not ask for */
int vdev_reset_from_outside(struct vdev *d)
{
	char path[PATH_MAX];
	int fd, ret;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/reset", d->bdf);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = write(fd, "1", 1) == 1 ? 0 : -errno;
	close(fd);
	return ret;
}

int vdev_map_dma(struct vdev *d, void *va, size_t len, __u64 iova)
{
	struct vfio_iommu_type1_dma_map type1 = {
		.argsz = sizeof(type1),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)va, .iova = iova, .size = len,
	};
	struct iommu_ioas_map ioas = {
		.size = sizeof(ioas), .ioas_id = d->ioas,
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.user_va = (uintptr_t)va, .iova = iova, .length = len,
	};
	int ret;

	if (d->mode == VDEV_GROUP)
		ret = ioctl(d->iommu, VFIO_IOMMU_MAP_DMA, &type1);
	else
		ret = ioctl(d->iommu, IOMMU_IOAS_MAP, &ioas);
	return ret ? -errno : 0;
}

int vdev_region(struct vdev *d, unsigned int index, struct vfio_region_info *info)
{
	*info = (struct vfio_region_info){ .argsz = sizeof(*info), .index = index };
	return ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, info) ? -errno : 0;
}

void *vdev_map_region(struct vdev *d, unsigned int index, size_t *len)
{
	struct vfio_region_info info;
	void *va;

	if (vdev_region(d, index, &info) || !(info.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return NULL;
	va = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, info.offset);
	*len = info.size;
	return va == MAP_FAILED ? NULL : va;
}

static int config_access(struct vdev *d, unsigned int where, __u16 *value, bool write)
{
	struct vfio_region_info info;
	ssize_t n;
	int ret;

	ret = vdev_region(d, VFIO_PCI_CONFIG_REGION_INDEX, &info);
	if (ret)
		return ret;
	n = write ? pwrite(d->fd, value, sizeof(*value), info.offset + where) :
		    pread(d->fd, value, sizeof(*value), info.offset + where);
	if (n < 0)
		return -errno;
	return n == sizeof(*value) ? 0 : -EIO;
}

int vdev_config_write16(struct vdev *d, unsigned int where, __u16 value)
{
	return config_access(d, where, &value, true);
}

int vdev_config_read16(struct vdev *d, unsigned int where, __u16 *value)
{
	return config_access(d, where, value, false);
}

static int find_capability(struct vdev *d, __u8 id, __u16 *where)
{
	__u16 cap;
	int ret;

	ret = vdev_config_read16(d, PCI_CAPABILITY_LIST, where);
	for (*where &= 0xff; !ret && *where; *where = cap >> 8) {
		ret = vdev_config_read16(d, *where, &cap);
		if (ret || (cap & 0xff) == id)
			return ret;
	}
	return ret ?: -ENOTTY;
}

/* By configuration space, as a guest does it; -ENOTTY if the device cannot. */
int vdev_flr(struct vdev *d)
{
	__u16 where, cap, ctl;
	int ret;

	ret = find_capability(d, PCI_CAP_ID_EXP, &where);
	if (!ret)
		ret = vdev_config_read16(d, where + PCI_EXP_DEVCAP + 2, &cap);
	if (!ret && !(cap & (PCI_EXP_DEVCAP_FLR >> 16)))
		ret = -ENOTTY;
	if (!ret)
		ret = vdev_config_read16(d, where + PCI_EXP_DEVCTL, &ctl);
	return ret ?: vdev_config_write16(d, where + PCI_EXP_DEVCTL,
					  ctl | PCI_EXP_DEVCTL_BCR_FLR);
}

/* To D3hot, as a guest does it; -ENOTTY if the device has no power management. */
int vdev_sleep(struct vdev *d)
{
	__u16 where, pmcsr;
	int ret;

	ret = find_capability(d, PCI_CAP_ID_PM, &where);
	if (!ret)
		ret = vdev_config_read16(d, where + PCI_PM_CTRL, &pmcsr);
	if (!ret)
		ret = vdev_config_write16(d, where + PCI_PM_CTRL, pmcsr | PCI_PM_CTRL_STATE_MASK);
	if (!ret)
		ret = vdev_config_read16(d, where + PCI_PM_CTRL, &pmcsr);
	if (!ret && (pmcsr & PCI_PM_CTRL_STATE_MASK) != PCI_PM_CTRL_STATE_MASK)
		ret = -EIO;
	return ret;
}

int vdev_msi_enable(struct vdev *d, const int *eventfds, unsigned int count)
{
	char buf[sizeof(struct vfio_irq_set) + 32 * sizeof(int)];
	struct vfio_irq_set *set = (struct vfio_irq_set *)buf;

	if (count > 32)
		return -EINVAL;
	*set = (struct vfio_irq_set){
		.argsz = sizeof(*set) + count * sizeof(int),
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSI_IRQ_INDEX,
		.count = count,
	};
	memcpy(set->data, eventfds, count * sizeof(int));
	return ioctl(d->fd, VFIO_DEVICE_SET_IRQS, set) ? -errno : 0;
}

int vdev_msi_disable(struct vdev *d)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSI_IRQ_INDEX,
	};

	return ioctl(d->fd, VFIO_DEVICE_SET_IRQS, &set) ? -errno : 0;
}

int vdev_feature(struct vdev *d, __u32 flags, void *data, size_t len)
{
	__u64 buf[16];
	struct vfio_device_feature *f = (struct vfio_device_feature *)buf;
	int ret;

	if (sizeof(*f) + len > sizeof(buf))
		return -EINVAL;
	f->argsz = sizeof(*f) + len;
	f->flags = flags;
	memcpy(f->data, data, len);
	ret = ioctl(d->fd, VFIO_DEVICE_FEATURE, f) ? -errno : 0;
	memcpy(data, f->data, len);
	return ret;
}

int mig_flags(struct vdev *d, __u32 *flags)
{
	struct vfio_device_feature_migration mig = {};
	int ret;

	ret = vdev_feature(d, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION, &mig,
			   sizeof(mig));
	*flags = mig.flags;
	return ret;
}

int mig_set(struct vdev *d, __u32 state, int *data_fd)
{
	struct vfio_device_feature_mig_state mig = {
		.device_state = state, .data_fd = MIG_FD_UNTOUCHED,
	};
	int ret;

	ret = vdev_feature(d, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
			   &mig, sizeof(mig));
	if (data_fd)
		*data_fd = mig.data_fd;
	else if (mig.data_fd >= 0)
		close(mig.data_fd);
	return ret;
}

int mig_get(struct vdev *d, __u32 *state)
{
	struct vfio_device_feature_mig_state mig = { .device_state = ~0U };
	int ret;

	ret = vdev_feature(d, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
			   &mig, sizeof(mig));
	*state = mig.device_state;
	return ret;
}

int mig_size(struct vdev *d, __u64 *bytes)
{
	struct vfio_device_feature_mig_data_size size = {};
	int ret;

	ret = vdev_feature(d, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, &size,
			   sizeof(size));
	*bytes = size.stop_copy_length;
	return ret;
}

int mig_precopy_info(int data_fd, struct vfio_precopy_info *info)
{
	*info = (struct vfio_precopy_info){ .argsz = sizeof(*info) };
	return ioctl(data_fd, VFIO_MIG_GET_PRECOPY_INFO, info) ? -errno : 0;
}

static size_t chunk_size(size_t chunk, unsigned int turn)
{
	static const unsigned char odd[] = { 1, 3, 7, 13, 5, 37, 11, 2, 61 };

	return chunk == MIG_ODD ? odd[turn % sizeof(odd)] : chunk;
}

int mig_drain(int data_fd, struct mig_stream *s, size_t chunk)
{
	for (unsigned int turn = 0;; turn++) {
		size_t want = chunk_size(chunk, turn);
		__u8 *data = realloc(s->data, s->len + want);
		ssize_t n;

		if (!data)
			return -ENOMEM;
		s->data = data;
		n = read(data_fd, s->data + s->len, want);
		if (n <= 0)
			return n ? -errno : 0;
		s->len += n;
	}
}

int mig_fill(int data_fd, const void *data, size_t len, size_t chunk, size_t *done)
{
	size_t pos = 0;
	int ret = 0;

	for (unsigned int turn = 0; pos < len; turn++) {
		size_t want = chunk_size(chunk, turn);
		ssize_t n;

		if (want > len - pos)
			want = len - pos;
		n = write(data_fd, (const __u8 *)data + pos, want);
		if (n <= 0) {
			ret = n ? -errno : -EIO;
			break;
		}
		pos += n;
	}
	if (done)
		*done = pos;
	return ret;
}

void mig_stream_free(struct mig_stream *s)
{
	free(s->data);
	*s = (struct mig_stream){};
}

int mig_snapshot(struct vdev *d, struct mig_stream *s)
{
	int fd, ret, back;

	ret = mig_set(d, VFIO_DEVICE_STATE_STOP, NULL);
	if (!ret)
		ret = mig_set(d, VFIO_DEVICE_STATE_STOP_COPY, &fd);
	if (ret)
		return ret;
	ret = mig_drain(fd, s, MIG_BULK);
	close(fd);
	back = mig_set(d, VFIO_DEVICE_STATE_RUNNING, NULL);
	return ret ?: back;
}

int mig_enter(struct vdev *d, __u32 state, const struct mig_stream *s, int *data_fd)
{
	int ret;

	*data_fd = -1;
	if (state == VFIO_DEVICE_STATE_RUNNING)
		return 0;
	ret = mig_set(d, state, data_fd);
	if (!ret && state == VFIO_DEVICE_STATE_RESUMING)
		ret = mig_fill(*data_fd, s->data, s->len, MIG_BULK, NULL);
	return ret;
}

int mig_save_and_load(struct vdev *d, size_t len, size_t chunk)
{
	struct mig_stream s = {};
	int fd, ret;

	ret = mig_snapshot(d, &s);
	if (!ret && s.len != len)
		ret = -EBADMSG;
	if (!ret)
		ret = mig_set(d, VFIO_DEVICE_STATE_RESUMING, &fd);
	if (!ret) {
		ret = mig_fill(fd, s.data, s.len, chunk, NULL) ?:
		      mig_set(d, VFIO_DEVICE_STATE_RUNNING, NULL);
		close(fd);
	}
	mig_stream_free(&s);
	return ret;
}
