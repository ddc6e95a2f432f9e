/*
 * The Event Service: organisers, venues, seating plans, events, shows with their prices and sale windows. It owns those
 * tables and show_seats at their birth; everything else asks it for a struct show.
 *
 *   show: draft -> published -> cancelled      on sale: published, and sale_starts_at <= now < sale_ends_at
 *
 * A process keeps what it was asked for: plans (immutable, by memory) and shows (for at most a second), both bounded and
 * dropped least recently used first. What decides (a lock, a booking) is read again by PostgreSQL in its own transaction.
 */
#ifndef EVENT_EVENT_H
#define EVENT_EVENT_H

#include "auth/auth.h"
#include "consume/consume.h"
#include "event/plan.h"
#include "io/offload.h"
#include "io/pg.h"
#include "io/web.h"

struct event_service;

struct event_config {
	struct loop *loop;
	struct pg *pg;
	struct offload *offload;
	struct auth *auth;
	size_t plan_cache_bytes; /* default 256 MiB */
	size_t show_cache_max;	 /* default 2,000 */
	struct plan_limits plan_limits;
	int64_t recommended_us;	 /* how old recommendations may be; default a minute */
	uint32_t seats_per_lock; /* so many times a price must not pass what can be charged at once; 0: 1 */
};

extern const struct pg_stmt *const *const event_sql; /* to prepare */

/* Not event_new and event_free: libevent exports those, and ours would take their place inside io/loop.c. */
struct event_service *event_service_new(const struct event_config *config);
void event_service_free(struct event_service *ev);
void event_routes(struct event_service *ev, struct web *web);

/* The consumer of topic "booking" that counts what buyers of an event also booked. arg: the event service. */
consumer_batch_fn recommend_take;

enum show_status { SHOW_DRAFT, SHOW_PUBLISHED, SHOW_CANCELLED };
const char *show_status_name(enum show_status s);
bool show_status_parse(struct str name, enum show_status *ret);

/* A show as last read; immutable, reference counted (one thread). */
struct show {
	int refs;
	struct uuid show_id, event_id, organizer_id, venue_id, plan_id;
	struct plan *plan; /* a reference of its own */
	int32_t plan_version;
	enum show_status status;
	bool event_published;
	int64_t starts_at_us, sale_starts_at_us, sale_ends_at_us;
	int64_t cancel_until_us;  /* INT64_MIN: buyers cannot cancel */
	int64_t cancel_fee_minor; /* per booking */
	int64_t server_now_us;	  /* PostgreSQL's clock when it was read */
	int64_t read_at_us;	  /* loop_now_us then */
	int64_t revision;	  /* of its row: another one after every change of it */
	int64_t refund_until_us;  /* who booked before it was put off gets everything back until then; INT64_MIN: no */
	int32_t reschedules;	  /* how often it was put off */
	bool transferable;	  /* buyers may give their tickets to somebody else */
	bool verification;	  /* the verifier is asked before seats are locked */
	bool keeps_plan;	  /* something of it was held once: it moves to no other plan */
	const struct currency *currency;
	int64_t prices_minor[PLAN_CATEGORIES_MAX]; /* by category of the plan */
	int32_t capacity;
	int32_t max_per_payer; /* 0: no limit */
	/* NUL-terminated, owned by the show */
	const char *timezone, *event_name, *event_category, *venue_name, *venue_city, *venue_address, *venue_country;
};
struct show *show_ref(struct show *s);
void show_unref(struct show *s); /* NULL is fine */
/* PostgreSQL's time now, as far as known here: to show people, not to decide. */
int64_t show_clock_us(const struct show *s, struct loop *loop);
bool show_on_sale(const struct show *s, int64_t now_us);

/*
 * fn gets the show (valid during the callback; show_ref to keep it), or NULL with ERR_NOT_FOUND or ERR_UNAVAILABLE.
 * It runs exactly once; at once, before this returns, when the show is at hand. Requests for the same show share one read.
 * There is no cancel: whoever may go away keeps what arg points to until it has run.
 * Drafts are found too: the caller decides who may see them.
 */
typedef void event_show_fn(void *arg, enum err err, struct show *show);
void event_show_get(struct event_service *ev, const struct uuid *show_id, event_show_fn *fn, void *arg);
/* The same for who tells seats by numbers that stand in rows: the show is on the plan that a row named in the request was numbered
 * by. Such a row is why it moves no more; a show that may still move is read anew. */
void event_show_get_numbered(struct event_service *ev, const struct uuid *show_id, event_show_fn *fn, void *arg);
/* The same for who lets PostgreSQL decide by the show's revision: one of half a minute ago will do. Whoever would refuse by
 * it asks event_show_get first. */
void event_show_get_known(struct event_service *ev, const struct uuid *show_id, event_show_fn *fn, void *arg);
/* How many seats are free is the Seat Service's to know; the app connects the two. fn runs exactly once, perhaps at once;
 * -1: not known now. Without a source shows say nothing of it. */
typedef void event_free_fn(void *arg, int32_t free);
void event_set_free_source(struct event_service *ev,
			   void (*ask)(void *source, struct show *show, event_free_fn *fn, void *arg), void *source);
/* A show was moved to another plan: whoever keeps something by its seats' numbers is told, after the commit. */
void event_set_moved_hook(struct event_service *ev, void (*moved)(void *arg, const struct uuid *show_id), void *arg);
/* A process changed the show itself: read it again next time. */
void event_show_forget(struct event_service *ev, const struct uuid *show_id);

#endif
