/* Inside src/notify: one notification on its way, and what its files call in each other. */
#ifndef NOTIFY_NOTIFY_INT_H
#define NOTIFY_NOTIFY_INT_H

#include "base/list.h"
#include "io/mail_message.h"
#include "notify/letter.h"
#include "notify/notify_sender.h"
#include "ticket/pdf.h"

enum { NOTIFY_QUERY_MS = 5000, WORDS_MAX = 400, MAIL_BYTES_MAX = 40 << 20, PUBLIC_URL_MAX = 1000 };

struct mail_job;

/* ---- compose.c: a mail as bytes, on the pool, from copies of everything ---- */

struct composition {
	struct letter *letter;
	struct ticket_document *tickets; /* NULL: none */
	/* the calendar; summary NULL: none */
	struct {
		struct uuid id;
		int32_t sequence;
		int64_t now_us, starts_at_us;
		const char *summary, *location, *description;
	} calendar;
	const char *reference; /* in names of files; "" when there is none */
	const char *from_name, *message_id;
	struct mail_address from, to;
	int64_t date_us;
	const char *path; /* a file is written there; NULL: not */
	/* strings above live in letter->arena */
	struct buf mail;
	bool ok;
	char error[200];
};
struct composition *composition_new(struct letter *letter);
void composition_free(void *c);
void composition_run(void *c);

/* ---- mail_job.c: from a claim to a composition ---- */

enum job_end {
	JOB_SENT,
	JOB_LATER,
	JOB_FAILED,
	JOB_DROPPED,
	JOB_LOST /* the database was away, or another has the claim */
};

struct mail_job {
	struct list link;
	struct notify_sender *s;
	struct arena arena;
	struct uuid id, claim;
	/* from notification_get.sql */
	struct uuid show_id, booking_id, cause_id;
	enum notify_kind kind;
	int attempts;
	int64_t created_us, now_us, not_after_us;
	const char *name, *email, *locale, *organizer, *reference, *message_id;
	bool own, confirmed;
	int64_t *seats, *prices, *released;
	size_t n_seats, n_released;
	const struct currency *currency;
	int64_t total_minor, refund_minor, fee_minor, lock_expires_us;
	bool lock_open;		    /* the lock still holds its seats */
	bool lost, by_staff, stuck; /* why a booking ended; a refund that did not get through */
	const char *failure, *decline_code;
	struct show *show;
	struct ticket_document *tickets;
	struct uuid first_ticket;
	struct mail_address to;
	/* sending */
	struct composition *mail;
	struct mail_send *send;
	struct offload_job *pooled;
	struct timer *again; /* its end could not be written: once more */
	/* its end */
	enum job_end end;
	bool counts;
	int64_t delay_us;
	int smtp_status, tries;
	char words[WORDS_MAX];
};

/* Reads all that is needed and makes job->mail; ends with job_compose, or with job_end_as. */
void job_gather(struct mail_job *j);

/* ---- sender.c ---- */

struct notify_sender {
	struct notify_sender_config config;
	struct mail_client *client; /* NULL: into the folder, or not at all */
	char *folder, *public_url, *from_name;
	struct mail_address from;
	struct list jobs;
	struct timer *finish_timer;
	/* the round */
	notify_round_fn *fn;
	void *arg;
	bool ok, more;
	int asked;
	int64_t looked_us, expired_us;
	/* rate, and a server that is away */
	double tokens;
	int64_t filled_us, paused_until_us;
	int pauses;
	struct slow_domain {
		char domain[64];
		int strikes;
		int64_t until_us;
	} slow[16];
	loop_fn *finish_fn;
	void *finish_arg;
};

void job_compose(struct mail_job *j);
void job_end_as(struct mail_job *j, enum job_end end, int smtp_status, const char *words);
void job_put_off(struct mail_job *j, int64_t delay_us, bool counts, int smtp_status, const char *words);
struct slow_domain *slow_domain_of(struct notify_sender *s, const char *domain);

#endif
