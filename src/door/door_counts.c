/*
 * GET .../checkins/counts: how many are in, of how many, by zone and category, and what was refused. Owns the answers of the last
 * second: twenty devices that ask every second are one question.
 */
#include "base/times.h"
#include "door/door_int.h"
#include "door/door_sql.h"

#include <string.h>

enum { FRESH_US = 1000 * 1000, BODY_MAX = 256 * 1024 };

/* Lives in the call's arena. */
struct counting {
	struct door_call c;
	struct show *show;
};

/* Sums of rows that have the same name. */
struct sum {
	struct str name;
	int64_t in, of;
};

static void add(struct sum *sums, size_t *n, size_t max, struct str name, int64_t in, int64_t of)
{
	size_t i = 0;

	while (i < *n && !str_eq(sums[i].name, name))
		i++;
	if (i == max)
		return;
	if (i == *n)
		sums[(*n)++] = (struct sum){.name = name};
	sums[i].in += in;
	sums[i].of += of;
}

static void sums_write(struct jw *w, const char *list, const char *name, const struct sum *sums, size_t n)
{
	jw_key(w, list);
	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		jw_obj(w);
		jw_kstr(w, name, sums[i].name);
		jw_kint(w, "in", sums[i].in);
		jw_kint(w, "of", sums[i].of);
		jw_obj_end(w);
	}
	jw_arr_end(w);
}

static void body_write(struct jw *w, const struct pg_result *r, const struct plan *plan, struct arena *arena)
{
	size_t n = (size_t)pg_rows(r), n_zones = 0, n_categories = 0;
	struct sum *zones = arena_array(arena, struct sum, n + 1), *categories = arena_array(arena, struct sum, n + 1);
	int64_t in = 0, of = 0;

	for (int i = 0; i < (int)n; i++) {
		uint32_t category = (uint32_t)pg_get_int(r, i, 1);

		if (pg_get_text(r, i, 4).n || category >= plan_n_categories(plan))
			continue;
		add(zones, &n_zones, n, pg_get_text(r, i, 0), pg_get_int(r, i, 2), pg_get_int(r, i, 3));
		add(categories, &n_categories, n, plan_category(plan, category).name, pg_get_int(r, i, 2),
		    pg_get_int(r, i, 3));
		in += pg_get_int(r, i, 2);
		of += pg_get_int(r, i, 3);
	}
	jw_obj(w);
	jw_kint(w, "in", in);
	jw_kint(w, "of", of);
	sums_write(w, "by_zone", "zone", zones, n_zones);
	sums_write(w, "by_category", "category", categories, n_categories);
	jw_key(w, "refused");
	jw_arr(w);
	for (int i = 0; i < (int)n; i++)
		if (pg_get_text(r, i, 4).n) {
			jw_obj(w);
			jw_kstr(w, "reason", pg_get_text(r, i, 4));
			jw_kint(w, "count", pg_get_int(r, i, 3));
			jw_obj_end(w);
		}
	jw_arr_end(w);
	jw_ktime(w, "as_of", wall_now_us());
	jw_obj_end(w);
}

static struct door_count *kept(struct door_service *d, const struct uuid *show)
{
	for (size_t i = 0; i < DOOR_COUNTS_MAX; i++)
		if (d->counts[i].body && uuid_eq(&d->counts[i].show_id, show))
			return &d->counts[i];
	return NULL;
}

static void keep(struct door_service *d, const struct uuid *show, char *text, size_t n)
{
	struct door_count *k = kept(d, show);

	if (!k) {
		k = &d->counts[d->next_count];
		d->next_count = (d->next_count + 1) % DOOR_COUNTS_MAX;
	}
	shared_bytes_unref(k->body);
	*k = (struct door_count){*show, loop_now_us(d->config.loop), shared_bytes_take(text, n)};
}

static void answer(struct web_call *call, const struct door_count *k)
{
	struct http_header headers[] = {{STR("Content-Type"), STR("application/json")},
					{STR("Cache-Control"), STR("no-store")}};

	web_shared(call, 200, headers, 2, k->body);
}

static void counting_done(void *arg)
{
	show_unref(((struct counting *)arg)->show);
}

static void on_counted(void *arg, const struct pg_answer *a)
{
	struct counting *k = arg;
	struct web_call *call = k->c.call;
	struct buf out;
	struct jw w;
	size_t n;

	if (a->status != PG_OK) {
		web_refuse(call, ERR_UNAVAILABLE, NULL);
	} else {
		buf_init(&out, BODY_MAX);
		jw_init(&w, &out);
		body_write(&w, a->result, k->show->plan, call->arena);
		if (jw_done(&w)) {
			char *text = buf_take(&out, &n);

			keep(k->c.d, &call->ids[0], text, n);
			answer(call, kept(k->c.d, &call->ids[0]));
		} else {
			buf_done(&out);
			web_refuse(call, ERR_INTERNAL, "There are too many zones to count.");
		}
	}
}

static void counts_go(struct door_call *c, struct show *show)
{
	struct counting *k = (struct counting *)c;
	const struct door_count *last = kept(c->d, &show->show_id);
	struct pg_args args;

	if (last && loop_now_us(c->d->config.loop) - last->read_us < FRESH_US) {
		answer(c->call, last);
		return;
	}
	k->show = show_ref(show);
	pg_args_init(&args, c->call->arena);
	pg_arg_uuid(&args, &show->show_id);
	pg_arg_uuid(&args, &show->plan_id);
	pg_query_start(c->d->config.pg, &door_sql_door_counts, &args, DOOR_QUERY_MS, on_counted, k);
}

void door_counts_get(struct web_call *call)
{
	struct counting *k = arena_new(call->arena, struct counting);

	k->c = (struct door_call){.d = call->service, .call = call, .go = counts_go};
	arena_on_done(call->arena, counting_done, k);
	door_begin(&k->c);
}
