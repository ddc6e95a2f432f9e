/*
 * Breadth first over all states: an array of states, an open hash table over it, a link to the state each was first reached
 * from. What led from one to the next is not kept: for a trace the step is taken again.
 */
#include "explore.h"

#include "base/xmalloc.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHUNK_BITS = 14, CHUNK = 1 << CHUNK_BITS };
#define NOWHERE UINT32_MAX

struct node {
	struct world w;
	uint32_t parent, settle; /* settle: where the settling duty comes to by itself */
	uint32_t depth;
};

struct search {
	struct walk walk; /* first: fn gets it */
	struct node **chunks;
	uint32_t n, max, n_chunks;
	uint32_t *table, mask; /* index + 1 */
	uint32_t at;	       /* whose successors are made */
	uint64_t steps;
	const char *why;
	uint32_t bad; /* where it is broken */
};

static struct node *node_at(struct search *s, uint32_t i)
{
	return &s->chunks[i >> CHUNK_BITS][i & (CHUNK - 1)];
}

static uint64_t hash(const struct world *w)
{
	uint64_t words[sizeof(*w) / 8], h = UINT64_C(0x9E3779B97F4A7C15);

	memcpy(words, w, sizeof(words));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		h = (h ^ words[i]) * UINT64_C(0xFF51AFD7ED558CCD);
		h ^= h >> 32;
	}
	return h;
}

static void grow(struct search *s)
{
	uint32_t mask = s->mask * 2 + 1;

	free(s->table);
	s->table = xcalloc((size_t)mask + 1, sizeof(*s->table));
	s->mask = mask;
	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t at = (uint32_t)hash(&node_at(s, i)->w) & mask;

		while (s->table[at])
			at = (at + 1) & mask;
		s->table[at] = i + 1;
	}
}

/* Its index; a new one is put at the end. */
static uint32_t find(struct search *s, const struct world *w, bool *ret_new)
{
	uint32_t at = (uint32_t)hash(w) & s->mask;
	struct node *node;

	for (*ret_new = false; s->table[at]; at = (at + 1) & s->mask)
		if (memcmp(&node_at(s, s->table[at] - 1)->w, w, sizeof(*w)) == 0)
			return s->table[at] - 1;
	*ret_new = true;
	if (s->n >> CHUNK_BITS == s->n_chunks) {
		s->chunks = xrealloc(s->chunks, (s->n_chunks + 1) * sizeof(struct node *));
		s->chunks[s->n_chunks++] = xcalloc(CHUNK, sizeof(struct node));
	}
	s->table[at] = ++s->n;
	node = node_at(s, s->n - 1);
	node->w = *w;
	node->settle = NOWHERE;
	node->parent = s->at;
	node->depth = s->at == NOWHERE ? 0 : node_at(s, s->at)->depth + 1;
	if (s->n > s->mask / 2)
		grow(s);
	return s->n - 1;
}

static void breaks(struct search *s, uint32_t at, const char *why)
{
	if (s->why || !why)
		return;
	s->why = why;
	s->bad = at;
}

static void on_step(struct walk *k, const struct world *to, bool settles)
{
	struct search *s = (struct search *)k;
	struct world part[PARTS];
	int n = parts(k->from, to, part);

	s->steps++;
	for (int j = 0; j < n; j++) {
		bool new;
		uint32_t i = find(s, &part[j], &new);

		/* each part has to settle by itself: that of one will do here */
		if (settles && node_at(s, s->at)->settle == NOWHERE && i != s->at)
			node_at(s, s->at)->settle = i;
		if (new)
			breaks(s, i, broken(k->m, &part[j]));
	}
}

static void expand(struct search *s, uint32_t at)
{
	struct world from = node_at(s, at)->w;

	s->at = at;
	s->walk.from = &from;
	walk_all(&s->walk);
	if (quiescent(&from))
		breaks(s, at, broken_in_the_end(&from));
	else if (node_at(s, at)->settle == NOWHERE)
		breaks(s, at, "I4: something is open, and nothing will ever move it");
}

/* ---- does everything settle by itself? ---- */

/* Follows the settling duty from every state: each way must come to an end. */
static uint64_t follow(struct search *s)
{
	uint8_t *mark = xcalloc(s->n, 1); /* 1: on this way, 2: comes to an end */
	uint64_t ends = 0;

	for (uint32_t i = 0; i < s->n && !s->why; i++) {
		uint32_t at = i;

		while (!mark[at]) {
			mark[at] = 1;
			if (quiescent(&node_at(s, at)->w)) {
				ends++;
				mark[at] = 2;
			} else {
				at = node_at(s, at)->settle;
			}
		}
		if (mark[at] == 1)
			breaks(s, at, "I4: nothing fails any more, and yet it never ends");
		for (at = i; mark[at] == 1 && !s->why; at = node_at(s, at)->settle)
			mark[at] = 2;
	}
	free(mark);
	return ends;
}

/* ---- telling it ---- */

struct retrace {
	struct walk walk;
	struct world wanted;
	bool found;
	char words[400];
};

static void on_retraced(struct walk *k, const struct world *to, bool settles)
{
	struct retrace *r = (struct retrace *)k;
	struct world part[PARTS];
	int n = parts(k->from, to, part);

	for (int i = 0; i < n && !r->found; i++)
		if (memcmp(&part[i], &r->wanted, sizeof(part[i])) == 0) {
			r->found = true;
			memcpy(r->words, k->words, sizeof(r->words));
		}
}

static void tell_step(struct search *s, FILE *out, int no, const struct world *from, const struct world *to)
{
	struct model *m = s->walk.m, copy = *m; /* telling it is not taking it */
	struct retrace r = {.walk = {.m = &copy, .from = from, .fn = on_retraced, .speak = true}, .wanted = *to};

	walk_all(&r.walk);
	fprintf(out, "%4d  %s\n", no, r.found ? r.words : "?");
}

static void tell(struct search *s, FILE *out)
{
	uint32_t depth = node_at(s, s->bad)->depth, at = s->bad, *way = xcalloc((size_t)depth + 1, sizeof(*way));

	for (uint32_t i = depth + 1; i-- > 0; at = node_at(s, at)->parent)
		way[i] = at;
	fprintf(out, "%s\n", s->why);
	for (uint32_t i = 1; i <= depth; i++)
		tell_step(s, out, (int)i, &node_at(s, way[i - 1])->w, &node_at(s, way[i])->w);
	print_world(out, &node_at(s, s->bad)->w);
	if (strstr(s->why, "never ends")) {
		fprintf(out, "and then for ever:\n");
		at = s->bad;
		do {
			uint32_t next = node_at(s, at)->settle;

			tell_step(s, out, (int)++depth, &node_at(s, at)->w, &node_at(s, next)->w);
			at = next;
		} while (at != s->bad);
	}
	free(way);
}

static int64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void start(struct search *s)
{
	struct world w = {.seat = SEAT_FREE,
			  .crashes = (uint16_t)s->walk.m->bound.crashes & 3,
			  .losses = (uint16_t)s->walk.m->bound.losses & 7,
			  .sleepers = (uint16_t)s->walk.m->bound.sleepers & 3,
			  .strays = (uint16_t)s->walk.m->bound.strays & 1};
	bool new;

	for (int i = 0; i < ATTEMPTS; i++) {
		w.attempts[i].state = NO_PAYMENT;
		for (int kind = 0; kind < REFUND_KINDS; kind++)
			w.attempts[i].refunds[kind].state = NO_REFUND;
	}
	for (int i = 0; i < BUYERS; i++) {
		w.buyers[i].lock = NO_LOCK;
		w.buyers[i].booking = NO_BOOKING;
	}
	s->at = NOWHERE;
	find(s, &w, &new);
}

void search(struct model *m, uint32_t max_states, FILE *trace, struct report *ret)
{
	struct search s = {.walk = {.m = m, .fn = on_step}, .max = max_states, .mask = (1 << 16) - 1};
	int64_t started_ms = clock_ms();

	s.table = xcalloc((size_t)s.mask + 1, sizeof(*s.table));
	gateway_learn(m);
	start(&s);
	*ret = (struct report){.verdict = VERDICT_HOLDS};
	for (uint32_t i = 0; i < s.n && !s.why && s.n <= s.max; i++)
		expand(&s, i);
	if (s.n > s.max && !s.why)
		ret->verdict = VERDICT_TOO_MANY;
	else
		ret->ends = follow(&s);
	ret->longest = node_at(&s, s.n - 1)->depth;
	if (s.why) {
		ret->verdict = VERDICT_BROKEN;
		snprintf(ret->why, sizeof(ret->why), "%s", s.why);
		ret->longest = node_at(&s, s.bad)->depth;
		if (trace)
			tell(&s, trace);
	}
	ret->states = s.n;
	ret->steps = s.steps;
	ret->took_ms = clock_ms() - started_ms;
	for (uint32_t i = 0; i < s.n_chunks; i++)
		free(s.chunks[i]);
	free(s.chunks);
	free(s.table);
}
