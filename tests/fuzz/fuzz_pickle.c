/* SPDX-License-Identifier: MIT */
/* The pickle machine by itself: the tree that it leaves holds together, and
 * what is asked of it ends, whatever cycles are in it. */
#include "fuzz.h"
#include "pickle.h"

static void node(const struct ml_pickle *p, uint32_t i)
{
	const struct ml_pk_node *n = &p->node[i];
	uint32_t item[16], k;
	size_t count;

	(void)ml_pk_is(p, i, "a");
	(void)ml_pk_is_global(p, i, "torch", "a");
	MUST(ml_pk_attr(p, i, "a") < p->nodes);
	count = ml_pk_items(p, i, item, 16);
	MUST(count <= p->items);
	for (k = 0; k < 16 && k < count; k++)
		MUST(item[k] < p->nodes);
	switch (n->kind) {
	case ML_PK_TEXT:
	case ML_PK_LONG:
		MUST(n->u.text.at <= p->texts &&
			n->u.text.n <= p->texts - n->u.text.at);
		break;
	case ML_PK_GLOBAL:
		MUST(n->u.text.name_at <= p->texts &&
			n->u.text.name_n <= p->texts - n->u.text.name_at);
		break;
	case ML_PK_OBJECT:
		MUST(n->u.of.fn < p->nodes && n->u.of.state < p->nodes);
		MUST(n->u.of.args < p->nodes);
		break;
	case ML_PK_PERSID:
		MUST(n->u.of.args < p->nodes);
		break;
	default:
		MUST(n->kind <= ML_PK_OBJECT);
		break;
	}
}

/* The pickle may begin somewhere and has to end in time. */
static void at(struct ml_src *s, uint64_t off, uint64_t end)
{
	struct ml_diag diag;
	struct ml_pickle p;
	uint32_t i;

	diag.why[0] = '\0';
	if (ml_pickle_read(&p, s, off, end, &diag) == ML_OK) {
		MUST(p.len > 0 && p.len <= end - off && p.root < p.nodes);
		MUST(p.nodes <= ML_PICKLE_NODES);
		for (i = 0; i < p.items; i++)
			MUST(p.item[i].node < p.nodes &&
				p.item[i].next <= p.items);
		for (i = 0; i < p.nodes; i++)
			node(&p, i);
	} else {
		MUST(diag.why[0] != '\0');
	}
	ml_pickle_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ml_src *s = fuzz_spool(data, size);

	at(s, 0, size);
	if (size > 2)
		at(s, 1, size - 1);
	ml_src_free(s);
	return 0;
}
