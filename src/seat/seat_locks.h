/* Inside the seat service: its own structure, and what its files call in each other. */
#ifndef SEAT_SEAT_LOCKS_H
#define SEAT_SEAT_LOCKS_H

#include "seat/seat_service.h"

struct availability;
struct lock_watch;

struct seat_service {
	struct seat_service_config config;
	struct seat_batch *batch;
	struct crypto_key email_key;
	struct availability *availability; /* bodies by show (seat_maps.c) */
	size_t open_locks;		   /* requests for locks that are not answered yet */
	struct lock_watch *watch;	   /* locks whose owners listen (lock_stream.c) */
};

/*
 * Releases a lock of a session, tells Redis, then calls fn: status PG_OK with the state that was found (LOCK_STATES: there is
 * no such lock of this session), or what went wrong. When Redis has not answered within 100 ms fn runs all the same.
 */
typedef void lock_released_fn(void *arg, enum pg_status status, enum lock_state found);
void lock_release(struct seat_service *s, const struct uuid *show, const struct uuid *lock, const struct uuid *session,
		  lock_released_fn *fn, void *arg);

/* From the rows of lock_get; ids are the caller's to fill. Arena memory. */
void lock_view_read(const struct pg_result *r, int row, struct arena *arena, struct lock_view *v);

/* Answers what is wrong with the seats somebody named: with the seat, or how many there may be. */
void seats_refuse(struct web_call *call, const struct error *e, struct str bad_seat, uint32_t limit);

void lock_post(struct web_call *call);
/* Whether a request for a lock would wait too long; it is counted then. */
bool lock_post_full(void *service);
void seatmap_get(struct web_call *call);
void seats_get(struct web_call *call);
void lock_stream_get(struct web_call *call); /* lock_stream.c */
struct lock_watch *lock_watch_new(struct loop *loop, struct pg *pg, struct http_streams *streams);
void lock_watch_free(struct lock_watch *w);
void blocks_get(struct web_call *call); /* seat_blocks.c */
void blocks_post(struct web_call *call);
void blocks_delete(struct web_call *call);
struct availability *availability_new(void);
void availability_free(struct availability *a);

#endif
