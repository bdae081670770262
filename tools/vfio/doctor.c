// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfioctl doctor: what would happen to a VMM that opens a device
 *
 * A VMM makes a few calls, one after the other, and the first that fails is all that its user gets
 * to know: an errno with a dozen possible causes. This goes through the causes in the order in
 * which the kernel checks them. Nothing of VFIO is opened.
 */

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "vfioctl.h"

/* The ways to a device, and what a VMM calls on them */
enum path { GROUP, CDEV, PATHS };

enum { OPEN, GET_STATUS, SET_CONTAINER, SET_IOMMU, GET_DEVICE_FD, ALL_CALLS };
enum { BIND_IOMMUFD = OPEN + 1, ATTACH_IOMMUFD_PT };

static const char *const path_names[PATHS] = { [GROUP] = "group", [CDEV] = "cdev" };
static const char *const call_names[PATHS][ALL_CALLS] = {
	[GROUP] = { "open", "VFIO_GROUP_GET_STATUS", "VFIO_GROUP_SET_CONTAINER", "VFIO_SET_IOMMU",
		    "VFIO_GROUP_GET_DEVICE_FD" },
	[CDEV] = { "open", "VFIO_DEVICE_BIND_IOMMUFD", "VFIO_DEVICE_ATTACH_IOMMUFD_PT" },
};

struct doctor {
	struct udev_device *device;
	const char *bdf;
	int group;
	char *driver;
	/* Its name in VFIO, NULL unless a driver of VFIO has it */
	char *vfio;
	const char *token;
	/* Containers are IOMMUFD's: what they would refuse to take is refused when devices are opened. */
	bool compat;
	/* What was found about each path: the first call that fails, and how; or that it may */
	struct {
		int call, error;
		bool doubtful;
	} path[PATHS];
	/* Paths that the next finding is about */
	bool concerned[PATHS];
	json_t *findings;
};

/* A call fails. If more than one thing makes it fail, the kernel comes to the first first. */
static void refuse(struct doctor *d, enum path path, int call, int error)
{
	if (call < d->path[path].call) {
		d->path[path].call = call;
		d->path[path].error = error;
	}
	d->concerned[path] = true;
}

/* A call may fail. */
static void doubt(struct doctor *d, enum path path)
{
	d->path[path].doubtful = true;
	d->concerned[path] = true;
}

/**
 * finding() - What the last refusals and doubts come from
 * @code: its name for programs
 * @details: an object with what else there is to say: the remedy, the culprit, ...; may be NULL
 * @format: one sentence
 */
static void __printf(4, 5) finding(struct doctor *d, const char *code, json_t *details,
				   const char *format, ...)
{
	json_t *paths = json_array(), *finding;
	va_list args;

	for (int path = 0; path < PATHS; path++) {
		if (d->concerned[path])
			json_array_append_new(paths, json_string(path_names[path]));
		d->concerned[path] = false;
	}
	va_start(args, format);
	finding = json_pack("{s:s, s:o, s:o}", "code", code, "paths", paths,
			    "message", json_vsprintf(format, args));
	va_end(args);
	json_object_update(finding, details);
	json_decref(details);
	json_array_append_new(d->findings, finding);
}

static bool read_line(const char *path, char *line, int size)
{
	FILE *file = fopen(path, "r");
	bool good = file && fgets(line, size, file);

	if (good)
		line[strcspn(line, "\n")] = '\0';
	if (file)
		fclose(file);
	return good;
}

static bool exists(const char *pattern)
{
	glob_t found;
	bool some = !glob(pattern, GLOB_NOSORT, NULL, &found);

	globfree(&found);
	return some;
}

static bool check_iommu(struct doctor *d)
{
	char *path = text("/sys/kernel/iommu_groups/%d/name", d->group), name[64] = "";
	bool fake = read_line(path, name, sizeof(name)) && !strcmp(name, "vfio-noiommu");

	free(path);
	if (d->group >= 0 && !fake)
		return true;
	refuse(d, GROUP, OPEN, ENOENT);
	refuse(d, CDEV, OPEN, ENOENT);
	if (exists("/sys/class/iommu/*"))
		finding(d, "no-iommu",
			json_pack("{s:o}", "remedy", json_sprintf("dmesg | grep %s", d->bdf)),
			"%s is behind no IOMMU, or its IOMMU does not take it, as it happens to all"
			" but one of the devices behind a bridge to conventional PCI", d->bdf);
	else
		finding(d, "no-iommu",
			json_pack("{s:s}", "remedy",
				  "enable it in the firmware and, for Intel's, boot with intel_iommu=on"),
			"the kernel drives no IOMMU");
	return false;
}

/* Not a driver of VFIO's: it has no nodes, unless another device of the group brings that of the group */
static void check_driver(struct doctor *d)
{
	char *node = text("/sys/class/vfio/%d", d->group), *best = driver_best(d->device);
	bool stub = d->driver && !strcmp(d->driver, "pci-stub");

	if (d->vfio)
		goto out;
	if (!exists(node))
		refuse(d, GROUP, OPEN, ENOENT);
	else if (d->driver && !stub)
		refuse(d, GROUP, d->compat ? GET_DEVICE_FD : SET_CONTAINER, d->compat ? ENODEV : EPERM);
	else
		refuse(d, GROUP, GET_DEVICE_FD, ENODEV);
	refuse(d, CDEV, OPEN, ENOENT);
	if (device_is_bridge(d->device))
		finding(d, "bridge", NULL, "%s is a bridge, which VFIO does not hand out", d->bdf);
	else if (device_vfs(d->device))
		finding(d, "not-bound",
			json_pack("{s:o}", "remedy",
				  json_sprintf("echo 0 >/sys/bus/pci/devices/%s/sriov_numvfs && vfioctl bind %s",
					       d->bdf, d->bdf)),
			"%s is not bound to a driver of VFIO, nor can it be as long as it has VFs", d->bdf);
	else if (!best)
		finding(d, "no-module",
			json_pack("{s:s}", "remedy", "install the kernel's module vfio-pci"),
			"%s is not bound to a driver of VFIO, and this system has none", d->bdf);
	else
		finding(d, "not-bound",
			json_pack("{s:o}", "remedy", json_sprintf("vfioctl bind %s", d->bdf)),
			"%s is not bound to a driver of VFIO", d->bdf);
out:
	free(best);
	free(node);
}

/* Has the kernel this node, and may whoever asks open it? False if not */
static bool check_node(struct doctor *d, enum path path, char *sysfs, char *node, const char *config)
{
	bool known = exists(sysfs), good = known && !faccessat(AT_FDCWD, node, R_OK | W_OK, AT_EACCESS);

	if (!known) {
		refuse(d, path, OPEN, ENOENT);
		finding(d, path == GROUP ? "no-group-path" : "no-cdev-path",
			json_pack("{s:o}", "remedy", json_sprintf("use a kernel with %s", config)),
			"this kernel has no %s", node);
	} else if (!good && errno == EACCES) {
		refuse(d, path, OPEN, EACCES);
		finding(d, "permission",
			json_pack("{s:o}", "remedy", json_sprintf("chown USER %s", node)),
			"%s may not be opened by the user who asks", node);
	} else if (!good) {
		refuse(d, path, OPEN, errno);
		finding(d, "no-node",
			json_pack("{s:s}", "remedy", "have devtmpfs on /dev"),
			"there is no %s, though the kernel has it", node);
	}
	free(node);
	free(sysfs);
	return good;
}

static void check_nodes(struct doctor *d)
{
	const char *syspath = udev_device_get_syspath(d->device);

	if (!d->vfio)
		return;
	if (check_node(d, GROUP, text("/sys/class/vfio/%d", d->group),
		       text("/dev/vfio/%d", d->group), "CONFIG_VFIO_GROUP"))
		check_node(d, GROUP, text("/sys/class/misc/vfio"), text("/dev/vfio/vfio"),
			   "CONFIG_VFIO_CONTAINER");
	if (check_node(d, CDEV, text("%s/vfio-dev/%s/dev", syspath, d->vfio),
		       text("/dev/vfio/devices/%s", d->vfio), "CONFIG_VFIO_DEVICE_CDEV"))
		check_node(d, CDEV, text("/sys/class/misc/iommu"), text("/dev/iommu"),
			   "CONFIG_IOMMUFD");
}

static json_t *about_user(const char *culprit, struct user user)
{
	return json_pack("{s:s, s:i, s:s, s:o}", "culprit", culprit, "pid", user.pid,
			 "process", user.name, "remedy",
			 json_sprintf("detach the device from its VM, or kill %d", user.pid));
}

static void check_group_user(struct doctor *d)
{
	struct user user = group_user(d->group);

	if (user.pid) {
		char *node = text("/dev/vfio/%d", d->group);

		refuse(d, GROUP, OPEN, EBUSY);
		refuse(d, CDEV, BIND_IOMMUFD, EBUSY);
		finding(d, "group-in-use", about_user(node, user),
			"process %d (%s) has group %d open, and only that can have devices of it",
			user.pid, user.name, d->group);
		free(node);
	} else if (users_hidden()) {
		doubt(d, GROUP);
		doubt(d, CDEV);
		finding(d, "processes-hidden", json_pack("{s:s}", "remedy", "ask as root"),
			"this user cannot see whether a process has it open");
	}
}

/* Not all kernels take a token on the cdev path; those that do not want none. */
static bool cdev_takes_token(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname uts;

	uname(&uts);
	sscanf(uts.release, "%u.%u", &major, &minor);
	return major > 6 || (major == 6 && minor >= 17);
}

/* A VF of this PF that somebody has open, for udev_device_unref(), or NULL */
static struct udev_device *vf_in_use(struct udev_device *pf)
{
	for (unsigned int i = 0; i < device_vfs(pf); i++) {
		char *link = text("virtfn%u", i), *name = device_link(pf, link);
		struct udev_device *vf = name ? device_get(name) : NULL;

		free(name);
		free(link);
		if (vf && device_user(vf).pid)
			return vf;
		udev_device_unref(vf);
	}
	return NULL;
}

static void check_token(struct doctor *d)
{
	struct udev_device *pf = device_pf(d->device), *vf = d->vfio ? vf_in_use(d->device) : NULL;
	char *pf_vfio = pf ? device_vfio(pf) : NULL, *why = NULL;

	if (d->vfio && pf_vfio)
		why = text("%s is a VF of %s, which VFIO hands out as well", d->bdf, device_bdf(pf));
	else if (vf)
		why = text("%s is the PF of %s, which is in use", d->bdf, device_bdf(vf));

	if (d->token && d->vfio && !cdev_takes_token()) {
		refuse(d, CDEV, BIND_IOMMUFD, EINVAL);
		finding(d, "token-unknown", json_pack("{s:s}", "remedy", "leave the VF token away"),
			"this kernel knows no VF token on the cdev path");
	}
	if (why && d->token) {
		doubt(d, GROUP);
		doubt(d, CDEV);
		finding(d, "token-unverified", json_pack("{s:s}", "culprit", device_bdf(pf ?: vf)),
			"%s: the VF token has to be the right one, which nobody can look up", why);
	} else if (why) {
		refuse(d, GROUP, GET_DEVICE_FD, EACCES);
		if (cdev_takes_token())
			refuse(d, CDEV, BIND_IOMMUFD, EACCES);
		finding(d, "token-missing",
			json_pack("{s:s, s:s}", "culprit", device_bdf(pf ?: vf), "remedy",
				  "give the VMM the VF token that was set with the PF"
				  " (QEMU: -device vfio-pci,vf-token=UUID)"),
			"%s: it takes the VF token to open it", why);
	} else if (d->token && !(d->vfio && device_attr(d->device, "sriov_totalvfs"))) {
		refuse(d, GROUP, GET_DEVICE_FD, EINVAL);
		refuse(d, CDEV, BIND_IOMMUFD, EINVAL);
		finding(d, "token-superfluous",
			json_pack("{s:s}", "remedy", "leave the VF token away"),
			"a VF token is for PFs that VFIO hands out, and their VFs");
	}
	free(why);
	free(pf_vfio);
	udev_device_unref(vf);
	udev_device_unref(pf);
}

static bool same_device(struct udev_device *a, struct udev_device *b)
{
	return !strcmp(udev_device_get_syspath(a), udev_device_get_syspath(b));
}

static void check_cdev_user(struct doctor *d, struct udev_device *device)
{
	bool own = same_device(device, d->device);
	struct user user = cdev_user(device);

	if (!user.pid)
		return;
	refuse(d, GROUP, OPEN, EBUSY);
	refuse(d, CDEV, BIND_IOMMUFD, own ? EINVAL : EPERM);
	finding(d, own ? "device-in-use" : "sibling-in-use",
		about_user(device_bdf(device), user),
		"process %d (%s) has %s open%s", user.pid, user.name, device_bdf(device),
		own ? "" : ", and only that can have other devices of the group");
}

/* Containers without a driver of IOMMUs */
static void check_container(struct doctor *d)
{
	if (!d->vfio || d->compat || exists("/sys/module/vfio_iommu_type1"))
		return;
	refuse(d, GROUP, SET_IOMMU, ENODEV);
	finding(d, "no-iommu-driver", json_pack("{s:s}", "remedy", "modprobe vfio_iommu_type1"),
		"the module vfio_iommu_type1 is not loaded");
}

/*
 * Can a device raise no interrupts but its own? The kernel tells only by the names of interrupt
 * controllers: those that see to it have theirs before that of PCI's MSIs.
 */
static enum answer msi_isolated(void)
{
	enum answer answer = UNKNOWN;
	glob_t chips;

	if (glob("/sys/kernel/irq/*/chip_name", GLOB_NOSORT, NULL, &chips))
		return UNKNOWN;
	for (size_t i = 0; i < chips.gl_pathc && answer != YES; i++) {
		char chip[64] = "";

		read_line(chips.gl_pathv[i], chip, sizeof(chip));
		if (!strncmp(chip, "IR-", 3) || !strncmp(chip, "ITS-", 4))
			answer = YES;
		else if (strstr(chip, "PCI-MSI") || strstr(chip, "IO-APIC"))
			answer = NO;
	}
	globfree(&chips);
	return answer;
}

/* With MSIs that are not isolated; true if this module would not stand for it */
static bool msi_matters(const char *module)
{
	char *path = text("/sys/module/%s/parameters/allow_unsafe_interrupts", module);
	char allowed[8] = "N";

	read_line(path, allowed, sizeof(allowed));
	free(path);
	return *allowed != 'Y' && module_known(module);
}

static void check_msi(struct doctor *d)
{
	const char *module[PATHS] = { d->compat ? "iommufd" : "vfio_iommu_type1", "iommufd" };
	const int call[PATHS] = { d->compat ? GET_DEVICE_FD : SET_IOMMU, BIND_IOMMUFD };
	enum answer isolated = msi_isolated();

	for (int path = 0; path < PATHS; path++) {
		if (isolated == YES || !msi_matters(module[path]))
			continue;
		if (isolated == NO)
			refuse(d, path, call[path], EPERM);
		else
			doubt(d, path);
		finding(d, "msi-not-isolated",
			json_pack("{s:o}", "remedy",
				  json_sprintf("have a GIC with an ITS, or interrupt remapping; for guests"
					       " that are trusted: echo Y >/sys/module/%s/parameters/"
					       "allow_unsafe_interrupts", module[path])),
			isolated == NO ? "a device of this system can raise the interrupts of others"
				       : "it is not to be seen whether devices can raise interrupts of others");
	}
}

/* A driver that does DMA for the host has the group for that. */
static bool claims_group(struct udev_device *device)
{
	char *driver = device_driver(device), *vfio = device_vfio(device);
	bool claims = driver && !vfio && strcmp(driver, "pcieport") && strcmp(driver, "pci-stub");

	free(vfio);
	free(driver);
	return claims;
}

static void check_sibling(struct doctor *d, struct udev_device *device)
{
	const char *name = udev_device_get_sysname(device), *bus = udev_device_get_subsystem(device);
	char *driver = device_driver(device), *pf = device_link(d->device, "physfn");
	json_t *details = json_pack("{s:s, s:s?}", "culprit", name, "driver", driver);

	refuse(d, GROUP, d->compat ? GET_DEVICE_FD : SET_CONTAINER, EPERM);
	refuse(d, CDEV, BIND_IOMMUFD, EPERM);
	if (pf && !strcmp(name, pf)) {
		finding(d, "pf-in-group", details, "its PF %s, which %s has, is in the same group",
			name, driver);
	} else {
		json_object_set_new(details, "remedy",
				    strcmp(bus, "pci") || device_is_bridge(device) ?
				    json_sprintf("echo %s >/sys/bus/%s/drivers/%s/unbind", name, bus,
						 driver) :
				    json_sprintf("vfioctl bind %s", name));
		finding(d, "sibling-driver", details, "%s%s, which %s has, is in the same group",
			device_is_bridge(device) ? "the bridge " : "", name, driver);
	}
	free(pf);
	free(driver);
}

static void check_siblings(struct doctor *d, struct udev_device **all)
{
	struct udev_device **device, *bridge;
	bool some = false, same_slot = false;
	const char *why;

	for (device = all; *device; device++) {
		if (same_device(*device, d->device) || !claims_group(*device))
			continue;
		check_sibling(d, *device);
		some = true;
		same_slot |= !strncmp(device_bdf(*device), d->bdf, strcspn(d->bdf, "."));
	}
	bridge = some ? device_not_isolated(d->device, &why) : NULL;
	if (same_slot)
		finding(d, "not-isolated", NULL, "they are functions of one device that has no ACS");
	else if (bridge)
		finding(d, "not-isolated",
			json_pack("{s:s, s:s}", "culprit", device_bdf(bridge), "remedy",
				  "use another slot, or boot with pci=config_acs= if it has ACS"),
			"it shares the group because %s %s", device_bdf(bridge), why);
}

/* Memory that the firmware uses the device for rules out that anybody else says what it maps. */
static void check_reserved(struct doctor *d)
{
	char *path = text("/sys/kernel/iommu_groups/%d/reserved_regions", d->group), line[128];
	FILE *file = fopen(path, "r");
	bool direct = false;

	free(path);
	while (file && fgets(line, sizeof(line), file))
		direct |= strstr(line, " direct\n") != NULL;
	if (file)
		fclose(file);
	if (!direct)
		return;
	refuse(d, GROUP, d->compat ? GET_DEVICE_FD : SET_CONTAINER, EINVAL);
	refuse(d, CDEV, BIND_IOMMUFD, EINVAL);
	finding(d, "firmware-region", json_pack("{s:s}", "remedy", "ask the vendor for other firmware"),
		"the firmware keeps memory for a device of this group");
}

static enum answer check_migration(struct doctor *d)
{
	char *best = driver_best(d->device);
	enum answer answer;
	const char *why;

	answer = device_migrates(d->device, &why);
	if (answer == UNKNOWN)
		finding(d, "migration-unknown", NULL, "%s does not say whether it can be migrated",
			d->driver);
	else if (why && *why)
		finding(d, "not-migratable",
			json_pack("{s:o}", "remedy",
				  json_sprintf("mend that, then vfioctl unbind %s && vfioctl bind %s",
					       d->bdf, d->bdf)),
			"it cannot be migrated: %s", why);
	else if (answer == NO && d->vfio && best && strcmp(best, d->driver))
		finding(d, "variant-driver",
			json_pack("{s:o}", "remedy", json_sprintf("vfioctl bind %s", d->bdf)),
			"it cannot be migrated with %s, but perhaps with %s", d->driver, best);
	else if (answer == NO && d->vfio)
		finding(d, "no-variant-driver", NULL,
			"it cannot be migrated: this system has no driver for that");
	free(best);
	return answer;
}

static json_t *examine(struct doctor *d)
{
	struct udev_device **siblings = group_devices(d->group), **device;

	if (check_iommu(d)) {
		/* In the kernel's order, for calls that more than one thing makes fail */
		check_driver(d);
		check_nodes(d);
		check_group_user(d);
		check_token(d);
		check_cdev_user(d, d->device);
		check_container(d);
		check_msi(d);
		check_siblings(d, siblings);
		for (device = siblings; *device; device++)
			if (!same_device(*device, d->device))
				check_cdev_user(d, *device);
		check_reserved(d);
	}
	device_free_all(siblings);
	return answer_json(check_migration(d));
}

static json_t *path_json(struct doctor *d, enum path path)
{
	int call = d->path[path].call;

	if (call == ALL_CALLS)
		return json_pack("{s:s, s:o}", "path", path_names[path], "opens",
				 answer_json(d->path[path].doubtful ? UNKNOWN : YES));
	return json_pack("{s:s, s:b, s:s, s:s}", "path", path_names[path], "opens", 0,
			 "call", call_names[path][call],
			 "error", strerrorname_np(d->path[path].error));
}

static void show(struct doctor *d, json_t *report)
{
	json_t *entry, *migrates = json_object_get(report, "migrates");
	char *name = d->device ? device_name(d->device) : NULL;
	size_t i;

	printf("%s %s\n", d->bdf, name ?: "");
	free(name);
	json_array_foreach(json_object_get(report, "paths"), i, entry) {
		json_t *opens = json_object_get(entry, "opens");

		printf("  %-8s", json_text(entry, "path"));
		if (json_is_false(opens))
			printf("refused: %s, %s\n", json_text(entry, "call"), json_text(entry, "error"));
		else
			printf("%s\n", json_is_true(opens) ? "opens" : "may open");
	}
	printf("  %-8s%s\n", "migrates", json_is_true(migrates) ? "yes" :
	       json_is_false(migrates) ? "no" : "not known");
	json_array_foreach(json_object_get(report, "findings"), i, entry) {
		printf("\n%s\n", json_text(entry, "message"));
		if (json_text(entry, "remedy"))
			printf("    %s\n", json_text(entry, "remedy"));
	}
}

/* As the kernel reads a UUID: 36 characters, whatever follows */
static bool is_uuid(const char *token)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	for (size_t i = 0; i < sizeof(form); i++)
		if (form[i] == 'x' ? !isxdigit((unsigned char)token[i]) : token[i] != form[i])
			return false;
	return true;
}

int cmd_doctor(int argc, char **argv)
{
	static const struct option options[] = { { "token", required_argument, NULL, 't' }, {} };
	struct doctor d = { .path = { { .call = ALL_CALLS }, { .call = ALL_CALLS } } };
	char bdf[BDF_SIZE];
	json_t *migrates, *report;
	bool opens;

	while (next_option(argc, argv, options) == 't')
		d.token = optarg;
	if (d.token && !is_uuid(d.token))
		return fail_usage("'%s' is no UUID, which VF tokens are", d.token);
	if (optind + 1 != argc)
		return fail_usage("doctor takes one device");
	if (!bdf_parse(argv[optind], bdf))
		return fail_usage("'%s' is no address of a PCI function", argv[optind]);

	d.bdf = bdf;
	d.findings = json_array();
	d.device = device_get(bdf);
	if (d.device) {
		d.group = device_group(d.device);
		d.driver = device_driver(d.device);
		d.vfio = device_vfio(d.device);
		d.compat = exists("/sys/class/misc/vfio") && exists("/sys/module/iommufd") &&
			   !exists("/sys/module/vfio_iommu_type1") &&
			   !module_known("vfio_iommu_type1");
		migrates = examine(&d);
	} else {
		d.group = -1;
		refuse(&d, GROUP, OPEN, ENOENT);
		refuse(&d, CDEV, OPEN, ENOENT);
		finding(&d, "no-device", json_pack("{s:s}", "remedy", "vfioctl list --all"),
			"there is no PCI function %s", bdf);
		migrates = json_false();
	}

	report = json_pack("{s:s, s:s?, s:o, s:[o,o], s:o, s:o}", "device", bdf, "driver", d.driver,
			   "group", d.group < 0 ? json_null() : json_integer(d.group),
			   "paths", path_json(&d, GROUP), path_json(&d, CDEV),
			   "migrates", migrates, "findings", d.findings);
	opens = d.path[GROUP].call == ALL_CALLS || d.path[CDEV].call == ALL_CALLS;
	if (json_wanted)
		print_json(report);
	else
		show(&d, report);
	return opens ? EXIT_YES : EXIT_NO;
}
