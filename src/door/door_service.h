/*
 * The door over HTTP: check-in, undo, upload of what was scanned without a network, counts, and the bundle a door without a network
 * needs. It owns checkins, and goes the arrows of a ticket that a door goes (the ticket service owns tickets).
 *
 * Called by the app: it adds the routes.
 */
#ifndef DOOR_DOOR_SERVICE_H
#define DOOR_DOOR_SERVICE_H

#include "auth/auth.h"
#include "event/event.h"
#include "io/metrics.h"
#include "io/offload.h"
#include "io/pg.h"
#include "io/web.h"

struct door_service;

struct door_config {
	struct loop *loop;
	struct pg *pg;
	struct offload *offload;
	struct auth *auth;
	struct event_service *event;
	struct metrics *metrics;
	int64_t before_us; /* before a show begins nobody is let in earlier; 0: any time */
	int64_t after_us;  /* nor later after it began */
};

extern const struct pg_stmt *const *const door_sql; /* to prepare */

struct door_service *door_service_new(const struct door_config *config);
/* After the pg and the offload pool, which drop the callbacks that point here. NULL is fine. */
void door_service_free(struct door_service *d);
/* d may be NULL when the routes are only listed. */
void door_routes(struct door_service *d, struct web *web);

#endif
