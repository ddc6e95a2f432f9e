/*
 * The bank's page for 3-D Secure: one HTML page with two forms, no scripts, nothing from elsewhere. The key in its address
 * is what lets the payer in; it ends with the challenge. When the payer has answered, the browser is sent back to the
 * shop (303 to return_url), or told that it is done.
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
		 "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
		 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>%s</title><style>"
		 "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:26rem;margin:3rem auto;padding:0 "
		 "1rem;color:#1a1a1a;"
		 "background:#fff}button{font:inherit;width:100%%;padding:.8rem;margin:.4rem 0;border:1px solid #444;"
		 "border-radius:.4rem;background:#fff;color:#1a1a1a}.main{background:#14532d;color:#fff;"
		 "border-color:#14532d}.amount{font-size:1.8rem;font-weight:600;margin:.5rem 0}"
		 "</style></head><body><main><h1>%s</h1>",
		 title, title);
}

static bool page_close(struct sim_call *c)
{
	buf_adds(&c->out, "</main></body></html>\n");
	return !c->out.failed;
}

static bool page_note(struct sim_call *c, int status, const char *title, const char *text)
{
	c->status = status;
	page_open(c, title);
	buf_addf(&c->out, "<p>%s</p>", text);
	return page_close(c);
}

/* true: the challenge is open, and this is its address. */
static bool page_intent(struct sim_call *c, struct intent *ret)
{
	struct str key = STR_NULL;
	bool bad = false;

	if (!store_intent_get(c->sim->store, c->arena, c->id, ret) || ret->state.status != INTENT_REQUIRES_ACTION)
		return false;
	return http_req_query(c->req, "key", &key, &bad) && key.n == ret->action_key.n &&
	       crypto_equal(key.p, ret->action_key.p, key.n);
}

static bool page_gone(struct sim_call *c)
{
	return page_note(c, 404, "Nothing to authorise",
			 "This payment does not wait for you (any more). You can close this page.");
}

bool threeds_page(struct sim_call *c)
{
	struct intent pi;
	char amount[MONEY_TEXT_MAX];

	if (!page_intent(c, &pi))
		return page_gone(c);
	money_format((struct money){pi.state.amount, pi.state.currency}, amount);
	page_open(c, "Authorise this payment");
	buf_addf(&c->out, "<p class=\"amount\">%s</p><p>", amount);
	escaped(&c->out, pi.description.p ? pi.description : STR("A test payment: no money moves."));
	/* the empty action posts to this very address, key and all */
	buf_adds(&c->out, "</p><form method=\"post\"><button class=\"main\" name=\"outcome\" "
			  "value=\"authorise\">Authorise</button></form>"
			  "<form method=\"post\"><button name=\"outcome\" value=\"fail\">Fail</button></form>"
			  "<p><small>This page stands for the card holder's bank. It belongs to the payment "
			  "simulator.</small></p>");
	return page_close(c);
}

/* return_url with what the gateway appends, before a fragment. */
static struct str way_back(struct sim_call *c, const struct intent *pi, const char *status)
{
	struct str fragment, url;
	const char *query = "?";

	fragment = str_split(pi->return_url, '#', &url);
	for (size_t i = 0; i < url.n; i++)
		if (url.p[i] == '?')
			query = url.p[url.n - 1] == '?' || url.p[url.n - 1] == '&' ? "" : "&";
	return str_from(arena_printf(
		c->arena, "%.*s%spayment_intent=%.*s&payment_intent_client_secret=%.*s&redirect_status=%s%s%.*s",
		STR_FMT(url), query, STR_FMT(pi->id), STR_FMT(pi->client_secret), status, fragment.n ? "#" : "",
		STR_FMT(fragment)));
}

bool threeds_result(struct sim_call *c)
{
	const struct form_item *outcome = form_get(&c->form, "outcome");
	struct intent pi;
	bool passed;

	if (!outcome || (!str_eqc(outcome->value, "authorise") && !str_eqc(outcome->value, "fail")))
		return page_note(c, 400, "Not understood", "Go back and choose one of the two buttons.");
	if (!page_intent(c, &pi))
		return page_gone(c);
	if (str_eqc(outcome->value, "authorise"))
		intent_challenge_passed(c, &pi);
	else
		intent_challenge_failed(c, &pi);
	passed = pi.state.status != INTENT_REQUIRES_PAYMENT_METHOD;
	if (pi.return_url.p) {
		c->status = 303;
		c->location = way_back(c, &pi, passed ? "succeeded" : "failed");
		c->content_type = "text/plain";
		return true;
	}
	return page_note(c, 200, passed ? "Done" : "Not authorised",
			 passed ? "The payment is authorised. You can close this page."
				: "The payment was not authorised. You can close this page.");
}
