/*
 * The bank's page for 3-D Secure: one HTML page with two forms, no scripts, nothing from elsewhere. The key in its address
 * is what lets the payer in. When the payer has answered, the browser is sent back to the shop (303 to return_url), or told
 * that it is done. Who comes again is told what came of it (410), who has no key is told nothing (404).
 */
#include "paysim/sim.h"

#include "io/crypto.h"

static void escaped(struct buf *b, struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		switch (text.p[i]) {
		case '&':
			buf_adds(b, "&amp;");
			break;
		case '<':
			buf_adds(b, "&lt;");
			break;
		case '>':
			buf_adds(b, "&gt;");
			break;
		case '"':
			buf_adds(b, "&quot;");
			break;
		case '\'':
			buf_adds(b, "&#39;");
			break;
		default:
			buf_addc(b, text.p[i]);
		}
}

static void page_open(struct sim_call *c, const char *title)
{
	c->content_type = "text/html; charset=utf-8";
	buf_addf(&c->out,
		 "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
		 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
		 "<meta name=\"robots\" content=\"noindex\"><title>%s</title><style>"
		 ":root{color-scheme:light "
		 "dark;--ink:#1b1f24;--soft:#5b6470;--paper:#fff;--ground:#eef1f5;--line:#d5dae1;"
		 "--main:#14532d}"
		 "@media "
		 "(prefers-color-scheme:dark){:root{--ink:#e8ebef;--soft:#a4adb8;--paper:#1d2127;--ground:#12151a;"
		 "--line:#3a414b;--main:#1f7a45}}"
		 "*{box-sizing:border-box}body{font:1rem/1.5 system-ui,sans-serif;margin:0;padding:8vh 1rem;"
		 "color:var(--ink);background:var(--ground)}"
		 "main{max-width:25rem;margin:0 auto;padding:1.75rem;background:var(--paper);border:1px solid "
		 "var(--line);border-radius:.75rem}"
		 "h1{font-size:1.25rem;margin:0 0 1rem}.amount{font-size:2rem;font-weight:600;margin:0}"
		 "dl{margin:1rem 0;padding:.75rem 0;border:solid var(--line);border-width:1px 0;display:grid;"
		 "grid-template-columns:auto 1fr;gap:.25rem 1rem}dt,small{color:var(--soft)}"
		 "dd{margin:0;text-align:right;overflow-wrap:anywhere}"
		 "button{font:inherit;width:100%%;min-height:3rem;margin:.35rem 0;border:1px solid var(--line);"
		 "border-radius:.5rem;background:var(--paper);color:var(--ink);cursor:pointer}"
		 "button.main{background:var(--main);border-color:var(--main);color:#fff;font-weight:600}"
		 "button:focus-visible,a:focus-visible{outline:3px solid #2563eb;outline-offset:2px}a{color:inherit}"
		 "</style></head><body><main><h1>%s</h1>",
		 title, title);
}

static bool page_close(struct sim_call *c)
{
	buf_adds(&c->out,
		 "<p><small>This page stands for the card holder's bank. It belongs to a payment simulator: no "
		 "money moves.</small></p></main></body></html>\n");
	return !c->out.failed;
}

/* back: where the shop is, absent: the page only says that it can be closed. */
static bool page_note(struct sim_call *c, int status, const char *title, const char *text, struct str back)
{
	c->status = status;
	page_open(c, title);
	buf_addf(&c->out, "<p>%s</p>", text);
	if (back.p) {
		buf_adds(&c->out, "<p><a href=\"");
		escaped(&c->out, back);
		buf_adds(&c->out, "\">Back to the shop</a></p>");
	} else {
		buf_adds(&c->out, "<p>You can close this page.</p>");
	}
	return page_close(c);
}

/* return_url with what the gateway appends, before a fragment. Absent: there is none. */
static struct str way_back(struct sim_call *c, const struct intent *pi)
{
	struct str fragment, url;
	const char *query = "?", *status = "succeeded";

	if (!pi->return_url.p)
		return STR_NULL;
	if (pi->state.status == INTENT_REQUIRES_PAYMENT_METHOD || pi->state.status == INTENT_CANCELED)
		status = "failed";
	fragment = str_split(pi->return_url, '#', &url);
	for (size_t i = 0; i < url.n; i++)
		if (url.p[i] == '?')
			query = url.p[url.n - 1] == '?' || url.p[url.n - 1] == '&' ? "" : "&";
	return str_from(arena_printf(
		c->arena, "%.*s%spayment_intent=%.*s&payment_intent_client_secret=%.*s&redirect_status=%s%s%.*s",
		STR_FMT(url), query, STR_FMT(pi->id), STR_FMT(pi->client_secret), status, fragment.n ? "#" : "",
		STR_FMT(fragment)));
}

/* The challenge is over: what came of the payment, for a second look and a second click. */
static bool page_over(struct sim_call *c, const struct intent *pi)
{
	struct str back = way_back(c, pi);

	switch (pi->state.status) {
	case INTENT_SUCCEEDED:
	case INTENT_REQUIRES_CAPTURE:
	case INTENT_PROCESSING:
		return page_note(c, 410, "Already authorised",
				 "This payment has been authorised. Nothing is left to do here.", back);
	case INTENT_CANCELED:
		return page_note(c, 410, "Payment cancelled",
				 "The shop has cancelled this payment. Your card is not charged for it.", back);
	default:
		return page_note(c, 410, "Not authorised",
				 "This payment was not authorised. You can try again from the shop.", back);
	}
}

/* true: the challenge is open, and this is its address. Otherwise the page is written that says why not. */
static bool page_intent(struct sim_call *c, struct intent *ret)
{
	struct str key = STR_NULL;
	bool bad = false;

	/* whoever does not know the key learns nothing, not even that there is such a payment */
	if (!store_intent_get(c->sim->store, c->arena, c->id, ret) || !http_req_query(c->req, "key", &key, &bad) ||
	    key.n == 0 || key.n != ret->action_key.n || !crypto_equal(key.p, ret->action_key.p, key.n)) {
		page_note(c, 404, "No such payment", "There is nothing to authorise under this address.", STR_NULL);
		return false;
	}
	if (ret->state.status != INTENT_REQUIRES_ACTION) {
		page_over(c, ret);
		return false;
	}
	return true;
}

bool threeds_page(struct sim_call *c)
{
	struct intent pi;
	struct method m;
	const struct card *card = NULL;
	char amount[MONEY_TEXT_MAX];

	if (!page_intent(c, &pi))
		return !c->out.failed;
	if (store_method_get(c->sim->store, c->arena, pi.payment_method, &m))
		card = card_find(m.card);
	money_format((struct money){pi.state.amount, pi.state.currency}, amount);
	page_open(c, "Authorise this payment");
	buf_addf(&c->out, "<p class=\"amount\">%s</p><dl><dt>To</dt><dd>", amount);
	escaped(&c->out, str_from(c->sim->merchant));
	if (pi.description.p) {
		buf_adds(&c->out, "</dd><dt>For</dt><dd>");
		escaped(&c->out, pi.description);
	}
	if (card)
		buf_addf(&c->out, "</dd><dt>Card</dt><dd>%s &middot;&middot;&middot;&middot; %s", card->brand,
			 card_last4(card));
	/* the empty action posts to this very address, key and all */
	buf_adds(&c->out, "</dd></dl><form method=\"post\"><button class=\"main\" name=\"outcome\" "
			  "value=\"authorise\">Authorise</button></form>"
			  "<form method=\"post\"><button name=\"outcome\" value=\"fail\">Fail</button></form>");
	return page_close(c);
}

bool threeds_result(struct sim_call *c)
{
	const struct form_item *outcome = form_get(&c->form, "outcome");
	struct intent pi;
	bool passed;

	if (!page_intent(c, &pi))
		return !c->out.failed;
	if (!outcome || (!str_eqc(outcome->value, "authorise") && !str_eqc(outcome->value, "fail")))
		return page_note(c, 400, "Not understood", "Go back and choose one of the two buttons.", STR_NULL);
	if (str_eqc(outcome->value, "authorise"))
		intent_challenge_passed(c, &pi);
	else
		intent_challenge_failed(c, &pi);
	passed = pi.state.status != INTENT_REQUIRES_PAYMENT_METHOD;
	if (pi.return_url.p) {
		c->status = 303;
		c->location = way_back(c, &pi);
		c->content_type = "text/plain";
		return true;
	}
	return page_note(c, 200, passed ? "Done" : "Not authorised",
			 passed ? "The payment is authorised." : "The payment was not authorised.", STR_NULL);
}
