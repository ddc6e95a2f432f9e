/*
 * Payment intents: each handler reads its parameters, loads the intent, asks the rules, writes what came out and the
 * events of it. A refusal decided by the ledger is part of the kept answer, one by the parameters is not (sim.h).
 */
#include "paysim/sim.h"

#include "base/times.h"

#include <ctype.h>
#include <string.h>

static const char *const expandable[] = {"latest_charge", "payment_method", NULL};
enum { EXPAND_CHARGE = 1, EXPAND_METHOD = 2 };

/* What confirming is given. */
struct confirmation {
	struct str method, return_url;
	bool off_session, error_on_action;
};

static void write_intent(struct sim_call *c, struct jw *w, const struct intent *pi, unsigned expand)
{
	struct expanded x = {0};
	struct charge charge;
	struct method method;

	if (expand & EXPAND_CHARGE && pi->latest_charge.p &&
	    store_charge_get(c->sim->store, c->arena, pi->latest_charge, &charge))
		x.charge = &charge;
	if (expand & EXPAND_METHOD && pi->payment_method.p &&
	    store_method_get(c->sim->store, c->arena, pi->payment_method, &method))
		x.method = &method;
	object_intent(w, pi, c->sim->base_url, &x);
}

static bool answer_intent(struct sim_call *c, const struct intent *pi, unsigned expand)
{
	struct jw w;

	jw_init(&w, &c->out);
	write_intent(c, &w, pi, expand);
	return jw_done(&w);
}

bool intent_load(struct sim_call *c, struct str id, struct intent *ret)
{
	if (!store_intent_get(c->sim->store, c->arena, id, ret))
		return refuse_missing(c, "payment_intent", id, "intent");
	return true;
}

/* A refusal that shows the intent as it is now. */
static bool refused(struct sim_call *c, const struct intent *pi)
{
	struct intent *copy = arena_memdup(c->arena, pi, sizeof(*pi));

	c->refused_intent = copy;
	return false;
}

/* pm_card_visa gives a payment method of its own each time, as with the gateway; a known id is used again. */
static bool method_use(struct sim_call *c, struct str name, struct method *ret)
{
	const struct card *card = card_find(name);

	if (card) {
		*ret = (struct method){sim_id(c->arena, "pm_"), c->now_us, card->name};
		store_method_insert(c->sim->store, ret);
		return true;
	}
	if (store_method_get(c->sim->store, c->arena, name, ret))
		return true;
	return refuse_invalid(&c->refusal, "resource_missing", "payment_method", "No such PaymentMethod: '%.*s'",
			      name.n > 100 ? 100 : (int)name.n, name.p);
}

static void charge_record(struct sim_call *c, struct intent *pi, const struct method *m, const struct card *declined_by,
			  bool challenged, struct charge *ret)
{
	*ret = (struct charge){
		.id = sim_id(c->arena, "ch_"),
		.created_us = c->now_us,
		.payment_intent = pi->id,
		.amount = pi->state.amount,
		.payment_method = m->id,
		.card = m->card,
		.challenged = challenged,
	};
	if (declined_by) {
		ret->failure_code = str_from(declined_by->code);
		ret->decline_code = str_from(declined_by->decline_code);
		ret->failure_message = str_from(declined_by->message);
	}
	store_charge_insert(c->sim->store, ret);
	pi->latest_charge = ret->id;
}

static struct str error_json(struct sim_call *c, const struct refusal *r, struct str charge, const struct method *m)
{
	struct buf b;
	struct jw w;
	struct str text;

	buf_init(&b, SIM_OBJECT_MAX);
	jw_init(&w, &b);
	jw_obj(&w);
	object_error_members(&w, r, charge, m);
	jw_obj_end(&w);
	jw_done(&w);
	text = arena_str(c->arena, buf_str(&b));
	buf_done(&b);
	return text;
}

static void declined(struct sim_call *c, struct intent *pi, const struct method *m, const struct card *by,
		     bool challenged)
{
	struct event_source from = call_source(c);
	struct charge charge;

	intent_move(&pi->state, EV_DECLINED, 0);
	charge_record(c, pi, m, by, challenged, &charge);
	card_refuse(by, &c->refusal);
	pi->last_payment_error = error_json(c, &c->refusal, charge.id, m);
	pi->payment_method = STR_NULL;
	c->refused_charge = charge.id;
	c->refused_method = arena_memdup(c->arena, m, sizeof(*m));
	sim_emit(&from, "charge.failed", charge_json(c->arena, &charge, pi));
	sim_emit(&from, "payment_intent.payment_failed", intent_json(c->sim, c->arena, pi));
}

static void approved(struct sim_call *c, struct intent *pi, const struct method *m, enum intent_event event,
		     bool challenged)
{
	struct event_source from = call_source(c);
	struct charge charge;

	intent_move(&pi->state, event, 0);
	charge_record(c, pi, m, NULL, challenged, &charge);
	pi->payment_method = m->id;
	pi->authorised_us = c->now_us;
	pi->last_payment_error = STR_NULL;
	sim_emit(&from, "charge.succeeded", charge_json(c->arena, &charge, pi));
	sim_emit(&from, event == EV_PAID ? "payment_intent.succeeded" : "payment_intent.amount_capturable_updated",
		 intent_json(c->sim, c->arena, pi));
	if (event == EV_PAID)
		later_after_payment(&from, &charge);
}

/* One try with a method. The caller stores the intent. false: refused, c->refusal and what it shows are set. */
static bool attempt(struct sim_call *c, struct intent *pi, const struct method *m, const struct confirmation *how)
{
	const struct card *card = card_find(m->card);
	bool switched = c->fault && c->fault->mode == FAULT_DECLINE;
	struct event_source from = call_source(c);
	enum intent_event event;

	if (switched || !card)
		card = &card_generic_decline;
	event = intent_attempt(&pi->state, card, false, how->off_session);
	if (event == EV_CHALLENGED && (how->off_session || how->error_on_action)) {
		card = &card_authentication_required;
		event = EV_DECLINED;
	}
	if (event == EV_DECLINED) {
		declined(c, pi, m, card, false);
		return false;
	}
	if (event == EV_CHALLENGED) {
		intent_move(&pi->state, EV_CHALLENGED, 0);
		pi->payment_method = m->id;
		pi->return_url = how->return_url;
		pi->action_key = sim_secret(c->arena);
		pi->last_payment_error = STR_NULL;
		sim_emit(&from, "payment_intent.requires_action", intent_json(c->sim, c->arena, pi));
		return true;
	}
	approved(c, pi, m, event, false);
	return true;
}

void intent_challenge_passed(struct sim_call *c, struct intent *pi)
{
	struct method m = {0};
	const struct card *card;
	enum intent_event event;

	if (!store_method_get(c->sim->store, c->arena, pi->payment_method, &m))
		return;
	card = card_find(m.card);
	if (!card)
		card = &card_generic_decline;
	event = intent_attempt(&pi->state, card, true, false);
	if (event == EV_DECLINED)
		declined(c, pi, &m, card, true);
	else
		approved(c, pi, &m, event, true);
	store_intent_update(c->sim->store, pi);
}

void intent_challenge_failed(struct sim_call *c, struct intent *pi)
{
	struct event_source from = call_source(c);
	struct refusal r = {0};
	struct method m;
	bool known = store_method_get(c->sim->store, c->arena, pi->payment_method, &m);

	refuse_invalid(
		&r, "payment_intent_authentication_failure", NULL,
		"The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new "
		"PaymentMethod to attempt to fulfill this PaymentIntent again.");
	intent_move(&pi->state, EV_CHALLENGE_FAILED, 0);
	pi->last_payment_error = error_json(c, &r, STR_NULL, known ? &m : NULL);
	pi->payment_method = STR_NULL;
	store_intent_update(c->sim->store, pi);
	sim_emit(&from, "payment_intent.payment_failed", intent_json(c->sim, c->arena, pi));
}

static bool return_url(struct sim_call *c, struct str *ret)
{
	if (!param_str(c, "return_url", false, 2048, ret))
		return false;
	if (!ret->p)
		return true;
	if (!str_starts(*ret, STR("https://")) && !str_starts(*ret, STR("http://")))
		return refuse_invalid(&c->refusal, "url_invalid", "return_url", "Not a valid URL");
	/* it becomes a header: printable ASCII only */
	for (size_t i = 0; i < ret->n; i++)
		if (ret->p[i] <= ' ' || ret->p[i] > '~')
			return refuse_invalid(&c->refusal, "url_invalid", "return_url", "Not a valid URL");
	return true;
}

static bool no_personal_data(struct sim_call *c)
{
	if (form_get(&c->form, "receipt_email"))
		return refuse_invalid(&c->refusal, "parameter_unknown", "receipt_email",
				      "The simulator refuses receipt_email: no personal data belongs in its ledger.");
	return true;
}

static bool read_confirmation(struct sim_call *c, struct confirmation *ret)
{
	bool sdk;

	return param_str(c, "payment_method", false, 100, &ret->method) && return_url(c, &ret->return_url) &&
	       param_bool(c, "off_session", &ret->off_session) &&
	       param_bool(c, "error_on_requires_action", &ret->error_on_action) &&
	       param_bool(c, "use_stripe_sdk", &sdk);
}

/* Cards only, or automatic methods with or without redirects: *ret_redirects as in struct intent. */
static bool read_method_types(struct sim_call *c, struct str *ret_redirects)
{
	const struct form_item *it, *enabled = form_get_in(&c->form, "automatic_payment_methods", "enabled");
	const struct form_item *redirects = form_get_in(&c->form, "automatic_payment_methods", "allow_redirects");
	size_t pos = 0;
	bool types = false;

	while ((it = form_each(&c->form, "payment_method_types", &pos))) {
		types = true;
		if (!str_eqc(it->value, "card"))
			return refuse_invalid(
				&c->refusal, "payment_method_unactivated", "payment_method_types",
				"The payment method type \"%.*s\" is invalid: the simulator has cards only.",
				it->value.n > 64 ? 64 : (int)it->value.n, it->value.p);
	}
	if (enabled && !str_eqc(enabled->value, "true") && !str_eqc(enabled->value, "false"))
		return refuse_invalid(&c->refusal, "parameter_invalid_boolean", "automatic_payment_methods[enabled]",
				      "Invalid boolean");
	if (redirects && !str_eqc(redirects->value, "always") && !str_eqc(redirects->value, "never"))
		return refuse_invalid(&c->refusal, "parameter_invalid_enum",
				      "automatic_payment_methods[allow_redirects]",
				      "Invalid allow_redirects: must be one of always, never");
	if (types && enabled && str_eqc(enabled->value, "true"))
		return refuse_invalid(&c->refusal, NULL, "payment_method_types",
				      "You may only specify one of these parameters: automatic_payment_methods, "
				      "payment_method_types.");
	*ret_redirects = types || (enabled && str_eqc(enabled->value, "false"))
				 ? STR_NULL
				 : str_from(redirects && str_eqc(redirects->value, "never") ? "never" : "always");
	return true;
}

static bool read_currency(struct sim_call *c, const struct currency **ret)
{
	struct str text;
	char upper[4] = {0};

	if (!param_str(c, "currency", true, 100, &text))
		return false;
	for (size_t i = 0; i < text.n && i < 3; i++)
		upper[i] = (char)toupper((unsigned char)text.p[i]);
	*ret = text.n == 3 ? currency_find(str_from(upper)) : NULL;
	if (!*ret)
		return refuse_invalid(
			&c->refusal, NULL, "currency",
			"Invalid currency: %.*s. The simulator supports the currencies of its table only.",
			text.n > 64 ? 64 : (int)text.n, text.p);
	return true;
}

/* The gateway wants to know where to send the payer back when a method may redirect. */
static bool wants_return_url(struct sim_call *c, struct str redirects, const struct confirmation *how)
{
	if (str_eqc(redirects, "always") && !how->return_url.p)
		return refuse_invalid(
			&c->refusal, NULL, "return_url",
			"This PaymentIntent accepts payment methods that might redirect the payer: provide a "
			"return_url, or create it with payment_method_types[]=card or "
			"automatic_payment_methods[allow_redirects]=never.");
	return true;
}

static bool no_method(struct sim_call *c, const struct intent *pi)
{
	refuse_invalid(
		&c->refusal, "payment_intent_unexpected_state", NULL,
		"You cannot confirm this PaymentIntent because it's missing a payment method. You can either update "
		"the PaymentIntent with a payment method and then confirm it again, or confirm it again directly with "
		"a payment method.");
	c->refusal.with_intent = true;
	return refused(c, pi);
}

bool api_intent_create(struct sim_call *c)
{
	static const char *const captures[] = {"automatic", "automatic_async", "manual", NULL};
	static const char *const confirmations[] = {"automatic", NULL};
	struct intent pi = {.metadata = STR_NULL};
	struct confirmation how;
	struct str capture, confirmation_method;
	struct event_source from;
	struct method m = {0};
	unsigned expand;
	bool confirm, ok = true;

	if (!param_int(c, "amount", true, -1, &pi.state.amount) || !read_currency(c, &pi.state.currency) ||
	    !rules_amount(pi.state.amount, pi.state.currency, &c->refusal) ||
	    !param_choice(c, "capture_method", captures, &capture) ||
	    !param_choice(c, "confirmation_method", confirmations, &confirmation_method) ||
	    !param_bool(c, "confirm", &confirm) || !read_confirmation(c, &how) ||
	    !read_method_types(c, &pi.redirects) || !param_str(c, "description", false, 1000, &pi.description) ||
	    !param_metadata(c, &pi.metadata) || !no_personal_data(c) || !param_expand(c, expandable, false, &expand))
		return false;
	if (!confirm && (how.return_url.p || how.off_session || how.error_on_action))
		return refuse_invalid(&c->refusal, NULL, how.return_url.p ? "return_url" : "confirm",
				      "return_url, off_session and error_on_requires_action can only be used with "
				      "confirm=true.");
	if (confirm && !how.method.p)
		return refuse_invalid(&c->refusal, "parameter_missing", "payment_method",
				      "You must provide a payment method when confirm=true.");
	if ((confirm && !wants_return_url(c, pi.redirects, &how)) || !params_end(c))
		return false;
	if (how.method.p && !method_use(c, how.method, &m))
		return false;

	from = call_source(c);
	pi.id = sim_id(c->arena, "pi_");
	pi.client_secret = arena_str(c->arena, str_from(arena_printf(c->arena, "%.*s_secret_%.*s", STR_FMT(pi.id),
								     STR_FMT(sim_secret(c->arena)))));
	pi.created_us = c->now_us;
	pi.state.manual_capture = str_eqc(capture, "manual");
	pi.state.status = INTENT_REQUIRES_PAYMENT_METHOD;
	if (how.method.p) {
		intent_move(&pi.state, EV_METHOD, 0);
		pi.payment_method = m.id;
	}
	sim_emit(&from, "payment_intent.created", intent_json(c->sim, c->arena, &pi));
	if (confirm)
		ok = attempt(c, &pi, &m, &how);
	store_intent_insert(c->sim->store, &pi);
	return ok ? answer_intent(c, &pi, expand) : refused(c, &pi);
}

bool api_intent_update(struct sim_call *c)
{
	struct intent pi;
	struct str description, no_metadata = STR_NULL;
	unsigned expand;

	/* checked against the parameters alone first, so that what is malformed is not kept */
	if (!param_str(c, "description", false, 1000, &description) || !param_metadata(c, &no_metadata) ||
	    !no_personal_data(c) || !param_expand(c, expandable, false, &expand) || !params_end(c) ||
	    !intent_load(c, c->id, &pi) || !param_metadata(c, &pi.metadata))
		return false;
	if (description.p)
		pi.description = description;
	store_intent_update(c->sim->store, &pi);
	return answer_intent(c, &pi, expand);
}

bool api_intent_confirm(struct sim_call *c)
{
	struct intent pi;
	struct confirmation how;
	struct method m;
	unsigned expand;
	bool ok;

	if (!read_confirmation(c, &how) || !no_personal_data(c) || !param_expand(c, expandable, false, &expand) ||
	    !params_end(c) || !intent_load(c, c->id, &pi))
		return false;
	if (!rules_allows(&pi.state, OP_CONFIRM, &c->refusal))
		return refused(c, &pi);
	if (!how.method.p && !pi.payment_method.p)
		return no_method(c, &pi);
	if (!wants_return_url(c, pi.redirects, &how) ||
	    !method_use(c, how.method.p ? how.method : pi.payment_method, &m))
		return refused(c, &pi);
	ok = attempt(c, &pi, &m, &how);
	store_intent_update(c->sim->store, &pi);
	return ok ? answer_intent(c, &pi, expand) : refused(c, &pi);
}

bool api_intent_capture(struct sim_call *c)
{
	struct event_source from = call_source(c);
	struct str no_metadata = STR_NULL;
	struct intent pi;
	struct charge charge;
	const struct card *card;
	int64_t want, amount;
	unsigned expand;

	if (!param_int(c, "amount_to_capture", false, -1, &want) || !param_metadata(c, &no_metadata) ||
	    !param_expand(c, expandable, false, &expand) || !params_end(c) || !intent_load(c, c->id, &pi) ||
	    !param_metadata(c, &pi.metadata))
		return false;
	if (!rules_allows(&pi.state, OP_CAPTURE, &c->refusal) ||
	    !rules_capture_amount(&pi.state, want, &amount, &c->refusal) ||
	    !store_charge_get(c->sim->store, c->arena, pi.latest_charge, &charge))
		return refused(c, &pi);
	card = card_find(charge.card);
	if ((card && card->capture_fails) || (c->fault && c->fault->mode == FAULT_DECLINE)) {
		card_refuse(&card_generic_decline, &c->refusal);
		c->refused_charge = charge.id;
		return refused(c, &pi);
	}
	intent_move(&pi.state, EV_CAPTURED, amount);
	store_intent_update(c->sim->store, &pi);
	sim_emit(&from, "charge.captured", charge_json(c->arena, &charge, &pi));
	sim_emit(&from, "payment_intent.succeeded", intent_json(c->sim, c->arena, &pi));
	later_after_payment(&from, &charge);
	return answer_intent(c, &pi, expand);
}

bool api_intent_cancel(struct sim_call *c)
{
	static const char *const reasons[] = {"duplicate", "fraudulent", "requested_by_customer", "abandoned", NULL};
	struct event_source from = call_source(c);
	struct intent pi;
	struct charge charge;
	struct str reason;
	unsigned expand;
	bool held;

	if (!param_choice(c, "cancellation_reason", reasons, &reason) || !param_expand(c, expandable, false, &expand) ||
	    !params_end(c) || !intent_load(c, c->id, &pi))
		return false;
	if (!rules_allows(&pi.state, OP_CANCEL, &c->refusal))
		return refused(c, &pi);
	held = pi.state.status == INTENT_REQUIRES_CAPTURE;
	intent_move(&pi.state, EV_CANCELED, 0);
	pi.cancellation_reason = reason;
	pi.canceled_us = c->now_us;
	store_intent_update(c->sim->store, &pi);
	if (held && store_charge_get(c->sim->store, c->arena, pi.latest_charge, &charge))
		sim_emit(&from, "charge.refunded", charge_json(c->arena, &charge, &pi));
	sim_emit(&from, "payment_intent.canceled", intent_json(c->sim, c->arena, &pi));
	return answer_intent(c, &pi, expand);
}

void intent_expire(struct sim *sim, struct arena *a, struct intent *pi)
{
	struct event_source from = {sim, a, sim_now_us(sim), STR_NULL, STR_NULL};
	struct charge charge;

	intent_move(&pi->state, EV_EXPIRED, 0);
	pi->cancellation_reason = STR("automatic");
	pi->canceled_us = from.now_us;
	store_intent_update(sim->store, pi);
	if (store_charge_get(sim->store, a, pi->latest_charge, &charge))
		sim_emit(&from, "charge.expired", charge_json(a, &charge, pi));
	sim_emit(&from, "payment_intent.canceled", intent_json(sim, a, pi));
}

bool api_intent_get(struct sim_call *c)
{
	struct intent pi;
	struct str client_secret;
	unsigned expand;

	if (!param_str(c, "client_secret", false, 200, &client_secret) ||
	    !param_expand(c, expandable, false, &expand) || !params_end(c) || !intent_load(c, c->id, &pi))
		return false;
	if (client_secret.p && !str_eq(client_secret, pi.client_secret))
		return refuse_invalid(&c->refusal, "payment_intent_invalid_parameter", "client_secret",
				      "The client_secret provided does not match the client_secret associated with the "
				      "PaymentIntent.");
	return answer_intent(c, &pi, expand);
}

struct walk {
	struct sim_call *c;
	struct jw *w;
	int64_t left;
	unsigned expand;
	bool more;
};

static bool list_row(void *arg, struct intent *pi)
{
	struct walk *walk = arg;

	if (walk->left-- == 0) {
		walk->more = true;
		return false;
	}
	write_intent(walk->c, walk->w, pi, walk->expand);
	return true;
}

bool api_intent_list(struct sim_call *c)
{
	struct walk walk = {.c = c};
	struct page page;
	struct str after;
	struct intent pi;
	struct jw w;

	if (!param_page(c, &page, &after) || !param_expand(c, expandable, true, &walk.expand) || !params_end(c))
		return false;
	if (after.p) {
		if (!store_intent_get(c->sim->store, c->arena, after, &pi))
			return refuse_invalid(&c->refusal, "resource_missing", "starting_after",
					      "No such payment_intent: '%.*s'", STR_FMT(after));
		page.before_seq = pi.seq;
	}
	walk.left = page.limit++;
	walk.w = &w;
	jw_init(&w, &c->out);
	jw_obj(&w);
	jw_kcstr(&w, "object", "list");
	jw_key(&w, "data");
	jw_arr(&w);
	store_intent_list(c->sim->store, &page, list_row, &walk);
	jw_arr_end(&w);
	jw_kbool(&w, "has_more", walk.more);
	jw_kcstr(&w, "url", "/v1/payment_intents");
	jw_obj_end(&w);
	return jw_done(&w);
}
