// SPDX-License-Identifier: GPL-2.0-only
/*
 * RFC 1951 decoder, slow and small: what the accelerator compressed is checked by something that
 * is not the accelerator.
 */
#include <errno.h>
#include <string.h>

#include "hisi_engine.h"

struct bits {
	const __u8 *in;
	size_t len, pos;	/* pos in bits */
};

struct code {
	__u16 count[16];	/* codes of each length */
	__u16 symbol[288];	/* in the order of their codes */
};

static int get(struct bits *b, unsigned int n)
{
	int value = 0;

	for (unsigned int i = 0; i < n; i++, b->pos++) {
		if (b->pos / 8 >= b->len)
			return -EINVAL;
		value |= (b->in[b->pos / 8] >> (b->pos % 8) & 1) << i;
	}
	return value;
}

static void build(struct code *c, const __u8 *length, unsigned int n)
{
	__u16 at[16] = { 0 };

	memset(c, 0, sizeof(*c));
	for (unsigned int i = 0; i < n; i++)
		c->count[length[i]]++;
	c->count[0] = 0;
	for (unsigned int l = 1; l < 15; l++)
		at[l + 1] = at[l] + c->count[l];
	for (unsigned int i = 0; i < n; i++)
		if (length[i])
			c->symbol[at[length[i]]++] = i;
}

/* Codes of one length are consecutive numbers, the first is twice the end of the shorter ones. */
static int symbol(struct bits *b, const struct code *c)
{
	int code = 0, first = 0, index = 0;

	for (unsigned int l = 1; l < 16; l++) {
		int bit = get(b, 1);

		if (bit < 0)
			return bit;
		code |= bit;
		if (code - first < c->count[l])
			return c->symbol[index + code - first];
		index += c->count[l];
		first = (first + c->count[l]) << 1;
		code <<= 1;
	}
	return -EINVAL;
}

static int codes_of_block(struct bits *b, int type, struct code *lit, struct code *dist)
{
	static const __u8 order[19] = {
		16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15
	};
	__u8 length[320] = { 0 };
	int nlit, ndist, ncode;

	if (type == 1) {
		memset(length, 8, 144);
		memset(length + 144, 9, 112);
		memset(length + 256, 7, 24);
		memset(length + 280, 8, 8);
		build(lit, length, 288);
		memset(length, 5, 30);
		build(dist, length, 30);
		return 0;
	}
	nlit = get(b, 5) + 257;
	ndist = get(b, 5) + 1;
	ncode = get(b, 4) + 4;
	if (nlit < 257 || nlit > 286 || ndist < 1 || ndist > 30 || ncode < 4)
		return -EINVAL;
	for (int i = 0; i < ncode; i++) {
		int l = get(b, 3);

		if (l < 0)
			return l;
		length[order[i]] = l;
	}
	build(lit, length, 19);
	memset(length, 0, sizeof(length));
	for (int i = 0; i < nlit + ndist;) {
		int sym = symbol(b, lit), times = 1, value = sym;

		if (sym < 0)
			return sym;
		if (sym == 16) {
			if (!i)
				return -EINVAL;
			value = length[i - 1];
			times = get(b, 2) + 3;
		} else if (sym > 16) {
			value = 0;
			times = sym == 17 ? get(b, 3) + 3 : get(b, 7) + 11;
		}
		if (times < 1 || i + times > nlit + ndist)
			return -EINVAL;
		memset(length + i, value, times);
		i += times;
	}
	build(lit, length, nlit);
	build(dist, length + nlit, ndist);
	return 0;
}

static int copy_block(struct bits *b, const struct code *lit, const struct code *dist,
		      __u8 *out, size_t at, size_t room)
{
	for (;;) {
		int sym = symbol(b, lit), len, far, extra;

		if (sym < 0)
			return sym;
		if (sym == 256)
			return at;
		if (sym < 256) {
			if (at == room)
				return -EINVAL;
			out[at++] = sym;
			continue;
		}
		/* Four lengths, two distances share a number of extra bits. */
		sym -= 257;
		extra = sym < 8 ? 0 : sym / 4 - 1;
		len = sym == 28 ? 258 : sym < 8 ? sym + 3 :
		      ((4 + sym % 4) << extra) + 3 + get(b, extra);
		sym = symbol(b, dist);
		extra = sym < 4 ? 0 : sym / 2 - 1;
		if (sym < 0 || sym > 29)
			return -EINVAL;
		far = sym < 4 ? sym + 1 : ((2 + sym % 2) << extra) + 1 + get(b, extra);
		if (len < 3 || far < 1 || far > at || at + len > room)
			return -EINVAL;
		for (; len; len--, at++)
			out[at] = out[at - far];
	}
}

int hzip_inflate(const __u8 *in, size_t in_len, __u8 *out, size_t out_len)
{
	struct bits b = { .in = in, .len = in_len };
	struct code lit, dist;
	int at = 0, last, type;

	do {
		last = get(&b, 1);
		type = get(&b, 2);
		if (type < 0 || type == 3)
			return -EINVAL;
		if (type) {
			if (codes_of_block(&b, type, &lit, &dist))
				return -EINVAL;
			at = copy_block(&b, &lit, &dist, out, at, out_len);
			if (at < 0)
				return at;
		} else {
			int len, inv;

			b.pos = (b.pos + 7) & ~7ULL;
			len = get(&b, 16);
			inv = get(&b, 16);
			if (len < 0 || inv < 0 || (len ^ inv) != 0xffff ||
			    b.pos / 8 + len > in_len || at + (size_t)len > out_len)
				return -EINVAL;
			memcpy(out + at, in + b.pos / 8, len);
			b.pos += 8 * len;
			at += len;
		}
	} while (!last);
	return at;
}
