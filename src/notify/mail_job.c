/*
 * One notification, from the claim to what its mail is made of. Owns what a kind says and when it says nothing any more.
 *
 *   job_gather: the row --> is it of use? --> the show --> its tickets, where they go with it --> facts --> job_compose (sender.c)
 *                              no: dropped
 */
#include "base/times.h"
#include "base/xmalloc.h"
#include "notify/notify_int.h"
#include "notify/notify_sql.h"
#include "ticket/ticket_bundle.h"
#include "ticket/ticket_service.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The columns of notification_get.sql. */
enum {
	COL_KIND,
	COL_SHOW,
	COL_BOOKING,
	COL_CAUSE,
	COL_DATA,
	COL_CREATED,
	COL_ATTEMPTS,
	COL_MESSAGE_ID,
	COL_NOT_AFTER,
	COL_NAME,
	COL_EMAIL,
	COL_LOCALE,
	COL_ORGANIZER,
	COL_REFERENCE,
	COL_BOOKING_STATE,
	COL_SEATS,
	COL_PRICES,
	COL_TOTAL,
	COL_CURRENCY,
	COL_FEE,
	COL_OWN,
	COL_RELEASED,
	COL_LOCK_STATE,
	COL_LOCK_EXPIRES,
	COL_PAYMENT_STATE,
	COL_FAILURE,
	COL_DECLINE,
	COL_REFUND,
	COL_LATELY,
	COL_BOOKED,
	COL_NOW,
};

#define PUT_OFF_US (10 * US_PER_MINUTE)

/* What its writer noted, over what the tables say: {"seats": [numbers], "amount_minor", "fee_minor", "decline_code", "reason", "outcome"}.
 */
static void read_data(struct mail_job *j, struct str text)
{
	json_t *data = json_loadb(text.p, text.n, 0, NULL), *seats = json_object_get(data, "seats"), *v;
	size_t i, n = json_array_size(seats);

	if (n) {
		j->released = arena_array(&j->arena, int64_t, n);
		j->n_released = 0;
		json_array_foreach(seats, i, v)
			if (json_is_integer(v))
				j->released[j->n_released++] = json_integer_value(v);
	}
	v = json_object_get(data, "amount_minor");
	if (json_is_integer(v))
		j->refund_minor = json_integer_value(v);
	v = json_object_get(data, "fee_minor");
	if (json_is_integer(v))
		j->fee_minor = json_integer_value(v);
	v = json_object_get(data, "decline_code");
	if (json_is_string(v))
		j->decline_code = arena_strdup(&j->arena, json_string_value(v));
	v = json_object_get(data, "reason");
	j->lost = json_is_string(v) && strcmp(json_string_value(v), "payment_lost") == 0;
	j->by_staff = json_is_string(v) && strcmp(json_string_value(v), "staff") == 0;
	v = json_object_get(data, "outcome");
	j->stuck = json_is_string(v) && strcmp(json_string_value(v), "failed") == 0;
	json_decref(data);
}

static void read_row(struct mail_job *j, const struct pg_result *r)
{
	struct arena *a = &j->arena;
	struct str lock = pg_get_text(r, 0, COL_LOCK_STATE);

	j->show_id = pg_get_uuid(r, 0, COL_SHOW);
	j->booking_id = pg_get_uuid(r, 0, COL_BOOKING);
	j->cause_id = pg_get_uuid(r, 0, COL_CAUSE);
	j->created_us = pg_get_time(r, 0, COL_CREATED);
	j->attempts = (int)pg_get_int(r, 0, COL_ATTEMPTS);
	j->message_id = arena_cstr(a, pg_get_text(r, 0, COL_MESSAGE_ID));
	j->not_after_us = pg_get_time(r, 0, COL_NOT_AFTER);
	j->now_us = pg_get_time(r, 0, COL_NOW);
	j->name = arena_cstr(a, pg_get_text(r, 0, COL_NAME));
	j->email = arena_cstr(a, pg_get_text(r, 0, COL_EMAIL));
	j->locale = arena_cstr(a, pg_get_text(r, 0, COL_LOCALE));
	j->organizer = arena_cstr(a, pg_get_text(r, 0, COL_ORGANIZER));
	j->reference = arena_cstr(a, pg_get_text(r, 0, COL_REFERENCE));
	j->confirmed = str_eqc(pg_get_text(r, 0, COL_BOOKING_STATE), "confirmed");
	j->n_seats = pg_get_ints(r, 0, COL_SEATS, a, &j->seats);
	pg_get_ints(r, 0, COL_PRICES, a, &j->prices);
	j->n_released = pg_get_ints(r, 0, COL_RELEASED, a, &j->released);
	j->total_minor = pg_get_int(r, 0, COL_TOTAL);
	j->currency = currency_find(pg_get_text(r, 0, COL_CURRENCY));
	j->fee_minor = pg_get_int(r, 0, COL_FEE);
	j->own = pg_get_bool(r, 0, COL_OWN);
	j->lock_expires_us = pg_get_time(r, 0, COL_LOCK_EXPIRES);
	j->lock_open = (str_eqc(lock, "active") || str_eqc(lock, "paying")) && j->lock_expires_us > j->now_us;
	j->failure = arena_cstr(a, pg_get_text(r, 0, COL_FAILURE));
	j->decline_code = arena_cstr(a, pg_get_text(r, 0, COL_DECLINE));
	j->refund_minor = pg_get_int(r, 0, COL_REFUND);
	read_data(j, pg_get_json(r, 0, COL_DATA));
}

/* Why nobody needs to be told any more; NULL: they do. */
static const char *overtaken(const struct mail_job *j, struct str lock_state)
{
	switch (j->kind) {
	case NOTIFY_TICKETS:
	case NOTIFY_BOOKING_CONFIRMED:
	case NOTIFY_TRANSFER:
	case NOTIFY_SHOW_RESCHEDULED:
		return j->confirmed ? NULL : "overtaken: the booking is not confirmed any more";
	case NOTIFY_LOCK_ENDING:
		return str_eqc(lock_state, "active") && j->lock_open ? NULL
								     : "overtaken: the lock does not wait any more";
	case NOTIFY_LOCK_ENDED:
		return str_eqc(lock_state, "booked") || str_eqc(lock_state, "paying")
			       ? "overtaken: the seats were booked"
			       : NULL;
	case NOTIFY_PAYMENT_FAILED:
		return j->confirmed ? "overtaken: it was paid in another attempt" : NULL;
	default:
		return NULL;
	}
}

/* ---- facts ---- */

static bool among(const int64_t *seats, size_t n, int64_t seat)
{
	for (size_t i = 0; i < n; i++)
		if (seats[i] == seat)
			return true;
	return false;
}

static void seat_fact(struct mail_job *j, size_t i, struct letter_seat *ret)
{
	struct plan_seat seat = plan_seat(j->show->plan, (uint32_t)j->seats[i]);
	struct plan_row row = plan_row(j->show->plan, seat.row);

	*ret = (struct letter_seat){
		.zone = arena_cstr(&j->arena, plan_zone(j->show->plan, row.zone).name),
		.row = arena_cstr(&j->arena, row.number.n ? row.number : row.label),
		.seat = arena_cstr(&j->arena, seat.number.n ? seat.number : seat.label),
		.category = arena_cstr(&j->arena, plan_category(j->show->plan, seat.category).name),
		.price = {j->prices[i], j->own ? j->currency : NULL},
	};
}

/* Which of the booking's or lock's seats this mail is about. */
static void seat_facts(struct mail_job *j, struct letter_facts *f)
{
	bool partly = j->kind == NOTIFY_BOOKING_CANCELLED && j->confirmed;
	struct letter_seat *seats = arena_array(&j->arena, struct letter_seat, j->n_seats ? j->n_seats : 1);

	for (size_t i = 0; i < j->n_seats; i++) {
		bool released = among(j->released, j->n_released, j->seats[i]);
		bool said = partly			 ? released
			    : j->confirmed || j->tickets ? !released
							 : true; /* of what has ended, all that it had */

		if (j->kind == NOTIFY_TRANSFER && j->tickets)
			said = false; /* below */
		if (said && (size_t)j->seats[i] < plan_n_seats(j->show->plan))
			seat_fact(j, i, &seats[f->n_seats++]);
	}
	for (size_t i = 0; j->kind == NOTIFY_TRANSFER && j->tickets && i < j->tickets->n_seats; i++)
		seats[f->n_seats++] =
			(struct letter_seat){j->tickets->seats[i].zone,
					     j->tickets->seats[i].row,
					     j->tickets->seats[i].seat,
					     j->tickets->seats[i].category ? j->tickets->seats[i].category : "",
					     {0, NULL}};
	f->seats = seats;
	f->partly = partly;
}

/* Where the mail leads: the link of a booking is a MAC that is made again each time. It stands after #, which no browser sends and no
 * server logs. */
static const char *link_of(struct mail_job *j)
{
	char show[UUID_TEXT], booking[UUID_TEXT], ticket[UUID_TEXT], token[AUTH_TOKEN_TEXT];
	const char *base = j->s->public_url;

	if (notify_kind_is_of_lock(j->kind))
		return arena_printf(&j->arena, "%s/", base);
	uuid_format(&j->show_id, show);
	if (j->own) {
		auth_booking_token(j->s->config.auth, &j->show_id, &j->booking_id, token);
		return arena_printf(&j->arena, "%s/booking#show=%s&booking=%s&access_token=%s", base, show,
				    uuid_format(&j->booking_id, booking), token);
	}
	/* who was given tickets has a link to each of them, not to the booking */
	if (j->kind != NOTIFY_TRANSFER || uuid_is_zero(&j->first_ticket) || j->tickets->n_seats != 1)
		return "";
	auth_booking_token(j->s->config.auth, &j->show_id, &j->cause_id, token);
	return arena_printf(&j->arena, "%s/v1/shows/%s/tickets/%s.pdf?access_token=%s", base, show,
			    uuid_format(&j->first_ticket, ticket), token);
}

static bool gives_back(const struct mail_job *j)
{
	return j->own &&
	       (j->kind == NOTIFY_SHOW_CANCELLED || j->kind == NOTIFY_BOOKING_CANCELLED || j->kind == NOTIFY_REFUNDED);
}

static void job_write(struct mail_job *j)
{
	struct letter *l = letter_new(j->kind, str_from(j->locale));
	const struct show *show = j->show;
	struct arena *a = &l->arena;
	bool coming = j->kind == NOTIFY_BOOKING_CONFIRMED || j->kind == NOTIFY_TICKETS;
	const char *address = ticket_address_of(&j->arena, show);
	struct letter_facts f = {
		.name = j->name,
		.event = show->event_name,
		.organizer = j->organizer,
		.venue = show->venue_name,
		.address = address,
		.timezone = show->timezone,
		.reference = j->reference,
		.link = link_of(j),
		.decline_code = j->decline_code,
		.starts_at_us = show->starts_at_us,
		.declined = j->kind == NOTIFY_PAYMENT_FAILED && *j->decline_code,
		.holder = !j->own,
	};
	struct composition *c = composition_new(l);
	char id[UUID_TEXT];

	if (notify_kind_is_of_lock(j->kind) || (j->kind == NOTIFY_PAYMENT_FAILED && j->lock_open))
		f.until_us = j->lock_expires_us;
	if (coming && show->cancel_until_us > j->now_us)
		f.cancel_until_us = show->cancel_until_us;
	if (j->kind == NOTIFY_SHOW_RESCHEDULED && j->own && show->refund_until_us > j->now_us)
		f.refund_until_us = show->refund_until_us;
	if (coming || j->kind == NOTIFY_LOCK_ENDING || j->kind == NOTIFY_PAYMENT_FAILED || j->kind == NOTIFY_LOOKUP)
		f.total = (struct money){j->n_released ? 0 : j->total_minor, j->own ? j->currency : NULL};
	if (gives_back(j))
		f.refund = (struct money){j->refund_minor, j->currency};
	if (j->kind == NOTIFY_BOOKING_CANCELLED && j->own)
		f.fee = (struct money){j->fee_minor, j->currency};
	f.lost = j->lost;
	f.by_staff = j->by_staff;
	f.stuck = j->stuck;
	seat_facts(j, &f);
	c->from = j->s->from;
	c->to = j->to;
	c->from_name = arena_strdup(a, *j->s->from_name ? j->s->from_name : j->organizer);
	c->message_id = arena_strdup(a, j->message_id);
	c->reference = arena_strdup(a, j->reference);
	c->date_us = wall_now_us();
	c->tickets = j->tickets;
	j->tickets = NULL;
	if (j->s->folder)
		c->path = arena_printf(a, "%s/%s-%s.eml", j->s->folder, notify_kind_name(j->kind),
				       uuid_format(&j->id, id));
	if (!letter_facts(l, &f)) {
		composition_free(c);
		job_end_as(j, JOB_FAILED, 0, "the venue's time zone is unknown here");
		return;
	}
	if (notify_kind_has_calendar(j->kind)) {
		c->calendar.id = j->booking_id;
		c->calendar.sequence = show->reschedules;
		c->calendar.now_us = c->date_us;
		c->calendar.starts_at_us = show->starts_at_us;
		c->calendar.summary = l->values[LETTER_event];
		c->calendar.location = arena_printf(a, "%s\n%s", show->venue_name, address);
		c->calendar.description = arena_printf(a, "%s\n%s", l->values[LETTER_seats], j->reference);
	}
	j->mail = c;
	job_compose(j);
}

/* ---- gathering ---- */

static void on_tickets(void *arg, const struct pg_answer *a)
{
	struct mail_job *j = arg;
	struct ticket_bundle bundle = {j->reference, j->name, j->locale, j->organizer};

	if (a->status != PG_OK) {
		job_end_as(j, JOB_LOST, 0, a->message);
		return;
	}
	if (pg_rows(a->result) == 0) {
		job_end_as(j, JOB_DROPPED, 0, "overtaken: there are no tickets to send any more");
		return;
	}
	if (pg_rows(a->result) > TICKET_DOCUMENT_SEATS_MAX) {
		job_end_as(j, JOB_FAILED, 0, "more tickets than one paper has room for");
		return;
	}
	j->first_ticket = pg_get_uuid(a->result, 0, 0);
	j->tickets = ticket_bundle_document(j->s->config.ticket, j->show, a->result, &bundle);
	if (j->tickets)
		job_write(j);
	else
		job_end_as(j, JOB_FAILED, 0, "the key that signs these tickets cannot be opened");
}

static void on_show(void *arg, enum err err, struct show *show)
{
	struct mail_job *j = arg;
	struct uuid nobody = {{0}};

	if (err == ERR_NOT_FOUND) {
		job_end_as(j, JOB_FAILED, 0, "there is no such show");
		return;
	}
	if (err != ERR_NONE) {
		job_end_as(j, JOB_LOST, 0, "the show could not be read");
		return;
	}
	j->show = show_ref(show);
	if (notify_kind_has_tickets(j->kind))
		tickets_of_holder_read(j->s->config.ticket, &j->arena, &j->show_id, &j->booking_id,
				       j->kind == NOTIFY_TRANSFER ? &j->cause_id : &nobody, on_tickets, j);
	else
		job_write(j);
}

static void on_got(void *arg, const struct pg_answer *a)
{
	struct mail_job *j = arg;
	int64_t limit = j->s->config.per_recipient, age_us;
	struct slow_domain *slow;
	const char *why;
	char words[WORDS_MAX];

	if (a->status != PG_OK || pg_rows(a->result) == 0) {
		job_end_as(j, JOB_LOST, 0, a->status == PG_OK ? "another has the claim" : a->message);
		return;
	}
	if (!notify_kind_parse(pg_get_text(a->result, 0, COL_KIND), &j->kind)) {
		/* of a newer version: its workers know it */
		job_put_off(j, PUT_OFF_US, false, 0, "a kind that this program does not know");
		return;
	}
	read_row(j, a->result);
	age_us = notify_kind_age_us(j->kind);
	if (!*j->email) {
		job_end_as(j, JOB_DROPPED, 0, "nobody is there: no address is known, or it was erased");
		return;
	}
	why = overtaken(j, pg_get_text(a->result, 0, COL_LOCK_STATE));
	if (!why && (j->not_after_us <= j->now_us || (age_us < INT64_MAX && j->created_us + age_us <= j->now_us)))
		why = "too late to be of use";
	if (why) {
		job_end_as(j, JOB_DROPPED, 0, why);
		return;
	}
	why = mail_address_read(str_from(j->email), &j->to);
	if (why) {
		snprintf(words, sizeof(words), "not an address that mail can be sent to: %s", why);
		job_end_as(j, JOB_FAILED, 0, words);
		return;
	}
	if (pg_get_int(a->result, 0, COL_LATELY) >= limit) {
		snprintf(words, sizeof(words), "put off: %d mails went to this address in the last hour", (int)limit);
		job_put_off(j, PUT_OFF_US, false, 0, words);
		return;
	}
	slow = slow_domain_of(j->s, j->to.domain);
	if (slow && slow->until_us > loop_now_us(j->s->config.loop)) {
		job_put_off(j, slow->until_us - loop_now_us(j->s->config.loop), false, 0,
			    "put off: the server asked to wait with mails for this domain");
		return;
	}
	event_show_get_numbered(j->s->config.event, &j->show_id, on_show, j);
}

void job_gather(struct mail_job *j)
{
	struct pg_args args;

	pg_args_init(&args, &j->arena);
	pg_arg_uuid(&args, &j->id);
	pg_arg_uuid(&args, &j->claim);
	pg_arg_i32(&args, (int32_t)j->s->config.per_recipient);
	pg_query_start(j->s->config.pg, &notify_sql_notification_get, &args, NOTIFY_QUERY_MS, on_got, j);
}
