# SPDX-License-Identifier: GPL-2.0-or-later
#
# Devices of the emulated server: the accelerators, and what a server and its tests need around them.
# The overlay script installs this as configs/devices/aarch64-softmmu/hisi-lab.mak.

CONFIG_ARM_VIRT=y

CONFIG_HISI_ACC=y

CONFIG_PCI_BRIDGE=y
CONFIG_PCIE_PORT=y
CONFIG_PCIE_PCI_BRIDGE=y
CONFIG_XIO3130=y

CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_SERIAL=y
CONFIG_VIRTIO_NET=y

# A PCI function that no driver wants
CONFIG_PCI_TESTDEV=y
