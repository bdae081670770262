# SPDX-License-Identifier: GPL-2.0-only
#
# The migration tests, for inclusion after ../lib.mk: by the Makefile beside this file, or by one
# line at the end of the Makefile that a kernel tree already has in this directory.

VFIO_MIG_SRC := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
VFIO_MIG_OUT := $(OUTPUT)/vfio_mig

VFIO_MIG_LIB := lib/vfio_mig lib/vfio_mig_fsm lib/mig_ctl
VFIO_MIG_TESTS := vfio_mig_arcs_test vfio_mig_stream_test vfio_mig_gate_test vfio_mig_walk_test \
	vfio_mig_fail_nth_test
VFIO_MIG_TOOLS := vfio_mig_ctl vfio_mig_access_cost

# The mailbox of the HiSilicon accelerators wants an arm64 instruction.
ifneq ($(filter aarch64%,$(shell $(CC) $(CFLAGS) -dumpmachine)),)
VFIO_MIG_LIB += lib/hisi_acc lib/hisi_zip lib/hisi_inflate lib/hisi_sec lib/hisi_hpre lib/hisi_migrate
VFIO_MIG_TESTS += hisi_acc_mig_test hisi_acc_interop_test hisi_acc_silicon_test
VFIO_MIG_TOOLS += hisi_acc_ctl
endif

# EXPECT_EQ(0, x) of the harness compares an int with whatever x is.
VFIO_MIG_CFLAGS := -std=gnu11 -O2 -Wall -Wextra -Wno-sign-compare -MD -I$(VFIO_MIG_SRC) -I$(VFIO_MIG_SRC)/lib
# Where the harness is. lib.mk of newer kernels says so itself; a system directory's warnings are not ours.
VFIO_MIG_CFLAGS += -isystem $(selfdir)
# Beside the driver's source take the wire format from there; a kernel tree installs its headers.
VFIO_MIG_UAPI := $(VFIO_MIG_SRC)/../../../../include/uapi
ifeq ($(wildcard $(VFIO_MIG_UAPI)/linux/types.h),)
VFIO_MIG_CFLAGS += -I$(VFIO_MIG_UAPI)
endif

VFIO_MIG_BINS := $(addprefix $(OUTPUT)/,$(VFIO_MIG_TESTS) $(VFIO_MIG_TOOLS))
VFIO_MIG_LIB_O := $(VFIO_MIG_LIB:%=$(VFIO_MIG_OUT)/%.o)
VFIO_MIG_O := $(VFIO_MIG_LIB_O) $(VFIO_MIG_BINS:$(OUTPUT)/%=$(VFIO_MIG_OUT)/%.o)

# lib.mk has given `all` its prerequisites before it came to this file.
TEST_GEN_PROGS += $(VFIO_MIG_TESTS:%=$(OUTPUT)/%)
TEST_GEN_PROGS_EXTENDED += $(VFIO_MIG_TOOLS:%=$(OUTPUT)/%)
VFIO_MIG_SCRIPTS := hisi_acc_corpus.py hisi_acc_cost.py hisi_acc_model.py hisi_acc_offer_test.py hisi_acc_fault_test.py \
	hisi_acc_pf_test.py hisi_acc_silicon_test.py hisi_ctl.py vfio_group_test.py vfio_open.py vfio_token_test.py \
	vfioctl_stream_test.py vfioctl_test.py vfioctl_watch_test.py
TEST_FILES += $(VFIO_MIG_SCRIPTS)
EXTRA_CLEAN += $(VFIO_MIG_OUT)
all: $(VFIO_MIG_BINS)

# Scripts look for programs beside them.
ifneq ($(realpath $(OUTPUT)),$(realpath $(VFIO_MIG_SRC)))
EXTRA_CLEAN += $(VFIO_MIG_SCRIPTS:%=$(OUTPUT)/%)
all: $(VFIO_MIG_SCRIPTS:%=$(OUTPUT)/%)
$(VFIO_MIG_SCRIPTS:%=$(OUTPUT)/%): $(OUTPUT)/%: $(VFIO_MIG_SRC)/%
	$(call msg,COPY,,$@)
	$(Q)install -m 755 $< $@
endif

$(VFIO_MIG_O): $(VFIO_MIG_OUT)/%.o: $(VFIO_MIG_SRC)/%.c | $(VFIO_MIG_HEADERS)
	@mkdir -p $(@D)
	$(call msg,CC,,$@)
	$(Q)$(CC) $(CFLAGS) $(KHDR_INCLUDES) $(VFIO_MIG_CFLAGS) $(CPPFLAGS) -c $< -o $@

$(VFIO_MIG_BINS): $(OUTPUT)/%: $(VFIO_MIG_OUT)/%.o $(VFIO_MIG_LIB_O)
	$(call msg,LINK,,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ -pthread -o $@

-include $(VFIO_MIG_O:.o=.d)
