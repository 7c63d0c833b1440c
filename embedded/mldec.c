/* SPDX-License-Identifier: MIT */
/* The decoder core: header, records, operations; see mldec.h. */
#include <string.h>

#include "mldec.h"
#include "mlrc.h"

enum { S_HEADER, S_START, S_RECORD, S_INIT, S_OP, S_LEN, S_ADDR, S_RUN,
	S_CRC, S_END, S_ERROR, S_GATHER, S_FETCH, S_PUT };

enum { CODER_NONE = 0, CODER_RANGE = 1, CODER_FAST = 3 };
#define F_RESET 0x10u /* of a record's first byte */
#define F_NOTE 0x0fu /* coder number of a note */

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
#define CLASS(d) ((d)->hdr.cls)
#define WINDOW(d) ((d)->hdr.window)
#else
#define CLASS(d) ML_NANO
#define WINDOW(d) ((d)->window)
#endif

#define GO_ON 100 /* work() wants to be called again at once */
#define DEEP 101 /* what follows takes much stack: deep() is to do it */

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
	n = ml_layout_bytes(&ml_layouts[cls - 1]);
	return n < ML_DEC_HDR ? ML_DEC_HDR : n;
}

/* LEB128, at most 63 (31) bits. 1: done; 0: more bytes needed; -1: bad. */
static int varint(const uint8_t **p, const uint8_t *end, ml_off *v)
{
	unsigned shift = 0;

	for (*v = 0; *p < end; shift += 7) {
		uint8_t b = *(*p)++;

		*v |= (ml_off)(b & 127) << shift;
		if (shift + 7 >= sizeof *v * 8 &&
			(b & 127) >> (sizeof *v * 8 - 1 - shift))
			return -1;
		if (b < 128)
			return b || !shift ? 1 : -1; /* shortest form only */
		if (shift + 7 >= sizeof *v * 8)
			return -1;
	}
	return 0;
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
		if (h->wrapped++ || varint(&p, end, &h->target_image) != 1 ||
			varint(&p, end, &h->base_image) != 1 || p < end)
			return ML_DEC_EFORMAT;
		return 0;
	}
#endif
	return ML_DEC_EVERSION;
}

static int hdr_fields(struct ml_hdr *h, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *e;
	int r;

	if (varint(&p, end, &h->release) != 1 ||
		varint(&p, end, &h->target_size) != 1)
		return ML_DEC_EFORMAT;
	if (h->flags & ML_HF_BASE && varint(&p, end, &h->base_size) != 1)
		return ML_DEC_EFORMAT;
	if (varint(&p, end, &h->body_len) != 1 ||
		varint(&p, end, &h->window) != 1)
		return ML_DEC_EFORMAT;
	if (end - p < (h->flags & ML_HF_BASE ? 64 : 32))
		return ML_DEC_EFORMAT;
	h->target_sha = p;
	p += 32;
	if (h->flags & ML_HF_BASE) {
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
	const uint8_t *q, *end = p + n;
	ml_off len;
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
	q = p + 7;
	r = varint(&q, end, &len);
	if (r <= 0)
		return r < 0 ? ML_DEC_EFORMAT : 0;
	if (len > ML_HDR_MAX - 4 - (size_t)(q - p))
		return ML_DEC_EFORMAT;
	if ((size_t)(end - q) < len + 4)
		return 0;
	end = q + len;
	h->len = (uint16_t)(end + 4 - p);
	if (ml_dec_crc32(0, p, h->len - 4u) != ((uint32_t)end[0] |
		(uint32_t)end[1] << 8 | (uint32_t)end[2] << 16 |
		(uint32_t)end[3] << 24))
		return ML_DEC_ECRC;
	if (h->flags & ~ML_HF_KNOWN || h->cls < 1 || h->cls > 3)
		return ML_DEC_EVERSION;
	if ((h->flags & (ML_HF_BASE | ML_HF_IN_PLACE)) == ML_HF_IN_PLACE)
		return ML_DEC_EFORMAT; /* in the place of what? */
#if ML_DEC_CLASS >= 3
	if (h->flags & ML_HF_XXH3 && h->cls != ML_FULL)
		return ML_DEC_EFORMAT;
#endif
	r = hdr_fields(h, q, end);
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
static int fast_begin(struct ml_dec *d)
{
	if (!d->rec_out || d->rec_in > ML_FAST_MAX || d->rec_out > ML_FAST_MAX)
		return ML_DEC_EFORMAT;
	if (!d->fast)
		return ML_DEC_ECLASS;
	d->fast->n = 0;
	d->state = S_GATHER;
	return GO_ON;
}
#endif

ML_SIDE int record(struct ml_dec *d, const uint8_t **p, const uint8_t *end,
	int last)
{
	const uint8_t *q = *p;
	ml_off rest;
	int a, b = 1;

	if (q == end)
		return last ? ML_DEC_EFORMAT : ML_DEC_MORE;
	d->coder = *q++;
	a = varint(&q, end, &d->rec_out);
	if (a == 1)
		b = varint(&q, end, &d->rec_in);
	if (a < 0 || b < 0)
		return ML_DEC_EFORMAT;
	if (!a || !b)
		return last ? ML_DEC_EFORMAT : ML_DEC_MORE;
	rest = d->body - (ml_off)(q - *p);
	*p = q;
	if (rest < 4 || d->rec_in > rest - 4) /* the CRC must fit, too */
		return ML_DEC_EFORMAT;
	if (d->coder & ~(F_RESET | 0x0fu))
		return ML_DEC_EVERSION;
	if (d->coder & F_RESET)
		model_reset(&d->st, d->arena, &ml_layouts[CLASS(d) - 1]);
	d->coder &= 0x0f;
	if (d->rec_out > TARGET_SIZE(d) - d->tpos)
		return ML_DEC_EFORMAT;
	if (d->coder == F_NOTE && !d->rec_out)
		d->state = S_RUN, d->len = 0;
#if ML_DEC_CLASS >= 3
	else if (d->coder == CODER_FAST && CLASS(d) == ML_FULL)
		return fast_begin(d);
#endif
	else if (d->coder > CODER_RANGE)
		return ML_DEC_EVERSION;
	else if (!d->rec_out)
		return ML_DEC_EFORMAT;
	else
		d->state = d->coder == CODER_RANGE ? S_INIT : S_OP;
	return GO_ON;
}

/* Without 64-bit numbers there are no elements of 64 bits. */
static int type_known(unsigned type)
{
#if ML_DEC_CLASS < 2
	if (!(type < 32 ? (uint32_t)ML_DEC_TYPES >> type & 1 :
		(uint32_t)((uint64_t)ML_DEC_TYPES >> 32) >> (type & 31) & 1))
		return 0;
#endif
#ifdef ML_DEC_OFF32
	if (type < ML_NTYPE && ml_kind_bytes[ml_types[type].f[0].kind] > 4)
		return 0;
#endif
	return type < ML_NTYPE;
}

/* Checks the operation that was just read and makes it the current one. */
static int begin(struct ml_dec *d, unsigned op, unsigned type, ml_off n)
{
	unsigned unit = op == ML_OP_DIFF || op == ML_OP_ALONE ?
		ml_type_bytes(type) : 1;
	unsigned half = sizeof n * 4;

	/* The product must not overflow; no division for that. */
	if (!n || n > d->rec_out || (n >> half) * unit >> (half - 1) ||
		n * unit > d->rec_out)
		return ML_DEC_EFORMAT;
	d->op = (uint8_t)op;
	d->type = (uint8_t)type;
	d->len = n * unit;
	d->rec_out -= d->len;
#if !ML_PLAIN_TYPES
	d->field = 0;
	d->fleft = 0;
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

static int address(struct ml_dec *d, unsigned op, ml_off at)
{
	if (op == ML_OP_SELF) {
		if (!at || at > d->tpos || at > WINDOW(d))
			return ML_DEC_EFORMAT;
	} else if (at > BASE_SIZE(d) || d->len > BASE_SIZE(d) - at) {
		return ML_DEC_EFORMAT;
#if ML_DEC_CLASS >= 2
	} else if (!there(d, at)) {
		return ML_DEC_EFORMAT;
#endif
	}
	d->arg = at;
	return GO_ON;
}

/* An operation of coder 0: op byte, type of elements, LEB128 numbers. */
ML_SIDE int plain_op(struct ml_dec *d, const uint8_t **p, const uint8_t *end,
	int last)
{
	const uint8_t *q = *p;
	unsigned op, type = 0;
	ml_off n, at = 0;
	int r;

	if (q == end)
		return last ? ML_DEC_EFORMAT : ML_DEC_MORE;
	op = *q++;
	if (op > ML_OP_ALONE)
		return ML_DEC_EFORMAT;
	if (op == ML_OP_DIFF || op == ML_OP_ALONE) {
		if (q == end)
			return last ? ML_DEC_EFORMAT : ML_DEC_MORE;
		type = *q++;
		if (!type_known(type))
			return ML_DEC_EVERSION;
	}
	r = varint(&q, end, &n);
	if (r == 1 && op != ML_OP_LIT && op != ML_OP_ALONE)
		r = varint(&q, end, &at);
	if (r <= 0)
		return r < 0 || last ? ML_DEC_EFORMAT : ML_DEC_MORE;
	*p = q;
	r = begin(d, op, type, n);
	if (r == GO_ON && op != ML_OP_LIT && op != ML_OP_ALONE)
		r = address(d, op, at);
	d->state = S_RUN;
	return r;
}

/* The same of coder 1, a part at a time so that each fits ML_DEC_LOOK. */
ML_SIDE int range_op(struct ml_dec *d)
{
	static const uint8_t kind[5] = {
		ML_N_LIT, ML_N_COPY, ML_N_SELF, ML_N_ELEM, ML_N_ELEM
	};
	struct ml_rc *rc = &d->rc;
	struct ml_state *s = &d->st;
	unsigned op = s->op;
	int r;

	switch (d->state) {
	case S_OP:
		op = model_op(rc, s, 0);
		if (op > ML_OP_DESC)
			return ML_DEC_EVERSION;
		if (op != ML_OP_DESC) {
			d->state = S_LEN;
			return GO_ON;
		}
		model_desc(rc, s);
		if (s->type >= ML_TYPE_BLOCK && !ML_LAY(s)->block)
			return ML_DEC_EVERSION;
		return type_known(s->type) ? GO_ON : ML_DEC_EVERSION;
	case S_LEN:
		r = begin(d, op, s->type, model_num(rc, s, kind[op], 0) + 1);
		model_begin(s, op, d->tpos);
		d->state = op == ML_OP_LIT || op == ML_OP_ALONE ?
			S_RUN : S_ADDR;
		return r;
	default:
		d->state = S_RUN;
		return address(d, op, op == ML_OP_SELF ? model_dist(rc, s, 0) :
			(ml_off)model_disp(rc, s, 0) + d->tpos);
	}
}

static ml_word load(const uint8_t *p, unsigned w)
{
	ml_word v = 0;

	while (w--)
		v = v << 8 | p[w];
	return v;
}

static void store(uint8_t *p, unsigned w, ml_word v)
{
	for (; w--; v >>= 8)
		*p++ = (uint8_t)v;
}

/* The elements of one field: as many as room, base and input allow. Returns
 * how many were made. */
#define RUN(w, ebits, bits, pair) do { \
	for (; i < m; i++, p += (w)) { \
		ml_word b, t; \
		if (rc.lim - rc.p < ML_DEC_LOOK && !last) \
			break; \
		if (alone) { \
			t = model_alone(&rc, s, (bits), (ebits), 0); \
			if (pair) \
				t |= model_alone(&rc, s, 4, 0, 0) << 4; \
		} else { \
			b = load(p, (w)); \
			t = model_diff(&rc, s, (bits), (ebits), \
				(pair) ? b & 15 : b, 0); \
			if (pair) \
				t |= model_diff(&rc, s, 4, 0, b >> 4, 0) << 4; \
		} \
		store(p, (w), t); \
	} \
} while (0)

#if ML_HAS_REQUANT
/* The same of codes whose scale moved. */
static unsigned requantised(struct ml_dec *d, struct ml_rc *rc, unsigned kind,
	uint8_t *p, unsigned m, int last)
{
	struct ml_state *s = &d->st;
	unsigned i, t;

	for (i = 0; i < m; i++, p++) {
		if (rc->lim - rc->p < ML_DEC_LOOK && !last)
			break;
		if (kind == ML_K_R4) {
			t = model_requant(rc, s, 4, *p & 15u, 0);
			t |= model_requant(rc, s, 4, *p >> 4, 0) << 4;
		} else {
			t = model_requant(rc, s, 8, *p, 0);
		}
		*p = (uint8_t)t;
	}
	return i;
}
#endif

#if !ML_PLAIN_TYPES
static unsigned elements(struct ml_dec *d, unsigned kind, int alone,
	unsigned m, int last)
{
	struct ml_rc rc = d->rc;
	struct ml_state *s = &d->st;
	uint8_t *p = d->buf + d->fill;
	unsigned i = 0;

#if ML_HAS_REQUANT
	if (!alone && (kind == ML_K_R4 || kind == ML_K_R8)) {
		i = requantised(d, &rc, kind, p, m, last);
		d->rc = rc;
		return i;
	}
#endif
#if ML_DEC_CLASS >= 3
	if (d->type == ML_TYPE_MIXED) {
		for (; i < m; i++, p++) {
			if (rc.lim - rc.p < ML_DEC_LOOK && !last)
				break;
			*p = (uint8_t)model_mixed_elem(&rc, s, d->tpos + i,
				alone ? 0 : *p, 0);
		}
		d->rc = rc;
		return i;
	}
	/* Where code is cheap, a loop for each kind. */
	switch (kind) {
	case ML_K_U4: RUN(1, 0, 4, 1); break;
	case ML_K_I8: RUN(1, 0, 8, 0); break;
	case ML_K_I16: RUN(2, 0, 16, 0); break;
	case ML_K_I32: RUN(4, 0, 32, 0); break;
	case ML_K_F16: RUN(2, 5, 16, 0); break;
	case ML_K_BF16: RUN(2, 8, 16, 0); break;
	case ML_K_F32: RUN(4, 8, 32, 0); break;
	default:
#endif
	{
		unsigned w = ml_kind_bytes[kind], eb = ml_kind_ebits[kind];
		unsigned bits = ml_kind_pair(kind) ? 4 : w * 8;

		RUN(w, eb, bits, ml_kind_pair(kind));
	}
#if ML_DEC_CLASS >= 3
	}
#endif
	d->rc = rc;
	return i;
}
#endif

/* Coder 0: the residuals lie there as they are. */
ML_SIDE unsigned plain_elements(struct ml_dec *d, unsigned kind, unsigned m)
{
	unsigned w = ml_kind_bytes[kind], i, bits = w * 8;
	uint8_t *p = d->buf + d->fill;

	for (i = 0; i < m && (unsigned)(d->rc.lim - d->rc.p) >= w; i++) {
		ml_word b = load(p, w), r = load(d->rc.p, w);

		d->rc.p += w;
		if (ML_HAS_PAIRS && ml_kind_pair(kind))
			b = ((b + r) & 15) | (((b & 0xf0) + (r & 0xf0)) & 0xf0);
		else if (ML_HAS_FLOATS && kind >= ML_K_FLOAT)
			b = model_unmap(bits, (model_map(bits, b) + r) &
				model_mask(bits));
		else
			b += r;
		store(p, w, b);
		p += w;
	}
	return i;
}

#if ML_DEC_CLASS >= 3
enum { B_READ, B_DECODE, B_WRITE }; /* ml_dec.block */

/* The same of blocks whose scales and codes are told apart: the base's bytes
 * come in, numbers are decoded, bytes go out, each as far as it gets. */
static int run_blocks(struct ml_dec *d, int last)
{
	const enum ml_bform form = (enum ml_bform)(d->type - ML_TYPE_BLOCK);
	const unsigned w = ml_type_bytes(d->type);
	const int alone = d->op == ML_OP_ALONE;
	struct ml_qblock *k = &d->blk;
	unsigned n;
	int r;

	if (d->block == B_READ) {
		while (!alone && d->ahead < w) {
			r = d->io->base(d->io->ctx, d->arg + d->ahead,
				d->bytes + d->ahead, w - d->ahead);
			if (r <= 0)
				return r ? ML_DEC_EIO : ML_DEC_FULL;
			d->ahead = (uint16_t)(d->ahead + r);
		}
		ml_qblock_begin(k, form, alone, d->st.avg);
		if (!alone)
			ml_qblock_bits(form, &k->b, d->bytes, 0);
		d->block = B_DECODE;
	}
	if (d->block == B_DECODE) {
		for (r = ML_DEC_MORE; k->step < k->steps; r = GO_ON) {
			if (d->rc.lim - d->rc.p < ML_DEC_LOOK && !last)
				return r;
			model_block(&d->rc, &d->st, k);
		}
		ml_qblock_bits(form, &k->t, d->bytes, 1);
		d->block = B_WRITE;
		d->ahead = 0;
	}
	n = (unsigned)(d->cap - d->fill);
	if (!n)
		return drained(d);
	if (n > w - d->ahead)
		n = w - d->ahead;
	memcpy(d->buf + d->fill, d->bytes + d->ahead, n);
	model_made(&d->st, d->op, d->type, n, 0);
	d->ahead = (uint16_t)(d->ahead + n);
	d->fill = (uint16_t)(d->fill + n);
	d->tpos += n;
	d->len -= n;
	d->arg += alone ? 0 : n;
	if (d->ahead == w) {
		d->block = B_READ;
		d->ahead = 0;
	}
	return GO_ON;
}
#endif

#if ML_PLAIN_TYPES
/* One element; of a pair, half of it. */
ML_FLAT ml_word element(struct ml_dec *d, unsigned kind, ml_word b)
{
	const unsigned eb = ml_kind_ebits[kind];
	const unsigned bits = kind == ML_K_U4 ? 4 : ml_kind_bytes[kind] * 8u;

	if (d->op == ML_OP_ALONE)
		return model_alone(&d->rc, &d->st, bits, eb, 0);
	return model_diff(&d->rc, &d->st, bits, eb,
		kind == ML_K_U4 ? b & 15 : b, 0);
}

/* Bytes of the base for m bytes of a DIFF, to buf. Returns how many are
 * there, or a status less than 0. */
ML_SIDE int fetch(struct ml_dec *d, unsigned m)
{
	int k;

	if (d->ahead < m) {
		k = d->io->base(d->io->ctx, d->arg + d->ahead,
			d->buf + d->fill + d->ahead, m - d->ahead);
		if (k < 0)
			return ML_DEC_EIO;
		d->ahead = (uint16_t)(d->ahead + k);
	}
	return d->ahead;
}

/* The same as below where a unit is an element: one loop for all kinds. */
ML_SIDE int run_elements(struct ml_dec *d, int last)
{
	const unsigned kind = ml_types[d->type].f[0].kind;
	const unsigned w = ml_kind_bytes[kind];
	uint8_t *p = d->buf + d->fill, *end;
	ml_word b, t;
	unsigned m, n;
	int r;

	m = (unsigned)(d->cap - d->fill);
	if (m > d->len)
		m = (unsigned)d->len;
	m &= ~(w - 1);
	if (!m)
		return drained(d);
	if (d->op == ML_OP_DIFF) {
		r = fetch(d, m);
		if (r < 0)
			return r;
		if ((unsigned)r < w)
			return ML_DEC_FULL;
		if (m > (unsigned)r)
			m = (unsigned)r & ~(w - 1);
	}
	if (d->coder == CODER_NONE) {
		n = w * plain_elements(d, kind, m / w);
	} else {
		for (end = p + m; p < end; p += w) {
			if (d->rc.lim - d->rc.p < ML_DEC_LOOK && !last)
				break;
			b = load(p, w);
			t = element(d, kind, b);
			if (kind == ML_K_U4) /* t was the low half */
				t |= element(d, kind, b >> 4) << 4;
			store(p, w, t);
		}
		n = (unsigned)(p - d->buf) - d->fill;
	}
	if (!n)
		return last ? ML_DEC_EFORMAT : ML_DEC_MORE;
	d->fill = (uint16_t)(d->fill + n);
	d->tpos += n;
	d->len -= n;
	if (d->op == ML_OP_DIFF) {
		d->arg += n;
		d->ahead = (uint16_t)(d->ahead - n);
	}
	return GO_ON;
}
#else
/* Works on a DIFF or ALONE. */
ML_SIDE int run_elements(struct ml_dec *d, int last)
{
	const struct ml_type *t = &ml_types[d->type];
	int alone = d->op == ML_OP_ALONE, k;
	unsigned kind, w, m, done;

#if ML_DEC_CLASS >= 3
	if (ml_type_block(d->type) && d->coder == CODER_RANGE)
		return run_blocks(d, last);
#endif
	kind = t->f[d->field].kind;
	w = ml_kind_bytes[kind];
	if (!d->fleft && (t->nfield > 1 || t->f[0].n > 1))
		d->fleft = t->f[d->field].n;
	else if (!d->fleft) /* one kind all along: any number will do */
		d->fleft = (uint16_t)(
			(unsigned)(d->len > 0xfff8 ? 0xfff8 : d->len) / w);
	m = (unsigned)(d->cap - d->fill) / w;
	if (!m)
		return drained(d);
	if (m > d->fleft)
		m = d->fleft;
	if (!alone) {
		if (d->ahead < m * w) {
			k = d->io->base(d->io->ctx, d->arg + d->ahead,
				d->buf + d->fill + d->ahead, m * w - d->ahead);
			if (k < 0)
				return ML_DEC_EIO;
			d->ahead = (uint16_t)(d->ahead + k);
		}
		if (d->ahead < w)
			return ML_DEC_FULL;
		if (m > d->ahead / w)
			m = d->ahead / w;
	}
	if (ML_HAS_SWAPPED && ml_type_swapped(d->type)) /* base in, target out */
		ml_swap(d->buf + d->fill, w, m);
	done = d->coder == CODER_RANGE ?
		elements(d, kind, alone, m, last) : plain_elements(d, kind, m);
	if (ML_HAS_SWAPPED && ml_type_swapped(d->type))
		ml_swap(d->buf + d->fill, w, m);
	if (!done)
		return last ? ML_DEC_EFORMAT : ML_DEC_MORE;
	d->fleft = (uint16_t)(d->fleft - done);
	if (!d->fleft && ++d->field == t->nfield)
		d->field = 0;
	done *= w;
	if (d->coder == CODER_RANGE)
		model_made(&d->st, d->op, d->type, done, 0);
	d->fill = (uint16_t)(d->fill + done);
	d->tpos += done;
	d->len -= done;
	if (!alone) {
		d->arg += done;
		d->ahead = (uint16_t)(d->ahead - done);
	}
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

/* Works on a LIT of coder 1, buf not being full. */
ML_SIDE int run_literals(struct ml_dec *d, int last)
{
	struct ml_rc *rc = &d->rc;
	unsigned m = (unsigned)(d->cap - d->fill), i;

	if (m > d->len)
		m = (unsigned)d->len;
	for (i = 0; i < m; i++) {
		if (rc->lim - rc->p < ML_DEC_LOOK && !last)
			break;
		d->buf[d->fill + i] = (uint8_t)model_lit(rc, &d->st,
			d->tpos + i, 0);
	}
	if (!i)
		return last ? ML_DEC_EFORMAT : ML_DEC_MORE;
	d->fill = (uint16_t)(d->fill + i);
	d->tpos += i;
	d->len -= i;
	return GO_ON;
}

/* Works on the current operation. */
static int run(struct ml_dec *d, int last)
{
	struct ml_rc *rc = &d->rc;
	uint8_t *p = d->buf + d->fill;
	unsigned m, i;
	int k, plain = d->coder == CODER_NONE;

	if (!d->len) {
		if (d->rec_out) {
			d->state = S_OP;
			return GO_ON;
		}
		d->state = S_CRC;
		return GO_ON;
	}
	if (d->op == ML_OP_DIFF || (d->op == ML_OP_ALONE && !plain))
		return DEEP;
	m = (unsigned)(d->cap - d->fill);
	if (!m)
		return drained(d);
	if (d->op == ML_OP_LIT && !plain)
		return DEEP;
	if (m > d->len)
		m = (unsigned)d->len;
	if (d->op == ML_OP_COPY || d->op == ML_OP_SELF) {
		k = d->op == ML_OP_SELF ? self(d, m) :
			d->io->base(d->io->ctx, d->arg, p, m);
		if (k <= 0)
			return k ? ML_DEC_EIO : ML_DEC_FULL;
		i = (unsigned)k;
		if (!plain)
			model_made(&d->st, d->op, 0, i, d->arg);
		if (d->op == ML_OP_COPY)
			d->arg += i;
	} else {
		i = (size_t)(rc->lim - rc->p) < m ?
			(unsigned)(rc->lim - rc->p) : m;
		memcpy(p, rc->p, i);
		rc->p += i;
	}
	if (!i)
		return last ? ML_DEC_EFORMAT : ML_DEC_MORE;
	d->fill = (uint16_t)(d->fill + i);
	d->tpos += i;
	d->len -= i;
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
		d->len = d->rec_out;
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
	d->state = S_CRC;
	return ML_DEC_AGAIN;
}
#endif

/* After a step: *p goes to where the coder has come. */
static int settle(struct ml_dec *d, const uint8_t **p, int r)
{
	const ml_off n = (ml_off)(d->rc.p - *p);

#if ML_DEC_CLASS >= 3
	if (d->crc32)
		d->crc = d->crc32(d->crc, *p, (size_t)n);
	else
#endif
	d->crc = ml_dec_crc32(d->crc, *p, (size_t)n);
	d->rec_in -= n;
	d->body -= n;
	*p = d->rc.p;
	return d->state == S_CRC && d->rec_in ? ML_DEC_EFORMAT : r;
}

/* One step inside a record, on at most rec_in bytes of p[0..n). */
static int inside(struct ml_dec *d, const uint8_t **p, const uint8_t *end)
{
	const uint8_t *start = *p;
	int last = (ml_off)(end - start) >= d->rec_in, r;

	if (last)
		end = start + d->rec_in;
	if (d->coder == F_NOTE) { /* nothing for a decoder */
		d->rc.p = end;
		r = last ? GO_ON : ML_DEC_MORE;
		if (last)
			d->state = S_CRC;
#if ML_DEC_CLASS >= 3
	} else if (d->coder == CODER_FAST) {
		r = fast(d, start, end, last);
#endif
	} else if (d->coder == CODER_RANGE && d->state != S_RUN &&
		end - start < ML_DEC_LOOK && !last) {
		return ML_DEC_MORE;
	} else {
		d->rc.p = start;
		d->rc.lim = end;
		if (d->state == S_RUN) {
			r = run(d, last);
		} else if (d->coder == CODER_NONE) {
			r = plain_op(d, &d->rc.p, end, last);
		} else if (d->state == S_INIT) {
			rc_start(&d->rc);
			d->state = S_OP;
			r = GO_ON;
		} else {
			r = range_op(d);
		}
	}
	d->last = (uint8_t)last;
	return r == DEEP ? r : settle(d, p, r);
}

static int deep(struct ml_dec *d, const uint8_t **p)
{
	return settle(d, p, d->op == ML_OP_LIT ? run_literals(d, d->last) :
		run_elements(d, d->last));
}

/* One step on p[0..n); moves *p. */
ML_SIDE int work(struct ml_dec *d, const uint8_t **p, const uint8_t *end)
{
	const uint8_t *start = *p;
	int last, r;

	if (d->state == S_HEADER)
		return header(d, p, end);
	last = (ml_off)(end - start) >= d->body;
	if (last)
		end = start + d->body;
	switch (d->state) {
	case S_START:
#if ML_DEC_CLASS < 2
		d->target_size = d->hdr.target_size;
		d->base_size = d->hdr.base_size;
		d->window = d->hdr.window;
#endif
		model_reset(&d->st, d->arena, &ml_layouts[CLASS(d) - 1]);
		d->state = S_RECORD;
		return GO_ON;
	case S_RECORD:
		if (!d->body) {
			if (d->tpos != TARGET_SIZE(d))
				return ML_DEC_EFORMAT;
			d->state = S_END;
			return GO_ON;
		}
		r = record(d, p, end, last);
		d->crc = ml_dec_crc32(0, start, (size_t)(*p - start));
		break;
	case S_CRC:
		if (end - start < 4)
			return last ? ML_DEC_EFORMAT : ML_DEC_MORE;
		/* What a CRC-32 over data and its own CRC-32 always gives. */
		if (ml_dec_crc32(d->crc, start, 4) != 0x2144df1c)
			return ML_DEC_ECRC;
		*p += 4;
		d->state = S_RECORD;
		r = GO_ON;
		break;
	case S_END:
		r = flush(d);
		return r == GO_ON ? ML_DEC_DONE : r;
	case S_ERROR:
		return d->err;
	default:
		return inside(d, p, end);
	}
	d->body -= (ml_off)(*p - start);
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
		r = work(d, &p, start + old + add);
		if (r == DEEP)
			r = deep(d, &p);
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
