/* SPDX-License-Identifier: MIT */
/* Fast planes, coder 3 of ml-patch(5): the form of a block, and its decoder
 * without vectors; see mlfast.h. */
#include <string.h>

#include "mldec.h"
#include "mlfast.h"

#if ML_DEC_CLASS >= 3

/* ===== elements ========================================================= */

void ml_fast_elem(struct ml_fast_elem *e, unsigned type)
{
	static const uint8_t w[ML_FAST_TYPES] = {
		1, 1, 2, 4, 8, 2, 2, 4, 8, 1, 1
	};
	static const uint8_t eb[ML_FAST_TYPES] = {
		0, 0, 0, 0, 0, 5, 8, 8, 11, 4, 5
	};

	memset(e, 0, sizeof *e);
	e->w = w[type];
	e->ebits = eb[type];
}

ML_INLINE uint64_t load(const uint8_t *p, unsigned w)
{
	uint64_t v = 0;

	switch (w) { /* compilers know these for one load each */
	case 1: return p[0];
	case 2: return (uint16_t)(p[0] | p[1] << 8);
	case 4: return (uint32_t)p[0] | (uint32_t)p[1] << 8 |
		(uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	case 8: return (uint64_t)p[0] | (uint64_t)p[1] << 8 |
		(uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
		(uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 |
		(uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
	default:
		while (w--)
			v = v << 8 | p[w];
		return v;
	}
}

ML_INLINE void store(uint8_t *p, unsigned w, uint64_t v)
{
	for (; w--; v >>= 8)
		*p++ = (uint8_t)v;
}

ML_INLINE uint64_t mask(unsigned bits)
{
	return bits < 64 ? ((uint64_t)1 << bits) - 1 : UINT64_MAX;
}

ML_INLINE uint64_t to_order(const struct ml_fast_elem *e, uint64_t v)
{
	const uint64_t s = (uint64_t)1 << (e->w * 8u - 1);

	if (!e->ebits)
		return v;
	return v & s ? ~v & mask(e->w * 8u) : v | s;
}

ML_INLINE uint64_t from_order(const struct ml_fast_elem *e, uint64_t v)
{
	const uint64_t s = (uint64_t)1 << (e->w * 8u - 1);

	if (!e->ebits)
		return v;
	return v & s ? v & ~s : ~v & mask(e->w * 8u);
}

ML_INLINE unsigned context(const struct ml_fast_elem *e, unsigned e0,
	uint64_t b)
{
	const unsigned bits = e->w * 8u;
	unsigned v = 0;

	if (e->ebits) {
		v = (unsigned)(b >> (bits - 1 - e->ebits)) &
			((1u << e->ebits) - 1);
	} else {
		if (b >> (bits - 1))
			b = ~b & mask(bits);
		for (; b; b >>= 1)
			v++;
	}
	return v >= e0 ? 0 : e0 - v > 7 ? 7 : e0 - v;
}

unsigned ml_fast_context(const struct ml_fast_elem *e, unsigned e0, uint64_t b)
{
	return context(e, e0, b);
}

/* ===== chances ========================================================== */

void ml_fast_table(struct ml_fast_tab *t, unsigned contexts, unsigned nsym)
{
	unsigned c, s, sum, last[65];
	uint8_t *f, *to;

	for (c = 0; c < contexts; c++) {
		f = t->f + c * 32;
		to = t->c + c * 32;
		if (!f[0]) { /* nobody comes here, but for hostile blocks */
			f[0] = 128;
			f[nsym - 1] = 128;
		}
		for (s = sum = 0; s < nsym; sum += f[s++]) {
			to[s] = (uint8_t)sum;
			last[s] = sum - 1;
			memset(t->map[c] + sum, (int)s, f[s]);
		}
		for (; s < 65; s++)
			last[s] = 255;
		if (contexts == 1)
			break;
		t->node0[c] = (uint8_t)last[16];
		for (s = 0; s < 2; s++)
			t->node1[c * 2 + s] = (uint8_t)last[s * 16 + 8];
		for (s = 0; s < 4; s++)
			t->node2[c * 4 + s] = (uint8_t)last[s * 8 + 4];
		for (s = 0; s < 8; s++)
			t->node3[c * 8 + s] = (uint8_t)last[s * 4 + 2];
		for (s = 0; s < 16; s++)
			t->node4[c * 16 + s] = (uint8_t)last[s * 2 + 1];
	}
}

/* ===== scalar kernels =================================================== */

/* 64 states from lane on, whose symbols' maps are map + 256 * ctx. */
ML_INLINE int step(struct ml_fast_rans *r, const struct ml_fast_tab *t,
	const uint8_t *ctx, uint8_t *sym, unsigned lane)
{
	uint8_t *lo = r->lo + lane, *hi = r->hi + lane;
	unsigned i, slot, s, x, need = 0;
	const uint8_t *q;

	for (i = 0; i < ML_FAST_GROUP; i++) {
		slot = lo[i];
		s = ctx ? (unsigned)ctx[i] << 5 | t->map[ctx[i]][slot] :
			t->map[0][slot];
		sym[i] = (uint8_t)s;
		x = t->f[s] * (unsigned)hi[i] + slot - t->c[s];
		lo[i] = (uint8_t)x;
		hi[i] = (uint8_t)(x >> 8);
		need += x < 256;
	}
	if ((size_t)(r->p - r->begin) < need)
		return -1;
	r->p -= need;
	for (q = r->p, i = 0; i < ML_FAST_GROUP; i++) {
		const unsigned none = !hi[i], b = *q;

		hi[i] = none ? lo[i] : hi[i];
		lo[i] = none ? (uint8_t)b : lo[i];
		q += none;
	}
	return 0;
}

static int symbols(struct ml_fast_rans *r, const struct ml_fast_tab *t,
	const uint8_t *ctx, uint8_t *sym, size_t n)
{
	size_t at;

	for (at = 0; at < n; at += ML_FAST_GROUP)
		if (step(r, t, ctx ? ctx + at : NULL, sym + at,
			(unsigned)at & (ML_FAST_LANES - 1)))
			return -1;
	return 0;
}

/* A kernel for elements e, written out for the common ones. */
#define FOR_ELEMENT(e, CALL) do { \
	switch ((e).w << 4 | (e).ebits) { \
	case 1 << 4: CALL(1, 0); \
	case 2 << 4 | 5: CALL(2, 5); \
	case 2 << 4 | 8: CALL(2, 8); \
	case 4 << 4 | 8: CALL(4, 8); \
	default: CALL((e).w, (e).ebits); \
	} \
} while (0)

/* n values to elements; escapes have theirs in a list. */
ML_INLINE int planes_of(struct ml_fast_planes *p, const uint8_t *sym,
	uint8_t *out, size_t n, const unsigned w, const unsigned ebits,
	const unsigned a, const unsigned o)
{
	const unsigned bits = w * 8u, k = 8 * a + o, esc = p->nsym - 1;
	const uint8_t *raw = p->raw;
	uint64_t v, odd = 0;
	size_t i;

	for (i = 0; i < n; i++, out += w) {
		v = p->lut[sym[i]];
		if (sym[i] == esc) {
			if (p->esc == p->esc_end)
				return -1;
			v = *p->esc++ & (255u >> o);
		}
		v = v << k;
		if (a == 3)
			v |= load(raw, 2) | (uint64_t)raw[2] << 16;
		else
			v |= load(raw, a);
		raw += a;
		if (o) {
			if (!(i & 7)) {
				odd = load(p->odd, o);
				p->odd += o;
			}
			v |= (odd & ((1u << o) - 1)) << (8 * a);
			odd >>= o;
		}
		if (ebits) /* the sign was put below */
			v = v >> 1 | (v & 1) << (bits - 1);
		store(out, w, v);
	}
	p->raw = raw;
	return 0;
}

static int planes(struct ml_fast_planes *p, const uint8_t *sym, uint8_t *out,
	size_t n)
{
	const struct ml_fast_elem e = p->e;

	if (e.w == 2 && e.ebits && !e.o)
		return planes_of(p, sym, out, n, 2, 8, 1, 0);
	if (e.w == 4 && e.ebits && !e.o)
		return planes_of(p, sym, out, n, 4, 8, 3, 0);
	return planes_of(p, sym, out, n, e.w, e.ebits, e.a, e.o);
}

static void contexts(const struct ml_fast_resid *r, const uint8_t *base,
	uint8_t *ctx, size_t n)
{
	const unsigned e0 = r->e0;
	size_t i;

#define CONTEXTS(W, EB) do { \
		const struct ml_fast_elem e = { (W), (EB), 0, 0, 0 }; \
		for (i = 0; i < n; i++, base += (W)) \
			ctx[i] = (uint8_t)context(&e, e0, load(base, (W))); \
		return; \
	} while (0)
	FOR_ELEMENT(r->e, CONTEXTS);
#undef CONTEXTS
}

/* n bits from pos on, 1 to 63. */
ML_INLINE uint64_t take(struct ml_fast_resid *r, unsigned n)
{
	const uint8_t *p = r->bits + (r->pos >> 3);
	const unsigned s = (unsigned)r->pos & 7;
	uint64_t v = load(p, 8) >> s;

	if (s + n > 64)
		v |= (uint64_t)p[8] << (64 - s);
	r->pos += n;
	return v & mask(n);
}

ML_INLINE int resid_of(struct ml_fast_resid *r, const uint8_t *sym,
	const uint8_t *base, uint8_t *out, size_t n, const unsigned w,
	const unsigned ebits)
{
	const struct ml_fast_elem e = { (uint8_t)w, (uint8_t)ebits, 0, 0, 0 };
	const unsigned bits = w * 8u;
	unsigned s, m, low;
	uint64_t v, x;
	size_t i;

	for (i = 0; i < n; i++, base += w, out += w) {
		s = sym[i] & 31;
		m = r->m[sym[i] >> 5];
		v = 0;
		if (s == ML_FAST_ESCAPE) {
			if ((size_t)(r->esc_end - r->esc) < w)
				return -1;
			v = load(r->esc, w);
			r->esc += w;
		} else if (s || m) {
			low = (s < 2 ? 0 : s / 2 - 1) + m;
			if (r->nbits - r->pos < low + 1)
				return -1;
			x = take(r, low + 1);
			v = s < 2 ? s : (2 | (s & 1)) << (s / 2 - 1);
			v = v << m | x >> 1;
			v = (v ^ (0 - (x & 1))) + (x & 1);
		}
		v = from_order(&e, (to_order(&e, load(base, w)) + v) &
			mask(bits));
		store(out, w, v);
	}
	return 0;
}

static int resid(struct ml_fast_resid *r, const uint8_t *sym,
	const uint8_t *base, uint8_t *out, size_t n)
{
#define RESID(W, EB) return resid_of(r, sym, base, out, n, (W), (EB))
	FOR_ELEMENT(r->e, RESID);
#undef RESID
}

const struct ml_fast_kern ml_fast_scalar = {
	"scalar", symbols, planes, contexts, resid
};

/* ===== the form of a block ============================================== */

/* LEB128 below 2^63. */
static int number(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	unsigned shift;
	uint8_t b;

	for (*v = 0, shift = 0; *p < end && shift < 63; shift += 7) {
		b = *(*p)++;
		*v |= (uint64_t)(b & 127) << shift;
		if (b < 128)
			return b || !shift;
	}
	return 0;
}

int ml_fast_head(struct ml_fast_head *h, const uint8_t *p, size_t n,
	uint64_t n_out)
{
	const uint8_t *q = p + 2, *end = p + n;
	struct ml_fast_elem e;

	if (n < 2 || n > ML_FAST_MAX || n_out > ML_FAST_MAX)
		return ML_DEC_EFORMAT;
	h->form = p[0];
	h->type = p[1];
	h->at = 0;
	if (h->form > ML_FAST_CHANGE || h->type >= ML_FAST_TYPES)
		return ML_DEC_EVERSION;
	ml_fast_elem(&e, h->type);
	h->w = e.w;
	if (!n_out || n_out % e.w)
		return ML_DEC_EFORMAT;
	if (ML_FAST_BASED(h->form) && !number(&q, end, &h->at))
		return ML_DEC_EFORMAT;
	h->len = (size_t)(q - p);
	return 0;
}

/* Elements in groups that are not left out; 0 and *map NULL: all. */
static int zero_map(const uint8_t **p, const uint8_t *end, size_t n,
	const uint8_t **map, size_t *left)
{
	const size_t groups = (n + ML_FAST_GROUP - 1) / ML_FAST_GROUP;
	size_t i;

	*map = NULL;
	*left = n;
	if (*p == end || **p > 1)
		return ML_DEC_EFORMAT;
	if (!*(*p)++)
		return 0;
	if ((size_t)(end - *p) < (groups + 7) / 8)
		return ML_DEC_EFORMAT;
	*map = *p;
	*p += (groups + 7) / 8;
	if (groups % 8 && (*map)[groups / 8] >> groups % 8)
		return ML_DEC_EFORMAT;
	for (i = 0; i < groups; i++)
		if ((*map)[i / 8] >> i % 8 & 1)
			*left -= n - i * ML_FAST_GROUP < ML_FAST_GROUP ?
				n - i * ML_FAST_GROUP : ML_FAST_GROUP;
	return 0;
}

/* Frequencies; they add up to 256 and begin with one above 0. */
static int chances(uint8_t *f, const uint8_t *p, uint32_t set, unsigned n)
{
	unsigned i, sum = 0, first = 0;

	for (i = 0; i < n; i++) {
		f[i] = 0;
		if (set >> i & 1) {
			f[i] = *p++;
			sum += f[i];
			if (!i)
				first = f[i];
		}
	}
	return sum == 256 && first ? 0 : ML_DEC_EFORMAT;
}

/* States and bytes of the symbols. */
static int rans_open(struct ml_fast_rans *r, const uint8_t **p,
	const uint8_t *end, uint64_t n)
{
	if ((size_t)(end - *p) < ML_FAST_STATES ||
		n > (size_t)(end - *p) - ML_FAST_STATES)
		return ML_DEC_EFORMAT;
	memcpy(r->lo, *p, ML_FAST_LANES);
	memcpy(r->hi, *p + ML_FAST_LANES, ML_FAST_LANES);
	r->begin = *p + ML_FAST_STATES;
	r->p = r->begin + n;
	*p = r->p;
	return 0;
}

/* All of them used, and the states where the encoder began. */
static int rans_close(const struct ml_fast_rans *r)
{
	unsigned i;

	if (r->p != r->begin)
		return ML_DEC_EFORMAT;
	for (i = 0; i < ML_FAST_LANES; i++)
		if (r->lo[i] || r->hi[i] != 1)
			return ML_DEC_EFORMAT;
	return 0;
}

/* What lies before the data of ML_FAST_PLANES, for n elements. */
static int planes_open(struct ml_fast *f, const uint8_t *p, const uint8_t *end,
	size_t n)
{
	struct ml_fast_planes *pl = &f->u.planes;
	struct ml_fast_elem *e = &pl->e;
	const unsigned bits = e->w * 8u;
	uint64_t nrans, nesc;
	unsigned count, i, sum;
	int r;

	if (end - p < 2)
		return ML_DEC_EFORMAT;
	e->k = *p++;
	if (e->k < bits - 8 || e->k > bits - 4)
		return ML_DEC_EFORMAT;
	e->a = e->k / 8;
	e->o = e->k % 8;
	count = *p++;
	if (count < 1 || count >= ML_FAST_SYMS ||
		(size_t)(end - p) < 2 * count + 1)
		return ML_DEC_EFORMAT;
	memset(pl->lut, 0, sizeof pl->lut);
	for (i = 0; i < count; i++) {
		pl->lut[i] = *p++;
		if (pl->lut[i] >> (bits - e->k))
			return ML_DEC_EFORMAT;
	}
	pl->nsym = count + 1;
	memset(f->tab.f, 0, sizeof f->tab.f);
	for (i = 0; i <= count; i++)
		f->tab.f[i] = p[i];
	for (i = sum = 0; i <= count; i++)
		sum += p[i];
	if (sum != 256 || !p[0])
		return ML_DEC_EFORMAT;
	p += count + 1;
	ml_fast_table(&f->tab, 1, pl->nsym);
	if (!number(&p, end, &nrans) || !number(&p, end, &nesc))
		return ML_DEC_EFORMAT;
	r = rans_open(&f->rans, &p, end, nrans);
	if (r)
		return r;
	if (nesc > n || nesc > (size_t)(end - p))
		return ML_DEC_EFORMAT;
	pl->esc = p;
	p += nesc;
	pl->esc_end = p;
	if ((size_t)(end - p) != n * e->a + (n + 7) / 8 * e->o)
		return ML_DEC_EFORMAT;
	pl->raw = p;
	pl->odd = p + n * e->a;
	return 0;
}

/* The same of ML_FAST_RESID. */
static int resid_open(struct ml_fast *f, const uint8_t *p, const uint8_t *end,
	size_t n)
{
	struct ml_fast_resid *re = &f->u.resid;
	const unsigned bits = re->e.w * 8u;
	uint64_t nrans, nesc;
	unsigned c, i, count;
	uint32_t set;
	int r;

	if (end - p < 2 + 8)
		return ML_DEC_EFORMAT;
	re->e0 = (unsigned)load(p, 2);
	re->m_any = 0;
	for (p += 2, c = 0; c < 8; c++) {
		re->m[c] = *p++;
		re->m_any |= re->m[c];
		if (re->m[c] > bits - 2)
			return ML_DEC_EFORMAT;
	}
	for (c = 0; c < 8; c++) {
		if (end - p < 4)
			return ML_DEC_EFORMAT;
		set = (uint32_t)load(p, 4);
		p += 4;
		for (count = 0, i = 0; i < 32; i++)
			count += set >> i & 1;
		if ((size_t)(end - p) < count)
			return ML_DEC_EFORMAT;
		memset(f->tab.f + c * 32, 0, 32);
		r = set ? chances(f->tab.f + c * 32, p, set, 32) : 0;
		if (r)
			return r;
		p += count;
		/* no class above that of the largest residual */
		for (i = 2; i < ML_FAST_ESCAPE; i++)
			if (set >> i & 1 && i / 2 + 1 + re->m[c] > bits - 1)
				return ML_DEC_EFORMAT;
	}
	ml_fast_table(&f->tab, 8, 32);
	if (!number(&p, end, &nrans) || !number(&p, end, &nesc) ||
		!number(&p, end, &re->nbits))
		return ML_DEC_EFORMAT;
	r = rans_open(&f->rans, &p, end, nrans);
	if (r)
		return r;
	if (nesc > n || nesc * re->e.w > (size_t)(end - p))
		return ML_DEC_EFORMAT;
	re->esc = p;
	p += nesc * re->e.w;
	re->esc_end = p;
	if (re->nbits > ML_FAST_MAX * 8u ||
		(size_t)(end - p) != (size_t)(re->nbits + 7) / 8)
		return ML_DEC_EFORMAT;
	re->bits = p;
	re->pos = 0;
	return 0;
}

/* ===== decoding ========================================================= */

/* One chunk of n elements that are all there: base (or NULL) to out. */
static int chunk(struct ml_fast *f, const struct ml_fast_head *h,
	const uint8_t *base, uint8_t *out, size_t n)
{
	const size_t all = (n + ML_FAST_LANES - 1) & ~(ML_FAST_LANES - 1u);

	if (h->form == ML_FAST_PLANES)
		return f->kern->symbols(&f->rans, &f->tab, NULL, f->sym, all) ||
			f->kern->planes(&f->u.planes, f->sym, out, n);
	f->kern->contexts(&f->u.resid, base, f->ctx, n);
	memset(f->ctx + n, 0, all - n);
	return f->kern->symbols(&f->rans, &f->tab, f->ctx, f->sym, all) ||
		f->kern->resid(&f->u.resid, f->sym, base, out, n);
}

/* Between the elements and those that no group leaves out. */
struct gaps {
	const uint8_t *map;
	size_t n; /* elements */
	size_t g; /* the next group */
};

/* The next group that is there: its elements from *at on; 0: none is left. */
static size_t next_group(struct gaps *g, size_t *at)
{
	const size_t groups = (g->n + ML_FAST_GROUP - 1) / ML_FAST_GROUP;

	while (g->g < groups && g->map[g->g / 8] >> g->g % 8 & 1)
		g->g++;
	if (g->g == groups)
		return 0;
	*at = g->g++ * ML_FAST_GROUP;
	return g->n - *at < ML_FAST_GROUP ? g->n - *at : ML_FAST_GROUP;
}

/* A block with groups left out, a chunk at a time through f->part. */
static int sparse(struct ml_fast *f, const struct ml_fast_head *h,
	const uint8_t *map, const uint8_t *base, uint8_t *out, size_t n)
{
	struct gaps from = { map, n, 0 }, to;
	const int based = ML_FAST_BASED(h->form);
	size_t at, k, got;

	/* the caller may have the base's elements there already */
	for (at = 0; at < n && !(based && out == base); at += k) {
		k = n - at < ML_FAST_GROUP ? n - at : ML_FAST_GROUP;
		if (!(map[at / ML_FAST_GROUP / 8] >> at / ML_FAST_GROUP % 8 &
			1))
			continue;
		if (based)
			memcpy(out + at * h->w, base + at * h->w, k * h->w);
		else
			memset(out + at * h->w, 0, k * h->w);
	}
	for (;;) {
		to = from;
		for (got = 0; got < ML_FAST_CHUNK; got += k) {
			k = next_group(&from, &at);
			if (!k)
				break;
			if (based)
				memcpy(f->part + got * h->w, base + at * h->w,
					k * h->w);
		}
		if (!got)
			return 0;
		if (chunk(f, h, f->part, f->part, got))
			return -1;
		for (got = 0; got < ML_FAST_CHUNK; got += k) {
			k = next_group(&to, &at);
			if (!k)
				break;
			memcpy(out + at * h->w, f->part + got * h->w,
				k * h->w);
		}
	}
}

/* ML_FAST_FILL and ML_FAST_CHANGE: distances, and elements or residuals. */
static int exceptions(const struct ml_fast_elem *e,
	const struct ml_fast_head *h, const uint8_t *p, const uint8_t *end,
	const uint8_t *base, uint8_t *out, size_t n)
{
	const int based = ML_FAST_BASED(h->form);
	uint64_t count, gap, v;
	uint8_t *q;
	size_t at, i;

	if (!based) {
		if (end - p < h->w)
			return ML_DEC_EFORMAT;
		for (i = 0; i < n; i++)
			memcpy(out + i * h->w, p, h->w);
		p += h->w;
	} else if (out != base) {
		memcpy(out, base, n * h->w);
	}
	if (!number(&p, end, &count) || count > n)
		return ML_DEC_EFORMAT;
	for (at = 0; count--; at++) {
		if (!number(&p, end, &gap) || gap >= n - at)
			return ML_DEC_EFORMAT;
		at += (size_t)gap;
		if (end - p < h->w)
			return ML_DEC_EFORMAT;
		q = out + at * h->w;
		v = load(p, h->w);
		if (based)
			v = from_order(e, (to_order(e, load(q, h->w)) + v) &
				mask(h->w * 8u));
		store(q, h->w, v);
		p += h->w;
	}
	return p == end ? 0 : ML_DEC_EFORMAT;
}

int ml_fast_decode(struct ml_fast *f, const struct ml_fast_head *h,
	const uint8_t *p, size_t n, const uint8_t *base, uint8_t *out,
	size_t n_out)
{
	const uint8_t *end = p + n, *map;
	const int based = ML_FAST_BASED(h->form);
	const size_t units = n_out / h->w;
	struct ml_fast_elem e;
	size_t left, at, k;
	int r;

	p += h->len;
	ml_fast_elem(&e, h->type);
	if (h->form >= ML_FAST_FILL)
		return exceptions(&e, h, p, end, base, out, units);
	r = zero_map(&p, end, units, &map, &left);
	if (r)
		return r;
	if (h->form == ML_FAST_PLANES) {
		f->u.planes.e = e;
		r = planes_open(f, p, end, left);
	} else {
		f->u.resid.e = e;
		r = resid_open(f, p, end, left);
	}
	if (r)
		return r;
	if (map) {
		if (sparse(f, h, map, base, out, units))
			return ML_DEC_EFORMAT;
	} else {
		for (at = 0; at < units; at += k) {
			k = units - at < ML_FAST_CHUNK ? units - at :
				ML_FAST_CHUNK;
			if (chunk(f, h, based ? base + at * h->w : NULL,
				out + at * h->w, k))
				return ML_DEC_EFORMAT;
		}
	}
	/* everything that came was meant */
	if (h->form == ML_FAST_PLANES ? f->u.planes.esc != f->u.planes.esc_end :
		f->u.resid.esc != f->u.resid.esc_end ||
		f->u.resid.pos != f->u.resid.nbits)
		return ML_DEC_EFORMAT;
	return rans_close(&f->rans);
}

#endif
