/*
 * QTest of the HiSilicon accelerators: registers, SR-IOV, jobs, pause and
 * restart with ZIP, ciphers with SEC, public key arithmetic with HPRE
 *
 * Every test runs for both places of the migration controls: hw=v3 has them in
 * the upper half of a VF's BAR2, hw=v4 in windows of the PF's BAR2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qapi/error.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "hw/pci/pci_regs.h"
#include "hw/pci/pcie_regs.h"
#include "qemu/timer.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"

/* Of the virt machine. The PF is at slot 1 of the root bus, its VFs follow. */
#define ECAM            0x4010000000ULL
#define RAM             0x40000000ULL
#define PF_DEVFN        0x08
#define PF_BAR          0x10000000ULL
#define VF_BARS         0x11000000ULL
#define VF_BAR_SIZE     0x10000ULL
#define NR_VFS          2
#define QUEUES          4           /* of each function */

#define CAP_EXPRESS     0x40
#define CAP_MSI         0x80
#define CAP_SRIOV       0x200

/* Memory of one set of queues */
#define SQC_BT          (RAM + 0x100000)
#define CQC_BT          (RAM + 0x101000)
#define EQ_RING         (RAM + 0x102000)
#define AEQ_RING        (RAM + 0x104000)
#define CONTEXT         (RAM + 0x106000)
#define MSI_TARGET      (RAM + 0x107000)
#define SQ_RING(q)      (RAM + 0x110000 + (q) * 0x4000)
#define CQ_RING(q)      (RAM + 0x130000 + (q) * 0x1000)
#define SGLS            (RAM + 0x140000)
#define BUFFERS         (RAM + 0x200000)
#define BUFFER_SIZE     0x4000

#define DEPTH           16          /* of SQ and CQ: wraps soon */
#define EQ_DEPTH        64
#define CONTEXT_SIZE    32
#define SQE_SIZE        128
#define CQE_SIZE        16
#define JOB_NS          1000000

enum {
    MB_SQC,
    MB_CQC,
    MB_EQC,
    MB_AEQC,
    MB_SQC_BT,
    MB_CQC_BT,
    MB_SQC_VFT,
    MB_STOP_QP = 8,
    MB_FLUSH = 9,
    MB_IFC_SRC = 0xc,
    MB_IFC_DST = 0xd,
    MB_PAUSE = 0xe
};
enum { DB_SQ, DB_CQ, DB_EQ, DB_AEQ };
enum { COMPRESS, DECOMPRESS };
enum { DEFLATE = 1, LZ4 = 4 };

typedef struct Acc {
    QTestState *qts;
    bool v4;
} Acc;

/* -------------------------------------------------- access */

static uint64_t cfg(unsigned devfn, unsigned off)
{
    return ECAM + (devfn << 12) + off;
}

/* Base of a function's page, fn 0 is the PF */
static uint64_t page(unsigned fn)
{
    return fn ? VF_BARS + (fn - 1) * VF_BAR_SIZE : PF_BAR;
}

/* Base of what a migration driver uses, and the EQC in it */
static uint64_t controls(Acc *a, unsigned fn)
{
    return a->v4 ? PF_BAR + 0x180000 + fn * 0x2000 : page(fn);
}

static uint64_t eqc_regs(Acc *a, unsigned fn)
{
    return controls(a, fn) + (a->v4 ? 0x1c00 : 0x8000);
}

static uint32_t rd(Acc *a, uint64_t addr)
{
    return qtest_readl(a->qts, addr);
}

static void wr(Acc *a, uint64_t addr, uint32_t val)
{
    qtest_writel(a->qts, addr, val);
}

static void write_dwords(Acc *a, uint64_t addr, const uint32_t *dw, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        wr(a, addr + i * 4, dw[i]);
    }
}

static void doorbell(Acc *a, uint64_t base, unsigned q, unsigned cmd,
                     unsigned index, unsigned prio)
{
    qtest_writeq(a->qts, base + (cmd >= DB_EQ ? 0x2000 : 0x1000),
                 q | cmd << 12 | (uint64_t)index << 32 | (uint64_t)prio << 48);
}

static void mailbox_start(Acc *a, uint64_t base, unsigned opcode, bool read,
                          unsigned q, uint64_t addr)
{
    g_assert_false(rd(a, base + 0x300) & BIT(13));
    qtest_writeq(a->qts, base + 0x300,
                 opcode | BIT(13) | (read ? BIT(14) : 0) | q << 16 |
                     addr << 32);
    qtest_writeq(a->qts, base + 0x308, addr >> 32);
}

static bool mailbox_busy(Acc *a, uint64_t base)
{
    return rd(a, base + 0x300) & BIT(13);
}

/* A command that is done at once. Returns its result. */
static uint64_t mailbox(Acc *a, uint64_t base, unsigned opcode, bool read,
                        unsigned q, uint64_t addr)
{
    mailbox_start(a, base, opcode, read, q, addr);
    g_assert_cmphex(rd(a, base + 0x300) & 0x3e00, ==, 0);
    return qtest_readl(a->qts, base + 0x304) | (uint64_t)rd(a, base + 0x308)
                                                   << 32;
}

/* -------------------------------------------------- QMP */

/* Whether the device takes the value */
static bool try_set(Acc *a, const char *property, const char *json)
{
    QDict *rsp = qtest_qmp(
        a->qts,
        "{'execute': 'qom-set', 'arguments': {"
        "'path': '/machine/peripheral/acc0', 'property': %s, 'value': %p}}",
        property, qobject_from_json(json, &error_abort));
    bool taken = qdict_haskey(rsp, "return");

    qobject_unref(rsp);
    return taken;
}

static void set(Acc *a, const char *property, const char *json)
{
    g_assert_true(try_set(a, property, json));
}

static QDict *get(Acc *a, const char *property)
{
    QDict *rsp = qtest_qmp(
        a->qts, "{'execute': 'qom-get', 'arguments': {"
                "'path': '/machine/peripheral/acc0', 'property': %s}}",
        property);

    g_assert_true(qdict_haskey(rsp, "return"));
    return rsp;
}

static void check_text(Acc *a, const char *property, const char *want)
{
    QDict *rsp = get(a, property);

    g_assert_cmpstr(qdict_get_str(rsp, "return"), ==, want);
    qobject_unref(rsp);
}

static QDict *stats(Acc *a)
{
    QDict *rsp = get(a, "stats");
    QDict *d = qdict_get_qdict(rsp, "return");

    qobject_ref(d);
    qobject_unref(rsp);
    return d;
}

static int64_t fn_stat(Acc *a, unsigned fn, const char *name)
{
    QDict *d = stats(a);
    const QListEntry *e;
    int64_t value = -1;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(d, "functions"), e) {
        QDict *f = qobject_to(QDict, qlist_entry_obj(e));

        if (qdict_get_int(f, "fn") == fn) {
            value = qdict_get_int(f, name);
        }
    }
    qobject_unref(d);
    return value;
}

/* Number of violations of a kind, of all kinds for NULL */
static int64_t violations(Acc *a, const char *kind)
{
    QDict *d = stats(a);
    int64_t n = kind ? qdict_get_try_int(qdict_get_qdict(d, "violation-kinds"),
                                         kind, 0)
                     : qdict_get_int(d, "violations");

    qobject_unref(d);
    return n;
}

/* -------------------------------------------------- bringing it up */

static void map_pf(Acc *a)
{
    qtest_writel(a->qts, cfg(PF_DEVFN, PCI_BASE_ADDRESS_2), PF_BAR);
    qtest_writel(a->qts, cfg(PF_DEVFN, PCI_BASE_ADDRESS_3), 0);
    qtest_writew(a->qts, cfg(PF_DEVFN, PCI_COMMAND),
                 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static Acc *start_engine(const char *type, const char *hw)
{
    Acc *a = g_new0(Acc, 1);

    a->v4 = !strcmp(hw, "v4");
    a->qts = qtest_initf(
        "-machine virt -cpu max -nodefaults "
        "-device %s,id=acc0,addr=1.0,hw=%s,job-time-ns=%d",
        type, hw, JOB_NS);
    map_pf(a);
    return a;
}

static Acc *start(const char *hw)
{
    return start_engine("hisi-zip", hw);
}

static void stop(Acc *a)
{
    qtest_quit(a->qts);
    g_free(a);
}

/* As the PF driver does it: through data, operation, "ready := 0", enable */
static void vft(Acc *a, bool read, unsigned fn, uint64_t *word)
{
    g_assert_cmphex(rd(a, PF_BAR + 0x10006c), ==, 1);
    wr(a, PF_BAR + 0x100058, read);
    wr(a, PF_BAR + 0x10005c, 0);
    wr(a, PF_BAR + 0x100060, fn);
    if (!read) {
        wr(a, PF_BAR + 0x100064, *word);
        wr(a, PF_BAR + 0x100068, *word >> 32);
    }
    wr(a, PF_BAR + 0x10006c, 0);
    wr(a, PF_BAR + 0x100054, 1);
    g_assert_cmphex(rd(a, PF_BAR + 0x10006c), ==, 1);
    if (read) {
        *word = rd(a, PF_BAR + 0x100064) | (uint64_t)rd(a, PF_BAR + 0x100068)
                                               << 32;
    }
}

static uint64_t vft_word(unsigned fn)
{
    return (uint64_t)fn * QUEUES << 28 | BIT_ULL(44) |
           (uint64_t)(QUEUES - 1) << 45;
}

static void enable_vfs(Acc *a)
{
    unsigned sriov = CAP_SRIOV;

    for (unsigned fn = 0; fn <= NR_VFS; fn++) {
        uint64_t word = vft_word(fn);

        vft(a, false, fn, &word);
    }
    if (a->v4) {
        wr(a, PF_BAR + 0x100198, 1);
    }
    qtest_writel(a->qts, cfg(PF_DEVFN, sriov + PCI_SRIOV_BAR + 8), VF_BARS);
    qtest_writel(a->qts, cfg(PF_DEVFN, sriov + PCI_SRIOV_BAR + 12), 0);
    qtest_writew(a->qts, cfg(PF_DEVFN, sriov + PCI_SRIOV_NUM_VF), NR_VFS);
    qtest_writew(a->qts, cfg(PF_DEVFN, sriov + PCI_SRIOV_CTRL),
                 PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE);
    for (unsigned fn = 1; fn <= NR_VFS; fn++) {
        qtest_writew(a->qts, cfg(PF_DEVFN + fn, PCI_COMMAND),
                     PCI_COMMAND_MASTER);
    }
}

static void load_context(Acc *a, unsigned fn, unsigned opcode, unsigned q,
                         const uint32_t *dw)
{
    write_dwords(a, CONTEXT, dw, CONTEXT_SIZE / 4);
    mailbox(a, page(fn), opcode, false, q, CONTEXT);
}

static void load_sqc(Acc *a, unsigned fn, unsigned q)
{
    const uint32_t sqc[8] = { 0, SQ_RING(q), 0, (DEPTH - 1) | 7 << 12, 0, 0,
                              q | (1 << 4 | q << 8) << 16 };

    load_context(a, fn, MB_SQC, q, sqc);
}

/* Have interrupts of a function written to an address: data and the vector */
static void enable_msi(Acc *a, unsigned fn, uint64_t addr, uint16_t data)
{
    unsigned devfn = PF_DEVFN + fn;

    qtest_writel(a->qts, cfg(devfn, CAP_MSI + PCI_MSI_ADDRESS_LO), addr);
    qtest_writel(a->qts, cfg(devfn, CAP_MSI + PCI_MSI_ADDRESS_HI), addr >> 32);
    qtest_writew(a->qts, cfg(devfn, CAP_MSI + PCI_MSI_DATA_64), data);
    qtest_writew(a->qts, cfg(devfn, CAP_MSI + PCI_MSI_FLAGS),
                 PCI_MSI_FLAGS_ENABLE | 2 << 4);
}

/*
 * Events, and a compressing and a decompressing queue, as the VF driver makes
 * them
 */
static void setup_queues(Acc *a, unsigned fn)
{
    const uint32_t eqc[8] = {
        0, EQ_RING, 0, 0, 0, 0, (EQ_DEPTH - 1) | BIT(16)
    };
    const uint32_t aeqc[8] = {
        0, AEQ_RING, 0, 0, 0, 0, (EQ_DEPTH - 1) | BIT(16)
    };

    qtest_memset(a->qts, SQC_BT, 0, BUFFERS - SQC_BT);
    load_context(a, fn, MB_EQC, 0, eqc);
    load_context(a, fn, MB_AEQC, 0, aeqc);
    mailbox(a, page(fn), MB_SQC_BT, false, 0, SQC_BT);
    mailbox(a, page(fn), MB_CQC_BT, false, 0, CQC_BT);
    for (unsigned q = COMPRESS; q <= DECOMPRESS; q++) {
        const uint32_t cqc[8] = { 0, CQ_RING(q), 0, (DEPTH - 1) | 4 << 12,
                                  0, 0,          3 };

        load_sqc(a, fn, q);
        load_context(a, fn, MB_CQC, q, cqc);
    }
    wr(a, page(fn) + 0x60, 0);
}

/* -------------------------------------------------- jobs */

static uint64_t buffer(unsigned n)
{
    return BUFFERS + n * BUFFER_SIZE;
}

/*
 * A scatter list of two entries, so that walking is tested. At offset 8 is the
 * capacity, a trap, and behind the two lies what an earlier user left.
 */
static uint64_t make_sgl(Acc *a, unsigned n, uint64_t addr, uint32_t len)
{
    uint64_t sgl = SGLS + n * 0x100;
    uint32_t half = len / 2;
    const uint32_t dw[40] = {
        [2] = 10 | 2 << 16, [3] = 2,
        [16] = addr, [17] = addr >> 32, [20] = half,
        [24] = addr + half, [25] = (addr + half) >> 32, [28] = len - half,
        [32] = BUFFERS, [36] = BUFFER_SIZE,
    };

    write_dwords(a, sgl, dw, ARRAY_SIZE(dw));
    return sgl;
}

/* Write an SQE at index; buffers in and out by number */
static void post_request(Acc *a, unsigned request, unsigned q, unsigned index,
                         unsigned in, uint32_t in_len, unsigned out,
                         uint32_t out_len)
{
    uint64_t src = make_sgl(a, in, buffer(in), BUFFER_SIZE);
    uint64_t dst = make_sgl(a, out, buffer(out), BUFFER_SIZE);
    const uint32_t sqe[SQE_SIZE / 4] = {
        [4] = in_len,      [7] = 3u << 28,
        [9] = request | 1 << 8 | 2 << 12,
        [14] = out_len,    [18] = src,       [19] = src >> 32,
        [20] = dst,        [21] = dst >> 32, [26] = 0xcafe0000 + index,
        [27] = 0xffff0000,
    };

    write_dwords(a, SQ_RING(q) + index * SQE_SIZE, sqe, ARRAY_SIZE(sqe));
}

static void post(Acc *a, unsigned q, unsigned index, unsigned in,
                 uint32_t in_len, unsigned out, uint32_t out_len)
{
    post_request(a, DEFLATE, q, index, in, in_len, out, out_len);
}

static uint32_t sqe_word(Acc *a, unsigned q, unsigned index, unsigned word)
{
    return rd(a, SQ_RING(q) + index * SQE_SIZE + word * 4);
}

/*
 * Jobs take JOB_NS of the clock that we hold, and time of a thread that we do
 * not
 */
static void wait_jobs(Acc *a, unsigned fn, int64_t jobs)
{
    for (unsigned i = 0; fn_stat(a, fn, "jobs") < jobs; i++) {
        g_assert_cmpuint(i, <, 10000);
        qtest_clock_step(a->qts, JOB_NS);
        g_usleep(1000);
    }
    g_assert_cmpint(fn_stat(a, fn, "jobs"), ==, jobs);
}

static void wait_mailbox(Acc *a, uint64_t base)
{
    for (unsigned i = 0; mailbox_busy(a, base); i++) {
        g_assert_cmpuint(i, <, 10000);
        qtest_clock_step(a->qts, JOB_NS);
        g_usleep(1000);
    }
    g_assert_cmphex(rd(a, base + 0x300) & 0x1e00, ==, 0);
}

static void check_cqe(Acc *a, unsigned q, unsigned index, unsigned lap)
{
    uint64_t cqe = CQ_RING(q) + index * CQE_SIZE;

    g_assert_cmphex(rd(a, cqe + 8), ==, index | q << 16);
    g_assert_cmphex(rd(a, cqe + 12) >> 16, ==, !(lap & 1));
}

static void fill(Acc *a, unsigned n, uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        data[i] = "accelerator"[i % 11] + (i * n >> 8);
    }
    qtest_memwrite(a->qts, buffer(n), data, len);
}

/* With queues in the first VF, and data in buffer 0 */
static Acc *start_vf(const char *hw, uint8_t *data, size_t len)
{
    Acc *a = start(hw);

    enable_vfs(a);
    setup_queues(a, 1);
    fill(a, 0, data, len);
    return a;
}

/* What is behind the operands and results in a buffer */
#define POISON          0xee

/* The bytes that hex stands for; their number is the result */
static size_t hex_bytes(const char *hex, uint8_t *data)
{
    size_t len = hex ? strlen(hex) / 2 : 0;

    for (size_t i = 0; i < len; i++) {
        data[i] = g_ascii_xdigit_value(hex[i * 2]) << 4 |
                  g_ascii_xdigit_value(hex[i * 2 + 1]);
    }
    return len;
}

/* Put it into a buffer */
static size_t put_hex(Acc *a, unsigned n, size_t offset, const char *hex)
{
    uint8_t data[256];
    size_t len = hex_bytes(hex, data);

    if (len) {
        qtest_memwrite(a->qts, buffer(n) + offset, data, len);
    }
    return len;
}

/* Is it in the buffer, and nothing behind it? */
static void check_hex(Acc *a, unsigned n, size_t offset, const char *hex)
{
    uint8_t want[256], got[256];
    size_t len = hex_bytes(hex, want);

    want[len++] = POISON;
    qtest_memread(a->qts, buffer(n) + offset, got, len);
    g_assert_cmpmem(got, len, want, len);
}

/* -------------------------------------------------- tests */

static void test_registers(const void *hw)
{
    Acc *a = start(hw);
    static const struct {
        uint32_t off, val;
    } expect[] = {
        { 0x3100, 0x4f01 }, { 0x3108, 0x04000400 }, { 0x311c, 0x00040003 },
        { 0x3144, 0x130 },  { 0x210, 0 },           { 0x208, 1 },
        { 0x60, 1 },        { 0x100158, 0x200400 }, { 0x100008, 0 },
        { 0x100044, 1 },    { 0x10006c, 1 },        { 0x300150, 3 },
        { 0x3010ac, 0 },    { 0x302000, 0 },
    };
    uint64_t word;

    g_assert_cmphex(qtest_readl(a->qts, cfg(PF_DEVFN, PCI_VENDOR_ID)), ==,
                    0xa25019e5);
    g_assert_cmphex(qtest_readb(a->qts, cfg(PF_DEVFN, PCI_REVISION_ID)), ==,
                    a->v4 ? 0x50 : 0x30);
    for (unsigned i = 0; i < ARRAY_SIZE(expect); i++) {
        g_assert_cmphex(rd(a, PF_BAR + expect[i].off), ==, expect[i].val);
    }

    /* error injection: source, mask, status, write 1 to clear */
    wr(a, PF_BAR + 0x100004, ~0x11);
    wr(a, PF_BAR + 0x10000c, 0x31);
    g_assert_cmphex(rd(a, PF_BAR + 0x100000), ==, 0x31);
    g_assert_cmphex(rd(a, PF_BAR + 0x100008), ==, 0x11);
    wr(a, PF_BAR + 0x100000, 0xffffffff);
    g_assert_cmphex(rd(a, PF_BAR + 0x100008), ==, 0);

    /* queue division: written, read back, gone with memory init */
    word = vft_word(5);
    vft(a, false, 5, &word);
    word = 0;
    vft(a, true, 5, &word);
    g_assert_cmphex(word, ==, vft_word(5));
    wr(a, PF_BAR + 0x100040, 1);
    vft(a, true, 5, &word);
    g_assert_cmphex(word, ==, 0);

    g_assert_cmpint(violations(a, NULL), ==, 0);
    stop(a);
}

static void test_sriov(const void *hw)
{
    Acc *a = start(hw);

    g_assert_cmphex(
        qtest_readw(a->qts, cfg(PF_DEVFN, CAP_SRIOV + PCI_SRIOV_TOTAL_VF)), ==,
        63);
    g_assert_cmphex(
        qtest_readw(a->qts, cfg(PF_DEVFN, CAP_SRIOV + PCI_SRIOV_VF_DID)), ==,
        0xa251);
    g_assert_cmpint(fn_stat(a, 1, "flrs"), ==, -1);
    enable_vfs(a);

    for (unsigned fn = 1; fn <= NR_VFS; fn++) {
        g_assert_cmphex(
            qtest_readb(a->qts, cfg(PF_DEVFN + fn, PCI_REVISION_ID)), ==,
            a->v4 ? 0x50 : 0x30);
        /*
         * decoding is the PF's business: the VF's bit reads 0 and cannot be
         * lost
         */
        g_assert_cmphex(qtest_readw(a->qts, cfg(PF_DEVFN + fn, PCI_COMMAND)),
                        ==, PCI_COMMAND_MASTER);
        g_assert_cmphex(rd(a, page(fn) + 0x60), ==, 1);
        g_assert_cmphex(mailbox(a, page(fn), MB_SQC_VFT, true, 0, 0), ==,
                        vft_word(fn));
    }

    /* private pages */
    wr(a, page(1) + 0x34, 2);
    g_assert_cmphex(rd(a, page(1) + 0x34), ==, 2);
    g_assert_cmphex(rd(a, page(2) + 0x34), ==, 0);

    /* registers are words: the bytes of one can be read, not written */
    wr(a, page(1) + 0x34, 0x12345678);
    g_assert_cmphex(qtest_readb(a->qts, page(1) + 0x34), ==, 0x78);
    g_assert_cmphex(qtest_readw(a->qts, page(1) + 0x36), ==, 0x1234);
    qtest_writeb(a->qts, page(1) + 0x34, 0);
    g_assert_cmphex(rd(a, page(1) + 0x34), ==, 0x12345678);
    wr(a, page(1) + 0x34, 2);

    /* FLR of VF 1 forgets its page and configuration, not its queues */
    wr(a, page(1) + 0x60, 0);
    qtest_writew(a->qts, cfg(PF_DEVFN + 1, CAP_EXPRESS + PCI_EXP_DEVCTL2),
                 PCI_EXP_DEVCTL2_EETLPPB);
    g_assert_cmphex(
        qtest_readw(a->qts, cfg(PF_DEVFN + 1, CAP_EXPRESS + PCI_EXP_DEVCTL2)),
        ==, PCI_EXP_DEVCTL2_EETLPPB);
    qtest_writew(a->qts, cfg(PF_DEVFN + 1, CAP_EXPRESS + PCI_EXP_DEVCTL),
                 PCI_EXP_DEVCTL_BCR_FLR);
    g_assert_cmphex(rd(a, page(1) + 0x60), ==, 1);
    g_assert_cmphex(rd(a, page(1) + 0x34), ==, 0);
    g_assert_cmphex(
        qtest_readw(a->qts, cfg(PF_DEVFN + 1, CAP_EXPRESS + PCI_EXP_DEVCTL2)),
        ==, 0);
    g_assert_cmphex(mailbox(a, page(1), MB_SQC_VFT, true, 0, 0), ==,
                    vft_word(1));
    g_assert_cmpint(fn_stat(a, 1, "flrs"), ==, 1);
    g_assert_cmpint(fn_stat(a, 2, "flrs"), ==, 0);

    /* FLR of the PF: no VFs, no queues; where the controls are stays */
    qtest_writew(a->qts, cfg(PF_DEVFN, CAP_EXPRESS + PCI_EXP_DEVCTL),
                 PCI_EXP_DEVCTL_BCR_FLR);
    g_assert_cmpint(fn_stat(a, 0, "flrs"), ==, 1);
    g_assert_cmpint(fn_stat(a, 1, "flrs"), ==, -1);
    g_assert_cmphex(qtest_readl(a->qts, cfg(PF_DEVFN + 1, 0)), ==, 0xffffffff);
    map_pf(a);
    g_assert_cmphex(mailbox(a, PF_BAR, MB_SQC_VFT, true, 0, 0), ==, 0);
    g_assert_cmphex(rd(a, PF_BAR + 0x100198), ==, a->v4);
    enable_vfs(a);
    g_assert_cmphex(rd(a, controls(a, 2) + 0x60), ==, 1);

    g_assert_cmpint(violations(a, NULL), ==, 0);
    stop(a);
}

static void test_job(const void *hw)
{
    /* the text below in raw deflate: fixed codes, one match */
    static const uint8_t known[] = { 0xcb, 0xc8, 0x2c, 0xce, 0x54,
                                     0xc8, 0x80, 0x13, 0x00 };
    static const char known_text[] = "hisi hisi hisi ";
    uint8_t data[5000], back[5000];
    Acc *a = start(hw);
    uint32_t len;

    enable_vfs(a);
    setup_queues(a, 1);
    fill(a, 0, data, sizeof(data));

    post(a, COMPRESS, 0, 0, sizeof(data), 1, BUFFER_SIZE);
    doorbell(a, page(1), COMPRESS, DB_SQ, 1, 0);
    g_assert_cmpint(fn_stat(a, 1, "in-flight"), ==, 1);
    wait_jobs(a, 1, 1);
    check_cqe(a, COMPRESS, 0, 0);
    len = sqe_word(a, COMPRESS, 0, 1);
    g_assert_cmphex(sqe_word(a, COMPRESS, 0, 3), ==, 0);
    g_assert_cmphex(sqe_word(a, COMPRESS, 0, 0), ==, sizeof(data));
    g_assert_cmpuint(len, >, 0);
    g_assert_cmpuint(len, <, sizeof(data) / 2);
    g_assert_cmphex(sqe_word(a, COMPRESS, 0, 26), ==,
                    0xcafe0000); /* the tag survives */
    /* one event, for the armed CQ; none for the next until it is armed again */
    g_assert_cmphex(rd(a, EQ_RING), ==, COMPRESS | BIT(16));
    doorbell(a, page(1), COMPRESS, DB_CQ, 1, 1);

    post(a, DECOMPRESS, 0, 1, len, 2, BUFFER_SIZE);
    qtest_memwrite(a->qts, buffer(3), known, sizeof(known));
    post(a, DECOMPRESS, 1, 3, sizeof(known), 4, BUFFER_SIZE);
    doorbell(a, page(1), DECOMPRESS, DB_SQ, 2, 0);
    g_assert_cmpint(fn_stat(a, 1, "in-flight"), ==, 2);
    wait_jobs(a, 1, 3);
    check_cqe(a, DECOMPRESS, 0, 0);
    check_cqe(a, DECOMPRESS, 1, 0);
    g_assert_cmphex(sqe_word(a, DECOMPRESS, 0, 1), ==, sizeof(data));
    qtest_memread(a->qts, buffer(2), back, sizeof(back));
    g_assert_cmpmem(back, sizeof(back), data, sizeof(data));
    g_assert_cmphex(sqe_word(a, DECOMPRESS, 1, 3), ==, 0);
    g_assert_cmphex(sqe_word(a, DECOMPRESS, 1, 1), ==, strlen(known_text));
    qtest_memread(a->qts, buffer(4), back, strlen(known_text));
    g_assert_cmpmem(back, strlen(known_text), known_text, strlen(known_text));

    /* not deflate; no room for the output; less input than promised */
    qtest_memset(a->qts, buffer(5), 0xff, 64);
    post(a, DECOMPRESS, 2, 5, 64, 6, BUFFER_SIZE);
    post(a, COMPRESS, 1, 0, sizeof(data), 6, 8);
    post(a, COMPRESS, 2, 0, BUFFER_SIZE + 100, 6, BUFFER_SIZE);
    doorbell(a, page(1), DECOMPRESS, DB_SQ, 3, 0);
    doorbell(a, page(1), COMPRESS, DB_SQ, 3, 0);
    wait_jobs(a, 1, 6);
    g_assert_cmphex(sqe_word(a, DECOMPRESS, 2, 3), !=, 0);
    g_assert_cmphex(sqe_word(a, COMPRESS, 1, 3), !=, 0);
    g_assert_cmphex(sqe_word(a, COMPRESS, 2, 3), !=, 0);
    g_assert_cmpint(fn_stat(a, 1, "job-errors"), ==, 3);

    /* LZ4 goes one way: literals only, as it has nothing to refer to */
    qtest_memwrite(a->qts, buffer(7), "accelerator", 11);
    post_request(a, LZ4, COMPRESS, 3, 7, 11, 8, BUFFER_SIZE);
    post_request(a, LZ4, DECOMPRESS, 3, 8, 12, 9, BUFFER_SIZE);
    doorbell(a, page(1), COMPRESS, DB_SQ, 4, 0);
    doorbell(a, page(1), DECOMPRESS, DB_SQ, 4, 0);
    wait_jobs(a, 1, 8);
    g_assert_cmphex(sqe_word(a, COMPRESS, 3, 3), ==, 0);
    g_assert_cmpuint(sqe_word(a, COMPRESS, 3, 1), ==, 12);
    qtest_memread(a->qts, buffer(8), back, 12);
    g_assert_cmpmem(back, 12, "\xb0" "accelerator", 12);
    g_assert_cmphex(sqe_word(a, DECOMPRESS, 3, 3), !=, 0);

    /* a queue stops when it has finished */
    post(a, COMPRESS, 4, 0, sizeof(data), 1, BUFFER_SIZE);
    doorbell(a, page(1), COMPRESS, DB_SQ, 5, 0);
    mailbox_start(a, page(1), MB_STOP_QP, false, COMPRESS, 0);
    g_assert_true(mailbox_busy(a, page(1)));
    wait_mailbox(a, page(1));
    g_assert_cmpint(fn_stat(a, 1, "jobs"), ==, 9);

    g_assert_cmpint(fn_stat(a, 0, "jobs"), ==, 0);
    g_assert_cmpint(violations(a, NULL), ==, 0);
    stop(a);
}

/* Post n jobs of buffer 0 from index on, outputs in buffers 1.. */
static void post_many(Acc *a, unsigned index, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        post(a, COMPRESS, (index + i) % DEPTH, 0, 2000, 1 + i, BUFFER_SIZE);
    }
}

/*
 * Save VF 1 while jobs are posted and in flight, load VF 2 with it, as a
 * migration does
 */
static void test_migrate(const void *hw)
{
    uint8_t data[2000];
    uint32_t saved[2][7];
    uint64_t sqc_bt, cqc_bt;
    Acc *a = start(hw);
    uint64_t src = controls(a, 1), dst = controls(a, 2);

    enable_vfs(a);
    setup_queues(a, 1);
    fill(a, 0, data, sizeof(data));
    set(a, "job-slots", "2");

    /* a lap and a bit, so that parity and phase matter */
    for (unsigned i = 0; i < DEPTH + 3; i++) {
        post_many(a, i % DEPTH, 1);
        doorbell(a, page(1), COMPRESS, DB_SQ, (i + 1) % DEPTH, 0);
        wait_jobs(a, 1, i + 1);
        doorbell(a, page(1), COMPRESS, DB_CQ, (i + 1) % DEPTH, 1);
    }

    post_many(a, 3, 8);
    doorbell(a, page(1), COMPRESS, DB_SQ, 11, 0);
    g_assert_cmpint(fn_stat(a, 1, "in-flight"), ==, 2);
    g_assert_cmpint(fn_stat(a, 1, "posted"), ==, 6);

    /* the pause waits for the two in flight and leaves the six */
    mailbox_start(a, src, MB_PAUSE, false, 0, 0);
    g_assert_true(mailbox_busy(a, src));
    wait_mailbox(a, src);
    g_assert_cmpint(fn_stat(a, 1, "jobs"), ==, DEPTH + 5);
    g_assert_cmpint(fn_stat(a, 1, "posted"), ==, 6);
    g_assert_cmpint(fn_stat(a, 1, "pause-drained"), ==, 2);
    /* ordinary doorbells do not end it */
    doorbell(a, page(1), COMPRESS, DB_SQ, 11, 0);
    g_assert_cmpint(fn_stat(a, 1, "in-flight"), ==, 0);

    wr(a, src + 0x204, 1);
    g_assert_cmphex(rd(a, src + 0x208), ==, 1);
    g_assert_cmphex(rd(a, SQC_BT), ==, 5 | 11 << 16);
    g_assert_cmphex(rd(a, SQC_BT + 0x14), ==,
                    BIT(22)); /* tail parity: one lap */
    g_assert_cmphex(rd(a, CQC_BT), ==, 3 | 5 << 16);
    g_assert_cmphex(rd(a, CQC_BT + 0x14), ==, BIT(22));
    g_assert_cmphex(rd(a, SQC_BT + 2 * CONTEXT_SIZE + 0xc), ==,
                    0); /* never configured */
    sqc_bt = mailbox(a, src, MB_SQC_BT, true, 0, 0);
    cqc_bt = mailbox(a, src, MB_CQC_BT, true, 0, 0);
    g_assert_cmphex(sqc_bt, ==, SQC_BT);
    g_assert_cmphex(cqc_bt, ==, CQC_BT);
    for (unsigned i = 0; i < 14; i++) {
        saved[i / 7][i % 7] = rd(a, eqc_regs(a, 1) + i / 7 * 0x20 + i % 7 * 4);
    }
    g_assert_cmphex(saved[0][1], ==, EQ_RING);
    g_assert_cmphex(saved[1][1], ==, AEQ_RING);

    /* guest memory is the same; only VF 2 may go on with it */
    wr(a, dst + 0x60, 0);
    for (unsigned i = 0; i < 2; i++) {
        write_dwords(a, eqc_regs(a, 2) + i * 0x20, saved[i], 7);
    }
    mailbox(a, dst, MB_SQC_BT, false, 0, sqc_bt);
    mailbox(a, dst, MB_CQC_BT, false, 0, cqc_bt);
    for (unsigned q = 0; q < QUEUES; q++) {
        doorbell(a, dst, q, DB_SQ, 0, 1);
    }
    g_assert_cmpint(fn_stat(a, 2, "restarts"), ==, QUEUES);
    g_assert_cmpint(fn_stat(a, 2, "in-flight"), ==, 2);
    wait_jobs(a, 2, 6);
    for (unsigned i = 3; i < 11; i++) {
        check_cqe(a, COMPRESS, i, 1);
        g_assert_cmphex(sqe_word(a, COMPRESS, i, 3), ==, 0);
        g_assert_cmpuint(sqe_word(a, COMPRESS, i, 1), >, 0);
    }
    g_assert_cmpint(fn_stat(a, 1, "jobs"), ==, DEPTH + 5);

    g_assert_cmpint(violations(a, NULL), ==, 0);
    stop(a);
}

/*
 * A migration that is called off: restart where it stopped, and with the caches
 * alone
 */
static void test_cancel(const void *hw)
{
    uint8_t data[2000];
    Acc *a = start_vf(hw, data, sizeof(data));
    uint64_t src = controls(a, 1);

    set(a, "job-slots", "1");
    post_many(a, 0, 4);
    doorbell(a, page(1), COMPRESS, DB_SQ, 4, 0);
    mailbox_start(a, src, MB_PAUSE, false, 0, 0);
    wait_mailbox(a, src);
    wr(a, src + 0x204, 1);
    doorbell(a, src, COMPRESS, DB_SQ, 0, 1);
    g_assert_cmpint(fn_stat(a, 1, "in-flight"), ==, 1);

    mailbox_start(a, src, MB_PAUSE, false, 0, 0);
    wait_mailbox(a, src);
    g_assert_cmpint(fn_stat(a, 1, "jobs"), ==, 2);
    wr(a, src + 0x24, 0);           /* all that the in-kernel driver does */
    wait_jobs(a, 1, 4);

    g_assert_cmpint(violations(a, NULL), ==, 0);
    stop(a);
}

/* Run buffer 0 through queue q, with the entry at index */
static void one_job(Acc *a, unsigned q, unsigned index)
{
    int64_t jobs = fn_stat(a, 1, "jobs");

    post(a, q, index, 0, 2000, 1, BUFFER_SIZE);
    doorbell(a, page(1), q, DB_SQ, index + 1, 0);
    wait_jobs(a, 1, jobs + 1);
}

static void test_interrupts(const void *hw)
{
    uint8_t data[2000];
    Acc *a = start_vf(hw, data, sizeof(data));

    /* messages to RAM can be read back: 0x40 is vector 0 of 4 */
    wr(a, MSI_TARGET, 0);
    enable_msi(a, 1, MSI_TARGET, 0x40);

    /* masked: pending until it is unmasked */
    one_job(a, COMPRESS, 0);
    g_assert_cmpint(fn_stat(a, 1, "interrupts"), ==, 0);
    wr(a, page(1) + 0xc, 0);
    g_assert_cmpint(fn_stat(a, 1, "interrupts"), ==, 1);
    g_assert_cmphex(rd(a, MSI_TARGET), ==, 0x40);

    /* the CQ is not armed: no event */
    one_job(a, COMPRESS, 1);
    g_assert_cmphex(rd(a, EQ_RING + 4), ==, 0);
    /* armed while something is there: the event comes at once */
    doorbell(a, page(1), COMPRESS, DB_CQ, 1, 1);
    g_assert_cmphex(rd(a, EQ_RING + 4), ==, COMPRESS | BIT(16));
    /* no second interrupt before the EQ doorbell, then one for what is left */
    g_assert_cmpint(fn_stat(a, 1, "interrupts"), ==, 1);
    doorbell(a, page(1), 0, DB_EQ, 1, 0);
    g_assert_cmpint(fn_stat(a, 1, "interrupts"), ==, 2);
    doorbell(a, page(1), 0, DB_EQ, 2, 0);
    g_assert_cmpint(fn_stat(a, 1, "interrupts"), ==, 2);

    /* paused: events wait for the restart */
    mailbox_start(a, controls(a, 1), MB_PAUSE, false, 0, 0);
    doorbell(a, page(1), COMPRESS, DB_CQ, 1, 1);
    g_assert_cmphex(rd(a, EQ_RING + 8), ==, 0);
    wr(a, controls(a, 1) + 0x204, 1);
    doorbell(a, controls(a, 1), COMPRESS, DB_SQ, 0, 1);
    g_assert_cmphex(rd(a, EQ_RING + 8), ==, COMPRESS | BIT(16));
    g_assert_cmpint(fn_stat(a, 1, "interrupts"), ==, 3);

    g_assert_cmpint(violations(a, NULL), ==, 0);
    stop(a);
}

/*
 * Interrupts that are written to where they take away what is about to
 * complete: as the last word of a mailbox command, and as an FLR
 */
static void test_reentry(const void *hw)
{
    uint8_t data[2000];
    Acc *a = start_vf(hw, data, sizeof(data));
    int64_t commands;

    set(a, "job-slots", "1");
    wr(a, page(1) + 0xc, 0);

    load_sqc(a, 1, COMPRESS);
    commands = fn_stat(a, 1, "mailbox-commands");
    write_dwords(a, page(1) + 0x300,
                 (uint32_t[]) { MB_SQC | COMPRESS << 16, CONTEXT, 0 }, 3);
    enable_msi(a, 1, page(1) + 0x30c, 0);
    post_many(a, 0, 2);
    doorbell(a, page(1), COMPRESS, DB_SQ, 2, 0);
    wait_jobs(a, 1, 1);
    g_assert_cmpint(fn_stat(a, 1, "mailbox-commands"), ==, commands + 1);
    g_assert_cmpint(fn_stat(a, 1, "in-flight"), ==, 0);
    qtest_clock_step(a->qts, 10 * JOB_NS);
    g_assert_cmpint(fn_stat(a, 1, "jobs"), ==, 1);
    one_job(a, COMPRESS, 0);

    enable_msi(a, 1, cfg(PF_DEVFN + 1, CAP_EXPRESS + PCI_EXP_DEVCTL),
               PCI_EXP_DEVCTL_BCR_FLR);
    doorbell(a, page(1), 0, DB_EQ, 1, 0);
    doorbell(a, page(1), COMPRESS, DB_CQ, 2, 1);
    post_many(a, 1, 2);
    doorbell(a, page(1), COMPRESS, DB_SQ, 3, 0);
    wait_jobs(a, 1, 3);
    g_assert_cmpint(fn_stat(a, 1, "flrs"), ==, 1);
    g_assert_cmpint(fn_stat(a, 1, "in-flight"), ==, 0);
    g_assert_cmphex(rd(a, page(1) + 0xc), ==, 1);

    g_assert_cmpint(violations(a, NULL), ==, 0);
    stop(a);
}

static void test_messages(const void *hw)
{
    const uint64_t down = 0x0000000500000002, up = 0x0000000700000004;
    Acc *a = start(hw);

    enable_vfs(a);

    /* PF to VF 1 */
    if (a->v4) {
        qtest_writeq(a->qts, PF_BAR + 0x104700, down);
    } else {
        mailbox(a, PF_BAR, MB_IFC_SRC, false, 1, down);
    }
    wr(a, PF_BAR + 0x100134, 1);
    wr(a, PF_BAR + 0x100130, 1);
    g_assert_cmphex(qtest_readq(a->qts, PF_BAR + 0x100128), ==, BIT(1));
    g_assert_cmphex(rd(a, page(1) + 0x28), ==, 1);
    wr(a, page(1) + 0x24, 1);
    g_assert_cmphex(rd(a, page(1) + 0x28), ==, 0);      /* masked */
    g_assert_cmphex(rd(a, page(1) + 0x20), ==, 1);      /* and yet there */
    g_assert_cmphex(rd(a, page(2) + 0x20), ==, 0);
    g_assert_cmphex(a->v4 ? qtest_readq(a->qts, page(1) + 0x380) :
                    mailbox(a, page(1), MB_IFC_DST, true, 0, 0), ==, down);
    wr(a, page(1) + 0x20, 1);
    g_assert_cmphex(rd(a, page(1) + 0x20), ==, 0);
    g_assert_cmphex(qtest_readq(a->qts, PF_BAR + 0x100128), ==, 0);

    /* PF to all */
    wr(a, PF_BAR + 0x100134, 0x7f);
    wr(a, PF_BAR + 0x100130, 1);
    g_assert_cmphex(qtest_readq(a->qts, PF_BAR + 0x100128), ==,
                    BIT(1) | BIT(2));

    /* VF 2 to PF */
    if (a->v4) {
        qtest_writeq(a->qts, page(2) + 0x320, up);
    } else {
        mailbox(a, page(2), MB_IFC_SRC, false, 0, up);
    }
    wr(a, page(2) + 0x2c, 1);
    g_assert_cmphex(rd(a, page(2) + 0x2c), ==, 1);
    g_assert_cmphex(qtest_readq(a->qts, PF_BAR + 0x100138), ==, BIT(2));
    g_assert_cmphex(rd(a, PF_BAR + 0x20), ==, 1);
    g_assert_cmphex(a->v4 ? rd(a, PF_BAR + 0x104800 + 2 * 4) :
                    (uint32_t)mailbox(a, PF_BAR, MB_IFC_DST, true, 2, 0),
                    ==, (uint32_t)up);
    qtest_writeq(a->qts, PF_BAR + 0x100138, BIT(2));
    g_assert_cmphex(rd(a, page(2) + 0x2c), ==, 0);
    g_assert_cmphex(rd(a, PF_BAR + 0x20), ==, 0);

    g_assert_cmpint(violations(a, NULL), ==, 0);
    stop(a);
}

/* Queues take turns; the other ways to pause */
static void test_pace(const void *hw)
{
    uint8_t data[2000];
    Acc *a = start_vf(hw, data, sizeof(data));
    uint64_t src = controls(a, 1);

    set(a, "job-slots", "0");
    for (unsigned i = 0; i < 4; i++) {
        post(a, COMPRESS, i, 0, sizeof(data), 1, BUFFER_SIZE);
        post(a, DECOMPRESS, i, 0, sizeof(data), 1, BUFFER_SIZE);
    }
    doorbell(a, page(1), COMPRESS, DB_SQ, 4, 0);
    doorbell(a, page(1), DECOMPRESS, DB_SQ, 4, 0);
    g_assert_cmpint(fn_stat(a, 1, "in-flight"), ==, 0);
    g_assert_cmpint(fn_stat(a, 1, "posted"), ==, 8);
    set(a, "job-slots", "1");
    wait_jobs(a, 1, 2);
    check_cqe(a, COMPRESS, 0, 0);
    check_cqe(a, DECOMPRESS, 0, 0);

    /* all that is posted, and no restart is needed */
    set(a, "pause-policy", "'drain'");
    mailbox_start(a, src, MB_PAUSE, false, 0, 0);
    g_assert_true(mailbox_busy(a, src));
    wait_mailbox(a, src);
    g_assert_cmpint(fn_stat(a, 1, "jobs"), ==, 8);
    one_job(a, COMPRESS, 4);

    /* without waiting */
    set(a, "pause-sync", "true");
    post(a, COMPRESS, 5, 0, sizeof(data), 1, BUFFER_SIZE);
    post(a, COMPRESS, 6, 0, sizeof(data), 1, BUFFER_SIZE);
    doorbell(a, page(1), COMPRESS, DB_SQ, 7, 0);
    mailbox(a, src, MB_PAUSE, false, 0, 0);
    g_assert_cmpint(fn_stat(a, 1, "jobs"), ==, 11);

    /* FLR: what is in flight leaves no trace */
    post(a, COMPRESS, 7, 0, sizeof(data), 1, BUFFER_SIZE);
    doorbell(a, page(1), COMPRESS, DB_SQ, 8, 0);
    g_assert_cmpint(fn_stat(a, 1, "in-flight"), ==, 1);
    qtest_writew(a->qts, cfg(PF_DEVFN + 1, CAP_EXPRESS + PCI_EXP_DEVCTL),
                 PCI_EXP_DEVCTL_BCR_FLR);
    g_assert_cmpint(fn_stat(a, 1, "in-flight"), ==, 0);
    qtest_clock_step(a->qts, 10 * JOB_NS);
    g_assert_cmpint(fn_stat(a, 1, "jobs"), ==, 11);
    g_assert_cmphex(rd(a, CQ_RING(COMPRESS) + 7 * CQE_SIZE + 12), ==, 0);
    g_assert_cmphex(sqe_word(a, COMPRESS, 7, 1), ==, 0);

    g_assert_cmpint(violations(a, NULL), ==, 0);
    stop(a);
}

/* A pause within the mailbox write: no thread has computed anything before */
static void test_pause_sync(const void *hw)
{
    uint8_t data[2000];
    Acc *a = start_vf(hw, data, sizeof(data));
    uint64_t src = controls(a, 1);

    set(a, "job-slots", "0");
    post_many(a, 0, 2);
    doorbell(a, page(1), COMPRESS, DB_SQ, 2, 0);
    mailbox(a, src, MB_PAUSE, false, 0, 0);
    set(a, "job-slots", "1");
    g_assert_cmpint(fn_stat(a, 1, "in-flight"), ==, 0);

    /* fetches and finishes all that the first one held */
    set(a, "pause-policy", "'drain'");
    set(a, "pause-sync", "true");
    mailbox(a, src, MB_PAUSE, false, 0, 0);
    g_assert_cmpint(fn_stat(a, 1, "jobs"), ==, 2);
    g_assert_cmpint(fn_stat(a, 1, "job-errors"), ==, 0);
    check_cqe(a, COMPRESS, 0, 0);
    check_cqe(a, COMPRESS, 1, 0);

    g_assert_cmpint(violations(a, NULL), ==, 0);
    stop(a);
}

/* A reload drops the jobs of a queue: nothing may go on waiting for them */
static void test_reload(const void *hw)
{
    static const unsigned waiting[] = { MB_STOP_QP, MB_FLUSH, MB_PAUSE };
    uint8_t data[2000];
    Acc *a = start_vf(hw, data, sizeof(data));
    uint64_t src = controls(a, 1);

    set(a, "job-slots", "1");

    /* the other queue gets the slot */
    post(a, COMPRESS, 0, 0, sizeof(data), 1, BUFFER_SIZE);
    post(a, DECOMPRESS, 0, 0, sizeof(data), 1, BUFFER_SIZE);
    doorbell(a, page(1), COMPRESS, DB_SQ, 1, 0);
    doorbell(a, page(1), DECOMPRESS, DB_SQ, 1, 0);
    load_sqc(a, 1, COMPRESS);
    g_assert_cmpint(fn_stat(a, 1, "in-flight"), ==, 1);
    wait_jobs(a, 1, 1);
    check_cqe(a, DECOMPRESS, 0, 0);
    g_assert_cmpint(violations(a, NULL), ==, 0);

    /* a restart, wrong as it is, does not leave a command busy forever */
    wr(a, src + 0x204, 1);
    for (unsigned i = 0; i < ARRAY_SIZE(waiting); i++) {
        doorbell(a, page(1), COMPRESS, DB_SQ, 1, 0);
        mailbox_start(a, src, waiting[i], false, COMPRESS, 0);
        g_assert_true(mailbox_busy(a, src));
        doorbell(a, src, COMPRESS, DB_SQ, 0, 1);
        g_assert_false(mailbox_busy(a, src));
    }
    g_assert_cmpint(fn_stat(a, 1, "jobs"), ==, 1);
    g_assert_cmpint(violations(a, "stale-reload"), ==, ARRAY_SIZE(waiting));
    g_assert_cmpint(violations(a, NULL), ==, ARRAY_SIZE(waiting));
    stop(a);
}

/* The model notices what a driver must not do */
static void test_violations(const void *hw)
{
    uint8_t data[2000];
    Acc *a = start_vf(hw, data, sizeof(data));
    uint64_t src = controls(a, 1);

    mailbox_start(a, src, MB_PAUSE, false, 0, 0);
    wr(a, src + 0x204, 1);
    doorbell(a, src, COMPRESS, DB_SQ, 0, 1);
    g_assert_cmpint(violations(a, NULL), ==, 0);

    /* a restart without writeback runs what ran already */
    post_many(a, 0, 2);
    doorbell(a, page(1), COMPRESS, DB_SQ, 2, 0);
    wait_jobs(a, 1, 2);
    wr(a, SQC_BT, 0 | 2 << 16);
    post_many(a, 0, 2);             /* only the head tells that they ran */
    doorbell(a, src, COMPRESS, DB_SQ, 0, 1);
    g_assert_cmpint(violations(a, "stale-reload"), ==, 1);
    wait_jobs(a, 1, 4);
    g_assert_cmpint(violations(a, "sqe-twice"), ==, 2);

    /* the same on a VF that has not seen them: their results tell */
    mailbox(a, controls(a, 2), MB_SQC_BT, false, 0, SQC_BT);
    mailbox(a, controls(a, 2), MB_CQC_BT, false, 0, CQC_BT);
    doorbell(a, controls(a, 2), COMPRESS, DB_SQ, 0, 1);
    wait_jobs(a, 2, 2);
    g_assert_cmpint(violations(a, "sqe-twice"), ==, 4);

    /* SQC and CQC of different times */
    mailbox_start(a, src, MB_PAUSE, false, 0, 0);
    wr(a, src + 0x204, 1);
    wr(a, CQC_BT, 1 << 16);
    doorbell(a, src, COMPRESS, DB_SQ, 0, 1);
    g_assert_cmpint(violations(a, "head-tail"), ==, 1);

    /* DMA of a paused function */
    mailbox_start(a, src, MB_PAUSE, false, 0, 0);
    wait_mailbox(a, src);
    mailbox(a, src, MB_SQC, true, COMPRESS, CONTEXT);
    g_assert_cmpint(violations(a, "dma-after-pause"), ==, 1);

    doorbell(a, page(1), QUEUES, DB_SQ, 0, 0);
    doorbell(a, page(1), COMPRESS, DB_SQ, DEPTH, 0);
    g_assert_cmpint(violations(a, "doorbell-range"), ==, 2);

    if (a->v4) {
        /*
         * EQ doorbell of VF 1 at 0x2000 is in the window of VF 2, whose AEQ
         * mask it must not hit
         */
        wr(a, page(2) + 4, 1);
        doorbell(a, src, 0, DB_EQ, 3, 0);
        g_assert_cmphex(rd(a, page(2) + 4), ==, 1);
        g_assert_cmphex(rd(a, eqc_regs(a, 1)) & 0xffff, ==, 3);
        g_assert_cmpint(violations(a, "neighbour-window"), ==, 1);
        /* all of the page is the guest's, but it may not look for controls */
        rd(a, page(1) + 0xfffc);
        g_assert_cmpint(violations(a, "no-window"), ==, 0);
        rd(a, page(1) + 0x8000);
    } else {
        rd(a, PF_BAR + 0x182000);
    }
    g_assert_cmpint(violations(a, "no-window"), ==, 1);
    stop(a);
}

static void test_faults(const void *hw)
{
    Acc *a = start(hw);
    uint64_t src = controls(a, 1);

    enable_vfs(a);
    setup_queues(a, 1);

    set(a, "fault", "'mailbox-fail:1:0xe'");
    mailbox_start(a, src, MB_PAUSE, false, 0, 0);
    g_assert_cmphex(rd(a, src + 0x300) & 0x3e00, ==, 1 << 9);
    mailbox(a, src, MB_SQC_BT, true, 0, 0);

    set(a, "fault", "'none'");
    set(a, "fault", "'pause-stuck:1'");
    set(a, "fault", "'writeback-stuck:1'");
    set(a, "fault", "'pf-error:0:0x4'");
    set(a, "fault", "'engine-error:0:0x8'");
    mailbox_start(a, src, MB_PAUSE, false, 0, 0);
    qtest_clock_step(a->qts, NANOSECONDS_PER_SECOND);
    g_assert_true(mailbox_busy(a, src));
    wr(a, src + 0x204, 1);
    g_assert_cmphex(rd(a, src + 0x208), ==, 0);
    g_assert_cmphex(rd(a, SQC_BT + 0xc), ==, 0);
    g_assert_cmphex(rd(a, PF_BAR + 0x100008), ==, 4);
    g_assert_cmphex(rd(a, PF_BAR + 0x3010ac), ==, 8);

    set(a, "fault", "'none'");
    g_assert_false(mailbox_busy(a, src));
    g_assert_cmphex(rd(a, src + 0x208), ==, 1);
    g_assert_cmphex(rd(a, SQC_BT + 0xc), !=, 0);
    g_assert_cmphex(rd(a, PF_BAR + 0x100008), ==, 0);

    set(a, "fault", "'dead:1'");
    g_assert_cmphex(rd(a, src + 0x60), ==, 0xffffffff);
    g_assert_cmphex(rd(a, page(1) + 0x300), ==, 0xffffffff);
    g_assert_cmphex(rd(a, page(2) + 0x60), ==, 1);
    g_assert_cmpint(violations(a, NULL), ==, 0);
    if (a->v4) {
        /* also what reaches it through the next one's window */
        doorbell(a, src, 0, DB_EQ, 3, 0);
        set(a, "fault", "'none'");
        g_assert_cmphex(rd(a, eqc_regs(a, 1)) & 0xffff, ==, 0);
        g_assert_cmpint(violations(a, "neighbour-window"), ==, 1);
        doorbell(a, src, 0, DB_EQ, 3, 0);
        g_assert_cmphex(rd(a, eqc_regs(a, 1)) & 0xffff, ==, 3);
    }
    stop(a);
}

/* Quirks add up, "none" removes all, a name that does not exist changes none */
static void test_quirks(const void *hw)
{
    uint8_t data[2000];
    Acc *a = start_vf(hw, data, sizeof(data));
    uint64_t src = controls(a, 1);

    check_text(a, "quirk", "none");
    set(a, "quirk", "'tables-read-zero'");
    set(a, "quirk", "'wb-done-writable'");
    check_text(a, "quirk", "tables-read-zero wb-done-writable");
    g_assert_false(try_set(a, "quirk", "'tables-read-one'"));
    check_text(a, "quirk", "tables-read-zero wb-done-writable");

    g_assert_cmphex(mailbox(a, src, MB_SQC_BT, true, 0, 0), ==, 0);
    wr(a, page(1) + 0x208, 0xffffffff);
    g_assert_cmphex(rd(a, src + 0x208), ==, 0xffffffff);
    g_assert_cmphex(rd(a, page(2) + 0x208), ==, 1);
    /* what violates the protocol by a quirk does not count */
    mailbox_start(a, src, MB_PAUSE, false, 0, 0);
    mailbox(a, src, MB_SQC, true, COMPRESS, CONTEXT);
    g_assert_cmpint(violations(a, NULL), ==, 0);

    set(a, "quirk", "'none'");
    check_text(a, "quirk", "none");
    g_assert_cmphex(mailbox(a, src, MB_SQC_BT, true, 0, 0), ==, SQC_BT);
    g_assert_cmphex(rd(a, src + 0x208), ==, 1);
    mailbox(a, src, MB_SQC, true, COMPRESS, CONTEXT);
    g_assert_cmpint(violations(a, "dma-after-pause"), ==, 1);
    stop(a);
}

/* -------------------------------------------------- SEC */

enum { SEC_ECB = 0, SEC_CBC = 1, SEC_CTR = 4, SEC_CCM, SEC_GCM, SEC_XTS };
enum { SEC_3DES = 1, SEC_AES, SEC_SM4 };

#define SEC_OK          0x0101
#define SEC_AEAD_OK     0x0183
#define SEC_AEAD_BAD    0x0185

/* All in hexadecimal digits; hmac is an algorithm's number */
typedef struct SecVector {
    unsigned alg, key_code, mode, hmac;
    const char *key, *iv, *b0, *hmac_key, *aad, *plain, *cipher, *tag;
} SecVector;

#define SP800_38A \
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51" \
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
#define SP800_38A_CBC \
    "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2" \
    "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7"
#define AES128_KEY      "2b7e151628aed2a6abf7158809cf4f3c"
#define COUNTING        "000102030405060708090a0b0c0d0e0f"
#define COUNTING_32     COUNTING "101112131415161718191a1b1c1d1e1f"
#define SM4_KEY         "0123456789abcdeffedcba9876543210"

/*
 * From NIST SP 800-38A and 38D, IEEE 1619, RFC 3610 and RFC 8998 where they
 * have one, the others computed with OpenSSL
 */
static const SecVector sec_vectors[] = {
    { SEC_AES, 2, SEC_ECB,
      .key = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
      .plain = SP800_38A,
      .cipher =
        "f3eed1bdb5d2a03c064b5a7e3db181f8591ccb10d410ed26dc5ba74a31362870"
        "b6ed21b99ca6f4f9f153e7b1beafed1d23304b7a39f9f3ff067d8d8f9e24ecc7" },
    { SEC_AES, 0, SEC_CBC, .key = AES128_KEY, .iv = COUNTING,
      .plain = SP800_38A, .cipher = SP800_38A_CBC },
    /* the counter wraps, the last block is short */
    { SEC_AES, 1, SEC_CTR,
      .key = "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
      .iv = "fffffffffffffffffffffffffffffffe",
      .plain =
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be6",
      .cipher =
        "880a264ea82621e0fcbc63dcd96052b2992fbb1e00f59f6dab480fc6371256e3"
        "128d31c8eaf441827a88e0d7f06703a4082ce6ab7e8346ede2f9da76d8" },
    /* ciphertext stealing */
    { SEC_AES, 0, SEC_XTS,
      .key = "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0bfbebdbcbbbab9b8b7b6b5b4b3b2b1b0",
      .iv = "9a785634120000000000000000000000",
      .plain = COUNTING "10",
      .cipher = "6c1625db4671522d3d7599601de7ca09ed" },
    { SEC_AES, 0, SEC_CCM, .key = "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf",
      .iv = "0100000003020100a0a1a2a3a4a50001",
      .b0 = "5900000003020100a0a1a2a3a4a50017", .aad = "0001020304050607",
      .plain = "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e",
      .cipher = "588c979a61c663d2f066d0c2c0f989806d5f6b61dac384",
      .tag = "17e8d12cfdf926e0" },
    { SEC_AES, 0, SEC_GCM, .key = "feffe9928665731c6d6a8f9467308308",
      .iv = "cafebabefacedbaddecaf888",
      .aad = "feedfacedeadbeeffeedfacedeadbeefabaddad2",
      .plain =
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
      .cipher =
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
        "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
      .tag = "5bc94fbc3221a5db94fae95ae7121a47" },
    /* nothing but a tag, and that a short one */
    { SEC_AES, 0, SEC_GCM, .key = "00000000000000000000000000000000",
      .iv = "000000000000000000000000", .tag = "58e2fccefa7e3061367f" },
    { SEC_SM4, 0, SEC_CBC, .key = SM4_KEY, .iv = COUNTING,
      .plain =
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
      .cipher =
        "784626c834ab18614677eb2074f2c5575146022d81cd18fef9bc1a1fd3a64d61" },
    { SEC_SM4, 0, SEC_GCM, .key = SM4_KEY, .iv = "00001234567800000000abcd",
      .aad = "feedfacedeadbeeffeedfacedeadbeefabaddad2",
      .plain =
        "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"
        "eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa",
      .cipher =
        "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
        "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d",
      .tag = "83de3541e4c2b58177e065a9bf7b62ec" },
    { SEC_3DES, 1, SEC_CBC,
      .key = "0123456789abcdef23456789abcdef01456789abcdef0123",
      .iv = "f69f2445df4f9b17",
      .plain =
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
      .cipher =
        "2079c3d53aa763e193b79e2569ab5262516570481f25b50f73c0bda85c8e0da7" },
    /* a key that libraries warn of */
    { SEC_3DES, 1, SEC_ECB,
      .key = "010101010101010101010101010101010101010101010101",
      .plain = "8000000000000000", .cipher = "95f8a5e5dd31d900" },
    { SEC_AES, 0, SEC_CBC, 0x10, .key = AES128_KEY, .iv = COUNTING,
      .hmac_key = COUNTING "10111213", .aad = "00112233445566778899aa",
      .plain = SP800_38A, .cipher = SP800_38A_CBC,
      .tag = "75ea08648170efa725db995d" },
    { SEC_AES, 0, SEC_CBC, 0x11, .key = AES128_KEY, .iv = COUNTING,
      .hmac_key = COUNTING_32, .aad = "00112233445566778899aa",
      .plain = SP800_38A, .cipher = SP800_38A_CBC,
      .tag =
        "b0a12961498af96283f812802af8bec4425645d91592fe23c33b053997c18e52" },
    { SEC_AES, 0, SEC_CBC, 0x15, .key = AES128_KEY, .iv = COUNTING,
      .hmac_key = COUNTING_32
        "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
      .aad = "00112233445566778899aa",
      .plain = SP800_38A, .cipher = SP800_38A_CBC,
      .tag =
        "207f6a58dfcfc10aa9a662abc798ff9ec3af3f17cc2682bf9bc4ef3c0bfbac79" },
};

/* Numbers of buffers */
enum { SEC_SRC, SEC_DST, SEC_KEY, SEC_IV, SEC_B0, SEC_HMAC_KEY, SEC_MAC };

/* Make a BD and what it points to: flat and in place, or SGLs of two buffers */
static void sec_bd(Acc *a, const SecVector *v, bool encrypt, bool sgl,
                   uint32_t *bd)
{
    size_t aad, payload, tag = v->tag ? strlen(v->tag) / 2 : 0;
    uint64_t src = buffer(SEC_SRC), dst = src;

    qtest_memset(a->qts, buffer(0), POISON, buffer(SEC_MAC + 1) - BUFFERS);
    aad = put_hex(a, SEC_SRC, 0, v->aad);
    payload = put_hex(a, SEC_SRC, aad, encrypt ? v->plain : v->cipher);
    put_hex(a, SEC_KEY, 0, v->key);
    put_hex(a, SEC_IV, 0, v->iv);
    put_hex(a, SEC_B0, 0, v->b0);
    put_hex(a, SEC_HMAC_KEY, 0, v->hmac_key);
    if (!encrypt) {
        put_hex(a, SEC_MAC, 0, v->tag);
    }
    if (sgl) {
        src = make_sgl(a, SEC_SRC, buffer(SEC_SRC), aad + payload);
        dst = make_sgl(a, SEC_DST, buffer(SEC_DST), aad + payload);
    }

    memset(bd, 0, SQE_SIZE);
    bd[0] = 3 | sgl << 9 | sgl << 11 | sgl << 14;
    bd[1] = (encrypt ? 1 : 2) | v->key_code << 13 | v->mode << 16 |
            v->alg << 20 | (uint32_t)(tag && !encrypt) << 30;
    bd[2] = 0xcafe0000;
    bd[14] = 2 << 25;
    if (v->hmac) {
        bd[14] |= (encrypt ? 1 : 2) | tag / 4 << 4 | v->hmac << 15 |
                  (uint32_t)strlen(v->hmac_key) / 8 << 9;
    } else {
        bd[1] |= tag << 4;
    }
    bd[16] = aad << 16;
    bd[17] = v->hmac ? aad + payload : aad;
    bd[18] = payload;
    stq_le_p(&bd[4], src);
    stq_le_p(&bd[6], buffer(SEC_HMAC_KEY));
    stq_le_p(&bd[8], buffer(SEC_B0));
    stq_le_p(&bd[12], buffer(SEC_KEY));
    stq_le_p(&bd[19], dst);
    stq_le_p(&bd[21], tag ? buffer(SEC_MAC) : 0);
    stq_le_p(&bd[23], buffer(SEC_IV));
}

/* Run it; the result is the dword that SEC writes */
static uint32_t sec_run(Acc *a, const uint32_t *bd)
{
    int64_t jobs = fn_stat(a, 1, "jobs");
    unsigned index = jobs % DEPTH;

    write_dwords(a, SQ_RING(0) + index * SQE_SIZE, bd, SQE_SIZE / 4);
    doorbell(a, page(1), 0, DB_SQ, (index + 1) % DEPTH, 0);
    wait_jobs(a, 1, jobs + 1);
    check_cqe(a, 0, index, jobs / DEPTH);
    for (unsigned i = 0; i < SQE_SIZE / 4; i++) {
        if (i != 28) {
            g_assert_cmphex(sqe_word(a, 0, index, i), ==, bd[i]);
        }
    }
    return sqe_word(a, 0, index, 28);
}

static void test_sec_vectors(const void *hw)
{
    Acc *a = start_engine("hisi-sec", hw);

    g_assert_cmphex(qtest_readl(a->qts, cfg(PF_DEVFN, PCI_VENDOR_ID)), ==,
                    0xa25519e5);
    g_assert_cmphex(rd(a, PF_BAR + 0x3144), ==, 0x018670cf);
    g_assert_cmphex(rd(a, PF_BAR + 0x301104), ==, 1);
    enable_vfs(a);
    setup_queues(a, 1);

    for (unsigned i = 0; i < ARRAY_SIZE(sec_vectors) * 4; i++) {
        const SecVector *v = &sec_vectors[i / 4];
        bool encrypt = i & 1, sgl = i & 2;
        unsigned out = sgl ? SEC_DST : SEC_SRC;
        size_t aad = v->aad ? strlen(v->aad) / 2 : 0;
        uint32_t bd[SQE_SIZE / 4];

        sec_bd(a, v, encrypt, sgl, bd);
        g_assert_cmphex(sec_run(a, bd), ==, v->tag ? SEC_AEAD_OK : SEC_OK);
        check_hex(a, out, aad, encrypt ? v->cipher : v->plain);
        check_hex(a, SEC_MAC, 0, v->tag);

        if (v->tag && !encrypt) {
            /* forged: the tag, then what it belongs to; nothing is given out */
            sec_bd(a, v, encrypt, sgl, bd);
            qtest_writeb(a->qts, buffer(SEC_MAC) + strlen(v->tag) / 2 - 1,
                         POISON);
            g_assert_cmphex(sec_run(a, bd), ==, SEC_AEAD_BAD);
            check_hex(a, out, aad, sgl ? NULL : v->cipher);
            if (v->aad) {
                sec_bd(a, v, encrypt, sgl, bd);
                qtest_writeb(a->qts, buffer(SEC_SRC), POISON);
                g_assert_cmphex(sec_run(a, bd), ==, SEC_AEAD_BAD);
            }
        }
    }
    g_assert_cmpint(fn_stat(a, 1, "job-errors"), ==, 0);
    g_assert_cmpint(violations(a, NULL), ==, 0);
    stop(a);
}

/* What makes no sense is refused, and the payload stays as it was */
static void test_sec_malformed(const void *hw)
{
    enum { CBC, XTS, GCM, HMAC, SHORT_SGL = SGLS + 2 * 0x100 };
    static const unsigned vector[] = { 1, 3, 5, 12 };
    static const struct {
        unsigned base, word;
        uint32_t clear, set;
    } bad[] = {
        { CBC, 0, 0xf, 2 },             /* BD of another type */
        { CBC, 0, 0, 1 << 4 },          /* not valid */
        { CBC, 0, 0, 1 << 5 },          /* scene */
        { CBC, 0, 7 << 11, 2 << 11 },   /* kind of address */
        { CBC, 1, 3, 0 },               /* neither encrypt nor decrypt */
        { CBC, 1, 0, 3 << 13 },         /* key length */
        { CBC, 1, 0, 15 << 16 },        /* mode */
        { CBC, 1, 0, 15 << 20 },        /* cipher */
        { CBC, 18, 0xffffff, 63 },      /* not whole blocks */
        { CBC, 18, 0xffffff, 0 },
        { CBC, 18, 0, 0xfffff0 },       /* more than there is */
        { CBC, 12, ~0u, 0 },            /* no key */
        { CBC, 23, ~0u, 0 },            /* no IV */
        { CBC, 4, ~0u, 0 },             /* no source */
        { CBC, 19, ~0u, 0 },            /* no destination */
        { CBC, 19, ~0u, SHORT_SGL },    /* one without room */
        { CBC, 20, 0, 1 << 20 },        /* no memory there */
        { CBC, 5, 0, 1 << 20 },
        { CBC, 13, 0, 1 << 20 },
        { XTS, 1, 0, 1 << 13 },         /* has no such keys */
        { XTS, 18, 0xffffff, 15 },      /* nothing to steal from */
        { GCM, 1, 63 << 4, 0 },         /* no tag */
        { GCM, 1, 63 << 4, 17 << 4 },
        { GCM, 1, 0, 1 << 30 },         /* encryption after the tag */
        { GCM, 1, 15 << 20, 1 << 20 | 1 << 13 }, /* 3DES has none */
        { GCM, 14, 0, 1 },              /* with an HMAC */
        { GCM, 17, 0, 0xffffff },       /* more AAD than there is */
        { GCM, 21, ~0u, 0 },            /* no place for the tag */
        { HMAC, 14, 63 << 15, 0 },      /* no such hash */
        { HMAC, 14, 63 << 9, 17 << 9 }, /* key longer than a block */
        { HMAC, 14, 31 << 4, 9 << 4 },  /* tag longer than the hash */
        { HMAC, 14, 3, 2 },             /* verifies what it encrypts */
    };
    Acc *a = start_engine("hisi-sec", hw);

    enable_vfs(a);
    setup_queues(a, 1);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        const SecVector *v = &sec_vectors[vector[bad[i].base]];
        uint32_t bd[SQE_SIZE / 4], result;

        sec_bd(a, v, true, true, bd);
        make_sgl(a, 2, buffer(SEC_DST), 48);
        bd[bad[i].word] &= ~bad[i].clear;
        bd[bad[i].word] |= bad[i].set;
        result = sec_run(a, bd);
        g_assert_cmphex(result & 1, ==, 1);
        g_assert_cmphex(result >> 16 & 0xff, !=, 0);
        check_hex(a, SEC_DST, 0, NULL);
        check_hex(a, SEC_MAC, 0, NULL);
    }
    g_assert_cmpint(fn_stat(a, 1, "job-errors"), ==, ARRAY_SIZE(bad));
    g_assert_cmpint(violations(a, NULL), ==, 0);
    stop(a);
}

/* -------------------------------------------------- HPRE */

enum {
    HPRE_MODEXP = 0x00,
    HPRE_MODEXP_CRT = 0x01,
    HPRE_DH_BASE_2 = 0x04,
    HPRE_DH = 0x05,
    HPRE_EC_MULTIPLY = 0x0d,
    HPRE_CURVE25519 = 0x10
};

#define HPRE_SQE_SIZE   64

/* Numbers of buffers */
enum { HPRE_KEY, HPRE_IN, HPRE_OUT, HPRE_BUFFERS };

/* All in hexadecimal digits; size is that of an operand in bytes */
typedef struct HpreVector {
    unsigned op, size;
    const char *key, *in, *out;
} HpreVector;

#define ZEROS_8         "0000000000000000"
#define ZEROS_32        ZEROS_8 ZEROS_8 ZEROS_8 ZEROS_8

/* The modulus is the product of the primes of secp256k1 and Curve25519 */
#define RSA_P \
    "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f"
#define RSA_Q \
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed"
#define RSA_N \
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffff7ffffe04" \
    "8000000000000000000000000000000000000000000000000000001300004883"
#define RSA_PLAIN \
    "00036f6781e74ef5e8e25d940ed904759531985d5d9dc9f81818e811892f902b" \
    "d23f0824128b2f330c5c7fd0a6a3a4506513270e269e0d37f2a74de452e6b438"
#define RSA_CIPHER \
    "463cdced8250027c4ab65f37444cf78c57a7859dc015a9c5beadc4828edebe45" \
    "9119a83a6a8ca74eb1bcf9a58efd37e2d8a5f8be3ce09c7931f0b2c527042aa8"
#define DH_KEY \
    "023445bb1738f7d93d9c172411e20b8f6b0d549b6f03675a1600a35a099950d8" RSA_Q

#define P192 \
    ZEROS_8 "fffffffffffffffffffffffffffffffeffffffffffffffff" \
    ZEROS_8 "fffffffffffffffffffffffffffffffefffffffffffffffc"
#define P256 \
    "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff" \
    "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc"
#define P384 \
    "ffffffffffffffffffffffffffffffffffffffffffffffff" \
    "fffffffffffffffeffffffff0000000000000000ffffffff" \
    "ffffffffffffffffffffffffffffffffffffffffffffffff" \
    "fffffffffffffffeffffffff0000000000000000fffffffc"
#define P256_SCALAR \
    "7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534"
#define P256_B \
    "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"
#define P256_IN \
    "700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287" \
    "db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac"
#define CURVE25519_PARAMS RSA_Q \
    ZEROS_8 ZEROS_8 ZEROS_8 "000000000001db41"

enum {
    V_MODEXP, V_CRT, V_DH_BASE_2, V_DH, V_P192, V_P256, V_P384, V_ORDER_2,
    V_25519
};

/*
 * P-256 is from NIST's CAVS tests of ECDH, Curve25519 from RFC 7748, the others
 * are computed with Python's integers
 */
static const HpreVector hpre_vectors[] = {
    [V_MODEXP] = { HPRE_MODEXP, 64,
      ZEROS_32 ZEROS_8 ZEROS_8 ZEROS_8 "0000000000010001" RSA_N,
      RSA_PLAIN, RSA_CIPHER },
    [V_CRT] = { HPRE_MODEXP_CRT, 64,
      "690696f9690696f9690696f9690696f9690696f9690696f9690696f9690696e9"
      "e8b4174be8b4174be8b4174be8b4174be8b4174be8b4174be8b4174afffffc87"
      RSA_Q RSA_P
      "ae112f5e86f74046f3173bc259c7ce20b01eee19fe8ca6a75218b8453142e5bf",
      RSA_CIPHER, RSA_PLAIN },
    [V_DH_BASE_2] = { HPRE_DH_BASE_2, 32, DH_KEY, "",
      "39520a93396316917c26e739b0070805230aadf94cd3920f9f24f4001be4fb30" },
    [V_DH] = { HPRE_DH, 32, DH_KEY,
      "09e1935052a26475685bfd3da722d13e1233012ba97d5b01199a07dd3dc884a6",
      "1c55e69d128ea4d0a7a025e7137ad818b62437788f96963108a63b8331ce8479" },
    [V_P192] = { HPRE_EC_MULTIPLY, 32, P192
      ZEROS_8 "0a1b2c3d4e5f60718293a4b5c6d7e8f90123456789abcdef"
      ZEROS_8 "64210519e59c80e70fa7e9ab72243049feb8deecc146b9b1",
      ZEROS_8 "188da80eb03090f67cbf20eb43a18800f4ff0afd82ff1012"
      ZEROS_8 "07192b95ffc8da78631011ed6b24cdd573f977a11e794811",
      ZEROS_8 "831d91e9d351799f7f90301c9a76a46a96e92155a33dada4"
      ZEROS_8 "4240812d42c1e500f18338a975e8f66e2e602caa418ea496" },
    [V_P256] = { HPRE_EC_MULTIPLY, 32, P256 P256_SCALAR P256_B, P256_IN,
      "46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b"
      "c553079d5a6b963c42f013ceb53c9715144bfb52d700d015387e4fae2918a9cd" },
    [V_P384] = { HPRE_EC_MULTIPLY, 48, P384
      "0066225726b31d4670be514bd10200efdc26ca2cb4c8f08e"
      "b4626498dd0f2f1dea8e656fad1dc19adca5e20890f2a521"
      "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe814112"
      "0314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
      "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b98"
      "59f741e082542a385502f25dbf55296c3a545e3872760ab7"
      "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147c"
      "e9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
      "27864d414a8991d5a16ff4f69c8b44f848cc04aea5f56c04"
      "66681f74f722129a5f1ccb7bafdf5f5a1ba6badbf2fc0ac5"
      "4d3aadc3cc402b8930f2524dfd6b844a54ad40de549e226d"
      "71ab11bc16690e304f18b8e3b015d6aa3716c1534653e576" },
    /* (5, 0) is its own inverse on y^2 = x^3 + x + 3 modulo 7 */
    [V_ORDER_2] = { HPRE_EC_MULTIPLY, 32,
      ZEROS_8 ZEROS_8 ZEROS_8 "0000000000000007"
      ZEROS_8 ZEROS_8 ZEROS_8 "0000000000000001"
      ZEROS_8 ZEROS_8 ZEROS_8 "0000000000000003"
      ZEROS_8 ZEROS_8 ZEROS_8 "0000000000000003",
      ZEROS_8 ZEROS_8 ZEROS_8 "0000000000000005" ZEROS_32,
      ZEROS_8 ZEROS_8 ZEROS_8 "0000000000000005" ZEROS_32 },
    [V_25519] = { HPRE_CURVE25519, 32, CURVE25519_PARAMS
      "449a44ba44226a50185afcc10a4c1462dd5e46824b15163b9d7c52f06be346a0",
      "4c1cabd0a603a9103b35b326ec2466727c5fb124a4c19435db3030586768dbe6",
      "5285a2775507b454f7711c4903cfec324f088df24dea948e90c6e99d3755dac3" },
};

/* Make an SQE and its buffers */
static void hpre_sqe(Acc *a, const HpreVector *v, uint32_t *sqe)
{
    qtest_memset(a->qts, buffer(0), POISON, HPRE_BUFFERS * BUFFER_SIZE);
    put_hex(a, HPRE_KEY, 0, v->key);
    put_hex(a, HPRE_IN, 0, v->in);
    memset(sqe, 0, HPRE_SQE_SIZE);
    sqe[0] = v->op | 1 << 30;
    sqe[1] = v->size / 8 - 1;
    stq_le_p(&sqe[2], buffer(HPRE_KEY));
    /* an input that there is not has any address */
    stq_le_p(&sqe[4], v->in[0] ? buffer(HPRE_IN) : UINT64_MAX);
    stq_le_p(&sqe[6], buffer(HPRE_OUT));
    stq_le_p(&sqe[8], 0x0123456789abcdef);
}

/* Run it: returns dword 0, and nothing else of the SQE may have changed */
static uint32_t hpre_run(Acc *a, const uint32_t *sqe)
{
    int64_t jobs = fn_stat(a, 1, "jobs");
    unsigned index = jobs % DEPTH;
    uint64_t addr = SQ_RING(0) + index * HPRE_SQE_SIZE;

    write_dwords(a, addr, sqe, HPRE_SQE_SIZE / 4);
    doorbell(a, page(1), 0, DB_SQ, (index + 1) % DEPTH, 0);
    wait_jobs(a, 1, jobs + 1);
    check_cqe(a, 0, index, jobs / DEPTH);
    for (unsigned i = 1; i < HPRE_SQE_SIZE / 4; i++) {
        g_assert_cmphex(rd(a, addr + i * 4), ==, sqe[i]);
    }
    return rd(a, addr);
}

static void test_hpre_vectors(const void *hw)
{
    Acc *a = start_engine("hisi-hpre", hw);
    uint32_t sqe[HPRE_SQE_SIZE / 4];

    g_assert_cmphex(qtest_readl(a->qts, cfg(PF_DEVFN, PCI_VENDOR_ID)), ==,
                    0xa25819e5);
    g_assert_cmphex(rd(a, PF_BAR + 0x3144), ==, 0x27);
    g_assert_cmphex(rd(a, PF_BAR + 0x301a00), ==, 1);
    g_assert_cmphex(rd(a, PF_BAR + 0x302080), ==, 0x3ff);
    enable_vfs(a);
    setup_queues(a, 1);

    for (unsigned i = 0; i < ARRAY_SIZE(hpre_vectors); i++) {
        const HpreVector *v = &hpre_vectors[i];

        hpre_sqe(a, v, sqe);
        g_assert_cmphex(hpre_run(a, sqe), ==, v->op | 3u << 30);
        check_hex(a, HPRE_OUT, 0, v->out);
    }
    g_assert_cmpint(fn_stat(a, 1, "job-errors"), ==, 0);
    g_assert_cmpint(violations(a, NULL), ==, 0);

    /* an entry that carries a result */
    sqe[0] |= 3u << 30;
    hpre_run(a, sqe);
    g_assert_cmpint(violations(a, "sqe-twice"), ==, 1);
    stop(a);
}

/* What makes no sense is refused, and nothing is given out */
static void test_hpre_malformed(const void *hw)
{
    static const struct {
        unsigned base, word;
        uint32_t clear, set;
        /* of a buffer of these, one byte from the end of the operand */
        unsigned buffer, operand;
        uint8_t flip;
    } bad[] = {
        { V_MODEXP, 0, 0x1f, 0x02 },            /* operation */
        { V_MODEXP, 0, 0x1f, 0x1f },
        { V_MODEXP, 1, 0xff, 64 },              /* more than 4096 bits */
        { V_MODEXP, 1, 0xff, 0xff },
        { V_P256, 1, 0xff, 2 },                 /* no such fields */
        { V_P256, 1, 0xff, 6 },
        { V_25519, 1, 0xff, 4 },
        { V_MODEXP, 3, 0, 1 << 20 },            /* no memory there */
        { V_MODEXP, 5, 0, 1 << 20 },
        { V_MODEXP, 7, 0, 1 << 20 },
        { V_P256, .operand = 0, .flip = 0x01 }, /* p is even */
        { V_P256, .operand = 0, .flip = 0x10 }, /* not on this curve */
        { V_P256, .operand = 3, .flip = 0x01 },
        { V_P256, .buffer = HPRE_IN, .flip = 0x01 },
        { V_25519, .operand = 0, .flip = 0x02 },
        { V_25519, .operand = 1, .flip = 0x01 },
    };
    /* numbers that make no sense as they are */
    static const HpreVector worse[] = {
        /* modulo 0 */
        { HPRE_MODEXP, 32, RSA_P ZEROS_32, RSA_Q },
        { HPRE_DH_BASE_2, 32, RSA_P ZEROS_32, "" },
        { HPRE_MODEXP_CRT, 64, RSA_P RSA_P ZEROS_32 RSA_P RSA_P, RSA_PLAIN },
        { HPRE_MODEXP_CRT, 64, RSA_P RSA_P RSA_P ZEROS_32 RSA_P, RSA_PLAIN },
        { HPRE_EC_MULTIPLY, 32, ZEROS_32 ZEROS_32 ZEROS_32 ZEROS_32,
          ZEROS_32 ZEROS_32 },
        /* infinity */
        { HPRE_EC_MULTIPLY, 32, P256 ZEROS_32 P256_B, P256_IN },
        { HPRE_CURVE25519, 32, CURVE25519_PARAMS P256_SCALAR, ZEROS_32 },
        /* x is not below p */
        { HPRE_EC_MULTIPLY, 32, RSA_Q ZEROS_32 P256_SCALAR ZEROS_32,
          RSA_Q ZEROS_32 },
        /*
         * y^2 = x^3 + x + 8 modulo 15: to double (1, 5) one has to divide by
         * 10, which has no inverse
         */
        { HPRE_EC_MULTIPLY, 32,
          ZEROS_8 ZEROS_8 ZEROS_8 "000000000000000f"
          ZEROS_8 ZEROS_8 ZEROS_8 "0000000000000001"
          ZEROS_8 ZEROS_8 ZEROS_8 "0000000000000002"
          ZEROS_8 ZEROS_8 ZEROS_8 "0000000000000008",
          ZEROS_8 ZEROS_8 ZEROS_8 "0000000000000001"
          ZEROS_8 ZEROS_8 ZEROS_8 "0000000000000005" },
    };
    Acc *a = start_engine("hisi-hpre", hw);
    unsigned n = ARRAY_SIZE(bad) + ARRAY_SIZE(worse);

    enable_vfs(a);
    setup_queues(a, 1);
    for (unsigned i = 0; i < n; i++) {
        const HpreVector *v = i < ARRAY_SIZE(bad) ? &hpre_vectors[bad[i].base]
                                                  : &worse[i - ARRAY_SIZE(bad)];
        uint32_t sqe[HPRE_SQE_SIZE / 4], result;

        hpre_sqe(a, v, sqe);
        if (i < ARRAY_SIZE(bad)) {
            uint64_t addr = buffer(bad[i].buffer) +
                            (bad[i].operand + 1) * v->size - 1;

            qtest_writeb(a->qts, addr,
                         qtest_readb(a->qts, addr) ^ bad[i].flip);
            sqe[bad[i].word] &= ~bad[i].clear;
            sqe[bad[i].word] |= bad[i].set;
        }
        result = hpre_run(a, sqe);
        g_assert_cmphex(result >> 30, ==, 3);
        g_assert_cmphex(result & 0xffe0, !=, 0);
        g_assert_cmphex(result & 0x1f, ==, sqe[0] & 0x1f);
        check_hex(a, HPRE_OUT, 0, "");
    }
    g_assert_cmpint(fn_stat(a, 1, "job-errors"), ==, n);
    g_assert_cmpint(violations(a, NULL), ==, 0);
    stop(a);
}

int main(int argc, char **argv)
{
    static const char *const hw[] = { "v3", "v4" };
    static const struct {
        const char *name;
        void (*run)(const void *hw);
    } tests[] = {
        { "registers", test_registers },
        { "sriov", test_sriov },
        { "job", test_job },
        { "migrate", test_migrate },
        { "cancel", test_cancel },
        { "interrupts", test_interrupts },
        { "reentry", test_reentry },
        { "messages", test_messages },
        { "pace", test_pace },
        { "pause-sync", test_pause_sync },
        { "reload", test_reload },
        { "violations", test_violations },
        { "faults", test_faults },
        { "quirks", test_quirks },
        { "sec/vectors", test_sec_vectors },
        { "sec/malformed", test_sec_malformed },
        { "hpre/vectors", test_hpre_vectors },
        { "hpre/malformed", test_hpre_malformed },
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < ARRAY_SIZE(hw); i++) {
        for (unsigned j = 0; j < ARRAY_SIZE(tests); j++) {
            g_autofree char *path = g_strdup_printf("/hisi-acc/%s/%s", hw[i],
                                                    tests[j].name);

            qtest_add_data_func(path, hw[i], tests[j].run);
        }
    }
    return g_test_run();
}
