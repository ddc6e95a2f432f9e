/*
 * See form.h. Pairs are split first, then unescaped (io's http_unescape refuses bad escapes, NUL and ill-formed UTF-8),
 * then the brackets are read: an escaped bracket is a bracket, as with the gateway.
 */
#include "paysim/form.h"

#include "io/http_server.h"

#include <stdlib.h>
#include <string.h>

static bool split_name(struct form_item *it)
{
	struct str rest = it->name;
	const char *open = memchr(rest.p, '[', rest.n);

	it->key[0] = open ? (struct str){rest.p, (size_t)(open - rest.p)} : rest;
	it->n_keys = 1;
	if (it->key[0].n == 0 || memchr(it->key[0].p, ']', it->key[0].n))
		return false;
	rest.p += it->key[0].n;
	rest.n -= it->key[0].n;
	while (rest.n) {
		const char *close = memchr(rest.p, ']', rest.n);
		struct str *key = &it->key[it->n_keys];

		if (rest.p[0] != '[' || !close || it->n_keys == FORM_DEPTH_MAX)
			return false;
		*key = (struct str){rest.p + 1, (size_t)(close - rest.p) - 1};
		if (key->n && memchr(key->p, '[', key->n))
			return false;
		it->n_keys++;
		rest.n -= (size_t)(close + 1 - rest.p);
		rest.p = close + 1;
	}
	return true;
}

/* x twice, or x beside x[y]; x[] may repeat. */
static bool clashes(const struct form_item *a, const struct form_item *b)
{
	if (!str_eq(a->key[0], b->key[0]))
		return false;
	if ((a->n_keys == 1) != (b->n_keys == 1))
		return true;
	return str_eq(a->name, b->name) && (a->n_keys == 1 || a->key[a->n_keys - 1].n);
}

bool form_parse(struct arena *a, struct str text, struct form *ret, const char **ret_fault)
{
	size_t n = 0;

	ret->items = NULL;
	ret->n = 0;
	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '&';
	if (n >= FORM_ITEMS_MAX) {
		*ret_fault = "There are too many parameters.";
		return false;
	}
	ret->items = arena_array(a, struct form_item, n + 1);
	while (text.n) {
		struct form_item *it = &ret->items[ret->n];
		struct str pair, name, value;

		text = str_split(text, '&', &pair);
		if (pair.n == 0)
			continue;
		value = str_split(pair, '=', &name);
		if (!http_unescape(a, name, true, &it->name) || !http_unescape(a, value, true, &it->value)) {
			*ret_fault = "The parameters are not well-formed URL-encoded UTF-8.";
			return false;
		}
		if (it->name.n == 0 || it->name.n > FORM_NAME_MAX || it->value.n > FORM_VALUE_MAX) {
			*ret_fault = "A parameter's name is empty, or its name or value is too long.";
			return false;
		}
		if (!split_name(it)) {
			*ret_fault = "A parameter's name has unbalanced brackets or is nested too deeply.";
			return false;
		}
		for (size_t i = 0; i < ret->n; i++)
			if (clashes(it, &ret->items[i])) {
				*ret_fault = "A parameter is given twice.";
				return false;
			}
		ret->n++;
	}
	return true;
}

const struct form_item *form_get(struct form *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->items[i].n_keys == 1 && str_eqc(f->items[i].key[0], name)) {
			f->items[i].used = true;
			return &f->items[i];
		}
	return NULL;
}

const struct form_item *form_get_in(struct form *f, const char *base, const char *key)
{
	for (size_t i = 0; i < f->n; i++) {
		struct form_item *it = &f->items[i];

		if (it->n_keys == 2 && str_eqc(it->key[0], base) && str_eqc(it->key[1], key)) {
			it->used = true;
			return it;
		}
	}
	return NULL;
}

const struct form_item *form_each(struct form *f, const char *base, size_t *pos)
{
	while (*pos < f->n) {
		struct form_item *it = &f->items[(*pos)++];

		if (it->n_keys == 2 && str_eqc(it->key[0], base)) {
			it->used = true;
			return it;
		}
	}
	return NULL;
}

const struct form_item *form_unused(const struct form *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (!f->items[i].used)
			return &f->items[i];
	return NULL;
}

/* By name; equal names (arrays) in the order they came, which the addresses tell. */
static int by_name(const void *pa, const void *pb)
{
	const struct form_item *const *a = pa, *const *b = pb;
	size_t n = (*a)->name.n < (*b)->name.n ? (*a)->name.n : (*b)->name.n;
	int c = memcmp((*a)->name.p, (*b)->name.p, n);

	if (c == 0 && (*a)->name.n != (*b)->name.n)
		c = (*a)->name.n < (*b)->name.n ? -1 : 1;
	return c ? c : (*a < *b ? -1 : *a > *b);
}

void form_canonical(struct arena *a, const struct form *f, struct buf *out)
{
	const struct form_item **order = arena_array(a, const struct form_item *, f->n + 1);

	for (size_t i = 0; i < f->n; i++)
		order[i] = &f->items[i];
	qsort(order, f->n, sizeof(const struct form_item *), by_name);
	/* lengths first, so that no two different lists give the same text */
	for (size_t i = 0; i < f->n; i++) {
		buf_addf(out, "%zu:%zu:", order[i]->name.n, order[i]->value.n);
		buf_addstr(out, order[i]->name);
		buf_addstr(out, order[i]->value);
	}
}
