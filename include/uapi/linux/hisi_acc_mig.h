/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Wire format of a saved HiSilicon accelerator VF (ZIP, SEC, HPRE).
 *
 * This is what a VMM reads from the migration data fd of such a VF and writes to the data fd of
 * another one. It is the format of the kernel's hisi_acc_vfio_pci driver, which kept it as a
 * native structure of arm64 (little-endian): a VF saved by one driver loads under the other.
 *
 * Full text, with who checks what and when: Documentation/userspace-api/hisi-acc-migration.rst
 */
#ifndef _UAPI_LINUX_HISI_ACC_MIG_H
#define _UAPI_LINUX_HISI_ACC_MIG_H

#include <linux/types.h>

/* First eight bytes of a record. */
#define HISI_ACC_MIG_MAGIC_V2	0xAACCFEEDDECADEDEULL
/*
 * Written by kernels before 6.16. No version: major and minor were reserved words. Their eq_addr
 * and aeq_addr were put together from the wrong words and are to be ignored; eqc[] and aeqc[] hold
 * the right ones.
 */
#define HISI_ACC_MIG_MAGIC_V1	0xCDCDCDCDFEEDAACCULL

#define HISI_ACC_MIG_MAJOR	1
/*
 * Minor 0: the kernel's driver. A stream may end after the match part, which means that no guest
 * driver was using the VF.
 * Minor 1: the stream is always the full record; no guest driver is said by a state part of zeros.
 * So a stream that was cut short cannot pass for one that had nothing to say.
 * A reader accepts every minor.
 */
#define HISI_ACC_MIG_MINOR_LEGACY	0
#define HISI_ACC_MIG_MINOR		1

/* Words of an event queue context (EQC or AEQC): see eqc[] below. */
#define HISI_ACC_MIG_EQC_WORDS	7

/* Values of vf_state. */
#define HISI_ACC_MIG_VF_READY		0
#define HISI_ACC_MIG_VF_NOT_READY	1

/**
 * struct hisi_acc_mig_record - A saved VF, 176 bytes, all fields little-endian
 *
 * The first 40 bytes, up to and without @aeq_mask, are the match part. They do not depend on what
 * the guest does, so that they are sent in PRE_COPY and a wrong target is refused before the guest
 * stops. The state part follows.
 *
 * SQEs, CQEs, EQEs, SQCs and CQCs are not in the record: they live in guest memory, where the
 * caches are written back to before the record is made.
 *
 * @magic: %HISI_ACC_MIG_MAGIC_V2 or %HISI_ACC_MIG_MAGIC_V1
 * @qp_num: number of queue pairs of the VF; must equal the target's
 * @dev_id: PCI device id of the VF (0xa251 ZIP, 0xa256 SEC, 0xa259 HPRE); must equal the target's
 * @isolation: the PF's queue isolation register (0x30); must equal the target's
 * @qp_base: first queue pair of the VF in the device's queue table, informative
 * @vf_state: %HISI_ACC_MIG_VF_READY or %HISI_ACC_MIG_VF_NOT_READY. In the match part of a
 *	PRE_COPY stream it is not known yet and reads %HISI_ACC_MIG_VF_READY
 * @major: %HISI_ACC_MIG_MAJOR; another one is refused. Reserved in V1
 * @minor: %HISI_ACC_MIG_MINOR or %HISI_ACC_MIG_MINOR_LEGACY. Reserved in V1
 * @reserved0: zero
 * @aeq_mask: register 0x04, interrupt mask of the asynchronous event queue
 * @eq_mask: register 0x0c, interrupt mask of the event queue
 * @ifc_source: register 0x20, PF message pending; informative
 * @ifc_mask: register 0x24, interrupt mask of PF messages
 * @ifc_set: register 0x2c, message to the PF pending; informative
 * @page_size: register 0x34, page size of the guest: 0 4 KiB, 1 16 KiB, 2 64 KiB
 * @eqc: event queue context. Word 0: consumer index in bits 15:0, producer index in 31:16;
 *	words 1 and 2: address of the ring, low and high; word 6: depth - 1 in 15:0, phase in 16
 * @aeqc: asynchronous event queue context, same layout
 * @reserved1: zero
 * @pad0: zero
 * @eq_addr: address of the event queue's ring, equals @eqc words 2:1 except in V1
 * @aeq_addr: address of the asynchronous event queue's ring, equals @aeqc words 2:1 except in V1
 * @sqc_addr: address of the table of submission queue contexts, 32 bytes each
 * @cqc_addr: address of the table of completion queue contexts, 32 bytes each
 *
 * Addresses are DMA addresses of the VF, that is addresses of the guest.
 */
struct hisi_acc_mig_record {
	__le64 magic;
	__le32 qp_num;
	__le32 dev_id;
	__le32 isolation;
	__le32 qp_base;
	__le32 vf_state;
	__le16 major;
	__le16 minor;
	__le32 reserved0[2];
	/* The match part ends here. */
	__le32 aeq_mask;
	__le32 eq_mask;
	__le32 ifc_source;
	__le32 ifc_mask;
	__le32 ifc_set;
	__le32 page_size;
	__le32 eqc[HISI_ACC_MIG_EQC_WORDS];
	__le32 aeqc[HISI_ACC_MIG_EQC_WORDS];
	__le32 reserved1[5];
	__le32 pad0;
	__le64 eq_addr;
	__le64 aeq_addr;
	__le64 sqc_addr;
	__le64 cqc_addr;
};

#define HISI_ACC_MIG_MATCH_SIZE		40
#define HISI_ACC_MIG_RECORD_SIZE	176

/*
 * errno of write() on the data fd, besides those of every data fd (EFAULT, ENODEV: the session is
 * over, ENOSPC: more bytes than a record has):
 *
 *	EINVAL		not a record: magic, reserved words, vf_state or addresses are wrong
 *	EOPNOTSUPP	a major version that this driver does not know
 *	EXDEV		the record of another kind of VF: dev_id, qp_num or isolation differ
 *	EBUSY		the target is in use (a record without guest driver on a VF whose queues are
 *			live), or its PF is being reset
 *	EIO, ETIMEDOUT	the hardware failed; the device is in ERROR unless it was not touched
 *
 * After an error every further write() and the arc RESUMING -> STOP fail with the same errno.
 * That arc fails with EINVAL after an incomplete stream.
 */

#endif /* _UAPI_LINUX_HISI_ACC_MIG_H */
