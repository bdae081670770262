// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfio_mig_ctl with a guest in the VF: that of an accelerator, whose queues are set up and that can
 * be given jobs between the states of a migration, as long as the program lives.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/hisi_migrate.h"
#include "lib/mig_ctl.h"

static void answer(struct mig_ctl *ctl, int ret)
{
	if (ret < 0)
		ctl_err(ret, ctl->argv[0]);
	else
		ctl_ok("%u outstanding", hacc_outstanding(ctl->priv));
}

/* After a reset, or in the first place */
static void cmd_start(struct mig_ctl *ctl)
{
	int ret = hacc_attach(ctl->priv, &ctl->dev);

	answer(ctl, ret ?: hacc_start(ctl->priv));
}

/* As a VMM that loads configuration space, with bus mastering, which a reset of the PF clears */
static void cmd_attach(struct mig_ctl *ctl)
{
	answer(ctl, hacc_attach(ctl->priv, &ctl->dev));
}

static void cmd_post(struct mig_ctl *ctl)
{
	unsigned int jobs = ctl->argc > 1 ? strtoul(ctl->argv[1], NULL, 0) : 0;

	answer(ctl, hacc_post_all(ctl->priv, jobs));
}

static void cmd_wait(struct mig_ctl *ctl)
{
	answer(ctl, hacc_settle(ctl->priv));
}

static void cmd_unfinished(struct mig_ctl *ctl)
{
	ctl_ok("%u", hacc_unfinished(ctl->priv));
}

/* As a driver that is unloaded: queues and tables stay behind. */
static void cmd_unload(struct mig_ctl *ctl)
{
	hacc_stop(ctl->priv);
	answer(ctl, 0);
}

static void cmd_peek(struct mig_ctl *ctl)
{
	if (ctl->argc < 2)
		ctl_err(EINVAL, "register");
	else
		ctl_ok("0x%x", hacc_read(ctl->priv, strtoul(ctl->argv[1], NULL, 0)));
}

static void cmd_poke(struct mig_ctl *ctl)
{
	if (ctl->argc < 3) {
		ctl_err(EINVAL, "register and value");
		return;
	}
	hacc_write(ctl->priv, strtoul(ctl->argv[1], NULL, 0), strtoul(ctl->argv[2], NULL, 0));
	answer(ctl, 0);
}

static void cmd_restart(struct mig_ctl *ctl)
{
	answer(ctl, hacc_restart(ctl->priv));
}

/* Does the device leave the guest's memory alone? */
static void cmd_frozen(struct mig_ctl *ctl)
{
	unsigned int ms = ctl->argc > 1 ? strtoul(ctl->argv[1], NULL, 0) : 0;
	__u8 *copy;
	int ret;

	ret = hmig_freeze(ctl->priv, &copy);
	if (!ret) {
		usleep(ms * 1000);
		ret = hmig_frozen(ctl->priv, copy);
	}
	answer(ctl, ret);
}

/* The kernel touches it, which answers with an errno, not with a signal. */
static void cmd_touch(struct mig_ctl *ctl)
{
	const struct hacc *a = ctl->priv;
	int fd[2], ret;

	ret = pipe2(fd, O_CLOEXEC) ? -errno : 0;
	if (!ret) {
		ret = write(fd[1], (const void *)a->regs, 4) < 0 ? -errno : 0;
		close(fd[0]);
		close(fd[1]);
	}
	answer(ctl, ret);
}

static const struct mig_command commands[] = {
	{ "start", "\t\tset up the queues, as a guest's driver does", cmd_start },
	{ "attach", "\tmap the registers, enable bus mastering", cmd_attach },
	{ "post", "[JOBS]\tpost so many jobs on each queue, or as many as fit", cmd_post },
	{ "wait", "\t\tuntil all posted jobs are done and right", cmd_wait },
	{ "unfinished", "\tposted jobs without a completion in memory", cmd_unfinished },
	{ "unload", "\tas a guest's driver that is removed", cmd_unload },
	{ "peek", "OFFSET\tread a register", cmd_peek },
	{ "poke", "OFFSET VALUE\twrite a register", cmd_poke },
	{ "restart", "\tring the restart doorbell of each queue", cmd_restart },
	{ "frozen", "MS\tis the guest's memory the same for so long?", cmd_frozen },
	{ "touch", "\t\ta register, through the mapping", cmd_touch },
	{ NULL, NULL, NULL },
};

int main(int argc, char **argv)
{
	struct hacc acc;
	struct mig_ctl ctl = { .more = commands, .priv = &acc };
	int ret;

	mig_ctl_open(&ctl, argc, argv);
	ret = hacc_create(&acc, &hacc_default);
	if (!ret)
		ret = hacc_map(&acc, &ctl.dev);
	if (!ret)
		ret = hacc_attach(&acc, &ctl.dev);
	if (ret) {
		printf("# %s: %s\n", ctl.dev.bdf, strerror(-ret));
		return 1;
	}
	ret = mig_ctl_loop(&ctl);
	hacc_destroy(&acc);
	return ret;
}
