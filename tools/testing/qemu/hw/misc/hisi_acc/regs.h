/*
 * HiSilicon accelerator: register offsets and in-memory formats of the queue
 * manager (QM)
 *
 * Names follow what Linux's drivers/crypto/hisilicon and
 * drivers/vfio/pci/hisilicon call things, which are the only public description
 * of this hardware.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_HISI_ACC_REGS_H
#define HW_MISC_HISI_ACC_REGS_H

/* Function page: BAR2 of PF and VFs, one private copy per function */
#define QM_AEQ_INT_MASK         0x0004
#define QM_EQ_INT_MASK          0x000c
#define QM_IFC_INT_SOURCE_V     0x0020
#define QM_IFC_INT_MASK         0x0024
#define QM_IFC_INT_STATUS       0x0028
#define QM_IFC_INT_SET_V        0x002c
#define QM_QUE_ISO_CFG          0x0030
#define QM_PAGE_SIZE_CFG        0x0034
#define QM_FUN_DB_DROP          0x0038
#define QM_VF_STATE             0x0060
#define QM_FN_REGS_END          0x0100      /* plain registers are below */
#define QM_CACHE_WB_START       0x0204
#define QM_CACHE_WB_DONE        0x0208
#define QM_SUB_VERSION          0x0210
#define QM_MAILBOX              0x0300
#define QM_MAILBOX_END          0x0310
#define QM_VF2PF_MSG            0x0320
#define QM_PF2VF_MSG            0x0380
#define QM_DB_SQ_CQ             0x1000
#define QM_DB_EQ_AEQ            0x2000
#define QM_CAPS                 0x3100
#define QM_CAP_XEQ_DEPTH        0x3104
#define QM_CAP_QP_DEPTH         0x3108
#define QM_CAP_EQ_IRQ           0x310c
#define QM_CAP_AEQ_IRQ          0x3110
#define QM_CAP_ABN_IRQ          0x3114
#define QM_CAP_IFC_IRQ          0x3118
#define QM_CAP_IRQ_NUM          0x311c
#define QM_CAP_EXT_BAR          0x3120

/*
 * Migration controls: 7 dwords of EQC, then of AEQC, a stride apart. They are
 * in the upper half of a VF's BAR2, above what the guest gets of it, or in a
 * window of the PF's BAR2.
 */
#define QM_MIG_VF_XEQC          0x8000
#define QM_MIG_PF_XEQC          0x1c00
#define QM_MIG_XEQC_STRIDE      0x20

/* PF BAR2 */
#define QM_PF_GLOBALS           0x100000
#define QM_ABN_INT_SOURCE       0x100000
#define QM_ABN_INT_MASK         0x100004
#define QM_ABN_INT_STATUS       0x100008
#define QM_ABN_INT_SET          0x10000c
#define QM_MEM_START_INIT       0x100040
#define QM_MEM_INIT_DONE        0x100044
#define QM_VFT_OP_ENABLE        0x100054
#define QM_VFT_OP_READ          0x100058
#define QM_VFT_TYPE             0x10005c
#define QM_VFT_INDEX            0x100060
#define QM_VFT_DATA_L           0x100064
#define QM_VFT_DATA_H           0x100068
#define QM_VFT_READY            0x10006c
#define QM_PEH_VENDOR_ID        0x1000d8
#define QM_PEH_DFX_INFO0        0x1000fc
#define QM_PEH_DFX_INFO1        0x100100
#define QM_IFC_READY            0x100128
#define QM_IFC_INT_SET_P        0x100130
#define QM_IFC_INT_CFG          0x100134
#define QM_IFC_INT_SOURCE_P     0x100138
#define QM_QP_TOTAL             0x100158
#define QM_MIG_REGION_SEL       0x100198
#define QM_DFX                  0x104000    /* debug counters */
#define QM_DFX_IDLE             0x1040e4
#define QM_DFX_END              0x10410c
#define QM_OOO_SHUTDOWN_SEL     0x1040f8
#define QM_PF2VF_MSG_P          0x104700
#define QM_VF2PF_MSG_P          0x104800
#define QM_MIG_WINDOW           0x180000
#define QM_MIG_WINDOW_SIZE      0x2000
#define AM_STATUS               0x300100
#define AM_TRANS_RETURN         0x300150
#define AM_STATUS_END           0x300188

/* Function capability bits (QM_CAPS) */
#define QM_CAP_RPM 0x3000      /* runtime power management, VF and PF */

/* Mailbox word 0 */
#define MB_STATUS_SHIFT         9
#define MB_STATUS_MASK          (0xf << MB_STATUS_SHIFT)
#define MB_BUSY                 (1 << 13)
#define MB_READ                 (1 << 14)

enum {
    MB_SQC = 0x00,
    MB_CQC = 0x01,
    MB_EQC = 0x02,
    MB_AEQC = 0x03,
    MB_SQC_BT = 0x04,
    MB_CQC_BT = 0x05,
    MB_SQC_VFT = 0x06,
    MB_STOP_QP = 0x08,
    MB_FLUSH_QM = 0x09,
    MB_IFC_SRC = 0x0c,
    MB_IFC_DST = 0x0d,
    MB_PAUSE_QM = 0x0e,
    MB_OPCODES
};

/* Doorbell commands; the EQ kinds share their order with HisiAccFn.eq[] */
enum { DB_SQ, DB_CQ, DB_EQ, DB_AEQ };

/* MSI vectors, as the capability words announce them */
enum { VEC_EQ, VEC_AEQ, VEC_IFC, VEC_ABNORMAL, VEC_COUNT };

/* Queue-to-function tables; the index of a shaper is fn | engine half << 6 */
enum { VFT_SQC, VFT_CQC, VFT_SHAPER, VFT_TYPES };
#define VFT_SQC_VALID           (1ULL << 44)
#define VFT_SQC_NUMBER_SHIFT    45
#define VFT_SQC_NUMBER_BITS     10

#define QM_CONTEXT_SIZE         32
#define QM_CQE_SIZE             16
#define QM_EQE_SIZE             4

#endif
