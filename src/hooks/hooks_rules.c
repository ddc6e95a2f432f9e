/* Owns the tables of arrows, of event types and of ports; no state. Called by the service, its duty and tests. */
#include "hooks/hooks_rules.h"

#include "base/json.h"
#include "base/times.h"
#include "io/crypto.h"

#include <stdio.h>
#include <string.h>

const struct hook_arrow hook_arrows[] = {
	{"disabled", "enabled", "webhook_enable"},   {"suspended", "enabled", "webhook_enable"},
	{"enabled", "disabled", "webhook_disable"},  {"suspended", "disabled", "webhook_disable"},
	{"enabled", "suspended", "webhook_suspend"}, {"enabled", "deleted", "webhook_delete"},
	{"disabled", "deleted", "webhook_delete"},   {"suspended", "deleted", "webhook_delete"},
	{"queued", "delivered", "delivery_deliver"}, {"queued", "failed", "delivery_fail"},
	{"delivered", "queued", "delivery_requeue"}, {"failed", "queued", "delivery_requeue"},
	{"delivered", "queued", "delivery_replay"},  {"failed", "queued", "delivery_replay"},
	{"running", "done", "replay_end"},	     {"running", "cancelled", "replay_cancel"},
};
const size_t hook_arrows_n = sizeof(hook_arrows) / sizeof(hook_arrows[0]);

/* ---- addresses ---- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_name(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

/* Names of letters, digits, - and _ between single dots; perhaps one dot at the end. */
static bool host_is_name(struct str host)
{
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (!host.n || host.n > 253)
		return false;
	for (size_t i = 0, label = 0; i <= host.n; i++) {
		if (i == host.n || host.p[i] == '.') {
			if (!label || label > 63)
				return false;
			label = 0;
		} else if (is_name(host.p[i])) {
			label++;
		} else {
			return false;
		}
	}
	return true;
}

/* What begins its last part with a digit is an address to some readers (127.1, 0x7f000001, 017700000001) and no name in the DNS. */
static bool ends_in_number(struct str host)
{
	size_t at;

	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	at = host.n;
	while (at && host.p[at - 1] != '.')
		at--;
	return at < host.n && is_digit(host.p[at]);
}

static const char *host_fault(struct str host, bool brackets, const struct net_list *allowed)
{
	struct net_addr address;
	bool v6 = brackets;

	if (brackets)
		for (size_t i = 0; i < host.n; i++)
			v6 = v6 && (is_hex(host.p[i]) || host.p[i] == ':' || host.p[i] == '.');
	if (brackets ? !v6 : !host_is_name(host))
		return "\"url\" must name a host in ASCII (an international name in its xn-- form).";
	if (brackets || ends_in_number(host)) {
		if (!net_addr_parse(host, &address))
			return "The host in \"url\" looks like an address but is none in its usual form.";
		if (!net_addr_is_public(&address) && !net_list_has(allowed, &address))
			return "The host in \"url\" is an address that is not of the public internet.";
	} else if (!memchr(host.p, '.', host.n) && !allowed->n) {
		return "The host in \"url\" must be a full name, with a dot.";
	}
	return NULL;
}

static const char *port_fault(struct str digits, bool https)
{
	uint64_t port;

	if (!digits.n || digits.n > 5 || !str_to_u64(digits, 65535, &port))
		return "The port in \"url\" is no number from 1 to 65535.";
	if (port != (https ? 443 : 80) && port < 1024)
		return "The port in \"url\" must be 443 or one from 1024 on.";
	return NULL;
}

const char *hook_url_fault(struct str url, bool allow_http, const struct net_list *allowed)
{
	bool https = str_starts(url, STR("https://")), brackets;
	struct str rest, host;
	const char *fault;
	size_t n = 0;

	if (!https && !(allow_http && str_starts(url, STR("http://"))))
		return "\"url\" must begin with https://.";
	for (size_t i = 0; i < url.n; i++) {
		if (url.p[i] <= ' ' || url.p[i] >= 0x7f || strchr("\"<>\\^`{|}", url.p[i]))
			return "\"url\" holds a character that must be written with a percent sign.";
		if (url.p[i] == '#')
			return "\"url\" must have no fragment (#): it would not be sent.";
	}
	rest = (struct str){url.p + (https ? 8 : 7), url.n - (https ? 8 : 7)};
	while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
		n++;
	rest.n = n; /* the authority */
	if (memchr(rest.p, '@', rest.n))
		return "\"url\" must have no name and password: the signature says who is calling.";
	brackets = rest.n && rest.p[0] == '[';
	if (brackets) {
		const char *end = memchr(rest.p, ']', rest.n);

		if (!end)
			return "\"url\" must name a host in ASCII (an international name in its xn-- form).";
		host = (struct str){rest.p + 1, (size_t)(end - rest.p) - 1};
		rest = (struct str){end + 1, rest.n - host.n - 2};
		if (rest.n && rest.p[0] != ':')
			return "\"url\" must name a host in ASCII (an international name in its xn-- form).";
	} else {
		const char *colon = rest.n ? memchr(rest.p, ':', rest.n) : NULL;

		host = (struct str){rest.p, colon ? (size_t)(colon - rest.p) : rest.n};
		rest = (struct str){rest.p + host.n, rest.n - host.n};
	}
	fault = host_fault(host, brackets, allowed);
	if (!fault && rest.n)
		fault = port_fault((struct str){rest.p + 1, rest.n - 1}, https);
	return fault;
}

bool hook_may_connect(const struct sockaddr_storage *to, const struct net_list *allowed)
{
	struct net_addr address = net_addr_of(to);

	if (to->ss_family != AF_INET && to->ss_family != AF_INET6)
		return false;
	/* IPv4 by way of IPv6: nobody's DNS says so for a good reason */
	if (to->ss_family == AF_INET6 &&
	    IN6_IS_ADDR_V4MAPPED(&((const struct sockaddr_in6 *)(const void *)to)->sin6_addr))
		return false;
	return net_addr_is_public(&address) || net_list_has(allowed, &address);
}

/* ---- events ---- */

const char *const hook_event_types[] = {
	"booking.cancelled",
	"booking.confirmed",
	"booking.failed",
	"booking.payment_pending",
	"booking.seats_cancelled",
	"payment.abandoned",
	"payment.authorised",
	"payment.capture_failed",
	"payment.captured",
	"payment.created",
	"payment.failed",
	"payment.foreign_refund",
	"payment.foreign_refund_reversed",
	"payment.requires_action",
	"payment.voided",
	"refund.failed",
	"refund.pending",
	"refund.requested",
	"refund.reversed",
	"refund.succeeded",
	"seat.blocked",
	"seat.booked",
	"seat.lock_abandoned",
	"seat.lock_expired",
	"seat.lock_paying",
	"seat.lock_resumed",
	"seat.locked",
	"seat.released",
	"seat.renumbered",
	"seat.unblocked",
	"show.cancelled",
	"show.created",
	"show.rescheduled",
	"show.updated",
	"ticket.issued",
	"ticket.revoked",
	"ticket.use_undone",
	"ticket.used",
	NULL,
};

bool hook_type_known(struct str wanted)
{
	struct str stem = wanted;

	if (str_eqc(wanted, "*"))
		return true;
	if (stem.n > 2 && stem.p[stem.n - 1] == '*' && stem.p[stem.n - 2] == '.')
		stem.n--; /* "booking." */
	else
		stem = STR_NULL;
	for (const char *const *t = hook_event_types; *t; t++)
		if (str_eqc(wanted, *t) || (stem.n && str_starts(str_from(*t), stem)))
			return true;
	return false;
}

/* A member that is an id; NULL when there is none. */
static const char *id_of(const json_t *event, const char *member)
{
	const char *text = json_string_value(json_object_get(event, member));

	return text && strlen(text) == UUID_TEXT - 1 ? text : NULL;
}

void hook_about(const struct hook_event *e, char ret_aggregate[HOOK_ABOUT_TEXT], char ret_subject[HOOK_ABOUT_TEXT])
{
	JSON_AUTO json_t *event = json_loadb(e->json.p, e->json.n, 0, NULL);
	const char *booking = id_of(event, "booking_id"), *lock = id_of(event, "lock_id"), *own = NULL;
	char show[UUID_TEXT];

	uuid_format(&e->show_id, show);
	snprintf(ret_aggregate, HOOK_ABOUT_TEXT, "%s/%s",
		 booking ? "booking"
		 : lock	 ? "lock"
			 : "show",
		 booking ? booking
		 : lock	 ? lock
			 : show);
	if (str_eqc(e->topic, "booking"))
		own = booking;
	else if (str_eqc(e->topic, "payment"))
		own = id_of(event, str_starts(e->type, STR("refund.")) ? "refund_id" : "payment_id");
	else if (str_eqc(e->topic, "ticket"))
		own = id_of(event, "ticket_id");
	else if (str_eqc(e->topic, "webhook"))
		own = id_of(event, "webhook_id");
	snprintf(ret_subject, HOOK_ABOUT_TEXT, "%.*s/%s", own ? (int)e->topic.n : 4, own ? e->topic.p : "show",
		 own ? own : show);
}

void hook_body_write(struct buf *out, const struct hook_event *e, struct str subject)
{
	struct jw w;

	jw_init(&w, out);
	jw_obj(&w);
	jw_kcstr(&w, "specversion", "1.0");
	jw_kstr(&w, "id", e->id);
	jw_kcstr(&w, "source", HOOK_SOURCE);
	jw_kstr(&w, "type", e->type);
	jw_kstr(&w, "subject", subject);
	jw_ktime(&w, "time", e->time_us);
	if (!uuid_is_zero(&e->show_id))
		jw_kuuid(&w, "showid", &e->show_id);
	jw_kcstr(&w, "datacontenttype", "application/json");
	jw_key(&w, "data");
	jw_raw(&w, e->json);
	jw_obj_end(&w);
	jw_done(&w);
}

/* ---- signing ---- */

/* With +, / and padding (RFC 4648 section 4). */
static void base64(const uint8_t *in, size_t n, char *out)
{
	size_t m = base64url_encode(in, n, out);

	for (size_t i = 0; i < m; i++)
		out[i] = out[i] == '-' ? '+' : out[i] == '_' ? '/' : out[i];
	while (m % 4)
		out[m++] = '=';
	out[m] = '\0';
}

void hook_secret_format(const uint8_t secret[HOOK_SECRET], char out[HOOK_SECRET_TEXT])
{
	memcpy(out, "whsec_", 6);
	base64(secret, HOOK_SECRET, out + 6);
}

void hook_sign(struct str secret, struct str id, int64_t timestamp_s, struct str body, char out[HOOK_SIGNATURE_TEXT])
{
	uint8_t mac[32];
	struct buf b;

	buf_init(&b, id.n + body.n + 64);
	buf_addstr(&b, id);
	buf_addc(&b, '.');
	buf_addi(&b, timestamp_s);
	buf_addc(&b, '.');
	buf_addstr(&b, body);
	crypto_hmac_sha256(secret, buf_str(&b), mac);
	buf_done(&b);
	memcpy(out, "v1,", 3);
	base64(mac, sizeof(mac), out + 3);
}

/* ---- attempts ---- */

bool hook_schedule_parse(const char *text, struct hook_schedule *ret)
{
	struct str rest = str_from(text), word;
	uint64_t s;

	ret->n = 0;
	for (;;) {
		rest = str_trim(rest);
		if (!rest.n)
			return ret->n > 0;
		rest = str_split(rest, ' ', &word);
		if (ret->n == HOOK_WAITS_MAX || !str_to_u64(word, 7 * 86400, &s))
			return false;
		ret->wait_s[ret->n++] = (int32_t)s;
	}
}

int64_t hook_wait_us(const struct hook_schedule *s, int64_t attempts, int64_t retry_after_s, uint32_t chance)
{
	int64_t wait_us, asked_us = retry_after_s * US_PER_SECOND;

	if (attempts < 1 || attempts > (int64_t)s->n)
		return -1;
	wait_us = s->wait_s[attempts - 1] * US_PER_SECOND;
	wait_us += wait_us / 5 * (chance % 1000) / 1000;
	if (asked_us > US_PER_DAY)
		asked_us = US_PER_DAY;
	return asked_us > wait_us ? asked_us : wait_us;
}

enum hook_verdict hook_judge(int http_status)
{
	return http_status / 100 == 2 ? HOOK_TAKEN : http_status == 410 ? HOOK_GONE : HOOK_AGAIN;
}

bool hook_failed_for_long(int64_t failures, int64_t failing_us, int64_t limit_us)
{
	return failures >= HOOK_SUSPEND_FROM && failing_us >= limit_us;
}
