/*
 * HiSilicon accelerator: the library that the engines compute with
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <gcrypt.h>
#include "hisi_acc.h"

/*
 * Before anything else of libgcrypt. QEMU does the same when it is built with
 * it, and one initialization is enough.
 */
void hisi_acc_gcrypt_init(void)
{
    if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P)) {
        return;
    }
    gcry_check_version(NULL);
    /* What a guest has computed is no secret of ours: no locked memory */
    gcry_control(GCRYCTL_DISABLE_SECMEM);
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED);
}
