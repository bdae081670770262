/*
 * HiSilicon accelerator: the algorithms of SEC, on libgcrypt
 *
 * Runs in the thread of a job and touches its message only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "sec.h"

/* CCM encodes the length of more AAD in another way, which SEC cannot */
#define CCM_AAD_MAX     0xfeff

static const SecCipher ciphers[] = {
    { SEC_3DES, 1, GCRY_CIPHER_3DES, 24, 8 },
    { SEC_AES, 0, GCRY_CIPHER_AES128, 16, 16 },
    { SEC_AES, 1, GCRY_CIPHER_AES192, 24, 16 },
    { SEC_AES, 2, GCRY_CIPHER_AES256, 32, 16 },
    { SEC_SM4, 0, GCRY_CIPHER_SM4, 16, 16 },
};

static const SecHmac hmacs[] = {
    { 0x10, GCRY_MAC_HMAC_SHA1, 20, 64 },
    { 0x11, GCRY_MAC_HMAC_SHA256, 32, 64 },
    { 0x15, GCRY_MAC_HMAC_SHA512, 64, 128 },
};

/* NULL if there is no such thing in this mode */
const SecCipher *sec_cipher_find(unsigned alg, unsigned code, SecMode mode)
{
    for (unsigned i = 0; i < ARRAY_SIZE(ciphers); i++) {
        const SecCipher *c = &ciphers[i];

        if (c->alg != alg || c->code != code) {
            continue;
        }
        if ((c->alg == SEC_3DES && mode != SEC_ECB && mode != SEC_CBC) ||
            (c->algo == GCRY_CIPHER_AES192 && mode == SEC_XTS)) {
            return NULL;
        }
        return c;
    }
    return NULL;
}

const SecHmac *sec_hmac_find(unsigned alg)
{
    for (unsigned i = 0; i < ARRAY_SIZE(hmacs); i++) {
        if (hmacs[i].alg == alg) {
            return &hmacs[i];
        }
    }
    return NULL;
}

size_t sec_iv_len(const SecCipher *cipher, SecMode mode)
{
    switch (mode) {
    case SEC_ECB:
        return 0;
    case SEC_GCM:
        return 12;
    default:
        return cipher->block;
    }
}

bool sec_message_length_ok(const SecMessage *m)
{
    bool aead = m->hmac || m->mode == SEC_CCM || m->mode == SEC_GCM;

    if (aead != (m->tag_len != 0) || (!aead && !m->payload_len)) {
        return false;
    }
    switch (m->mode) {
    case SEC_ECB:
    case SEC_CBC:
        return m->payload_len % m->cipher->block == 0 &&
               (!m->hmac || m->tag_len <= m->hmac->digest);
    case SEC_XTS:
        return m->payload_len >= m->cipher->block;
    case SEC_CCM:
        return m->aad_len <= CCM_AAD_MAX && m->tag_len <= m->cipher->block;
    case SEC_GCM:
        return m->tag_len <= m->cipher->block;
    default:
        return true;
    }
}

/* An open cipher with the message's key, or NULL */
static gcry_cipher_hd_t open_cipher(const SecMessage *m, int mode,
                                    unsigned flags)
{
    gcry_cipher_hd_t hd;
    gcry_error_t err;

    if (gcry_cipher_open(&hd, m->cipher->algo, mode, flags)) {
        return NULL;
    }
    /* SEC does not judge keys: that of 3DES is usable, and yet reported */
    gcry_cipher_ctl(hd, GCRYCTL_SET_ALLOW_WEAK_KEY, NULL, 1);
    err = gcry_cipher_setkey(hd, m->key, m->key_len);
    if (err && gcry_err_code(err) != GPG_ERR_WEAK_KEY) {
        gcry_cipher_close(hd);
        return NULL;
    }
    return hd;
}

static bool transform(gcry_cipher_hd_t hd, bool encrypt, uint8_t *buf,
                      size_t len)
{
    return !len || !(encrypt ? gcry_cipher_encrypt(hd, buf, len, NULL, 0)
                             : gcry_cipher_decrypt(hd, buf, len, NULL, 0));
}

static bool process_plain(SecMessage *m)
{
    static const int modes[SEC_MODES] = {
        [SEC_ECB] = GCRY_CIPHER_MODE_ECB,
        [SEC_CBC] = GCRY_CIPHER_MODE_CBC,
        [SEC_CTR] = GCRY_CIPHER_MODE_CTR,
        [SEC_XTS] = GCRY_CIPHER_MODE_XTS,
    };
    gcry_cipher_hd_t hd = open_cipher(m, modes[m->mode], 0);
    bool ok;

    if (!hd) {
        return false;
    }
    ok = (m->mode == SEC_ECB ||
          !(m->mode == SEC_CTR ? gcry_cipher_setctr(hd, m->iv, m->iv_len)
                               : gcry_cipher_setiv(hd, m->iv, m->iv_len))) &&
         transform(hd, m->encrypt, m->payload, m->payload_len);
    gcry_cipher_close(hd);
    return ok;
}

/* -------------------------------------------------- modes with a tag */

/* The tag is computed: send it, or compare it with the received one */
static void finish_tag(SecMessage *m, const uint8_t *tag)
{
    if (m->encrypt) {
        memcpy(m->tag, tag, m->tag_len);
    } else {
        m->mismatch = memcmp(m->tag, tag, m->tag_len) != 0;
    }
}

static bool hmac(SecMessage *m)
{
    uint8_t digest[SEC_TAG_MAX];
    size_t len = m->hmac->digest;
    gcry_mac_hd_t hd;
    bool ok;

    if (gcry_mac_open(&hd, m->hmac->algo, 0, NULL)) {
        return false;
    }
    /* A whole block: what is missing of a key is zero anyway */
    ok = !gcry_mac_setkey(hd, m->hmac_key, m->hmac->block) &&
         !gcry_mac_write(hd, m->aad, m->aad_len) &&
         !gcry_mac_read(hd, digest, &len);
    gcry_mac_close(hd);
    if (ok) {
        finish_tag(m, digest);
    }
    return ok;
}

static bool process_hmac(SecMessage *m)
{
    /* Encrypt, then MAC. What is forged is not decrypted. */
    return m->encrypt ? process_plain(m) && hmac(m)
                      : hmac(m) && (m->mismatch || process_plain(m));
}

static bool process_gcm(SecMessage *m)
{
    gcry_cipher_hd_t hd = open_cipher(m, GCRY_CIPHER_MODE_GCM, 0);
    uint8_t tag[SEC_BLOCK_MAX];
    bool ok;

    if (!hd) {
        return false;
    }
    /* libgcrypt gives out, or compares, tags of some lengths only */
    ok = !gcry_cipher_setiv(hd, m->iv, m->iv_len) &&
         (!m->aad_len ||
          !gcry_cipher_authenticate(hd, m->aad, m->aad_len)) &&
         transform(hd, m->encrypt, m->payload, m->payload_len) &&
         !gcry_cipher_gettag(hd, tag, sizeof(tag));
    gcry_cipher_close(hd);
    if (ok) {
        finish_tag(m, tag);
    }
    return ok;
}

/* Go on with a CBC-MAC; the end is padded with zeroes */
static bool cbc_mac(gcry_cipher_hd_t hd, uint8_t *mac, const uint8_t *data,
                    size_t len)
{
    size_t whole = QEMU_ALIGN_DOWN(len, SEC_BLOCK_MAX);
    uint8_t last[SEC_BLOCK_MAX] = { 0 };

    if (whole && gcry_cipher_encrypt(hd, mac, SEC_BLOCK_MAX, data, whole)) {
        return false;
    }
    if (whole == len) {
        return true;
    }
    memcpy(last, data + whole, len - whole);
    return !gcry_cipher_encrypt(hd, mac, SEC_BLOCK_MAX, last, sizeof(last));
}

static bool ccm_mac(SecMessage *m, uint8_t *mac)
{
    gcry_cipher_hd_t hd = open_cipher(m, GCRY_CIPHER_MODE_CBC,
                                      GCRY_CIPHER_CBC_MAC);
    g_autofree uint8_t *aad = NULL;
    bool ok;

    if (!hd) {
        return false;
    }
    ok = cbc_mac(hd, mac, m->b0, sizeof(m->b0));
    if (m->aad_len) {
        aad = g_malloc(2 + m->aad_len);
        stw_be_p(aad, m->aad_len);
        memcpy(aad + 2, m->aad, m->aad_len);
        ok = ok && cbc_mac(hd, mac, aad, 2 + m->aad_len);
    }
    ok = ok && cbc_mac(hd, mac, m->payload, m->payload_len);
    gcry_cipher_close(hd);
    return ok;
}

/*
 * Done by its parts: libgcrypt makes the first blocks of counter and MAC from a
 * nonce, but SEC is given both, and takes them as they are
 */
static bool process_ccm(SecMessage *m)
{
    gcry_cipher_hd_t hd = open_cipher(m, GCRY_CIPHER_MODE_CTR, 0);
    uint8_t first[SEC_BLOCK_MAX], s0[SEC_BLOCK_MAX] = { 0 };
    uint8_t mac[SEC_BLOCK_MAX];
    unsigned counter_len = (m->iv[0] & 7) + 1;
    bool ok;

    if (!hd) {
        return false;
    }
    memcpy(first, m->iv, sizeof(first));
    memset(first + sizeof(first) - counter_len, 0, counter_len);
    ok = !gcry_cipher_setctr(hd, first, sizeof(first)) &&
         transform(hd, true, s0, sizeof(s0)) &&
         (!m->encrypt || ccm_mac(m, mac)) &&
         !gcry_cipher_setctr(hd, m->iv, sizeof(m->iv)) &&
         transform(hd, m->encrypt, m->payload, m->payload_len) &&
         (m->encrypt || ccm_mac(m, mac));
    gcry_cipher_close(hd);
    if (ok) {
        for (unsigned i = 0; i < sizeof(mac); i++) {
            mac[i] ^= s0[i];
        }
        finish_tag(m, mac);
    }
    return ok;
}

/* False if it could not be computed. A wrong tag is a result. */
bool sec_message_process(SecMessage *m)
{
    if (m->hmac) {
        return process_hmac(m);
    }
    switch (m->mode) {
    case SEC_CCM:
        return process_ccm(m);
    case SEC_GCM:
        return process_gcm(m);
    default:
        return process_plain(m);
    }
}
