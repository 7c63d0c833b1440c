/* SPDX-License-Identifier: MIT */
/* What decoders of more than class nano know beyond coder 2: plain records,
 * coder 1, and types whose unit is more than an element. A part of mldec.c. */

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

/* An operation of coder 0: op byte, type of elements, LEB128 numbers. */
static int plain_op(struct ml_dec *d)
{
	const uint8_t *q = d->rc.p, *end = d->rc.lim;
	unsigned op, type = 0;
	ml_off n, at = 0;
	int r;

	if (q == end)
		return ML_DEC_EFORMAT;
	op = *q++;
	if (op > ML_OP_ALONE)
		return ML_DEC_EFORMAT;
	if (op == ML_OP_DIFF || op == ML_OP_ALONE) {
		if (q == end)
			return ML_DEC_EFORMAT;
		type = *q++;
		if (!type_known(type))
			return ML_DEC_EVERSION;
	}
	if (!varint(&q, end, &n) || (op != ML_OP_LIT && op != ML_OP_ALONE &&
		!varint(&q, end, &at)))
		return ML_DEC_EFORMAT;
	d->rc.p = q;
	r = begin(d, op, type, n);
	if (r == GO_ON && op != ML_OP_LIT && op != ML_OP_ALONE)
		r = address(d, op, at);
	d->state = S_RUN;
	return r;
}

/* The same of coder 1, a part at a time so that each fits ML_DEC_LOOK. */
static int range_op(struct ml_dec *d)
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

static unsigned elements(struct ml_dec *d, unsigned kind, int alone,
	unsigned m, int last)
{
	struct ml_rc rc = d->rc;
	struct ml_state *s = &d->st;
	uint8_t *p = d->buf + d->fill;
	unsigned i = 0;

	if (!alone && (kind == ML_K_R4 || kind == ML_K_R8)) {
		i = requantised(d, &rc, kind, p, m, last);
		d->rc = rc;
		return i;
	}
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
	if (alone && s->seen && d->coder == CODER_RANGE) {
		const unsigned w = ml_kind_bytes[kind], eb = ml_kind_ebits[kind];

		for (; i < m; i++, p += w) {
			if (rc.lim - rc.p < ML_DEC_LOOK && !last)
				break;
			store(p, w, model_seen(&rc, s, w * 8, eb, 0, 0));
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

/* The same of coder 2: any kind. */
static unsigned nano_field(struct ml_dec *d, unsigned kind, unsigned m,
	int last)
{
	const unsigned w = ml_kind_bytes[kind], pair = (unsigned)ml_kind_pair(kind);
	const unsigned bits = pair ? 4 : w * 8, up = (unsigned)ML_W - bits;
	const int alone = d->op == ML_OP_ALONE;
	const unsigned slot = ml_type_slot(ml_type_made(d->type), kind, alone);
	struct ml_nano *s = &d->nano;
	struct ml_rc *rc = &d->rc;
	uint8_t *p = d->buf + d->fill;
	unsigned i, j;

	for (i = 0; i < m; i++, p += w) {
		ml_word b = load(p, w), t = 0, x, y;

		if (rc->lim - rc->p < ML_DEC_LOOK && !last)
			break;
		for (j = 0; j <= pair; j++) {
			x = pair ? b >> 4 * j & 15 : b;
			if (!alone && (kind == ML_K_R4 || kind == ML_K_R8))
				y = nano_requant(rc, s, slot, bits,
					(unsigned)x, 0);
			else
				y = nano_element(rc, s, slot, alone,
					kind >= ML_K_FLOAT, bits, x << up,
					0) >> up;
			t |= y << 4 * j;
		}
		if (!alone && kind == ML_K_F16) {
			s->scale_b = (uint16_t)b;
			s->scale_t = (uint16_t)t;
		}
		store(p, w, t);
	}
	return i;
}

/* Coder 0: the residuals lie there as they are. */
static unsigned plain_elements(struct ml_dec *d, unsigned kind, unsigned m)
{
	unsigned w = ml_kind_bytes[kind], i, bits = w * 8;
	uint8_t *p = d->buf + d->fill;

	for (i = 0; i < m && (unsigned)(d->rc.lim - d->rc.p) >= w; i++) {
		ml_word b = load(p, w), r = load(d->rc.p, w);

		d->rc.p += w;
		if (ml_kind_pair(kind))
			b = ((b + r) & 15) | (((b & 0xf0) + (r & 0xf0)) & 0xf0);
		else if (kind >= ML_K_FLOAT)
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
	const int cross = ml_type_crossed(d->type);
	const enum ml_bform form = cross ? ML_CROSS_FORM(d->type) :
		(enum ml_bform)(d->type - ML_TYPE_BLOCK);
	const unsigned w = ml_b_bytes(form), need = ml_type_base(d->type);
	const int alone = d->op == ML_OP_ALONE;
	uint8_t *from = cross ? d->st.mix->cross.raw : d->bytes;
	struct ml_qblock *k = &d->blk;
	unsigned n;
	int r;

	if (d->block == B_READ) {
		while (!alone && !(cross && d->crossed) && d->ahead < need) {
			r = d->io->base(d->io->ctx, d->arg + d->ahead,
				from + d->ahead, need - d->ahead);
			if (r <= 0)
				return r ? ML_DEC_EIO : ML_DEC_FULL;
			d->ahead = (uint16_t)(d->ahead + r);
		}
		ml_qblock_begin(k, form, alone, d->st.avg);
		if (cross && !d->crossed)
			ml_x_load(&d->st.mix->cross, ML_CROSS_FROM(d->type),
				ml_x_weights(form, ML_CROSS_FROM(d->type)));
		if (cross)
			ml_qblock_cross(k, &d->st.mix->cross, d->crossed);
		else if (!alone)
			ml_qblock_bits(form, &k->b, d->bytes, 0);
		d->block = B_DECODE;
	}
	if (d->block == B_DECODE) {
		k->x = cross ? &d->st.mix->cross : NULL; /* d may have been moved */
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
	d->arg += alone || cross ? 0 : n;
	if (d->ahead == w) {
		d->block = B_READ;
		d->ahead = 0;
		if (cross)
			d->crossed = (uint16_t)(d->crossed +
				ml_b_weights(form));
		if (cross && d->crossed ==
			ml_x_weights(form, ML_CROSS_FROM(d->type))) {
			d->crossed = 0;
			d->arg += need;
		}
	}
	return GO_ON;
}
#endif

/* Up to n bytes of the base, as a callback has them; of what a block is cast
 * to, if it is cast. */
static int base_bytes(struct ml_dec *d, uint8_t *dst, unsigned n)
{
	const unsigned v = ML_CAST_FROM_BYTES(d->type);
	uint32_t x[ML_CAST_BLOCK];
	unsigned i, unit;
	int k;

	if (d->type < ML_TYPE_KEPT)
		return d->io->base(d->io->ctx, d->arg + d->ahead, dst, n);
	unit = ml_type_bytes(ml_type_made(d->type));
	if (!d->ncast) {
		while (d->nfrom < v * ML_CAST_BLOCK) {
			k = d->io->base(d->io->ctx, d->arg + d->nfrom,
				d->from + d->nfrom, v * ML_CAST_BLOCK - d->nfrom);
			if (k <= 0)
				return k;
			d->nfrom = (uint8_t)(d->nfrom + k);
		}
		for (i = 0; i < ML_CAST_BLOCK; i++)
			x[i] = ml_cast_from(ML_CAST_FROM(d->type),
				(uint32_t)load(d->from + v * i, v));
		ml_cast_quantise(d->type >> 2 & 1, x, d->from);
		d->nfrom = 0;
		d->ncast = (uint8_t)unit;
		d->arg += v * ML_CAST_BLOCK;
	}
	if (n > d->ncast)
		n = d->ncast;
	memcpy(dst, d->from + unit - d->ncast, n);
	d->ncast = (uint8_t)(d->ncast - n);
	return (int)n;
}

/* Works on a DIFF or ALONE. */
static int run_fields(struct ml_dec *d, int last)
{
	const int alone = d->op == ML_OP_ALONE;
	const struct ml_type *t;
	int k;
	unsigned kind, w, m, done;

#if ML_DEC_CLASS >= 3
	if (ml_type_crossed(d->type) ||
		(ml_type_block(d->type) && d->coder == CODER_RANGE))
		return run_blocks(d, last);
#endif
	t = &ml_types[ml_type_made(d->type)];
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
			k = base_bytes(d, d->buf + d->fill + d->ahead,
				m * w - d->ahead);
			if (k < 0)
				return ML_DEC_EIO;
			d->ahead = (uint16_t)(d->ahead + k);
		}
		if (d->ahead < w)
			return ML_DEC_FULL;
		if (m > d->ahead / w)
			m = d->ahead / w;
	}
	if (ml_type_swapped(d->type)) /* base in, target out */
		ml_swap(d->buf + d->fill, w, m);
	done = d->coder == CODER_RANGE ?
		elements(d, kind, alone, m, last) : d->coder == CODER_NANO ?
		nano_field(d, kind, m, last) : plain_elements(d, kind, m);
	if (ml_type_swapped(d->type))
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
		d->arg += d->type < ML_TYPE_KEPT ? done : 0;
		d->ahead = (uint16_t)(d->ahead - done);
	}
	return GO_ON;
}
/* Works on a LIT of coder 1, buf not being full. */
static int run_literals(struct ml_dec *d, int last)
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


/* Whether that is how the current operation is coded. */
static int wide(const struct ml_dec *d)
{
	if (d->op == ML_OP_LIT)
		return d->coder == CODER_RANGE;
	return d->op == ML_OP_DIFF || (d->op == ML_OP_ALONE && d->coder) ?
		d->coder != CODER_NANO ||
		ml_type_made(d->type) >= ML_NSIMPLE : 0;
}

static int run_wide(struct ml_dec *d, int last)
{
	if (d->op != ML_OP_LIT)
		return run_fields(d, last);
	return d->fill == d->cap ? drained(d) : run_literals(d, last);
}
