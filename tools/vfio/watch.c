// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfioctl watch: what drivers on vfio-pci-mig do, by their trace points.
 *
 * The kernel has a buffer for each CPU. Those are read one after the other, while events arrive, so
 * that one from the first may be older than one from the last that was read before. Events are kept
 * until all that are older must have been read.
 */

#include <errno.h>
#include <event-parse.h>
#include <fcntl.h>
#include <kbuffer.h>
#include <poll.h>
#include <signal.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <tracefs.h>
#include <unistd.h>

#include "vfioctl.h"

#define SYSTEM		"vfio_pci_mig"
/* Of each CPU; an event has a hundred bytes. */
#define BUFFER_KIB	64
#define NS_PER_S	1000000000ULL
/* In which an event that has its time already can be read */
#define SETTLED_NS	(NS_PER_S / 100)

struct watch {
	struct tracefs_instance *instance;
	struct tep_handle *tep;
	struct kbuffer *kbuf;
	struct tracefs_cpu **cpu;
	long cpus;
	/* Never read, only waited for: the one file that is about all CPUs */
	int pipe;
	/* Read and not told yet, in their order; "time" is that of CLOCK_MONOTONIC, in ns. */
	json_t *events;
	/* What makes it the time of the day */
	unsigned long long day;
};

static unsigned long long now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static unsigned long long time_of(json_t *event)
{
	return json_integer_value(json_object_get(event, "time"));
}

static void keep(struct watch *watch, json_t *event)
{
	size_t at = json_array_size(watch->events);

	while (at && time_of(json_array_get(watch->events, at - 1)) > time_of(event))
		at--;
	json_array_insert_new(watch->events, at, event);
}

static unsigned long long number(struct tep_event *event, struct tep_record *record,
				 const char *field)
{
	unsigned long long value = 0;

	tep_get_field_val(NULL, event, field, record, &value, 0);
	return value;
}

static const char *string(struct tep_event *event, struct tep_record *record, const char *field)
{
	int len;

	return tep_get_field_raw(NULL, event, field, record, &len, 0) ?: "";
}

static const char *state(struct tep_event *event, struct tep_record *record, const char *field)
{
	/* enum vfio_device_mig_state */
	static const char *const names[] = {
		"ERROR", "STOP", "RUNNING", "STOP_COPY", "RESUMING", "RUNNING_P2P", "PRE_COPY",
		"PRE_COPY_P2P",
	};
	unsigned long long value = number(event, record, field);

	return value < sizeof(names) / sizeof(*names) ? names[value] : "unknown";
}

/* What failed with which errno, or NULL */
static const char *error(struct tep_event *event, struct tep_record *record)
{
	int ret = number(event, record, "ret");

	return ret < 0 ? strerrorname_np(-ret) : NULL;
}

static void decode(struct watch *watch, struct tep_event *event, struct tep_record *record)
{
	json_t *decoded = json_pack("{s:I, s:s}", "time", (json_int_t)record->ts, "device",
				    string(event, record, "dev")), *more;

	if (!strcmp(event->name, "vfio_pci_mig_arc"))
		more = json_pack("{s:s, s:s, s:s, s:s, s:s?, s:I}", "event", "arc",
				 "from", state(event, record, "from"),
				 "to", state(event, record, "to"),
				 "state", state(event, record, "state"),
				 "error", error(event, record),
				 "ns", (json_int_t)number(event, record, "ns"));
	else if (!strcmp(event->name, "vfio_pci_mig_call"))
		more = json_pack("{s:s, s:s, s:s?, s:I}", "event", "call",
				 "call", string(event, record, "op"),
				 "error", error(event, record),
				 "ns", (json_int_t)number(event, record, "ns"));
	else
		more = json_pack("{s:s, s:b}", "event", "reset",
				 "done", (int)number(event, record, "done"));
	json_object_update_new(decoded, more);
	keep(watch, decoded);
}

static void read_cpu(struct watch *watch, struct tracefs_cpu *cpu)
{
	char page[tracefs_cpu_read_size(cpu)];

	while (tracefs_cpu_read(cpu, page, true) > 0) {
		struct tep_record record = {};
		int lost;

		kbuffer_load_subbuffer(watch->kbuf, page);
		lost = kbuffer_missed_events(watch->kbuf);
		if (lost)
			keep(watch, json_pack("{s:I, s:s, s:o}", "time",
					      (json_int_t)kbuffer_timestamp(watch->kbuf),
					      "event", "lost", "number",
					      lost > 0 ? json_integer(lost) : json_null()));
		while ((record.data = kbuffer_read_event(watch->kbuf, &record.ts))) {
			struct tep_event *event;

			record.size = kbuffer_event_size(watch->kbuf);
			event = tep_find_event_by_record(watch->tep, &record);
			if (event)
				decode(watch, event, &record);
			kbuffer_next_event(watch->kbuf, NULL);
		}
	}
}

/* Its description, for the caller to free */
static char *describe(json_t *event)
{
	const char *kind = json_text(event, "event"), *failed = json_text(event, "error");
	double ms = json_integer_value(json_object_get(event, "ns")) / 1e6;

	if (!strcmp(kind, "arc")) {
		char *arc = text("%s -> %s", json_text(event, "from"), json_text(event, "to"));
		char *all = text("%-28s%9.3f ms%s%s%s%s", arc, ms, failed ? "  " : "", failed ?: "",
				 failed ? ", state " : "", failed ? json_text(event, "state") : "");

		free(arc);
		return all;
	}
	if (!strcmp(kind, "call"))
		return text("  %-26s%9.3f ms%s%s", json_text(event, "call"), ms, failed ? "  " : "",
			    failed ?: "");
	if (!strcmp(kind, "reset"))
		return text("%s", json_is_true(json_object_get(event, "done")) ?
			    "was reset" : "is being reset");
	if (!strcmp(kind, "state")) {
		char *state = state_text(event);
		char *all = state ? text("state %s", state) :
				    text("has no driver that can migrate it");

		free(state);
		return all;
	}
	return json_is_null(json_object_get(event, "number")) ? text("events were lost") :
		text("%lld events were lost", json_integer_value(json_object_get(event, "number")));
}

/* Tell of one event, and drop it. */
static void tell(struct watch *watch, json_t *event)
{
	unsigned long long ns = time_of(event) + watch->day;

	if (json_wanted) {
		json_object_set_new(event, "time", json_real(ns / 1e9));
		json_dumpf(event, stdout, JSON_COMPACT | JSON_REAL_PRECISION(16));
		printf("\n");
	} else {
		time_t seconds = ns / NS_PER_S;
		char *what = describe(event), clock[16];

		strftime(clock, sizeof(clock), "%T", localtime(&seconds));
		printf("%s.%06llu  %-12s  %s\n", clock, ns % NS_PER_S / 1000,
		       json_text(event, "device") ?: "-", what);
		free(what);
	}
	json_decref(event);
}

/* Read all there is, and tell of all that is older than @end. */
static void pass(struct watch *watch, unsigned long long end)
{
	for (long i = 0; i < watch->cpus; i++)
		read_cpu(watch, watch->cpu[i]);
	while (json_array_size(watch->events) && time_of(json_array_get(watch->events, 0)) < end) {
		tell(watch, json_incref(json_array_get(watch->events, 0)));
		json_array_remove(watch->events, 0);
	}
	fflush(stdout);
}

/*
 * In which state a device is now: in its order, for events of before may not have been read yet.
 * That it has none is told of one that the user has named.
 */
static void keep_state(struct watch *watch, struct udev_device *device, bool named)
{
	json_t *state = device_state(device);
	json_t *event = json_pack("{s:I, s:s, s:s}", "time", (json_int_t)now(CLOCK_MONOTONIC),
				  "device", device_bdf(device), "event", "state");

	json_object_update_new(event, state);
	if (json_text(event, "state") || named)
		keep(watch, event);
	else
		json_decref(event);
}

/* An event that went with its module has gone for good, though the module may be back already. */
static bool still_there(struct watch *watch)
{
	return tracefs_event_is_enabled(watch->instance, SYSTEM, "vfio_pci_mig_arc") ==
	       TRACEFS_ALL_ENABLED;
}

/* Until the user has enough, by a signal or because nobody reads any more. Return: exit status */
static int watch_events(struct watch *watch, int signals)
{
	struct pollfd fds[] = {
		{ .fd = watch->pipe, .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
		{ .fd = STDOUT_FILENO },
	};
	int ready = 1;

	while (!fds[1].revents && !fds[2].revents && !ferror(stdout)) {
		if (!ready && !still_there(watch))
			return fail("the drivers on vfio-pci-mig were unloaded; watch again");
		pass(watch, now(CLOCK_MONOTONIC) - SETTLED_NS);
		/* The kernel may miss the first event of several when it is asked to wait. */
		ready = poll(fds, 3, json_array_size(watch->events) ? SETTLED_NS / 1000000 : 1000);
	}
	pass(watch, -1ULL);
	/* It is no failure that nobody reads any more. */
	if (fds[2].revents) {
		__fpurge(stdout);
		clearerr(stdout);
	}
	return EXIT_YES;
}

/* Return: whether there is something to watch, else after a complaint */
static bool can_watch(void)
{
	const char *dir = tracefs_tracing_dir();

	if (!dir)
		fail("there is no tracefs; as root: mount -t tracefs none /sys/kernel/tracing");
	else if (access(dir, R_OK | W_OK | X_OK))
		fail("%s: %s; watch as root", dir, strerror(errno));
	else if (!tracefs_dir_exists(NULL, "events/" SYSTEM))
		fail("no driver on vfio-pci-mig is loaded; modprobe hisi_vfio_pci");
	else
		return true;
	return false;
}

/* Events of these devices only, or of all. Return: 0 or less than that */
static int set_filter(struct tracefs_instance *instance, struct udev_device **devices)
{
	char *filter = text("%s", "");
	int ret = 0;

	for (; *devices; devices++) {
		char *longer = text("%s%sdev == \"%s\"", filter, *filter ? " || " : "",
				    device_bdf(*devices));

		free(filter);
		filter = longer;
	}
	if (*filter)
		ret = tracefs_instance_file_write(instance, "events/" SYSTEM "/filter", filter);
	free(filter);
	return ret;
}

/* Begin with one kind of event. Return: 0, or less than that with errno */
static int watch_event(struct watch *watch, const char *name)
{
	int size;
	char *format = tracefs_event_file_read(NULL, SYSTEM, name, "format", &size);

	if (!format)
		return -1;
	/* What it does not understand of the text that goes with it does not matter. */
	tep_parse_event(watch->tep, format, size, SYSTEM);
	free(format);
	return tracefs_event_enable(watch->instance, SYSTEM, name);
}

/* Return: 0, or less than that with errno */
static int watch_begin(struct watch *watch, struct udev_device **devices, bool calls)
{
	char *name = text("vfioctl-%d", getpid());

	watch->pipe = -1;
	watch->events = json_array();
	watch->day = now(CLOCK_REALTIME) - now(CLOCK_MONOTONIC);
	watch->kbuf = kbuffer_alloc(KBUFFER_LSIZE_SAME_AS_HOST, KBUFFER_ENDIAN_SAME_AS_HOST);
	/* tracefs_local_events() would read the names of all the kernel's functions as well. */
	watch->tep = tep_alloc();
	watch->instance = tracefs_instance_create(name);
	free(name);
	if (!watch->kbuf || !watch->tep || !watch->instance ||
	    tracefs_instance_set_buffer_size(watch->instance, BUFFER_KIB, -1) < 0 ||
	    tracefs_instance_file_write(watch->instance, "trace_clock", "mono") < 0 ||
	    set_filter(watch->instance, devices) < 0)
		return -1;

	watch->cpu = calloc(sysconf(_SC_NPROCESSORS_CONF), sizeof(*watch->cpu));
	if (!watch->cpu)
		return -1;
	while (watch->cpus < sysconf(_SC_NPROCESSORS_CONF)) {
		watch->cpu[watch->cpus] = tracefs_cpu_open(watch->instance, watch->cpus, true);
		if (!watch->cpu[watch->cpus])
			return -1;
		watch->cpus++;
	}
	watch->pipe = tracefs_instance_file_open(watch->instance, "trace_pipe",
						 O_RDONLY | O_NONBLOCK);
	if (watch->pipe < 0 || (calls && watch_event(watch, "vfio_pci_mig_call")))
		return -1;
	return watch_event(watch, "vfio_pci_mig_arc") ?: watch_event(watch, "vfio_pci_mig_reset");
}

/* Whatever has begun */
static void watch_end(struct watch *watch)
{
	close(watch->pipe);
	while (watch->cpus)
		tracefs_cpu_close(watch->cpu[--watch->cpus]);
	free(watch->cpu);
	if (watch->instance) {
		tracefs_instance_destroy(watch->instance);
		tracefs_instance_free(watch->instance);
	}
	tep_free(watch->tep);
	kbuffer_free(watch->kbuf);
	json_decref(watch->events);
}

static int watch(struct udev_device **devices, bool calls)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE };
	struct udev_device **shown = *devices ? devices : device_all();
	struct watch watch = {};
	sigset_t set;
	int ret;

	/* None of them may end the program before it has put away what it has in the kernel. */
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		sigaddset(&set, ends[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);

	ret = watch_begin(&watch, devices, calls);
	if (ret) {
		ret = fail("tracing cannot be set up below %s: %s", tracefs_tracing_dir(),
			   strerror(errno));
	} else {
		for (struct udev_device **device = shown; *device; device++)
			keep_state(&watch, *device, shown == devices);
		ret = watch_events(&watch, signalfd(-1, &set, SFD_CLOEXEC));
	}
	watch_end(&watch);
	if (shown != devices)
		device_free_all(shown);
	return ret;
}

int cmd_watch(int argc, char **argv)
{
	static const struct option options[] = { { "calls", no_argument, NULL, 'c' }, {} };
	struct udev_device **devices;
	bool calls = false;
	int ret = EXIT_YES;
	size_t n = 0;

	while (next_option(argc, argv, options) == 'c')
		calls = true;
	devices = calloc(argc - optind + 1, sizeof(*devices));
	if (!devices)
		abort();
	for (; !ret && optind < argc; optind++)
		ret = device_find(argv[optind], &devices[n++]);
	if (!ret)
		ret = can_watch() ? watch(devices, calls) : EXIT_NO;
	device_free_all(devices);
	return ret;
}
