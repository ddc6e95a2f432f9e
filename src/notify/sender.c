/*
 * Owns the rounds of sending, the claims, the rate, and what is written about a notification when its mail has come to an end.
 *
 *   round:  now and then: what is too late is dropped, the queue is counted
 *           --> as many as the rate and the connections allow are claimed --> each is gathered (mail_job.c) --> composed on the pool
 *           (compose.c) --> handed to the server, or a file --> its end is written --> with the last one the round is over
 *
 * A claim ends by itself (due_at): a process that dies between the server's "accepted" and the row's "sent" leaves a mail that is sent
 * once more, with the same Message-ID. A server that is away, or refuses us, is asked less and less often, and no mail suffers from it;
 * a domain that keeps putting us off waits for itself. `sent` is written by whoever has heard it, claim or not; everything else only
 * with the claim.
 */
#include "base/times.h"
#include "base/xmalloc.h"
#include "io/crypto.h"
#include "io/log.h"
#include "io/metrics_table.h"
#include "notify/notify_int.h"
#include "notify/notify_sql.h"
#include "seat/test_hook.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	EXPIRE_MAX = 1000,
	WRITE_TRIES = 20,
	WRITE_AGAIN_MS = 500,
	STRIKES = 3,
	SLOW_N = 16,
};
#define EXPIRE_EVERY_US (30 * US_PER_SECOND)
#define LOOK_EVERY_US (5 * US_PER_SECOND)
#define CLAIM_MARGIN_US \
	(2 * US_PER_MINUTE) /* over the time of one mail: gathering, drawing, waiting for a connection */
#define PAUSE_MAX_US (60 * US_PER_SECOND)
#define SLOW_US (60 * US_PER_SECOND)

const struct pg_stmt *const *const notify_sql = notify_sql_statements;

static int64_t now_us(const struct notify_sender *s)
{
	return loop_now_us(s->config.loop);
}

/* ---- a domain that puts us off ---- */

struct slow_domain *slow_domain_of(struct notify_sender *s, const char *domain)
{
	for (int i = 0; i < SLOW_N; i++)
		if (s->slow[i].strikes && strncmp(s->slow[i].domain, domain, sizeof(s->slow[i].domain) - 1) == 0)
			return &s->slow[i];
	return NULL;
}

static void domain_heard(struct notify_sender *s, const char *domain, bool put_off)
{
	struct slow_domain *d = slow_domain_of(s, domain);

	if (!put_off) {
		if (d)
			d->strikes = 0;
		return;
	}
	for (int i = 0; i < SLOW_N && !d; i++)
		if (!s->slow[i].strikes)
			d = &s->slow[i];
	if (!d)
		return; /* so many at once: it is the server, not the domains */
	snprintf(d->domain, sizeof(d->domain), "%s", domain);
	if (++d->strikes >= STRIKES)
		d->until_us = now_us(s) + SLOW_US;
}

/* ---- the end of a notification ---- */

static void round_check(struct notify_sender *s);

static void job_free(struct mail_job *j)
{
	list_remove(&j->link);
	if (j->send)
		mail_send_cancel(j->send);
	if (j->pooled)
		offload_cancel(j->pooled);
	timer_free(j->again);
	composition_free(j->mail);
	ticket_document_free(j->tickets);
	show_unref(j->show);
	arena_done(&j->arena);
	free(j);
}

static void job_over(struct mail_job *j)
{
	struct notify_sender *s = j->s;

	job_free(j);
	round_check(s);
}

static void write_end(void *arg);

static void on_written(void *arg, const struct pg_answer *a)
{
	struct mail_job *j = arg;

	if (a->status == PG_OK) {
		job_over(j);
		return;
	}
	/* the server has it, and the row must say so before somebody else takes it over */
	if (++j->tries < WRITE_TRIES) {
		timer_set_ms(j->again, WRITE_AGAIN_MS);
		return;
	}
	log_line(LOG_ERROR, "what became of a mail could not be written: it may be sent again",
		 LOG_U("notification", &j->id), LOG_C("error", a->message));
	j->s->ok = false;
	job_over(j);
}

static void write_end(void *arg)
{
	static const struct pg_stmt *const statements[] = {[JOB_SENT] = &notify_sql_notification_sent,
							   [JOB_LATER] = &notify_sql_notification_later,
							   [JOB_FAILED] = &notify_sql_notification_fail,
							   [JOB_DROPPED] = &notify_sql_notification_drop};
	struct mail_job *j = arg;
	struct pg_args args;

	pg_args_init(&args, &j->arena);
	pg_arg_uuid(&args, &j->id);
	if (j->end == JOB_SENT) {
		pg_arg_i32(&args, j->smtp_status);
	} else {
		pg_arg_uuid(&args, &j->claim);
		if (j->end == JOB_LATER) {
			pg_arg_interval_us(&args, j->delay_us);
			pg_arg_bool(&args, j->counts);
		}
		if (j->end != JOB_DROPPED)
			pg_arg_i32(&args, j->smtp_status);
		pg_arg_text(&args, str_from(j->words));
	}
	pg_query_start(j->s->config.pg, statements[j->end], &args, NOTIFY_QUERY_MS, on_written, j);
}

void job_end_as(struct mail_job *j, enum job_end end, int smtp_status, const char *words)
{
	static const int outcomes[] = {[JOB_SENT] = MAIL_OUTCOME_SENT,
				       [JOB_LATER] = MAIL_OUTCOME_LATER,
				       [JOB_FAILED] = MAIL_OUTCOME_FAILED,
				       [JOB_DROPPED] = MAIL_OUTCOME_DROPPED,
				       [JOB_LOST] = MAIL_OUTCOME_LOST};
	struct notify_sender *s = j->s;

	j->end = end;
	j->smtp_status = smtp_status;
	notify_words_clean(words, str_from(j->email ? j->email : ""), j->words, sizeof(j->words));
	metric_add(s->config.metrics, METRIC_MAILS, outcomes[end], 0, 1);
	if (end == JOB_FAILED)
		log_line(LOG_WARN, "a mail failed", LOG_U("notification", &j->id),
			 LOG_C("kind", notify_kind_name(j->kind)), LOG_I("smtp_status", smtp_status),
			 LOG_C("words", j->words));
	if (end == JOB_LOST) {
		s->ok = false; /* the claim ends by itself */
		job_over(j);
		return;
	}
	j->again = timer_new(s->config.loop, write_end, j);
	write_end(j);
}

void job_put_off(struct mail_job *j, int64_t delay_us, bool counts, int smtp_status, const char *words)
{
	char last[WORDS_MAX];
	bool over = j->created_us && j->now_us + delay_us >= j->created_us + j->s->config.give_up_us;

	j->delay_us = delay_us;
	j->counts = counts;
	if (!over) {
		job_end_as(j, JOB_LATER, smtp_status, words);
		return;
	}
	snprintf(last, sizeof(last), "given up after %d attempts; the last: %s", j->attempts, words);
	job_end_as(j, JOB_FAILED, smtp_status, last);
}

/* ---- sending ---- */

static void server_is_away(struct notify_sender *s, const char *words)
{
	int64_t pause = US_PER_SECOND << (s->pauses < 6 ? s->pauses : 6);

	if (s->paused_until_us > now_us(s))
		return; /* told by another mail of the same round */
	pause = pause < PAUSE_MAX_US ? pause : PAUSE_MAX_US;
	s->pauses++;
	s->paused_until_us = now_us(s) + pause;
	metric_set(s->config.metrics, METRIC_MAIL_SERVER_AWAY, 0, 0, 1);
	log_line(LOG_ERROR, "the mail server takes nothing from us", LOG_C("words", words),
		 LOG_I("again_in_s", pause / US_PER_SECOND));
}

static void server_is_there(struct notify_sender *s)
{
	if (s->pauses)
		log_line(LOG_INFO, "the mail server takes mails again");
	s->pauses = 0;
	s->paused_until_us = 0;
	metric_set(s->config.metrics, METRIC_MAIL_SERVER_AWAY, 0, 0, 0);
}

static void on_mailed(void *arg, const struct mail_answer *a)
{
	struct mail_job *j = arg;
	struct notify_sender *s = j->s;
	char words[WORDS_MAX];

	j->send = NULL;
	metric_observe(s->config.metrics, METRIC_MAIL_SECONDS, 0, 0, a->took_us);
	notify_words_clean(a->words, str_from(j->email), words, sizeof(words));
	if (a->status != MAIL_UNREACHABLE)
		server_is_there(s);
	switch (a->status) {
	case MAIL_SENT:
		test_crash("mail_accepted");
		domain_heard(s, j->to.domain, false);
		job_end_as(j, JOB_SENT, a->smtp_status, "");
		return;
	case MAIL_REFUSED:
		job_end_as(j, JOB_FAILED, a->smtp_status, a->words);
		return;
	case MAIL_UNREACHABLE:
		server_is_away(s, words);
		s->ok = false;
		job_put_off(j, s->paused_until_us - now_us(s) + US_PER_SECOND, false, a->smtp_status, a->words);
		return;
	case MAIL_UNKNOWN:
		metric_add(s->config.metrics, METRIC_MAILS, MAIL_OUTCOME_UNKNOWN, 0, 1);
		break;
	case MAIL_LATER:
		domain_heard(s, j->to.domain, a->smtp_status != 0);
		break;
	}
	job_put_off(j, notify_delay_us(j->attempts), true, a->smtp_status, a->words);
}

/* What the pool has: the composition, until it is taken back. */
static void pooled_run(void *data)
{
	struct composition **c = data;

	composition_run(*c);
}

static void pooled_free(void *data)
{
	struct composition **c = data;

	composition_free(*c);
	free(c);
}

static void on_composed(void *arg, void *data)
{
	struct mail_job *j = arg;
	struct composition **pooled = data, *c = *pooled;

	*pooled = NULL;
	j->mail = c;
	j->pooled = NULL;
	if (!c->ok && c->path && strncmp(c->error, "mail-dir", 8) == 0) {
		server_is_away(j->s, c->error);
		j->s->ok = false;
		job_put_off(j, US_PER_MINUTE, false, 0, c->error);
	} else if (!c->ok) {
		job_end_as(j, JOB_FAILED, 0, c->error);
	} else if (c->path) {
		test_crash("mail_accepted");
		server_is_there(j->s);
		job_end_as(j, JOB_SENT, 0, "");
	} else {
		size_t n;
		char *mail = buf_take(&c->mail, &n);

		j->send = mail_send_start(j->s->client, c->from.text, c->to.text, c->to.utf8, mail, n, on_mailed, j);
	}
}

void job_compose(struct mail_job *j)
{
	struct composition **pooled = xcalloc(1, sizeof(struct composition *));

	test_crash("mail_claimed");
	*pooled = j->mail;
	j->pooled = offload_start(j->s->config.offload, pooled_run, pooled, pooled_free, on_composed, j);
	if (j->pooled) {
		j->mail = NULL;
	} else {
		free(pooled);
		job_put_off(j, 5 * US_PER_SECOND, false, 0, "put off: the pool of threads is full");
	}
}

/* ---- the round ---- */

static void round_check(struct notify_sender *s)
{
	notify_round_fn *fn = s->fn;
	void *arg = s->arg;

	if (!list_empty(&s->jobs))
		return;
	if (fn) {
		s->fn = NULL;
		fn(arg, s->ok, s->more);
	}
	if (s->finish_fn && !s->fn) {
		loop_fn *finished = s->finish_fn;

		s->finish_fn = NULL;
		timer_clear(s->finish_timer);
		finished(s->finish_arg);
	}
}

static void on_claimed(void *arg, const struct pg_answer *a)
{
	struct notify_sender *s = arg;
	int n = a->status == PG_OK ? pg_rows(a->result) : 0;

	s->ok &= a->status == PG_OK;
	s->more = n > 0 && n == s->asked;
	s->tokens -= n;
	for (int i = 0; i < n; i++) {
		struct mail_job *j = xcalloc(1, sizeof(*j));

		arena_init(&j->arena);
		j->s = s;
		j->id = pg_get_uuid(a->result, i, 0);
		j->claim = pg_get_uuid(a->result, i, 1);
		list_init(&j->link);
		list_append(&s->jobs, &j->link);
		job_gather(j);
	}
	if (n == 0)
		round_check(s);
}

static int allowance(struct notify_sender *s)
{
	double most = s->config.per_second > 1 ? (double)s->config.per_second : 1;
	int64_t now = now_us(s);
	int n;

	s->tokens += (double)(now - s->filled_us) / 1e6 * (double)s->config.per_second;
	s->filled_us = now;
	if (s->tokens > most)
		s->tokens = most;
	n = (int)s->tokens;
	return n < s->config.smtp.connections ? n : s->config.smtp.connections;
}

static void step_claim(struct notify_sender *s)
{
	struct uuid claim = crypto_uuid_v7(wall_now_us());
	int n = allowance(s);
	struct arena arena;
	struct pg_args args;

	if ((!s->client && !s->folder) || s->paused_until_us > now_us(s) || n == 0 || s->finish_fn) {
		round_check(s);
		return;
	}
	s->asked = n;
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_i32(&args, n);
	pg_arg_uuid(&args, &claim);
	pg_arg_interval_us(&args, s->config.smtp.timeout_ms * 1000 + CLAIM_MARGIN_US);
	pg_arg_text(&args, str_from(s->from.domain));
	pg_query_start(s->config.pg, &notify_sql_notification_claim, &args, NOTIFY_QUERY_MS, on_claimed, s);
	arena_done(&arena);
}

static void on_looked(void *arg, const struct pg_answer *a)
{
	struct notify_sender *s = arg;

	if (a->status != PG_OK) {
		s->ok = false;
		round_check(s);
		return;
	}
	metric_set(s->config.metrics, METRIC_MAILS_WAITING, 0, 0, pg_get_int(a->result, 0, 0));
	metric_set(s->config.metrics, METRIC_MAILS_FAILED, 0, 0, pg_get_int(a->result, 0, 1));
	metric_set(s->config.metrics, METRIC_MAIL_AGE, 0, 0, pg_get_int(a->result, 0, 2) / US_PER_SECOND);
	s->looked_us = now_us(s);
	step_claim(s);
}

static void step_look(struct notify_sender *s)
{
	struct arena arena;
	struct pg_args args;

	if (s->looked_us && now_us(s) - s->looked_us < LOOK_EVERY_US) {
		step_claim(s);
		return;
	}
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_query_start(s->config.pg, &notify_sql_notifications_waiting, &args, NOTIFY_QUERY_MS, on_looked, s);
	arena_done(&arena);
}

static void on_expired(void *arg, const struct pg_answer *a)
{
	struct notify_sender *s = arg;

	if (a->status != PG_OK) {
		s->ok = false;
		round_check(s);
		return;
	}
	metric_add(s->config.metrics, METRIC_MAILS, MAIL_OUTCOME_DROPPED, 0, pg_affected(a->result));
	if (pg_affected(a->result) < EXPIRE_MAX)
		s->expired_us = now_us(s);
	step_look(s);
}

void notify_sender_round(struct notify_sender *s, notify_round_fn *fn, void *arg)
{
	struct str kinds[NOTIFY_KINDS];
	int64_t ages_us[NOTIFY_KINDS];
	struct arena arena;
	struct pg_args args;

	assert(!s->fn);
	s->fn = fn;
	s->arg = arg;
	s->ok = true;
	s->more = false;
	if (s->expired_us && now_us(s) - s->expired_us < EXPIRE_EVERY_US) {
		step_look(s);
		return;
	}
	for (int i = 0; i < NOTIFY_KINDS; i++) {
		kinds[i] = str_from(notify_kind_name((enum notify_kind)i));
		ages_us[i] = notify_kind_age_us((enum notify_kind)i);
	}
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_texts(&args, kinds, NOTIFY_KINDS);
	pg_arg_i64s(&args, ages_us, NOTIFY_KINDS);
	pg_arg_i64(&args, s->config.give_up_us);
	pg_arg_i32(&args, EXPIRE_MAX);
	pg_query_start(s->config.pg, &notify_sql_notifications_expire, &args, NOTIFY_QUERY_MS, on_expired, s);
	arena_done(&arena);
}

/* ---- beginning and end ---- */

static void on_finish_time(void *arg)
{
	struct notify_sender *s = arg;
	loop_fn *fn = s->finish_fn;

	s->finish_fn = NULL;
	if (fn)
		fn(s->finish_arg);
}

void notify_sender_finish(struct notify_sender *s, int64_t within_ms, loop_fn *fn, void *arg)
{
	if (!s->fn && list_empty(&s->jobs)) {
		fn(arg);
		return;
	}
	s->finish_fn = fn;
	s->finish_arg = arg;
	timer_set_ms(s->finish_timer, within_ms);
}

struct notify_sender *notify_sender_new(const struct notify_sender_config *config, char *error, size_t error_size)
{
	struct notify_sender *s = xcalloc(1, sizeof(*s));
	struct str name = STR("");
	const char *why = mail_mailbox_read(str_from(config->from), &name, &s->from);
	size_t n = strlen(config->public_url);

	if (why) {
		snprintf(error, error_size, "mail-from: \"%s\" is no address to send from: %s", config->from, why);
	} else if (s->from.utf8) {
		snprintf(error, error_size, "mail-from: the part before the @ must be ASCII");
		why = error;
	} else if (config->folder[0] && mkdir(config->folder, 0700) != 0 && errno != EEXIST) {
		snprintf(error, error_size, "mail-dir: cannot make %s: %s", config->folder, strerror(errno));
		why = error;
	}
	if (why) {
		free(s);
		return NULL;
	}
	s->config = *config;
	s->from_name = xstrdup("");
	if (name.n) {
		free(s->from_name);
		s->from_name = strndup(name.p, name.n);
		if (!s->from_name)
			abort();
	}
	s->folder = config->folder[0] ? xstrdup(config->folder) : NULL;
	s->public_url = xstrdup(config->public_url);
	while (n && s->public_url[n - 1] == '/')
		s->public_url[--n] = '\0';
	if (config->smtp.url[0]) {
		struct mail_client_config smtp = config->smtp;

		smtp.loop = config->loop;
		s->client = mail_client_new(&smtp);
	}
	list_init(&s->jobs);
	s->finish_timer = timer_new(config->loop, on_finish_time, s);
	s->filled_us = loop_now_us(config->loop);
	s->tokens = 1;
	return s;
}

void notify_sender_free(struct notify_sender *s)
{
	struct mail_job *j;

	if (!s)
		return;
	while ((j = list_first(&s->jobs, struct mail_job, link)))
		job_free(j);
	mail_client_free(s->client);
	timer_free(s->finish_timer);
	free(s->folder);
	free(s->public_url);
	free(s->from_name);
	free(s);
}
