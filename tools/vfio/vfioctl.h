/* SPDX-License-Identifier: GPL-2.0-only */
/* What the commands of vfioctl share */

#ifndef VFIOCTL_H
#define VFIOCTL_H

#include <getopt.h>
#include <jansson.h>
#include <libudev.h>
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

/* device.c: what is known about a PCI function, by its udev_device */

/**
 * device_find() - the PCI function of this address
 * @bdf: with or without the domain
 *
 * Return: the device, for udev_device_unref(), or NULL after a complaint
 */
struct udev_device *device_find(const char *bdf);

/* Its address, with the domain */
const char *device_bdf(struct udev_device *device);

/* Number of its IOMMU group, or -1 */
int device_group(struct udev_device *device);

/* All PCI functions, in the order of their addresses, ended by NULL; for device_free_all() */
struct udev_device **device_all(void);
void device_free_all(struct udev_device **devices);

/*
 * out.c: what a user sees. Results go to stdout, as tables and sentences or, with --json, as one
 * JSON value; errors go to stderr, as one sentence that has the cause and what to do.
 */

/* Say what is wrong. Return: EXIT_NO, for the caller's own */
int fail(const char *format, ...) __printf(1, 2);

/* A formatted string, never NULL; the caller frees it. */
char *text(const char *format, ...) __printf(1, 2);

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
