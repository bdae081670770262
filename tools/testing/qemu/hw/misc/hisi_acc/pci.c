/*
 * HiSilicon accelerator: PCI shells of PF and VFs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/pci/msi.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_sriov.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "hisi_acc.h"
#include "trace.h"

#define CAP_EXPRESS     0x40
#define CAP_MSI         0x80
#define CAP_PM          0xb0
#define CAP_ARI         0x100
#define CAP_SRIOV       0x200

/*
 * Linux's alg_qos takes a VF's devfn for its function number: offset and stride
 * must be 1
 */
#define VF_OFFSET       1
#define VF_STRIDE       1

#define BAR_TYPE \
    (PCI_BASE_ADDRESS_SPACE_MEMORY | PCI_BASE_ADDRESS_MEM_TYPE_64 | \
     PCI_BASE_ADDRESS_MEM_PREFETCH)

static const struct {
    const char *name;
    uint8_t revision;           /* from which the drivers tell the QM version */
} hisi_acc_hw[HISI_ACC_HW_COUNT] = {
    [HISI_ACC_HW_V3] = { "v3", 0x30 },
    [HISI_ACC_HW_V4] = { "v4", 0x50 },
};

uint8_t hisi_acc_revision(const HisiAccPF *pf)
{
    return hisi_acc_hw[pf->hw].revision;
}

bool hisi_acc_fn_enabled(const HisiAccFn *fn)
{
    return fn->dev && fn->dev->enabled;
}

static bool irq_possible(const HisiAccFn *fn, unsigned vector)
{
    return fn->dev && msi_enabled(fn->dev) &&
           vector < msi_nr_vectors_allocated(fn->dev);
}

/*
 * Returns false when the interrupt could not be sent and has to be sent later
 */
bool hisi_acc_irq(HisiAccFn *fn, unsigned vector)
{
    const HisiAccFault *lost = hisi_acc_fault(fn, FAULT_MSI_LOST);
    bool send = irq_possible(fn, vector);

    trace_hisi_acc_irq(fn->id, vector, send);
    if (!send) {
        return false;
    }
    if (!lost || (lost->arg != FAULT_ANY_ARG && lost->arg != vector)) {
        fn->stats[STAT_INTERRUPTS]++;
        fn->irqs |= BIT(vector);
        qemu_bh_schedule(fn->irq_bh);
    }
    return true;
}

/*
 * An MSI is a write to wherever software wants it, be it the function's own
 * mailbox, or a register that resets or removes the device. So nothing of the
 * model may be under way when it is sent.
 */
void hisi_acc_irq_bh(void *opaque)
{
    HisiAccFn *fn = opaque;
    Object *pf = object_ref(OBJECT(fn->pf));
    unsigned irqs = fn->irqs;

    fn->irqs = 0;
    for (unsigned vector = 0; vector < VEC_COUNT; vector++) {
        if (!(irqs & BIT(vector))) {
            continue;
        }
        if (irq_possible(fn, vector)) {
            msi_notify(fn->dev, vector);
        } else if (vector == VEC_EQ || vector == VEC_AEQ) {
            fn->eq[vector == VEC_AEQ].signalled = false;
        }
    }
    object_unref(pf);
}

/*
 * Only memory is a legal target: a guest that points a queue at some BAR would
 * otherwise re-enter the model from inside a completion.
 */
static bool dma(HisiAccFn *fn, uint64_t addr, void *buf, size_t len,
                DMADirection dir)
{
    const MemTxAttrs attrs = { .memory = 1 };

    if (fn->paused && !fn->in_writeback) {
        hisi_acc_violation(fn, VIOLATION_DMA_AFTER_PAUSE, 0, addr);
    }
    return pci_dma_rw(fn->dev, addr, buf, len, dir, attrs) == MEMTX_OK;
}

bool hisi_acc_dma_read(HisiAccFn *fn, uint64_t addr, void *buf, size_t len)
{
    return dma(fn, addr, buf, len, DMA_DIRECTION_TO_DEVICE);
}

bool hisi_acc_dma_write(HisiAccFn *fn, uint64_t addr, const void *buf,
                        size_t len)
{
    return dma(fn, addr, (void *)buf, len, DMA_DIRECTION_FROM_DEVICE);
}

/*
 * All structures of the QM are made of little-endian dwords; n is at most an
 * SQE
 */
bool hisi_acc_dma_read_dwords(HisiAccFn *fn, uint64_t addr, uint32_t *dw,
                              unsigned n)
{
    if (!hisi_acc_dma_read(fn, addr, dw, n * 4)) {
        memset(dw, 0, n * 4);
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        dw[i] = le32_to_cpu(dw[i]);
    }
    return true;
}

bool hisi_acc_dma_write_dwords(HisiAccFn *fn, uint64_t addr, const uint32_t *dw,
                               unsigned n)
{
    uint32_t le[HISI_ACC_SQE_DWORDS];

    assert(n <= ARRAY_SIZE(le));
    for (unsigned i = 0; i < n; i++) {
        le[i] = cpu_to_le32(dw[i]);
    }
    return hisi_acc_dma_write(fn, addr, le, n * 4);
}

/* -------------------------------------------------- common to PF and VF */

static bool shell_realize(PCIDevice *dev, MemoryRegion *bar, uint8_t revision,
                          Error **errp)
{
    pci_config_set_revision(dev->config, revision);
    pci_register_bar(dev, HISI_ACC_BAR, BAR_TYPE, bar);

    if (pcie_endpoint_cap_init(dev, CAP_EXPRESS) < 0) {
        error_setg(errp, "cannot add the PCI Express capability");
        return false;
    }
    pcie_cap_flr_init(dev);
    /* The PF driver addresses mask and pending words of this layout directly */
    if (msi_init(dev, CAP_MSI, VEC_COUNT, true, true, errp)) {
        return false;
    }
    pcie_ari_init(dev, CAP_ARI);
    return true;
}

/* Also of a shell that shell_realize() left half done */
static void shell_exit(PCIDevice *dev)
{
    pcie_cap_exit(dev);
    msi_uninit(dev);
}

static void shell_write_config(PCIDevice *dev, uint32_t addr, uint32_t val,
                               int len)
{
    pci_default_write_config(dev, addr, val, len);
    pcie_cap_flr_write_config(dev, addr, val, len);
}

static bool shell_reset(HisiAccFn *fn)
{
    PCIDevice *dev = fn->dev;
    unsigned cap = dev->exp.exp_cap;
    uint8_t *devctl2 = dev->config + cap + PCI_EXP_DEVCTL2;
    bool flr = pci_get_word(dev->config + cap + PCI_EXP_DEVCTL) &
               PCI_EXP_DEVCTL_BCR_FLR;

    trace_hisi_acc_reset(fn->id, flr);
    fn->stats[STAT_FLRS] += flr;
    /*
     * QEMU resets nothing of the capability. What a user leaves in the one
     * register of it that software can write would follow the VF to its next
     * user, whose QEMU refuses to load a configuration that differs.
     */
    pci_word_test_and_clear_mask(devctl2,
                                 pci_get_word(dev->wmask + cap +
                                              PCI_EXP_DEVCTL2));
    hisi_acc_fn_reset(fn);
    return flr;
}

/*
 * The state lives in queues of jobs, thread-pool requests and timers: saving it
 * is not implemented
 */
static const VMStateDescription vmstate_hisi_acc = {
    .name = "hisi-acc",
    .unmigratable = 1,
};

/* -------------------------------------------------- PF */

static bool pf_check_properties(HisiAccPF *pf, Error **errp)
{
    for (pf->hw = 0; pf->hw < HISI_ACC_HW_COUNT; pf->hw++) {
        if (!strcmp(pf->hw_name ?: hisi_acc_hw[0].name,
                    hisi_acc_hw[pf->hw].name)) {
            break;
        }
    }
    if (pf->hw == HISI_ACC_HW_COUNT) {
        error_setg(errp, "hw must be v3 or v4");
    } else if (pf->queue_depth < 2 || pf->queue_depth > 4096) {
        error_setg(errp,
                   "queue-depth must be in 2..4096"); /* 12 bits of depth - 1 */
    } else if (!pf->total_queues || pf->total_queues > 1024) {
        error_setg(
            errp,
            "total-queues must be in 1..1024"); /* 10 bits of number - 1 */
    } else if (pf->caps & QM_CAP_RPM) {
        /*
         * Linux 7.x then asks the ACPI companion for power states without
         * testing for NULL
         */
        error_setg(
            errp,
            "caps must not offer runtime power management (bits 12 and 13)");
    } else if (!(pf->caps & 0xff)) {
        error_setg(errp, "caps needs a version in bits 7:0");
    } else {
        return true;
    }
    return false;
}

static void pf_release(HisiAccPF *pf)
{
    for (unsigned i = 0; i < HISI_ACC_FNS; i++) {
        hisi_acc_fn_exit(&pf->fn[i]);
    }
    g_free(pf->reg);
}

static void pf_realize(PCIDevice *dev, Error **errp)
{
    HisiAccPF *pf = HISI_ACC_PF(dev);
    const HisiAccEngine *engine = HISI_ACC_PF_GET_CLASS(pf)->engine;

    if (!pf_check_properties(pf, errp)) {
        return;
    }
    pf->engine = engine;
    pf->reg = g_new0(uint32_t, (HISI_ACC_PF_BAR_SIZE - QM_PF_GLOBALS) / 4);
    for (unsigned i = 0; i < HISI_ACC_FNS; i++) {
        hisi_acc_fn_init(&pf->fn[i], pf, i);
    }
    pf->fn[0].dev = dev;

    memory_region_init_io(&pf->bar, OBJECT(pf), &hisi_acc_pf_ops, pf,
                          object_get_typename(OBJECT(pf)),
                          HISI_ACC_PF_BAR_SIZE);
    if (!shell_realize(dev, &pf->bar, hisi_acc_revision(pf), errp) ||
        !pcie_sriov_pf_init(dev, CAP_SRIOV, engine->vf_type,
                            engine->vf_device_id, HISI_ACC_VFS, HISI_ACC_VFS,
                            VF_OFFSET, VF_STRIDE, errp)) {
        shell_exit(dev);
        pf_release(pf);
        return;
    }
    pcie_sriov_pf_init_vf_bar(dev, HISI_ACC_BAR, BAR_TYPE,
                              HISI_ACC_VF_BAR_SIZE);
    hisi_acc_pf_reset(pf, false);
}

static void pf_exit(PCIDevice *dev)
{
    HisiAccPF *pf = HISI_ACC_PF(dev);

    pcie_sriov_pf_exit(dev);
    shell_exit(dev);
    pf_release(pf);
}

static void pf_reset_hold(Object *obj, ResetType type)
{
    HisiAccPF *pf = HISI_ACC_PF(obj);

    /* The PCI core disables, and so resets, the VFs */
    hisi_acc_pf_reset(pf, shell_reset(&pf->fn[0]));
}

static void pf_instance_init(Object *obj)
{
    HisiAccPF *pf = HISI_ACC_PF(obj);

    /* Several jobs overlap, and a pause has something to wait for */
    pf->job_time_ns = 50 * SCALE_US;
    pf->job_slots = 8;
    QTAILQ_INIT(&pf->faults);
}

static void pf_instance_finalize(Object *obj)
{
    hisi_acc_faults_clear(HISI_ACC_PF(obj));
}

static const Property pf_properties[] = {
    DEFINE_PROP_STRING("hw", HisiAccPF, hw_name),
    DEFINE_PROP_UINT16("queue-depth", HisiAccPF, queue_depth, 1024),
    DEFINE_PROP_UINT16("total-queues", HisiAccPF, total_queues, 1024),
    DEFINE_PROP_UINT32("caps", HisiAccPF, caps, 0x4f01),
};

static void pf_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    pc->realize = pf_realize;
    pc->exit = pf_exit;
    pc->config_write = shell_write_config;
    pc->vendor_id = HISI_ACC_VENDOR_ID;
    RESETTABLE_CLASS(klass)->phases.hold = pf_reset_hold;
    dc->vmsd = &vmstate_hisi_acc;
    device_class_set_props(dc, pf_properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    hisi_acc_monitor_class_init(klass);
}

/* -------------------------------------------------- VF */

/*
 * Registers are words. But nothing that a user's software does to its BAR may
 * end in a bus error: the kernel makes narrow accesses when a user gives it a
 * mapping of the BAR as a buffer, and takes an abort there for a broken machine.
 */
static uint64_t vf_read(void *opaque, hwaddr off, unsigned size)
{
    if (size < 4) {
        return hisi_acc_fn_read(opaque, off & ~3, 4, false) >>
               (off % 4 * BITS_PER_BYTE);
    }
    return hisi_acc_fn_read(opaque, off, size, false);
}

static void vf_write(void *opaque, hwaddr off, uint64_t val, unsigned size)
{
    if (size < 4) {
        return;
    }
    hisi_acc_fn_write(opaque, off, val, size, false);
}

static const MemoryRegionOps vf_ops = {
    .read = vf_read,
    .write = vf_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8 },
    .impl = { .min_access_size = 1, .max_access_size = 8 },
};

/*
 * Memory decoding of a VF belongs to the PF's VF MSE bit, so the VF's own bit
 * is hardwired to 0. QEMU's core looks at the VF's bit alone: keep it set where
 * the core looks, and 0 where software looks. Otherwise a guest could unmap the
 * BAR under the host's migration driver.
 */
static uint32_t vf_read_config(PCIDevice *dev, uint32_t addr, int len)
{
    uint32_t val = pci_default_read_config(dev, addr, len);

    if (dev->enabled && addr == PCI_COMMAND) {
        val &= ~PCI_COMMAND_MEMORY;
    }
    return val;
}

/*
 * Whether the hardware's VFs have this is not known. Here they have, so that
 * software can be tried on a function that a guest has put to sleep: its BAR is
 * gone then (by QEMU's core), what it knows is kept.
 */
static bool vf_pm_init(PCIDevice *dev, Error **errp)
{
    int pm = pci_pm_init(dev, CAP_PM, errp);

    if (pm < 0) {
        return false;
    }
    pci_set_word(dev->config + pm + PCI_PM_PMC, 3 /* version */);
    pci_set_word(dev->config + pm + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
    pci_set_word(dev->wmask + pm + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
    return true;
}

static void vf_exit(PCIDevice *dev)
{
    HISI_ACC_VF(dev)->fn->dev = NULL;
    shell_exit(dev);
}

static void vf_realize(PCIDevice *dev, Error **errp)
{
    HisiAccVF *vf = HISI_ACC_VF(dev);
    HisiAccPF *pf = HISI_ACC_PF(pcie_sriov_get_pf(dev));

    vf->fn = &pf->fn[pcie_sriov_vf_number(dev) + 1];
    vf->fn->dev = dev;
    memory_region_init_io(&vf->bar, OBJECT(vf), &vf_ops, vf->fn,
                          object_get_typename(OBJECT(vf)),
                          HISI_ACC_VF_BAR_SIZE);
    if (!shell_realize(dev, &vf->bar, hisi_acc_revision(pf), errp) ||
        !vf_pm_init(dev, errp)) {
        vf_exit(dev);
        return;
    }
    pci_word_test_and_clear_mask(dev->wmask + PCI_COMMAND, PCI_COMMAND_MEMORY);
    pci_word_test_and_set_mask(dev->config + PCI_COMMAND, PCI_COMMAND_MEMORY);
}

static void vf_reset_hold(Object *obj, ResetType type)
{
    shell_reset(HISI_ACC_VF(obj)->fn);
}

static void vf_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    pc->realize = vf_realize;
    pc->exit = vf_exit;
    pc->config_read = vf_read_config;
    pc->config_write = shell_write_config;
    pc->vendor_id = HISI_ACC_VENDOR_ID;
    RESETTABLE_CLASS(klass)->phases.hold = vf_reset_hold;
    dc->vmsd = &vmstate_hisi_acc;
    dc->user_creatable = false;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

/* Of the types of one engine, for PF and VF */
void hisi_acc_engine_class_init(ObjectClass *klass, void *data)
{
    const HisiAccEngine *engine = data;
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);
    bool vf = object_class_dynamic_cast(klass, TYPE_HISI_ACC_VF);
    g_autofree char *desc = g_strdup_printf("HiSilicon %s accelerator%s",
                                            engine->name, vf ? " VF" : "");

    if (!vf) {
        HISI_ACC_PF_CLASS(klass)->engine = engine;
    }
    pc->device_id = vf ? engine->vf_device_id : engine->device_id;
    pc->class_id = 0x1200; /* processing accelerator */
    DEVICE_CLASS(klass)->desc = g_intern_string(desc);
}

static const TypeInfo hisi_acc_types[] = {
    {
        .name = TYPE_HISI_ACC_PF,
        .parent = TYPE_PCI_DEVICE,
        .abstract = true,
        .instance_size = sizeof(HisiAccPF),
        .instance_init = pf_instance_init,
        .instance_finalize = pf_instance_finalize,
        .class_size = sizeof(HisiAccPFClass),
        .class_init = pf_class_init,
        .interfaces = (InterfaceInfo[]) { { INTERFACE_PCIE_DEVICE }, { } },
    }, {
        .name = TYPE_HISI_ACC_VF,
        .parent = TYPE_PCI_DEVICE,
        .abstract = true,
        .instance_size = sizeof(HisiAccVF),
        .class_init = vf_class_init,
        .interfaces = (InterfaceInfo[]) { { INTERFACE_PCIE_DEVICE }, { } },
    },
};

DEFINE_TYPES(hisi_acc_types)
