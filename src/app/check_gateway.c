/*
 * I3 against the gateway's own ledger: all its payment intents and refunds, a hundred a page, go into temporary tables of
 * PostgreSQL, where sql/check_i3_gateway.sql compares them with our rows. Nothing is kept here but a page, so that a ledger may
 * be of any size. What differs is looked at again after a moment, from the beginning: what was under way the first time is gone
 * or is another difference by then.
 *
 *   tables --> look 1: intents, refunds, compare --nothing--> even
 *                                    +-- something --> wait --> look 2 --> what was seen both times is told
 *
 * Only reads from the gateway. Blocks.
 */
#include "app/check_int.h"

#include "app/sync_http.h"
#include "base/buf.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAGE = 100, KEY_MAX = 300, TRIES_MAX = 4, LINES_MAX = 100, PAGE_TEXT_MAX = 1024 * 1024, PATH_MAX_BYTES = 300 };

static bool say(const char *why)
{
	fprintf(stderr, "boxoffice: I3 cannot be compared with the gateway: %s\n", why);
	return false;
}

/* One line; the gateway's secret key goes nowhere else. */
static bool key_read(const char *path, char out[KEY_MAX])
{
	FILE *f = fopen(path, "re");
	char why[500];
	size_t n;

	if (!f) {
		snprintf(why, sizeof(why), "the key file %s cannot be read: %s", path, strerror(errno));
		return say(why);
	}
	n = fread(out, 1, KEY_MAX - 1, f);
	fclose(f);
	out[n] = '\0';
	out[strcspn(out, "\r\n ")] = '\0';
	if (!out[0]) {
		snprintf(why, sizeof(why), "the key file %s is empty", path);
		return say(why);
	}
	return true;
}

/* ---- a page of a list ---- */

static void pause_ms(int64_t ms)
{
	struct timespec pause = {ms / 1000, ms % 1000 * 1000000L};

	nanosleep(&pause, NULL);
}

/* What is busy for a moment is asked again. */
static bool ask(struct sync_http_client *http, const char *path, struct http_answer *ret)
{
	char why[300];

	for (int tries = 1;; tries++) {
		bool answered = sync_http_get(http, path, ret);

		if (answered && ret->status == 200 && json_is_array(json_object_get(ret->json, "data")))
			return true;
		if (tries == TRIES_MAX || (answered && ret->status != 429 && ret->status < 500)) {
			if (answered)
				snprintf(why, sizeof(why), "it answers %d", ret->status);
			else
				snprintf(why, sizeof(why), "%s", ret->error);
			sync_http_done(ret);
			return say(why);
		}
		sync_http_done(ret);
		pause_ms(200 * tries);
	}
}

static const char *text_of(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	return s ? s : "";
}

static void write_metadata_id(struct jw *w, const json_t *metadata, const char *name)
{
	struct uuid id;

	if (uuid_parse(str_from(text_of(metadata, name)), &id))
		jw_kuuid(w, name, &id);
}

static void write_intent(struct jw *w, const json_t *one)
{
	const json_t *metadata = json_object_get(one, "metadata");

	jw_kint(w, "created", json_integer_value(json_object_get(one, "created")));
	jw_kint(w, "received", json_integer_value(json_object_get(one, "amount_received")));
	write_metadata_id(w, metadata, "show");
	write_metadata_id(w, metadata, "booking");
	write_metadata_id(w, metadata, "attempt");
}

static void write_refund(struct jw *w, const json_t *one)
{
	jw_kcstr(w, "intent", text_of(one, "payment_intent"));
}

struct list {
	const char *path;
	const struct pg_stmt *keep;
	void (*write)(struct jw *w, const json_t *one);
};

static const struct list lists[] = {
	{"/v1/payment_intents", &check_sql_check_gateway_intents, write_intent},
	{"/v1/refunds", &check_sql_check_gateway_refunds, write_refund},
};

/* What is compared of a page, as JSON that PostgreSQL reads; the last id is where the next page begins. */
static bool page_write(const struct list *l, const json_t *data, struct buf *out, char last[PATH_MAX_BYTES])
{
	struct jw w;
	const json_t *one;
	size_t i;

	buf_reset(out);
	jw_init(&w, out);
	jw_arr(&w);
	json_array_foreach(data, i, one) {
		const char *id = text_of(one, "id");

		/* it goes into the next page's address */
		if (!id[0] || strlen(id) > 200 ||
		    strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != strlen(id))
			return say("its list holds something without a proper id");
		snprintf(last, PATH_MAX_BYTES, "%s", id);
		jw_obj(&w);
		jw_kcstr(&w, "id", id);
		jw_kcstr(&w, "status", text_of(one, "status"));
		jw_kint(&w, "amount", json_integer_value(json_object_get(one, "amount")));
		jw_kcstr(&w, "currency", text_of(one, "currency"));
		l->write(&w, one);
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	return jw_done(&w) || say("a page of its list is too large");
}

static bool list_load(PGconn *pg, struct sync_http_client *http, const struct list *l, struct buf *text)
{
	char last[PATH_MAX_BYTES] = "", path[2 * PATH_MAX_BYTES];
	bool more = true;

	while (more) {
		struct http_answer a;
		const char *params[1];
		PGresult *r;
		const json_t *data;

		snprintf(path, sizeof(path), "%s?limit=%d%s%s", l->path, PAGE, last[0] ? "&starting_after=" : "", last);
		if (!ask(http, path, &a))
			return false;
		data = json_object_get(a.json, "data");
		more = json_is_true(json_object_get(a.json, "has_more")) && json_array_size(data) > 0;
		if (!page_write(l, data, text, last)) {
			sync_http_done(&a);
			return false;
		}
		sync_http_done(&a);
		if (!buf_add(text, "", 1)) /* libpq takes a C string */
			return say("a page of its list is too large");
		params[0] = text->p;
		r = pg_sync_ask(pg, "I3", l->keep->sql, l->keep->n_params, params);
		if (!r)
			return false;
		PQclear(r);
	}
	return true;
}

/* ---- a look ---- */

static long look(PGconn *pg, struct sync_http_client *http, const char *number, const char *late)
{
	const char *params[] = {number, late};
	struct buf text;
	PGresult *r;
	long n;

	buf_init(&text, PAGE_TEXT_MAX);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (!list_load(pg, http, &lists[i], &text)) {
			buf_done(&text);
			return -1;
		}
	buf_done(&text);
	/* how large they are decides how they are joined */
	if (!pg_sync_do(pg, "I3", "ANALYZE gateway_intents, gateway_refunds"))
		return -1;
	r = pg_sync_ask(pg, "I3", check_sql_check_i3_gateway.sql, check_sql_check_i3_gateway.n_params, params);
	if (!r)
		return -1;
	n = strtol(PQcmdTuples(r), NULL, 10);
	PQclear(r);
	return n;
}

/* Where the money is that does not fit; said beside the violations, not counted as one. */
static void tell_sums(PGconn *pg)
{
	PGresult *r = pg_sync_ask(pg, "I3", check_sql_check_gateway_sums.sql, 0, NULL);

	for (int i = 0; r && i < PQntuples(r); i++)
		if (strcmp(PQgetvalue(r, i, 6), "0") != 0)
			printf("I3 currency %s: in sum the gateway has captured %s less refunds %s, which is %s; here "
			       "%s are due\n",
			       PQgetvalue(r, i, 0), PQgetvalue(r, i, 2), PQgetvalue(r, i, 3), PQgetvalue(r, i, 4),
			       PQgetvalue(r, i, 5));
	PQclear(r);
}

static long tell(PGconn *pg)
{
	PGresult *r = pg_sync_ask(pg, "I3", check_sql_check_gateway_faults.sql, 0, NULL);
	int n = r ? PQntuples(r) : -1;

	for (int i = 0; i < n && i < LINES_MAX; i++)
		printf("I3 show %s: %s\n", PQgetisnull(r, i, 0) ? "none" : PQgetvalue(r, i, 0), PQgetvalue(r, i, 1));
	if (n > LINES_MAX)
		printf("I3 and %d more\n", n - LINES_MAX);
	PQclear(r);
	if (n > 0)
		tell_sums(pg);
	return n;
}

long check_gateway(PGconn *pg, const struct gateway_access *g, uint64_t grace_s, int wait_ms)
{
	struct sync_http_client *http;
	char key[KEY_MAX], late[40];
	PGresult *r;
	long n = -1;

	if (!g->key_file[0]) {
		say("payment-url is given, but payment-key-file is not");
		return -1;
	}
	if (!key_read(g->key_file, key) || !pg_sync_do(pg, "I3", check_sql_check_gateway_tables.sql))
		return -1;
	http = sync_http_client_new(g->url, key, g->ca_file, (long)g->timeout_ms);
	explicit_bzero(key, sizeof(key));
	/* an attempt that could not be settled is looked at again a minute later at the latest */
	snprintf(late, sizeof(late), "%llu seconds", (unsigned long long)grace_s + 60);
	n = look(pg, http, "1", late);
	if (n > 0) {
		pause_ms(wait_ms);
		r = pg_sync_ask(pg, "I3", check_sql_check_gateway_forget.sql, 0, NULL);
		n = r ? look(pg, http, "2", late) : -1;
		PQclear(r);
		if (n > 0)
			n = tell(pg);
	}
	sync_http_client_free(http);
	return n;
}

bool check_gateway_counts(PGconn *pg)
{
	PGresult *r = pg_sync_ask(pg, "I3", check_sql_check_gateway_sums.sql, 0, NULL);

	if (!r)
		return false;
	printf("; the gateway's ledger compared:");
	for (int i = 0; i < PQntuples(r); i++)
		printf("%s %s intents, %s captured %s less %s refunded", i ? ";" : "", PQgetvalue(r, i, 1),
		       PQgetvalue(r, i, 0), PQgetvalue(r, i, 2), PQgetvalue(r, i, 3));
	if (PQntuples(r) == 0)
		printf(" nothing in it");
	PQclear(r);
	return true;
}
