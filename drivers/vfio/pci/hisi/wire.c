// SPDX-License-Identifier: GPL-2.0-only
/*
 * Encoder and validator of a saved VF (include/uapi/linux/hisi_acc_mig.h).
 *
 * Pure functions: no allocation, no device, no logging. Compiled into the driver and, unchanged,
 * into user space.
 */
#include "wire.h"

#ifdef __KERNEL__
#include <asm/byteorder.h>
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/stddef.h>
#include <linux/string.h>
#else
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#define cpu_to_le16	htole16
#define cpu_to_le32	htole32
#define cpu_to_le64	htole64
#define le16_to_cpu	le16toh
#define le32_to_cpu	le32toh
#define le64_to_cpu	le64toh
#endif

static_assert(offsetof(struct hisi_acc_mig_record, aeq_mask) == HISI_ACC_MIG_MATCH_SIZE);
static_assert(sizeof(struct hisi_acc_mig_record) == HISI_ACC_MIG_RECORD_SIZE);

/* Of a queue's context in its table, and so the alignment of the tables. */
#define CONTEXT_SIZE	32

static unsigned long long eqc_addr(const __le32 *eqc)
{
	return (unsigned long long)le32_to_cpu(eqc[2]) << 32 | le32_to_cpu(eqc[1]);
}

static bool all_zero(const __le32 *words, size_t n)
{
	while (n--)
		if (words[n])
			return false;
	return true;
}

static bool is_v1(const struct hisi_acc_mig_record *rec)
{
	return le64_to_cpu(rec->magic) == HISI_ACC_MIG_MAGIC_V1;
}

/**
 * hisi_wire_fill_match() - Write the match part of a record
 * @rec: the record; nothing outside the match part is written
 * @id: the VF that is being saved
 * @ready: false when it is known that no guest driver uses the VF
 */
void hisi_wire_fill_match(struct hisi_acc_mig_record *rec, const struct hisi_wire_ident *id,
			  bool ready)
{
	memset(rec, 0, HISI_ACC_MIG_MATCH_SIZE);
	rec->magic = cpu_to_le64(HISI_ACC_MIG_MAGIC_V2);
	rec->major = cpu_to_le16(HISI_ACC_MIG_MAJOR);
	rec->minor = cpu_to_le16(HISI_ACC_MIG_MINOR);
	rec->dev_id = cpu_to_le32(id->dev_id);
	rec->qp_num = cpu_to_le32(id->qp_num);
	rec->qp_base = cpu_to_le32(id->qp_base);
	rec->isolation = cpu_to_le32(id->isolation);
	rec->vf_state = cpu_to_le32(ready ? HISI_ACC_MIG_VF_READY : HISI_ACC_MIG_VF_NOT_READY);
}

/**
 * hisi_wire_fill_addrs() - Write the addresses at the end of a record
 * @rec: the record, with eqc[] and aeqc[] filled in
 * @sqc_addr: DMA address of the table of submission queue contexts
 * @cqc_addr: DMA address of the table of completion queue contexts
 */
void hisi_wire_fill_addrs(struct hisi_acc_mig_record *rec, unsigned long long sqc_addr,
			  unsigned long long cqc_addr)
{
	rec->eq_addr = cpu_to_le64(eqc_addr(rec->eqc));
	rec->aeq_addr = cpu_to_le64(eqc_addr(rec->aeqc));
	rec->sqc_addr = cpu_to_le64(sqc_addr);
	rec->cqc_addr = cpu_to_le64(cqc_addr);
}

/**
 * hisi_wire_has_eq() - Did the function that was saved have an event queue?
 * @rec: a complete record
 *
 * Return: the answer.
 */
bool hisi_wire_has_eq(const struct hisi_acc_mig_record *rec)
{
	return hisi_wire_eqc_in_use(le32_to_cpu(rec->eqc[HISI_WIRE_EQC_SIZE_WORD]));
}

/**
 * hisi_wire_check_match() - Can this VF take over from the one that was saved?
 * @rec: a record of which the match part is there
 * @id: this VF
 * @why: set to the reason on error, a constant string
 *
 * Return: 0, or a negative errno of the table in the uAPI header.
 */
int hisi_wire_check_match(const struct hisi_acc_mig_record *rec, const struct hisi_wire_ident *id,
			  const char **why)
{
	switch (le64_to_cpu(rec->magic)) {
	case HISI_ACC_MIG_MAGIC_V1:
		break;
	case HISI_ACC_MIG_MAGIC_V2:
		*why = "unknown major version";
		if (le16_to_cpu(rec->major) != HISI_ACC_MIG_MAJOR)
			return -EOPNOTSUPP;
		*why = "reserved words are not zero";
		if (!all_zero(rec->reserved0, 2))
			return -EINVAL;
		break;
	default:
		*why = "unknown magic number";
		return -EINVAL;
	}

	*why = "unknown VF state";
	if (le32_to_cpu(rec->vf_state) > HISI_ACC_MIG_VF_NOT_READY)
		return -EINVAL;

	*why = "saved from another kind of device";
	if (le32_to_cpu(rec->dev_id) != id->dev_id)
		return -EXDEV;
	*why = "saved from a VF with another number of queues";
	if (le32_to_cpu(rec->qp_num) != id->qp_num)
		return -EXDEV;
	*why = "saved from a device with another queue isolation";
	if (le32_to_cpu(rec->isolation) != id->isolation)
		return -EXDEV;

	*why = NULL;
	return 0;
}

/**
 * hisi_wire_may_end_at_match() - Is the match part alone a complete stream?
 * @rec: a record whose match part was accepted
 *
 * Return: true for the kernel's driver, which ends there when no guest driver uses the VF.
 */
bool hisi_wire_may_end_at_match(const struct hisi_acc_mig_record *rec)
{
	return is_v1(rec) || le16_to_cpu(rec->minor) == HISI_ACC_MIG_MINOR_LEGACY;
}

/**
 * hisi_wire_check_state() - Is the state part something that can be loaded?
 * @rec: a complete record whose match part was accepted
 * @ready: set to whether there are queues to load
 * @why: set to the reason on error, a constant string
 *
 * What the registers hold is the guest's own and is not judged: none of it is an index, a bound or
 * an address of the kernel's. Only a record that would load half of a VF is refused.
 *
 * Return: 0, or a negative errno of the table in the uAPI header.
 */
int hisi_wire_check_state(const struct hisi_acc_mig_record *rec, bool *ready, const char **why)
{
	unsigned long long eq = eqc_addr(rec->eqc), aeq = eqc_addr(rec->aeqc);

	*why = "reserved words are not zero";
	if (!is_v1(rec) && (!all_zero(rec->reserved1, 5) || rec->pad0))
		return -EINVAL;

	*why = "event queue addresses contradict their contexts";
	if (!is_v1(rec) &&
	    (le64_to_cpu(rec->eq_addr) != eq || le64_to_cpu(rec->aeq_addr) != aeq))
		return -EINVAL;

	*why = "some queue addresses are missing";
	*ready = eq && aeq && rec->sqc_addr && rec->cqc_addr;
	if (!*ready && (eq || aeq || rec->sqc_addr || rec->cqc_addr))
		return -EINVAL;

	*why = "a table of queue contexts is misaligned";
	if ((le64_to_cpu(rec->sqc_addr) | le64_to_cpu(rec->cqc_addr)) % CONTEXT_SIZE)
		return -EINVAL;

	*why = "queues of a VF that was not ready";
	if (*ready && le32_to_cpu(rec->vf_state) != HISI_ACC_MIG_VF_READY)
		return -EINVAL;

	*why = NULL;
	return 0;
}
