/*
 * GET .../door: what a device needs to go on without a network, signed (ticket/bundle.h), and ?since=: what changed.
 *
 *   show, keys --> the tickets that are not as they were issued --> thread pool: text, ETag, signature, gzip --> 200 or 304
 *
 * A code proves itself by its signature, so a bundle has no list of valid tickets: it has the keys, what is revoked, what is used, and
 * the seats for people to read. No name of anybody is in it. The text is a function of what is stored and of the five minutes it was
 * asked in (as_of), so that the same bundle has the same ETag in every process.
 *
 * cursor names the state as PostgreSQL numbers its transactions, with the history these numbers belong to; one of another history
 * gets everything.
 */
#include "base/times.h"
#include "base/xmalloc.h"
#include "door/door_int.h"
#include "door/door_sql.h"
#include "io/crypto.h"
#include "io/gzip.h"
#include "ticket/bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 64 * 1024 * 1024, CURSOR_TEXT = 48 };
#define GOOD_FOR_US (12 * US_PER_HOUR)

/* For the thread: what it reads is its own, or never changes while the show is referred to. */
struct drawing {
	struct show *show; /* kept by the loop */
	struct ticket_key *keys;
	int64_t *not_before_us;
	size_t n_keys;
	struct ticket_signer signer;
	struct uuid *revoked, *used, *valid;
	int64_t *used_at;
	size_t n_revoked, n_used, n_valid;
	int64_t as_of_us, opens_us, closes_us; /* opens_us INT64_MIN: any time */
	bool delta, gzip;
	char cursor[CURSOR_TEXT], since[CURSOR_TEXT];
	struct str if_none_match;
	/* made */
	bool ok, same;
	char etag[40];
	struct buf out;
};

/* Lives in the call's arena. */
struct asking {
	struct door_call c;
	struct show *show;
	struct ticket_signer signer;
	uint64_t history;
	int64_t since; /* 0: everything */
	char since_text[CURSOR_TEXT];
};

/* ---- on the thread ---- */

static void keys_write(struct jw *w, const struct drawing *g)
{
	jw_key(w, "keys");
	jw_arr(w);
	for (size_t i = 0; i < g->n_keys; i++)
		ticket_key_write(w, &g->keys[i], g->not_before_us[i]);
	jw_arr_end(w);
}

static void ids_write(struct jw *w, const char *name, const struct uuid *ids, size_t n)
{
	jw_key(w, name);
	jw_arr(w);
	for (size_t i = 0; i < n; i++)
		jw_uuid(w, &ids[i]);
	jw_arr_end(w);
}

static void used_write(struct jw *w, const struct drawing *g)
{
	jw_key(w, "used");
	jw_arr(w);
	for (size_t i = 0; i < g->n_used; i++) {
		jw_arr(w);
		jw_uuid(w, &g->used[i]);
		if (g->used_at[i])
			jw_time(w, g->used_at[i] - g->used_at[i] % US_PER_SECOND);
		else
			jw_null(w);
		jw_arr_end(w);
	}
	jw_arr_end(w);
}

/* Seats in the order of their numbers, which is what codes have: zone by zone, row by row. */
static void row_write(struct jw *w, const struct plan *plan, uint32_t number)
{
	struct plan_row row = plan_row(plan, number);

	jw_obj(w);
	jw_kstr(w, "row", row.number.n ? row.number : row.label);
	jw_key(w, "seats");
	jw_arr(w);
	for (uint32_t i = 0; i < row.n_seats; i++) {
		struct plan_seat seat = plan_seat(plan, row.first_seat + i);

		jw_arr(w);
		jw_str(w, seat.guid);
		jw_str(w, seat.number.n ? seat.number : seat.label);
		jw_int(w, seat.category);
		jw_arr_end(w);
	}
	jw_arr_end(w);
	jw_obj_end(w);
}

static void plan_write(struct jw *w, const struct plan *plan)
{
	jw_key(w, "categories");
	jw_arr(w);
	for (uint32_t i = 0; i < plan_n_categories(plan); i++) {
		struct plan_category c = plan_category(plan, i);

		jw_obj(w);
		jw_kstr(w, "name", c.name);
		jw_kstr(w, "color", c.color);
		jw_obj_end(w);
	}
	jw_arr_end(w);
	jw_key(w, "zones");
	jw_arr(w);
	for (uint32_t z = 0; z < plan_n_zones(plan); z++) {
		struct plan_zone zone = plan_zone(plan, z);

		jw_obj(w);
		jw_kstr(w, "name", zone.name);
		jw_key(w, "rows");
		jw_arr(w);
		for (uint32_t i = 0; i < zone.n_rows; i++)
			row_write(w, plan, zone.first_row + i);
		jw_arr_end(w);
		jw_obj_end(w);
	}
	jw_arr_end(w);
}

static bool text_write(const struct drawing *g, struct buf *out)
{
	const struct show *show = g->show;
	struct jw w;

	jw_init(&w, out);
	jw_obj(&w);
	jw_kcstr(&w, "format", "boxoffice-door-1");
	jw_kcstr(&w, "kind", g->delta ? "delta" : "full");
	jw_kuuid(&w, "show_id", &show->show_id);
	jw_kcstr(&w, "event", show->event_name);
	jw_kcstr(&w, "venue", show->venue_name);
	jw_kcstr(&w, "timezone", show->timezone);
	jw_kcstr(&w, "status", show_status_name(show->status));
	jw_ktime(&w, "starts_at", show->starts_at_us);
	if (g->opens_us != INT64_MIN)
		jw_ktime(&w, "opens_at", g->opens_us);
	jw_ktime(&w, "closes_at", g->closes_us);
	jw_ktime(&w, "as_of", g->as_of_us);
	jw_ktime(&w, "expires_at", g->as_of_us + GOOD_FOR_US);
	if (g->delta)
		jw_kcstr(&w, "since", g->since);
	jw_kcstr(&w, "cursor", g->cursor);
	keys_write(&w, g);
	ids_write(&w, "revoked", g->revoked, g->n_revoked);
	used_write(&w, g);
	if (g->delta)
		ids_write(&w, "valid", g->valid, g->n_valid);
	else
		plan_write(&w, show->plan);
	jw_obj_end(&w);
	return jw_done(&w);
}

/* Whether one of the tags in If-None-Match is this one. */
static bool tag_among(struct str list, struct str etag)
{
	for (struct str one; list.n;) {
		list = str_split(list, ',', &one);
		one = str_trim(one);
		if (str_eq(one, etag) || str_eqc(one, "*"))
			return true;
	}
	return false;
}

static void draw_work(void *data)
{
	struct drawing *g = data;
	struct buf text, envelope;
	uint8_t hash[CRYPTO_HASH];
	char tag[2 * 12 + 1], key_id[TICKET_KEY_ID_TEXT];

	buf_init(&text, TEXT_MAX);
	buf_init(&envelope, 2 * TEXT_MAX);
	g->ok = text_write(g, &text);
	if (g->ok) {
		crypto_digest(buf_str(&text), hash);
		hex_encode(hash, 12, tag);
		/* who signs is not in the text, and another packing is another representation */
		snprintf(g->etag, sizeof(g->etag), "\"%s%s%s\"", tag, ticket_key_id_format(g->signer.key_id, key_id),
			 g->gzip ? "-gz" : "");
		g->same = tag_among(g->if_none_match, str_from(g->etag));
	}
	if (g->ok && !g->same && !g->gzip)
		g->ok = bundle_sign(&g->signer, buf_str(&text), &g->out);
	else if (g->ok && !g->same)
		g->ok = bundle_sign(&g->signer, buf_str(&text), &envelope) && gzip_all(buf_str(&envelope), &g->out);
	buf_done(&text);
	buf_done(&envelope);
}

static void draw_free(void *data)
{
	struct drawing *g = data;

	show_unref(g->show);
	free(g->keys);
	free(g->not_before_us);
	free(g->revoked);
	free(g->used);
	free(g->used_at);
	free(g->valid);
	free((char *)(uintptr_t)g->if_none_match.p);
	explicit_bzero(&g->signer, sizeof(g->signer));
	buf_done(&g->out);
	free(g);
}

/* ---- on the loop ---- */

static void on_drawn(void *arg, void *data)
{
	struct web_call *call = ((struct asking *)arg)->c.call;
	struct drawing *g = data;
	struct http_header headers[5] = {{STR("Content-Type"), STR("application/json")},
					 {STR("Cache-Control"), STR("private, no-cache")},
					 {STR("ETag"), str_from(g->etag)},
					 {STR("Vary"), STR("Accept-Encoding, Authorization")},
					 {STR("Content-Encoding"), STR("gzip")}};
	size_t n;
	char *bytes;
	struct shared_bytes *body;

	if (!g->ok) {
		web_refuse(call, ERR_INTERNAL, "The bundle could not be made.");
	} else if (g->same) {
		web_bytes(call, 304, headers + 1, 3, STR(""));
	} else {
		bytes = buf_take(&g->out, &n);
		body = shared_bytes_take(bytes, n);
		web_shared(call, 200, headers, g->gzip ? 5 : 4, body);
		shared_bytes_unref(body);
	}
}

static void *copy(const void *p, size_t n, size_t size)
{
	void *c = xcalloc(n + 1, size);

	if (n)
		memcpy(c, p, n * size);
	return c;
}

static struct drawing *drawing_new(struct asking *k, const struct pg_result *r)
{
	struct drawing *g = xcalloc(1, sizeof(*g));
	const struct door_service *d = k->c.d;
	struct web_call *call = k->c.call;
	const struct str *match = http_req_header(call->req, "if-none-match");
	int64_t *used_at;
	struct uuid *ids;
	size_t n;

	g->n_revoked = pg_get_uuids(r, 0, 0, call->arena, &ids);
	g->revoked = copy(ids, g->n_revoked, sizeof(*ids));
	g->n_used = pg_get_uuids(r, 0, 1, call->arena, &ids);
	g->used = copy(ids, g->n_used, sizeof(*ids));
	n = pg_get_ints(r, 0, 2, call->arena, &used_at);
	g->used_at = copy(used_at, n, sizeof(*used_at));
	g->n_valid = pg_get_uuids(r, 0, 3, call->arena, &ids);
	g->valid = copy(ids, g->n_valid, sizeof(*ids));
	snprintf(g->cursor, sizeof(g->cursor), "%016llx-%lld", (unsigned long long)k->history,
		 (long long)pg_get_int(r, 0, 4));
	snprintf(g->since, sizeof(g->since), "%s", k->since_text);
	g->as_of_us = pg_get_time(r, 0, 5);
	g->delta = k->since > 0;
	g->gzip = web_accepts_gzip(call);
	g->show = show_ref(k->show);
	g->n_keys = d->n_keys;
	g->keys = copy(d->keys, d->n_keys, sizeof(*d->keys));
	g->not_before_us = copy(d->not_before_us, d->n_keys, sizeof(*d->not_before_us));
	g->signer = k->signer;
	g->opens_us = d->config.before_us ? k->show->starts_at_us - d->config.before_us : INT64_MIN;
	g->closes_us = k->show->starts_at_us + d->config.after_us;
	if (match)
		g->if_none_match = (struct str){xstrndup(match->p, match->n), match->n};
	buf_init(&g->out, 2 * TEXT_MAX);
	return g;
}

static void asking_done(void *arg)
{
	struct asking *k = arg;

	show_unref(k->show);
	explicit_bzero(&k->signer, sizeof(k->signer));
}

static void on_changes(void *arg, const struct pg_answer *a)
{
	struct asking *k = arg;
	struct drawing *g;

	if (a->status != PG_OK) {
		web_refuse(k->c.call, ERR_UNAVAILABLE, NULL);
	} else {
		g = drawing_new(k, a->result);
		if (!offload_start(k->c.d->config.offload, draw_work, g, draw_free, on_drawn, k)) {
			draw_free(g);
			web_refuse(k->c.call, ERR_OVERLOADED, NULL);
		}
	}
}

/* A cursor of ours and of this history. */
static int64_t since_read(struct str text, uint64_t history)
{
	struct str head, number = str_split(text, '-', &head);
	char ours[17];
	uint64_t n;

	snprintf(ours, sizeof(ours), "%016llx", (unsigned long long)history);
	return str_eqc(head, ours) && str_to_u64(number, INT64_MAX, &n) ? (int64_t)n : 0;
}

static void bundle_go(struct door_call *c, struct show *show)
{
	struct asking *k = (struct asking *)c;
	struct door_service *d = c->d;
	uint8_t hash[CRYPTO_HASH];
	struct pg_args args;
	struct str since;
	bool bad = false;

	if (!d->has_signer) {
		if (!door_keys_again(c))
			web_refuse(c->call, ERR_UNAVAILABLE, "There is no key to sign with yet.");
		return;
	}
	/* which history the numbers belong to, which show, which seats: a cursor of others gets everything */
	crypto_digest(str_from(pg_timeline(d->config.pg)), hash);
	memcpy(&k->history, hash, sizeof(k->history));
	for (size_t i = 0; i < 16; i++)
		((uint8_t *)&k->history)[i % 8] ^= show->show_id.b[i] ^ show->plan_id.b[15 - i];
	k->since = 0;
	if (http_req_query(c->call->req, "since", &since, &bad) && !bad) {
		k->since = since_read(since, k->history);
		snprintf(k->since_text, sizeof(k->since_text), "%.*s", STR_FMT(k->since ? since : STR("")));
	}
	k->show = show_ref(show);
	k->signer = d->signer;
	pg_args_init(&args, c->call->arena);
	pg_arg_uuid(&args, &show->show_id);
	pg_arg_i64(&args, k->since);
	pg_query_start(d->config.pg, &door_sql_door_changes, &args, DOOR_QUERY_MS, on_changes, k);
}

void door_bundle_get(struct web_call *call)
{
	struct asking *k = arena_new(call->arena, struct asking);

	k->c = (struct door_call){.d = call->service, .call = call, .go = bundle_go};
	arena_on_done(call->arena, asking_done, k);
	door_begin(&k->c);
}
