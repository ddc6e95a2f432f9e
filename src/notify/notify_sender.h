/*
 * The sender of notifications: rows of `notifications` become mails, handed to an SMTP server or, on a laptop, written into a folder.
 * It owns what happens to such a row after it was made (kinds.h has the states); who makes them: the jobs, the bookings, the consumer
 * of events. A duty of `work`: any number of processes may do it, each row is claimed by one.
 */
#ifndef NOTIFY_NOTIFY_SENDER_H
#define NOTIFY_NOTIFY_SENDER_H

#include "auth/auth.h"
#include "event/event.h"
#include "io/mail.h"
#include "io/metrics.h"
#include "io/offload.h"
#include "io/pg.h"

struct notify_sender;
struct ticket_service;

extern const struct pg_stmt *const *const notify_sql; /* to prepare */

struct notify_sender_config {
	struct loop *loop;
	struct pg *pg;
	struct offload *offload;
	struct auth *auth;
	struct event_service *event;
	struct ticket_service *ticket;
	struct metrics *metrics;
	/* strings are copied. smtp.url "": nothing is sent; folder "": nothing is written; not both. loop is taken from above */
	struct mail_client_config smtp;
	const char *folder;
	const char *from;	/* "Name <address>"; without a name it is the organiser's */
	const char *public_url; /* where links lead; required with either */
	int64_t per_second;	/* mails of this process */
	int64_t per_recipient;	/* mails to one address in an hour; more wait */
	int64_t give_up_us;	/* nothing is tried for longer */
};

/* NULL after having said in error what is wrong with the settings. */
struct notify_sender *notify_sender_new(const struct notify_sender_config *config, char *error, size_t error_size);
/* Before the loop, the pg and the pool; what is under way is dropped: its claims end by time. NULL is fine. */
void notify_sender_free(struct notify_sender *s);

/* A round: some notifications that are due are sent, or come to nothing. fn runs exactly once; more: there may be more that are due. */
typedef void notify_round_fn(void *arg, bool ok, bool more);
void notify_sender_round(struct notify_sender *s, notify_round_fn *fn, void *arg);
/* fn runs (perhaps at once) when no mail is under way, at the latest after within_ms. No further round may be begun. */
void notify_sender_finish(struct notify_sender *s, int64_t within_ms, loop_fn *fn, void *arg);

#endif
