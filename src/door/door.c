/* Owns the table of a ticket's arrows, the names of reasons, and the reading of what devices ask. Called by the files of this folder
 * and by tests. */
#include "door/door.h"

#include "base/times.h"
#include "base/xmalloc.h"

#include <stdlib.h>
#include <string.h>

static const char *const states[TICKET_STATES] = {"valid", "used", "revoked"};

const struct ticket_arrow ticket_arrows[] = {
	{TICKET_VALID, TICKET_USED, "ticket_use"},
	{TICKET_USED, TICKET_VALID, "ticket_undo"},
	{TICKET_VALID, TICKET_REVOKED_FOR_GOOD, "tickets_revoke"},
	{TICKET_VALID, TICKET_REVOKED_FOR_GOOD, "ticket_reissue"},
};
const size_t ticket_arrows_n = sizeof(ticket_arrows) / sizeof(ticket_arrows[0]);

const char *ticket_state_name(enum ticket_state s)
{
	return states[s];
}

bool ticket_may(enum ticket_state from, enum ticket_state to)
{
	for (size_t i = 0; i < ticket_arrows_n; i++)
		if (ticket_arrows[i].from == from && ticket_arrows[i].to == to)
			return true;
	return false;
}

static const char *const reasons[DOOR_REASONS] = {
	[DOOR_OK] = "ok",
	[DOOR_ALREADY_USED] = "already_used",
	[DOOR_CANCELLED] = "cancelled",
	[DOOR_REVOKED] = "revoked",
	[DOOR_WRONG_SHOW] = "wrong_show",
	[DOOR_INVALID] = "invalid",
	[DOOR_UNKNOWN_KEY] = "unknown_key",
	[DOOR_NOT_YET] = "not_yet",
	[DOOR_OVER] = "over",
	[DOOR_SHOW_CANCELLED] = "show_cancelled",
	[DOOR_NOT_USED] = "not_used",
};

const char *door_reason_name(enum door_reason r)
{
	return reasons[r];
}

enum door_reason door_reason_read(struct str name)
{
	if (name.n == 0)
		return DOOR_OK;
	for (int i = 0; i < DOOR_REASONS; i++)
		if (str_eqc(name, reasons[i]))
			return (enum door_reason)i;
	return DOOR_INVALID;
}

enum door_reason door_reason_of_code(enum ticket_reason r)
{
	switch (r) {
	case TICKET_OK:
	case TICKET_REVOKED: /* what is revoked or used the database knows better */
	case TICKET_ALREADY_USED:
		return DOOR_OK;
	case TICKET_WRONG_SHOW:
		return DOOR_WRONG_SHOW;
	case TICKET_UNKNOWN_KEY:
		return DOOR_UNKNOWN_KEY;
	case TICKET_MALFORMED:
	case TICKET_BAD_SIGNATURE:
		break;
	}
	return DOOR_INVALID;
}

/* ---- reading ---- */

static void read_nonce(struct json_in *in, struct door_scan *ret)
{
	ret->nonce = json_in_str(in, "nonce", JSON_REQUIRED, 1, DOOR_NONCE_MAX);
}

/* Scanners that are keyboards end what they have read with Enter or Tab; none of our codes has such a byte. */
static struct str without_keys(struct str s)
{
	while (s.n && (unsigned char)s.p[s.n - 1] <= ' ')
		s.n--;
	return s;
}

/* Whatever a camera reads: a code that is not ours is refused at the door, not as a request. */
static struct str read_code(struct json_in *in, enum json_need need)
{
	const json_t *value = json_in_value(in, "code", need);
	struct str code = {"", 0};

	if (!value)
		return code;
	if (!json_is_string(value)) {
		json_in_fault(in, ERR_INVALID_REQUEST, "code", "\"code\" must be a string.");
		return code;
	}
	code = (struct str){json_string_value(value), json_string_length(value)};
	if (code.n == 0 || str_utf8_length(code) > DOOR_CODE_MAX)
		json_in_fault(in, ERR_INVALID_VALUE, "code", "\"code\" has 1 to %d characters.", DOOR_CODE_MAX);
	return without_keys(code);
}

static struct str read_device(struct json_in *in)
{
	return json_in_str(in, "device", JSON_OPTIONAL, 1, DOOR_DEVICE_MAX);
}

bool door_read_checkin(const json_t *body, struct door_ask *ret, struct error *e)
{
	struct json_in in;

	*ret = (struct door_ask){0};
	json_in_init(&in, body, "", e);
	ret->scan.code = read_code(&in, JSON_REQUIRED);
	read_nonce(&in, &ret->scan);
	ret->device = read_device(&in);
	return json_in_end(&in);
}

bool door_read_undo(const json_t *body, struct door_ask *ret, struct error *e)
{
	struct json_in in;
	bool ticket;

	*ret = (struct door_ask){0};
	json_in_init(&in, body, "", e);
	ret->scan.code = read_code(&in, JSON_OPTIONAL);
	ticket = json_in_uuid(&in, "ticket_id", JSON_OPTIONAL, &ret->ticket_id);
	read_nonce(&in, &ret->scan);
	ret->device = read_device(&in);
	if (e->code == ERR_NONE && ticket && ret->scan.code.n)
		json_in_fault(&in, ERR_INVALID_VALUE, "ticket_id", "Either \"code\" or \"ticket_id\", not both.");
	if (e->code == ERR_NONE && ticket && uuid_is_zero(&ret->ticket_id))
		json_in_fault(&in, ERR_INVALID_VALUE, "ticket_id", "No ticket has this id.");
	return json_in_end(&in);
}

static int nonce_cmp(const void *a, const void *b)
{
	const struct door_scan *const *x = a, *const *y = b;
	size_t n = (*x)->nonce.n < (*y)->nonce.n ? (*x)->nonce.n : (*y)->nonce.n;
	int c = memcmp((*x)->nonce.p, (*y)->nonce.p, n);

	if (c)
		return c;
	if ((*x)->nonce.n != (*y)->nonce.n)
		return (*x)->nonce.n < (*y)->nonce.n ? -1 : 1;
	return *x < *y ? -1 : *x > *y;
}

/* A nonce that stands twice in one upload names two scans. */
static bool nonces_differ(const struct door_upload_ask *u, struct error *e)
{
	const struct door_scan **by = xcalloc(u->n, sizeof(*by));
	bool ok = true;

	for (size_t i = 0; i < u->n; i++)
		by[i] = &u->scans[i];
	qsort(by, u->n, sizeof(*by), nonce_cmp);
	for (size_t i = 1; i < u->n && ok; i++)
		if (str_eq(by[i - 1]->nonce, by[i]->nonce)) {
			char scan[ERROR_PATH_MAX], path[ERROR_PATH_MAX];

			json_pointer_index(scan, "/scans", (size_t)(by[i] - u->scans));
			json_pointer(path, scan, "nonce");
			ok = error_set(e, ERR_INVALID_VALUE, path, "This nonce stands twice in the upload.");
		}
	free(by);
	return ok;
}

bool door_read_upload(const json_t *body, struct door_upload_ask *ret, struct error *e)
{
	const json_t *scans;
	struct json_in in;

	*ret = (struct door_upload_ask){0};
	json_in_init(&in, body, "", e);
	ret->device = read_device(&in);
	json_in_time(&in, "sent_at", JSON_REQUIRED, &ret->sent_at_us);
	scans = json_in_array(&in, "scans", JSON_REQUIRED, 1, DOOR_SCANS_MAX);
	if (!json_in_end(&in))
		return false;
	ret->scans = xcalloc(json_array_size(scans), sizeof(*ret->scans));
	for (size_t i = 0; i < json_array_size(scans); i++) {
		struct door_scan *s = &ret->scans[i];
		char path[ERROR_PATH_MAX];

		json_pointer_index(path, "/scans", i);
		json_in_init(&in, json_array_get(scans, i), path, e);
		read_nonce(&in, s);
		s->code = read_code(&in, JSON_REQUIRED);
		json_in_time(&in, "scanned_at", JSON_REQUIRED, &s->scanned_at_us);
		if (!json_in_end(&in))
			return false;
		ret->n = i + 1;
	}
	return nonces_differ(ret, e);
}

void door_upload_done(struct door_upload_ask *u)
{
	free(u->scans);
	*u = (struct door_upload_ask){0};
}

int64_t door_corrected_us(int64_t scanned_at_us, int64_t sent_at_us, int64_t now_us)
{
	/* read times lie between 1970 and 9999: no sum of three passes 64 bits */
	int64_t us = scanned_at_us + (now_us - sent_at_us);

	if (us > now_us)
		return now_us;
	return us < 0 ? 0 : us;
}
