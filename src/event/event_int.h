/* Inside the event service: its structure, and what its files call in each other. */
#ifndef EVENT_EVENT_INT_H
#define EVENT_EVENT_INT_H

#include "base/list.h"
#include "base/map.h"
#include "event/event.h"

enum { EVENT_QUERY_MS = 3000, EVENT_PAGE = 50 };

struct event_service {
	struct event_config config;
	struct map *shows, *plans;	    /* by id: struct cached_show, struct cached_plan */
	struct list show_order, plan_order; /* most recently used first */
	size_t plan_bytes;
	void (*free_ask)(void *source, struct show *show, event_free_fn *fn, void *arg);
	void *free_source;
};

/* event_cache.c */
void event_cache_init(struct event_service *ev);
void event_cache_done(struct event_service *ev);

/* event_api.c */
void venue_post(struct web_call *call);
void venue_get(struct web_call *call);
void venues_get(struct web_call *call);
void event_post(struct web_call *call);
void event_get(struct web_call *call);
void events_get(struct web_call *call);
/* event_plans.c */
void plan_post(struct web_call *call);
void plan_get(struct web_call *call);
/* event_shows.c */
void show_post(struct web_call *call);
void show_get(struct web_call *call);
void shows_get(struct web_call *call);

/* The organiser a request speaks for; zero when it is not staff. */
struct uuid event_viewer(const struct web_call *call);
/* Answers what went wrong with a statement: 503 unavailable, or outcome_unknown after a write. */
void event_refuse_pg(struct web_call *call, const struct pg_answer *a, bool was_write);

#endif
