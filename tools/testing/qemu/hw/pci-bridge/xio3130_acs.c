/*
 * Downstream port of a PCI Express switch that keeps what is below it apart: the
 * xio3130-downstream, which does not, with Access Control Services
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pcie.h"
#include "hw/pci-bridge/xio3130_downstream.h"

#define TYPE_XIO3130_ACS    "xio3130-downstream-acs"
#define ACS_OFFSET          0x180       /* behind AER */

static ObjectClass *xio3130_downstream_class(void)
{
    return object_class_by_name(TYPE_XIO3130_DOWNSTREAM);
}

static void xio3130_acs_realize(PCIDevice *dev, Error **errp)
{
    ERRP_GUARD();

    PCI_DEVICE_CLASS(xio3130_downstream_class())->realize(dev, errp);
    if (!*errp) {
        pcie_acs_init(dev, ACS_OFFSET);
    }
}

static void xio3130_acs_reset(DeviceState *dev)
{
    DEVICE_CLASS(xio3130_downstream_class())->legacy_reset(dev);
    pcie_acs_reset(PCI_DEVICE(dev));
}

static void xio3130_acs_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    PCI_DEVICE_CLASS(klass)->realize = xio3130_acs_realize;
    dc->desc = "TI X3130 Downstream Port of PCI Express Switch, with ACS";
    device_class_set_legacy_reset(dc, xio3130_acs_reset);
}

static const TypeInfo xio3130_acs_info = {
    .name = TYPE_XIO3130_ACS,
    .parent = TYPE_XIO3130_DOWNSTREAM,
    .class_init = xio3130_acs_class_init,
};

static void xio3130_acs_register_types(void)
{
    type_register_static(&xio3130_acs_info);
}

type_init(xio3130_acs_register_types)
