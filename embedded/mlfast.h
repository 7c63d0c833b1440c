/* SPDX-License-Identifier: MIT */
/*
 * Coder 3 of ml-patch(5): fast planes. A record is one block of elements that
 * needs nothing of the records before it: symbols (exponents, or classes of
 * residuals) by 128 interleaved rANS states with chances of 8 bits, all other
 * bits as they are.
 *
 * The scalar kernels of mlfast.c are the decoder. Others, which compute the
 * same with the vectors of some CPU, may be put in their place: struct
 * ml_fast_kern.
 */
#ifndef ML_FAST_H
#define ML_FAST_H

#include <stddef.h>
#include <stdint.h>

#define ML_FAST_MAX (1u << 19) /* bytes of the target that a block makes */
#define ML_FAST_LANES 128u /* states */
#define ML_FAST_STATES 256u /* bytes of them */
#define ML_FAST_GROUP 64u /* elements that share a bit of the zero map */
#define ML_FAST_SYMS 64u /* of a block without base, escape included */
#define ML_FAST_CHUNK 2048u /* elements worked on together */
/* Bytes that may be read behind a payload, or written behind what is made. */
#define ML_FAST_SLACK 640u
#define ML_FAST_TYPES 11u /* element types 0 to 10 have planes */
#define ML_FAST_ESCAPE 31u /* the symbol of residuals that have no class */

enum ml_fast_form {
	ML_FAST_PLANES = 0, /* elements without a base */
	ML_FAST_RESID = 1, /* residuals in the context of the base */
	ML_FAST_FILL = 2, /* one element all along, and exceptions */
	ML_FAST_CHANGE = 3 /* the base, and exceptions */
};
#define ML_FAST_BASED(form) ((form) & 1u)

/* The states, as planes of their low and high bytes, and the bytes that they
 * take next: those before p. */
struct ml_fast_rans {
	uint8_t lo[ML_FAST_LANES], hi[ML_FAST_LANES];
	const uint8_t *p, *begin;
};

/* Chances of symbols: [context * 32 + symbol], or [symbol] without contexts. */
struct ml_fast_tab {
	uint8_t f[256]; /* frequency */
	uint8_t c[256]; /* sum of those before */
	uint8_t map[8][256]; /* symbol of a slot */
	/* For a search by halves: node j of level l, of a context or of all
	 * symbols, is the last slot below the symbol in the middle. */
	uint8_t node0[64], node1[64], node2[64], node3[64], node4[128];
};

/* What an element consists of. */
struct ml_fast_elem {
	uint8_t w, ebits; /* bytes; bits of a float's exponent, 0: integer */
	uint8_t k, a, o; /* bits as they are: a bytes, and o more */
};

struct ml_fast_planes {
	struct ml_fast_elem e;
	uint8_t lut[ML_FAST_SYMS]; /* values of the symbols */
	unsigned nsym; /* the last one is the escape */
	const uint8_t *esc, *esc_end, *raw, *odd;
};

struct ml_fast_resid {
	struct ml_fast_elem e;
	unsigned e0;
	uint8_t m[8]; /* low bits that make no class, by context */
	uint8_t m_any;
	const uint8_t *esc, *esc_end;
	const uint8_t *bits; /* signs and low bits */
	uint64_t pos, nbits;
};

/* All of these return 0, or -1 where the block lies. n is at most
 * ML_FAST_CHUNK; of symbols a multiple of ML_FAST_LANES. Inputs may be read,
 * and outputs written, up to ML_FAST_SLACK bytes behind their end. */
struct ml_fast_kern {
	const char *name;
	/* ctx NULL: there are no contexts. */
	int (*symbols)(struct ml_fast_rans *r, const struct ml_fast_tab *t,
		const uint8_t *ctx, uint8_t *sym, size_t n);
	int (*planes)(struct ml_fast_planes *p, const uint8_t *sym,
		uint8_t *out, size_t n);
	void (*contexts)(const struct ml_fast_resid *r, const uint8_t *base,
		uint8_t *ctx, size_t n);
	/* out may be base. */
	int (*resid)(struct ml_fast_resid *r, const uint8_t *sym,
		const uint8_t *base, uint8_t *out, size_t n);
};
extern const struct ml_fast_kern ml_fast_scalar;

/* What a payload begins with. */
struct ml_fast_head {
	uint8_t form, type, w;
	uint64_t at; /* of the base, if it is based */
	size_t len; /* bytes of it */
};
/* 0, or a negative enum ml_dec_status; n_out: what the record says. */
int ml_fast_head(struct ml_fast_head *h, const uint8_t *p, size_t n,
	uint64_t n_out);

/* Memory of a decoder for these blocks. */
struct ml_fast {
	const struct ml_fast_kern *kern;
	struct ml_fast_head head;
	size_t n, done; /* bytes in `in`; of out, come or gone */
	struct ml_fast_rans rans;
	struct ml_fast_tab tab;
	union {
		struct ml_fast_planes planes;
		struct ml_fast_resid resid;
	} u;
	uint8_t sym[ML_FAST_CHUNK + ML_FAST_SLACK];
	uint8_t ctx[ML_FAST_CHUNK + ML_FAST_SLACK];
	uint8_t part[8 * ML_FAST_CHUNK + ML_FAST_SLACK];
	uint8_t in[ML_FAST_MAX + ML_FAST_SLACK]; /* payload */
	uint8_t out[ML_FAST_MAX + ML_FAST_SLACK]; /* base, then target */
};

/* Decodes the payload p[0..n), whose head is *h, into out[0..n_out); `base` has
 * as many bytes when it is based, and may be `out`. Only the fields kern to
 * part of *f are used. 0, or a negative enum ml_dec_status. */
int ml_fast_decode(struct ml_fast *f, const struct ml_fast_head *h,
	const uint8_t *p, size_t n, const uint8_t *base, uint8_t *out,
	size_t n_out);

/* Tables of chances from f: c, map and nodes. A context that has none gets
 * some. */
void ml_fast_table(struct ml_fast_tab *t, unsigned contexts, unsigned nsym);
void ml_fast_elem(struct ml_fast_elem *e, unsigned type);
/* Context of a base's element: 0 to 7. */
unsigned ml_fast_context(const struct ml_fast_elem *e, unsigned e0,
	uint64_t b);

#endif
