// SPDX-License-Identifier: GPL-2.0-only
/* vfioctl list: devices that VFIO can hand out, and who has them */

#include <stdlib.h>
#include <string.h>

#include "vfioctl.h"

/* One device of the list, or NULL if it does not belong there */
static json_t *describe(struct udev_device *device, bool all)
{
	char *name, *driver, *vfio, *best, *pf;
	int group = device_group(device);
	json_t *entry = NULL;
	enum answer migrates;
	const char *reason;

	if (group < 0)
		return NULL;
	name = device_name(device);
	driver = device_driver(device);
	vfio = device_vfio(device);
	best = driver_best(device);
	pf = device_link(device, "physfn");
	migrates = device_migrates(device, &reason);
	if (all || vfio || (best && strcmp(best, "vfio-pci"))) {
		entry = json_pack("{s:s, s:s, s:i, s:s?, s:s?, s:s?, s:o, s:s?}",
				  "device", device_bdf(device), "name", name, "group", group,
				  "driver", driver, "best_driver", best, "pf", pf,
				  "migrates", answer_json(migrates), "reason", reason);
		json_object_update_new(entry, device_state(device));
	}
	free(pf);
	free(best);
	free(vfio);
	free(driver);
	free(name);
	return entry;
}

static void show(json_t *list)
{
	struct table *table = table_new("device", "group", "driver", "best driver", "PF",
					"migrates", "state", "name", NULL);
	json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry) {
		char *group = text("%lld", json_integer_value(json_object_get(entry, "group")));
		json_t *migrates = json_object_get(entry, "migrates");
		char *state = state_text(entry);

		table_row(table, json_text(entry, "device"), group, json_text(entry, "driver"),
			  json_text(entry, "best_driver"), json_text(entry, "pf"),
			  in_words(migrates), state, json_text(entry, "name"));
		free(state);
		free(group);
	}
	table_print(table);
}

int cmd_list(int argc, char **argv)
{
	static const struct option options[] = { { "all", no_argument, NULL, 'a' }, {} };
	struct udev_device **devices, **device;
	bool all = false;
	json_t *list;

	while (next_option(argc, argv, options) == 'a')
		all = true;
	if (optind < argc)
		return fail_usage("list takes no argument");
	devices = device_all();
	list = json_array();
	for (device = devices; *device; device++)
		json_array_append_new(list, describe(*device, all));
	device_free_all(devices);
	if (json_wanted) {
		print_json(list);
	} else {
		show(list);
		json_decref(list);
	}
	return EXIT_YES;
}
