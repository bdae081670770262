// SPDX-License-Identifier: GPL-2.0-only
/* Which processes have a VFIO device or a group open. Nothing of VFIO is opened to find out. */

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfioctl.h"

/* An open file of VFIO */
struct vfio_file {
	pid_t pid;
	/* The node of a group or a device; 0: a device that was opened by way of its group */
	dev_t node;
	/* The device; "" where the kernel does not tell */
	char syspath[PATH_MAX];
};

static struct vfio_file *files;
static size_t files_count;
static bool hidden;

static void read_syspath(struct vfio_file *file, int fd)
{
	json_t *lines = file_lines("/proc/%d/fdinfo/%d", file->pid, fd), *line;
	size_t i;

	json_array_foreach(lines, i, line)
		if (sscanf(json_string_value(line), "vfio-device-syspath: %4095s",
			   file->syspath) == 1)
			break;
	json_decref(lines);
}

static void look_at(const char *path)
{
	struct vfio_file file = {};
	char target[PATH_MAX];
	ssize_t length;
	struct stat st;
	int fd;

	/* Only what looks like VFIO is asked for more: a file system's server may never answer. */
	length = readlink(path, target, sizeof(target) - 1);
	target[length < 0 ? 0 : length] = '\0';
	if (!strstr(target, "vfio") || stat(path, &st) ||
	    sscanf(path, "/proc/%d/fd/%d", &file.pid, &fd) != 2)
		return;
	if (S_ISCHR(st.st_mode))
		file.node = st.st_rdev;
	else if (strcmp(target, "anon_inode:[vfio-device]"))
		return;
	read_syspath(&file, fd);
	files = realloc(files, (files_count + 1) * sizeof(*files));
	if (!files)
		abort();
	files[files_count++] = file;
}

static int not_readable(const char *path, int error)
{
	(void)path;
	hidden |= error == EACCES || error == EPERM;
	return 0;
}

/* Once in the life of the program */
static void look_around(void)
{
	static bool done;
	glob_t found;

	if (done)
		return;
	done = true;
	if (glob("/proc/[0-9]*/fd/[0-9]*", GLOB_NOSORT, not_readable, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		look_at(found.gl_pathv[i]);
	globfree(&found);
}

bool users_hidden(void)
{
	look_around();
	return hidden;
}

static dev_t node_of(const char *subsystem, const char *name)
{
	struct udev_device *node;
	dev_t number = 0;

	node = udev_device_new_from_subsystem_sysname(udev_context(), subsystem, name);
	if (node)
		number = udev_device_get_devnum(node);
	udev_device_unref(node);
	return number;
}

static dev_t group_node(int group)
{
	char *name = text("%d", group);
	dev_t node = node_of("vfio", name);

	free(name);
	return node;
}

static struct vfio_file *find_node(dev_t node)
{
	look_around();
	for (size_t i = 0; node && i < files_count; i++)
		if (files[i].node == node)
			return &files[i];
	return NULL;
}

/* Who has this very device open by way of its group. Older kernels tell only who has the group. */
static struct vfio_file *find_in_group(struct udev_device *device)
{
	struct vfio_file *holder = find_node(group_node(device_group(device)));

	for (size_t i = 0; i < files_count; i++) {
		if (files[i].node)
			continue;
		if (*files[i].syspath ? !strcmp(files[i].syspath, udev_device_get_syspath(device)) :
		    holder && holder->pid == files[i].pid)
			return &files[i];
	}
	return NULL;
}

static struct user user_of(const struct vfio_file *file)
{
	struct user user = { .pid = file ? file->pid : 0 };
	char *name = file_line("/proc/%d/comm", user.pid);

	snprintf(user.name, sizeof(user.name), "%s", name ?: "?");
	free(name);
	return user;
}

static struct user cdev_opener(struct udev_device *device)
{
	char *name = device_vfio(device);
	dev_t node = name ? node_of("vfio-dev", name) : 0;

	free(name);
	return user_of(find_node(node));
}

/*
 * Who has opened a node has nothing yet: it has to be bound to an iommufd; that enables the device.
 * Nor can it be bound as long as the group is open.
 */
struct user cdev_user(struct udev_device *device)
{
	if (device_enabled(device) == NO || group_user(device_group(device)).pid)
		return (struct user){};
	return cdev_opener(device);
}

struct user group_user(int group)
{
	struct vfio_file *file = find_node(group_node(group));
	struct udev_device **all = group_devices(group), **device;

	/* The group stays open as long as one of its devices, whoever got that. */
	for (device = all; !file && *device; device++)
		file = find_in_group(*device);
	device_free_all(all);
	return user_of(file);
}

struct user group_owner(int group)
{
	struct udev_device **all = group_devices(group), **device;
	struct user user = group_user(group);

	for (device = all; !user.pid && *device; device++)
		user = cdev_opener(*device);
	device_free_all(all);
	return user;
}

struct user device_user(struct udev_device *device)
{
	struct user user = cdev_user(device);

	return user.pid ? user : user_of(find_in_group(device));
}
