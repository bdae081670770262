// SPDX-License-Identifier: GPL-2.0-only
/* What is known about a PCI function */

#include <limits.h>
#include <pci/pci.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vfioctl.h"

/* What has to be enabled of ACS for a port to keep apart what is below it */
#define ACS_ISOLATION (PCI_ACS_CTRL_VALID | PCI_ACS_CTRL_REQ_RED | PCI_ACS_CTRL_CMPLT_RED | \
		       PCI_ACS_CTRL_FORWARD)

struct udev *udev_context(void)
{
	static struct udev *context;

	if (!context)
		context = udev_new();
	if (!context)
		abort();
	return context;
}

bool bdf_parse(const char *bdf, char name[BDF_SIZE])
{
	bool has_domain = strchr(bdf, ':') != strrchr(bdf, ':');
	unsigned int domain, bus, slot, function;
	char *full = text("%s%s", has_domain ? "" : "0:", bdf);
	int end = 0;
	bool good = sscanf(full, "%8x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &end) == 4 &&
		    !full[end];

	free(full);
	if (good)
		snprintf(name, BDF_SIZE, "%04x:%02x:%02x.%x", domain, bus, slot, function);
	return good;
}

struct udev_device *device_get(const char *name)
{
	return udev_device_new_from_subsystem_sysname(udev_context(), "pci", name);
}

int device_find(const char *bdf, struct udev_device **device)
{
	char name[BDF_SIZE];

	if (!bdf_parse(bdf, name))
		return fail_usage("'%s' is no address of a PCI function", bdf);
	*device = device_get(name);
	if (!*device)
		return fail("there is no PCI function %s; see 'vfioctl list --all'", name);
	return EXIT_YES;
}

const char *device_bdf(struct udev_device *device)
{
	return udev_device_get_sysname(device);
}

const char *device_attr(struct udev_device *device, const char *name)
{
	return udev_device_get_sysattr_value(device, name);
}

/* A number, as sysfs writes those in hexadecimal; 0 if there is none */
static unsigned int device_number(struct udev_device *device, const char *name)
{
	const char *value = device_attr(device, name);

	return value ? strtoul(value, NULL, 0) : 0;
}

char *device_link(struct udev_device *device, const char *name)
{
	char target[PATH_MAX], *path = text("%s/%s", udev_device_get_syspath(device), name);
	ssize_t length = readlink(path, target, sizeof(target) - 1);

	free(path);
	if (length < 0)
		return NULL;
	target[length] = '\0';
	return text("%s", basename(target));
}

char *device_driver(struct udev_device *device)
{
	return device_link(device, "driver");
}

int device_group(struct udev_device *device)
{
	char *group = device_link(device, "iommu_group");
	int number = group ? atoi(group) : -1;

	free(group);
	return number;
}

struct udev_device *device_pf(struct udev_device *device)
{
	char *pf = device_link(device, "physfn");
	struct udev_device *function = pf ? device_get(pf) : NULL;

	free(pf);
	return function;
}

unsigned int device_vfs(struct udev_device *device)
{
	return device_number(device, "sriov_numvfs");
}

enum answer device_enabled(struct udev_device *device)
{
	return device_attr(device, "enable") ? device_number(device, "enable") > 0 : UNKNOWN;
}

bool device_is_bridge(struct udev_device *device)
{
	return device_number(device, "class") >> 16 == PCI_BASE_CLASS_BRIDGE &&
	       device_attr(device, "secondary_bus_number");
}

char *device_vfio(struct udev_device *device)
{
	json_t *paths = file_paths("%s/vfio-dev/*", udev_device_get_syspath(device));
	const char *path = json_string_value(json_array_get(paths, 0));
	char *name = path ? text("%s", basename(path)) : NULL;

	json_decref(paths);
	return name;
}

/* What a file of one digit says */
static enum answer device_flag(struct udev_device *device, const char *name)
{
	const char *value = device_attr(device, name);

	return value ? *value == '1' : UNKNOWN;
}

enum answer device_migrates(struct udev_device *device, const char **reason)
{
	enum answer answer = device_flag(device, "vfio_pci_mig/supported");
	char *driver, *vfio;

	*reason = answer == NO ? device_attr(device, "vfio_pci_mig/reason") : NULL;
	if (answer != UNKNOWN)
		return answer;
	driver = device_driver(device);
	vfio = device_vfio(device);
	answer = vfio && strcmp(driver ?: "", "vfio-pci") ? UNKNOWN : NO;
	free(vfio);
	free(driver);
	return answer;
}

const char *reason_text(const char *reason)
{
	/* Documentation/ABI/testing/sysfs-bus-pci-drivers-vfio-pci-mig */
	static const struct {
		const char *word, *text;
	} reasons[] = {
		{ "no-pf", "this is not a virtual function whose PF is in this system" },
		{ "pf-driver", "its PF is not bound to the HiSilicon driver of its kind" },
		{ "hardware", "its hardware is older than Kunpeng 930" },
		{ "shared-group", "it is in the IOMMU group of its PF" },
		{ "memory", "out of memory" },
		{ "pf-resetting", "its PF was being reset; bind it again" },
		{ "bar", "the BAR of its registers is too small" },
		{ "pf-window", "its window in the BAR of its PF is missing" },
		{ "queue-table", "its entry of the queue table cannot be read" },
		{ "no-queues", "it has no queues of its own" },
		{ "bar-mapping", "its registers cannot be mapped" },
		{ "mapping", "this kernel maps its BARs in a way unknown to this driver" },
		{ "unknown", "its driver gives no reason" },
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		if (!strcmp(reason, reasons[i].word))
			return reasons[i].text;
	return reason;
}

json_t *device_state(struct udev_device *device)
{
	const char *state = device_attr(device, "vfio_pci_mig/state");

	return json_pack("{s:s?, s:o}",
			 "state", state && strcmp(state, "none") ? state : NULL, "reset_pending",
			 answer_json(device_flag(device, "vfio_pci_mig/reset_pending")));
}

char *state_text(json_t *object)
{
	const char *state = json_text(object, "state");
	bool reset = json_is_true(json_object_get(object, "reset_pending"));

	return state ? text("%s%s", state, reset ? " reset" : "") : NULL;
}

static struct pci_access *pci_context(void)
{
	static struct pci_access *context;

	if (!context) {
		context = pci_alloc();
		pci_init(context);
	}
	return context;
}

char *device_name(struct udev_device *device)
{
	char name[256];

	return text("%s", pci_lookup_name(pci_context(), name, sizeof(name),
					  PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE,
					  device_number(device, "vendor"),
					  device_number(device, "device")));
}

/* Does a bridge keep nothing apart? If so, *why is constant; if only root can tell it is NULL. */
static bool not_isolating(struct udev_device *bridge, const char **why)
{
	unsigned int domain, bus, slot, function, type;
	struct pci_cap *express, *acs;
	unsigned int flags = 0;
	struct pci_dev *dev;
	bool hidden;

	*why = NULL;
	if (sscanf(device_bdf(bridge), "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
		return false;
	dev = pci_get_dev(pci_context(), domain, bus, slot, function);
	pci_fill_info(dev, PCI_FILL_CAPS | PCI_FILL_EXT_CAPS);
	express = pci_find_cap(dev, PCI_CAP_ID_EXP, PCI_CAP_NORMAL);
	acs = pci_find_cap(dev, PCI_EXT_CAP_ID_ACS, PCI_CAP_EXTENDED);
	/* Where they are, others than root do not get that far. */
	hidden = !dev->first_cap && pci_read_word(dev, PCI_STATUS) & PCI_STATUS_CAP_LIST;
	if (express)
		flags = pci_read_word(dev, express->addr + PCI_EXP_FLAGS);
	type = (flags & PCI_EXP_FLAGS_TYPE) >> 4;
	if (hidden)
		*why = NULL;
	else if (!express || type == PCI_EXP_TYPE_PCI_BRIDGE)
		*why = "leads to a bus of conventional PCI";
	else if (type == PCI_EXP_TYPE_ROOT_PORT || type == PCI_EXP_TYPE_DOWNSTREAM)
		*why = !acs ? "has no ACS" :
		       ~pci_read_word(dev, acs->addr + PCI_ACS_CTRL) & ACS_ISOLATION ?
		       "does not have ACS enabled" : NULL;
	pci_free_dev(dev);
	return hidden || *why;
}

struct udev_device *device_not_isolated(struct udev_device *device, const char **why)
{
	struct udev_device *bridge = device;

	do
		bridge = udev_device_get_parent_with_subsystem_devtype(bridge, "pci", NULL);
	while (bridge && !not_isolating(bridge, why));
	return bridge;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(device_bdf(*(struct udev_device *const *)a),
		      device_bdf(*(struct udev_device *const *)b));
}

struct udev_device **device_all(void)
{
	struct udev_enumerate *scan = udev_enumerate_new(udev_context());
	struct udev_list_entry *entry;
	struct udev_device **all;
	size_t n = 0;

	if (!scan || udev_enumerate_add_match_subsystem(scan, "pci") < 0 ||
	    udev_enumerate_scan_devices(scan) < 0)
		abort();
	udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(scan))
		n++;
	all = calloc(n + 1, sizeof(*all));
	if (!all)
		abort();
	n = 0;
	udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(scan)) {
		const char *path = udev_list_entry_get_name(entry);

		all[n] = udev_device_new_from_syspath(udev_context(), path);
		if (all[n])
			n++;
	}
	udev_enumerate_unref(scan);
	qsort(all, n, sizeof(*all), by_name);
	return all;
}

struct udev_device **group_devices(int group)
{
	json_t *links = file_paths("/sys/kernel/iommu_groups/%d/devices/*", group), *link;
	struct udev_device **all = calloc(json_array_size(links) + 1, sizeof(*all));
	size_t i, found = 0;

	if (!all)
		abort();
	json_array_foreach(links, i, link) {
		char *path = realpath(json_string_value(link), NULL);

		if (path)
			all[found] = udev_device_new_from_syspath(udev_context(), path);
		if (all[found])
			found++;
		free(path);
	}
	json_decref(links);
	return all;
}

void device_free_all(struct udev_device **devices)
{
	for (struct udev_device **device = devices; *device; device++)
		udev_device_unref(*device);
	free(devices);
}
