// SPDX-License-Identifier: GPL-2.0-only
/* vfioctl: shows, explains and binds the devices that VFIO hands to user space */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vfioctl.h"

#define SIZE(array) (sizeof(array) / sizeof(*(array)))

static const struct command {
	const char *name;
	const char *arguments;
	const char *summary;
	int (*run)(int argc, char **argv);
	/* What there is to say beyond the summary, beginning with an empty line */
	const char *help;
} commands[] = {
	{ "list", "[--all]", "what VFIO can hand out, and who has it", cmd_list,
	  "\nDevices that a driver of VFIO has, or for which there is one besides vfio-pci.\n"
	  "  --all         every PCI function with an IOMMU group\n" },
	{ "doctor", "[--token UUID] BDF", "what would happen to a VMM that opens a device",
	  cmd_doctor,
	  "\nNames the call that would fail and its errno, for both ways to a device, what is to blame\n"
	  "and what mends it. Opens nothing of VFIO. Status 1: the VMM would be refused both ways.\n"
	  "  --token UUID  the VF token that the VMM would give\n" },
	{ "bind", "[--driver NAME] [--force] [--dry-run] BDF...",
	  "give devices to a driver of VFIO", cmd_bind,
	  "\nRefuses what the host would miss: mounted disks, network interfaces in use, PFs with VFs,\n"
	  "bridges, devices that a process has open. If the driver does not take a device, it goes back.\n"
	  "  --driver NAME  instead of the driver that fits best: vfio-pci if there is no other\n"
	  "  --force        even if the host would miss it\n"
	  "  --dry-run      print the commands that would do it\n" },
	{ "unbind", "[--force] [--dry-run] BDF...", "give devices back to the host", cmd_unbind,
	  "\nTo their default drivers, which are loaded, if need be: the override is cleared, VFIO's driver\n"
	  "unbound, the kernel asked to find another. A VF stays without one if its PF is told to leave\n"
	  "its VFs alone (sriov_drivers_autoprobe).\n"
	  "  --force        even if a process has one open: waits for the process\n"
	  "  --dry-run      print the commands that would do it\n" },
	{ "stream", "[--device BDF] FILE",
	  "what is in a saved HiSilicon VF, and would it be accepted", cmd_stream,
	  "\nFILE is a stream as it is read from a migration data fd; - is the standard input.\n"
	  "  --device BDF  it is meant for this VF, whose kind is known\n" },
	{ "watch", "[--calls] [BDF]...",
	  "arcs and resets of devices on vfio-pci-mig, while they happen", cmd_watch,
	  "\nUntil it is interrupted; with --json one object on each line.\n"
	  "  --calls       what the drivers do in each arc, too\n" },
};

static const struct command *current;

bool json_wanted;

static void overview(FILE *to)
{
	fprintf(to, "usage: vfioctl COMMAND [OPTION]... [ARGUMENT]...\n\n");
	for (size_t i = 0; i < SIZE(commands); i++)
		fprintf(to, "  %-8s%s\n", commands[i].name, commands[i].summary);
	fprintf(to, "\nEach has --json and --help.\n"
		"Exit status: 0 done, or yes; 1 failed, or no; 2 not understood.\n");
}

static void help(void)
{
	printf("usage: vfioctl %s [--json] %s\n\n%s\n%s", current->name, current->arguments,
	       current->summary, current->help);
}

int fail_usage(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "vfioctl: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "; see 'vfioctl help%s%s'\n", current ? " " : "",
		current ? current->name : "");
	return EXIT_USAGE;
}

enum {
	OPTION_JSON = 0x100,
	OPTION_HELP,
};

static const struct option common[] = {
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "help", no_argument, NULL, OPTION_HELP },
};

/* What getopt_long() complains of. Of several letters it is the first: the others are ahead. */
static const char *wrong_option(char **argv)
{
	const char *last = argv[optind - 1], *next = argv[optind];

	if (!optopt || (last[0] == '-' && last[1] == optopt))
		return last;
	return next && next[0] == '-' && next[1] == optopt ? next : last;
}

int next_option(int argc, char **argv, const struct option *own)
{
	struct option all[16] = {};
	size_t n = SIZE(common);
	int value;

	memcpy(all, common, sizeof(common));
	for (; own && own->name; own++)
		all[n++] = *own;
	for (;;) {
		value = getopt_long(argc, argv, ":", all, NULL);
		switch (value) {
		case OPTION_JSON:
			json_wanted = true;
			break;
		case OPTION_HELP:
			help();
			exit(EXIT_YES);
		case '?':
			exit(fail_usage("%s has no option %s", current->name, wrong_option(argv)));
		case ':':
			exit(fail_usage("%s needs a value", argv[optind - 1]));
		default:
			return value;
		}
	}
}

static bool find_command(const char *name)
{
	for (size_t i = 0; i < SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			current = &commands[i];
	return current;
}

/* Half an answer is none. */
static void check_output(void)
{
	if (fflush(stdout) || ferror(stdout))
		_exit(fail("the output cannot be written"));
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	bool wants_help = !strcmp(name, "help") || !strcmp(name, "--help");

	atexit(check_output);
	if (wants_help && argc == 2) {
		overview(stdout);
		return EXIT_YES;
	}
	if (!strcmp(name, "--version")) {
		printf("vfioctl " VERSION "\n");
		return EXIT_YES;
	}
	if (!*name) {
		overview(stderr);
		return EXIT_USAGE;
	}
	if (wants_help)
		name = argv[2];
	if (!find_command(name))
		return fail_usage("there is no command '%s'", name);
	if (wants_help) {
		help();
		return EXIT_YES;
	}
	return current->run(argc - 1, argv + 1);
}
