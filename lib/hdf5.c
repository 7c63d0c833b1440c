/* SPDX-License-Identifier: MIT */
/* HDF5 files, after the HDF5 File Format Specification 3.0: groups are walked
 * from the root, each object header is visited once and under the first name
 * that leads there. Nothing is followed to other files, nor through soft
 * links. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "hdf5.h"

#define SUPER_MAX 96 /* bytes of a superblock that are looked at */
#define WORK_MAX (1u << 30) /* see struct ml_h5 */
#define NAMES_MAX (1u << 28)
#define LEAST (1u << 20) /* of these accounts */
#define NAME_PIECE 64 /* bytes read of a name at once */

static const uint8_t signature[8] = {
	0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'
};

/* types of messages */
enum {
	LINK_INFO = 0x02, LINK = 0x06, CONTINUATION = 0x10, SYMBOLS = 0x11
};

/* An object that a link leads to. */
struct node {
	uint64_t addr;
	char *name; /* in its parent; owned */
	size_t name_len;
	size_t parent; /* the root is its own */
};

struct walk {
	struct ml_h5 h;
	struct node *node; /* in the order in which they are visited */
	size_t n, cap;
	size_t at; /* the one being visited */
	size_t *seen; /* by hash of the address: 1 + its place in node */
	size_t nseen; /* a power of two */
	char *path; /* ML_NAME_MAX bytes */
	uint64_t heap, heap_len; /* where the names of a group lie */
};

static int no_memory(struct walk *w)
{
	return ml_fail(w->h.diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

/* ===== objects ========================================================== */

static size_t slot(const struct walk *w, uint64_t addr)
{
	size_t i = (size_t)((addr * 0x9e3779b97f4a7c15u) >> 20);

	for (i &= w->nseen - 1; w->seen[i]; i = (i + 1) & (w->nseen - 1))
		if (w->node[w->seen[i] - 1].addr == addr)
			break;
	return i;
}

static int room(struct walk *w)
{
	const size_t cap = w->cap ? 2 * w->cap : 64;
	struct node *p;
	size_t i, *seen;

	if (w->n < w->cap)
		return ML_OK;
	if (cap > ML_SPANS_MAX)
		return ml_fail(w->h.diag, ML_ELIMIT, ML_NOWHERE,
			"more than %u hdf5 objects", ML_SPANS_MAX);
	p = realloc(w->node, cap * sizeof(*p));
	if (!p)
		return no_memory(w);
	w->node = p;
	seen = calloc(2 * cap, sizeof(*seen));
	if (!seen)
		return no_memory(w);
	free(w->seen);
	w->seen = seen;
	w->nseen = 2 * cap;
	w->cap = cap;
	for (i = 0; i < w->n; i++)
		seen[slot(w, w->node[i].addr)] = i + 1;
	return ML_OK;
}

/* Notes an object to be visited; takes the name. */
static int found(struct walk *w, char *name, size_t name_len, uint64_t addr)
{
	int r = room(w);
	size_t i;

	if (r == ML_OK) {
		i = slot(w, addr);
		if (!w->seen[i]) {
			w->node[w->n++] = (struct node){
				addr, name, name_len, w->at};
			w->seen[i] = w->n;
			return ML_OK;
		}
	}
	free(name);
	return r;
}

/* Makes the path of a node, from its end; *len is that of the path, or the
 * path is too long and has none. */
static int path(struct walk *w, size_t i, size_t *len)
{
	size_t at = ML_NAME_MAX;
	const struct node *p;

	*len = 0;
	for (; i != 0; i = p->parent) {
		p = &w->node[i];
		if (p->name_len + 1 > at)
			return 0;
		at -= p->name_len;
		memcpy(w->path + at, p->name, p->name_len);
		w->path[--at] = '/';
	}
	at += at < ML_NAME_MAX; /* without the first slash */
	*len = ML_NAME_MAX - at;
	memmove(w->path, w->path + at, *len);
	return 1;
}

/* ===== links ============================================================ */

/* A link message (IV.A.2.g). */
static int link(void *arg, uint64_t addr, size_t n)
{
	struct walk *w = arg;
	uint8_t b[2 + 1 + 8 + 1 + 8], a[8];
	struct ml_h5_cur c = {b, n < sizeof(b) ? n : sizeof(b), 0};
	unsigned flags, kind = 0;
	uint64_t len, at;
	char *name;
	int r = ml_h5_get(&w->h, addr, b, c.n, "link");

	if (r < 0)
		return r;
	if (ml_h5_num(&c, 1) != 1)
		return ML_OK;
	flags = (unsigned)ml_h5_num(&c, 1);
	if (flags & 8)
		kind = (unsigned)ml_h5_num(&c, 1);
	if (flags & 4)
		ml_h5_num(&c, 8);
	if (flags & 16)
		ml_h5_num(&c, 1);
	len = ml_h5_num(&c, 1u << (flags & 3));
	at = (uint64_t)(c.p - b);
	if (c.bad || len > n - at)
		return ml_fail(w->h.diag, ML_EFORMAT, w->h.base + addr,
			"hdf5 link at %llu is cut", (unsigned long long)addr);
	if (kind != 0 || len == 0 || len > ML_NAME_MAX)
		return ML_OK; /* soft, or to another file */
	if (n - at - len < w->h.osize)
		return ml_fail(w->h.diag, ML_EFORMAT, w->h.base + addr,
			"hdf5 link at %llu is cut", (unsigned long long)addr);
	r = ml_h5_name(&w->h, len);
	if (r < 0)
		return r;
	name = malloc((size_t)len);
	if (!name)
		return no_memory(w);
	r = ml_h5_get(&w->h, addr + at, name, (size_t)len, "link");
	if (r == ML_OK)
		r = ml_h5_get(&w->h, addr + at + len, a, w->h.osize, "link");
	if (r < 0) {
		free(name);
		return r;
	}
	c = (struct ml_h5_cur){a, w->h.osize, 0};
	return found(w, name, (size_t)len, ml_h5_addr(&w->h, &c));
}

/* The name at an offset of the local heap, which ends in NUL. */
static int heap_name(struct walk *w, uint64_t off, char **name, size_t *len)
{
	uint64_t n = 0, k;
	const char *nul = NULL;
	int r;

	*name = NULL;
	*len = 0;
	while (!nul && off < w->heap_len && n < w->heap_len - off &&
		n < ML_NAME_MAX) {
		k = w->heap_len - off - n;
		if (k > NAME_PIECE)
			k = NAME_PIECE;
		if (k > ML_NAME_MAX - n)
			k = ML_NAME_MAX - n;
		r = ml_h5_get(&w->h, w->heap + off + n, w->path + n, (size_t)k,
			"name");
		if (r < 0)
			return r;
		nul = memchr(w->path + n, 0, (size_t)k);
		n += k;
	}
	if (!nul)
		return ml_fail(w->h.diag, ML_EFORMAT, w->h.base + w->heap,
			"hdf5 name at %llu of its heap does not end",
			(unsigned long long)off);
	*len = (size_t)(nul - w->path);
	r = ml_h5_name(&w->h, *len);
	if (r < 0)
		return r;
	*name = malloc(*len + 1);
	if (!*name)
		return no_memory(w);
	memcpy(*name, w->path, *len);
	return ML_OK;
}

/* A symbol table node (III.B); the key of the tree is not needed. */
static int symbols(void *arg, const uint8_t *key, uint64_t addr)
{
	struct walk *w = arg;
	uint8_t b[2 * 8 + 4];
	struct ml_h5_cur c;
	const size_t each = 2 * w->h.osize + 24;
	uint64_t off, object;
	unsigned i, n, kind;
	size_t len;
	char *name;
	int r = ml_h5_signed(&w->h, addr, b, 8, "SNOD");

	(void)key;
	if (r < 0)
		return r;
	n = ml_load16(b + 6);
	for (i = 0; i < n; i++) {
		c = (struct ml_h5_cur){b, 2 * w->h.osize + 4, 0};
		r = ml_h5_get(&w->h, addr + 8 + i * each, b, c.n, "symbol");
		if (r < 0)
			return r;
		off = ml_h5_num(&c, w->h.osize);
		object = ml_h5_addr(&w->h, &c);
		kind = (unsigned)ml_h5_num(&c, 4);
		if (kind > 1 || object == ML_H5_UNDEF)
			continue; /* a soft link */
		r = heap_name(w, off, &name, &len);
		if (r == ML_OK)
			r = found(w, name, len, object);
		if (r < 0)
			return r;
	}
	return ML_OK;
}

/* A group of the old style: a tree of symbols, names in a heap (III.D). */
static int old_group(struct walk *w, uint64_t addr, size_t n)
{
	uint8_t b[8 + 3 * 8];
	struct ml_h5_cur c = {b, 2 * w->h.osize, 0};
	uint64_t tree, heap;
	int r;

	if (n < c.n)
		return ml_fail(w->h.diag, ML_EFORMAT, w->h.base + addr,
			"hdf5 symbol table at %llu is cut",
			(unsigned long long)addr);
	r = ml_h5_get(&w->h, addr, b, c.n, "symbol table");
	if (r < 0)
		return r;
	tree = ml_h5_addr(&w->h, &c);
	heap = ml_h5_addr(&w->h, &c);
	c = (struct ml_h5_cur){b + 8, 2 * w->h.lsize + w->h.osize, 0};
	r = ml_h5_signed(&w->h, heap, b, 8 + c.n, "HEAP");
	if (r < 0)
		return r;
	w->heap_len = ml_h5_num(&c, w->h.lsize);
	ml_h5_num(&c, w->h.lsize);
	w->heap = ml_h5_addr(&w->h, &c);
	return ml_h5_tree(&w->h, tree, ML_H5_GROUPS, w->h.lsize, symbols, w);
}

/* Where a group keeps links that are too many for messages (IV.A.2.c). */
static int link_info(struct walk *w, uint64_t addr, size_t n)
{
	uint8_t b[2 + 8 + 8 + 8];
	struct ml_h5_cur c = {b, n < sizeof(b) ? n : sizeof(b), 0};
	uint64_t flags, heap, index;
	int r = ml_h5_get(&w->h, addr, b, c.n, "link info");

	if (r < 0)
		return r;
	ml_h5_num(&c, 1);
	flags = ml_h5_num(&c, 1);
	if (flags & 1)
		ml_h5_num(&c, 8);
	heap = ml_h5_addr(&w->h, &c);
	index = ml_h5_addr(&w->h, &c);
	if (c.bad)
		return ml_fail(w->h.diag, ML_EFORMAT, w->h.base + addr,
			"hdf5 link info at %llu is cut",
			(unsigned long long)addr);
	if (heap == ML_H5_UNDEF || index == ML_H5_UNDEF)
		return ML_OK;
	return ml_h5_dense(&w->h, heap, index, link, w);
}

/* ===== object headers =================================================== */

struct block {
	uint64_t addr, len;
};

struct header {
	unsigned version;
	size_t head; /* bytes before a message */
	struct block *block; /* to be read */
	size_t n, cap;
	struct ml_h5_data data;
};

static int add_block(struct walk *w, struct header *o, uint64_t addr,
	uint64_t len)
{
	const size_t cap = o->cap ? 2 * o->cap : 4;
	struct block *p;

	/* each was paid for by the message that told of it */
	if (o->n == o->cap) {
		p = realloc(o->block, cap * sizeof(*p));
		if (!p)
			return no_memory(w);
		o->block = p;
		o->cap = cap;
	}
	o->block[o->n++] = (struct block){addr, len};
	return ML_OK;
}

static int continuation(struct walk *w, struct header *o, uint64_t addr,
	size_t n)
{
	uint8_t b[16];
	struct ml_h5_cur c = {b, n < sizeof(b) ? n : sizeof(b), 0};
	uint64_t at, len;
	int r = ml_h5_get(&w->h, addr, b, c.n, "continuation");

	if (r < 0)
		return r;
	at = ml_h5_addr(&w->h, &c);
	len = ml_h5_num(&c, w->h.lsize);
	if (c.bad)
		return ml_fail(w->h.diag, ML_EFORMAT, w->h.base + addr,
			"hdf5 continuation at %llu is cut",
			(unsigned long long)addr);
	if (o->version == 2) {
		r = ml_h5_signed(&w->h, at, b, 4, "OCHK");
		if (r < 0)
			return r;
		if (len < 8)
			return ML_OK;
		at += 4;
		len -= 8; /* signature, checksum */
	}
	return add_block(w, o, at, len);
}

static int message(struct walk *w, struct header *o, unsigned type,
	unsigned flags, uint64_t addr, size_t n)
{
	switch (type) {
	case LINK_INFO: return link_info(w, addr, n);
	case LINK: return link(w, addr, n);
	case SYMBOLS: return old_group(w, addr, n);
	case CONTINUATION: return continuation(w, o, addr, n);
	default:
		return ml_h5_message(&w->h, &o->data, type, flags, addr, n);
	}
}

static int messages(struct walk *w, struct header *o, struct block k)
{
	unsigned type, flags;
	uint8_t b[8];
	size_t n;
	int r;

	while (k.len >= o->head) {
		r = ml_h5_get(&w->h, k.addr, b, o->head, "message");
		if (r < 0)
			return r;
		if (o->version == 1) {
			type = ml_load16(b);
			n = ml_load16(b + 2);
			flags = b[4];
		} else {
			type = b[0];
			n = ml_load16(b + 1);
			flags = b[3];
		}
		k.addr += o->head;
		k.len -= o->head;
		if (n > k.len)
			return ml_fail(w->h.diag, ML_EFORMAT,
				w->h.base + k.addr,
				"hdf5 message at %llu leaves its header",
				(unsigned long long)k.addr);
		r = message(w, o, type, flags, k.addr, n);
		if (r < 0)
			return r;
		k.addr += n;
		k.len -= n;
	}
	return ML_OK;
}

/* The prefix of an object header (IV.A.1); the first block of messages. */
static int prefix(struct walk *w, struct header *o, uint64_t addr)
{
	uint8_t b[4 + 2 + 16 + 4 + 8];
	struct ml_h5_cur c = {b, 0, 0};
	uint64_t len;
	unsigned flags;
	int r = ml_h5_get(&w->h, addr, b, 16, "object header");

	if (r < 0)
		return r;
	if (memcmp(b, "OHDR", 4) != 0) {
		if (b[0] != 1)
			return ml_fail(w->h.diag, ML_EFORMAT, w->h.base + addr,
				"no hdf5 object header at %llu",
				(unsigned long long)addr);
		o->version = 1;
		o->head = 8;
		return add_block(w, o, addr + 16, ml_load32(b + 8));
	}
	if (b[4] != 2)
		return ml_fail(w->h.diag, ML_EVERSION, w->h.base + addr,
			"hdf5 object header of version %u", b[4]);
	flags = b[5];
	o->version = 2;
	o->head = flags & 4 ? 6 : 4;
	c.n = 6 + (flags & 0x20 ? 16u : 0) + (flags & 0x10 ? 4u : 0) +
		(1u << (flags & 3));
	r = ml_h5_get(&w->h, addr, b, c.n, "object header");
	if (r < 0)
		return r;
	addr += c.n;
	c.p += c.n - (1u << (flags & 3));
	c.n = 1u << (flags & 3);
	len = ml_h5_num(&c, 1u << (flags & 3));
	return add_block(w, o, addr, len);
}

static int visit(struct walk *w)
{
	struct header o = {0};
	size_t i, len;
	int r = prefix(w, &o, w->node[w->at].addr);

	for (i = 0; r == ML_OK && i < o.n; i++)
		r = messages(w, &o, o.block[i]);
	free(o.block);
	if (r == ML_OK && o.data.seen == ML_H5_ALL && path(w, w->at, &len))
		r = ml_h5_add(&w->h, &o.data, w->path, len);
	return r;
}

/* ===== the file ========================================================= */

/* The superblock (II.A) at *base; gives the address of the root group. */
static int super(struct ml_h5 *h, uint64_t base, uint64_t *root)
{
	const uint64_t left = ml_src_size(h->src) - base;
	uint8_t b[SUPER_MAX] = {0};
	struct ml_h5_cur c = {b, left < sizeof(b) ? (size_t)left : sizeof(b),
		0};
	unsigned version, i, skip;
	int r = ml_src_read(h->src, base, b, c.n, h->diag);

	if (r < 0)
		return r;
	version = b[8];
	h->base = base;
	skip = version < 2 ? 13 : 9;
	if (version > 3)
		return ml_fail(h->diag, ML_EVERSION, base,
			"hdf5 superblock of version %u", version);
	h->osize = b[skip];
	h->lsize = b[skip + 1];
	for (i = 2; i <= 8; i *= 2)
		version |= (h->osize == i ? 0x10u : 0) |
			(h->lsize == i ? 0x20u : 0);
	if (version < 0x30)
		return ml_fail(h->diag, ML_EVERSION, base,
			"hdf5 addresses of %u and lengths of %u bytes",
			h->osize, h->lsize);
	version &= 3;
	skip = version == 0 ? 24 : version == 1 ? 28 : 12;
	/* base, free space or extension, end, driver; the root's name */
	skip += h->osize * (version < 2 ? 5 : 3);
	for (i = 0; i < skip; i++)
		ml_h5_num(&c, 1);
	*root = ml_h5_addr(h, &c);
	if (c.bad)
		return ml_fail(h->diag, ML_ETRUNC, base,
			"file ends in the hdf5 superblock");
	return ML_OK;
}

/* The signature lies at 0, 512 or a doubling of that; ML_H5_UNDEF when it is
 * not in the first n bytes. */
static uint64_t start(const uint8_t *head, size_t n)
{
	size_t at;

	for (at = 0; at + sizeof(signature) <= n; at = at ? 2 * at : 512)
		if (memcmp(head + at, signature, sizeof(signature)) == 0)
			return at;
	return ML_H5_UNDEF;
}

static int probe(const uint8_t *head, size_t n)
{
	return start(head, n) != ML_H5_UNDEF;
}

static int find(struct ml_h5 *h, uint64_t *at)
{
	const uint64_t size = ml_src_size(h->src);
	uint8_t b[sizeof(signature)];
	int r;

	for (*at = 0; *at < size && size - *at >= sizeof(b);
		*at = *at ? 2 * *at : 512) {
		r = ml_src_read(h->src, *at, b, sizeof(b), h->diag);
		if (r < 0 || start(b, sizeof(b)) == 0)
			return r;
	}
	return ml_fail(h->diag, ML_EFORMAT, 0, "no hdf5 signature");
}

static uint64_t account(uint64_t size, unsigned times, uint64_t max)
{
	return (size < max / times ? size * times : max) + LEAST;
}

static int walk(struct ml_src *s, struct ml_model *m, struct ml_diag *diag)
{
	const uint64_t size = ml_src_size(s);
	struct walk w = {.h = {.src = s, .m = m, .diag = diag,
		.work = account(size, 8, WORK_MAX),
		.names = account(size, 4, NAMES_MAX)}};
	uint64_t at, root = 0;
	size_t i;
	int r = find(&w.h, &at);

	if (r == ML_OK)
		r = super(&w.h, at, &root);
	if (r < 0)
		return r;
	w.path = malloc(ML_NAME_MAX);
	r = w.path ? found(&w, NULL, 0, root) : no_memory(&w);
	for (; r == ML_OK && w.at < w.n; w.at++)
		r = visit(&w);
	for (i = 0; i < w.n; i++)
		free(w.node[i].name);
	free(w.node);
	free(w.seen);
	free(w.path);
	return r;
}

const struct ml_reader ml_reader_hdf5 = {ML_HDF5, "hdf5", probe, walk};
