/* See objects.h. Members stand in alphabetical order after id and object, as the gateway writes them. */
#include "paysim/objects.h"

#include "base/times.h"

#include <ctype.h>

void object_kopt(struct jw *w, const char *key, struct str v)
{
	jw_key(w, key);
	if (v.p)
		jw_str(w, v);
	else
		jw_null(w);
}

static void nulls(struct jw *w, const char *const *names)
{
	for (; *names; names++) {
		jw_key(w, *names);
		jw_null(w);
	}
}
#define NULLS(w, ...) nulls((w), (const char *const[]){__VA_ARGS__, NULL})

static void empty_object(struct jw *w, const char *key)
{
	jw_key(w, key);
	jw_obj(w);
	jw_obj_end(w);
}

static void kseconds(struct jw *w, const char *key, int64_t us)
{
	jw_key(w, key);
	if (us)
		jw_int(w, us / US_PER_SECOND);
	else
		jw_null(w);
}

static void kraw(struct jw *w, const char *key, struct str json)
{
	jw_key(w, key);
	if (json.p)
		jw_raw(w, json);
	else
		jw_null(w);
}

void currency_lower(const struct currency *currency, char out[4])
{
	for (int i = 0; i < 3; i++)
		out[i] = (char)tolower((unsigned char)currency->code[i]);
	out[3] = '\0';
}

static void kcurrency(struct jw *w, const struct currency *currency)
{
	char text[4];

	currency_lower(currency, text);
	jw_kcstr(w, "currency", text);
}

static void next_action(struct jw *w, const struct intent *pi, const char *base_url)
{
	struct buf url;

	jw_key(w, "next_action");
	if (pi->state.status != INTENT_REQUIRES_ACTION) {
		jw_null(w);
		return;
	}
	buf_init(&url, 4096);
	buf_addf(&url, "%s/3ds/%.*s?key=%.*s", base_url, STR_FMT(pi->id), STR_FMT(pi->action_key));
	jw_obj(w);
	jw_key(w, "redirect_to_url");
	jw_obj(w);
	object_kopt(w, "return_url", pi->return_url);
	jw_kstr(w, "url", buf_str(&url));
	jw_obj_end(w);
	jw_kcstr(w, "type", "redirect_to_url");
	jw_obj_end(w);
	buf_done(&url);
}

void object_intent(struct jw *w, const struct intent *pi, const char *base_url, const struct expanded *x)
{
	jw_obj(w);
	jw_kstr(w, "id", pi->id);
	jw_kcstr(w, "object", "payment_intent");
	jw_kint(w, "amount", pi->state.amount);
	jw_kint(w, "amount_capturable", pi->state.amount_capturable);
	jw_key(w, "amount_details");
	jw_obj(w);
	empty_object(w, "tip");
	jw_obj_end(w);
	jw_kint(w, "amount_received", pi->state.amount_received);
	NULLS(w, "application", "application_fee_amount");
	jw_key(w, "automatic_payment_methods");
	if (pi->redirects.p) {
		jw_obj(w);
		jw_kstr(w, "allow_redirects", pi->redirects);
		jw_kbool(w, "enabled", true);
		jw_obj_end(w);
	} else {
		jw_null(w);
	}
	kseconds(w, "canceled_at", pi->canceled_us);
	object_kopt(w, "cancellation_reason", pi->cancellation_reason);
	jw_kcstr(w, "capture_method", pi->state.manual_capture ? "manual" : "automatic");
	jw_kstr(w, "client_secret", pi->client_secret);
	jw_kcstr(w, "confirmation_method", "automatic");
	kseconds(w, "created", pi->created_us);
	kcurrency(w, pi->state.currency);
	NULLS(w, "customer");
	object_kopt(w, "description", pi->description);
	kraw(w, "last_payment_error", pi->last_payment_error);
	if (x && x->charge) {
		jw_key(w, "latest_charge");
		object_charge(w, x->charge, pi);
	} else {
		object_kopt(w, "latest_charge", pi->latest_charge);
	}
	jw_kbool(w, "livemode", false);
	kraw(w, "metadata", pi->metadata);
	next_action(w, pi, base_url);
	NULLS(w, "on_behalf_of");
	if (x && x->method) {
		jw_key(w, "payment_method");
		object_method(w, x->method);
	} else {
		object_kopt(w, "payment_method", pi->payment_method);
	}
	NULLS(w, "payment_method_configuration_details");
	jw_key(w, "payment_method_options");
	jw_obj(w);
	jw_key(w, "card");
	jw_obj(w);
	NULLS(w, "installments", "mandate_options", "network");
	jw_kcstr(w, "request_three_d_secure", "automatic");
	jw_obj_end(w);
	jw_obj_end(w);
	jw_key(w, "payment_method_types");
	jw_arr(w);
	jw_cstr(w, "card");
	jw_arr_end(w);
	NULLS(w, "processing", "receipt_email", "review", "setup_future_usage", "shipping", "statement_descriptor",
	      "statement_descriptor_suffix");
	jw_kcstr(w, "status", intent_status_name(pi->state.status));
	NULLS(w, "transfer_data", "transfer_group");
	jw_obj_end(w);
}

static void billing_details(struct jw *w)
{
	jw_key(w, "billing_details");
	jw_obj(w);
	jw_key(w, "address");
	jw_obj(w);
	NULLS(w, "city", "country", "line1", "line2", "postal_code", "state");
	jw_obj_end(w);
	NULLS(w, "email", "name", "phone", "tax_id");
	jw_obj_end(w);
}

static void kcheck(struct jw *w, const char *key, const char *result)
{
	jw_key(w, key);
	if (result)
		jw_cstr(w, result);
	else
		jw_null(w);
}

static void card_members(struct jw *w, const struct card *card)
{
	char fingerprint[CARD_FINGERPRINT_TEXT];

	card_fingerprint(card, fingerprint);
	jw_kcstr(w, "brand", card->brand);
	jw_key(w, "checks");
	jw_obj(w);
	kcheck(w, "address_line1_check", card->line1);
	kcheck(w, "address_postal_code_check", card->postal_code);
	kcheck(w, "cvc_check", card->cvc ? card->cvc : "pass");
	jw_obj_end(w);
	jw_kcstr(w, "country", card->country);
	jw_kint(w, "exp_month", 12);
	jw_kint(w, "exp_year", 2034);
	jw_kcstr(w, "fingerprint", fingerprint);
	jw_kcstr(w, "funding", card->funding);
	jw_kcstr(w, "last4", card_last4(card));
	NULLS(w, "wallet");
}

/* Cards leave the table only with a new version of the ledger. */
static const struct card *card_of(struct str name)
{
	const struct card *card = card_find(name);

	return card ? card : &card_generic_decline;
}

static void outcome(struct jw *w, const struct charge *c, const struct card *card)
{
	static const struct {
		const char *level;
		int score;
	} risks[] = {[CARD_RISK_NORMAL] = {"normal", 20},
		     [CARD_RISK_ELEVATED] = {"elevated", 70},
		     [CARD_RISK_HIGHEST] = {"highest", 90}};
	bool ok = !c->failure_code.p, blocked = !ok && card->blocked;

	jw_key(w, "outcome");
	jw_obj(w);
	NULLS(w, "advice_code", "network_advice_code", "network_decline_code");
	jw_kcstr(w, "network_status",
		 ok	   ? "approved_by_network"
		 : blocked ? "not_sent_to_network"
			   : "declined_by_network");
	if (blocked)
		jw_kcstr(w, "reason", "highest_risk_level");
	else
		object_kopt(w, "reason", c->decline_code);
	jw_kcstr(w, "risk_level", risks[card->risk].level);
	jw_kint(w, "risk_score", risks[card->risk].score);
	jw_kcstr(w, "seller_message",
		 ok	   ? "Payment complete."
		 : blocked ? "The gateway blocked this payment as too risky."
			   : "The bank did not return any further details.");
	jw_kcstr(w, "type", ok ? "authorized" : blocked ? "blocked" : "issuer_declined");
	jw_obj_end(w);
}

void object_charge(struct jw *w, const struct charge *c, const struct intent *pi)
{
	bool ok = !c->failure_code.p;
	int64_t captured = ok ? pi->state.amount_received : 0, refunded = ok ? pi->state.amount_refunded : 0;
	bool released = ok && pi->state.status == INTENT_CANCELED;
	const struct card *card = card_of(c->card);

	jw_obj(w);
	jw_kstr(w, "id", c->id);
	jw_kcstr(w, "object", "charge");
	jw_kint(w, "amount", c->amount);
	jw_kint(w, "amount_captured", captured);
	/* an authorisation given up counts as refunded, as with the gateway */
	jw_kint(w, "amount_refunded", released ? c->amount : refunded);
	NULLS(w, "application", "application_fee", "application_fee_amount", "balance_transaction");
	billing_details(w);
	NULLS(w, "calculated_statement_descriptor");
	jw_kbool(w, "captured", captured > 0);
	kseconds(w, "created", c->created_us);
	kcurrency(w, pi->state.currency);
	NULLS(w, "customer");
	object_kopt(w, "description", pi->description);
	jw_kbool(w, "disputed", c->disputed != CHARGE_UNDISPUTED);
	NULLS(w, "failure_balance_transaction");
	object_kopt(w, "failure_code", c->failure_code);
	object_kopt(w, "failure_message", c->failure_message);
	empty_object(w, "fraud_details");
	jw_kbool(w, "livemode", false);
	kraw(w, "metadata", pi->metadata);
	NULLS(w, "on_behalf_of");
	outcome(w, c, card);
	jw_kbool(w, "paid", ok);
	jw_kstr(w, "payment_intent", c->payment_intent);
	jw_kstr(w, "payment_method", c->payment_method);
	jw_key(w, "payment_method_details");
	jw_obj(w);
	jw_key(w, "card");
	jw_obj(w);
	if (ok && pi->state.manual_capture) {
		jw_kint(w, "amount_authorized", c->amount);
		jw_kint(w, "capture_before", c->created_us / US_PER_SECOND + AUTHORISATION_SECONDS);
	}
	card_members(w, card);
	jw_key(w, "three_d_secure");
	if (c->challenged) {
		jw_obj(w);
		jw_kcstr(w, "authentication_flow", "challenge");
		jw_kcstr(w, "result", "authenticated");
		NULLS(w, "result_reason");
		jw_kcstr(w, "version", "2.2.0");
		jw_obj_end(w);
	} else {
		jw_null(w);
	}
	jw_obj_end(w);
	jw_kcstr(w, "type", "card");
	jw_obj_end(w);
	NULLS(w, "receipt_email", "receipt_number", "receipt_url");
	jw_kbool(w, "refunded", released || (captured > 0 && refunded == captured));
	NULLS(w, "review", "shipping", "source_transfer", "statement_descriptor", "statement_descriptor_suffix");
	jw_kcstr(w, "status", ok ? "succeeded" : "failed");
	NULLS(w, "transfer_data", "transfer_group");
	jw_obj_end(w);
}

void object_method(struct jw *w, const struct method *m)
{
	jw_obj(w);
	jw_kstr(w, "id", m->id);
	jw_kcstr(w, "object", "payment_method");
	jw_kcstr(w, "allow_redisplay", "unspecified");
	billing_details(w);
	jw_key(w, "card");
	jw_obj(w);
	card_members(w, card_of(m->card));
	jw_obj_end(w);
	kseconds(w, "created", m->created_us);
	NULLS(w, "customer");
	jw_kbool(w, "livemode", false);
	empty_object(w, "metadata");
	jw_kcstr(w, "type", "card");
	jw_obj_end(w);
}

void object_refund(struct jw *w, const struct refund *r, const char *base_url, const struct expanded *x)
{
	jw_obj(w);
	jw_kstr(w, "id", r->id);
	jw_kcstr(w, "object", "refund");
	jw_kint(w, "amount", r->amount);
	NULLS(w, "balance_transaction");
	if (x && x->charge && x->intent) {
		jw_key(w, "charge");
		object_charge(w, x->charge, x->intent);
	} else {
		jw_kstr(w, "charge", r->charge);
	}
	kseconds(w, "created", r->created_us);
	jw_kstr(w, "currency", r->currency);
	jw_key(w, "destination_details");
	jw_obj(w);
	jw_key(w, "card");
	jw_obj(w);
	jw_kcstr(w, "reference_status", "pending");
	jw_kcstr(w, "reference_type", "acquirer_reference_number");
	jw_kcstr(w, "type", "refund");
	jw_obj_end(w);
	jw_kcstr(w, "type", "card");
	jw_obj_end(w);
	if (r->failure_reason.p)
		jw_kstr(w, "failure_reason", r->failure_reason);
	kraw(w, "metadata", r->metadata);
	if (x && x->intent && !x->charge) {
		jw_key(w, "payment_intent");
		object_intent(w, x->intent, base_url, NULL);
	} else {
		jw_kstr(w, "payment_intent", r->payment_intent);
	}
	object_kopt(w, "reason", r->reason);
	NULLS(w, "receipt_number", "source_transfer_reversal");
	jw_kstr(w, "status", r->status);
	NULLS(w, "transfer_reversal");
	jw_obj_end(w);
}

void object_dispute(struct jw *w, const struct dispute *d)
{
	enum { ANSWER_WITHIN_S = 9 * 86400 };

	jw_obj(w);
	jw_kstr(w, "id", d->id);
	jw_kcstr(w, "object", "dispute");
	jw_kint(w, "amount", d->amount);
	jw_key(w, "balance_transactions");
	jw_arr(w);
	jw_arr_end(w);
	jw_kstr(w, "charge", d->charge);
	kseconds(w, "created", d->created_us);
	jw_kstr(w, "currency", d->currency);
	jw_key(w, "enhanced_eligibility_types");
	jw_arr(w);
	jw_arr_end(w);
	jw_key(w, "evidence");
	jw_obj(w);
	NULLS(w, "access_activity_log", "billing_address", "cancellation_policy", "cancellation_policy_disclosure",
	      "cancellation_rebuttal", "customer_communication", "customer_email_address", "customer_name",
	      "customer_purchase_ip", "customer_signature", "duplicate_charge_documentation",
	      "duplicate_charge_explanation", "duplicate_charge_id");
	empty_object(w, "enhanced_evidence");
	NULLS(w, "product_description", "receipt", "refund_policy", "refund_policy_disclosure",
	      "refund_refusal_explanation", "service_date", "service_documentation", "shipping_address",
	      "shipping_carrier", "shipping_date", "shipping_documentation", "shipping_tracking_number",
	      "uncategorized_file", "uncategorized_text");
	jw_obj_end(w);
	jw_key(w, "evidence_details");
	jw_obj(w);
	jw_kint(w, "due_by", d->created_us / US_PER_SECOND + ANSWER_WITHIN_S);
	empty_object(w, "enhanced_eligibility");
	jw_kbool(w, "has_evidence", false);
	jw_kbool(w, "past_due", false);
	jw_kint(w, "submission_count", 0);
	jw_obj_end(w);
	jw_kbool(w, "is_charge_refundable", d->inquiry);
	jw_kbool(w, "livemode", false);
	empty_object(w, "metadata");
	jw_kstr(w, "payment_intent", d->payment_intent);
	jw_key(w, "payment_method_details");
	jw_obj(w);
	jw_key(w, "card");
	jw_obj(w);
	jw_kcstr(w, "brand", card_of(d->card)->brand);
	jw_kcstr(w, "case_type", d->inquiry ? "inquiry" : "chargeback");
	jw_kcstr(w, "network", card_of(d->card)->brand);
	jw_kcstr(w, "network_reason_code", "83");
	jw_obj_end(w);
	jw_kcstr(w, "type", "card");
	jw_obj_end(w);
	jw_kstr(w, "reason", d->reason);
	jw_kcstr(w, "status", d->inquiry ? "warning_needs_response" : "needs_response");
	jw_obj_end(w);
}

void object_fraud_warning(struct jw *w, struct str id, int64_t created_us, const struct charge *c)
{
	jw_obj(w);
	jw_kstr(w, "id", id);
	jw_kcstr(w, "object", "radar.early_fraud_warning");
	jw_kbool(w, "actionable", true);
	jw_kstr(w, "charge", c->id);
	kseconds(w, "created", created_us);
	jw_kcstr(w, "fraud_type", "made_with_stolen_card");
	jw_kbool(w, "livemode", false);
	jw_kstr(w, "payment_intent", c->payment_intent);
	jw_obj_end(w);
}

void object_event(struct jw *w, const struct sim_event *e)
{
	jw_obj(w);
	jw_kstr(w, "id", e->id);
	jw_kcstr(w, "object", "event");
	jw_kcstr(w, "api_version", PAYSIM_API_VERSION);
	kseconds(w, "created", e->created_us);
	jw_key(w, "data");
	jw_obj(w);
	kraw(w, "object", e->object);
	jw_obj_end(w);
	jw_kbool(w, "livemode", false);
	jw_kint(w, "pending_webhooks", e->pending);
	jw_key(w, "request");
	jw_obj(w);
	object_kopt(w, "id", e->request_id);
	object_kopt(w, "idempotency_key", e->idempotency_key);
	jw_obj_end(w);
	jw_kstr(w, "type", e->type);
	jw_obj_end(w);
}

void object_error_members(struct jw *w, const struct refusal *r, struct str charge, const struct method *m)
{
	if (charge.p)
		jw_kstr(w, "charge", charge);
	if (r->code)
		jw_kcstr(w, "code", r->code);
	if (r->decline_code)
		jw_kcstr(w, "decline_code", r->decline_code);
	jw_kcstr(w, "message", r->message);
	if (r->param[0])
		jw_kcstr(w, "param", r->param);
	if (m) {
		jw_key(w, "payment_method");
		object_method(w, m);
	}
	jw_kcstr(w, "type", r->type);
}
