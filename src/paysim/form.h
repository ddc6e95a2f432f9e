/*
 * application/x-www-form-urlencoded with nested brackets, as the gateway's clients send it: amount=4500,
 * metadata[show]=7, payment_method_types[]=card, payment_method_types[0]=card. Also for query strings.
 *
 * Reading marks what was asked for, so that what is left over is an unknown parameter. Everything points into the input
 * or the arena.
 */
#ifndef PAYSIM_FORM_H
#define PAYSIM_FORM_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

enum { FORM_ITEMS_MAX = 200, FORM_DEPTH_MAX = 4, FORM_NAME_MAX = 200, FORM_VALUE_MAX = 5000 };

struct form_item {
	struct str name; /* unescaped, with its brackets */
	struct str key[FORM_DEPTH_MAX];
	size_t n_keys; /* 1: no brackets; an empty key stands for [] */
	struct str value;
	bool used;
};

struct form {
	struct form_item *items;
	size_t n;
};

/* false: *ret_fault says why, in one sentence (a literal). */
bool form_parse(struct arena *a, struct str text, struct form *ret, const char **ret_fault);
/* A plain parameter; NULL when absent. */
const struct form_item *form_get(struct form *f, const char *name);
/* base[key]; NULL when absent. */
const struct form_item *form_get_in(struct form *f, const char *base, const char *key);
/* The next parameter base[something], exactly one level deep, from *pos (0 at first); NULL: no more. */
const struct form_item *form_each(struct form *f, const char *base, size_t *pos);
/* The first parameter nobody asked for; NULL: all were. */
const struct form_item *form_unused(const struct form *f);
/* The same text for the same parameters in any order (arrays keep theirs): for comparing requests. */
void form_canonical(struct arena *a, const struct form *f, struct buf *out);

#endif
