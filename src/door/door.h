/*
 * The rules of the door: a ticket's arrows, why a code is refused, what a device may ask. Pure: no I/O, no clock.
 *
 *   ticket:  valid -> used -> valid ...   (ticket_use, ticket_undo);   valid -> revoked (tickets_revoke, ticket_reissue), final
 *
 * A nonce is a scan's name, chosen by the device: what it was answered once it is answered always.
 */
#ifndef DOOR_DOOR_H
#define DOOR_DOOR_H

#include "base/json.h"
#include "ticket/code.h"

enum ticket_state { TICKET_VALID, TICKET_USED, TICKET_REVOKED_FOR_GOOD, TICKET_STATES };
const char *ticket_state_name(enum ticket_state s);

/* The arrows of the drawing above; a test compares them with the SQL files of these names. */
struct ticket_arrow {
	enum ticket_state from, to;
	const char *file;
};
extern const struct ticket_arrow ticket_arrows[];
extern const size_t ticket_arrows_n;
bool ticket_may(enum ticket_state from, enum ticket_state to);

/* What becomes of a code; the names are the API's, and the order is that of the metric. */
enum door_reason {
	DOOR_OK,
	DOOR_ALREADY_USED,
	DOOR_CANCELLED,	     /* its seat was given back */
	DOOR_REVOKED,	     /* somebody else has got another one for the seat, or it was issued again */
	DOOR_WRONG_SHOW,     /* genuine, for another show */
	DOOR_INVALID,	     /* no code, forged, damaged, or of no ticket there is */
	DOOR_UNKNOWN_KEY,    /* signed by nobody we know */
	DOOR_NOT_YET,	     /* the doors are not open */
	DOOR_OVER,	     /* the show is long past */
	DOOR_SHOW_CANCELLED, /* there is nothing to be let in to */
	DOOR_NOT_USED,	     /* an undo of what was not done */
	DOOR_REASONS
};
const char *door_reason_name(enum door_reason r); /* "ok", "already_used", ... */
/* DOOR_INVALID for a name that there is not. */
enum door_reason door_reason_read(struct str name);
/* What a code says of itself at the door of a show, before its ticket was looked up. */
enum door_reason door_reason_of_code(enum ticket_reason r);

enum { DOOR_NONCE_MAX = 64, DOOR_DEVICE_MAX = 64, DOOR_CODE_MAX = 4096, DOOR_SCANS_MAX = 1000 };

/* The strings are the body's. */
struct door_scan {
	struct str nonce, code;
	int64_t scanned_at_us; /* by the device's clock; of an upload only */
};

struct door_ask {
	struct str device; /* empty: not said, which only a token of a device may */
	struct door_scan scan;
	struct uuid ticket_id; /* of an undo; zeros: not said */
};
struct door_upload_ask {
	struct str device;
	int64_t sent_at_us; /* the device's clock when it sent */
	size_t n;
	struct door_scan *scans; /* freed by door_upload_done */
};

/* false with *e set. The bodies of POST .../checkins, .../checkins/undo, .../checkins/upload. */
bool door_read_checkin(const json_t *body, struct door_ask *ret, struct error *e);
bool door_read_undo(const json_t *body, struct door_ask *ret, struct error *e);
bool door_read_upload(const json_t *body, struct door_upload_ask *ret, struct error *e);
void door_upload_done(struct door_upload_ask *u);

/* When a scan was made by our clock: the device's is corrected by how far it was off when it sent. Never later than now_us. */
int64_t door_corrected_us(int64_t scanned_at_us, int64_t sent_at_us, int64_t now_us);

#endif
