// SPDX-License-Identifier: GPL-2.0-only
/* Drivers and their modules */

#include <errno.h>
#include <fnmatch.h>
#include <libkmod.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "vfioctl.h"

static struct kmod_ctx *kmod(void)
{
	static struct kmod_ctx *context;

	if (!context) {
		context = kmod_new(NULL, NULL);
		if (!context)
			abort();
		/* What goes wrong is in the results. */
		kmod_set_log_priority(context, 0);
	}
	return context;
}

/*
 * How well a module fits a device: the fewer wildcards its alias has, the better. Of two that fit
 * equally well, the one on vfio-pci-mig, which tells more of itself. -1: not at all
 */
static int fitness(struct kmod_module *module, const char *modalias)
{
	struct kmod_list *info = NULL, *entry;
	int wildcards = INT_MAX;
	bool on_mig = false;

	if (kmod_module_get_info(module, &info) < 0)
		return -1;
	kmod_list_foreach(entry, info) {
		const char *key = kmod_module_info_get_key(entry);
		const char *value = kmod_module_info_get_value(entry);
		int n = 0;

		on_mig |= !strcmp(key, "depends") && strstr(value, "vfio-pci-mig");
		if (strcmp(key, "alias") || fnmatch(value, modalias, 0))
			continue;
		for (; *value; value++)
			n += *value == '*';
		if (n < wildcards)
			wildcards = n;
	}
	kmod_module_info_free_list(info);
	return wildcards == INT_MAX ? -1 : 2 * (100 - wildcards) + on_mig;
}

/* The driver that a module brings. Only a module that is loaded tells for sure. */
static char *driver_of(const char *module)
{
	json_t *paths = file_paths("/sys/module/%s/drivers/pci:*", module);
	const char *path = json_string_value(json_array_get(paths, 0));
	char *driver;

	if (path)
		driver = text("%s", basename(path) + strlen("pci:"));
	else
		driver = text("%s", strcmp(module, "vfio_pci") ? module : "vfio-pci");
	json_decref(paths);
	return driver;
}

char *driver_best(struct udev_device *device)
{
	const char *modalias = device_attr(device, "modalias");
	struct kmod_list *modules = NULL, *entry;
	char *wanted, *driver = NULL;
	int best = -1;

	if (device_is_bridge(device) || !modalias || strncmp(modalias, "pci:", 4))
		return NULL;
	wanted = text("vfio_pci:%s", modalias + 4);
	kmod_module_new_from_lookup(kmod(), wanted, &modules);
	kmod_list_foreach(entry, modules) {
		struct kmod_module *module = kmod_module_get_module(entry);
		int fits = fitness(module, wanted);

		if (fits > best) {
			best = fits;
			free(driver);
			driver = driver_of(kmod_module_get_name(module));
		}
		kmod_module_unref(module);
	}
	kmod_module_unref_list(modules);
	free(wanted);
	return driver;
}

bool driver_there(const char *driver)
{
	return file_exists("/sys/bus/pci/drivers/%s", driver);
}

int module_load(const char *name)
{
	struct kmod_list *modules = NULL, *entry;
	int ret = kmod_module_new_from_lookup(kmod(), name, &modules);

	if (ret >= 0 && !modules)
		ret = -ENOENT;
	kmod_list_foreach(entry, modules) {
		struct kmod_module *module = kmod_module_get_module(entry);

		if (ret >= 0)
			ret = kmod_module_probe_insert_module(module, 0, NULL, NULL, NULL, NULL);
		kmod_module_unref(module);
	}
	kmod_module_unref_list(modules);
	return ret < 0 ? ret : 0;
}

int driver_load(char **driver)
{
	struct kmod_module *module;
	char *name;
	int ret;

	if (driver_there(*driver))
		return 0;
	ret = module_load(*driver);
	if (ret || kmod_module_new_from_name(kmod(), *driver, &module) < 0)
		return ret ?: -ENOENT;
	/* As the module is spelled */
	name = driver_of(kmod_module_get_name(module));
	kmod_module_unref(module);
	free(*driver);
	*driver = name;
	return driver_there(name) ? 0 : -ENOENT;
}

bool module_known(const char *name)
{
	struct kmod_list *modules = NULL;
	bool known = kmod_module_new_from_lookup(kmod(), name, &modules) >= 0 && modules;

	kmod_module_unref_list(modules);
	return known;
}
