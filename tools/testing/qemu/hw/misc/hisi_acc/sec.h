/*
 * HiSilicon accelerator: what a SEC job computes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_HISI_ACC_SEC_H
#define HW_MISC_HISI_ACC_SEC_H

#include <gcrypt.h>

#define SEC_BLOCK_MAX       16
#define SEC_KEY_MAX         64      /* XTS: two keys */
#define SEC_TAG_MAX         64
#define SEC_HASH_BLOCK_MAX  128

/* c_mode of the BD */
typedef enum SecMode {
    SEC_ECB = 0,
    SEC_CBC = 1,
    SEC_CTR = 4,
    SEC_CCM = 5,
    SEC_GCM = 6,
    SEC_XTS = 7,
    SEC_MODES
} SecMode;

/* c_alg of the BD */
enum { SEC_3DES = 1, SEC_AES = 2, SEC_SM4 = 3 };

/*
 * Of a cipher with this key length. "code" is how the BD gives it, for XTS the
 * length of each half.
 */
typedef struct SecCipher {
    uint8_t alg, code;
    int algo;                       /* libgcrypt's */
    uint8_t key_len, block;
} SecCipher;

/* Of an HMAC */
typedef struct SecHmac {
    uint8_t alg;                    /* a_alg of the BD */
    int algo;                       /* libgcrypt's */
    uint8_t digest, block;
} SecHmac;

/*
 * A message: payload, and what is authenticated with it. The AEAD modes and
 * those with an HMAC have a tag.
 */
typedef struct SecMessage {
    const SecCipher *cipher;
    const SecHmac *hmac;            /* or NULL */
    SecMode mode;
    bool encrypt;

    uint8_t key[SEC_KEY_MAX];
    size_t key_len;
    uint8_t iv[SEC_BLOCK_MAX];
    size_t iv_len;
    uint8_t b0[SEC_BLOCK_MAX];      /* CCM: first block of its MAC */
    uint8_t hmac_key[SEC_HASH_BLOCK_MAX];

    uint8_t *payload;               /* transformed in place */
    size_t payload_len;
    /* With an HMAC all that is authenticated, payload included */
    uint8_t *aad;
    size_t aad_len;

    uint8_t tag[SEC_TAG_MAX];       /* decrypting: the one received */
    size_t tag_len;
    bool mismatch;                  /* it is not that of the message */
} SecMessage;

const SecCipher *sec_cipher_find(unsigned alg, unsigned code, SecMode mode);
const SecHmac *sec_hmac_find(unsigned alg);
size_t sec_iv_len(const SecCipher *cipher, SecMode mode);
bool sec_message_length_ok(const SecMessage *m);
bool sec_message_process(SecMessage *m);

#endif
