/*
 * Owns the service, its routes, and what its files share: whose show it is, the keys, which device asks, how an answer is written.
 *
 *   request --> show (404: another's, or not one of this device's) --> keys (a minute old at most) --> go
 */
#include "door/door_int.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "door/door_sql.h"
#include "io/metrics_table.h"
#include "ticket/ticket_service.h"

#include <stdlib.h>
#include <string.h>

enum {
	KEYS_FRESH_US = 60 * 1000 * 1000,
	KNOWN_TO_ALL_US = 150 * 1000 * 1000,
	TRIES_MS = 4000,
	TRIES_MAX = 20,
	SEALED = 64 + CRYPTO_SEAL_OVERHEAD
};

const struct pg_stmt *const *const door_sql = door_sql_statements;

struct door_service *door_service_new(const struct door_config *config)
{
	struct door_service *d = xcalloc(1, sizeof(*d));

	d->config = *config;
	crypto_derive(auth_master(config->auth), "checkin-hash", &d->hash_key);
	ticket_keys_key(auth_master(config->auth), &d->secrets_key);
	return d;
}

static void keys_drop(struct door_service *d)
{
	free(d->keys);
	free(d->not_before_us);
	d->keys = NULL;
	d->not_before_us = NULL;
	d->n_keys = 0;
	explicit_bzero(&d->signer, sizeof(d->signer));
	d->has_signer = false;
}

void door_service_free(struct door_service *d)
{
	if (!d)
		return;
	keys_drop(d);
	for (size_t i = 0; i < DOOR_COUNTS_MAX; i++)
		shared_bytes_unref(d->counts[i].body);
	explicit_bzero(&d->secrets_key, sizeof(d->secrets_key));
	free(d);
}

/* ---- keys ---- */

static void keys_take(struct door_service *d, const struct pg_result *r)
{
	size_t n = (size_t)pg_rows(r);

	keys_drop(d);
	if (n > TICKET_KEYS_MAX)
		n = TICKET_KEYS_MAX;
	d->keys = xcalloc(n + 1, sizeof(*d->keys));
	d->not_before_us = xcalloc(n + 1, sizeof(*d->not_before_us));
	for (size_t i = 0; i < n; i++) {
		struct str public_key = pg_get_bytes(r, (int)i, 0), sealed = pg_get_bytes(r, (int)i, 3);
		bool active = pg_get_bool(r, (int)i, 1);
		uint8_t secret[64];

		memcpy(d->keys[i].public_key, public_key.p, 32); /* the table checks the length */
		d->keys[i].key_id = ticket_key_id(d->keys[i].public_key);
		d->keys[i].status = active ? TICKET_KEY_ACTIVE : TICKET_KEY_RETIRED;
		d->not_before_us[i] = pg_get_time(r, (int)i, 2);
		/* whoever checks a bundle may have a list of keys that is a minute old, and another minute's cache in between */
		if (i > 0 && d->not_before_us[i] > wall_now_us() - KNOWN_TO_ALL_US)
			continue;
		if (sealed.n == SEALED && crypto_open(&d->secrets_key, sealed, secret)) {
			d->signer = ticket_signer_make(secret);
			d->has_signer = true;
			explicit_bzero(secret, sizeof(secret));
		}
	}
	d->n_keys = n;
	d->keys_read_us = loop_now_us(d->config.loop);
}

struct ticket_trust door_trust(const struct door_service *d, const struct uuid *show)
{
	return (struct ticket_trust){.keys = d->keys, .n_keys = d->n_keys, .show_id = show};
}

/* ---- the beginning of every request ---- */

static void refuse(struct door_call *c, enum err code, const char *detail)
{
	show_unref(c->show);
	c->show = NULL;
	web_refuse(c->call, code, detail);
}

static void go(struct door_call *c)
{
	struct show *show = c->show;

	c->show = NULL;
	c->go(c, show);
	show_unref(show);
}

static void on_keys(void *arg, const struct pg_answer *a)
{
	struct door_call *c = arg;

	if (a->status != PG_OK) {
		refuse(c, ERR_UNAVAILABLE, NULL);
		return;
	}
	keys_take(c->d, a->result);
	go(c);
}

static void keys_then_go(struct door_call *c)
{
	const struct door_service *d = c->d;
	struct pg_args args;

	if (!c->keys_wanted && d->keys_read_us && loop_now_us(d->config.loop) - d->keys_read_us < KEYS_FRESH_US) {
		go(c);
		return;
	}
	c->keys_asked = true;
	pg_args_init(&args, c->call->arena);
	pg_query_start(d->config.pg, &door_sql_door_keys, &args, DOOR_QUERY_MS, on_keys, c);
}

static bool token_opens(const struct who *who, const struct uuid *show)
{
	if (who->n_shows == 0)
		return true;
	for (size_t i = 0; i < who->n_shows; i++)
		if (uuid_eq(&who->shows[i], show))
			return true;
	return false;
}

static void on_show(void *arg, enum err err, struct show *show)
{
	struct door_call *c = arg;
	const struct who *who = &c->call->who;

	if (err == ERR_NONE && (!uuid_eq(&show->organizer_id, &who->organizer_id) || !token_opens(who, &show->show_id)))
		err = ERR_NOT_FOUND;
	if (err != ERR_NONE) {
		refuse(c, err, err == ERR_NOT_FOUND ? "You have no such show." : NULL);
		return;
	}
	c->show = show_ref(show);
	keys_then_go(c);
}

void door_begin(struct door_call *c)
{
	event_show_get_numbered(c->d->config.event, &c->call->ids[0], on_show, c);
}

bool door_keys_again(struct door_call *c)
{
	if (c->keys_asked)
		return false;
	c->keys_wanted = true;
	door_begin(c);
	return true;
}

/* ---- who asks ---- */

bool door_device(struct web_call *call, struct str said, struct str *ret)
{
	struct str bound = call->who.device;
	struct error e = {0};

	*ret = bound.n ? bound : said;
	if (bound.n && said.n && !str_eq(said, bound))
		error_set(&e, ERR_FORBIDDEN, "/device", "This token is of the device \"%.*s\".", STR_FMT(bound));
	else if (ret->n == 0)
		error_set(&e, ERR_INVALID_REQUEST, "/device", "\"device\" is missing.");
	if (e.code == ERR_NONE)
		return true;
	web_refuse_error(call, &e);
	return false;
}

void door_arg_actor(struct pg_args *args, const struct web_call *call)
{
	pg_arg_uuid(args, uuid_is_zero(&call->who.user_id) ? &call->who.token_id : &call->who.user_id);
}

void door_arg_window(struct pg_args *args, const struct door_config *config)
{
	/* any time: longer than any show is on sale */
	pg_arg_interval_us(args, config->before_us ? config->before_us : 100 * 366 * US_PER_DAY);
	pg_arg_interval_us(args, config->after_us);
}

void door_hash(const struct door_service *d, char kind, struct str code, const struct uuid *ticket,
	       uint8_t out[CRYPTO_HASH])
{
	struct buf b;

	buf_init(&b, 4 * DOOR_CODE_MAX + 64);
	buf_addc(&b, kind);
	buf_add(&b, ticket->b, sizeof(ticket->b));
	buf_addstr(&b, code);
	crypto_mac(&d->hash_key, buf_str(&b), out);
	buf_done(&b);
}

/* ---- answers ---- */

enum {
	COL_NONCE,
	COL_HASH,
	COL_CHECKIN,
	COL_TICKET,
	COL_SEAT,
	COL_OK,
	COL_REASON,
	COL_AT,
	COL_SCANNED_AT,
	COL_OFFLINE,
	COL_FIRST_USED_AT,
	COL_FIRST_DEVICE,
	COL_FRESH,
};

void door_row_read(const struct pg_result *r, int row, struct arena *arena, struct door_row *ret)
{
	struct str hash = pg_get_bytes(r, row, COL_HASH);

	*ret = (struct door_row){
		.nonce = arena_str(arena, pg_get_text(r, row, COL_NONCE)),
		.checkin_id = pg_get_uuid(r, row, COL_CHECKIN),
		.ticket_id = pg_get_uuid(r, row, COL_TICKET),
		.seat_no = (int32_t)pg_get_int(r, row, COL_SEAT),
		.ok = pg_get_bool(r, row, COL_OK),
		.reason = door_reason_read(pg_get_text(r, row, COL_REASON)),
		.at_us = pg_get_time(r, row, COL_AT),
		.scanned_at_us = pg_get_time(r, row, COL_SCANNED_AT),
		.offline = pg_get_bool(r, row, COL_OFFLINE),
		.first_used_at_us = pg_get_time(r, row, COL_FIRST_USED_AT),
		.first_device = arena_str(arena, pg_get_text(r, row, COL_FIRST_DEVICE)),
		.fresh = pg_get_bool(r, row, COL_FRESH),
	};
	if (hash.n == sizeof(ret->hash))
		memcpy(ret->hash, hash.p, hash.n);
}

/* What a person at the door says: the number; the label when there is no number. */
static struct str number_or_label(struct str number, struct str label)
{
	return number.n ? number : label;
}

static void ticket_write(struct jw *w, const struct door_row *row, const struct show *show)
{
	struct plan_seat seat = plan_seat(show->plan, (uint32_t)row->seat_no);
	struct plan_row r = plan_row(show->plan, seat.row);

	jw_key(w, "ticket");
	jw_obj(w);
	jw_kuuid(w, "ticket_id", &row->ticket_id);
	jw_kstr(w, "seat", seat.guid);
	jw_kstr(w, "zone", plan_zone(show->plan, r.zone).name);
	jw_kstr(w, "row", number_or_label(r.number, r.label));
	jw_kstr(w, "number", number_or_label(seat.number, seat.label));
	jw_kstr(w, "category", plan_category(show->plan, seat.category).name);
	if (seat.accessible)
		jw_kbool(w, "accessible", true);
	jw_obj_end(w);
}

void door_row_write(struct jw *w, const struct door_row *row, const struct show *show)
{
	jw_kcstr(w, "result", row->ok ? "ok" : "refused");
	if (!row->ok)
		jw_kcstr(w, "reason", door_reason_name(row->reason));
	jw_ktime(w, "at", row->at_us);
	if (row->first_used_at_us != TIME_INFINITY)
		jw_ktime(w, "first_used_at", row->first_used_at_us);
	if (row->first_device.n)
		jw_kstr(w, "first_device", row->first_device);
	if (row->seat_no >= 0 && (uint32_t)row->seat_no < plan_n_seats(show->plan))
		ticket_write(w, row, show);
}

void door_count_row(const struct door_service *d, const struct door_row *row)
{
	if (row->fresh)
		metric_add(d->config.metrics, METRIC_CHECKINS, (int)row->reason, 0, 1);
}

/* ---- trying again: a nonce makes it harmless ---- */

void door_tries_begin(struct door_tries *t, const struct door_service *d)
{
	*t = (struct door_tries){.until_us = loop_now_us(d->config.loop) + TRIES_MS * 1000};
}

int64_t door_try_ms(const struct door_tries *t, const struct door_service *d)
{
	int64_t left_ms = (t->until_us - loop_now_us(d->config.loop)) / 1000;

	return left_ms < 1 ? 1 : left_ms;
}

bool door_try_again(struct door_tries *t, const struct door_service *d, const struct pg_answer *a)
{
	t->unknown |= a->status == PG_UNKNOWN;
	/* 23505: the same nonce, a moment earlier */
	if (a->status == PG_ERROR && !pg_error_is_transient(a) && !str_eqc(str_from(a->sqlstate), "23505"))
		return false;
	return ++t->n < TRIES_MAX && loop_now_us(d->config.loop) < t->until_us;
}

void door_refuse(struct web_call *call, const struct door_tries *t, const struct pg_answer *a)
{
	if (t->unknown)
		web_refuse(call, ERR_OUTCOME_UNKNOWN,
			   "It is not known yet whether this took effect. Ask again with the same nonce.");
	else if (a->status == PG_ERROR && !pg_error_is_transient(a))
		web_refuse(call, ERR_INTERNAL, NULL);
	else
		web_refuse(call, ERR_UNAVAILABLE, NULL);
}

/* A check-in's row of checkins is its trail (decision 0066); an undo stands in the log of the staff as well. */
static const struct web_route routes[] = {
	{HTTP_POST, "/v1/shows/{show}/checkins", door_checkin_post, WEB_STAFF, SCOPE_CHECKIN, 16 * 1024, false,
	 .audit = WEB_AUDIT_TX},
	{HTTP_POST, "/v1/shows/{show}/checkins/undo", door_undo_post, WEB_STAFF, SCOPE_CHECKIN, 16 * 1024, false,
	 .audit = WEB_AUDIT_TX},
	{HTTP_POST, "/v1/shows/{show}/checkins/upload", door_upload_post, WEB_STAFF, SCOPE_CHECKIN, 1024 * 1024, false,
	 .audit = WEB_AUDIT_TX},
	{HTTP_GET, "/v1/shows/{show}/checkins/counts", door_counts_get, WEB_STAFF, SCOPE_CHECKIN, 0, false},
	{HTTP_GET, "/v1/shows/{show}/door", door_bundle_get, WEB_STAFF, SCOPE_CHECKIN, 0, false, .query = "since"},
};

void door_routes(struct door_service *d, struct web *web)
{
	web_add(web, SERVICE_TICKET, routes, sizeof(routes) / sizeof(routes[0]), d);
}
