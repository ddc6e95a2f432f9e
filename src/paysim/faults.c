/*
 * The simulator's own endpoints under /_sim: fault switches (in memory: a restart clears them), the ledger as JSON, the
 * clock. JSON in and out, unlike the gateway's part.
 */
#include "paysim/sim.h"

#include "base/times.h"
#include "base/xmalloc.h"

#include <stdlib.h>

static const char *const op_names[] = {
	[SIM_CREATE] = "create", [SIM_CONFIRM] = "confirm",   [SIM_CAPTURE] = "capture", [SIM_CANCEL] = "cancel",
	[SIM_REFUND] = "refund", [SIM_RETRIEVE] = "retrieve", [SIM_ANY] = "any",	 [SIM_WEBHOOK] = "webhook",
};
static const char *const mode_names[FAULT_MODES] = {
	[FAULT_DROP_BEFORE] = "drop_before",
	[FAULT_DROP_AFTER] = "drop_after",
	[FAULT_500_BEFORE] = "500_before",
	[FAULT_500_AFTER] = "500_after",
	[FAULT_DELAY] = "delay",
	[FAULT_HANG] = "hang",
	[FAULT_HANG_AFTER] = "hang_after",
	[FAULT_429] = "429",
	[FAULT_DECLINE] = "decline",
	[FAULT_TWICE] = "twice",
};
enum { FAULTS_MAX = 100 };

static int name_index(const char *const *names, size_t n, struct str name)
{
	for (size_t i = 0; i < n; i++)
		if (names[i] && str_eqc(name, names[i]))
			return (int)i;
	return -1;
}

bool fault_take(struct sim *sim, enum sim_op op, bool replay, struct fault *ret)
{
	if (op == SIM_OP_NONE)
		return false;
	list_for_each(pos, tmp, &sim->faults) {
		struct fault *f = list_entry(pos, struct fault, link);

		if ((f->match != op && (f->match != SIM_ANY || op == SIM_WEBHOOK)) || f->times_left == 0)
			continue;
		/* an answer that is kept is not made again: the switch waits for one that is */
		if (replay && (f->mode == FAULT_500_BEFORE || f->mode == FAULT_500_AFTER || f->mode == FAULT_DECLINE))
			continue;
		if (f->mode == FAULT_DECLINE && op != SIM_CREATE && op != SIM_CONFIRM && op != SIM_CAPTURE &&
		    op != SIM_REFUND)
			continue;
		f->times_left--;
		f->hits++;
		*ret = *f;
		return true;
	}
	return false;
}

static void drop_all(struct sim *sim)
{
	list_for_each(pos, tmp, &sim->faults) {
		list_remove(pos);
		free(list_entry(pos, struct fault, link));
	}
}

void faults_free(struct sim *sim)
{
	drop_all(sim);
}

bool faults_list(struct sim_call *c)
{
	struct jw w;

	jw_init(&w, &c->out);
	jw_obj(&w);
	jw_key(&w, "faults");
	jw_arr(&w);
	list_for_each(pos, tmp, &c->sim->faults) {
		const struct fault *f = list_entry(pos, struct fault, link);

		jw_obj(&w);
		jw_kcstr(&w, "match", op_names[f->match]);
		jw_kcstr(&w, "mode", mode_names[f->mode]);
		jw_kint(&w, "times_left", f->times_left);
		jw_kint(&w, "hits", f->hits);
		jw_kint(&w, "ms", f->ms);
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	jw_kint(&w, "held", !list_empty(&c->sim->held));
	jw_obj_end(&w);
	return jw_done(&w);
}

static bool wrong_json(struct sim_call *c, const struct error *e)
{
	return refuse_invalid(&c->refusal, NULL, NULL, "%s: %s", e->path[0] ? e->path : "/", e->detail);
}

bool faults_add(struct sim_call *c)
{
	struct error e = {0};
	JSON_AUTO json_t *body = json_read(c->req->body, 4, &e);
	struct json_in in;
	struct fault *f;
	size_t n = 0;
	int op, mode;
	int64_t times, ms;
	struct str match, mode_name;

	if (!body)
		return wrong_json(c, &e);
	json_in_init(&in, body, "", &e);
	match = json_in_str(&in, "match", JSON_REQUIRED, 1, 40);
	mode_name = json_in_str(&in, "mode", JSON_REQUIRED, 1, 40);
	times = json_in_i64(&in, "times", JSON_OPTIONAL, 1, 1000000000, 1);
	ms = json_in_i64(&in, "ms", JSON_OPTIONAL, 0, 3600000, 0);
	op = name_index(op_names, sizeof(op_names) / sizeof(op_names[0]), match);
	mode = name_index(mode_names, FAULT_MODES, mode_name);
	if (op < 0)
		json_in_fault(&in, ERR_INVALID_VALUE, "match",
			      "one of create, confirm, capture, cancel, refund, retrieve, webhook, any");
	if (mode < 0)
		json_in_fault(
			&in, ERR_INVALID_VALUE, "mode",
			"one of drop_before, drop_after, 500_before, 500_after, delay, hang, hang_after, 429, decline");
	if (!json_in_end(&in))
		return wrong_json(c, &e);
	if (mode == FAULT_DECLINE && (op == SIM_CANCEL || op == SIM_RETRIEVE))
		return refuse_invalid(&c->refusal, NULL, NULL, "/mode: nothing is declined there");
	if (mode == FAULT_TWICE && op != SIM_WEBHOOK)
		return refuse_invalid(&c->refusal, NULL, NULL, "/mode: only webhooks come twice");
	if (op == SIM_WEBHOOK && mode != FAULT_DROP_BEFORE && mode != FAULT_DELAY && mode != FAULT_TWICE)
		return refuse_invalid(&c->refusal, NULL, NULL, "/mode: a webhook has drop_before, delay and twice");
	list_for_each(pos, tmp, &c->sim->faults) {
		struct fault *old = list_entry(pos, struct fault, link);

		n++;
		if (old->times_left == 0 && n > FAULTS_MAX / 2) {
			list_remove(pos);
			free(old);
			n--;
		}
	}
	if (n >= FAULTS_MAX)
		return refuse_invalid(&c->refusal, NULL, NULL,
				      "There are too many fault switches: DELETE /_sim/faults first.");
	f = xcalloc(1, sizeof(*f));
	f->match = (enum sim_op)op;
	f->mode = (enum fault_mode)mode;
	f->times_left = times;
	f->ms = ms;
	list_append(&c->sim->faults, &f->link);
	return faults_list(c);
}

bool faults_clear(struct sim_call *c)
{
	drop_all(c->sim);
	sim_release_held(c->sim, true);
	return faults_list(c);
}

static bool ledger_intent(void *arg, struct intent *pi)
{
	struct jw *w = arg;
	char currency[4];

	currency_lower(pi->state.currency, currency);
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

static bool ledger_refund(void *arg, struct refund *r)
{
	struct jw *w = arg;

	jw_obj(w);
	jw_kstr(w, "id", r->id);
	jw_kstr(w, "payment_intent", r->payment_intent);
	jw_kstr(w, "charge", r->charge);
	jw_kstr(w, "status", r->status);
	jw_kstr(w, "currency", r->currency);
	jw_kint(w, "amount", r->amount);
	object_kopt(w, "reason", r->reason);
	jw_kint(w, "created", r->created_us / US_PER_SECOND);
	jw_key(w, "metadata");
	jw_raw(w, r->metadata);
	jw_obj_end(w);
	return true;
}

bool ledger_export(struct sim_call *c)
{
	const struct page all = {.before_seq = INT64_MAX, .before_us = INT64_MAX, .limit = -1};
	struct jw w;

	c->out.max = (size_t)1 << 30;
	jw_init(&w, &c->out);
	jw_obj(&w);
	jw_kint(&w, "now", c->now_us / US_PER_SECOND);
	jw_key(&w, "payment_intents");
	jw_arr(&w);
	store_intent_list(c->sim->store, &all, ledger_intent, &w);
	jw_arr_end(&w);
	jw_key(&w, "refunds");
	jw_arr(&w);
	store_refund_list(c->sim->store, &all, ledger_refund, &w);
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
		return wrong_json(c, &e);
	json_in_init(&in, body, "", &e);
	/* a clock only goes forward; ten years at a time */
	seconds = json_in_i64(&in, "seconds", JSON_REQUIRED, 0, INT64_C(315360000), 0);
	if (!json_in_end(&in))
		return wrong_json(c, &e);
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
