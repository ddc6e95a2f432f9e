/*
 * The Seat Service: seat map, availability, locks, release, blocks over HTTP; its store; and what other services call when
 * seats change with their transactions.
 *
 * Statements that move a lock or seats inside somebody else's transaction are in seat_store.h; after that transaction has
 * committed its owner calls seat_map_apply with what they returned.
 */
#ifndef SEAT_SEAT_SERVICE_H
#define SEAT_SEAT_SERVICE_H

#include "auth/auth.h"
#include "event/event.h"
#include "io/metrics.h"
#include "io/offload.h"
#include "seat/seat_batch.h"
#include "seat/seat_map.h"

struct seat_service;
struct http_streams;

struct seat_service_config {
	struct loop *loop;
	struct pg *pg;
	struct event_service *event;
	struct auth *auth;
	struct offload *offload;
	struct metrics *metrics;
	struct seat_map *map;
	struct http_streams *streams; /* of this process */
	uint32_t seats_per_lock;      /* 1..SEAT_ASK_MAX */
	uint32_t locks_per_session;   /* per show */
	uint32_t queue_max;	      /* requests for locks under way; more are refused */
	int64_t wait_max_us;	      /* so are those that would wait longer */
	bool by_show;		      /* see seat_batch.h */
	int64_t lock_lifetime_us;
};

struct seat_service *seat_service_new(const struct seat_service_config *config);
void seat_service_free(struct seat_service *s);
void seat_routes(struct seat_service *s, struct web *web);
bool seat_service_ready(const struct seat_service *s);
size_t seat_service_waiting(const struct seat_service *s);
/* Fits event_set_free_source; source is the struct seat_service. */
void seat_free_count(void *seat_service, struct show *show, event_free_fn *fn, void *arg);

/* Fits event_set_moved_hook; arg is the struct seat_service. */
void seat_show_moved(void *seat_service, const struct uuid *show);

/* The members of a lock, as every answer about one has them. */
struct lock_view {
	struct uuid lock_id, show_id;
	enum lock_state state;
	size_t n;
	const int64_t *seats, *prices_minor, *categories;
	int64_t total_minor;
	const char *currency;
	int64_t expires_us, now_us;
};
void lock_write(struct jw *w, const struct lock_view *v, const struct plan *plan);
/* {"guid", "category", "price"} objects into an open array. */
void seats_write(struct jw *w, const struct plan *plan, size_t n, const int64_t *seats, const int64_t *prices_minor,
		 const char *currency);

#endif
