// SPDX-License-Identifier: GPL-2.0-only
/*
 * Holds drivers/vfio/pci/hisi/wire.c to Documentation/userspace-api/hisi-acc-migration.rst.
 *
 * An input is a stream as it is written to a data fd, so that one which was saved somewhere can be
 * tried as it is. It is meant for a target that fits; up to 16 more bytes make the target differ.
 *
 * The tables of the document are stated here once more, by offset and value: nothing of the header
 * that the driver goes by is used but the types of its functions.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wire.h"

#define V1		0xCDCDCDCDFEEDAACCULL
#define V2		0xAACCFEEDDECADEDEULL

enum {
	MAGIC		= 0x00,
	QP_NUM		= 0x08,
	DEV_ID		= 0x0c,
	ISOLATION	= 0x10,
	QP_BASE		= 0x14,
	VF_STATE	= 0x18,
	MAJOR		= 0x1c,
	MINOR		= 0x1e,
	RESERVED0	= 0x20,
	MATCH_END	= 0x28,
	REGISTERS	= 0x28,
	EQC		= 0x40,
	AEQC		= 0x5c,
	RESERVED1	= 0x78,
	EQ_ADDR		= 0x90,
	AEQ_ADDR	= 0x98,
	SQC_ADDR	= 0xa0,
	CQC_ADDR	= 0xa8,
	END		= 0xb0,

	/* Of an event queue context: the address of its ring, and what comes after it */
	RING		= 4,
	RING_END	= 12,
	CONTEXT_END	= 28,
};

/* Every cause of a refusal, and every kind of success. One that was never seen was not tested. */
enum outcome {
	BAD_MAGIC, BAD_MAJOR, BAD_RESERVED0, BAD_VF_STATE,
	OTHER_DEV_ID, OTHER_QP_NUM, OTHER_ISOLATION,
	BAD_RESERVED1, BAD_EQ_ADDR, BAD_AEQ_ADDR, SOME_ADDRS, MISALIGNED, NOT_IN_USE,
	V1_ENDS, V2_ENDS, V2_GOES_ON, V1_QUEUES, V2_QUEUES, V1_BLANK, V2_BLANK,
	SAVED_QUEUES, SAVED_BLANK, SAVED_AS_UNUSED,
};

static const struct {
	int err;
	const char *what;
} outcomes[] = {
	[BAD_MAGIC]	  = { EINVAL, "unknown magic" },
	[BAD_MAJOR]	  = { EOPNOTSUPP, "unknown major version" },
	[BAD_RESERVED0]	  = { EINVAL, "reserved words of the match part" },
	[BAD_VF_STATE]	  = { EINVAL, "unknown vf_state" },
	[OTHER_DEV_ID]	  = { EXDEV, "dev_id" },
	[OTHER_QP_NUM]	  = { EXDEV, "qp_num" },
	[OTHER_ISOLATION] = { EXDEV, "isolation" },
	[BAD_RESERVED1]	  = { EINVAL, "reserved words of the state part" },
	[BAD_EQ_ADDR]	  = { EINVAL, "eq_addr contradicts eqc" },
	[BAD_AEQ_ADDR]	  = { EINVAL, "aeq_addr contradicts aeqc" },
	[SOME_ADDRS]	  = { EINVAL, "some but not all addresses zero" },
	[MISALIGNED]	  = { EINVAL, "misaligned table" },
	[NOT_IN_USE]	  = { EINVAL, "addresses of a VF that was not in use" },
	[V1_ENDS]	  = { 0, "V1, may end at match" },
	[V2_ENDS]	  = { 0, "V2, minor 0, may end at match" },
	[V2_GOES_ON]	  = { 0, "V2, other minor, may not" },
	[V1_QUEUES]	  = { 0, "V1 with queues" },
	[V2_QUEUES]	  = { 0, "V2 with queues" },
	[V1_BLANK]	  = { 0, "V1 without queues" },
	[V2_BLANK]	  = { 0, "V2 without queues" },
	[SAVED_QUEUES]	  = { 0, "saved with queues" },
	[SAVED_BLANK]	  = { 0, "saved without queues" },
	[SAVED_AS_UNUSED] = { 0, "saved as unused" },
};

#define NR_OUTCOMES	(sizeof(outcomes) / sizeof(*outcomes))
/* Causes count where they are the only one. */
static unsigned long seen[NR_OUTCOMES];

#define IF(condition, outcome)	((condition) ? 1U << (outcome) : 0)

/* libFuzzer keeps the input of what aborts. */
#define require(condition, ...) do {						\
	if (!(condition)) {							\
		fprintf(stderr, "%s:%d: ", __func__, __LINE__);			\
		fprintf(stderr, __VA_ARGS__);					\
		fprintf(stderr, " (%s)\n", #condition);				\
		abort();							\
	}									\
} while (0)

static uint64_t get(const uint8_t *p, unsigned int len)
{
	uint64_t value = 0;

	while (len--)
		value = value << 8 | p[len];
	return value;
}

static void put(uint8_t *p, unsigned int len, uint64_t value)
{
	for (; len--; value >>= 8)
		*p++ = value;
}

/* A record that is known to be of one of the two kinds */
static bool is_v1(const uint8_t *rec)
{
	return get(rec + MAGIC, 8) == V1;
}

static unsigned int match_causes(const uint8_t *rec, const struct hisi_wire_ident *id)
{
	/* They say what the rest means, and come first. */
	if (!is_v1(rec) && get(rec + MAGIC, 8) != V2)
		return 1U << BAD_MAGIC;
	if (!is_v1(rec) && get(rec + MAJOR, 2) != 1)
		return 1U << BAD_MAJOR;

	return IF(!is_v1(rec) && get(rec + RESERVED0, 8), BAD_RESERVED0) |
	       IF(get(rec + VF_STATE, 4) > 1, BAD_VF_STATE) |
	       IF(get(rec + DEV_ID, 4) != id->dev_id, OTHER_DEV_ID) |
	       IF(get(rec + QP_NUM, 4) != id->qp_num, OTHER_QP_NUM) |
	       IF(get(rec + ISOLATION, 4) != id->isolation, OTHER_ISOLATION);
}

static unsigned int nr_addrs(const uint8_t *rec)
{
	return !!get(rec + EQC + RING, 8) + !!get(rec + AEQC + RING, 8) +
	       !!get(rec + SQC_ADDR, 8) + !!get(rec + CQC_ADDR, 8);
}

static unsigned int state_causes(const uint8_t *rec)
{
	unsigned int causes = IF(nr_addrs(rec) % 4, SOME_ADDRS) |
			      IF(get(rec + SQC_ADDR, 8) % 32, MISALIGNED) |
			      IF(get(rec + CQC_ADDR, 8) % 32, MISALIGNED) |
			      IF(nr_addrs(rec) && get(rec + VF_STATE, 4), NOT_IN_USE);

	if (is_v1(rec))
		return causes;
	for (unsigned int i = RESERVED1; i < EQ_ADDR; i++)
		causes |= IF(rec[i], BAD_RESERVED1);
	return causes | IF(get(rec + EQ_ADDR, 8) != get(rec + EQC + RING, 8), BAD_EQ_ADDR) |
	       IF(get(rec + AEQ_ADDR, 8) != get(rec + AEQC + RING, 8), BAD_AEQ_ADDR);
}

/* Any of several causes may be the one that is told. */
static void judge(int ret, const char *why, unsigned int causes)
{
	const char *first = causes ? outcomes[__builtin_ctz(causes)].what : "none";
	bool allowed = !ret && !causes;

	for (unsigned int i = 0; i < NR_OUTCOMES; i++) {
		if (!(causes & 1U << i))
			continue;
		allowed |= ret == -outcomes[i].err;
		if (causes == 1U << i)
			seen[i]++;
	}
	require(allowed, "errno %d, why: %s, cause: %s", -ret, why, first);
	require(ret ? why && *why : !why, "errno %d, why: %s", -ret, why);
}

/*
 * What the checks must not look at is turned into its opposite. Registers count as such: they are
 * the guest's own.
 */
static void change_the_rest(uint8_t *rec, unsigned int size)
{
	static const struct {
		unsigned int from, to;
		bool judged_in_v2;
	} rest[] = {
		{ QP_BASE, VF_STATE, false },
		{ MAJOR, MINOR, true },
		{ MINOR, RESERVED0, false },
		{ RESERVED0, MATCH_END, true },
		{ REGISTERS, EQC + RING, false },
		{ EQC + RING_END, AEQC + RING, false },
		{ AEQC + RING_END, RESERVED1, false },
		{ RESERVED1, SQC_ADDR, true },
	};

	for (unsigned int i = 0; i < sizeof(rest) / sizeof(*rest); i++)
		if (rest[i].to <= size && (is_v1(rec) || !rest[i].judged_in_v2))
			for (unsigned int at = rest[i].from; at < rest[i].to; at++)
				rec[at] = ~rec[at];
}

/* On the heap and no longer than they have to be, so that ASan sees who leaves them. */
static uint8_t *match, *record;
static const char unset[] = "not set";

static int call_check_match(const uint8_t *rec, const struct hisi_wire_ident *id, const char **why)
{
	struct hisi_wire_ident ident = *id;
	int ret;

	memcpy(match, rec, MATCH_END);
	*why = unset;
	ret = hisi_wire_check_match((const void *)match, &ident, why);
	require(*why != unset, "errno %d without why", -ret);
	require(!memcmp(match, rec, MATCH_END), "the record was changed");
	require(!memcmp(&ident, id, sizeof(ident)), "the ident was changed");
	return ret;
}

static int check_match(const uint8_t *rec, const struct hisi_wire_ident *id)
{
	struct hisi_wire_ident other = *id;
	uint8_t changed[MATCH_END];
	const char *why, *again;
	bool may_end;
	int ret;

	ret = call_check_match(rec, id, &why);
	judge(ret, why, match_causes(rec, id));

	other.qp_base = ~other.qp_base;
	memcpy(changed, rec, MATCH_END);
	change_the_rest(changed, MATCH_END);
	require(call_check_match(changed, &other, &again) == ret && again == why,
		"%s, then %s", why, again);
	if (ret)
		return ret;

	memcpy(match, rec, MATCH_END);
	may_end = hisi_wire_may_end_at_match((const void *)match);
	require(!memcmp(match, rec, MATCH_END), "the record was changed");
	require(may_end == (is_v1(rec) || !get(rec + MINOR, 2)), "may end: %d", may_end);
	seen[is_v1(rec) ? V1_ENDS : may_end ? V2_ENDS : V2_GOES_ON]++;
	return 0;
}

static int call_check_state(const uint8_t *rec, bool *ready, const char **why)
{
	int ret;

	memcpy(record, rec, END);
	*why = unset;
	ret = hisi_wire_check_state((const void *)record, ready, why);
	require(*why != unset, "errno %d without why", -ret);
	require(!memcmp(record, rec, END), "the record was changed");
	return ret;
}

static int check_state(const uint8_t *rec)
{
	bool ready = true, ready_again = false;
	const char *why, *again;
	uint8_t changed[END];
	int ret;

	ret = call_check_state(rec, &ready, &why);
	judge(ret, why, state_causes(rec));

	memcpy(changed, rec, END);
	change_the_rest(changed, END);
	require(call_check_state(changed, &ready_again, &again) == ret && again == why,
		"%s, then %s", why, again);
	if (ret)
		return ret;

	require(ready == ready_again, "ready is not set, or not by the addresses");
	require(ready == (nr_addrs(rec) == 4), "ready: %d", ready);
	seen[is_v1(rec) ? ready ? V1_QUEUES : V1_BLANK : ready ? V2_QUEUES : V2_BLANK]++;
	return 0;
}

/* A VF that is saved, as by the driver: what it writes is what the document says, and loads. */
static void save(const uint8_t *registers, const struct hisi_wire_ident *id, bool in_use)
{
	uint8_t rec[END] = {};

	memset(match, 0x5a, MATCH_END);
	hisi_wire_fill_match((void *)match, id, in_use);
	put(rec + MAGIC, 8, V2);
	put(rec + QP_NUM, 4, id->qp_num);
	put(rec + DEV_ID, 4, id->dev_id);
	put(rec + ISOLATION, 4, id->isolation);
	put(rec + QP_BASE, 4, id->qp_base);
	put(rec + VF_STATE, 4, !in_use);
	put(rec + MAJOR, 2, 1);
	put(rec + MINOR, 2, 1);
	require(!memcmp(match, rec, MATCH_END), "wrong match part");
	require(!check_match(rec, id), "own match part refused");

	if (!in_use) {
		require(!check_state(rec), "own record without queues refused");
		seen[SAVED_BLANK]++;
		return;
	}

	memcpy(rec + REGISTERS, registers + REGISTERS, RESERVED1 - REGISTERS);
	memcpy(record, rec, END);
	memset(record + EQ_ADDR, 0x5a, END - EQ_ADDR);
	hisi_wire_fill_addrs((void *)record, get(registers + SQC_ADDR, 8),
			     get(registers + CQC_ADDR, 8));
	memcpy(rec + EQ_ADDR, rec + EQC + RING, 8);
	memcpy(rec + AEQ_ADDR, rec + AEQC + RING, 8);
	memcpy(rec + SQC_ADDR, registers + SQC_ADDR, 16);
	require(!memcmp(record, rec, END), "wrong addresses");

	/* Only what the guest has set up wrongly can be refused. Such a VF is saved as unused. */
	require(!(state_causes(rec) & ~(1U << SOME_ADDRS | 1U << MISALIGNED)),
		"own record is wrong");
	if (!check_state(rec)) {
		seen[nr_addrs(rec) ? SAVED_QUEUES : SAVED_BLANK]++;
		return;
	}
	memset(rec + MATCH_END, 0, END - MATCH_END);
	require(!check_state(rec), "own record without queues refused");
	seen[SAVED_AS_UNUSED]++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t other[16] = {};
	struct hisi_wire_ident id;

	if (size < MATCH_END)
		return 0;
	if (size > END)
		memcpy(other, data + END, size - END < sizeof(other) ? size - END : sizeof(other));
	id.dev_id = get(data + DEV_ID, 4) ^ get(other, 4);
	id.qp_num = get(data + QP_NUM, 4) ^ get(other + 4, 4);
	id.isolation = get(data + ISOLATION, 4) ^ get(other + 8, 4);
	id.qp_base = get(data + QP_BASE, 4) ^ get(other + 12, 4);

	if (!check_match(data, &id)) {
		uint8_t blank[END] = {};

		memcpy(blank, data, MATCH_END);
		require(!check_state(blank), "no queues refused");
		if (size >= END)
			check_state(data);
	}
	if (size >= END)
		save(data, &id, !(data[VF_STATE] & 1));
	return 0;
}

static void report(void)
{
	unsigned int i, unseen = 0;

	printf("TAP version 13\n1..%zu\n", NR_OUTCOMES);
	for (i = 0; i < NR_OUTCOMES; i++) {
		unseen += !seen[i];
		printf("%s %u - %s: %s, %lu times\n", seen[i] ? "ok" : "not ok", i + 1,
		       outcomes[i].err ? strerrorname_np(outcomes[i].err) : "accepted",
		       outcomes[i].what, seen[i]);
	}
	fflush(stdout);
	if (unseen)
		_exit(1);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	match = malloc(MATCH_END);
	record = malloc(END);
	if (!match || !record)
		abort();
	/* Of one input nobody expects to show everything. */
	if (getenv("HISI_WIRE_FUZZ_TAP"))
		atexit(report);
	return 0;
}
