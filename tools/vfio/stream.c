// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfioctl stream: a saved VF of a HiSilicon accelerator, as it is read from a data fd.
 *
 * What is wrong with one is said by the driver's own wire.c, in the words that are in the driver's
 * log. That there are too few bytes or too many is the core's to say, and said here.
 */

#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vfioctl.h"
#include "wire.h"

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof(*(array)))

/* Of which values one can say more than their name */
enum meaning {
	PLAIN,
	MAGIC,
	KIND,
	NUMBER,
	COMPARED,
	INFORMATIVE,
	VF_STATE,
	PAGE_SIZE,
	CONTEXT,
};

/* The caller frees it. */
static char *context_meaning(size_t word, unsigned long long value)
{
	switch (word) {
	case 0:
		return text("consumer %llu, producer %llu", value & 0xffff, value >> 16);
	case 1:
		return text("ring, low half");
	case 2:
		return text("ring, high half");
	case 6:
		return text("depth %llu, phase %llu", (value & 0xffff) + 1, value >> 16 & 1);
	default:
		return text("%s", "");
	}
}

/* The caller frees it. */
static char *meaning_of(enum meaning meaning, size_t word, unsigned long long value)
{
	static const char *const page_sizes[] = { "4 KiB", "16 KiB", "64 KiB" };

	switch (meaning) {
	case MAGIC:
		return text("%s", value == HISI_ACC_MIG_MAGIC_V2 ? "V2" :
				  value == HISI_ACC_MIG_MAGIC_V1 ? "V1" : "unknown");
	case KIND:
		return text("%s, must equal the target's",
			    value == 0xa251 ? "ZIP" : value == 0xa256 ? "SEC" :
			    value == 0xa259 ? "HPRE" : "unknown");
	case NUMBER:
		return text("%llu, must equal the target's", value);
	case COMPARED:
		return text("must equal the target's");
	case INFORMATIVE:
		return text("informative");
	case VF_STATE:
		return text("%s", value == HISI_ACC_MIG_VF_READY ? "ready" :
				  value == HISI_ACC_MIG_VF_NOT_READY ? "not ready" : "unknown");
	case PAGE_SIZE:
		return text("%s", value < ARRAY_SIZE(page_sizes) ? page_sizes[value] : "unknown");
	case CONTEXT:
		return context_meaning(word, value);
	default:
		return text("%s", "");
	}
}

#define FIELD(name, type, meaning) {						\
	#name, offsetof(struct hisi_acc_mig_record, name),			\
	sizeof(((struct hisi_acc_mig_record *)0)->name) / sizeof(type),		\
	sizeof(type), meaning							\
}

static const struct field {
	const char *name;
	size_t offset;
	size_t words;
	size_t bytes_per_word;
	enum meaning meaning;
} fields[] = {
	FIELD(magic, __le64, MAGIC),
	FIELD(qp_num, __le32, NUMBER),
	FIELD(dev_id, __le32, KIND),
	FIELD(isolation, __le32, COMPARED),
	FIELD(qp_base, __le32, INFORMATIVE),
	FIELD(vf_state, __le32, VF_STATE),
	FIELD(major, __le16, PLAIN),
	FIELD(minor, __le16, PLAIN),
	FIELD(reserved0, __le32, PLAIN),
	FIELD(aeq_mask, __le32, PLAIN),
	FIELD(eq_mask, __le32, PLAIN),
	FIELD(ifc_source, __le32, INFORMATIVE),
	FIELD(ifc_mask, __le32, PLAIN),
	FIELD(ifc_set, __le32, INFORMATIVE),
	FIELD(page_size, __le32, PAGE_SIZE),
	FIELD(eqc, __le32, CONTEXT),
	FIELD(aeqc, __le32, CONTEXT),
	FIELD(reserved1, __le32, PLAIN),
	FIELD(pad0, __le32, PLAIN),
	FIELD(eq_addr, __le64, PLAIN),
	FIELD(aeq_addr, __le64, PLAIN),
	FIELD(sqc_addr, __le64, PLAIN),
	FIELD(cqc_addr, __le64, PLAIN),
};

/* Word number @word of a field, which is @at */
static json_t *decode_word(const struct field *field, size_t word, const unsigned char *at)
{
	char *index = field->words > 1 ? text("[%zu]", word) : text("%s", ""), *number, *meaning;
	unsigned long long value = 0;
	json_t *decoded;

	for (size_t i = field->bytes_per_word; i--; )
		value = value << 8 | at[i];
	/* As a string: JSON has no number of 64 bits that all readers agree upon. */
	number = text("0x%0*llx", (int)(2 * field->bytes_per_word), value);
	meaning = meaning_of(field->meaning, word, value);
	decoded = json_pack("{s:s+, s:I, s:I, s:s, s:s}", "name", field->name, index, "offset",
			    (json_int_t)(field->offset + word * field->bytes_per_word), "bytes",
			    (json_int_t)field->bytes_per_word, "value", number, "meaning", meaning);
	free(index);
	free(number);
	free(meaning);
	return decoded;
}

/* Of @len bytes, the words of which no byte is missing */
static json_t *decode(const void *rec, size_t len)
{
	json_t *all = json_array();

	for (const struct field *field = fields; field < fields + ARRAY_SIZE(fields); field++) {
		for (size_t word = 0; word < field->words; word++) {
			size_t at = field->offset + word * field->bytes_per_word;

			if (at + field->bytes_per_word <= len)
				json_array_append_new(all, decode_word(field, word, rec + at));
		}
	}
	return all;
}

/* @err is what @call, which is the first that does, fails with. */
struct verdict {
	const char *word;
	const char *call;
	int err;
	const char *why;
};

static struct verdict accepted(bool queues)
{
	return (struct verdict){
		.word = "accepted",
		.why = queues ? "it has queues to load" :
				"no guest driver used the VF; the target must not be in use",
	};
}

static struct verdict incomplete(const char *why)
{
	return (struct verdict){ "incomplete", "RESUMING -> STOP", EINVAL, why };
}

static struct verdict refused(int err, const char *why)
{
	return (struct verdict){ "refused", "write()", err, why };
}

static bool is_magic(__le64 magic)
{
	return le64toh(magic) == HISI_ACC_MIG_MAGIC_V1 || le64toh(magic) == HISI_ACC_MIG_MAGIC_V2;
}

/* What a target would say of a record, and of what follows it, if @len is more than it has */
static struct verdict judge(const struct hisi_acc_mig_record *rec, size_t len,
			    const struct hisi_wire_ident *target)
{
	const char *why;
	bool ready;
	int ret;

	if (!len)
		return incomplete("there are no bytes");
	if (len < HISI_ACC_MIG_MATCH_SIZE)
		return incomplete("it ends in the match part");

	ret = hisi_wire_check_match(rec, target, &why);
	if (ret)
		return refused(-ret, why);
	if (len == HISI_ACC_MIG_MATCH_SIZE)
		return hisi_wire_may_end_at_match(rec) ? accepted(false) :
			incomplete("it is the match part only, as it is read in PRE_COPY");
	if (len < HISI_ACC_MIG_RECORD_SIZE)
		return incomplete("it ends in the state part");

	ret = hisi_wire_check_state(rec, &ready, &why);
	if (ret)
		return refused(-ret, why);
	if (len > HISI_ACC_MIG_RECORD_SIZE)
		return refused(ENOSPC, is_magic(rec[1].magic) ? "another record follows" :
							       "bytes follow the record");
	return accepted(ready);
}

static void tell_json(json_t *decoded, const struct verdict *verdict)
{
	json_t *all = json_pack("{s:s, s:s, s:O}", "verdict", verdict->word, "reason", verdict->why,
				"fields", decoded);

	if (verdict->err) {
		json_object_set_new(all, "call", json_string(verdict->call));
		json_object_set_new(all, "error", json_string(strerrorname_np(verdict->err)));
	}
	print_json(all);
}

static void tell_text(json_t *decoded, const struct verdict *verdict)
{
	struct table *table = table_new("offset", "field", "value", "meaning", NULL);
	json_t *word;
	size_t i;

	json_array_foreach(decoded, i, word) {
		json_int_t at = json_integer_value(json_object_get(word, "offset"));
		char *offset = text("0x%02llx", at);

		table_row(table, offset, json_text(word, "name"), json_text(word, "value"),
			  json_text(word, "meaning"));
		free(offset);
	}
	table_print(table);
	printf("\n%s: %s", verdict->word, verdict->why);
	if (verdict->err)
		printf(" (%s fails with %s)", verdict->call, strerrorname_np(verdict->err));
	printf("\n");
}

/* Up to @room bytes. Return: how many, or -1 after a complaint */
static ssize_t read_file(const char *name, void *buffer, size_t room)
{
	FILE *file = strcmp(name, "-") ? fopen(name, "r") : stdin;
	ssize_t len = -1;

	if (file)
		len = fread(buffer, 1, room, file);
	if (!file || ferror(file)) {
		fail("%s cannot be read: %s", name, strerror(errno));
		len = -1;
	}
	if (file && file != stdin)
		fclose(file);
	return len;
}

int cmd_stream(int argc, char **argv)
{
	static const struct option options[] = { { "device", required_argument, NULL, 'd' }, {} };
	/* One, and the beginning of what does not belong there */
	struct hisi_acc_mig_record records[2] = {};
	struct udev_device *device = NULL;
	struct hisi_wire_ident target;
	const char *bdf = NULL;
	struct verdict verdict;
	json_t *decoded;
	ssize_t len;
	int ret;

	while (next_option(argc, argv, options) == 'd')
		bdf = optarg;
	if (optind + 1 != argc)
		return fail_usage("stream takes one file");
	ret = bdf ? device_find(bdf, &device) : EXIT_YES;
	if (ret)
		return ret;
	len = read_file(argv[optind], records,
			HISI_ACC_MIG_RECORD_SIZE + sizeof(records->magic));
	if (len < 0)
		return EXIT_NO;

	/* What only the target's hardware knows is not judged. */
	target.dev_id = device ? strtoul(device_attr(device, "device") ?: "0", NULL, 16) :
				 le32toh(records->dev_id);
	target.qp_num = le32toh(records->qp_num);
	target.isolation = le32toh(records->isolation);
	udev_device_unref(device);

	verdict = judge(records, len, &target);
	decoded = decode(records, len);
	if (json_wanted)
		tell_json(decoded, &verdict);
	else
		tell_text(decoded, &verdict);
	json_decref(decoded);
	return verdict.err ? EXIT_NO : EXIT_YES;
}
