/*
 * I7: Redis and PostgreSQL agree about every seat of every show that is sold. The form of a map's values is written down in
 * seat/lua/map_admit.lua. No difference: a map that is not there or belongs to another server run (it is made anew when it
 * is asked for), a pending mark (admission whose commit is under way), a lock whose time is over on either side.
 */
#include "app/check_int.h"

#include "base/str.h"
#include "base/xmalloc.h"
#include "io/redis_url.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	SEAT_MAX = 1000000,
	LOCK_AT = 1,
	LOCK_BYTES = 16,
	FENCE_AT = 17,
	FENCE_DIGITS = 10,
	ENDS_AT = 27,
	LINES_MAX = 100
};

struct seat {
	char state; /* F free, L locked, B booked, X blocked, P pending */
	long fence; /* 0 when nothing is there */
	char lock[2 * LOCK_BYTES + 1];
};

struct difference {
	char show[40];
	long seat_no;
	struct seat redis, pg;
};

struct differences {
	struct difference *d;
	size_t n, cap;
};

static redisContext *open_redis(const char *url)
{
	struct timeval limit = {5, 0};
	struct redis_url u;
	char error[256] = "";
	redisContext *c = NULL;
	redisReply *r = NULL;

	if (!redis_url_parse(url, &u, error, sizeof(error)))
		goto bad;
	c = u.path[0] ? redisConnectUnixWithTimeout(u.path, limit) : redisConnectWithTimeout(u.host, u.port, limit);
	if (!c || c->err || redisSetTimeout(c, limit) != REDIS_OK) {
		snprintf(error, sizeof(error), "%s", c && c->err ? c->errstr : "no memory");
		goto bad;
	}
	if (u.password[0]) {
		r = u.user[0] ? redisCommand(c, "AUTH %s %s", u.user, u.password)
			      : redisCommand(c, "AUTH %s", u.password);
		if (!r || r->type == REDIS_REPLY_ERROR) {
			snprintf(error, sizeof(error), "%s", r ? r->str : c->errstr);
			goto bad;
		}
		freeReplyObject(r);
		r = NULL;
	}
	if (u.db) {
		r = redisCommand(c, "SELECT %d", u.db);
		if (!r || r->type == REDIS_REPLY_ERROR) {
			snprintf(error, sizeof(error), "%s", r ? r->str : c->errstr);
			goto bad;
		}
		freeReplyObject(r);
	}
	return c;
bad:
	fprintf(stderr, "boxoffice: Redis cannot be asked, I7 cannot be checked: %s\n", error);
	if (r)
		freeReplyObject(r);
	if (c)
		redisFree(c);
	return NULL;
}

/* A command whose answer must not be an error. */
static redisReply *ask(redisContext *c, const char *what, const char *show)
{
	redisReply *r = show ? redisCommand(c, what, show) : redisCommand(c, what);

	if (r && r->type != REDIS_REPLY_ERROR)
		return r;
	fprintf(stderr, "boxoffice: Redis cannot be asked, I7 cannot be checked: %s\n", r ? r->str : c->errstr);
	if (r)
		freeReplyObject(r);
	return NULL;
}

/* The run id, which every map of this run begins its context with. */
static bool run_id(redisContext *c, char out[64])
{
	redisReply *r = ask(c, "INFO server", NULL);
	const char *at = r && r->str ? strstr(r->str, "run_id:") : NULL;

	out[0] = '\0';
	if (at)
		snprintf(out, 64, "%.*s", (int)strcspn(at + 7, "\r\n"), at + 7);
	if (r)
		freeReplyObject(r);
	return out[0] != '\0';
}

static bool clock_ms(redisContext *c, int64_t *ret)
{
	redisReply *r = ask(c, "TIME", NULL);
	bool ok = r && r->type == REDIS_REPLY_ARRAY && r->elements == 2;

	if (ok)
		*ret = (int64_t)strtoll(r->element[0]->str, NULL, 10) * 1000 +
		       strtoll(r->element[1]->str, NULL, 10) / 1000;
	if (r)
		freeReplyObject(r);
	return ok;
}

/* false: no value of a seat. */
static bool value_read(const redisReply *v, int64_t now_ms, struct seat *ret)
{
	char digits[24];
	int64_t ends;

	memset(ret, 0, sizeof(*ret));
	if (!v->str || v->len < ENDS_AT + 1 || v->len > ENDS_AT + 20)
		return false;
	ret->state = v->str[0];
	hex_encode(v->str + LOCK_AT, LOCK_BYTES, ret->lock);
	snprintf(digits, sizeof(digits), "%.*s", FENCE_DIGITS, v->str + FENCE_AT);
	ret->fence = strtol(digits, NULL, 10);
	ends = strtoll(v->str + ENDS_AT, NULL, 10);
	if ((ret->state == 'L' || ret->state == 'P') && ends != 0 && ends <= now_ms)
		ret->state = 'F';
	return strchr("FLBXP", ret->state) != NULL;
}

static void differ(struct differences *ds, const char *show, long seat_no, const struct seat *redis,
		   const struct seat *pg)
{
	if (ds->n == ds->cap) {
		ds->cap = ds->cap ? 2 * ds->cap : 64;
		ds->d = xreallocarray(ds->d, ds->cap, sizeof(*ds->d));
	}
	struct difference *d = &ds->d[ds->n++];

	memset(d, 0, sizeof(*d));
	snprintf(d->show, sizeof(d->show), "%s", show);
	d->seat_no = seat_no;
	d->redis = *redis;
	d->pg = *pg;
}

static bool same(const struct seat *a, const struct seat *b)
{
	return a->state == b->state && (a->state != 'L' || strcmp(a->lock, b->lock) == 0);
}

/* Both sides into arrays by seat; false when they cannot be asked. Redis first: what is committed in between shows as a
 * difference that is gone the second time. */
static bool compare_show(PGconn *pg, redisContext *redis, const char *run, const char *show, struct differences *ds)
{
	static const struct seat nothing = {.state = 'F'};
	const char *params[] = {show};
	redisReply *map = ask(redis, "HGETALL map:{%s}", show);
	PGresult *r = NULL;
	struct seat *seats[2] = {NULL, NULL};
	size_t n = 0, run_n = strlen(run);
	bool ok = false, current = false;
	int64_t now_ms;

	if (!map || !clock_ms(redis, &now_ms))
		goto out;
	for (size_t i = 0; i + 1 < map->elements; i += 2) {
		const redisReply *k = map->element[i], *v = map->element[i + 1];

		if (strcmp(k->str, "c") == 0)
			current = strncmp(v->str, run, run_n) == 0 && v->str[run_n] == '/';
	}
	ok = true;
	if (!current)
		goto out;
	r = pg_sync_ask(pg, "I7", check_sql_check_i7_seats.sql, 1, params);
	ok = r != NULL;
	if (!ok)
		goto out;
	for (size_t i = 0; i + 1 < map->elements; i += 2) {
		long seat = strtol(map->element[i]->str, NULL, 10);

		if (map->element[i]->str[0] >= '0' && map->element[i]->str[0] <= '9' && seat >= 0 && seat < SEAT_MAX &&
		    (size_t)seat >= n)
			n = (size_t)seat + 1;
	}
	for (int i = 0; i < PQntuples(r); i++) {
		long seat = strtol(PQgetvalue(r, i, 0), NULL, 10);

		if (seat >= 0 && seat < SEAT_MAX && (size_t)seat >= n)
			n = (size_t)seat + 1;
	}
	for (int side = 0; side < 2; side++) {
		seats[side] = xcalloc(n + 1, sizeof(struct seat));
		for (size_t i = 0; i < n; i++)
			seats[side][i] = nothing;
	}
	for (size_t i = 0; i + 1 < map->elements; i += 2) {
		const redisReply *k = map->element[i];
		struct seat s;

		if (k->str[0] < '0' || k->str[0] > '9')
			continue;
		/* something that nobody of us wrote is a difference too */
		if (!value_read(map->element[i + 1], now_ms, &s))
			s.state = '?';
		if (strtoul(k->str, NULL, 10) < n)
			seats[0][strtoul(k->str, NULL, 10)] = s;
	}
	for (int i = 0; i < PQntuples(r); i++) {
		struct seat *s = &seats[1][strtoul(PQgetvalue(r, i, 0), NULL, 10)];

		s->state = "FLBX"[strtol(PQgetvalue(r, i, 1), NULL, 10) & 3];
		s->fence = strtol(PQgetvalue(r, i, 2), NULL, 10);
		snprintf(s->lock, sizeof(s->lock), "%.32s", PQgetvalue(r, i, 3));
	}
	for (size_t i = 0; i < n; i++)
		if (seats[0][i].state != 'P' && !same(&seats[0][i], &seats[1][i]))
			differ(ds, show, (long)i, &seats[0][i], &seats[1][i]);
out:
	free(seats[0]);
	free(seats[1]);
	PQclear(r);
	if (map)
		freeReplyObject(map);
	return ok;
}

static bool round_of(PGconn *pg, redisContext *redis, struct differences *ds)
{
	PGresult *shows = pg_sync_ask(pg, "I7", check_sql_check_i7_shows.sql, 0, NULL);
	char run[64];
	bool ok = shows && run_id(redis, run);

	for (int i = 0; ok && i < PQntuples(shows); i++)
		ok = compare_show(pg, redis, run, PQgetvalue(shows, i, 0), ds);
	PQclear(shows);
	return ok;
}

static const char *state_word(char state)
{
	return state == 'F'   ? "free"
	       : state == 'L' ? "locked"
	       : state == 'B' ? "booked"
	       : state == 'X' ? "blocked"
			      : "something else";
}

/* The same seat, and nothing happened to it on either side in between. */
static bool seen(const struct differences *before, const struct difference *d)
{
	for (size_t i = 0; i < before->n; i++) {
		const struct difference *b = &before->d[i];

		if (b->seat_no == d->seat_no && strcmp(b->show, d->show) == 0 && same(&b->redis, &d->redis) &&
		    same(&b->pg, &d->pg) && b->redis.fence == d->redis.fence && b->pg.fence == d->pg.fence)
			return true;
	}
	return false;
}

long check_maps(PGconn *pg, const char *redis_url, int wait_ms)
{
	struct differences first = {0}, second = {0};
	struct timespec pause = {wait_ms / 1000, wait_ms % 1000 * 1000000L};
	redisContext *redis = open_redis(redis_url);
	long n = -1;

	if (!redis)
		return -1;
	if (!round_of(pg, redis, &first))
		goto out;
	if (first.n) {
		nanosleep(&pause, NULL);
		if (!round_of(pg, redis, &second))
			goto out;
	}
	n = 0;
	for (size_t i = 0; i < second.n; i++) {
		const struct difference *d = &second.d[i];

		if (!seen(&first, d))
			continue;
		if (++n <= LINES_MAX)
			printf("I7 show %s: seat %ld is %s in Redis and %s in PostgreSQL, for %d ms at least\n",
			       d->show, d->seat_no, state_word(d->redis.state), state_word(d->pg.state), wait_ms);
	}
	if (n > LINES_MAX)
		printf("I7 and %ld more\n", n - LINES_MAX);
out:
	free(first.d);
	free(second.d);
	redisFree(redis);
	return n;
}

/* ---- after a restore ---- */

/* A page of SCAN: its keys are dropped. false after a sentence. */
static bool drop_page(redisContext *c, const redisReply *keys, long *dropped)
{
	for (size_t i = 0; i < keys->elements; i++) {
		const redisReply *key = keys->element[i];
		redisReply *r;

		/* the three of a show: see map_keys in seat/seat_map_words.c */
		if (key->len < 5 || (memcmp(key->str, "map:{", 5) != 0 && memcmp(key->str, "ses:{", 5) != 0 &&
				     memcmp(key->str, "chg:{", 5) != 0))
			continue;
		r = redisCommand(c, "UNLINK %b", key->str, key->len);
		if (!r || r->type != REDIS_REPLY_INTEGER) {
			fprintf(stderr, "boxoffice: Redis does not drop a map: %s\n", r ? r->str : c->errstr);
			freeReplyObject(r);
			return false;
		}
		*dropped += (long)r->integer;
		freeReplyObject(r);
	}
	return true;
}

long check_drop_maps(const char *redis_url)
{
	redisContext *c = open_redis(redis_url);
	char cursor[32] = "0";
	long dropped = 0;
	bool ok = c != NULL;

	do {
		redisReply *r = ok ? redisCommand(c, "SCAN %s COUNT 1000", cursor) : NULL;

		if (ok && (!r || r->type != REDIS_REPLY_ARRAY || r->elements != 2)) {
			fprintf(stderr, "boxoffice: Redis cannot be asked: %s\n", r && r->str ? r->str : c->errstr);
			ok = false;
		}
		if (ok) {
			snprintf(cursor, sizeof(cursor), "%s", r->element[0]->str);
			ok = drop_page(c, r->element[1], &dropped);
		}
		freeReplyObject(r);
	} while (ok && strcmp(cursor, "0") != 0);
	if (c)
		redisFree(c);
	return ok ? dropped : -1;
}
