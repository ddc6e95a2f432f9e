/*
 * Mails that somebody asks for: a booking's tickets once more (POST .../resend, by staff), the link of a booking that was lost
 * (POST /v1/lookup, by anybody). Owns the rows of notifications that they make; src/notify sends them.
 *
 * A lookup is answered before it is looked up: whether there is such a booking can be learned neither from the answer nor from
 * how long it takes. How often it may be asked is counted by address and by network (unless no limit holds for that one), whether
 * or not anything is found.
 */
#include "base/times.h"
#include "base/xmalloc.h"
#include "booking/booking_int.h"
#include "booking/booking_sql.h"
#include "booking/booking_store.h"
#include "io/crypto.h"
#include "io/log.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { RESENDS_MAX = 3, LOOKUPS_PER_ADDRESS = 5, LOOKUPS_PER_NETWORK = 60 };
#define RESENDS_WITHIN_US US_PER_HOUR

/* ---- POST .../resend ---- */

struct resend {
	struct booking_service *b;
	struct web_call *call;
	struct pg_tx *tx;
	struct uuid id;
	int64_t asked_us, recipients;
	bool absent, unconfirmed;
};

static void on_resend_committed(void *arg, const struct pg_answer *a)
{
	struct resend *r = arg;
	struct jw *w;

	if (a->status != PG_OK) {
		web_refuse(r->call, a->status == PG_UNKNOWN ? ERR_OUTCOME_UNKNOWN : ERR_UNAVAILABLE, NULL);
		return;
	}
	w = web_json(r->call);
	jw_kuuid(w, "notification_id", &r->id);
	jw_kuuid(w, "booking_id", &r->call->ids[1]);
	jw_kcstr(w, "status", "queued");
	jw_kint(w, "recipients", r->recipients);
	jw_ktime(w, "created_at", r->asked_us);
	web_json_end(r->call, 200);
}

static void on_resent(void *arg, const struct pg_answer *a)
{
	struct resend *r = arg;
	int64_t wait_s;

	if (a->status == PG_OK && !r->absent && !r->unconfirmed && !pg_is_null(a->result, 0, 0)) {
		r->asked_us = pg_get_time(a->result, 0, 0);
		r->recipients = pg_get_int(a->result, 0, 4);
		pg_tx_commit(r->tx, on_resend_committed, r);
		return;
	}
	pg_tx_rollback(r->tx, NULL, NULL);
	if (a->status != PG_OK) {
		web_refuse(r->call, ERR_UNAVAILABLE, NULL);
	} else if (r->absent) {
		web_refuse(r->call, ERR_NOT_FOUND, "There is no such booking.");
	} else if (r->unconfirmed) {
		web_refuse(r->call, ERR_NOT_CONFIRMED, NULL);
	} else if (!pg_get_bool(a->result, 0, 1)) {
		web_refuse(r->call, ERR_NO_ADDRESS, NULL);
	} else {
		wait_s = pg_get_int(a->result, 0, 3);
		r->call->retry_after_s = wait_s > 0 ? (int)wait_s : 1;
		web_refuse(r->call, ERR_RATE_LIMITED,
			   "The tickets of a booking are sent again at most 3 times an hour.");
	}
}

static void on_resend_held(void *arg, const struct pg_answer *a)
{
	struct resend *r = arg;
	struct uuid organizer;

	if (a->status != PG_OK)
		return;
	r->absent = pg_rows(a->result) == 0;
	if (r->absent)
		return;
	organizer = pg_get_uuid(a->result, 0, 3);
	r->absent = !uuid_eq(&organizer, &r->call->who.organizer_id);
	r->unconfirmed = !str_eqc(pg_get_text(a->result, 0, 0), "confirmed");
}

void booking_resend_post(struct web_call *call)
{
	struct resend *r = arena_new(call->arena, struct resend);
	struct error e = {0};
	struct json_in in;
	struct pg_args args;
	json_t *body = web_body(call);

	if (!body)
		return;
	json_in_init(&in, body, "", &e);
	if (!json_in_end(&in)) {
		web_refuse_error(call, &e);
		return;
	}
	memset(r, 0, sizeof(*r));
	r->b = call->service;
	r->call = call;
	r->id = crypto_uuid_v7(wall_now_us());
	r->tx = pg_tx_start(r->b->config.pg, NULL, BOOKING_TX_MS);
	booking_hold(r->tx, call->arena, &call->ids[0], &call->ids[1], on_resend_held, r);
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &call->ids[1]);
	pg_arg_uuid(&args, &r->id);
	pg_arg_i32(&args, RESENDS_MAX);
	pg_arg_interval_us(&args, RESENDS_WITHIN_US);
	pg_tx_exec(r->tx, &booking_sql_booking_resend, &args, on_resent, r);
}

/* ---- POST /v1/lookup ---- */

struct lookup {
	struct booking_service *b;
	struct web_call *call;
	char reference[REFERENCE_TEXT];
	bool readable; /* it can be a reference at all */
	uint8_t email_hash[CRYPTO_HASH];
};

static void on_looked_up(void *arg, const struct pg_answer *a)
{
	if (a->status != PG_OK)
		log_line(LOG_ERROR, "a lookup could not be made", LOG_C("error", a->message));
}

static void on_counted(void *arg, const struct pg_answer *a)
{
	struct lookup *l = arg;
	struct uuid id = crypto_uuid_v7(wall_now_us());
	int64_t wait_s = 0;
	struct pg_args args;

	if (a->status != PG_OK) {
		web_refuse(l->call, ERR_UNAVAILABLE, NULL);
		return;
	}
	for (int i = 0; i < pg_rows(a->result); i++) {
		bool address = str_eqc(pg_get_text(a->result, i, 0), "lookup_address");

		if (pg_get_int(a->result, i, 1) > (address ? LOOKUPS_PER_ADDRESS : LOOKUPS_PER_NETWORK))
			wait_s = pg_get_int(a->result, i, 2);
	}
	if (wait_s) {
		l->call->retry_after_s = (int)wait_s;
		web_refuse(l->call, ERR_RATE_LIMITED, "Too many lookups. Wait until the hour is over.");
		return;
	}
	pg_args_init(&args, l->call->arena);
	pg_arg_text(&args, l->readable ? str_from(l->reference) : STR(""));
	pg_arg_bytes(&args, (struct str){(const char *)l->email_hash, sizeof(l->email_hash)});
	pg_arg_uuid(&args, &id);
	/* begun for everybody, waited for by nobody */
	pg_query_start(l->b->config.pg, &booking_sql_lookup_mail, &args, BOOKING_QUERY_MS, on_looked_up, NULL);
	jw_kcstr(web_json(l->call), "detail",
		 "If there is a booking with this reference and this address, its link is sent there.");
	web_json_end(l->call, 202);
}

/* An address's network, hashed: 24 bits of IPv4, 48 of IPv6; of a unix socket always the same. */
static void network_hash(const struct booking_service *b, const struct net_addr *client, uint8_t ret[CRYPTO_HASH])
{
	struct in6_addr a;
	uint8_t net[8] = {0};

	memcpy(&a, client->b, sizeof(a));
	net[0] = IN6_IS_ADDR_V4MAPPED(&a) ? 4 : IN6_IS_ADDR_UNSPECIFIED(&a) ? 0 : 6;
	memcpy(net + 1, net[0] == 4 ? a.s6_addr + 12 : a.s6_addr, net[0] == 4 ? 3 : 6);
	crypto_mac(&b->email_key, (struct str){(const char *)net, sizeof(net)}, ret);
}

void lookup_post(struct web_call *call)
{
	static const struct str kinds[] = {STR("lookup_address"), STR("lookup_network")};
	struct lookup *l = arena_new(call->arena, struct lookup);
	char folded[EMAIL_FOLDED_MAX];
	uint8_t network[CRYPTO_HASH];
	struct str reference, email, who[2];
	struct error e = {0};
	struct json_in in;
	struct pg_args args;
	json_t *body = web_body(call);

	if (!body)
		return;
	json_in_init(&in, body, "", &e);
	reference = json_in_str(&in, "reference", JSON_REQUIRED, 1, 64);
	email = json_in_str(&in, "email", JSON_REQUIRED, 3, 254);
	if (e.code == ERR_NONE && !email_plausible(email))
		json_in_fault(&in, ERR_INVALID_VALUE, "email", "\"email\" is not a mail address.");
	if (!json_in_end(&in)) {
		web_refuse_error(call, &e);
		return;
	}
	l->b = call->service;
	l->call = call;
	l->readable = booking_reference_read(reference, l->reference);
	crypto_mac(&l->b->email_key, email_fold(email, folded), l->email_hash);
	network_hash(l->b, &call->client, network);
	who[0] = (struct str){(const char *)l->email_hash, sizeof(l->email_hash)};
	who[1] = (struct str){(const char *)network, sizeof(network)};
	pg_args_init(&args, call->arena);
	pg_arg_texts(&args, kinds, call->limited_network ? 2 : 1);
	pg_arg_bytess(&args, who, call->limited_network ? 2 : 1);
	pg_query_start(l->b->config.pg, &booking_sql_request_count, &args, BOOKING_QUERY_MS, on_counted, l);
}
