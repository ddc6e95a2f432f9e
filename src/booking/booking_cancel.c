/*
 * POST .../cancel: seats of a booking go back, their price less the fee's share is given back.
 *
 *   booking --> may the caller? --> the transaction (booking_end.c) --> the refund is sent, tried once before answering
 *           --> the booking as it is now
 *
 * What is gone already is not cancelled twice: the same request again is answered the same.
 */
#include "base/xmalloc.h"
#include "booking/booking_end.h"
#include "booking/booking_int.h"

#include <stdlib.h>

struct cancel {
	struct booking_service *b;
	struct web_call *call;
	struct show *show;
	const json_t *asked; /* "seats" of the request */
	bool owner;
	struct booking_end ask;
};

static void cancel_free(struct cancel *c)
{
	show_unref(c->show);
	free(c);
}

static void refuse(struct cancel *c, enum err code, const char *detail)
{
	web_refuse(c->call, code, detail);
	cancel_free(c);
}

static void refuse_seat(struct cancel *c, enum err code, const char *detail, const char *path, struct str seat)
{
	struct jw *w = web_problem(c->call, code, detail);

	jw_kcstr(w, "path", path);
	jw_kstr(w, "seat", seat);
	web_problem_end(c->call);
	cancel_free(c);
}

/* Where the seat stands in the request: what was asked is in the order of the plan by now. */
static void refuse_stranger(struct cancel *c, struct str seat)
{
	char path[ERROR_PATH_MAX] = "/seats";
	const json_t *one;
	size_t i;

	json_array_foreach(c->asked, i, one) {
		if (str_eqc(seat, json_string_value(one))) {
			json_pointer_index(path, "/seats", i);
			break;
		}
	}
	refuse_seat(c, ERR_UNKNOWN_SEAT, "This seat is not one of the booking.", path, seat);
}

static void on_answer(void *arg, enum err err, const struct booking_view *v, struct show *show,
		      const struct pg_result *tickets)
{
	struct cancel *c = arg;

	if (err != ERR_NONE) {
		refuse(c, ERR_OUTCOME_UNKNOWN, NULL);
		return;
	}
	booking_write(c->b, web_json(c->call), v, show, tickets, c->owner);
	web_json_end(c->call, 200);
	cancel_free(c);
}

static void cancel_answer(void *arg)
{
	struct cancel *c = arg;

	booking_load(c->b, c->call->arena, &c->call->ids[0], &c->call->ids[1], on_answer, c);
}

static void on_ended(void *arg, const struct booking_ended *ended)
{
	struct cancel *c = arg;

	if (ended->err == ERR_UNKNOWN_SEAT) {
		refuse_stranger(c, plan_seat_guid(c->show->plan, ended->bad_seat));
	} else if (ended->err != ERR_NONE) {
		refuse(c, ended->err, ended->detail);
	} else if (ended->refund_minor) {
		refund_send(c->b->config.payment, &c->ask.show_id, &ended->refund_id,
			    c->ask.by == END_BY_STAFF ? "staff" : "buyer", cancel_answer, c);
	} else {
		cancel_answer(c);
	}
}

static void on_loaded(void *arg, enum err err, const struct booking_view *v, struct show *show,
		      const struct pg_result *tickets)
{
	struct cancel *c = arg;
	struct web_call *call = c->call;
	struct error e = {0};
	struct json_in in;
	const json_t *seats;
	struct str bad = STR("");
	uint32_t *asked;
	json_t *body;

	if (err == ERR_NONE)
		err = booking_may_see(call, v);
	if (err != ERR_NONE) {
		refuse(c, err, NULL);
		return;
	}
	c->show = show_ref(show);
	c->owner = booking_owner(call, v);
	c->ask = (struct booking_end){.show_id = call->ids[0],
				      .booking_id = call->ids[1],
				      .by = call->who.kind == WHO_STAFF ? END_BY_STAFF : END_BY_BUYER};
	if (call->req->body.n == 0) {
		booking_end_start(c->b, call->arena, &c->ask, on_ended, c);
		return;
	}
	body = web_body(call);
	if (!body) {
		cancel_free(c);
		return;
	}
	json_in_init(&in, body, "", &e);
	seats = json_in_array(&in, "seats", JSON_OPTIONAL, 1, SEAT_ASK_MAX);
	asked = arena_array(call->arena, uint32_t, SEAT_ASK_MAX);
	if (!json_in_end(&in) ||
	    (seats && !seat_list_read(seats, "/seats", show->plan, SEAT_ASK_MAX, asked, &c->ask.n_seats, &bad, &e))) {
		if (e.code == ERR_UNKNOWN_SEAT || e.code == ERR_DUPLICATE_SEAT) {
			refuse_seat(c, e.code, e.detail, e.path, bad);
			return;
		}
		web_refuse_error(call, &e);
		cancel_free(c);
		return;
	}
	c->asked = seats;
	if (seats)
		c->ask.seats = asked;
	booking_end_start(c->b, call->arena, &c->ask, on_ended, c);
}

void booking_cancel_post(struct web_call *call)
{
	struct cancel *c;

	if (call->who.kind == WHO_NOBODY) {
		web_refuse(call, ERR_UNAUTHENTICATED, NULL);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->b = call->service;
	c->call = call;
	booking_load(c->b, call->arena, &call->ids[0], &call->ids[1], on_loaded, c);
}
