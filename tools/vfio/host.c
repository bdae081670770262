// SPDX-License-Identifier: GPL-2.0-only
/* What the host would miss if a device were taken away: sentences that say what to do as well */

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vfioctl.h"

static void __printf(2, 3) add(json_t *reasons, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	json_array_append_new(reasons, vsentence(format, args));
	va_end(args);
}

static bool is_node_of(const char *path, dev_t number)
{
	struct stat st;

	return !strncmp(path, "/dev/", 5) && !stat(path, &st) && S_ISBLK(st.st_mode) &&
	       st.st_rdev == number;
}

static void check_mounts(const char *name, dev_t number, json_t *reasons)
{
	json_t *lines = file_lines("/proc/self/mountinfo"), *line;
	size_t i;

	json_array_foreach(lines, i, line) {
		const char *mount = json_string_value(line), *rest = strstr(mount, " - ");
		char where[PATH_MAX], source[PATH_MAX] = "";
		unsigned int major, minor;

		if (!rest || sscanf(mount, "%*d %*d %u:%u %*s %4095s", &major, &minor, where) != 3)
			continue;
		/* There are file systems with a number of their own. */
		if (makedev(major, minor) == number ||
		    (sscanf(rest, " - %*s %4095s", source) == 1 && is_node_of(source, number)))
			add(reasons, "%s on it is mounted; umount %s", name, where);
	}
	json_decref(lines);
}

static void check_swaps(const char *name, dev_t number, json_t *reasons)
{
	json_t *lines = file_lines("/proc/swaps"), *line;
	char path[PATH_MAX];
	size_t i;

	json_array_foreach(lines, i, line)
		if (sscanf(json_string_value(line), "%4095s", path) == 1 &&
		    is_node_of(path, number))
			add(reasons, "%s on it is swap; swapoff %s", name, path);
	json_decref(lines);
}

/* A disk or partition, and what is on top of it: partitions, device mapper, RAID */
static void check_block(const char *name, json_t *reasons)
{
	struct udev_device *block;
	json_t *above, *path;
	size_t i;

	block = udev_device_new_from_subsystem_sysname(udev_context(), "block", name);
	if (!block)
		return;
	check_mounts(name, udev_device_get_devnum(block), reasons);
	check_swaps(name, udev_device_get_devnum(block), reasons);
	above = file_paths("%s/{holders/*,%s?*}", udev_device_get_syspath(block), name);
	json_array_foreach(above, i, path)
		check_block(basename(json_string_value(path)), reasons);
	json_decref(above);
	udev_device_unref(block);
}

/* The kernel lends a disk to one user only, who may be in a container, or ZFS. */
static bool is_claimed(const char *name)
{
	char *node = text("/dev/%s", name);
	int fd = open(node, O_RDONLY | O_EXCL | O_CLOEXEC);
	bool claimed = fd < 0 && errno == EBUSY;

	if (fd >= 0)
		close(fd);
	free(node);
	return claimed;
}

static void check_disk(struct udev_device *disk, json_t *reasons)
{
	const char *type = udev_device_get_devtype(disk), *name = udev_device_get_sysname(disk);
	size_t before = json_array_size(reasons);
	unsigned int subsystem, path, space;
	char *head = NULL;

	if (!type || strcmp(type, "disk"))
		return;
	/* One of the paths to a name space of NVMe. What is used is another device. */
	if (sscanf(name, "nvme%uc%un%u", &subsystem, &path, &space) == 3)
		head = text("nvme%un%u", subsystem, space);
	check_block(head ?: name, reasons);
	if (json_array_size(reasons) == before && is_claimed(head ?: name))
		add(reasons, "%s on it is in use; see lsblk", head ?: name);
	free(head);
}

static bool has_default_route(const char *interface)
{
	json_t *lines, *line;
	char name[IFNAMSIZ], ipv6[33];
	unsigned int target, mask;
	bool has = false;
	size_t i;

	lines = file_lines("/proc/net/route");
	json_array_foreach(lines, i, line)
		has |= sscanf(json_string_value(line), "%15s %x %*x %*x %*d %*d %*d %x",
			      name, &target, &mask) == 3 &&
		       !strcmp(name, interface) && !target && !mask;
	json_decref(lines);
	lines = file_lines("/proc/net/ipv6_route");
	json_array_foreach(lines, i, line)
		has |= sscanf(json_string_value(line), "%32s %x %*s %*s %*s %*s %*s %*s %*s %15s",
			      ipv6, &mask, name) == 3 &&
		       !strcmp(name, interface) && strspn(ipv6, "0") == 32 && !mask;
	json_decref(lines);
	return has;
}

/* Link-local addresses of IPv6 come by themselves. */
static bool has_address(const struct ifaddrs *all, const char *interface)
{
	const struct ifaddrs *one;

	for (one = all; one; one = one->ifa_next) {
		const struct sockaddr_in6 *ipv6 = (void *)one->ifa_addr;
		/* An address may have a label, as in eth0:1. */
		size_t length = strcspn(one->ifa_name, ":");

		if (!ipv6 || !(one->ifa_flags & IFF_UP) || strlen(interface) != length ||
		    strncmp(one->ifa_name, interface, length))
			continue;
		if (ipv6->sin6_family == AF_INET ||
		    (ipv6->sin6_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&ipv6->sin6_addr)))
			return true;
	}
	return false;
}

static void check_interface(struct udev_device *interface, json_t *reasons)
{
	const char *name = udev_device_get_sysname(interface);
	json_t *uppers = file_paths("%s/upper_*", udev_device_get_syspath(interface)), *upper;
	struct ifaddrs *addresses = NULL;
	size_t i;

	/* Bridges, bonds, VLANs */
	json_array_foreach(uppers, i, upper)
		add(reasons, "%s is below %s; take it away from there", name,
		    basename(json_string_value(upper)) + strlen("upper_"));
	json_decref(uppers);
	if (getifaddrs(&addresses))
		addresses = NULL;
	if (has_address(addresses, name))
		add(reasons, "%s is up with an address; ip link set %s down", name, name);
	freeifaddrs(addresses);
	if (has_default_route(name))
		add(reasons, "%s has the default route; ip link set %s down", name, name);
}

/* Each device of a subsystem that hangs on this one */
static void each_child(struct udev_device *device, const char *subsystem, json_t *reasons,
		       void (*check)(struct udev_device *child, json_t *reasons))
{
	struct udev_enumerate *scan = udev_enumerate_new(udev_context());
	struct udev_list_entry *entry;

	if (!scan || udev_enumerate_add_match_parent(scan, device) < 0 ||
	    udev_enumerate_add_match_subsystem(scan, subsystem) < 0 ||
	    udev_enumerate_scan_devices(scan) < 0)
		abort();
	udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(scan)) {
		const char *path = udev_list_entry_get_name(entry);
		struct udev_device *child = udev_device_new_from_syspath(udev_context(), path);

		if (child)
			check(child, reasons);
		udev_device_unref(child);
	}
	udev_enumerate_unref(scan);
}

/* Interfaces of another network namespace are not to be seen, but count as directories. */
static void check_namespaces(struct udev_device *device, json_t *reasons)
{
	json_t *places = file_paths("%s/{net,*/net}", udev_device_get_syspath(device)), *place;
	size_t i;

	json_array_foreach(places, i, place) {
		json_t *interfaces = file_paths("%s/*", json_string_value(place));

		struct stat st;

		if (stat(json_string_value(place), &st) ||
		    st.st_nlink > json_array_size(interfaces) + 2)
			add(reasons, "its network interface is in a container; end that");
		json_decref(interfaces);
	}
	json_decref(places);
}

json_t *host_needs(struct udev_device *device)
{
	unsigned int vfs = device_vfs(device);
	struct user user = group_owner(device_group(device));
	json_t *reasons = json_array();

	/* All that is below a bridge hangs on it. */
	if (device_is_bridge(device)) {
		add(reasons, "it is a bridge; take what is behind it");
		return reasons;
	}
	if (vfs)
		add(reasons, "it has %u VFs; echo 0 >/sys/bus/pci/devices/%s/sriov_numvfs", vfs,
		    device_bdf(device));
	if (user.pid)
		add(reasons, "process %d (%s) has it or its group open; detach it from that VM",
		    user.pid, user.name);
	each_child(device, "block", reasons, check_disk);
	each_child(device, "net", reasons, check_interface);
	check_namespaces(device, reasons);
	return reasons;
}
