// SPDX-License-Identifier: GPL-2.0-only
/* Steps any migratable VFIO device through its states; see lib/mig_ctl.h. */
#include "lib/mig_ctl.h"

int main(int argc, char **argv)
{
	struct mig_ctl ctl = {};

	mig_ctl_open(&ctl, argc, argv);
	return mig_ctl_loop(&ctl);
}
