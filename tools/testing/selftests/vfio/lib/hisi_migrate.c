// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hisi_migrate.h"

#define ST(name)	VFIO_DEVICE_STATE_##name

static int set(struct vdev *d, __u32 state, int *fd)
{
	int ret = mig_set(d, state, fd);

	if (ret)
		printf("# %s: to %s: %s\n", d->bdf, mig_state_name(state), strerror(-ret));
	return ret;
}

int hmig_save(struct vdev *src, const struct hmig_how *how, struct mig_stream *s, int *data_fd)
{
	__u32 flags;
	int fd = -1, ret;

	ret = mig_flags(src, &flags);
	if (ret)
		return ret;
	if (how->precopy) {
		ret = set(src, ST(PRE_COPY), &fd);
		/* Some drivers end pre-copy with 0, which the stream test judges. */
		if (!ret)
			ret = mig_drain(fd, s, how->chunk);
		if (ret == -ENOMSG)
			ret = 0;
		if (!ret && (flags & VFIO_MIGRATION_P2P))
			ret = set(src, ST(PRE_COPY_P2P), NULL);
		if (!ret)
			ret = set(src, ST(STOP_COPY), NULL);
	} else {
		ret = set(src, ST(STOP), NULL);
		if (!ret)
			ret = set(src, ST(STOP_COPY), &fd);
	}
	if (!ret)
		ret = mig_drain(fd, s, how->chunk);
	if (!ret && data_fd)
		*data_fd = fd;
	else if (fd >= 0)
		close(fd);
	return ret;
}

static int load(struct hacc *a, struct vdev *dst, const struct hmig_how *how,
		const struct mig_stream *s, __u8 *copy)
{
	int fd, ret;

	ret = vdev_reset(dst);
	if (!ret)
		ret = hacc_attach(a, dst);
	if (!ret)
		ret = set(dst, ST(RESUMING), &fd);
	if (ret)
		return ret;
	ret = mig_fill(fd, s->data, s->len, how->chunk, NULL);
	if (ret)
		printf("# %s: loading: %s\n", dst->bdf, strerror(-ret));
	if (!ret && how->irqs)
		ret = hacc_irqs_on(a);
	if (!ret && copy)
		ret = hmig_frozen(a, copy);
	if (!ret)
		ret = set(dst, ST(RUNNING), NULL);
	close(fd);
	return ret;
}

int hmig_load(struct hacc *a, struct vdev *dst, const struct hmig_how *how,
	      const struct mig_stream *s)
{
	return load(a, dst, how, s, NULL);
}

int hmig_migrate(struct hacc *a, struct vdev *src, struct vdev *dst, const struct hmig_how *how,
		 unsigned int *unfinished)
{
	struct mig_stream s = {};
	__u8 *copy;
	int ret;

	ret = hmig_save(src, how, &s, NULL);
	if (!ret) {
		*unfinished = hacc_unfinished(a);
		ret = hmig_freeze(a, &copy);
	}
	if (!ret && how->irqs)
		hacc_irqs_off(a);
	if (!ret)
		ret = load(a, dst, how, &s, copy);
	if (!ret && src != dst)
		ret = set(src, ST(STOP), NULL);
	mig_stream_free(&s);
	return ret;
}

int hmig_freeze(struct hacc *a, __u8 **copy)
{
	*copy = malloc(a->mem_len);
	if (!*copy)
		return -ENOMEM;
	memcpy(*copy, a->mem, a->mem_len);
	return 0;
}

int hmig_frozen(struct hacc *a, __u8 *copy)
{
	int ret = 0;

	usleep(20000);
	for (size_t i = 0; !ret && i < a->mem_len; i++) {
		if (a->mem[i] == copy[i])
			continue;
		printf("# a stopped VF wrote to memory, at offset 0x%zx\n", i);
		ret = -EILSEQ;
	}
	free(copy);
	return ret;
}

bool hmig_pending_ok(unsigned int unfinished)
{
	printf("# %u jobs unfinished when the VF stopped\n", unfinished);
	return unfinished || !getenv("HISI_ACC_PENDING");
}
