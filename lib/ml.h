/* SPDX-License-Identifier: MIT */
/*
 * mallorn: delta updates for machine-learning models.
 *
 * The one public header of libmallorn. What a function does with its
 * arguments is said here; how the bytes lie is said in ml-stream(5) and
 * ml-patch(5). The library never prints, never exits, keeps no global state
 * and takes no locale. Unless a comment says otherwise a function returns
 * ML_OK or a negative enum ml_err, and fills *diag (never NULL) on failure.
 * Sizes and offsets are bytes, counted from the start of the file.
 */
#ifndef ML_H
#define ML_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ML_VERSION_STRING "0.1.0"
#define ML_STREAM_VERSION 1 /* ml-stream(5), major */
#define ML_PATCH_VERSION 1 /* ml-patch(5) */

/* ===== errors =========================================================== */

enum ml_err {
	ML_OK = 0,
	/* the input is at fault */
	ML_EFORMAT = -10, /* malformed */
	ML_ETRUNC = -11, /* ends too early */
	ML_ECHECK = -12, /* a CRC-32 does not match */
	ML_ELIMIT = -13, /* larger than a documented cap */
	/* the decoder refuses */
	ML_EVERSION = -20, /* format version or feature unknown here */
	ML_ECLASS = -21, /* memory class too large for this decoder */
	ML_EBASE = -22, /* not the base that the patch was made for */
	ML_EDIGEST = -23, /* the result has not the promised digest */
	ML_EAUTH = -24, /* not signed by a key that is trusted here */
	ML_EOLD = -25, /* a release below the least that is accepted */
	/* the system is at fault */
	ML_ENOMEM = -30,
	ML_EIO = -31, /* diag->errnum says what */
	/* the caller is at fault */
	ML_EINVAL = -40
};

#define ML_DIAG_MAX 200

/* Where and why something failed. `why` is one lower-case clause without a
 * full stop; bytes taken from the input are escaped by ml_escape(). */
struct ml_diag {
	uint64_t off; /* byte offset in the input, or ML_NOWHERE */
	int errnum; /* errno of an ML_EIO, else 0 */
	char why[ML_DIAG_MAX];
};
#define ML_NOWHERE UINT64_MAX

/* Fills *diag and returns `err`, for `return ml_fail(...)`. */
int ml_fail(struct ml_diag *diag, int err, uint64_t off, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The same for ML_EIO, taking errno. */
int ml_fail_errno(struct ml_diag *diag, const char *what);
/* ML_EVERSION: what only later versions know, and so what to upgrade. */
int ml_fail_newer(struct ml_diag *diag, uint64_t off, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A short constant text for an error number. Never NULL. */
const char *ml_strerror(int err);
/* Copies `n` bytes of hostile text to dst (cap >= 1), control bytes, the
 * backslash and bytes >= 0x80 that are not UTF-8 as \xNN; always ends in NUL
 * and cuts with "..." when it does not fit. Returns dst. */
char *ml_escape(char *dst, size_t cap, const char *text, size_t n);

/* ===== random access to bytes =========================================== */

/* A file, or something spooled to an unlinked temporary file in $TMPDIR (or
 * /tmp). Opaque; one thread at a time. */
struct ml_src;

/* Opens a path for reading. A regular file is used as it is; anything else
 * (a FIFO, /dev/stdin, a process substitution) is spooled. */
int ml_src_open(struct ml_src **out, const char *path, struct ml_diag *diag);
/* Takes a descriptor, which the caller still owns: regular files are read
 * with pread from their offset 0, all else is spooled from where it stands. */
int ml_src_fd(struct ml_src **out, int fd, struct ml_diag *diag);
/* As ml_src_fd on a pipe, but `head[0..n)` was already read from it. */
int ml_src_fd_head(struct ml_src **out, int fd, const void *head, size_t n,
	struct ml_diag *diag);
/* An empty spool to be filled by ml_src_append. */
int ml_src_spool(struct ml_src **out, struct ml_diag *diag);
int ml_src_append(struct ml_src *s, const void *p, size_t n,
	struct ml_diag *diag);
/* Bytes of a spool again, at `off`. */
int ml_src_put(struct ml_src *s, uint64_t off, const void *p, size_t n,
	struct ml_diag *diag);
void ml_src_cut(struct ml_src *s, uint64_t size); /* a spool, to fewer bytes */
/* Bytes that a function makes: read gives exactly n bytes at off, which lie
 * within size; free, when not NULL, is called with ctx at the end, and also
 * when this fails. */
struct ml_src_ops {
	int (*read)(void *ctx, uint64_t off, void *buf, size_t n,
		struct ml_diag *diag);
	void (*free)(void *ctx);
};
int ml_src_made(struct ml_src **out, uint64_t size,
	const struct ml_src_ops *ops, void *ctx, struct ml_diag *diag);
/* The n bytes of a source from off on, which must lie within it. The source
 * must outlive the view. */
int ml_src_view(struct ml_src **out, struct ml_src *of, uint64_t off,
	uint64_t n, struct ml_diag *diag);
/* The same bytes for another thread; the source must outlive it. ML_EINVAL,
 * without a word, for what a function makes. */
int ml_src_share(struct ml_src **out, const struct ml_src *of,
	struct ml_diag *diag);
void ml_src_free(struct ml_src *s); /* NULL is allowed */
uint64_t ml_src_size(const struct ml_src *s);
/* What changes when somebody writes to the file of a source, as far as the
 * system tells. Returns 0 for what has no such thing. */
struct ml_stamp {
	uint64_t file[2], size;
	int64_t written[2], changed[2];
};
int ml_src_stamp(const struct ml_src *s, struct ml_stamp *st);
/* Reads exactly n bytes at off, else ML_ETRUNC. Small reads are served from a
 * 64 KiB cache. */
int ml_src_read(struct ml_src *s, uint64_t off, void *buf, size_t n,
	struct ml_diag *diag);
/* Writes all bytes of a source. */
int ml_src_copy(struct ml_src *s, FILE *f, struct ml_diag *diag);

/* ===== digests ========================================================== */

#define ML_SHA256_LEN 32

struct ml_sha256; /* opaque; libcrypto's, for the CPU's instructions */
int ml_sha256_new(struct ml_sha256 **out, struct ml_diag *diag);
void ml_sha256_update(struct ml_sha256 *s, const void *p, size_t n);
/* Writes the digest and starts anew. */
void ml_sha256_final(struct ml_sha256 *s, uint8_t out[ML_SHA256_LEN]);
void ml_sha256_free(struct ml_sha256 *s); /* NULL is allowed */
/* The digest of a whole source. */
int ml_src_sha256(struct ml_src *s, uint8_t out[ML_SHA256_LEN],
	struct ml_diag *diag);

/* The digest that a stream or a patch promises. SHA-256 tells that nobody
 * changed the file; XXH3-128 (its 16 bytes as its authors print them, then 16
 * zeros) only that it is whole, at the speed of memory. */
enum ml_sum_kind { ML_SHA256 = 0, ML_XXH3 = 1 };
struct ml_sum;
/* threads > 1: SHA-256 may go on in a thread of its own. */
int ml_sum_new(struct ml_sum **out, int kind, int threads,
	struct ml_diag *diag);
void ml_sum_update(struct ml_sum *s, const void *p, size_t n);
/* Writes the digest and starts anew. */
void ml_sum_final(struct ml_sum *s, uint8_t out[ML_SHA256_LEN]);
void ml_sum_free(struct ml_sum *s); /* NULL is allowed */
/* -1 for an unknown name; "SHA-256", "XXH3-128"; the bytes that are not always
 * zero. */
int ml_sum_by_name(const char *name);
const char *ml_sum_name(int kind);
size_t ml_sum_len(int kind);
/* Of a whole source. */
int ml_src_sum(struct ml_src *s, int kind, uint8_t out[ML_SHA256_LEN],
	struct ml_diag *diag);
/* Of two, at the same time with threads > 1; *which is to blame for a failure.
 */
int ml_src_sums(struct ml_src *const s[2], int kind,
	uint8_t *const out[2], int threads, int *which, struct ml_diag *diag);
/* ML_EBASE unless a source is the base of this size and digest. */
int ml_src_is_base(struct ml_src *s, int kind, uint64_t size,
	const uint8_t sum[ML_SHA256_LEN], struct ml_diag *diag);
/* CRC-32 (IEEE 802.3, as in zlib); start with crc = 0. */
uint32_t ml_crc32(uint32_t crc, const void *p, size_t n);

/* ===== element types ==================================================== */

/* Numbers as in ml-stream(5). 0x100 + n is GGML type n. */
enum ml_dtype {
	ML_DT_OPAQUE = 0,
	ML_DT_U8 = 1, ML_DT_I8 = 2, ML_DT_U16 = 3, ML_DT_I16 = 4,
	ML_DT_U32 = 5, ML_DT_I32 = 6, ML_DT_U64 = 7, ML_DT_I64 = 8,
	ML_DT_F16 = 9, ML_DT_BF16 = 10, ML_DT_F32 = 11, ML_DT_F64 = 12,
	ML_DT_F8_E4M3 = 13, ML_DT_F8_E5M2 = 14, ML_DT_BOOL = 15,
	ML_DT_C64 = 16, ML_DT_C128 = 17, ML_DT_U4 = 18, ML_DT_I4 = 19,
	ML_DT_F8_E4M3FNUZ = 20, ML_DT_F8_E5M2FNUZ = 21, ML_DT_F8_E8M0 = 22,
	ML_DT_F4_E2M1 = 23, ML_DT_STRING = 24,
	ML_DT_GGML = 0x100
};

struct ml_dtype_info {
	uint16_t id;
	const char *name; /* "bf16", "q4_K" */
	uint16_t block_bytes; /* bytes of one block; 0: no fixed size */
	uint16_t block_elems; /* elements in one block (2 for u4, 1 for f32) */
};
/* NULL when the number is unknown. */
const struct ml_dtype_info *ml_dtype_find(unsigned id);
/* NULL when the name is unknown. */
const struct ml_dtype_info *ml_dtype_by_name(const char *name);

/* ===== a model: spans of a file ========================================= */

#define ML_RANK_MAX 16 /* dimensions of a tensor */
#define ML_NAME_MAX 65535 /* bytes of a tensor's name */
#define ML_QUANT_MAX 65536 /* scales of a tensor */
#define ML_SPANS_MAX (1u << 24) /* spans of a file */

enum ml_span_kind { ML_SKELETON = 0, ML_TENSOR = 1 };

struct ml_quant {
	int32_t axis; /* dimension that the scales run along; -1: one scale */
	uint32_t n; /* number of scales and of zero points, 1..ML_QUANT_MAX */
	float *scale;
	int64_t *zero;
};

struct ml_span {
	uint64_t off, len; /* bytes of the file */
	uint8_t kind; /* enum ml_span_kind */
	uint8_t rank;
	uint16_t dtype; /* enum ml_dtype; ML_DT_OPAQUE for skeleton */
	uint64_t *shape; /* rank dimensions, outermost first; owned */
	char *name; /* never NULL, "" allowed, may hold NULs; owned */
	uint32_t name_len;
	uint32_t wrap; /* 0, but while reading: 1 + index of the ml_wrap that
			* off counts in */
	struct ml_quant *quant; /* NULL: none; owned */
};

enum ml_container {
	ML_RAW = 0, ML_SAFETENSORS = 1, ML_GGUF = 2, ML_ONNX = 3,
	ML_TFLITE = 4, ML_PYTORCH = 5, ML_TORCH_LEGACY = 6, ML_NPY = 7,
	ML_ZIP = 8, ML_TAR = 9, ML_HDF5 = 10, ML_MILBLOB = 11
};

/* Bytes of a file that are raw deflate (RFC 1951) which zlib makes again,
 * byte for byte. The model sees them inflated: its offsets count in the
 * image, which is the file with all of these inflated. */
struct ml_wrap {
	uint64_t pos, len; /* of the inflated bytes, in the image */
	uint8_t level, mem, strategy; /* arguments of deflateInit2 */
	uint64_t off, clen; /* of the deflated bytes, in the file; these two */
	uint64_t at; /* and the place in a spool only while reading */
};
/* All of one file. n 0: the file is its image. */
struct ml_wraps {
	uint64_t image; /* bytes of the image */
	const struct ml_wrap *w; /* ascending, apart, len at least 1 */
	size_t n;
};

/* Elements of a range in another order, and not all of them: indices of a
 * dimension, in turn. */
#define ML_GATHER_DIMS 6
#define ML_RUN_ZERO UINT64_MAX
struct ml_run {
	uint64_t at; /* in the range; ML_RUN_ZERO: of zeros */
	uint64_t end; /* where it ends in what is made */
};
struct ml_gather {
	uint8_t rank;
	uint8_t order[ML_GATHER_DIMS]; /* dimensions of the range, as made */
	uint64_t dim[ML_GATHER_DIMS]; /* of the range, outermost first */
	uint32_t nrun[ML_GATHER_DIMS]; /* of each of these; 0: all of it */
	struct ml_run *run[ML_GATHER_DIMS];
};

/* A range of a base as another element type: ml-patch(5), CASTS. What casts
 * make lies behind the base's image, one after the other. */
struct ml_cast {
	uint8_t from, to; /* as numbered in ml-patch(5) */
	uint64_t at; /* of what is cast, in the base's image */
	uint64_t units; /* of the type that it is cast to */
	/* To integers: a scale for every `inner` elements, going round. */
	uint64_t inner;
	uint32_t nscale; /* 0 for all others */
	uint32_t *scale; /* bits of f32 */
	int32_t zero;
	/* With a sum of low rank: to each element of rows of `inner`, times
	 * 2^exp, the sum over k of u[row][k] * (v[column][k] << drop[k]). */
	uint16_t rank; /* 0 for all others */
	int16_t exp;
	uint8_t drop[64];
	int32_t *u, *v;
	struct ml_gather *gather; /* NULL for all others; `from` is then the
				* binary logarithm of an element's bytes */
};
struct ml_casts {
	const struct ml_cast *c;
	size_t n;
};

#define ML_DEPTH_MAX 3 /* archives in archives */

struct ml_model {
	int container; /* enum ml_container */
	uint64_t size; /* of the image: the file's, without wraps */
	struct ml_span *span; /* after ml_model_finish: ascending, gapless */
	size_t nspan, cap;
	struct ml_wrap *wrap; /* ascending; owned */
	size_t nwrap;
	struct ml_src *image; /* NULL: the file itself; owned */
	/* while reading */
	int depth; /* archives around it */
	struct ml_src **spool; /* of inflated bytes, made when the first come;
				* NULL: none may be added */
	char note[ML_DIAG_MAX]; /* why a member stayed opaque, or "" */
};

void ml_model_init(struct ml_model *m);
/* What the spans count in: the image of the file s, or s itself. */
struct ml_src *ml_model_src(const struct ml_model *m, struct ml_src *s);
struct ml_wraps ml_model_wraps(const struct ml_model *m); /* borrowed */
void ml_model_free(struct ml_model *m);
/* Appends a tensor in any order; copies name and shape. The range may be
 * wrong: ml_model_finish judges. With a NULL shape, rank must be 0. The new
 * span is m->span[m->nspan - 1] until the next call; a reader may hang a
 * malloc'ed quant onto it. */
int ml_model_add(struct ml_model *m, const char *name, size_t name_len,
	unsigned dtype, unsigned rank, const uint64_t *shape, uint64_t off,
	uint64_t len, struct ml_diag *diag);
/* Appends a copy of a span of any kind, with all that it owns. */
int ml_model_add_span(struct ml_model *m, const struct ml_span *sp,
	struct ml_diag *diag);
/* Sorts the tensors by offset, refuses those that leave the file
 * (ML_EFORMAT), keeps the first of those that share bytes (a buffer used
 * twice) and fills all gaps with skeleton spans. */
int ml_model_finish(struct ml_model *m, uint64_t size, struct ml_diag *diag);
/* Allocates *q for n scales, zero points all 0. */
int ml_quant_new(struct ml_quant **q, int32_t axis, size_t n,
	struct ml_diag *diag);

/* ===== container readers ================================================ */

#define ML_PROBE_LEN 4096

/* One container format. A reader calls ml_model_add for every tensor whose
 * bytes lie in the file, and nothing else; what it does not know is skeleton.
 * It checks every length against the file and allocates after that. */
struct ml_reader {
	int container; /* enum ml_container */
	const char *name; /* for -f and messages */
	/* Whether the file may be of this format, by its first n <=
	 * ML_PROBE_LEN bytes: 0 no, 1 it claims to be, ML_MAYBE it does not
	 * look otherwise. Cheap; may err on the side of yes only when walk
	 * then refuses quickly. */
#define ML_MAYBE 2
	int (*probe)(const uint8_t *head, size_t n);
	/* Adds the tensors. */
	int (*walk)(struct ml_src *s, struct ml_model *m, struct ml_diag *diag);
};
extern const struct ml_reader *const ml_readers[]; /* ends with NULL */
extern const struct ml_reader ml_reader_safetensors, ml_reader_gguf,
	ml_reader_onnx, ml_reader_tflite, ml_reader_pytorch,
	ml_reader_torch_legacy, ml_reader_npy, ml_reader_zip, ml_reader_tar,
	ml_reader_hdf5, ml_reader_milblob;

/* NULL for an unknown name; "raw" is no reader but ml_model_read knows it. */
const struct ml_reader *ml_reader_by_name(const char *name);
const char *ml_container_name(int container);
/* Reads and finishes a model. format NULL: found by content, and what is
 * malformed becomes one opaque span with *diag saying why (diag->why[0] is 0
 * when all was well); "raw": one opaque span; a reader's name: that reader,
 * whose failure is the caller's. An empty file is a model without spans. */
int ml_model_read(struct ml_model *m, struct ml_src *s, const char *format,
	struct ml_diag *diag);
/* The same with deflated parts as they are: no wraps, no image. */
int ml_model_read_as_is(struct ml_model *m, struct ml_src *s,
	const char *format, struct ml_diag *diag);

/* ===== the tensor-record stream, ml-stream(5) =========================== */

#define ML_DATA_MAX (1u << 20) /* bytes of a DATA or BASE payload */
#define ML_CODE_HEAD 24 /* fixed bytes before the coded bytes of CODE */
#define ML_CODE_MAX (ML_DATA_MAX + 1024) /* bytes of a CODE payload */
#define ML_REC_MAX ML_CODE_MAX /* bytes of any payload */
#define ML_CHUNK (1u << 18) /* bytes of a DATA record that our writers use */

#define ML_TAG(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | \
	(uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#define ML_HEAD ML_TAG('H', 'E', 'A', 'D')
#define ML_WRAP ML_TAG('W', 'R', 'A', 'P')
#define ML_CAST ML_TAG('C', 'A', 'S', 'T')
#define ML_SPAN ML_TAG('S', 'P', 'A', 'N')
#define ML_QUNT ML_TAG('q', 'u', 'n', 't')
#define ML_DATA ML_TAG('D', 'A', 'T', 'A')
#define ML_CODE ML_TAG('C', 'O', 'D', 'E')
#define ML_BASE ML_TAG('B', 'A', 'S', 'E')
#define ML_DONE ML_TAG('D', 'O', 'N', 'E')

enum ml_stream_kind { ML_KIND_MODEL = 1, ML_KIND_DELTA = 2 };

struct ml_head {
	uint8_t kind; /* enum ml_stream_kind */
	uint8_t container; /* of the target */
	uint8_t cls; /* memory class of the coded blocks; 0: all are plain */
	uint8_t sum; /* enum ml_sum_kind of the digests here and in DONE */
	uint8_t page; /* log2 of the page of an update in place; 0: none */
	uint8_t lead; /* pages that the base is moved up before */
	uint64_t base_size; /* delta only, else 0 */
	uint8_t base_sha[ML_SHA256_LEN]; /* delta only, else zeros */
};

struct ml_done {
	uint64_t size; /* of the target, or of its image when it has one */
	uint64_t records; /* before DONE, HEAD included */
	uint8_t sha[ML_SHA256_LEN]; /* of the target */
};

/* The deflated parts of a file, which a stream then carries inflated. */
enum ml_side { ML_TARGET_SIDE = 0, ML_BASE_SIDE = 1 };
struct ml_wrapped {
	uint64_t size; /* of the file */
	struct ml_wraps wraps; /* n 0: the file is its own image */
};

/* Reads records one by one and checks what ml-stream(5) says a reader must:
 * magic, version, CRCs, lengths, order of records, contiguous spans, DATA
 * that fits its span, the totals of DONE, nothing after it. */
struct ml_in;
int ml_in_open(struct ml_in **out, FILE *f, struct ml_diag *diag);
void ml_in_free(struct ml_in *in); /* NULL is allowed; does not close f */
/* The next record: *tag, and the payload in a buffer that lives until the
 * next call. Unknown ancillary records (first letter lower case) are skipped.
 * After DONE was returned, the next call gives *tag = 0. */
int ml_in_next(struct ml_in *in, uint32_t *tag, const uint8_t **payload,
	size_t *n, struct ml_diag *diag);
const struct ml_head *ml_in_head(const struct ml_in *in); /* valid at once */
/* What WRAP records said so far; all of it once another record came. */
const struct ml_wrapped *ml_in_wrapped(
	const struct ml_in *in, enum ml_side side);
uint64_t ml_in_offset(const struct ml_in *in); /* of the record returned */

/* Decode payloads; SPAN fills a span whose pointers the caller frees with
 * ml_span_clear; QUNT hangs onto the span. */
int ml_span_decode(struct ml_span *sp, const uint8_t *p, size_t n,
	struct ml_diag *diag);
int ml_quant_decode(struct ml_quant **q, const uint8_t *p, size_t n,
	struct ml_diag *diag);
int ml_done_decode(struct ml_done *d, const uint8_t *p, size_t n,
	struct ml_diag *diag);
void ml_span_clear(struct ml_span *sp);

/* Writes records. Errors of the FILE are ML_EIO. */
struct ml_out {
	FILE *f;
	uint64_t records; /* written so far */
};
int ml_out_open(struct ml_out *o, FILE *f, const struct ml_head *h,
	struct ml_diag *diag);
int ml_out_record(struct ml_out *o, uint32_t tag, const void *payload,
	size_t n, struct ml_diag *diag);
/* The same with a payload in two pieces. */
int ml_out_record2(struct ml_out *o, uint32_t tag, const void *a, size_t na,
	const void *b, size_t nb, struct ml_diag *diag);
/* The same of CAST records. */
const struct ml_casts *ml_in_casts(const struct ml_in *in);
/* Directly after opening; nothing when there are none. */
int ml_out_casts(struct ml_out *o, const struct ml_casts *casts,
	struct ml_diag *diag); /* after the wraps */
int ml_out_wraps(struct ml_out *o, enum ml_side side,
	const struct ml_wrapped *w, struct ml_diag *diag);
int ml_out_span(struct ml_out *o, const struct ml_span *sp,
	struct ml_diag *diag); /* SPAN, and qunt when it has one */
int ml_out_done(struct ml_out *o, uint64_t size,
	const uint8_t sha[ML_SHA256_LEN], struct ml_diag *diag);

/* Reads a whole model stream: the spans and wraps into *m, the bytes of the
 * file (of its image) into a spool; both are the caller's to free, on failure
 * there is neither. *size, *kind (enum ml_sum_kind) and sha are those of the
 * file. Refuses delta streams and coded ones (says "decode it first"). */
int ml_stream_load(FILE *f, struct ml_model *m, struct ml_src **bytes,
	uint64_t *size, int *kind, uint8_t sha[ML_SHA256_LEN],
	struct ml_diag *diag);
/* Reads only the spans, of a stream of any kind. The model is the caller's to
 * free, but on failure it is empty. */
int ml_stream_labels(FILE *f, struct ml_model *m, struct ml_diag *diag);
/* Writes the model stream of (m, s), where s is the file, with a digest of that
 * kind (enum ml_sum_kind): what ml-split does.
 * Progress, when not NULL, is told the bytes done. */
int ml_stream_write(FILE *f, const struct ml_model *m, struct ml_src *s,
	int kind, void (*progress)(void *arg, uint64_t done), void *arg,
	struct ml_diag *diag);

/* The file of a plain model stream, to f: what ml-join does. Its digest is
 * checked at the end. A failure is the output's when ferror(f). */
int ml_stream_join(struct ml_in *in, FILE *f,
	void (*progress)(void *arg, uint64_t done), void *arg,
	struct ml_diag *diag);

/* ===== blocks: the coded target ========================================= */

/* Bytes of literals, elements and residuals in one block, at most. Copies
 * beside them may be of any length. */
#define ML_BLOCK_OUT (1u << 20)

/* The payload of a patch record, ml-patch(5), on its way down the pipe. The
 * bytes belong to the sender and live until the callee returns. */
struct ml_block {
	uint8_t coder; /* first byte of the record: 0 plain, 1 range, |16 */
	uint64_t n_out; /* target bytes it makes, at least 1 */
	const uint8_t *code;
	size_t n; /* bytes of code, at most ML_CODE_MAX - ML_CODE_HEAD */
	const uint8_t *base; /* plain: the base bytes that its DIFFs are */
	size_t nbase; /* read against, in order; else none */
	uint64_t window; /* farthest distance of a SELF inside */
	uint64_t types; /* coder 2: element types in descriptors, a bit each */
};

/* Where a stage sends what it makes. Labels come before the bytes they
 * label, as in the stream. */
struct ml_sink {
	void *ctx;
	int (*span)(void *ctx, const struct ml_span *sp, struct ml_diag *diag);
	int (*block)(void *ctx, const struct ml_block *b,
		struct ml_diag *diag);
};

/* A sink before another one, whose blocks go on in a thread of their own when
 * threads > 1 and there are several. A failure may be told by a later call; end
 * waits for all blocks. */
struct ml_relay;
int ml_relay_new(struct ml_relay **out, const struct ml_sink *next,
	int threads, struct ml_diag *diag);
void ml_relay_free(struct ml_relay *r); /* NULL is allowed */
int ml_relay_span(struct ml_relay *r, const struct ml_span *sp,
	struct ml_diag *diag);
int ml_relay_block(struct ml_relay *r, const struct ml_block *b,
	struct ml_diag *diag);
int ml_relay_end(struct ml_relay *r, struct ml_diag *diag);

/* A tensor of the target, by its offset, that follows from one of the base which
 * is of another type: blocks of GGML from floats or from other blocks. */
struct ml_crossed {
	uint64_t target;
	unsigned type; /* of operations, mltype.h */
	size_t span; /* of the base, with what was added to it */
};

/* Residuals (ml-delta): sends every span of the target and then its plain
 * blocks. `base` may be NULL for a target coded alone. Progress, when not
 * NULL, is told the target bytes done. `log`, when not NULL, gets a line per
 * tensor: what was chosen and its estimated cost. */
struct ml_delta_opt {
	FILE *log;
	uint64_t own; /* for the log: from here on the base is casts; or 0 */
	struct ml_casts casts; /* these */
	const struct ml_crossed *crossed; /* in order of offsets */
	size_t ncrossed;
	void (*progress)(void *arg, uint64_t done);
	void *arg;
	/* Log2 of a page, ML_PAGE_MIN to ML_PAGE_MAX of mldec.h: base bytes
	 * are used only as ml-patch(5), IN PLACE, allows it when the base was
	 * moved up by `lead` pages. 0: anywhere. */
	unsigned page, lead;
	/* What the target has twice is found only where a tensor begins alike.
	 */
	int quick;
	/* Not NULL: be fast. Tensors are looked for by name, type and size only
	 * and given here with their base bytes (NULL: there are none), in
	 * pieces of at most ML_BLOCK_OUT whose choice of coding is the
	 * callee's (ml_zip_pair); only what is no tensor is compared byte by
	 * byte. What was sent before is to be coded before. */
	int (*pair)(void *ctx, unsigned type, uint64_t at, const uint8_t *base,
		const uint8_t *p, size_t n, struct ml_diag *diag);
	void *pair_ctx;
};
/* The lead that such a patch wants: as much as anything that helps needs, but
 * not more than a page beyond what the target is larger by. */
int ml_delta_lead(const struct ml_model *base, struct ml_src *bsrc,
	const struct ml_model *target, struct ml_src *tsrc, unsigned page,
	unsigned *lead, struct ml_diag *diag);
int ml_delta(const struct ml_model *base, struct ml_src *bsrc,
	const struct ml_model *target, struct ml_src *tsrc,
	const struct ml_delta_opt *opt, const struct ml_sink *next,
	struct ml_diag *diag);

/* A base with tensors as the types that the target has them in, where that
 * helps: the casts, a model with these tensors added behind its image, and the
 * source for that. Nothing is added (*src stays NULL) when none helps. */
struct ml_cast_base {
	struct ml_model m; /* spans and size */
	struct ml_src *src; /* NULL: use the base as it was */
	struct ml_cast_src *made; /* the same, for reading here and there */
	struct ml_cast *c;
	size_t n;
	struct ml_crossed *crossed; /* of spans of the base; for ml_delta */
	size_t ncrossed;
	int threads; /* that ml_cast_plan may use; 0 is 1 */
	int cls; /* whose casts it may use; 0 is full */
};
int ml_cast_plan(struct ml_cast_base *out, const struct ml_model *base,
	struct ml_src *bsrc, const struct ml_model *target,
	struct ml_src *tsrc, struct ml_diag *diag);
/* The same of casts that are known; the model is left empty. */
int ml_cast_known(struct ml_cast_base *out, struct ml_src *bsrc,
	const struct ml_casts *casts, struct ml_diag *diag);
void ml_cast_base_free(struct ml_cast_base *b);

/* The blocks of a stream: a CODE record, after a BASE record when b has base
 * bytes. */
int ml_out_block(struct ml_out *o, const struct ml_block *b,
	struct ml_diag *diag);

/* Entropy coding (ml-zipnn): takes spans and plain blocks (or the DATA of a
 * model stream), sends range-coded blocks, each the smaller of both. */
struct ml_zip;
int ml_zip_new(struct ml_zip **out, int cls, const struct ml_sink *next,
	struct ml_diag *diag); /* cls: 1 nano, 2 micro, 3 full */
void ml_zip_free(struct ml_zip *z);
/* Before anything else: a block begins at every multiple of so many target
 * bytes, with a reset, so that a decoder can begin there; but only where there
 * are 4096 bytes of literals, elements or residuals since the last one. 0:
 * nowhere. */
void ml_zip_restart(struct ml_zip *z, uint64_t every);
/* What lies behind `own` in the base that operations refer to is made by
 * casts. Class nano has no other place for them than its operations; the other
 * classes need not be told. src is that base; all must outlive the coder. */
int ml_zip_casts(struct ml_zip *z, const struct ml_casts *casts,
	struct ml_src *src, uint64_t own, struct ml_diag *diag);
/* Before anything else, class full: large runs of elements become fast blocks
 * (coder 3), made by so many threads; 0: as many as there are processors. */
int ml_zip_fast(struct ml_zip *z, unsigned threads, struct ml_diag *diag);
/* Sends the blocks that threads still have, so that what comes between them
 * does not depend on how many threads there are. */
int ml_zip_sync(struct ml_zip *z, struct ml_diag *diag);
/* n bytes of elements of the target, of a type of ml-patch(5) below 11, against
 * the base bytes at `at` (base NULL: without), as a fast block. */
int ml_zip_pair(struct ml_zip *z, unsigned type, uint64_t at,
	const uint8_t *base, const uint8_t *p, size_t n, struct ml_diag *diag);
/* Tells of all spans of the target beforehand, where they are known: rows of
 * tensors help. Spans that come later by ml_zip_span tell the same. */
int ml_zip_know(struct ml_zip *z, const struct ml_model *target,
	struct ml_diag *diag);
int ml_zip_span(struct ml_zip *z, const struct ml_span *sp,
	struct ml_diag *diag);
int ml_zip_block(struct ml_zip *z, const struct ml_block *b,
	struct ml_diag *diag);
int ml_zip_data(struct ml_zip *z, const uint8_t *p, size_t n,
	struct ml_diag *diag); /* of the last span given */
int ml_zip_end(struct ml_zip *z, struct ml_diag *diag); /* sends the rest */

/* The way back: range-coded blocks to plain ones of the same operations.
 * Residuals are read against the base, so blocks that hold some need bsrc.
 * Spans pass through the caller. */
struct ml_unzip;
int ml_unzip_new(struct ml_unzip **out, int cls, struct ml_src *bsrc,
	const struct ml_sink *next, struct ml_diag *diag);
/* Another base than that it was made with, before the first block. */
void ml_unzip_base(struct ml_unzip *u, struct ml_src *bsrc);
void ml_unzip_free(struct ml_unzip *u);
int ml_unzip_block(struct ml_unzip *u, const struct ml_block *b,
	struct ml_diag *diag); /* plain blocks pass as they are */
int ml_unzip_end(struct ml_unzip *u, struct ml_diag *diag);

/* One operation of a block, for those who only look. */
struct ml_op_info {
	const char *op; /* "literal", "copy", "self", "residual", "alone" */
	const char *type; /* of residual and alone elements, else "" */
	uint64_t target, bytes; /* what it makes */
	uint64_t arg; /* base offset of copy and residual, distance of self */
	uint64_t from; /* bytes there, which may be more or fewer than are made */
	uint64_t cost; /* bytes of the block it took, in 1/256 */
};
/* Tells every operation of a block in order, without making anything. Blocks
 * must come in order from the first (the model learns). */
int ml_unzip_look(struct ml_unzip *u, const struct ml_block *b,
	int (*tell)(void *arg, const struct ml_op_info *o,
	struct ml_diag *diag), void *arg, struct ml_diag *diag);

/* Plain blocks of a stream without a base to the bytes that they make, given
 * in pieces of at most ML_CHUNK that do not cross a span's end. */
struct ml_flat;
int ml_flat_new(struct ml_flat **out, int (*data)(void *arg,
	const uint8_t *p, size_t n, struct ml_diag *diag), void *arg,
	struct ml_diag *diag);
void ml_flat_free(struct ml_flat *f);
/* A span whose bytes come; call it for each in order, at any time before its
 * bytes. It is copied, with all that it owns. label is given the copy when the
 * bytes begin. */
int ml_flat_span(struct ml_flat *f, const struct ml_span *sp,
	int (*label)(void *arg, const struct ml_span *sp,
	struct ml_diag *diag), struct ml_diag *diag);
int ml_flat_block(struct ml_flat *f, const struct ml_block *b,
	struct ml_diag *diag);

/* A whole stream (ml-zipnn): its records behind HEAD are coded for a class, or
 * decoded, into a stream of their own. What is coded already passes as it is,
 * and so does, decoding, a plain delta stream without its base. base may be
 * NULL; it is needed (ML_EBASE) for residuals that come without their base
 * values, and that it is the base of the stream is the caller's to know.
 * Progress, when not NULL, is told the target bytes done. A failure is the
 * output's when ferror(f). */
struct ml_coding {
	int cls; /* memory class, 1 to 3 */
	int level; /* 1 fastest to 9 smallest; up to ML_LEVEL_FAST fast blocks,
		    * of class full */
	unsigned threads; /* of these; 0: as many as there are processors */
	uint64_t restart; /* of ml_zip_restart */
};
#define ML_LEVEL_FAST 4
#define ML_LEVEL_MAX 9
int ml_stream_encode(struct ml_in *in, FILE *f, const struct ml_coding *how,
	struct ml_src *base, void (*progress)(void *arg, uint64_t done),
	void *arg, struct ml_diag *diag);
int ml_stream_decode(struct ml_in *in, FILE *f, struct ml_src *base,
	void (*progress)(void *arg, uint64_t done), void *arg,
	struct ml_diag *diag);

/* ===== the patch, ml-patch(5) =========================================== */

/* "nano", "micro", "full" for 1, 2, 3; "unknown" for all else. */
const char *ml_class_name(int cls);
/* 0 when the name is unknown. */
int ml_class_by_name(const char *name);

/* What a header says beside what the packer finds out. */
struct ml_patch_info {
	int cls; /* memory class */
	uint64_t release; /* release counter, 0: none */
	int has_base;
	int sum; /* enum ml_sum_kind of both digests */
	unsigned page; /* log2 of the page of a patch in place; 0: none */
	unsigned lead; /* pages that its base is moved up before */
	uint64_t base_size, target_size; /* of the files */
	uint8_t base_sha[ML_SHA256_LEN], target_sha[ML_SHA256_LEN];
	/* Their images, which the blocks are about. Borrowed; n 0: none. */
	struct ml_wraps base_wraps, target_wraps;
	struct ml_casts casts; /* behind the base's image */
};

/* Framing (ml-pack): blocks go to a spool, since the header tells their
 * length; finish writes header and body to f. Plain blocks that only hold
 * literal bytes are joined, so that data which nothing can compress costs
 * ML_PATCH_OVERHEAD bytes in all. */
#define ML_PATCH_OVERHEAD 160
struct ml_packer;
int ml_pack_new(struct ml_packer **out, struct ml_diag *diag);
void ml_pack_free(struct ml_packer *p);
int ml_pack_block(struct ml_packer *p, const struct ml_block *b,
	struct ml_diag *diag);
/* All bytes of a source as they are, for a target that nothing helps. */
int ml_pack_literal(struct ml_packer *p, struct ml_src *s,
	struct ml_diag *diag);
/* Keeps a label as a note (ml-patch(5)). */
int ml_pack_span(struct ml_packer *p, const struct ml_span *sp,
	struct ml_diag *diag);
int ml_pack_finish(struct ml_packer *p, const struct ml_patch_info *info,
	FILE *f, struct ml_diag *diag);
/* The same without writing anything a second time, if all blocks were such that
 * this can be done: else both are NULL. The packer is then used up, and *patch
 * is a view of *spool; both are to be freed. */
int ml_pack_settle(struct ml_packer *p, const struct ml_patch_info *info,
	struct ml_src **spool, struct ml_src **patch, struct ml_diag *diag);
/* Packs the records of a stream behind HEAD, with its labels or without, and
 * fills *info but for its release; its wraps are those of `in`. Progress, when not NULL, is told the target
 * bytes done. */
int ml_pack_stream(struct ml_packer *p, struct ml_in *in, int labels,
	struct ml_patch_info *info, void (*progress)(void *arg, uint64_t done),
	void *arg, struct ml_diag *diag);

/* A finished patch in an unlinked temporary file. */
struct ml_proven {
	FILE *f; /* or */
	struct ml_src *spool;
	struct ml_src *patch;
};
struct ml_proof {
	struct ml_src *target; /* NULL: only its digest is compared */
	struct ml_src *again; /* the same, only to be copied from, or NULL */
	int base_known; /* see struct ml_target */
	int threads;
	void (*progress)(void *arg, uint64_t done); /* may be NULL */
	void *arg;
};
/* Finishes a packer and applies the patch to its base, which may be NULL when
 * it needs none: it must make what info promises, and the bytes of the target
 * when that is not NULL (ML_EDIGEST). Progress is told the target bytes done.
 * To be given to ml_proven_free whatever the outcome. */
int ml_pack_proven(struct ml_packer *p, const struct ml_patch_info *info,
	struct ml_src *base, const struct ml_proof *how,
	struct ml_proven *out, struct ml_diag *diag);
void ml_proven_free(struct ml_proven *p);

/* The way back (ml-pack -d): sends the labels of the patch at *off (what has
 * none is skeleton), then its blocks, plain records cut to what a CODE record
 * can hold. Moves *off behind the patch. */
int ml_unpack(struct ml_src *psrc, uint64_t *off, const struct ml_sink *next,
	struct ml_diag *diag);
/* The same as a whole stream. The patch must be the only one in psrc, and is
 * checked before the first write. A failure is the output's when ferror(f). */
int ml_unpack_stream(struct ml_src *psrc, FILE *f, struct ml_diag *diag);

struct ml_hdr; /* mldec.h */
/* enum ml_sum_kind of its digests. */
int ml_hdr_sum(const struct ml_hdr *h);

/* Where a rebuilt target goes and how it is read back. */
struct ml_target {
	void *ctx;
	int (*write)(void *ctx, const uint8_t *p, size_t n,
		struct ml_diag *diag);
	/* Bytes that were written. The last `window` bytes are kept in memory,
	 * at most ML_WINDOW_MAX; this is asked for those farther back. NULL:
	 * then all goes to a spool as well. */
	int (*read)(void *ctx, uint64_t off, uint8_t *p, size_t n,
		struct ml_diag *diag);
	/* Unless NULL, asked with the header p[0..h->len) before the base is
	 * read: a failure refuses the patch. */
	int (*accept)(void *ctx, const struct ml_hdr *h, const uint8_t *p,
		struct ml_diag *diag);
	/* At most so many threads decode, each with 16 MiB; 0 is 1. The two
	 * functions above may then be called by any of them, one at a time. */
	int threads;
	/* The caller knows that the base is the right one: it has its size,
	 * and is not read for its digest. */
	int base_known;
};
#define ML_WINDOW_MAX (8u << 20)

/* Applies the patch that begins at *off of psrc (a source of known size) and
 * moves *off behind it. Checks the base's size and digest (ML_EBASE) before
 * the first write, and the target's digest at the end (ML_EDIGEST). bsrc may
 * be NULL when the patch needs none. max_cls: refuse larger ones. */
int ml_apply(struct ml_src *psrc, uint64_t *off, struct ml_src *bsrc,
	int max_cls, const struct ml_target *t, struct ml_diag *diag);
/* The same into a spool, which the caller frees. */
int ml_apply_spool(struct ml_src *psrc, uint64_t *off, struct ml_src *bsrc,
	struct ml_src **target, struct ml_diag *diag);
/* The same from a pipe, one patch, nothing may follow. */
int ml_apply_stream(FILE *f, struct ml_src *bsrc, int max_cls,
	const struct ml_target *t, struct ml_diag *diag);
/* Walks one patch without applying it: header into *h (whose pointers are
 * into hbuf), every record's CRC checked. each, when not NULL, is given every
 * record: its offset, coder byte, n_out and payload range. Moves *off. */
struct ml_record {
	uint64_t off; /* of the record in the file */
	uint64_t code, n; /* its payload */
	uint64_t n_out;
	uint8_t coder;
};
int ml_patch_walk(struct ml_src *psrc, uint64_t *off, struct ml_hdr *h,
	uint8_t hbuf[384], int (*each)(void *arg, const struct ml_record *r,
	struct ml_diag *diag), void *arg, struct ml_diag *diag);

/* ===== signatures ======================================================= */

/* Ed25519 with the keys of minisign(1). What is not signed by one of the
 * given keys, or not as it was signed, is ML_EAUTH. */

#define ML_KEY_TEXT_MAX 16384 /* bytes of any file of minisign's */
#define ML_LEGACY_MAX (64u << 20) /* bytes of a file signed the old way */

struct ml_pubkey {
	uint8_t id[8], key[32];
};
/* A secret, and to be given to ml_seckey_wipe. */
struct ml_seckey {
	uint8_t id[8], key[64];
};
/* A detached signature. Its comment is a part of the text it was read from. */
struct ml_minisig {
	int prehashed; /* 0: of the old kind */
	uint8_t id[8], sig[64], global[64];
	const char *comment; /* the trusted one, not ended by NUL */
	size_t ncomment;
};

/* A public key: the text of such a file, or its second line alone. */
int ml_pubkey_parse(struct ml_pubkey *k, const char *text, size_t n,
	struct ml_diag *diag);
/* A secret key. What is encrypted asks for the password: pw[0..returned), at
 * most cap bytes, or negative to fail with *diag filled. A wrong one is
 * ML_EAUTH. Deriving the key takes as much memory as minisign took, at most
 * 1 GiB. On failure *k holds nothing. */
int ml_seckey_parse(struct ml_seckey *k, const char *text, size_t n,
	int (*password)(void *ctx, char *pw, size_t cap, struct ml_diag *diag),
	void *ctx, struct ml_diag *diag);
void ml_seckey_wipe(struct ml_seckey *k);
void ml_wipe(void *p, size_t n); /* which no compiler leaves out */
int ml_minisig_parse(struct ml_minisig *s, const char *text, size_t n,
	struct ml_diag *diag);

/* Writes the patch at *off with a signature by k, in place of one it may
 * have, to f; moves *off. Only the header is looked at. A failure is the
 * output's when ferror(f). */
int ml_sign_patch(struct ml_src *psrc, uint64_t *off,
	const struct ml_seckey *k, FILE *f, struct ml_diag *diag);
/* The signature of a header p[0..h->len) as ml_hdr_parse or ml_patch_walk has
 * filled *h. It also vouches for the body's digest h->body_sha, which is not
 * compared here. `at` is for messages. */
int ml_verify_header(const struct ml_hdr *h, const uint8_t *p,
	const struct ml_pubkey *keys, size_t n, uint64_t at,
	struct ml_diag *diag);
/* Header and body of the patch at *off; moves *off. The records are not looked
 * at. */
int ml_verify_patch(struct ml_src *psrc, uint64_t *off,
	const struct ml_pubkey *keys, size_t n, struct ml_diag *diag);
/* Every patch of a file. */
int ml_verify_chain(struct ml_src *psrc, const struct ml_pubkey *keys,
	size_t n, struct ml_diag *diag);
/* Any file, by a detached signature. */
int ml_minisig_verify(const struct ml_minisig *sig, struct ml_src *s,
	const struct ml_pubkey *keys, size_t n, struct ml_diag *diag);

/* ===== looking: ml-ls, ml-info =========================================== */

/* What is shown goes to a FILE, whose errors the caller finds by ferror(f).
 * Names are escaped by ml_escape. */

/* Reads the labels of the patch at *off into a finished model, whose container
 * is not known, and moves *off behind the patch. A patch without labels gives
 * a model without tensors. On failure the model is empty. */
int ml_patch_labels(struct ml_src *psrc, uint64_t *off, struct ml_model *m,
	struct ml_diag *diag);
/* Whether a model has tensors. */
int ml_model_has_tensors(const struct ml_model *m);
/* The tensors of a model as a table; `all`: and what is none. */
int ml_model_table(FILE *f, const struct ml_model *m, int all,
	struct ml_diag *diag);
/* The same as JSON, with the names of the file and of its container (NULL: not
 * known). */
int ml_model_json(FILE *f, const struct ml_model *m, int all, const char *file,
	const char *container, struct ml_diag *diag);

/* What a patch, or each of a chain, says of itself and where its bytes go. */
struct ml_report;
/* Reads headers and records; *out is to be freed, on failure it is NULL. */
int ml_report_new(struct ml_report **out, struct ml_src *psrc,
	struct ml_diag *diag);
void ml_report_free(struct ml_report *r); /* NULL is allowed */
/* The header of patch i of the chain, without extensions; NULL behind the
 * last. */
const struct ml_hdr *ml_report_header(const struct ml_report *r, size_t i);
/* Looks at the operations of all patches. base may be NULL when the first
 * patch needs none. target, when not NULL, saves rebuilding the last target;
 * that it is the right one is the caller's to know, and the base of the last
 * patch is checked. */
int ml_report_look(struct ml_report *r, struct ml_src *psrc,
	struct ml_src *base, struct ml_src *target, struct ml_diag *diag);
/* As text, or as JSON with the name of the file. */
int ml_report_text(FILE *f, const struct ml_report *r, struct ml_diag *diag);
int ml_report_json(FILE *f, const struct ml_report *r, const char *file,
	struct ml_diag *diag);

#endif
