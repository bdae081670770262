// SPDX-License-Identifier: GPL-2.0-only
/* vfioctl bind, vfioctl unbind: which driver has a device */

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vfioctl.h"

/* What it means that a driver does not take a device */
static const struct {
	int error;
	const char *meaning;
} meanings[] = {
	{ EBUSY, "it has VFs, or is in use; see dmesg" },
	{ EINVAL, "the driver or its IOMMU does not take this device; see dmesg" },
	{ ENODEV, "the driver is not for this device" },
	{ ENOENT, "there is no such driver, nor a module of that name; install it" },
	{ EAGAIN, "the driver waits for something that is not there yet; see dmesg" },
	{ EACCES, "it takes root to do that" },
	{ EPERM, "it takes root to do that" },
	{ ENOTSUP, "it is no driver of VFIO" },
};

static const char *meaning(int error)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(*meanings); i++)
		if (meanings[i].error == error)
			return meanings[i].meaning;
	return "see dmesg";
}

/* A device on its way from one driver to another */
struct move {
	struct udev_device *device;
	const char *bdf;
	/* Its driver and override before; NULL: none */
	char *from, *override;
	/* The driver of VFIO that it goes to; NULL: what the kernel finds for it */
	char *to;
	/* It is there already; something was changed */
	bool done, touched;
	/* Do nothing, collect the commands that would do it */
	json_t *dry;
};

/* Write into a file of sysfs. Return: 0 or a negative errno */
static int __printf(3, 4) tell(struct move *m, const char *value, const char *format, ...)
{
	va_list args;
	char *path;
	int ret;

	va_start(args, format);
	path = vtext(format, args);
	va_end(args);
	if (m->dry)
		ret = json_array_append_new(m->dry, sentence("echo%s%s >%s", *value ? " " : "",
							     value, path));
	else
		ret = file_write(value, "%s", path);
	free(path);
	return ret;
}

/* Its driver lets go of it, and may not have it back. */
static int release(struct move *m, const char *override)
{
	char *driver = device_driver(m->device);
	int ret;

	ret = tell(m, override ?: "", "/sys/bus/pci/devices/%s/driver_override", m->bdf);
	m->touched |= !ret;
	if (!ret && driver)
		ret = tell(m, m->bdf, "/sys/bus/pci/drivers/%s/unbind", driver);
	free(driver);
	return ret;
}

/* What the driver is called shows when its module has been loaded. */
static void load_later(struct move *m)
{
	char *module = text("%s", m->to);

	json_array_append_new(m->dry, sentence("modprobe %s", module));
	if (strcmp(module, "vfio-pci")) {
		for (char *at = module; *at; at++)
			*at = *at == '-' ? '_' : *at;
		json_array_append_new(m->dry, sentence("driver=$(basename /sys/module/%s/drivers/"
						       "pci:* | cut -d: -f2)", module));
		free(m->to);
		m->to = text("$driver");
	}
	free(module);
}

static int to_vfio(struct move *m)
{
	bool good;
	char *vfio;
	int ret = 0;

	if (!m->dry)
		ret = driver_load(&m->to);
	else if (!driver_there(m->to))
		load_later(m);
	ret = ret ?: release(m, m->to);
	ret = ret ?: tell(m, m->bdf, "/sys/bus/pci/drivers/%s/bind", m->to);
	if (ret || m->dry)
		return ret;
	vfio = device_vfio(m->device);
	good = vfio;
	free(vfio);
	return good ? 0 : -ENOTSUP;
}

/* The host may be kept from having VFs. */
static bool host_may_have(struct move *m)
{
	char *allowed = file_line("/sys/bus/pci/devices/%s/physfn/sriov_drivers_autoprobe", m->bdf);
	bool may = !allowed || *allowed != '0';

	free(allowed);
	return may;
}

static int to_host(struct move *m)
{
	const char *modalias = device_attr(m->device, "modalias");
	bool may = host_may_have(m), known = may && modalias && module_known(modalias), bound;
	char *driver;
	int ret;

	/* What udev did when it saw the device; somebody may have unloaded it. */
	if (known && m->dry)
		json_array_append_new(m->dry, sentence("modprobe '%s'", modalias));
	else if (known)
		module_load(modalias);
	ret = release(m, NULL);
	if (!ret && may)
		ret = tell(m, m->bdf, "/sys/bus/pci/drivers_probe");
	if (ret || m->dry)
		return ret;
	driver = device_driver(m->device);
	bound = driver;
	free(driver);
	return bound || !known ? 0 : -ENODEV;
}

/* As it was before */
static int restore(struct move *m)
{
	int ret = release(m, m->override);

	if (!ret && m->from)
		ret = tell(m, m->bdf, "/sys/bus/pci/drivers/%s/bind", m->from);
	return ret;
}

static int perform(struct move *m)
{
	int ret = m->to ? to_vfio(m) : to_host(m);
	struct user owner = {};

	if (!ret)
		return EXIT_YES;
	/* For a driver that the kernel finds itself it has but one errno. */
	if (ret == -EBUSY || !m->to)
		owner = group_owner(device_group(m->device));
	if (owner.pid)
		fail("%s does not go from %s to %s: process %d (%s) has its group; end that",
		     m->bdf, m->from ?: "no driver", m->to ?: "the host's", owner.pid, owner.name);
	else
		fail("%s does not go from %s to %s: %s, %s", m->bdf, m->from ?: "no driver",
		     m->to ?: "the host's", strerror(-ret), meaning(-ret));
	ret = m->touched ? restore(m) : 0;
	if (ret)
		fail("nor does it go back to %s: %s, %s", m->from ?: "no driver", strerror(-ret),
		     meaning(-ret));
	return EXIT_NO;
}

/* Is there anything to do, and is it no harm? Return: EXIT_YES, or EXIT_NO after a complaint */
static int check(struct move *m, bool bind, bool force)
{
	json_t *needs, *need;
	size_t i;

	if (m->done)
		return EXIT_YES;
	if (bind && !m->to && device_is_bridge(m->device))
		return fail("%s stays as it is: it is a bridge, which VFIO does not hand out; take"
			    " what is behind it", m->bdf);
	if (bind && !m->to)
		return fail("no driver of VFIO is for %s; install the module vfio-pci", m->bdf);
	if (m->to && device_group(m->device) < 0)
		return fail("%s has no IOMMU group; see 'vfioctl doctor %s'", m->bdf, m->bdf);
	needs = force ? json_array() : host_needs(m->device);
	json_array_foreach(needs, i, need)
		fail("%s stays as it is: %s, or use --force", m->bdf, json_string_value(need));
	json_decref(needs);
	return i ? EXIT_NO : EXIT_YES;
}

/* Return: EXIT_YES, or another after a complaint */
static int find(struct move *m, const char *bdf, bool bind, const char *driver)
{
	char *override, *vfio;
	int ret = device_find(bdf, &m->device);

	if (ret)
		return ret;
	m->bdf = device_bdf(m->device);
	m->from = device_driver(m->device);
	override = file_line("/sys/bus/pci/devices/%s/driver_override", m->bdf);
	if (override && strcmp(override, "(null)"))
		m->override = override;
	else
		free(override);
	if (!bind) {
		vfio = device_vfio(m->device);
		m->done = !vfio && !m->override;
		free(vfio);
		return EXIT_YES;
	}
	m->to = driver ? text("%s", driver) : driver_best(m->device);
	m->done = m->from && m->to && !strcmp(m->from, m->to);
	return EXIT_YES;
}

static json_t *report(struct move *m)
{
	char *driver = device_driver(m->device);
	json_t *entry = json_pack("{s:s, s:s?, s:s?}", "device", m->bdf, "previous", m->from,
				  "driver", driver);

	if (m->dry)
		json_object_set(entry, "commands", m->dry);
	free(driver);
	return entry;
}

static void show(json_t *entry)
{
	json_t *commands = json_object_get(entry, "commands"), *command;
	size_t i;

	if (!commands)
		printf("%s: %s\n", json_text(entry, "device"),
		       json_text(entry, "driver") ?: "no driver");
	json_array_foreach(commands, i, command)
		printf("%s\n", json_string_value(command));
}

static int rebind(int argc, char **argv, const struct option *options, bool bind)
{
	bool force = false, dry = false;
	const char *driver = NULL;
	struct move *moves, *m;
	json_t *reports, *entry;
	int option, ret = EXIT_YES;
	size_t i;

	while ((option = next_option(argc, argv, options)) >= 0) {
		force |= option == 'f';
		dry |= option == 'n';
		if (option == 'd')
			driver = optarg;
	}
	if (optind == argc)
		return fail_usage("%s takes devices", argv[0]);

	moves = calloc(argc - optind + 1, sizeof(*moves));
	if (!moves)
		abort();
	/* All of them, or none: whoever names several wants them together. */
	for (m = moves; !ret && optind < argc; m++, optind++)
		ret = find(m, argv[optind], bind, driver);
	for (m = moves; ret != EXIT_USAGE && m->bdf; m++)
		ret |= check(m, bind, force);

	reports = json_array();
	for (m = moves; !ret && m->bdf; m++) {
		m->dry = dry ? json_array() : NULL;
		if (!m->done)
			ret = perform(m);
		json_array_append_new(reports, report(m));
	}
	if (json_wanted)
		print_json(json_incref(reports));
	else
		json_array_foreach(reports, i, entry)
			show(entry);
	json_decref(reports);
	for (m = moves; m->bdf; m++) {
		json_decref(m->dry);
		free(m->to);
		free(m->override);
		free(m->from);
		udev_device_unref(m->device);
	}
	free(moves);
	return ret;
}

int cmd_bind(int argc, char **argv)
{
	static const struct option options[] = {
		{ "driver", required_argument, NULL, 'd' },
		{ "force", no_argument, NULL, 'f' },
		{ "dry-run", no_argument, NULL, 'n' },
		{}
	};

	return rebind(argc, argv, options, true);
}

int cmd_unbind(int argc, char **argv)
{
	static const struct option options[] = {
		{ "force", no_argument, NULL, 'f' },
		{ "dry-run", no_argument, NULL, 'n' },
		{}
	};

	return rebind(argc, argv, options, false);
}
