/*
 * The people of an organiser: users who log in, API tokens, and the log of what both do. Owns staff_users, staff_logins,
 * staff_tries, audit_log, audit_outcomes, audit_objects, and writes api_tokens (auth reads them to tell who is asking).
 *
 *   user:        invited -> active <-> disabled;  any -> erased
 *   login:       made by the right password -> ended by logout, time, idleness, another password, disabling
 *   invitation:  made with the user, or anew -> used once | over
 *
 * Called by the app: it adds the routes and hands the audit hooks to the web layer.
 */
#ifndef STAFF_STAFF_H
#define STAFF_STAFF_H

#include "auth/auth.h"
#include "io/loop.h"
#include "io/pg.h"
#include "io/web.h"

struct staff_service;

struct staff_config {
	struct loop *loop;
	struct pg *pg;
	struct auth *auth;
	int64_t login_lifetime_us; /* a login is over then, however much it is used */
};

extern const struct pg_stmt *const *const staff_sql; /* to prepare */

struct staff_service *staff_service_new(const struct staff_config *config);
/* Waits for a password that is being hashed. */
void staff_service_free(struct staff_service *s);
void staff_routes(struct staff_service *s, struct web *web);

/* ---- the audit log (audit.c) ---- */

/* The hooks: audit_begin is struct web_config's (arg: the service); audit_end is for its done, after every answer. */
void audit_begin(void *staff, struct web_call *call);
void audit_end(struct staff_service *s, const struct web_call *call);

/* A row in the transaction of the change, for routes that say WEB_AUDIT_TX. */
struct audit_row {
	const struct uuid *made; /* what the request is about besides the ids of its path; NULL: nothing */
	int status;		 /* the answer when all goes well */
	struct str detail;	 /* no personal data, no secrets */
	/* Who it is when the request's token does not say it yet (a login): else zero. */
	struct uuid user_id, organizer_id;
};
void audit_add(struct pg_tx *tx, struct web_call *call, const struct audit_row *row);
/* What the program does by itself to something of an organiser's ("webhook suspended"), in the transaction that does it. */
void audit_add_program(struct pg_tx *tx, struct arena *arena, const struct uuid *organizer_id, const char *action,
		       const struct uuid *object, struct str detail);

#endif
