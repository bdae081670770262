// SPDX-License-Identifier: GPL-2.0-only
/* vfioctl list: devices that VFIO can hand out, and who has them */

#include <stdlib.h>

#include "vfioctl.h"

int cmd_list(int argc, char **argv)
{
	struct udev_device **all = device_all(), **device;
	struct table *table;

	next_option(argc, argv, NULL);
	table = table_new("device", "group", "driver", NULL);
	for (device = all; *device; device++) {
		int group = device_group(*device);
		char *number;

		if (group < 0)
			continue;
		number = text("%d", group);
		table_row(table, device_bdf(*device), number, udev_device_get_driver(*device));
		free(number);
	}
	table_print(table);
	device_free_all(all);
	return EXIT_YES;
}
