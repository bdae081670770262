// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mig_ctl.h"

void ctl_ok(const char *fmt, ...)
{
	va_list args;

	printf("ok ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
}

void ctl_err(int err, const char *what)
{
	err = err < 0 ? -err : err;
	printf("err %s %s: %s\n", strerrorname_np(err) ?: "EUNKNOWN", what, strerror(err));
}

static void drop_data_fd(struct mig_ctl *ctl)
{
	if (ctl->data_fd >= 0)
		close(ctl->data_fd);
	ctl->data_fd = -1;
}

static void cmd_state(struct mig_ctl *ctl)
{
	__u32 state;
	int ret = mig_get(&ctl->dev, &state);

	if (ret)
		ctl_err(ret, "state");
	else
		ctl_ok("%s", mig_state_name(state));
}

static void cmd_flags(struct mig_ctl *ctl)
{
	__u32 flags;
	int ret = mig_flags(&ctl->dev, &flags);

	if (ret)
		ctl_err(ret, "flags");
	else
		ctl_ok("%s%s%s", flags & VFIO_MIGRATION_STOP_COPY ? "STOP_COPY" : "",
		       flags & VFIO_MIGRATION_P2P ? " P2P" : "",
		       flags & VFIO_MIGRATION_PRE_COPY ? " PRE_COPY" : "");
}

static void cmd_set(struct mig_ctl *ctl)
{
	__u32 state = 0;
	int fd, ret;

	while (ctl->argc > 1 && state < VFIO_DEVICE_STATE_NR &&
	       strcasecmp(ctl->argv[1], mig_state_name(state)))
		state++;
	if (ctl->argc < 2 || state == VFIO_DEVICE_STATE_NR) {
		ctl_err(EINVAL, "no such state");
		return;
	}
	ret = mig_set(&ctl->dev, state, &fd);
	if (ret) {
		ctl_err(ret, ctl->argv[1]);
		return;
	}
	if (fd >= 0) {
		drop_data_fd(ctl);
		ctl->data_fd = fd;
	}
	ctl_ok("%s%s", mig_state_name(state), fd >= 0 ? " data" : "");
}

static void cmd_size(struct mig_ctl *ctl)
{
	__u64 bytes;
	int ret = mig_size(&ctl->dev, &bytes);

	if (ret)
		ctl_err(ret, "size");
	else
		ctl_ok("%llu", (unsigned long long)bytes);
}

static void cmd_precopy(struct mig_ctl *ctl)
{
	struct vfio_precopy_info info;
	int ret = mig_precopy_info(ctl->data_fd, &info);

	if (ret)
		ctl_err(ret, "precopy");
	else
		ctl_ok("%llu %llu", (unsigned long long)info.initial_bytes,
		       (unsigned long long)info.dirty_bytes);
}

static size_t chunk_of(const struct mig_ctl *ctl)
{
	return ctl->argc > 2 ? strtoul(ctl->argv[2], NULL, 0) : MIG_BULK;
}

/* Appends to the file, so that what PRE_COPY and STOP_COPY give ends up in one. */
static void cmd_read(struct mig_ctl *ctl)
{
	const int how = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
	struct mig_stream s = {};
	int fd, ret;

	fd = ctl->argc > 1 ? open(ctl->argv[1], how, 0600) : -1;
	if (fd < 0) {
		ctl_err(ctl->argc > 1 ? errno : EINVAL, "file to write to");
		return;
	}
	ret = mig_drain(ctl->data_fd, &s, chunk_of(ctl));
	if (ret && ret != -ENOMSG)
		ctl_err(ret, "read");
	else if (write(fd, s.data, s.len) != (ssize_t)s.len)
		ctl_err(errno, ctl->argv[1]);
	else
		ctl_ok("%zu %s", s.len, ret ? "more" : "end");
	mig_stream_free(&s);
	close(fd);
}

static void cmd_write(struct mig_ctl *ctl)
{
	struct mig_stream s = {};
	int fd, ret;

	fd = ctl->argc > 1 ? open(ctl->argv[1], O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0) {
		ctl_err(ctl->argc > 1 ? errno : EINVAL, "file to read from");
		return;
	}
	ret = mig_drain(fd, &s, MIG_BULK);
	if (!ret)
		ret = mig_fill(ctl->data_fd, s.data, s.len, chunk_of(ctl), NULL);
	if (ret)
		ctl_err(ret, "write");
	else
		ctl_ok("%zu", s.len);
	mig_stream_free(&s);
	close(fd);
}

static void cmd_reset(struct mig_ctl *ctl)
{
	int ret = vdev_reset(&ctl->dev);

	if (ret)
		ctl_err(ret, "reset");
	else
		ctl_ok("RUNNING");
}

/* The device, but not its data fd */
static void cmd_close(struct mig_ctl *ctl)
{
	vdev_close(&ctl->dev);
	ctl_ok("closed");
}

static const struct mig_command commands[] = {
	{ "state", "", cmd_state },
	{ "flags", "", cmd_flags },
	{ "set", "STATE", cmd_set },
	{ "size", "", cmd_size },
	{ "precopy", "", cmd_precopy },
	{ "read", "FILE [CHUNK]", cmd_read },
	{ "write", "FILE [CHUNK]", cmd_write },
	{ "reset", "", cmd_reset },
	{ "close", "", cmd_close },
	{ NULL, NULL, NULL },
};

static const struct mig_command *find(const struct mig_command *c, const char *name)
{
	for (; c && c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

static void usage(const struct mig_ctl *ctl, const char *prog)
{
	const struct mig_command *lists[] = { commands, ctl->more };

	fprintf(stderr, "Usage: %s [-m group|cdev] BDF\nCommands on stdin, answers on stdout:\n",
		prog);
	for (int i = 0; i < 2; i++)
		for (const struct mig_command *c = lists[i]; c && c->name; c++)
			fprintf(stderr, "\t%s %s\n", c->name, c->args);
	fprintf(stderr, "\tquit\n");
	exit(1);
}

void mig_ctl_open(struct mig_ctl *ctl, int argc, char **argv)
{
	const char *mode = getenv("VFIO_TEST_MODE") ?: "group";
	int opt;

	setvbuf(stdout, NULL, _IOLBF, 0);
	ctl->data_fd = -1;
	while ((opt = getopt(argc, argv, "m:")) != -1) {
		if (opt != 'm')
			usage(ctl, argv[0]);
		mode = optarg;
	}
	if (optind != argc - 1 || (strcmp(mode, "group") && strcmp(mode, "cdev")))
		usage(ctl, argv[0]);
	if (vdev_open(&ctl->dev, argv[optind], strcmp(mode, "cdev") ? VDEV_GROUP : VDEV_CDEV))
		exit(1);
}

int mig_ctl_loop(struct mig_ctl *ctl)
{
	char line[4096];

	while (fgets(line, sizeof(line), stdin)) {
		const struct mig_command *c;
		char *save;

		ctl->argc = 0;
		for (char *word = strtok_r(line, " \t\n", &save); word && ctl->argc < 8;
		     word = strtok_r(NULL, " \t\n", &save))
			ctl->argv[ctl->argc++] = word;
		if (!ctl->argc)
			continue;
		if (!strcmp(ctl->argv[0], "quit"))
			break;
		c = find(commands, ctl->argv[0]) ?: find(ctl->more, ctl->argv[0]);
		if (c)
			c->run(ctl);
		else
			ctl_err(EINVAL, "no such command");
	}
	drop_data_fd(ctl);
	vdev_close(&ctl->dev);
	return 0;
}
