/* SPDX-License-Identifier: GPL-2.0-only */
/* What the commands of vfioctl share */

#ifndef VFIOCTL_H
#define VFIOCTL_H

#include <getopt.h>
#include <jansson.h>
#include <libudev.h>
#include <stdarg.h>
#include <stdbool.h>

/* Exit statuses: it worked, or yes; it failed, or no; the question was not understood */
enum {
	EXIT_YES,
	EXIT_NO,
	EXIT_USAGE,
};

#define __printf(string, args) __attribute__((format(printf, string, args)))

/* The commands, each in a file of its own; vfioctl.c has the table with their arguments. */
int cmd_list(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_bind(int argc, char **argv);
int cmd_unbind(int argc, char **argv);
int cmd_stream(int argc, char **argv);
int cmd_watch(int argc, char **argv);

/* vfioctl.c: how a command was called */

/* --json was given. */
extern bool json_wanted;

/**
 * next_option() - getopt_long() with the options that all commands have
 * @own: options of the command, ended by an empty one; may be NULL
 *
 * A wrong option ends the program, and so does --help.
 *
 * Return: the option's value, or -1 after the last, when optind is the first other argument.
 */
int next_option(int argc, char **argv, const struct option *own);

/* Say what is wrong with how the command was called. Return: EXIT_USAGE, for the caller's own */
int fail_usage(const char *format, ...) __printf(1, 2);

enum answer { NO, YES, UNKNOWN };

/* device.c: what is known about a PCI function, a udev_device. What is not const is for free(). */

#define BDF_SIZE sizeof("00000000:00:00.0")

struct udev *udev_context(void);

/* The name that sysfs has for an address, with or without domain. False if it is none */
bool bdf_parse(const char *bdf, char name[BDF_SIZE]);

/* The function of this name, for udev_device_unref(), or NULL */
struct udev_device *device_get(const char *name);

/* The same by an address that somebody typed. Return: EXIT_YES, or another after a complaint */
int device_find(const char *bdf, struct udev_device **device);

const char *device_bdf(struct udev_device *device);
char *device_name(struct udev_device *device);

/* An attribute, as it was when it was first asked for; and the name of what a link points to */
const char *device_attr(struct udev_device *device, const char *name);
char *device_link(struct udev_device *device, const char *name);

/* Its driver now, or NULL */
char *device_driver(struct udev_device *device);

/* Number of its IOMMU group, or -1; all devices of a group, of any bus, ended by NULL */
int device_group(struct udev_device *device);
struct udev_device **group_devices(int group);

/*
 * The bridge above it that keeps nothing apart, not to be freed, and why; or NULL. If *why is NULL
 * that bridge may be one, which this user cannot see.
 */
struct udev_device *device_not_isolated(struct udev_device *device, const char **why);

/* Its PF, for udev_device_unref(), if it is a VF; how many VFs it has as a PF */
struct udev_device *device_pf(struct udev_device *device);
unsigned int device_vfs(struct udev_device *device);

/* Has a driver enabled it? Those of VFIO do so for as long as it is open, by its group or bound. */
enum answer device_enabled(struct udev_device *device);

bool device_is_bridge(struct udev_device *device);

/* Can it be live-migrated as it is bound now? If not, *reason is one word, or NULL if unknown. */
enum answer device_migrates(struct udev_device *device, const char **reason);

/* That word as a sentence; a word that is not known stays as it is. */
const char *reason_text(const char *reason);

/* For JSON, "state", null if it has none, and "reset_pending"; what they are in text, for free() */
json_t *device_state(struct udev_device *device);
char *state_text(json_t *object);

/* What VFIO calls it, which is NULL unless its driver is one of VFIO's */
char *device_vfio(struct udev_device *device);

/* All PCI functions, in the order of their addresses, ended by NULL */
struct udev_device **device_all(void);
void device_free_all(struct udev_device **devices);

/* users.c: processes that have VFIO's files open */

struct user {
	/* 0: there is none */
	pid_t pid;
	char name[32];
};

/* Of a group's node, or of a device by way of it; of a device's own node; of a device either way */
struct user group_user(int group);
struct user cdev_user(struct udev_device *device);
struct user device_user(struct udev_device *device);
/* Of anything in a group, were it only an open node: that keeps a driver from leaving, too. */
struct user group_owner(int group);

/* There are processes that we may not look into. */
bool users_hidden(void);

/* module.c: drivers and their modules */

/* The driver of VFIO that fits a device best, going by the modules' aliases, or NULL */
char *driver_best(struct udev_device *device);

/* Is this driver registered? */
bool driver_there(const char *driver);

/*
 * Have a driver registered, by its name or that of its module, which the former replaces.
 * Return: 0 or a negative errno
 */
int driver_load(char **driver);

/* Load a module by its name or an alias, with what it needs. Return: 0 or a negative errno */
int module_load(const char *name);
/* Could it be loaded, or is it built in? */
bool module_known(const char *name);

/* host.c: an array of sentences about what the host would miss a device for, and what to do */
json_t *host_needs(struct udev_device *device);

/* file.c: the small files of /sys and /proc; all that is read is UTF-8 */

/* The first line, for free(), or NULL; all lines */
char *file_line(const char *format, ...) __printf(1, 2);
json_t *file_lines(const char *format, ...) __printf(1, 2);
/* The paths that a pattern means */
json_t *file_paths(const char *format, ...) __printf(1, 2);
bool file_exists(const char *format, ...) __printf(1, 2);
/* Return: 0 or a negative errno */
int file_write(const char *value, const char *format, ...) __printf(2, 3);

/*
 * out.c: what a user sees. Results go to stdout, as tables and sentences or, with --json, as one
 * JSON value; errors go to stderr, as one sentence that has the cause and what to do.
 */

/* Say what is wrong. Return: EXIT_NO, for the caller's own */
int fail(const char *format, ...) __printf(1, 2);

/* A formatted string, never NULL; the caller frees it. */
char *text(const char *format, ...) __printf(1, 2);
char *vtext(const char *format, va_list args) __printf(1, 0);

/*
 * JSON takes UTF-8 only, and what the kernel has names for takes any bytes. as_utf8(), in place: a
 * "?" for each that is none. The others: a formatted string of that, never NULL
 */
char *as_utf8(char *string);
json_t *sentence(const char *format, ...) __printf(1, 2);
json_t *vsentence(const char *format, va_list args) __printf(1, 0);

/* true, false or null */
json_t *answer_json(enum answer answer);
/* What that is in words */
const char *in_words(json_t *answer);

/* A string of an object, or NULL */
const char *json_text(json_t *object, const char *key);

/* Print a value, and drop it. */
void print_json(json_t *value);

/* A table, whose columns are as wide as they need to be; strings are copied. */
struct table;

/* Heads of the columns, ended by NULL */
struct table *table_new(const char *head, ...);
/* As many cells as there are columns; NULL and "" show as "-". */
void table_row(struct table *table, ...);
/* Print it, and drop it. */
void table_print(struct table *table);

#endif
