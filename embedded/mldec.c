/* SPDX-License-Identifier: MIT */
/* The decoder core: header, records, operations; see mldec.h. */
#include <string.h>

#include "mldec.h"
#include "mlrc.h"
#if ML_DEC_CASTS
#include "mlcast.h"
#endif

/* Between them a step needs ML_DEC_LOOK bytes, or all that are left. */
enum { S_HEADER, S_START, S_RECORD, S_INIT, S_OP, S_LEN, S_ADDR, S_RUN,
	S_NOTE, S_CRC, S_END, S_ERROR, S_GATHER, S_FETCH, S_PUT, S_SCALE };

enum { CODER_NONE = 0, CODER_RANGE = 1, CODER_NANO = 2, CODER_FAST = 3,
	CODER_NOTE = 15 };
#define F_RESET 0x10u /* of a record's first byte */

#if ML_DEC_CLASS >= 3
#define TARGET_SIZE(d) ((d)->hdr.target_image)
#define BASE_SIZE(d) ((d)->hdr.base_image)
#elif ML_DEC_CLASS >= 2
#define TARGET_SIZE(d) ((d)->hdr.target_size)
#define BASE_SIZE(d) ((d)->hdr.base_size)
#else
#define TARGET_SIZE(d) ((d)->target_size)
#define BASE_SIZE(d) ((d)->base_size)
#endif
#if ML_DEC_CLASS >= 2
#define WINDOW(d) ((d)->hdr.window)
#define PAGE(d) ((d)->hdr.page)
#else
#define WINDOW(d) ((d)->window)
#define PAGE(d) ((d)->page)
#endif

#define GO_ON 100 /* work() wants to be called again at once */
#define CRC_GOOD 0x2144df1cu /* of data and their own CRC-32 */

#ifdef ML_DEC_CRC32 /* the builder has a faster one */
uint32_t ML_DEC_CRC32(uint32_t crc, const void *p, size_t n);

uint32_t ml_dec_crc32(uint32_t crc, const uint8_t *p, size_t n)
{
	return ML_DEC_CRC32(crc, p, n);
}
#else
uint32_t ml_dec_crc32(uint32_t crc, const uint8_t *p, size_t n)
{
	static const uint32_t t[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190,
		0x6b6b51f4, 0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344,
		0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278,
		0xbdbdf21c
	};

	crc = ~crc;
	while (n--) {
		crc ^= *p++;
		crc = crc >> 4 ^ t[crc & 15];
		crc = crc >> 4 ^ t[crc & 15];
	}
	return ~crc;
}
#endif

size_t ml_dec_arena(int cls)
{
	size_t n;

	if (cls < 1 || cls > ML_DEC_CLASS)
		return 0;
	n = ML_NANO_NPROB * 2;
#if ML_DEC_CLASS >= 2
	if (cls != ML_NANO)
		n = ml_layout_bytes(ml_layout_of(cls));
#endif
	return n < ML_DEC_HDR ? ML_DEC_HDR : n;
}

/* LEB128, at most 63 (31) bits, in its shortest form. */
static int varint(const uint8_t **p, const uint8_t *end, ml_off *v)
{
	unsigned shift = 0;
	ml_off b, x = 0;

	do {
		if (*p >= end || shift >= sizeof x * 8 - 1)
			return 0;
		b = *(*p)++;
		x |= (b & 127) << shift;
		if ((ml_soff)x < 0 || (x >> shift ^ b) & 127)
			return 0;
		shift += 7;
	} while (b & 128);
	*v = x;
	return b || shift == 7;
}

/* Element types are told, so that none is found unknown in the middle. */
#if ML_DEC_CLASS >= 2 /* byte i of the field */
#define TYPES_KNOWN(i) ((i) < 8 ? (0xe003ffffffffffu >> 8 * (i)) : 0)
#elif ML_DEC_CASTS /* not to blocks */
#define TYPES_KNOWN(i) ((i) < 2 ? ML_DEC_TYPES >> 8 * (i) : (i) == 6 ? 0xa0 : 0)
#else
#define TYPES_KNOWN(i) ((i) < 2 ? ML_DEC_TYPES >> 8 * (i) : 0)
#endif

static int types_known(struct ml_hdr *h, const uint8_t *p, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
#if ML_DEC_CLASS >= 3
		if (i < 8)
			h->types |= (uint64_t)p[i] << 8 * i;
#else
		if (p[i] & ~TYPES_KNOWN(i))
			return 0;
#endif
	}
	(void)h;
	return 1;
}

/* An extension field; the critical ones may not be passed over. */
static int extension(struct ml_hdr *h, const uint8_t *e)
{
	if (h->sig) /* that was to be the last */
		return ML_DEC_EFORMAT;
	if (e[0] == ML_EXT_BODY) {
		if (h->body_sha || e[1] != 32)
			return ML_DEC_EFORMAT;
		h->body_sha = e + 2;
	}
	if (e[0] == ML_EXT_TYPES && !types_known(h, e + 2, e[1]))
		return ML_DEC_EVERSION;
	if (e[0] == ML_EXT_SIG && e[1] == ML_SIG_FIELD &&
		e[2] == ML_SIG_ED25519) {
		if (h->flags & ML_HF_XXH3) /* what would it vouch for? */
			return ML_DEC_EFORMAT;
		h->sig = e + 2 + ML_SIG_FIELD - ML_SIG_LEN;
		return h->body_sha ? 0 : ML_DEC_EFORMAT;
	}
	if (e[0] == ML_EXT_PAGE) {
		if (h->page || e[1] != 2 || e[2] < ML_PAGE_MIN ||
			e[2] > ML_PAGE_MAX)
			return ML_DEC_EFORMAT;
		h->page = e[2];
		h->lead = e[3];
		/* it moves by less than 2 GiB where numbers end there */
		return sizeof(ml_off) > 4 || !(h->lead >> (31 - h->page)) ? 0 :
			ML_DEC_ECLASS;
	}
	if (!(e[0] & 0x80))
		return 0;
#if ML_DEC_CLASS >= 3
	const uint8_t *p = e + 2, *end = p + e[1];

	if (e[0] == ML_EXT_IMAGE && h->cls == ML_FULL) {
		if (h->wrapped++ || !varint(&p, end, &h->target_image) ||
			!varint(&p, end, &h->base_image) || p < end)
			return ML_DEC_EFORMAT;
		return 0;
	}
#endif
	return ML_DEC_EVERSION;
}

static int hdr_fields(struct ml_hdr *h, const uint8_t *p, const uint8_t *end)
{
	const unsigned base = h->flags & ML_HF_BASE;
	const uint8_t *e;
	int r;

	if (!varint(&p, end, &h->release) ||
		!varint(&p, end, &h->target_size) ||
		(base && !varint(&p, end, &h->base_size)) ||
		!varint(&p, end, &h->body_len) ||
		!varint(&p, end, &h->window) ||
		end - p < (base ? 64 : 32))
		return ML_DEC_EFORMAT;
	h->target_sha = p;
	p += 32;
	if (base) {
		h->base_sha = p;
		p += 32;
	}
	h->ext = p;
	h->ext_len = (uint16_t)(end - p);
#if ML_DEC_CLASS >= 3
	h->target_image = h->target_size;
	h->base_image = h->base_size;
#endif
	for (e = p; e < end; e += 2 + e[1]) {
		if (end - e < 2 || end - e - 2 < e[1])
			return ML_DEC_EFORMAT;
		r = extension(h, e);
		if (r)
			return r;
	}
	if (!(h->flags & ML_HF_IN_PLACE) != !h->page)
		return ML_DEC_EFORMAT;
#if ML_DEC_CLASS >= 3
	if (h->page && h->wrapped)
		return ML_DEC_EFORMAT;
#endif
	return 0;
}

int ml_hdr_parse(const uint8_t *p, size_t n, struct ml_hdr *h)
{
	static const uint8_t magic[5] = ML_PATCH_MAGIC;
	const uint8_t *q = p + 7;
	unsigned len;
	size_t i;
	int r;

	memset(h, 0, sizeof *h);
	for (i = 0; i < 4 && i < n; i++)
		if (p[i] != magic[i])
			return ML_DEC_EFORMAT;
	if (n < 8)
		return 0;
	h->version = p[4];
	h->cls = p[5];
	h->flags = p[6];
	if (h->version != 1)
		return ML_DEC_EVERSION;
	/* At most ML_HDR_MAX, so one byte or two, in the shortest form. */
	len = *q++;
	if (len & 128) {
		if (n < 9)
			return 0;
		len = (len & 127) | (unsigned)*q++ << 7;
		if (len < 128)
			return ML_DEC_EFORMAT;
	}
	len += (unsigned)(q - p) + 4;
	if (len > ML_HDR_MAX)
		return ML_DEC_EFORMAT;
	if (n < len)
		return 0;
	h->len = (uint16_t)len;
	if (ml_dec_crc32(0, p, len) != CRC_GOOD)
		return ML_DEC_ECRC;
	if (h->flags & ~ML_HF_KNOWN || h->cls < 1 || h->cls > 3)
		return ML_DEC_EVERSION;
	if ((h->flags & (ML_HF_BASE | ML_HF_IN_PLACE)) == ML_HF_IN_PLACE)
		return ML_DEC_EFORMAT; /* in the place of what? */
#if ML_DEC_CLASS >= 3
	if (h->flags & ML_HF_XXH3 && h->cls != ML_FULL)
		return ML_DEC_EFORMAT;
#endif
	r = hdr_fields(h, q, p + len - 4);
	if (h->sig)
		h->sig_off = (uint16_t)(h->sig - p);
	return r < 0 ? r : h->len;
}

void ml_dec_init(struct ml_dec *d, const struct ml_dec_io *io, void *arena,
	size_t arena_n, void *buf, size_t buf_n)
{
	memset(d, 0, sizeof *d);
	d->io = io;
	d->arena = arena;
	d->arena_n = arena_n;
	d->buf = buf;
	d->cap = (uint16_t)((buf_n > 65528 ? 65528 : buf_n) & ~(size_t)7);
	d->state = S_HEADER;
}

#if ML_DEC_CLASS >= 3
void ml_dec_part(struct ml_dec *d, const struct ml_hdr *h, ml_off tpos,
	ml_off end, ml_off body)
{
	d->hdr = *h;
	d->hdr.target_image = end;
	d->tpos = tpos;
	d->body = body;
	d->state = S_START;
}
#endif

/* Hands buf to the sink. */
static int flush(struct ml_dec *d)
{
	int k;

	while (d->drain < d->fill) {
		k = d->io->write(d->io->ctx, d->buf + d->drain,
			(unsigned)(d->fill - d->drain));
		if (k <= 0)
			return k ? ML_DEC_EIO : ML_DEC_FULL;
		d->drain = (uint16_t)(d->drain + k);
	}
	d->fill = d->drain = 0;
	return GO_ON;
}

/* The same when buf is full: then a piece of work is done. */
ML_SIDE int drained(struct ml_dec *d)
{
	int r = flush(d);

	return r == GO_ON ? ML_DEC_AGAIN : r;
}

ML_SIDE int header(struct ml_dec *d, const uint8_t **p, const uint8_t *end)
{
	int r = 0;

	/* The arena holds no chances yet. */
	while (*p < end && !r) {
		if (d->fill == ML_DEC_HDR)
			return ML_DEC_ECLASS;
		d->arena[d->fill++] = *(*p)++;
		r = ml_hdr_parse(d->arena, d->fill, &d->hdr);
	}
	if (r <= 0)
		return r;
	d->fill = 0;
	if (d->hdr.cls > ML_DEC_CLASS || d->arena_n <
		ml_dec_arena(d->hdr.cls))
		return ML_DEC_ECLASS;
	d->body = d->hdr.body_len;
	d->state = S_START;
	return ML_DEC_HEADER;
}

#if ML_DEC_CLASS >= 3
/* Coder 3 works on whole blocks, which need memory of their own. */
static int fast_begin(struct ml_dec *d, ml_off in)
{
	if (!d->rec_out || in > ML_FAST_MAX || d->rec_out > ML_FAST_MAX)
		return ML_DEC_EFORMAT;
	if (!d->fast)
		return ML_DEC_ECLASS;
	d->fast->n = 0;
	d->state = S_GATHER;
	return GO_ON;
}
#endif

static void reset(struct ml_dec *d)
{
#if ML_DEC_CLASS >= 2
	if (d->hdr.cls != ML_NANO) {
		model_reset(&d->st, d->arena, ml_layout_of(d->hdr.cls));
		return;
	}
#endif
	nano_reset(&d->nano, d->arena);
}

/* The frame of a record, from start on. */
static int record(struct ml_dec *d, const uint8_t *start)
{
	struct ml_rc *rc = &d->rc;
	ml_off in;

	d->coder = (uint8_t)rc_byte(rc);
	if (!varint(&rc->p, rc->lim, &d->rec_out) ||
		!varint(&rc->p, rc->lim, &in))
		return ML_DEC_EFORMAT;
	/* The CRC must fit, too. */
	if (d->body < (ml_off)(rc->p - start) + 4 ||
		in > d->body - (ml_off)(rc->p - start) - 4 ||
		d->rec_out > TARGET_SIZE(d) - d->tpos)
		return ML_DEC_EFORMAT;
	d->left = in + (ml_off)(rc->p - start);
	if (d->coder & ~(F_RESET | 15u))
		return ML_DEC_EVERSION;
	if (d->coder & F_RESET)
		reset(d);
	d->coder &= 15;
	d->state = S_INIT;
	if (d->coder == CODER_NOTE && !d->rec_out)
		d->state = S_NOTE;
#if ML_DEC_CLASS >= 3
	else if (d->coder == CODER_FAST && d->hdr.cls == ML_FULL)
		return fast_begin(d, in);
#endif
#if ML_DEC_CLASS >= 2
	else if (d->coder == CODER_NONE)
		d->state = S_OP;
	else if (d->coder != (d->hdr.cls == ML_NANO ? CODER_NANO : CODER_RANGE))
#else
	else if (d->coder != CODER_NANO)
#endif
		return ML_DEC_EVERSION;
	return d->rec_out || d->state == S_NOTE ? GO_ON : ML_DEC_EFORMAT;
}

/* Whether elements of a type can be made here. */
static int type_known(unsigned type)
{
#if ML_DEC_CLASS >= 3
	return ml_type_crossed(type) ? ml_cross_known(type) : type < ML_NTYPE;
#elif ML_DEC_CLASS >= 2
	return type < ML_NTYPE;
#else
	return type < ML_NTYPE && (unsigned)ML_DEC_TYPES >> type & 1;
#endif
}

/* Checks the operation that was just read and makes it the current one. */
static int begin(struct ml_dec *d, unsigned op, unsigned type, ml_off n)
{
	unsigned unit = op == ML_OP_DIFF || op == ML_OP_ALONE ?
		ml_type_bytes(ml_type_made(type)) : 1;
	unsigned half = sizeof n * 4;
#if ML_DEC_CASTS
	unsigned from = unit;

#if ML_DEC_CLASS >= 3
	if (op >= ML_OP_DIFF && ml_type_crossed(type)) {
		if (op == ML_OP_ALONE || d->hdr.page)
			return ML_DEC_EFORMAT;
		from = ml_type_base(type);
		d->crossed = 0;
	} else
#endif
	if (op == ML_OP_DIFF && type >= ML_TYPE_KEPT)
		from = ML_CAST_FROM_BYTES(type) *
			(ml_type_made(type) < ML_NSIMPLE ? 1 : 32);
	if ((n >> half) * from >> (half - 1))
		return ML_DEC_EFORMAT;
	d->arg = n * from; /* bytes of the base, for address() */
#endif

	/* The product must not overflow; no division for that. */
	if (!n || n > d->rec_out || (n >> half) * unit >> (half - 1) ||
		n * unit > d->rec_out)
		return ML_DEC_EFORMAT;
	d->op = (uint8_t)op;
	d->type = (uint16_t)type;
	d->len = n * unit;
	d->rec_out -= d->len;
#if ML_DEC_CLASS >= 2
	d->field = 0;
	d->fleft = 0;
	d->nfrom = d->ncast = 0;
#endif
	d->ahead = 0;
	return GO_ON;
}

#if ML_DEC_CLASS >= 2
/* Whether the base bytes of an operation are still there when each page of
 * the target takes the place of the base's. A small device sees for itself
 * what it no longer has. */
static int there(const struct ml_dec *d, ml_off at)
{
	const ml_off page = (ml_off)1 << d->hdr.page, in = d->tpos & (page - 1);

	at += (ml_off)d->hdr.lead << d->hdr.page;
	return !d->hdr.page || at >= d->tpos ||
		(at >= d->tpos - in && d->len <= page - in);
}
#endif

#if ML_DEC_CASTS
#define NEED(d) ((d)->arg)
#else
#define NEED(d) ((d)->len)
#endif

static int address(struct ml_dec *d, unsigned op, ml_off at)
{
	if (op == ML_OP_SELF) {
		if (!at || at > d->tpos || at > WINDOW(d))
			return ML_DEC_EFORMAT;
	} else if (at > BASE_SIZE(d) || NEED(d) > BASE_SIZE(d) - at) {
		return ML_DEC_EFORMAT;
#if ML_DEC_CLASS >= 2
	} else if (!there(d, at)) {
		return ML_DEC_EFORMAT;
#endif
	}
	d->arg = at;
	return GO_ON;
}

/* An operation of coder 2, its address apart: each part fits ML_DEC_LOOK. */
static int nano_step(struct ml_dec *d)
{
	struct ml_nano *s = &d->nano;
	struct ml_rc *rc = &d->rc;
	struct ml_desc *desc;
	unsigned op;
	ml_off v;

#if ML_DEC_CASTS
	if (d->state == S_SCALE) {
		d->state = S_RUN;
		nano_scale(rc, s, 0, 0);
		return GO_ON;
	}
#endif
	if (d->state == S_ADDR) {
		d->state = S_RUN;
#if ML_DEC_CASTS
		if (d->op == ML_OP_DIFF && d->type >= ML_TYPE_CODES)
			d->state = S_SCALE;
#endif
		op = d->op == ML_OP_SELF;
		v = nano_arg(rc, s, op, 0);
		return address(d, d->op, op ? v : v + d->tpos);
	}
	op = nano_op(rc, s, 0);
	if (op > ML_OP_DESC)
		return ML_DEC_EVERSION;
	if (op == ML_OP_DESC) {
		desc = &s->desc[rc_raw(rc, 1, 0)];
		nano_desc(rc, desc);
#if ML_DEC_CLASS >= 3
		if (ml_type_made(desc->type) >= ML_TYPE_BLOCK) /* of coder 1 */
			return ML_DEC_EVERSION;
#endif
#if ML_DEC_CASTS
		if (desc->type >= ML_TYPE_KEPT && (desc == &s->desc[1] ||
			ML_CAST_FROM(desc->type) > ML_CAST_BF16))
			return ML_DEC_EVERSION;
		if (desc->type >= ML_TYPE_KEPT && PAGE(d))
			return ML_DEC_EFORMAT;
#endif
		return type_known(ml_type_made(desc->type)) ? GO_ON :
			ML_DEC_EVERSION;
	}
	d->state = op & 3 ? S_ADDR : S_RUN; /* not LIT, not ALONE */
	return begin(d, op, s->desc[op == ML_OP_ALONE].type,
		nano_num(rc, s, op & 1, 0) + 1);
}

/* Elements of coder 2 that are units of their own: of m bytes in buf, as many
 * as the input allows. Returns the bytes made. */
static unsigned nano_elements(struct ml_dec *d, unsigned m, int last)
{
	const unsigned how = ml_type_how[ml_type_made(d->type)];
	const unsigned w = how & ML_HOW_BYTES;
	const unsigned slot = d->op == ML_OP_ALONE;
	struct ml_rc rc = d->rc;
	uint8_t *p = d->buf + d->fill, *const end = p + m;
	unsigned bits = w * 8, i;
	ml_word b, t, lo = 0;

	if (ML_HAS_PAIRS && how & ML_HOW_PAIR)
		bits = 4;
	for (; p < end; p += w) {
		if (rc.lim - rc.p < ML_DEC_LOOK && !last)
			break;
		for (b = 0, i = 0; i < w; i++)
			b = b >> 8 | (ml_word)p[i] << (ML_W - 8);
		i = bits < 8;
		do { /* once, or for the low half and then the high one */
			t = nano_element(&rc, &d->nano, slot, (int)slot,
				(how & ML_HOW_FLOAT) != 0, bits,
				i ? b << 4 : b, 0) >> (ML_W - bits);
			if (ML_HAS_PAIRS && bits < 8)
				lo = t = i ? t : t << 4 | lo;
		} while (ML_HAS_PAIRS && i--);
		for (i = 0; i < w; i++, t >>= 8)
			p[i] = (uint8_t)t;
	}
	d->rc = rc;
	return (unsigned)(p - d->buf) - d->fill;
}

#if ML_DEC_CASTS
/* Works on a DIFF against elements that are cast, each of them a unit. Those of
 * the base are read as far to the right as those made need it; between calls,
 * `ahead` bytes of one that is not complete lie where its cast will. */
ML_SIDE int run_cast(struct ml_dec *d, int last)
{
	const unsigned type = d->type, from = ML_CAST_FROM(type);
	const unsigned w = ml_type_how[ml_type_made(type)] & ML_HOW_BYTES;
	const unsigned v = ML_CAST_FROM_BYTES(type);
	uint8_t *p = d->buf + d->fill, *s = p;
	unsigned m = (unsigned)(d->cap - d->fill) / (w > v ? w : v), i, j;
	uint32_t x;
	int k;

	if (m > d->len / w)
		m = (unsigned)d->len / w;
	if (!m)
		return drained(d);
	if (w > v)
		s += m * (w - v);
	memmove(s, p, d->ahead);
	k = d->io->base(d->io->ctx, d->arg + d->ahead, s + d->ahead,
		m * v - d->ahead);
	if (k < 0)
		return ML_DEC_EIO;
	k += d->ahead;
	m = (unsigned)k / v;
	d->ahead = 0;
	if (!m) {
		memmove(p, s, (unsigned)k);
		d->ahead = (uint16_t)k;
		return ML_DEC_FULL;
	}
	for (i = 0; i < m; i++) {
		for (x = 0, j = v; j--;)
			x = x << 8 | s[j];
		s += v;
		x = ml_cast_from(from, x);
		x = type < ML_TYPE_CODES ?
			ml_cast_to(type >> 2 & 3, x) :
			ml_cast_code(ml_num_of(x), d->nano.scale,
				d->nano.zero, !(type & 4));
		for (j = 0; j < w; j++, x >>= 8)
			*p++ = (uint8_t)x;
	}
	m = nano_elements(d, m * w, last);
	if (!m)
		return ML_DEC_MORE;
	d->fill = (uint16_t)(d->fill + m);
	d->tpos += m;
	d->len -= m;
	d->arg += m / w * v;
	return GO_ON;
}
#endif

/* Bytes of the target before this one, perhaps still in buf. */
ML_SIDE int self(struct ml_dec *d, unsigned m)
{
	ml_off flushed = d->tpos - d->fill, at = d->tpos - d->arg;
	uint8_t *p = d->buf + d->fill;
	unsigned i;

	if (at < flushed) {
		if (m > flushed - at)
			m = (unsigned)(flushed - at);
		return d->io->target(d->io->ctx, at, p, m);
	}
	for (i = 0; i < m; i++)
		p[i] = *(p + i - d->arg);
	return (int)m;
}

#if ML_DEC_CLASS >= 2
#include "mlwide.h"
#endif

/* Works on the current operation. */
static int run(struct ml_dec *d, int last)
{
	struct ml_rc *rc = &d->rc;
	uint8_t *p = d->buf + d->fill;
	unsigned m = (unsigned)(d->cap - d->fill), op = d->op;
	int k;

	if (!d->len) {
		d->state = S_OP;
		return GO_ON;
	}
#if ML_DEC_CLASS >= 2
	if (wide(d))
		return run_wide(d, last);
	if (d->coder == CODER_NONE && op == ML_OP_ALONE)
		op = ML_OP_LIT;
#endif
#if ML_DEC_CASTS
	if (op == ML_OP_DIFF && d->type >= ML_TYPE_KEPT)
		return run_cast(d, last);
#endif
	if (m > d->len)
		m = (unsigned)d->len;
	if (op >= ML_OP_DIFF)
		m &= 0u - (ml_type_how[d->type] & ML_HOW_BYTES);
	if (!m)
		return drained(d);
	switch (op) {
	case ML_OP_COPY:
		k = d->io->base(d->io->ctx, d->arg, p, m);
		break;
	case ML_OP_SELF:
		k = self(d, m);
		break;
	case ML_OP_DIFF:
	case ML_OP_ALONE:
		k = 0;
		if (op == ML_OP_DIFF && d->ahead < m)
			k = d->io->base(d->io->ctx, d->arg + d->ahead,
				p + d->ahead, m - d->ahead);
		if (k < 0)
			return ML_DEC_EIO;
		d->ahead = (uint16_t)(d->ahead + k);
		if (op == ML_OP_DIFF && m > d->ahead)
			m = d->ahead & (0u -
				(ml_type_how[d->type] & ML_HOW_BYTES));
		if (!m)
			return ML_DEC_FULL;
		k = (int)nano_elements(d, m, last);
		if (!k)
			return ML_DEC_MORE;
		d->ahead = (uint16_t)(d->ahead - (op == ML_OP_DIFF ? k : 0));
		break;
	default:
		if (rc->lim - rc->p < (ptrdiff_t)m)
			m = (unsigned)(rc->lim - rc->p);
		if (!m)
			return last ? ML_DEC_EFORMAT : ML_DEC_MORE;
		memcpy(p, rc->p, m);
		rc->p += m;
		k = (int)m;
	}
	if (k <= 0)
		return k ? ML_DEC_EIO : ML_DEC_FULL;
#if ML_DEC_CLASS >= 2
	if (d->coder == CODER_RANGE)
		model_made(&d->st, op, 0, (unsigned)k, d->arg);
#endif
	d->fill = (uint16_t)(d->fill + k);
	d->tpos += (unsigned)k;
	d->len -= (unsigned)k;
	if (op & 1) /* COPY or DIFF */
		d->arg += (unsigned)k;
	return GO_ON;
}

#if ML_DEC_CLASS >= 3
/* A block of coder 3: its payload comes in, its base is read, all is decoded
 * and goes out. */
static int fast(struct ml_dec *d, const uint8_t *start, const uint8_t *end,
	int last)
{
	struct ml_fast *f = d->fast;
	int r;

	d->rc.p = end;
	if (d->state == S_GATHER) {
		memcpy(f->in + f->n, start, (size_t)(end - start));
		f->n += (size_t)(end - start);
		if (!last)
			return end > start ? GO_ON : ML_DEC_MORE;
		r = ml_fast_head(&f->head, f->in, f->n, d->rec_out);
		if (r)
			return r;
		d->arg = d->len = d->rec_out;
		d->rec_out = 0;
		f->done = ML_FAST_BASED(f->head.form) ? 0 : (size_t)d->len;
		d->state = S_FETCH;
		return f->done ? GO_ON : address(d, ML_OP_COPY, f->head.at);
	}
	if (d->state == S_FETCH) {
		for (; f->done < d->len; f->done += (size_t)r) {
			r = d->io->base(d->io->ctx, d->arg + f->done,
				f->out + f->done, (unsigned)(d->len - f->done));
			if (r <= 0)
				return r ? ML_DEC_EIO : ML_DEC_FULL;
		}
		r = ml_fast_decode(f, &f->head, f->in, f->n, f->out, f->out,
			(size_t)d->len);
		if (r)
			return r;
		f->done = 0;
		d->state = S_PUT;
	}
	r = flush(d);
	if (r != GO_ON)
		return r;
	for (; d->len; d->len -= (unsigned)r, d->tpos += (unsigned)r) {
		r = d->io->write(d->io->ctx, f->out + f->done,
			(unsigned)d->len);
		if (r <= 0)
			return r ? ML_DEC_EIO : ML_DEC_FULL;
		f->done += (size_t)r;
	}
	d->state = S_OP; /* and nothing is left */
	return ML_DEC_AGAIN;
}
#endif

/* One step of an operation or before it. */
static int step(struct ml_dec *d, const uint8_t *start, int last)
{
	struct ml_rc *rc = &d->rc;

	switch (d->state) {
	case S_RECORD:
		if (!d->body) {
			d->state = S_END;
			return d->tpos == TARGET_SIZE(d) ? GO_ON :
				ML_DEC_EFORMAT;
		}
		d->crc = 0;
		return record(d, start);
	case S_INIT:
		rc_start(rc);
		d->state = S_OP;
		return GO_ON;
	case S_NOTE:
		rc->p = rc->lim;
		if (!last)
			return ML_DEC_MORE;
		d->state = S_OP;
		return GO_ON;
	case S_RUN:
		return run(d, last);
	case S_CRC:
		if (ml_dec_crc32(d->crc, rc->p, 4) != CRC_GOOD)
			return ML_DEC_ECRC;
		rc->p += 4;
		d->state = S_RECORD;
		return GO_ON;
	default:
		break;
	}
	if (d->state == S_OP && !d->rec_out) {
		if (rc->p < rc->lim || !last)
			return ML_DEC_EFORMAT;
		d->left = 4;
		d->state = S_CRC;
		return GO_ON;
	}
#if ML_DEC_CLASS >= 3
	if (d->coder == CODER_FAST)
		return fast(d, start, rc->lim, last);
#endif
#if ML_DEC_CLASS >= 2
	if (d->coder == CODER_NONE)
		return plain_op(d);
	if (d->coder == CODER_RANGE)
		return range_op(d);
#endif
	return nano_step(d);
}

/* The same on p[0..n), and the accounts of it; moves *p. */
static int work(struct ml_dec *d, const uint8_t **p, const uint8_t *end)
{
	const uint8_t *start = *p;
	ml_off left = d->state == S_RECORD ? d->body : d->left, n;
	int last = (ml_off)(end - start) >= left, r;

	if (last)
		end = start + left;
	else if (end - start < ML_DEC_LOOK && d->state != S_RUN)
		return ML_DEC_MORE;
	d->rc.p = start;
	d->rc.lim = end;
	r = step(d, start, last);
	*p = d->rc.p;
	n = (ml_off)(*p - start);
#if ML_DEC_CLASS >= 3
	if (d->crc32)
		d->crc = d->crc32(d->crc, start, (size_t)n);
	else
#endif
	d->crc = ml_dec_crc32(d->crc, start, (size_t)n);
	d->left -= n;
	d->body -= n;
	return r;
}

int ml_dec_feed(struct ml_dec *d, const uint8_t *in, size_t n, size_t *used)
{
	const uint8_t *p, *start;
	size_t old, add, k;
	int r;

	*used = 0;
	/* What was taken but not yet decodable is in carry; new bytes join it
	 * until a step eats beyond the old ones. */
	do {
		old = d->carry_n;
		add = n - *used;
		if (old && add > sizeof d->carry - old)
			add = sizeof d->carry - old;
		start = in + *used;
		if (old) {
			memcpy(d->carry + old, start, add);
			start = d->carry;
		}
		p = start;
		switch (d->state) {
		case S_HEADER:
			r = header(d, &p, start + old + add);
			break;
		case S_START:
#if ML_DEC_CLASS < 2
			d->target_size = d->hdr.target_size;
			d->base_size = d->hdr.base_size;
			d->window = d->hdr.window;
#if ML_DEC_CASTS
			d->page = d->hdr.page;
#endif
#endif
			reset(d);
			d->state = S_RECORD;
			r = GO_ON;
			break;
		case S_END:
			r = flush(d);
			r = r == GO_ON ? ML_DEC_DONE : r;
			break;
		case S_ERROR:
			return d->err;
		default:
			r = work(d, &p, start + old + add);
		}
		k = (size_t)(p - start);
		if (k >= old) {
			*used += k - old;
			d->carry_n = 0;
		} else {
			memmove(d->carry, d->carry + k, old - k);
			d->carry_n = (uint8_t)(old - k);
		}
		if (r == ML_DEC_MORE) {
			k = n - *used; /* fits, as no step needs more */
			if (k)
				memcpy(d->carry + d->carry_n, in + *used, k);
			d->carry_n = (uint8_t)(d->carry_n + k);
			*used = n;
		}
	} while (r == GO_ON);
	if (r < 0) {
		d->state = S_ERROR;
		d->err = (int8_t)r;
	}
	return r;
}
