/* Inside the event service: its structure, and what its files call in each other. */
#ifndef EVENT_EVENT_INT_H
#define EVENT_EVENT_INT_H

#include "base/list.h"
#include "base/map.h"
#include "event/event.h"

enum { EVENT_QUERY_MS = 3000, EVENT_WRITE_MS = 30000, EVENT_PAGE = 50 };
#define EVENT_NO_LANGUAGE "simple" /* as the table calls it */

struct event_service {
	struct event_config config;
	struct map *shows, *plans;	    /* by id: struct cached_show, struct cached_plan */
	struct list show_order, plan_order; /* most recently used first */
	size_t plan_bytes;
	void (*free_ask)(void *source, struct show *show, event_free_fn *fn, void *arg);
	void *free_source;
	void (*moved)(void *arg, const struct uuid *show_id);
	void *moved_arg;
	struct map *recommended; /* by event: struct recommended */
	struct list recommended_order;
};

/* event_cache.c */
void event_cache_init(struct event_service *ev);
void event_cache_done(struct event_service *ev);
/* A process changed an event or a venue itself: what it has of their shows is read again. */
void event_cache_forget(struct event_service *ev, const struct uuid *event_or_venue);

/* event_api.c */
void venue_post(struct web_call *call);
void venue_get(struct web_call *call);
void venues_get(struct web_call *call);
/* What a request says of a venue or an event: one that makes it (need: JSON_REQUIRED), or one that changes it. Empty: not said. false:
 * refused, as json_in_end says it. */
struct venue_words {
	struct str name, timezone, city, address, country;
};
bool venue_read(const json_t *body, enum json_need need, struct arena *arena, struct venue_words *ret, struct error *e);
struct event_words {
	struct str name, category, description, status, language;
	int64_t max_per_payer; /* 0: not said */
};
bool event_read(const json_t *body, enum json_need need, struct event_words *ret, struct error *e);
/* Answers with the row of venue_get, event_get. */
void venue_answer(struct web_call *call, const struct pg_result *r, int status);
void event_post(struct web_call *call);
void event_get(struct web_call *call);
void event_answer(struct web_call *call, const struct pg_result *r, int status);
/* event_search.c */
void events_get(struct web_call *call);
/* One of a list: columns event_id, name, category, description, city, next_show_at, shows. */
void event_item_write(struct jw *w, const struct pg_result *r, int row);
/* event_recommended.c */
void recommended_init(struct event_service *ev);
void recommended_done(struct event_service *ev);
void recommended_forget(struct event_service *ev); /* everything */
void recommended_get(struct web_call *call);
/* event_change.c */
void venue_patch(struct web_call *call);
void event_patch(struct web_call *call);
/* Ends a JSON answer that may be changed by PATCH: with the ETag that If-Match names, made from the row's revision. */
void event_end_with_tag(struct web_call *call, int status, int64_t revision);
/* The revisions that If-Match allows; none: any. false: malformed (already answered 400). */
struct if_match {
	size_t n;
	int64_t revisions[8];
};
bool event_if_match(struct web_call *call, struct if_match *ret);
bool if_match_allows(const struct if_match *m, int64_t revision);
/* 409 not_changeable, naming the member. */
void event_refuse_change(struct web_call *call, const char *path, const char *reason, const char *detail);
/* event_show_change.c */
void show_patch(struct web_call *call);
/* event_plans.c */
void plan_post(struct web_call *call);
void plans_get(struct web_call *call);
void plan_get(struct web_call *call);
/* event_shows.c */
void show_post(struct web_call *call);
void show_get(struct web_call *call);
void shows_get(struct web_call *call);
/* Answers with the show, and what is free of it. */
void show_found(struct web_call *call, struct show *show, int status);
/* The organiser's own plan, read and imported. fn gets it (valid during the call), or NULL when what is wrong was answered: 404 with
 * the path /plan_id, 503. It runs exactly once, never before this returns. */
typedef void show_plan_fn(void *arg, struct plan *plan, const struct uuid *venue_id);
void show_plan_want(struct web_call *call, const struct uuid *plan_id, show_plan_fn *fn, void *arg);
/* {category name: money}: one price per category of the plan, all in one currency. */
/* "none", "required", or empty when absent; a fault for anything else. */
struct str show_verification_read(struct json_in *in);
bool show_prices_read(const json_t *object, const struct plan *plan, struct arena *arena, uint32_t seats_per_lock,
		      int64_t *ret_prices, const struct currency **ret_currency, struct error *e);

/* The organiser a request speaks for; zero when it is not staff. */
struct uuid event_viewer(const struct web_call *call);
/* Begins the answer of a list with its open array, and says how many rows are of this page. NULL: the statement failed, answered. */
struct jw *event_list_begin(struct web_call *call, const struct pg_answer *a, int *ret_rows);
/* Answers what went wrong with a statement: 503 unavailable, or outcome_unknown after a write. */
void event_refuse_pg(struct web_call *call, const struct pg_answer *a, bool was_write);

/* A query parameter that is a time; false after having answered 400. */
bool event_query_time(struct web_call *call, const char *name, int64_t absent, int64_t *ret);

#endif
