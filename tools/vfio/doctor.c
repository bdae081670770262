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
	/* Why it cannot be migrated, in a word, or NULL */
	const char *reason;
	/* The calls in which a container's group is claimed, and its MSIs are looked at */
	int claim, isolation;
	/* What was found about each way: the first call that fails, and how; or that it may */
	struct {
		int call, error;
		bool doubtful;
	} path[PATHS];
	/* What the next finding is about */
	bool concerned[PATHS];
	json_t *findings;
};

/* A call fails. Of several causes for that, the one that the kernel sees is told before others. */
static void refuse(struct doctor *d, enum path way, int call, int error)
{
	if (call < d->path[way].call) {
		d->path[way].call = call;
		d->path[way].error = error;
	}
	d->concerned[way] = true;
}

/* A call may fail. */
static void doubt(struct doctor *d, enum path way)
{
	d->path[way].doubtful = true;
	d->concerned[way] = true;
}

/* Details of a finding: what mends it, and anything else that has a name */
static json_t *__printf(1, 2) remedy(const char *format, ...)
{
	va_list args;
	json_t *details;

	va_start(args, format);
	details = json_pack("{s:o}", "remedy", vsentence(format, args));
	va_end(args);
	return details;
}

static json_t *with(json_t *details, const char *name, const char *value)
{
	json_object_set_new(details, name, json_string(value));
	return details;
}

/**
 * finding() - What the last refusals and doubts come from
 * @code: its name for programs
 * @details: as above, or NULL
 * @format: one sentence
 */
static void __printf(4, 5) finding(struct doctor *d, const char *code, json_t *details,
				   const char *format, ...)
{
	json_t *ways = json_array(), *finding;
	va_list args;

	for (int way = 0; way < PATHS; way++) {
		if (d->concerned[way])
			json_array_append_new(ways, json_string(path_names[way]));
		d->concerned[way] = false;
	}
	va_start(args, format);
	finding = json_pack("{s:s, s:o, s:o}", "code", code, "paths", ways,
			    "message", vsentence(format, args));
	va_end(args);
	json_object_update(finding, details);
	json_decref(details);
	json_array_append_new(d->findings, finding);
}

static bool same_device(struct udev_device *a, struct udev_device *b)
{
	return !strcmp(udev_device_get_syspath(a), udev_device_get_syspath(b));
}

static bool check_iommu(struct doctor *d)
{
	char *name = file_line("/sys/kernel/iommu_groups/%d/name", d->group);
	bool fake = name && !strcmp(name, "vfio-noiommu");
	json_t *iommus;

	free(name);
	if (d->group >= 0 && !fake)
		return true;
	refuse(d, GROUP, OPEN, ENOENT);
	refuse(d, CDEV, OPEN, ENOENT);
	iommus = file_paths("/sys/class/iommu/*");
	if (json_array_size(iommus))
		finding(d, "no-iommu", remedy("dmesg | grep %s", d->bdf),
			"%s is behind no IOMMU, or is one of several conventional devices behind a"
			" bridge, of which an SMMU takes but one", d->bdf);
	else
		finding(d, "no-iommu",
			remedy("enable it in the firmware; Intel's: boot with intel_iommu=on"),
			"the kernel drives no IOMMU");
	json_decref(iommus);
	return false;
}

/* Does a device keep others from having its group? Drivers that do DMA for the host do. */
static bool claims_group(struct udev_device *device)
{
	char *driver = device_driver(device), *vfio = device_vfio(device);
	bool claims = driver && !vfio && strcmp(driver, "pcieport") && strcmp(driver, "pci-stub");

	free(vfio);
	free(driver);
	return claims;
}

static void check_driver(struct doctor *d)
{
	char *best;

	if (d->vfio)
		return;
	/* Another device of the group may have brought the group's node. */
	if (!file_exists("/sys/class/vfio/%d", d->group))
		refuse(d, GROUP, OPEN, ENOENT);
	else if (claims_group(d->device))
		refuse(d, GROUP, d->claim, d->claim == GET_DEVICE_FD ? ENODEV : EPERM);
	else
		refuse(d, GROUP, GET_DEVICE_FD, ENODEV);
	refuse(d, CDEV, OPEN, ENOENT);

	best = driver_best(d->device);
	if (device_is_bridge(d->device))
		finding(d, "bridge", NULL, "%s is a bridge, which VFIO does not hand out", d->bdf);
	else if (!best)
		finding(d, "no-module", remedy("install the kernel's module vfio-pci"),
			"no driver of VFIO has %s, and this system has none", d->bdf);
	else if (device_vfs(d->device))
		finding(d, "not-bound",
			remedy("echo 0 >/sys/bus/pci/devices/%s/sriov_numvfs && vfioctl bind %s",
			       d->bdf, d->bdf),
			"no driver of VFIO has %s, nor can one as long as it has VFs", d->bdf);
	else
		finding(d, "not-bound", remedy("vfioctl bind %s", d->bdf),
			"no driver of VFIO has %s", d->bdf);
	free(best);
}

/* Has the kernel this node, and may whoever asks open it? False if not */
static bool check_node(struct doctor *d, enum path way, char *sysfs, char *node, const char *config)
{
	bool known = file_exists("%s", sysfs);
	bool good = known && !faccessat(AT_FDCWD, node, R_OK | W_OK, AT_EACCESS);

	if (!known) {
		refuse(d, way, OPEN, ENOENT);
		finding(d, way == GROUP ? "no-group-path" : "no-cdev-path",
			remedy("use a kernel with %s", config), "this kernel has no %s", node);
	} else if (!good && errno == EACCES) {
		refuse(d, way, OPEN, EACCES);
		finding(d, "permission", remedy("chown USER %s", node),
			"%s may not be opened by the user who asks", node);
	} else if (!good) {
		refuse(d, way, OPEN, errno);
		finding(d, "no-node", remedy("have devtmpfs on /dev"),
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

static json_t *culprit(const char *name, struct user user)
{
	json_t *details = remedy("detach it from its VM, or kill %d", user.pid);

	json_object_set_new(details, "pid", json_integer(user.pid));
	return with(with(details, "process", user.name), "culprit", name);
}

static void check_group_user(struct doctor *d)
{
	struct user user = group_user(d->group);
	char *node = text("/dev/vfio/%d", d->group);

	if (user.pid) {
		refuse(d, GROUP, OPEN, EBUSY);
		refuse(d, CDEV, BIND_IOMMUFD, EBUSY);
		finding(d, "group-in-use", culprit(node, user),
			"process %d (%s) has group %d open, and only that can have devices of it",
			user.pid, user.name, d->group);
	} else if (users_hidden()) {
		doubt(d, GROUP);
		doubt(d, CDEV);
		finding(d, "processes-hidden", remedy("ask as root"),
			"this user cannot see whether a process has it open");
	}
	free(node);
}

static void check_cdev_user(struct doctor *d, struct udev_device *device)
{
	bool own = same_device(device, d->device);
	struct user user = cdev_user(device);
	const char *name = udev_device_get_sysname(device);

	if (!user.pid)
		return;
	if (device_enabled(device) == YES) {
		refuse(d, GROUP, OPEN, EBUSY);
		refuse(d, CDEV, BIND_IOMMUFD, own ? EINVAL : EPERM);
	} else {
		/* A device of another bus, which does not tell */
		doubt(d, GROUP);
		doubt(d, CDEV);
	}
	finding(d, own ? "device-in-use" : "sibling-in-use", culprit(name, user),
		"process %d (%s) has %s open%s", user.pid, user.name, name,
		own ? "" : ", and only that can have other devices of the group");
}

/* Not all kernels take a token on the cdev path; those that do not want none. */
static bool cdev_takes_token(void)
{
	struct utsname uts;

	uname(&uts);
	return strverscmp(uts.release, "6.17") >= 0;
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
	const char *other = pf ? device_bdf(pf) : vf ? device_bdf(vf) : NULL;

	/* What is not bound yet is told what it takes afterwards. */
	if (pf_vfio)
		why = text("%s is a VF of %s, which VFIO has as well", d->bdf, other);
	else if (vf)
		why = text("%s is the PF of %s, which is open", d->bdf, other);

	if (d->token && !cdev_takes_token()) {
		refuse(d, CDEV, BIND_IOMMUFD, EINVAL);
		finding(d, "token-unknown", remedy("leave the VF token away"),
			"this kernel knows no VF token on the cdev path");
	}
	if (why && d->token) {
		doubt(d, GROUP);
		doubt(d, CDEV);
		finding(d, "token-unverified", with(json_object(), "culprit", other),
			"%s: the VF token has to be the right one, which nobody can look up", why);
	} else if (why) {
		refuse(d, GROUP, GET_DEVICE_FD, EACCES);
		if (cdev_takes_token())
			refuse(d, CDEV, BIND_IOMMUFD, EACCES);
		finding(d, "token-missing",
			with(remedy("give the VMM the PF's VF token (QEMU: vf-token=UUID)"),
			     "culprit", other),
			"%s: that takes a VF token", why);
	} else if (d->token && !device_attr(d->device, "sriov_totalvfs")) {
		refuse(d, GROUP, GET_DEVICE_FD, EINVAL);
		refuse(d, CDEV, BIND_IOMMUFD, EINVAL);
		finding(d, "token-superfluous", remedy("leave the VF token away"),
			"a VF token is for PFs that VFIO has, and their VFs");
	}
	free(why);
	free(pf_vfio);
	udev_device_unref(vf);
	udev_device_unref(pf);
}

static void check_container(struct doctor *d)
{
	if (!d->vfio || d->isolation != SET_IOMMU || file_exists("/sys/module/vfio_iommu_type1"))
		return;
	refuse(d, GROUP, SET_IOMMU, ENODEV);
	finding(d, "no-iommu-driver", remedy("modprobe vfio_iommu_type1"),
		"the module vfio_iommu_type1 is not loaded");
}

/*
 * Can a device raise no interrupts but its own? The kernel tells only by the names of interrupt
 * controllers: those that see to it have theirs before that of PCI's MSIs.
 */
static enum answer msi_isolated(void)
{
	json_t *paths = file_paths("/sys/kernel/irq/*/chip_name"), *path;
	enum answer answer = UNKNOWN;
	size_t i;

	json_array_foreach(paths, i, path) {
		char *chip = file_line("%s", json_string_value(path));

		if (chip && (!strncmp(chip, "IR-", 3) || !strncmp(chip, "ITS-", 4)))
			answer = YES;
		else if (chip && answer == UNKNOWN &&
			 (strstr(chip, "PCI-MSI") || strstr(chip, "IO-APIC")))
			answer = NO;
		free(chip);
	}
	json_decref(paths);
	return answer;
}

/* Would this module stand for MSIs that are not isolated, or is it not there? */
static bool stands_for_msi(const char *module)
{
	char *allowed = file_line("/sys/module/%s/parameters/allow_unsafe_interrupts", module);
	bool stands = allowed ? *allowed == 'Y' : !module_known(module);

	free(allowed);
	return stands;
}

static void check_msi(struct doctor *d)
{
	const char *module[PATHS] = { "vfio_iommu_type1", "iommufd" };
	const int call[PATHS] = { d->isolation, BIND_IOMMUFD };
	enum answer isolated = msi_isolated();

	if (d->isolation != SET_IOMMU)
		module[GROUP] = module[CDEV];
	for (int way = 0; way < PATHS; way++) {
		if (isolated == YES || stands_for_msi(module[way]))
			continue;
		if (isolated == NO)
			refuse(d, way, call[way], EPERM);
		else
			doubt(d, way);
		finding(d, "msi-not-isolated",
			remedy("for guests that are trusted: echo Y"
			       " >/sys/module/%s/parameters/allow_unsafe_interrupts", module[way]),
			"a device %s raise the interrupts of others: there is neither interrupt"
			" remapping nor an ITS", isolated == NO ? "can" : "can perhaps");
	}
}

static void check_sibling(struct doctor *d, struct udev_device *device)
{
	const char *name = udev_device_get_sysname(device);
	const char *bus = udev_device_get_subsystem(device);
	char *driver = device_driver(device), *pf = device_link(d->device, "physfn");
	json_t *details;

	refuse(d, GROUP, d->claim, EPERM);
	refuse(d, CDEV, BIND_IOMMUFD, EPERM);
	if (pf && !strcmp(name, pf)) {
		details = with(with(json_object(), "culprit", name), "driver", driver);
		finding(d, "pf-in-group", details, "its PF %s, which %s has, is in the same group",
			name, driver);
	} else {
		if (!bus || strcmp(bus, "pci") || device_is_bridge(device))
			details = remedy("echo %s >/sys/bus/%s/drivers/%s/unbind", name, bus ?: "*",
					 driver);
		else
			details = remedy("vfioctl bind %s", name);
		finding(d, "sibling-driver", with(with(details, "culprit", name), "driver", driver),
			"%s%s, which %s has, is in the same group",
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
	if (bridge && !why)
		finding(d, "not-isolated", remedy("ask as root"),
			"why it shares the group is in what only root may read of %s",
			device_bdf(bridge));
	else if (bridge)
		finding(d, "not-isolated",
			with(remedy("use another slot, or boot with pci=config_acs= if it has ACS"),
			     "culprit", device_bdf(bridge)),
			"it shares the group because %s %s", device_bdf(bridge), why);
	else if (same_slot)
		finding(d, "not-isolated", NULL,
			"it shares the group because it is a function of a device without ACS");
}

/* The firmware can have a device do DMA, to and from memory that must not be mapped elsewhere. */
static void check_reserved(struct doctor *d)
{
	json_t *lines, *line;
	bool direct = false;
	size_t i;

	lines = file_lines("/sys/kernel/iommu_groups/%d/reserved_regions", d->group);
	json_array_foreach(lines, i, line)
		direct |= !strcmp(strrchr(json_string_value(line), ' ') ?: "", " direct");
	json_decref(lines);
	if (!direct)
		return;
	refuse(d, GROUP, d->claim, EINVAL);
	refuse(d, CDEV, BIND_IOMMUFD, EINVAL);
	finding(d, "firmware-region", remedy("ask the vendor for other firmware"),
		"the firmware itself has a device of this group do DMA");
}

static enum answer check_migration(struct doctor *d)
{
	enum answer answer;
	char *best;

	if (!d->vfio)
		return NO;
	answer = device_migrates(d->device, &d->reason);
	best = driver_best(d->device);
	if (answer == UNKNOWN)
		finding(d, "migration-unknown", NULL, "%s does not say whether it can be migrated",
			d->driver);
	else if (answer == NO && d->reason)
		finding(d, "not-migratable",
			remedy("mend that, then: vfioctl unbind %s && vfioctl bind %s", d->bdf,
			       d->bdf),
			"it cannot be migrated: %s", reason_text(d->reason));
	else if (answer == NO && best && strcmp(best, d->driver))
		finding(d, "variant-driver", remedy("vfioctl bind %s", d->bdf),
			"%s does not migrate it, but perhaps %s does", d->driver, best);
	else if (answer == NO)
		finding(d, "no-variant-driver", NULL, "there is no driver here that migrates it");
	free(best);
	return answer;
}

static enum answer examine(struct doctor *d)
{
	struct udev_device **siblings, **device;
	enum answer migrates;

	if (!d->device) {
		refuse(d, GROUP, OPEN, ENOENT);
		refuse(d, CDEV, OPEN, ENOENT);
		finding(d, "no-device", remedy("vfioctl list --all"), "there is no PCI function %s",
			d->bdf);
		return NO;
	}
	siblings = group_devices(d->group);
	if (check_iommu(d)) {
		/* Where several are the cause of one call's failure, the order is the kernel's. */
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
	migrates = check_migration(d);
	device_free_all(siblings);
	return migrates;
}

static json_t *path_json(struct doctor *d, enum path way)
{
	int call = d->path[way].call;

	if (call == ALL_CALLS)
		return json_pack("{s:s, s:o}", "path", path_names[way], "opens",
				 answer_json(d->path[way].doubtful ? UNKNOWN : YES));
	return json_pack("{s:s, s:b, s:s, s:s}", "path", path_names[way], "opens", 0, "call",
			 call_names[way][call], "error", strerrorname_np(d->path[way].error));
}

static void show(struct doctor *d, json_t *report)
{
	char *name = d->device ? device_name(d->device) : NULL;
	json_t *entry;
	size_t i;

	printf("%s %s\n", d->bdf, name ?: "");
	free(name);
	json_array_foreach(json_object_get(report, "paths"), i, entry) {
		printf("  %-10s%s", json_text(entry, "path"),
		       in_words(json_object_get(entry, "opens")));
		if (json_text(entry, "call"))
			printf(": %s, %s", json_text(entry, "call"), json_text(entry, "error"));
		printf("\n");
	}
	printf("  %-10s%s\n", "migrates", in_words(json_object_get(report, "migrates")));
	json_array_foreach(json_object_get(report, "findings"), i, entry) {
		printf("\n%s\n", json_text(entry, "message"));
		if (json_text(entry, "remedy"))
			printf("    %s\n", json_text(entry, "remedy"));
	}
}

static bool is_uuid(const char *token)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	for (size_t i = 0; i < sizeof(form); i++)
		if (form[i] == 'x' ? !isxdigit((unsigned char)token[i]) : token[i] != form[i])
			return false;
	return true;
}

/* IOMMUFD can stand in for containers. */
static bool containers_are_iommufd(void)
{
	return file_exists("/sys/class/misc/vfio") && file_exists("/sys/module/iommufd") &&
	       !file_exists("/sys/module/vfio_iommu_type1") && !module_known("vfio_iommu_type1");
}

int cmd_doctor(int argc, char **argv)
{
	static const struct option options[] = { { "token", required_argument, NULL, 't' }, {} };
	struct doctor d = { .group = -1, .claim = SET_CONTAINER, .isolation = SET_IOMMU,
			    .path = { { .call = ALL_CALLS }, { .call = ALL_CALLS } } };
	char bdf[BDF_SIZE];
	json_t *report, *migrates;

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
	}
	if (containers_are_iommufd()) {
		/* It takes any group, and looks at that when a device is opened. */
		d.claim = GET_DEVICE_FD;
		d.isolation = GET_DEVICE_FD;
	}
	migrates = answer_json(examine(&d));

	report = json_pack("{s:s, s:s?, s:o, s:[o,o], s:o, s:s?, s:o}",
			   "device", bdf, "driver", d.driver,
			   "group", d.group < 0 ? json_null() : json_integer(d.group),
			   "paths", path_json(&d, GROUP), path_json(&d, CDEV),
			   "migrates", migrates, "reason", d.reason, "findings", d.findings);
	if (json_wanted)
		print_json(json_incref(report));
	else
		show(&d, report);
	json_decref(report);
	free(d.vfio);
	free(d.driver);
	udev_device_unref(d.device);
	return d.path[GROUP].call < ALL_CALLS && d.path[CDEV].call < ALL_CALLS ? EXIT_NO : EXIT_YES;
}
