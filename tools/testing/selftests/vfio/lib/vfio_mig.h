/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Opening a VFIO device by group or by cdev, and its migration uAPI, for tests that know no
 * device. Everything returns 0 (or a count) or -errno; the cause of a failed open is printed.
 */
#ifndef SELFTESTS_VFIO_MIG_H
#define SELFTESTS_VFIO_MIG_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>
#include <linux/vfio.h>

/* Newer than the headers of some kernels that have what is tested here: 7.1 */
#ifndef VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2
#define VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2	12
#define VFIO_PRECOPY_INFO_REINIT		(1 << 0)
#endif

enum vdev_mode {
	VDEV_GROUP,		/* /dev/vfio/GROUP in a type1 container of its own */
	VDEV_CDEV,		/* /dev/vfio/devices/vfioN with an iommufd of its own */
};

struct vdev {
	char bdf[16];
	enum vdev_mode mode;
	int fd;
	int iommu;		/* container or iommufd */
	int group;
	__u32 ioas;
};

#define VDEV_CLOSED	((struct vdev){ .fd = -1, .iommu = -1, .group = -1 })

int vdev_open(struct vdev *d, const char *bdf, enum vdev_mode mode);
void vdev_close(struct vdev *d);
int vdev_reset(struct vdev *d);
int vdev_hot_reset(struct vdev *d);
int vdev_flr(struct vdev *d);
int vdev_reset_from_outside(struct vdev *d);
int vdev_map_dma(struct vdev *d, void *va, size_t len, __u64 iova);
int vdev_region(struct vdev *d, unsigned int index, struct vfio_region_info *info);
void *vdev_map_region(struct vdev *d, unsigned int index, size_t *len);
int vdev_config_write16(struct vdev *d, unsigned int where, __u16 value);
int vdev_config_read16(struct vdev *d, unsigned int where, __u16 *value);
int vdev_sleep(struct vdev *d);
int vdev_msi_enable(struct vdev *d, const int *eventfds, unsigned int count);
int vdev_msi_disable(struct vdev *d);
int vdev_feature(struct vdev *d, __u32 flags, void *data, size_t len);

/* What SET_STATE leaves in data_fd when the kernel did not write it at all. */
#define MIG_FD_UNTOUCHED	(-2)

int mig_flags(struct vdev *d, __u32 *flags);
int mig_set(struct vdev *d, __u32 state, int *data_fd);
int mig_get(struct vdev *d, __u32 *state);
int mig_size(struct vdev *d, __u64 *bytes);
int mig_precopy_info(int data_fd, struct vfio_precopy_info *info);

/* A saved device, as bytes that nobody here looks into. */
struct mig_stream {
	__u8 *data;
	size_t len;
};

/* Sizes of single reads and writes; MIG_ODD goes through a list of odd ones. */
#define MIG_ODD			0
#define MIG_BULK		65536

/*
 * mig_drain() appends what can be read: 0 at the end of the stream, -ENOMSG at the end of the
 * pre-copy data, else the error. mig_fill() writes everything: 0, or the error; *done, if given,
 * says how much was accepted.
 */
int mig_drain(int data_fd, struct mig_stream *s, size_t chunk);
int mig_fill(int data_fd, const void *data, size_t len, size_t chunk, size_t *done);
void mig_stream_free(struct mig_stream *s);

/* RUNNING -> STOP_COPY, all of the stream, -> RUNNING. */
int mig_snapshot(struct vdev *d, struct mig_stream *s);
/*
 * From RUNNING to any state, with the data fd of that, or -1. RESUMING is given the stream, so that
 * it can be left again.
 */
int mig_enter(struct vdev *d, __u32 state, const struct mig_stream *s, int *data_fd);
/*
 * Does the device do what a migration wants? It is saved, has to give a stream of that length
 * (else -EBADMSG), is loaded with it in pieces of chunk, and runs.
 */
int mig_save_and_load(struct vdev *d, size_t len, size_t chunk);

/* The state machine, from the rules of <linux/vfio.h>. */
const char *mig_state_name(__u32 state);
bool mig_state_offered(__u32 state, __u32 flags);
bool mig_state_saving(__u32 state);
/*
 * Fills path (first entry: where the first arc leads) and returns the number of arcs, 0 for
 * from == to, or -1 when the uAPI has no way from one state to the other.
 */
int mig_path(__u32 from, __u32 to, __u32 flags, __u32 path[VFIO_DEVICE_STATE_NR]);
/* Does going from one state straight to the next return a new data_fd? End one? */
bool mig_arc_opens(__u32 from, __u32 to);
bool mig_arc_closes(__u32 from, __u32 to);

#endif
