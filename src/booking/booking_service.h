/*
 * The Booking Service over HTTP: a lock becomes a booking, is shown, is cancelled. It owns bookings, booking_seats and
 * buyers; its states stand in booking.h, its statements for others' transactions in booking_store.h.
 */
#ifndef BOOKING_BOOKING_SERVICE_H
#define BOOKING_BOOKING_SERVICE_H

#include "auth/auth.h"
#include "event/event.h"
#include "io/metrics.h"
#include "io/pg.h"
#include "io/web.h"
#include "seat/seat_map.h"

struct booking_service;
struct payment_service;
struct ticket_service;

struct booking_service_config {
	struct loop *loop;
	struct pg *pg;
	struct auth *auth;
	struct event_service *event;
	struct seat_map *map;
	struct payment_service *payment;
	struct ticket_service *ticket;
	struct metrics *metrics;
	const char *return_urls; /* prefixes, separated by blanks, that a buyer may be sent back to */
	const char *public_url;	 /* always allowed; may be "" */
};

extern const struct pg_stmt *const *const booking_sql; /* to prepare */

struct booking_service *booking_service_new(const struct booking_service_config *config);
void booking_service_free(struct booking_service *b); /* after the pg; NULL is fine */
/* b may be NULL when the routes are only listed. */
void booking_routes(struct booking_service *b, struct web *web);

#endif
