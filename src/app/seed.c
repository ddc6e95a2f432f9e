/*
 * The demo of `up`: a theatre, an event, three evenings on sale, made through the program's own HTTP API like anybody's.
 * What was made is remembered in DIR/demo.json; every POST has an Idempotency-Key, so that a seed that was interrupted
 * goes on where it was. When all its shows are past there are three new ones. Runs as a step: it blocks.
 */
#include "app/up_int.h"

#include "app/demo_files.h"
#include "app/sync_http.h"
#include "base/json.h"
#include "base/times.h"
#include "ticket/when.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SHOWS = 3, FIRST_DAY = 14, CALL_MS = 30000 };

static const char zone[] = "Europe/Berlin";

static const struct {
	const char *category; /* of demo/theatre.json */
	int64_t amount_minor;
} prices[] = {
	{"Premium stalls", 6800}, {"Stalls", 4900}, {"Balcony", 3200}, {"Boxes", 7500}, {"Wheelchair places", 2500},
};

/* The id that a POST answers; a sentence on standard error when it does not. */
static bool make(struct up *up, const char *path, const char *key, struct str body, const char *member,
		 char out[UUID_TEXT])
{
	struct http_answer a;
	char words[400];
	const char *id;
	bool ok;

	ok = sync_http(up->url, "POST", path, up->token, key, body, CALL_MS, &a) && a.status == 201;
	id = json_string_value(json_object_get(a.json, member));
	if (ok && id && strlen(id) == UUID_TEXT - 1) {
		memcpy(out, id, UUID_TEXT);
	} else {
		sync_http_say(&a, words, sizeof(words));
		ok = up_say("the demo could not be made: POST %s: %s", path, words);
	}
	sync_http_done(&a);
	return ok;
}

static bool make_venue(struct up *up, char venue[UUID_TEXT])
{
	return make(up, "/v1/venues", "demo-venue",
		    STR("{\"name\":\"Theater am Fluss\",\"city\":\"Berlin\",\"timezone\":\"Europe/Berlin\","
			"\"address\":\"Uferstra\xc3\x9f"
			"e 7\",\"country\":\"DE\"}"),
		    "venue_id", venue);
}

static bool make_event(struct up *up, const char *today, char event[UUID_TEXT])
{
	char key[100];

	snprintf(key, sizeof(key), "demo-event-%s", today);
	return make(up, "/v1/events", key,
		    STR("{\"name\":\"A Midsummer Night's Dream\",\"category\":\"theatre\",\"status\":\"published\","
			"\"description\":\"Four lovers, six craftsmen and a quarrel among fairies, in one night. "
			"A demonstration: nothing is played, and no money moves.\"}"),
		    "event_id", event);
}

/* One evening at half past seven, on sale since yesterday; nothing in the request changes during a day. */
static bool make_show(struct up *up, const char *event, const char *plan, const struct when *today, const char *date,
		      int index, char show[UUID_TEXT], int64_t *ret_starts_us)
{
	struct when evening = {.hour = 19, .minute = 30};
	int64_t days = days_from_civil(today->year, today->month, today->day), starts_us;
	char path[120], key[100];
	struct buf b;
	struct jw w;
	bool ok;

	civil_from_days(days + FIRST_DAY + index, &evening.year, &evening.month, &evening.day);
	if (when_instant(&evening, zone, &starts_us) == WHEN_IMPOSSIBLE)
		return up_say("the time zone %s is unknown: apt-get install tzdata", zone);
	buf_init(&b, 16 * 1024);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kcstr(&w, "plan_id", plan);
	jw_ktime(&w, "starts_at", starts_us);
	jw_ktime(&w, "sale_starts_at", (days - 1) * US_PER_DAY);
	jw_ktime(&w, "sale_ends_at", starts_us);
	jw_key(&w, "prices");
	jw_obj(&w);
	for (size_t i = 0; i < sizeof(prices) / sizeof(prices[0]); i++)
		jw_kmoney(&w, prices[i].category, prices[i].amount_minor, "EUR");
	jw_obj_end(&w);
	jw_key(&w, "cancellation");
	jw_obj(&w);
	jw_ktime(&w, "until", starts_us - US_PER_DAY);
	jw_kmoney(&w, "fee", 250, "EUR");
	jw_obj_end(&w);
	jw_obj_end(&w);
	snprintf(path, sizeof(path), "/v1/events/%s/shows", event);
	snprintf(key, sizeof(key), "demo-show-%s-%d", date, index);
	ok = jw_done(&w) && make(up, path, key, buf_str(&b), "show_id", show);
	buf_done(&b);
	*ret_starts_us = starts_us;
	return ok;
}

static bool remember(struct up *up, const char *event, char shows[SHOWS][UUID_TEXT], int64_t last_us)
{
	char path[PATH_MAX + 32];
	struct buf b;
	struct jw w;
	bool ok;

	buf_init(&b, 16 * 1024);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kcstr(&w, "event_id", event);
	jw_key(&w, "show_ids");
	jw_arr(&w);
	for (int i = 0; i < SHOWS; i++)
		jw_cstr(&w, shows[i]);
	jw_arr_end(&w);
	jw_ktime(&w, "last_starts_at", last_us);
	jw_obj_end(&w);
	buf_addc(&b, '\n');
	up_path(path, sizeof(path), "%s/demo.json", up->dir);
	ok = jw_done(&w) && up_file_write(path, 0600, b.p);
	buf_done(&b);
	return ok;
}

/* Remembered, still to come, and really in this database? */
static bool there_already(struct up *up, int64_t now_us)
{
	char path[PATH_MAX + 32], *text;
	struct error e = {0};
	struct http_answer a;
	const char *last, *show;
	int64_t last_us;
	bool ok;

	up_path(path, sizeof(path), "%s/demo.json", up->dir);
	text = up_file_read(path, 16 * 1024);
	if (!text)
		return false;
	json_t *j JSON_AUTO = json_read(str_from(text), 8, &e);

	free(text);
	last = json_string_value(json_object_get(j, "last_starts_at"));
	show = json_string_value(json_array_get(json_object_get(j, "show_ids"), 0));
	if (!last || !show || strlen(show) != UUID_TEXT - 1 || !time_parse(str_from(last), &last_us) ||
	    last_us <= now_us)
		return false;
	snprintf(path, sizeof(path), "/v1/shows/%s", show);
	ok = sync_http(up->url, "GET", path, NULL, NULL, STR_NULL, CALL_MS, &a) && a.status == 200;
	sync_http_done(&a);
	return ok;
}

int up_seed(struct up *up)
{
	const struct str document = {demo_theatre_json.bytes, demo_theatre_json.size};
	char venue[UUID_TEXT], plan[UUID_TEXT], event[UUID_TEXT], shows[SHOWS][UUID_TEXT], path[120], date[40],
		key[100];
	uint8_t digest[CRYPTO_HASH];
	struct timespec now;
	int64_t now_us, last_us = 0;
	struct when today;

	clock_gettime(CLOCK_REALTIME, &now);
	now_us = (int64_t)now.tv_sec * US_PER_SECOND;
	if (there_already(up, now_us))
		return 0;
	if (!when_local(now_us, zone, &today)) {
		up_say("the time zone %s is unknown: apt-get install tzdata", zone);
		return 1;
	}
	snprintf(date, sizeof(date), "%04d-%02d-%02d", (int)today.year, today.month, today.day);
	if (!make_venue(up, venue))
		return 1;
	snprintf(path, sizeof(path), "/v1/venues/%s/plans", venue);
	/* another version of the program may bring another plan: then that is the venue's next one */
	crypto_digest(document, digest);
	memcpy(key, "demo-plan-", 10);
	hex_encode(digest, 16, key + 10);
	if (!make(up, path, key, document, "plan_id", plan) || !make_event(up, date, event))
		return 1;
	for (int i = 0; i < SHOWS; i++)
		if (!make_show(up, event, plan, &today, date, i, shows[i], &last_us))
			return 1;
	return remember(up, event, shows, last_us) ? 0 : 1;
}
