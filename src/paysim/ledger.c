/*
 * The simulator's own endpoints under /_sim but for the switches: the ledger as JSON or CSV, the webhooks that wait, the
 * clock. The export is one walk of the loop's thread over one state: nothing changes meanwhile, it leaves after that
 * state's commit, and its sums are made of the very rows that are shown.
 */
#include "paysim/sim.h"

#include "base/times.h"

#include <assert.h>

bool sim_wrong_json(struct sim_call *c, const struct error *e)
{
	return refuse_invalid(&c->refusal, NULL, NULL, "%s: %s", e->path[0] ? e->path : "/", e->detail);
}

/* Of one currency. What intents say was refunded is what their refunds, but for failed ones, add up to. */
struct sums {
	char currency[4];
	int64_t intents, amount, capturable, captures, captured, refunded;
	int64_t refunds, refunds_succeeded, refunds_pending, refunds_failed;
};

enum { CURRENCIES_MAX = 64 };

struct export
{
	struct jw *w;	 /* NULL: CSV */
	struct buf *csv; /* NULL: JSON */
	struct sums sums[CURRENCIES_MAX];
	size_t n_sums;
};

static struct sums *sums_of(struct export *x, struct str currency)
{
	for (size_t i = 0; i < x->n_sums; i++)
		if (str_eqc(currency, x->sums[i].currency))
			return &x->sums[i];
	assert(x->n_sums < CURRENCIES_MAX); /* base/money.c has fewer */
	snprintf(x->sums[x->n_sums].currency, sizeof(x->sums[0].currency), "%.*s", STR_FMT(currency));
	return &x->sums[x->n_sums++];
}

/* RFC 4180: always quoted, quotes doubled. Ids, states and currencies need none. */
static void csv_text(struct buf *b, struct str text)
{
	buf_addc(b, '"');
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '"')
			buf_addc(b, '"');
		buf_addc(b, text.p[i]);
	}
	buf_addc(b, '"');
}

/* An empty field for what is absent or, of a number, negative. */
struct csv_row {
	const char *record;
	struct str id, intent, charge, status, currency;
	int64_t amount, capturable, captured, refunded, created_us;
	struct str metadata;
};

static void csv_number(struct buf *b, int64_t v)
{
	buf_addc(b, ',');
	if (v >= 0)
		buf_addi(b, v);
}

static void csv_row(struct buf *b, const struct csv_row *r)
{
	buf_addf(b, "%s,%.*s,%.*s,%.*s,%.*s,%.*s", r->record, STR_FMT(r->id), STR_FMT(r->intent), STR_FMT(r->charge),
		 STR_FMT(r->status), STR_FMT(r->currency));
	csv_number(b, r->amount);
	csv_number(b, r->capturable);
	csv_number(b, r->captured);
	csv_number(b, r->refunded);
	csv_number(b, r->created_us < 0 ? -1 : r->created_us / US_PER_SECOND);
	buf_addc(b, ',');
	if (r->metadata.p)
		csv_text(b, r->metadata);
	buf_adds(b, "\r\n");
}

static bool export_intent(void *arg, struct intent *pi)
{
	struct export *x = arg;
	struct jw *w = x->w;
	struct sums *sums;
	char currency[4];

	currency_lower(pi->state.currency, currency);
	sums = sums_of(x, str_from(currency));
	sums->intents++;
	sums->amount += pi->state.amount;
	sums->capturable += pi->state.amount_capturable;
	sums->captured += pi->state.amount_received;
	sums->refunded += pi->state.amount_refunded;
	if (!w) {
		csv_row(x->csv,
			&(struct csv_row){"intent", pi->id, pi->id, pi->latest_charge,
					  str_from(intent_status_name(pi->state.status)), str_from(currency),
					  pi->state.amount, pi->state.amount_capturable, pi->state.amount_received,
					  pi->state.amount_refunded, pi->created_us, pi->metadata});
		return !x->csv->failed;
	}
	jw_obj(w);
	jw_kstr(w, "id", pi->id);
	jw_kcstr(w, "status", intent_status_name(pi->state.status));
	jw_kcstr(w, "currency", currency);
	jw_kint(w, "amount", pi->state.amount);
	jw_kint(w, "amount_capturable", pi->state.amount_capturable);
	jw_kint(w, "amount_captured", pi->state.amount_received);
	jw_kint(w, "amount_refunded", pi->state.amount_refunded);
	object_kopt(w, "latest_charge", pi->latest_charge);
	object_kopt(w, "cancellation_reason", pi->cancellation_reason);
	jw_kint(w, "created", pi->created_us / US_PER_SECOND);
	jw_key(w, "metadata");
	jw_raw(w, pi->metadata);
	jw_obj_end(w);
	return true;
}

/* A capture has no row of its own: it is what the intent received, on its charge. */
static bool export_capture(void *arg, struct intent *pi)
{
	struct export *x = arg;
	struct jw *w = x->w;
	char currency[4];

	if (pi->state.amount_received == 0)
		return true;
	currency_lower(pi->state.currency, currency);
	sums_of(x, str_from(currency))->captures++;
	if (!w) {
		csv_row(x->csv,
			&(struct csv_row){"capture", STR_NULL, pi->id, pi->latest_charge, STR("succeeded"),
					  str_from(currency), pi->state.amount_received, -1, -1, -1, -1, STR_NULL});
		return !x->csv->failed;
	}
	jw_obj(w);
	jw_kstr(w, "charge", pi->latest_charge);
	jw_kstr(w, "payment_intent", pi->id);
	jw_kcstr(w, "currency", currency);
	jw_kint(w, "amount", pi->state.amount_received);
	jw_obj_end(w);
	return true;
}

static bool export_refund(void *arg, struct refund *r)
{
	struct export *x = arg;
	struct jw *w = x->w;
	struct sums *sums = sums_of(x, r->currency);

	sums->refunds++;
	if (str_eqc(r->status, "succeeded"))
		sums->refunds_succeeded += r->amount;
	else if (str_eqc(r->status, "pending"))
		sums->refunds_pending += r->amount;
	else
		sums->refunds_failed += r->amount;
	if (!w) {
		csv_row(x->csv, &(struct csv_row){"refund", r->id, r->payment_intent, r->charge, r->status, r->currency,
						  r->amount, -1, -1, -1, r->created_us, r->metadata});
		return !x->csv->failed;
	}
	jw_obj(w);
	jw_kstr(w, "id", r->id);
	jw_kstr(w, "payment_intent", r->payment_intent);
	jw_kstr(w, "charge", r->charge);
	jw_kstr(w, "status", r->status);
	jw_kstr(w, "currency", r->currency);
	jw_kint(w, "amount", r->amount);
	object_kopt(w, "reason", r->reason);
	object_kopt(w, "failure_reason", r->failure_reason);
	jw_kint(w, "created", r->created_us / US_PER_SECOND);
	jw_key(w, "metadata");
	jw_raw(w, r->metadata);
	jw_obj_end(w);
	return true;
}

static void json_sums(struct export *x)
{
	struct jw *w = x->w;

	jw_key(w, "sums");
	jw_obj(w);
	for (size_t i = 0; i < x->n_sums; i++) {
		const struct sums *s = &x->sums[i];

		jw_key(w, s->currency);
		jw_obj(w);
		jw_kint(w, "payment_intents", s->intents);
		jw_kint(w, "amount", s->amount);
		jw_kint(w, "amount_capturable", s->capturable);
		jw_kint(w, "captures", s->captures);
		jw_kint(w, "amount_captured", s->captured);
		jw_kint(w, "amount_refunded", s->refunded);
		jw_kint(w, "refunds", s->refunds);
		jw_kint(w, "refunds_succeeded", s->refunds_succeeded);
		jw_kint(w, "refunds_pending", s->refunds_pending);
		jw_kint(w, "refunds_failed", s->refunds_failed);
		jw_obj_end(w);
	}
	jw_obj_end(w);
}

static const struct page all = {.before_seq = INT64_MAX, .before_us = INT64_MAX, .limit = -1};

static bool export_csv(struct sim_call *c)
{
	struct export x = {.csv = &c->out};

	c->content_type = "text/csv; charset=utf-8; header=present";
	buf_adds(&c->out, "record,id,payment_intent,charge,status,currency,amount,amount_capturable,amount_captured,"
			  "amount_refunded,created,metadata\r\n");
	store_intent_list(c->sim->store, &all, export_intent, &x);
	store_intent_list(c->sim->store, &all, export_capture, &x);
	store_refund_list(c->sim->store, &all, export_refund, &x);
	for (size_t i = 0; i < x.n_sums; i++)
		csv_row(&c->out, &(struct csv_row){"sum", STR_NULL, STR_NULL, STR_NULL, STR_NULL,
						   str_from(x.sums[i].currency), x.sums[i].amount, x.sums[i].capturable,
						   x.sums[i].captured, x.sums[i].refunded, -1, STR_NULL});
	return !c->out.failed;
}

bool ledger_export(struct sim_call *c)
{
	const struct str *accept = http_req_header(c->req, "Accept");
	struct jw w;
	struct export x = {.w = &w};

	c->out.max = (size_t)1 << 30;
	if (accept && str_starts(*accept, STR("text/csv")))
		return export_csv(c);
	jw_init(&w, &c->out);
	jw_obj(&w);
	jw_kint(&w, "now", c->now_us / US_PER_SECOND);
	jw_key(&w, "payment_intents");
	jw_arr(&w);
	store_intent_list(c->sim->store, &all, export_intent, &x);
	jw_arr_end(&w);
	jw_key(&w, "captures");
	jw_arr(&w);
	store_intent_list(c->sim->store, &all, export_capture, &x);
	jw_arr_end(&w);
	jw_key(&w, "refunds");
	jw_arr(&w);
	store_refund_list(c->sim->store, &all, export_refund, &x);
	jw_arr_end(&w);
	json_sums(&x);
	jw_obj_end(&w);
	return jw_done(&w);
}

static bool pending_row(void *arg, struct sim_event *e, int64_t attempts, int64_t due_us)
{
	struct jw *w = arg;

	jw_obj(w);
	jw_kstr(w, "event", e->id);
	jw_kstr(w, "type", e->type);
	jw_kint(w, "attempts", attempts);
	jw_kint(w, "due", due_us / US_PER_SECOND);
	jw_obj_end(w);
	return true;
}

bool webhooks_pending(struct sim_call *c)
{
	struct jw w;

	jw_init(&w, &c->out);
	jw_obj(&w);
	jw_kint(&w, "now", c->now_us / US_PER_SECOND);
	jw_key(&w, "pending");
	jw_arr(&w);
	store_delivery_pending(c->sim->store, pending_row, &w);
	jw_arr_end(&w);
	jw_obj_end(&w);
	return jw_done(&w);
}

bool clock_advance(struct sim_call *c)
{
	struct error e = {0};
	JSON_AUTO json_t *body = json_read(c->req->body, 4, &e);
	struct json_in in;
	int64_t seconds;
	struct jw w;

	if (!body)
		return sim_wrong_json(c, &e);
	json_in_init(&in, body, "", &e);
	/* a clock only goes forward; ten years at a time */
	seconds = json_in_i64(&in, "seconds", JSON_REQUIRED, 0, INT64_C(315360000), 0);
	if (!json_in_end(&in))
		return sim_wrong_json(c, &e);
	if (c->sim->clock_offset_us > INT64_C(3153600000) * US_PER_SECOND)
		return refuse_invalid(&c->refusal, NULL, NULL, "/seconds: the clock is a century ahead already");
	c->sim->clock_offset_us += seconds * US_PER_SECOND;
	store_set_setting(c->sim->store, "clock_offset_us", c->sim->clock_offset_us);
	while (sim_janitor(c->sim))
		;
	jw_init(&w, &c->out);
	jw_obj(&w);
	jw_kint(&w, "now", sim_now_us(c->sim) / US_PER_SECOND);
	jw_obj_end(&w);
	return jw_done(&w);
}
