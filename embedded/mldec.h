/* SPDX-License-Identifier: MIT */
/*
 * The decoder of mallorn patches, ml-patch(5): the same source on a server
 * and on a microcontroller. Freestanding C11: no heap, no libc beyond memcpy,
 * memmove and memset, no recursion, no 64-bit division, no unaligned access.
 *
 *	ml_dec_init(&d, &io, arena, sizeof arena, buf, sizeof buf);
 *	for (;;) {
 *		r = ml_dec_feed(&d, p, n, &used);
 *		p += used, n -= used;
 *		ML_DEC_MORE    give it more patch bytes
 *		ML_DEC_HEADER  look at d.hdr, check the base, then go on
 *		ML_DEC_AGAIN   a piece of work is done: call again (feed the dog)
 *		ML_DEC_FULL    a callback said 0: call again when it can go on
 *		ML_DEC_DONE    the target is complete: compare its digest
 *		< 0            refused; nothing more will come
 *	}
 *
 * The decoder checks the CRC of the header and of every record, every length
 * and every offset. It computes no SHA-256: the caller has the base, sees the
 * target go by (or reads it back from flash), and compares both with the
 * header's digests. Until the target's digest has matched, what was written
 * must not be used.
 */
#ifndef ML_DEC_H
#define ML_DEC_H

#include <stddef.h>
#include <stdint.h>

/* Largest memory class that is compiled in: 1 nano, 2 micro, 3 full. */
#ifndef ML_DEC_CLASS
#define ML_DEC_CLASS 3
#endif

/* -DML_DEC_OFF32: files below 4 GiB only, smaller and faster on 32 bits. */
#ifdef ML_DEC_OFF32
typedef uint32_t ml_off;
typedef int32_t ml_soff;
#else
typedef uint64_t ml_off;
typedef int64_t ml_soff;
#endif

/* For class nano: element types that are compiled in, a bit each; a patch with
 * another one is refused with ML_DEC_EVERSION. */
#if ML_DEC_CLASS >= 2
#undef ML_DEC_TYPES
#define ML_DEC_TYPES 0x3ffffffffff
#elif !defined(ML_DEC_TYPES)
#ifdef ML_DEC_OFF32
#define ML_DEC_TYPES 0xeef
#else
#define ML_DEC_TYPES 0xfff
#endif
#elif defined(ML_DEC_OFF32) && ML_DEC_TYPES & 0x110
#error "elements of 64 bits need numbers of 64 bits"
#endif
#define ML_HAS_FLOATS ((ML_DEC_TYPES & 0x7e0) != 0)
#define ML_HAS_PAIRS ((ML_DEC_TYPES & 0x800) != 0)
#define ML_HAS_REQUANT (ML_DEC_CLASS >= 2)
/* For class nano, too: whether elements of the base can be cast to another
 * type; else a patch that needs it is refused with ML_DEC_EVERSION. */
#if ML_DEC_CLASS >= 2
#undef ML_DEC_CASTS
#define ML_DEC_CASTS 1
#elif !defined(ML_DEC_CASTS)
#define ML_DEC_CASTS 0
#endif

#define ML_PATCH_MAGIC "\xD3mlp"
#define ML_HDR_MAX 384 /* bytes of a header, CRC included */
#ifndef ML_DEC_HDR
#define ML_DEC_HDR ML_HDR_MAX /* a longer one is refused with ML_DEC_ECLASS */
#endif
#define ML_HDR_MIN 12 /* bytes that tell how long the header is */
#define ML_HF_BASE 1u /* header flags: needs a base, */
#define ML_HF_IN_PLACE 2u /* and may replace it page by page */
#define ML_HF_XXH3 4u /* digests are XXH3-128; of class full only */
#if ML_DEC_CLASS >= 3
#define ML_HF_KNOWN (ML_HF_BASE | ML_HF_IN_PLACE | ML_HF_XXH3)
#else
#define ML_HF_KNOWN (ML_HF_BASE | ML_HF_IN_PLACE)
#endif

enum ml_class { ML_NANO = 1, ML_MICRO = 2, ML_FULL = 3 };

enum ml_dec_status {
	ML_DEC_MORE = 0,
	ML_DEC_HEADER = 1,
	ML_DEC_AGAIN = 2,
	ML_DEC_FULL = 3,
	ML_DEC_DONE = 4,
	ML_DEC_EFORMAT = -1, /* not a patch, or one that breaks a rule */
	ML_DEC_EVERSION = -2, /* of a version or with a feature unknown here */
	ML_DEC_ECLASS = -3, /* needs more memory than this decoder was given */
	ML_DEC_ECRC = -4, /* damaged */
	ML_DEC_EIO = -5 /* a callback failed */
};

/* Extension fields. */
#define ML_EXT_BODY 0x01 /* SHA-256 of the body */
#define ML_EXT_TYPES 0x0f /* element types of coder 2, a bit each */
#define ML_EXT_SIG 0x81 /* signature */
#define ML_EXT_IMAGE 0x82 /* sizes of the images */
#define ML_EXT_PAGE 0x83 /* how a patch in place replaces its base */
#define ML_PAGE_MIN 4
#define ML_PAGE_MAX 30
#define ML_SIG_FIELD 73 /* bytes of a signature field's value: */
#define ML_SIG_ED25519 1 /* the algorithm, and then */
#define ML_KEY_ID_LEN 8
#define ML_SIG_LEN 64

struct ml_hdr {
	uint8_t version, cls, flags;
	uint8_t page; /* log2, with ML_HF_IN_PLACE; else 0 */
	uint8_t lead; /* pages that the base is moved up before */
	ml_off release; /* release counter, 0: none */
	ml_off target_size, base_size, body_len;
	ml_off window; /* farthest copy from the target itself, 0: none */
#if ML_DEC_CLASS >= 3
	/* What the records make, and are made from: the files' sizes, but for
	 * files with deflated parts (wrapped). */
	ml_off target_image, base_image;
	uint8_t wrapped;
	uint64_t types; /* of coder 2, that the header tells */
#endif
	/* Into the memory that was parsed; base_sha only with ML_HF_BASE. */
	const uint8_t *target_sha, *base_sha;
	const uint8_t *body_sha; /* NULL: not told */
	/* The signature, of the sig_off bytes of the header before it, of
	 * which the last ML_KEY_ID_LEN are the key's id. NULL: not signed.
	 * Only its form was checked. */
	const uint8_t *sig;
	const uint8_t *ext; /* extension fields, already checked for form */
	uint16_t ext_len, sig_off;
	uint16_t len; /* of the whole header */
};

/* Parses a header at p[0..n). Returns its length; 0 when more bytes are
 * needed (never for n >= ML_HDR_MAX); or a negative status. */
int ml_hdr_parse(const uint8_t *p, size_t n, struct ml_hdr *h);

/* CRC-32 (IEEE 802.3); start with 0. Bitwise over a table of 64 bytes; with
 * -DML_DEC_CRC32=F by uint32_t F(uint32_t crc, const void *p, size_t n). */
uint32_t ml_dec_crc32(uint32_t crc, const uint8_t *p, size_t n);

struct ml_dec_io {
	void *ctx;
	/* Copies up to n bytes of the base at off. Returns how many (at least
	 * one), 0 for "not now", < 0 for failure. Offsets were checked
	 * against the header's base_size. */
	int (*base)(void *ctx, ml_off off, uint8_t *dst, unsigned n);
	/* The same from the part of the target already given to `write`.
	 * Never farther back than the header's window. */
	int (*target)(void *ctx, ml_off off, uint8_t *dst, unsigned n);
	/* Takes up to n bytes of the target, in order. Same returns. */
	int (*write)(void *ctx, const uint8_t *src, unsigned n);
};

/* Bytes of the arena for the probabilities of a class; it also holds the
 * header until the first feed after ML_DEC_HEADER, so never less than
 * ML_DEC_HDR. */
#if ML_DEC_HDR > 262
#define ML_ARENA_NANO ((ML_DEC_HDR + 1) & ~1)
#else
#define ML_ARENA_NANO 262
#endif
#define ML_ARENA_MICRO 14336
#define ML_ARENA_FULL 4194304
size_t ml_dec_arena(int cls); /* 0 for an unknown class */

/* Bytes that one step of decoding may need. */
#if ML_DEC_CLASS < 2 && defined(ML_DEC_OFF32)
#define ML_DEC_LOOK 32
#else
#define ML_DEC_LOOK 48
#endif
#define ML_DEC_BUF_MIN 16

/* On large machines the coder is worth being written out for every type of
 * element; on small ones its size counts. */
#ifdef ML_INLINE
/* as whoever compiles it wants it */
#elif ML_DEC_CLASS >= 3 && defined(__GNUC__)
#define ML_INLINE static inline __attribute__((always_inline))
#else
#define ML_INLINE static
#endif
/* Everywhere worth it: what is done for each element, in one place. */
#ifdef __GNUC__
#define ML_HOT static inline __attribute__((always_inline))
#else
#define ML_HOT static inline
#endif
/* There, what lies beside the longest chain of calls must not add to it. */
#if ML_DEC_CLASS < 2 && defined(__GNUC__)
#define ML_SIDE static __attribute__((noinline))
#define ML_FLAT static inline __attribute__((always_inline))
#else
#define ML_SIDE static
#define ML_FLAT static inline
#endif

#define ML_TOP (1u << 24) /* the coder's range is kept at least so large */

/* The range coder and its input. A private part of struct ml_dec. */
struct ml_rc {
	const uint8_t *p, *lim; /* next byte, end of what may be read */
	uint32_t range, code;
	uint32_t raw; /* reservoir of raw bits */
	uint32_t nraw;
};

#if ML_DEC_CLASS >= 2
/* What the model of coder 1 remembers beside its chances. */
struct ml_state {
	uint16_t *prob;
	const struct ml_layout *lay;
	ml_soff disp[2]; /* last displacements of base references */
	ml_off dist; /* last distance of a copy from the target */
	uint16_t e0;
	uint16_t scale_b, scale_t; /* last f16 of a DIFF: base's, target's */
	uint32_t ratio; /* of both, when ratio_set */
	uint8_t ratio_set;
	uint16_t type; /* the descriptor */
	uint8_t set, k0, c0, tz;
	uint8_t op; /* last op */
	uint8_t k1, k2; /* classes of the last two elements */
	uint8_t last; /* literal byte */
#if ML_DEC_CLASS >= 3
	uint16_t avg; /* of the last ml_qblock */
	struct ml_mixed *mix; /* in the arena; NULL: the class has none */
	uint8_t seen; /* the descriptor's: how elements alone are told */
	uint8_t calm; /* and whether their chances change less */
	uint8_t used; /* sets of chances since the reset; bit 7: blocks' */
#endif
};
#endif

/* What tells how elements are coded by coder 2: those of a DIFF, or others. */
struct ml_desc {
	int16_t h; /* reference: highest context, centre or bound */
	uint8_t s; /* shift of contexts, or of the reference */
	uint8_t tz, type;
	uint8_t ctx[16]; /* for each context highest class less 1, group */
};

/* The same as ml_state for coder 2. */
struct ml_nano {
	uint16_t *prob;
	ml_off arg[2]; /* last displacement, last distance */
	ml_off moved; /* by which the displacement changed last */
	struct ml_desc desc[2];
	uint8_t k1, k2; /* steps of the last two elements without a base */
#if ML_HAS_REQUANT
	uint16_t scale_b, scale_t; /* last f16 of a DIFF: base's, target's */
#endif
#if ML_DEC_CASTS
	uint32_t scale; /* of a cast to codes: the bits of a f32; */
	int16_t zero; /* and its zero point */
#endif
};

#if ML_DEC_CLASS >= 3
#include "mlfast.h"
#include "mlblock.h"
#endif

/* Caller-owned; its size may change, its contents are private but hdr. In a
 * decoder for class nano only, hdr is gone after the first feed after
 * ML_DEC_HEADER. */
struct ml_dec {
#if ML_DEC_CLASS < 2
	union {
		struct ml_hdr hdr;
		struct {
			struct ml_rc rc;
			uint8_t carry[ML_DEC_LOOK];
		};
	};
	ml_off target_size, base_size, window; /* of hdr */
#else
	struct ml_hdr hdr;
	struct ml_rc rc;
	uint8_t carry[ML_DEC_LOOK];
#endif
	const struct ml_dec_io *io;
	uint8_t *arena, *buf;
	size_t arena_n;
	ml_off tpos; /* target bytes decoded, those in buf included */
	ml_off body; /* body bytes not yet taken */
	ml_off left, rec_out; /* of the record: bytes to come, and to make */
	ml_off len; /* what is left of the op: bytes */
	ml_off arg; /* base offset or distance of the op */
	struct ml_nano nano;
#if ML_DEC_CLASS >= 2
	struct ml_state st;
#endif
	uint32_t crc;
	uint16_t cap, fill, drain, ahead; /* of buf */
#if ML_DEC_CLASS >= 2
	uint16_t fleft; /* elements left in the field of a block */
	uint8_t field;
	uint8_t nfrom, ncast; /* bytes of from: read, and left when cast */
	uint8_t from[128]; /* a block that is cast */
#endif
	uint8_t op; /* of the operation */
	uint16_t type;
	uint8_t state, coder;
	uint8_t carry_n;
	int8_t err;
#if ML_DEC_CLASS < 2 && ML_DEC_CASTS
	uint8_t page; /* of hdr */
#endif
#if ML_DEC_CLASS >= 3
	uint8_t block; /* what is done with a block */
	uint8_t bytes[256]; /* of a block: base's, then target's */
	struct ml_qblock blk;
	uint16_t crossed; /* weights of st.mix->cross that are blocks already */
	/* To be set after ml_dec_init: memory for records of coder 3, without
	 * which they are refused with ML_DEC_ECLASS; and a faster
	 * ml_dec_crc32 for payloads, or NULL. */
	struct ml_fast *fast;
	uint32_t (*crc32)(uint32_t crc, const void *p, size_t n);
#endif
};

/* The arena may be smaller than a class wants: a patch that needs more is
 * then refused with ML_DEC_ECLASS. It must be aligned for uint16_t and hold
 * at least ML_DEC_HDR bytes, buf at least ML_DEC_BUF_MIN (at most 65528).
 * Nothing is freed: forget the struct when done. */
void ml_dec_init(struct ml_dec *d, const struct ml_dec_io *io, void *arena,
	size_t arena_n, void *buf, size_t buf_n);

#if ML_DEC_CLASS >= 3
/* Makes a fresh decoder begin at a record of a patch with this header, at
 * target offset tpos, and be done after `body` bytes at target offset `end`. No
 * range-coded record there may need chances from before it. */
void ml_dec_part(struct ml_dec *d, const struct ml_hdr *h, ml_off tpos,
	ml_off end, ml_off body);
#endif

/* Takes patch bytes; *used says how many. One call makes at most one buf of
 * target bytes and takes at most a record of input. */
int ml_dec_feed(struct ml_dec *d, const uint8_t *in, size_t n, size_t *used);

#endif
