# SPDX-License-Identifier: GPL-2.0-only
# `make help` tells what there is to make. Kbuild names the modules.

# The kernel to build for; the usual ARCH= and CROSS_COMPILE= are handed on.
KDIR ?= /lib/modules/$(shell uname -r)/build
KBUILD = $(if $(wildcard $(KDIR)/Makefile),,$(error $(KDIR) is no kernel to build for; install its headers or name it with KDIR=)) \
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_VFIO_PCI_MIG=m CONFIG_HISI_VFIO_PCI=m

LAB := tools/testing/lab/lab
# What the lab is asked for
export HW KERNEL DRIVER HOSTS TOPOLOGY ROUNDS WORKLOAD OUT ONLY MIRROR

modules:
	$(KBUILD) modules

modules_install:
	$(KBUILD) modules_install

clean modules_clean:
	$(KBUILD) clean

demo soak check shell:
	@$(LAB) $@

clean-lab:
	@$(LAB) clean
	$(RM) -r out

# A machine without headers has built nothing to clean.
distclean: clean-lab
	$(if $(wildcard $(KDIR)/Makefile),$(KBUILD) clean)

help:
	@sed -n 's/^#: \{0,1\}//p' $(MAKEFILE_LIST)

.PHONY: modules modules_install clean modules_clean demo soak check shell clean-lab distclean help

#: On any machine with a kernel's headers:
#:   make                   build vfio-pci-mig.ko and hisi-vfio-pci.ko out of tree
#:   make modules_install   install them (as root)
#:   make clean             remove what was built
#:     KDIR=DIR               the kernel's build tree (default: the running kernel's)
#:     ARCH= CROSS_COMPILE=   as for the kernel
#:
#: On a Debian machine, as root; the first time builds an emulated server, which is then cached:
#:   make demo              live-migrate a guest that works on a function of each kind of accelerator
#:   make soak              migrate it to and fro, ROUNDS=20 times
#:   make check             run all static checks, and all tests in both hardware modes
#:   make shell             a prompt in the emulated server, everything loaded
#:   make clean-lab         remove what the lab built and downloaded
#:   make distclean         clean-lab and clean
#:     HW=v3|v4               where the accelerator's migration controls are: hidden in the function's own
#:                            BAR, or in a window of the PF (default: v4; check: both)
#:     HOSTS=2                with demo: migrate between two emulated servers, over their network
#:     TOPOLOGY=groups|gicv2  with shell: a server with devices that share IOMMU groups, or without isolated MSIs
#:     WORKLOAD=NAME          with demo: what the guest does: dm-crypt, zswap, af-alg (KERNEL=stable), pubkey
#:     DRIVER=NAME            hisi_vfio_pci (default), or the kernel's own hisi_acc_vfio_pci
#:     KERNEL=debian|stable|source   Debian's newest binary kernel (default), the one that Debian 13 came with
#:                            (6.12), or one built from the newest source (check: all)
#:     ONLY=REGEX             with check: steps whose KERNEL/HW/NAME matches (tools/testing/lab/checks has them);
#:                            '^source/[^/]*$' are those that read the driver's source
#:     OUT=DIR                where results go (default: below out/)
#:     MIRROR=URL             a Debian mirror, if not the default one
#: More by hand: tools/testing/lab/lab help
