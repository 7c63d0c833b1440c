/* SPDX-License-Identifier: MIT */
/*
 * The pickle machine, protocols 0 to 5, as Lib/pickletools.py of CPython
 * describes it: a stack, a memo, and one opcode after the other.
 *
 * Nothing is looked up, imported or called. An opcode makes at most one node
 * and takes at least one byte, what it takes from the stack was put there by
 * others, and shared values are shared here: time and memory are linear in
 * the size of the pickle.
 */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "pickle.h"

#define MARK UINT32_MAX /* on the stack; no node has this index */
#define UNSET UINT32_MAX /* in the memo */

enum { NIL = ML_PK_NIL, FALSE_, TRUE_, EMPTY, OTHER }; /* shared by all */

struct machine {
	struct ml_pickle *p;
	struct ml_src *s;
	struct ml_diag *diag;
	uint64_t start, pos, end;
	uint64_t left; /* of ML_PICKLE_MAX */
	uint32_t *stack, *memo;
	uint32_t depth, stack_cap;
	uint32_t memos, memo_cap; /* memos: values kept so far */
};

static int bad(struct machine *m, const char *why)
{
	return ml_fail(m->diag, ML_EFORMAT, m->pos, "pickle: %s", why);
}

static int too_much(struct machine *m, const char *what)
{
	return ml_fail(m->diag, ML_ELIMIT, m->pos, "pickle: too many %s", what);
}

/* ===== memory =========================================================== */

/* Room for `want` elements in all, at most max. */
static int reserve(struct machine *m, void **v, uint32_t *cap, uint64_t want,
	size_t each, uint64_t max, const char *what)
{
	uint64_t n = *cap;
	void *p;

	if (want <= n)
		return ML_OK;
	if (want > max)
		return too_much(m, what);
	n = n * 2 > want ? n * 2 : want;
	n = n < 64 ? 64 : n > max ? max : n;
	p = realloc(*v, (size_t)n * each);
	if (!p)
		return ml_fail(m->diag, ML_ENOMEM, ML_NOWHERE,
			"out of memory");
	*v = p;
	*cap = (uint32_t)n;
	return ML_OK;
}

static int node(struct machine *m, unsigned kind, struct ml_pk_node **out)
{
	struct ml_pickle *p = m->p;
	void *v = p->node;
	int err = reserve(m, &v, &p->node_cap, (uint64_t)p->nodes + 1,
		sizeof(*p->node), ML_PICKLE_NODES, "values");

	p->node = v;
	if (err)
		return err;
	*out = &p->node[p->nodes++];
	memset(*out, 0, sizeof(**out));
	(*out)->kind = (uint8_t)kind;
	(*out)->pairs = kind == ML_PK_DICT;
	return ML_OK;
}

static int add_item(struct machine *m, uint32_t to, uint32_t what)
{
	struct ml_pickle *p = m->p;
	void *v = p->item;
	int err = reserve(m, &v, &p->item_cap, (uint64_t)p->items + 1,
		sizeof(*p->item), 2 * (uint64_t)ML_PICKLE_NODES, "items");
	struct ml_pk_node *n = &p->node[to];

	p->item = v;
	if (err)
		return err;
	p->item[p->items].node = what;
	p->item[p->items].next = 0;
	p->items++;
	if (n->last)
		p->item[n->last - 1].next = p->items;
	else
		n->first = p->items;
	n->last = p->items;
	n->u.of.count++;
	return ML_OK;
}

static int push(struct machine *m, uint32_t what)
{
	void *v = m->stack;
	int err = reserve(m, &v, &m->stack_cap, (uint64_t)m->depth + 1,
		sizeof(*m->stack), 2 * (uint64_t)ML_PICKLE_NODES,
		"values on the stack");

	m->stack = v;
	if (!err)
		m->stack[m->depth++] = what;
	return err;
}

static int push_new(struct machine *m, unsigned kind)
{
	struct ml_pk_node *n;
	int err = node(m, kind, &n);

	return err ? err : push(m, m->p->nodes - 1);
}

static int push_int(struct machine *m, int64_t i)
{
	int err = push_new(m, ML_PK_INT);

	if (!err)
		m->p->node[m->p->nodes - 1].u.i = i;
	return err;
}

static int pop(struct machine *m, uint32_t *what)
{
	if (m->depth == 0 || m->stack[m->depth - 1] == MARK)
		return bad(m, "takes a value from an empty stack");
	*what = m->stack[--m->depth];
	return ML_OK;
}

/* The place of the topmost mark; as everything above it goes then, the search
 * is paid for by what was pushed. */
static int find_mark(struct machine *m, uint32_t *at)
{
	uint32_t i = m->depth;

	while (i > 0 && m->stack[i - 1] != MARK)
		i--;
	if (i == 0)
		return bad(m, "looks for a mark that is not there");
	*at = i - 1;
	return ML_OK;
}

/* ===== bytes ============================================================ */

static int take(struct machine *m, void *buf, size_t n)
{
	int err;

	if (n > m->end - m->pos)
		return ml_fail(m->diag, ML_ETRUNC, m->pos,
			"pickle ends too early");
	if (n > m->left)
		return ml_fail(m->diag, ML_ELIMIT, m->pos,
			"pickle of more than %u bytes", ML_PICKLE_MAX);
	err = ml_src_read(m->s, m->pos, buf, n, m->diag);
	m->pos += n;
	m->left -= n;
	return err;
}

/* A number of n bytes, little-endian. */
static int number(struct machine *m, size_t n, uint64_t *v)
{
	uint8_t b[8] = {0};
	int err = take(m, b, n);

	*v = ml_load64(b);
	return err;
}

static int skip(struct machine *m, uint64_t n)
{
	if (n > m->end - m->pos)
		return ml_fail(m->diag, ML_ETRUNC, m->pos,
			"pickle ends too early");
	m->pos += n;
	return ML_OK;
}

/* Room for n bytes more of text. */
static int text_room(struct machine *m, size_t n)
{
	void *v = m->p->text;
	int err = reserve(m, &v, &m->p->text_cap, (uint64_t)m->p->texts + n, 1,
		ML_PICKLE_MAX, "characters");

	m->p->text = v;
	return err;
}

/* A string of len bytes. */
static int string(struct machine *m, uint64_t len, unsigned kind)
{
	struct ml_pk_node *t;
	int err;

	if (len > ML_NAME_MAX || kind == ML_PK_OTHER) {
		err = skip(m, len);
		return err ? err : push(m, OTHER);
	}
	err = text_room(m, (size_t)len);
	if (!err)
		err = take(m, m->p->text + m->p->texts, (size_t)len);
	if (!err)
		err = push_new(m, kind);
	if (err)
		return err;
	t = &m->p->node[m->p->nodes - 1];
	t->u.text.at = m->p->texts;
	t->u.text.n = (uint32_t)len;
	m->p->texts += (uint32_t)len;
	return ML_OK;
}

/* A string of which the length is in the n bytes that follow. */
static int counted(struct machine *m, size_t n, unsigned kind)
{
	uint64_t len;
	int err = number(m, n, &len);

	return err ? err : string(m, len, kind);
}

/* The text up to the end of the line, without it. */
static int line(struct machine *m, uint32_t *at, uint32_t *n)
{
	char c;
	int err;

	*at = m->p->texts;
	for (*n = 0; *n <= ML_NAME_MAX; (*n)++) {
		err = take(m, &c, 1);
		if (err || c == '\n')
			return err;
		err = text_room(m, 1);
		if (err)
			return err;
		m->p->text[m->p->texts++] = c;
	}
	return too_much(m, "characters in a line");
}

/* Text as protocol 0 has it. Escapes stay as they are: names have none. */
static int line_text(struct machine *m, int quoted)
{
	struct ml_pk_node *t;
	uint32_t at, n;
	int err = line(m, &at, &n);

	if (!err)
		err = push_new(m, ML_PK_TEXT);
	if (err)
		return err;
	if (quoted && n >= 2) {
		at++;
		n -= 2;
	}
	t = &m->p->node[m->p->nodes - 1];
	t->u.text.at = at;
	t->u.text.n = n;
	return ML_OK;
}

/* A decimal number in a line, 'L' behind it allowed; OTHER when it is none
 * of 64 bits. */
static int line_int(struct machine *m, int flags)
{
	const char *s;
	uint32_t at, n, i = 0;
	uint64_t v = 0;
	int neg, err = line(m, &at, &n);

	if (err)
		return err;
	s = m->p->text + at;
	if (n > 0 && s[n - 1] == 'L')
		n--;
	m->p->texts = at; /* not kept */
	if (flags && n == 2 && s[0] == '0' && (s[1] == '0' || s[1] == '1'))
		return push(m, s[1] == '1' ? TRUE_ : FALSE_);
	neg = n > 0 && s[0] == '-';
	if (n == (uint32_t)neg)
		return bad(m, "a number that is none");
	for (i = (uint32_t)neg; i < n && i < 18u + (uint32_t)neg; i++) {
		if (s[i] < '0' || s[i] > '9')
			return bad(m, "a number that is none");
		v = v * 10 + (uint64_t)(s[i] - '0');
	}
	if (i < n)
		return push(m, OTHER);
	return push_int(m, neg ? -(int64_t)v : (int64_t)v);
}

/* An int of as many bytes as the n that follow say. */
static int long_int(struct machine *m, size_t n)
{
	uint8_t b[8];
	uint64_t len;
	int err = number(m, n, &len);

	if (err)
		return err;
	if (len > sizeof(b))
		return string(m, len, ML_PK_LONG);
	err = take(m, b, (size_t)len);
	if (err)
		return err;
	memset(b + len, len && b[len - 1] & 0x80 ? 0xff : 0,
		sizeof(b) - (size_t)len);
	return push_int(m, (int64_t)ml_load64(b));
}

/* ===== opcodes ========================================================== */

static int put(struct machine *m, uint64_t i)
{
	void *v = m->memo;
	uint32_t had = m->memo_cap;
	int err;

	if (m->depth == 0 || m->stack[m->depth - 1] == MARK)
		return bad(m, "keeps a value of an empty stack");
	/* a pickler counts, and has written as many bytes before */
	if (i > m->pos - m->start)
		return bad(m, "keeps a value at too high a place");
	err = reserve(m, &v, &m->memo_cap, i + 1, sizeof(*m->memo),
		2 * (uint64_t)ML_PICKLE_NODES, "values kept");
	m->memo = v;
	if (err)
		return err;
	for (; had < m->memo_cap; had++)
		m->memo[had] = UNSET;
	m->memo[i] = m->stack[m->depth - 1];
	m->memos++;
	return ML_OK;
}

static int get(struct machine *m, uint64_t i)
{
	if (i >= m->memo_cap || m->memo[i] == UNSET)
		return bad(m, "asks for a value that was not kept");
	return push(m, m->memo[i]);
}

static int memo_line(struct machine *m, int (*op)(struct machine *, uint64_t))
{
	struct ml_pk_node n;
	int err = line_int(m, 0);

	if (err)
		return err;
	n = m->p->node[m->stack[--m->depth]];
	if (n.kind != ML_PK_INT || n.u.i < 0)
		return bad(m, "a place that is no number");
	m->p->nodes--;
	return op(m, (uint64_t)n.u.i);
}

/* A container made of what is on the stack from `at` on. */
static int collect(struct machine *m, unsigned kind, uint32_t at)
{
	struct ml_pk_node *n;
	uint32_t i, to;
	int err;

	if (kind == ML_PK_TUPLE && at == m->depth)
		return push(m, EMPTY);
	if (kind == ML_PK_DICT && (m->depth - at) % 2 != 0)
		return bad(m, "a key without a value");
	err = node(m, kind, &n);
	to = m->p->nodes - 1;
	for (i = at; !err && i < m->depth; i++)
		err = add_item(m, to, m->stack[i]);
	m->depth = at;
	return err ? err : push(m, to);
}

static int collect_mark(struct machine *m, unsigned kind)
{
	uint32_t at = 0, i;
	int err = find_mark(m, &at);

	if (err)
		return err;
	for (i = at; i + 1 < m->depth; i++)
		m->stack[i] = m->stack[i + 1];
	m->depth--;
	return collect(m, kind, at);
}

static int tuple(struct machine *m, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (i >= m->depth || m->stack[m->depth - 1 - i] == MARK)
			return bad(m, "takes a value from an empty stack");
	return collect(m, ML_PK_TUPLE, m->depth - n);
}

/* Gives what is on the stack from `at` on to the container below, with so
 * many marks between. */
static int extend(struct machine *m, uint32_t at, uint32_t marks, int pairs)
{
	struct ml_pk_node *n;
	uint32_t i, to;
	int err = ML_OK;

	if (at < marks + 1 || m->stack[at - marks - 1] == MARK)
		return bad(m, "takes a value from an empty stack");
	to = m->stack[at - marks - 1];
	n = &m->p->node[to];
	if (pairs && (m->depth - at) % 2 != 0)
		return bad(m, "a key without a value");
	if (n->kind == ML_PK_OBJECT && !n->first)
		n->pairs = (uint8_t)pairs;
	if ((n->kind != ML_PK_OBJECT && n->kind != ML_PK_LIST &&
		n->kind != ML_PK_SET && n->kind != ML_PK_DICT) ||
		n->pairs != pairs)
		return bad(m, "adds to what is no such container");
	for (i = at; !err && i < m->depth; i++)
		err = add_item(m, to, m->stack[i]);
	m->depth = at - marks;
	return err;
}

static int extend_mark(struct machine *m, int pairs)
{
	uint32_t at = 0;
	int err = find_mark(m, &at);

	return err ? err : extend(m, at + 1, 1, pairs);
}

static int extend_one(struct machine *m, uint32_t n, int pairs)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (i >= m->depth || m->stack[m->depth - 1 - i] == MARK)
			return bad(m, "takes a value from an empty stack");
	return extend(m, m->depth - n, 0, pairs);
}

static int push_object(struct machine *m, uint32_t fn, uint32_t args)
{
	int err = push_new(m, ML_PK_OBJECT);

	if (!err) {
		m->p->node[m->p->nodes - 1].u.of.fn = fn;
		m->p->node[m->p->nodes - 1].u.of.args = args;
	}
	return err;
}

/* REDUCE, NEWOBJ, and NEWOBJ_EX without the named arguments. */
static int call(struct machine *m)
{
	uint32_t fn = 0, args = 0;
	int err = pop(m, &args);

	if (!err)
		err = pop(m, &fn);
	return err ? err : push_object(m, fn, args);
}

/* OBJ: the class lies under its arguments. INST: its name is in the text. */
static int obj(struct machine *m, int inst)
{
	uint32_t at = 0, fn, args = 0;
	struct ml_pk_node *g = NULL;
	int err = ML_OK;

	if (inst) {
		err = node(m, ML_PK_GLOBAL, &g);
		fn = m->p->nodes - 1;
		if (!err)
			err = line(m, &g->u.text.at, &g->u.text.n);
		if (!err)
			err = line(m, &g->u.text.name_at, &g->u.text.name_n);
	} else {
		err = find_mark(m, &at);
		if (!err && at + 1 == m->depth)
			err = bad(m, "takes a value from an empty stack");
		fn = err ? NIL : m->stack[at + 1];
	}
	if (!err)
		err = collect_mark(m, ML_PK_TUPLE);
	if (!err)
		err = pop(m, &args);
	if (!err && !inst) { /* the class is the first of what was collected */
		struct ml_pk_node *t = &m->p->node[args];

		t->first = m->p->item[t->first - 1].next;
		t->last = t->first ? t->last : 0;
		t->u.of.count--;
	}
	return err ? err : push_object(m, fn, args);
}

static int build(struct machine *m)
{
	struct ml_pk_node *n;
	uint32_t state = 0;
	int err = pop(m, &state);

	if (err)
		return err;
	if (m->depth == 0 || m->stack[m->depth - 1] == MARK)
		return bad(m, "takes a value from an empty stack");
	n = &m->p->node[m->stack[m->depth - 1]];
	if (n->kind != ML_PK_OBJECT)
		return bad(m, "gives state to what is no object");
	n->u.of.state = state;
	return ML_OK;
}

static int global(struct machine *m)
{
	struct ml_pk_node *g;
	int err = push_new(m, ML_PK_GLOBAL);

	if (err)
		return err;
	g = &m->p->node[m->p->nodes - 1];
	err = line(m, &g->u.text.at, &g->u.text.n);
	return err ? err : line(m, &g->u.text.name_at, &g->u.text.name_n);
}

static int stack_global(struct machine *m)
{
	const struct ml_pk_node *a, *b;
	struct ml_pk_node *g;
	uint32_t module = 0, name = 0;
	int err = pop(m, &name);

	if (!err)
		err = pop(m, &module);
	if (!err)
		err = push_new(m, ML_PK_GLOBAL);
	if (err)
		return err;
	a = &m->p->node[module];
	b = &m->p->node[name];
	if (a->kind != ML_PK_TEXT || b->kind != ML_PK_TEXT)
		return bad(m, "a name that is no text");
	g = &m->p->node[m->p->nodes - 1];
	g->u.text.at = a->u.text.at;
	g->u.text.n = a->u.text.n;
	g->u.text.name_at = b->u.text.at;
	g->u.text.name_n = b->u.text.n;
	return ML_OK;
}

static int persid(struct machine *m)
{
	uint32_t id = 0;
	int err = pop(m, &id);

	if (!err)
		err = push_new(m, ML_PK_PERSID);
	if (!err)
		m->p->node[m->p->nodes - 1].u.of.args = id;
	return err;
}

static int pop_mark(struct machine *m)
{
	return find_mark(m, &m->depth);
}

/* A number behind the opcode, and what takes it. */
static int with(struct machine *m, size_t n,
	int (*op)(struct machine *, uint64_t))
{
	uint64_t v;
	int err = number(m, n, &v);

	return err ? err : op(m, v);
}

static int small(struct machine *m, uint64_t v)
{
	return push_int(m, (int64_t)v);
}

static int binint(struct machine *m, uint64_t v)
{
	return push_int(m, (int32_t)(uint32_t)v);
}

static int proto(struct machine *m, uint64_t v)
{
	return v <= 5 ? ML_OK : ml_fail(m->diag, ML_EVERSION, m->pos,
		"pickle of protocol %u", (unsigned)v);
}

static int frame(struct machine *m, uint64_t v)
{
	(void)m;
	(void)v; /* a hint for those who read ahead */
	return ML_OK;
}

static int float_line(struct machine *m)
{
	uint32_t at, n;
	int err = line(m, &at, &n);

	m->p->texts = at;
	return err ? err : push(m, OTHER);
}

/* Everything but STOP. */
static int step(struct machine *m, uint8_t op)
{
	uint32_t top = 0;
	int err;

	switch (op) {
	case 0x80: return with(m, 1, proto);
	case 0x95: return with(m, 8, frame);
	case '(': return push(m, MARK);
	case '0':
		if (m->depth == 0)
			return bad(m, "takes a value from an empty stack");
		m->depth--;
		return ML_OK;
	case '1': return pop_mark(m);
	case '2':
		err = pop(m, &top);
		if (!err)
			err = push(m, top);
		return err ? err : push(m, top);
	case 'N': return push(m, NIL);
	case 0x88: return push(m, TRUE_);
	case 0x89: return push(m, FALSE_);
	case 'I': return line_int(m, 1);
	case 'L': return line_int(m, 0);
	case 'J': return with(m, 4, binint);
	case 'K': return with(m, 1, small);
	case 'M': return with(m, 2, small);
	case 0x8a: return long_int(m, 1);
	case 0x8b: return long_int(m, 4);
	case 'F': return float_line(m);
	case 'G':
		err = skip(m, 8);
		return err ? err : push(m, OTHER);
	case 'S': return line_text(m, 1);
	case 'V': return line_text(m, 0);
	case 'T': case 'X': return counted(m, 4, ML_PK_TEXT);
	case 'U': case 0x8c: return counted(m, 1, ML_PK_TEXT);
	case 0x8d: return counted(m, 8, ML_PK_TEXT);
	case 'C': return counted(m, 1, ML_PK_OTHER);
	case 'B': return counted(m, 4, ML_PK_OTHER);
	case 0x8e: case 0x96: return counted(m, 8, ML_PK_OTHER);
	case ')': return push(m, EMPTY);
	case 't': return collect_mark(m, ML_PK_TUPLE);
	case 0x85: return tuple(m, 1);
	case 0x86: return tuple(m, 2);
	case 0x87: return tuple(m, 3);
	case ']': return push_new(m, ML_PK_LIST);
	case 'l': return collect_mark(m, ML_PK_LIST);
	case 'a': return extend_one(m, 1, 0);
	case 'e': return extend_mark(m, 0);
	case '}': return push_new(m, ML_PK_DICT);
	case 'd': return collect_mark(m, ML_PK_DICT);
	case 's': return extend_one(m, 2, 1);
	case 'u': return extend_mark(m, 1);
	case 0x8f: return push_new(m, ML_PK_SET);
	case 0x90: return extend_mark(m, 0);
	case 0x91: return collect_mark(m, ML_PK_SET);
	case 'c': return global(m);
	case 0x93: return stack_global(m);
	case 'R': case 0x81: return call(m);
	case 0x92:
		err = pop(m, &top);
		return err ? err : call(m);
	case 'o': return obj(m, 0);
	case 'i': return obj(m, 1);
	case 'b': return build(m);
	case 'Q': return persid(m);
	case 'P':
		err = line_text(m, 0);
		return err ? err : persid(m);
	case 'p': return memo_line(m, put);
	case 'q': return with(m, 1, put);
	case 'r': return with(m, 4, put);
	case 0x94: return put(m, m->memos);
	case 'g': return memo_line(m, get);
	case 'h': return with(m, 1, get);
	case 'j': return with(m, 4, get);
	default: return ml_fail(m->diag, ML_EFORMAT, m->pos - 1,
		"pickle: unknown opcode 0x%02x", op);
	}
}

/* The nodes that all share: NIL to OTHER. */
static int constants(struct machine *m)
{
	static const uint8_t kind[] = {ML_PK_NONE, ML_PK_BOOL, ML_PK_BOOL,
		ML_PK_TUPLE, ML_PK_OTHER};
	struct ml_pk_node *n;
	size_t i;
	int err = text_room(m, 1); /* never NULL from here on */

	for (i = 0; !err && i < sizeof(kind); i++) {
		err = node(m, kind[i], &n);
		if (!err && i == TRUE_)
			n->u.i = 1;
	}
	return err;
}

int ml_pickle_read(struct ml_pickle *p, struct ml_src *s, uint64_t off,
	uint64_t end, struct ml_diag *diag)
{
	struct machine m = {.p = p, .s = s, .diag = diag, .start = off,
		.pos = off, .end = end, .left = ML_PICKLE_MAX};
	uint8_t op = 0;
	int err;

	memset(p, 0, sizeof(*p));
	err = constants(&m);
	while (!err) {
		err = take(&m, &op, 1);
		if (err || op == '.')
			break;
		err = step(&m, op);
	}
	if (!err)
		err = pop(&m, &p->root);
	p->len = m.pos - off;
	free(m.stack);
	free(m.memo);
	return err;
}

void ml_pickle_free(struct ml_pickle *p)
{
	free(p->node);
	free(p->item);
	free(p->text);
	memset(p, 0, sizeof(*p));
}

/* ===== asking =========================================================== */

static int same(const struct ml_pickle *p, uint32_t at, uint32_t n,
	const char *text)
{
	return strlen(text) == n &&
		(n == 0 || memcmp(p->text + at, text, n) == 0);
}

int ml_pk_is(const struct ml_pickle *p, uint32_t i, const char *text)
{
	const struct ml_pk_node *n = &p->node[i];

	return n->kind == ML_PK_TEXT &&
		same(p, n->u.text.at, n->u.text.n, text);
}

int ml_pk_is_global(const struct ml_pickle *p, uint32_t i, const char *module,
	const char *name)
{
	const struct ml_pk_node *n = &p->node[i];

	return n->kind == ML_PK_GLOBAL &&
		same(p, n->u.text.at, n->u.text.n, module) &&
		same(p, n->u.text.name_at, n->u.text.name_n, name);
}

size_t ml_pk_items(
	const struct ml_pickle *p, uint32_t i, uint32_t *out, size_t cap)
{
	const struct ml_pk_node *n = &p->node[i];
	uint32_t at;
	size_t k = 0;

	for (at = n->first; at && k < cap; at = p->item[at - 1].next)
		out[k++] = p->item[at - 1].node;
	return n->first ? n->u.of.count : 0;
}

uint32_t ml_pk_attr(const struct ml_pickle *p, uint32_t i, const char *key)
{
	uint32_t kv[2 * ML_PICKLE_ATTRS];
	size_t n, k;

	if (p->node[i].kind == ML_PK_OBJECT)
		i = p->node[i].u.of.state;
	if (p->node[i].kind != ML_PK_DICT)
		return ML_PK_NIL;
	n = ml_pk_items(p, i, kv, 2 * ML_PICKLE_ATTRS);
	for (k = 0; k + 1 < n && k < 2 * ML_PICKLE_ATTRS; k += 2)
		if (ml_pk_is(p, kv[k], key))
			return kv[k + 1];
	return ML_PK_NIL;
}
