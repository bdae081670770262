/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The wire format's rules, free of kernel and hardware: the driver, the fuzzer and vfioctl compile
 * the same file.
 */
#ifndef HISI_WIRE_H
#define HISI_WIRE_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <linux/hisi_acc_mig.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <linux/hisi_acc_mig.h>
#endif

/**
 * struct hisi_wire_ident - What makes two VFs interchangeable
 * @dev_id: PCI device id of the VF
 * @qp_num: number of queue pairs, as the hardware's queue table says
 * @qp_base: first queue pair; does not have to match
 * @isolation: the PF's queue isolation register
 */
struct hisi_wire_ident {
	unsigned int dev_id;
	unsigned int qp_num;
	unsigned int qp_base;
	unsigned int isolation;
};

/* The word of an event queue's context with its size, which is never 0 and which a reset clears */
#define HISI_WIRE_EQC_SIZE_WORD	6

/**
 * hisi_wire_eqc_in_use() - Is this the context of an event queue?
 * @size_word: that word of it. Only the bits that have a meaning count: depth - 1, and the phase
 *
 * Return: the answer; false after a reset.
 */
static inline bool hisi_wire_eqc_in_use(unsigned int size_word)
{
	return size_word & 0x1ffff;
}

bool hisi_wire_has_eq(const struct hisi_acc_mig_record *rec);
void hisi_wire_fill_match(struct hisi_acc_mig_record *rec, const struct hisi_wire_ident *id,
			  bool ready);
void hisi_wire_fill_addrs(struct hisi_acc_mig_record *rec, unsigned long long sqc_addr,
			  unsigned long long cqc_addr);
int hisi_wire_check_match(const struct hisi_acc_mig_record *rec, const struct hisi_wire_ident *id,
			  const char **why);
bool hisi_wire_may_end_at_match(const struct hisi_acc_mig_record *rec);
int hisi_wire_check_state(const struct hisi_acc_mig_record *rec, bool *ready, const char **why);

#endif
