/*
 * The rules of notifications: their kinds, their states, when one is tried again and when it is of no use any more. Pure: time is
 * passed in.
 *
 *   queued --accepted by the server--> sent
 *     |  ^
 *     |  +-- a person says so (`admin notifications retry`) --+
 *     +--refused, or not through within its time--> failed ---+
 *     +--too late, overtaken, nobody there-------> dropped
 *
 * A notification that is being sent is queued: whoever sends it has a claim that ends by itself.
 */
#ifndef NOTIFY_KINDS_H
#define NOTIFY_KINDS_H

#include "base/str.h"

enum notify_kind {
	NOTIFY_TICKETS,
	NOTIFY_TRANSFER,
	NOTIFY_LOOKUP,
	NOTIFY_SHOW_CANCELLED,
	NOTIFY_SHOW_RESCHEDULED,
	NOTIFY_LOCK_ENDING,
	NOTIFY_LOCK_ENDED,
	NOTIFY_PAYMENT_FAILED,
	NOTIFY_BOOKING_CONFIRMED,
	NOTIFY_BOOKING_CANCELLED,
	NOTIFY_REFUNDED,
	NOTIFY_KINDS,
};
const char *notify_kind_name(enum notify_kind k);
bool notify_kind_parse(struct str name, enum notify_kind *ret);
/* Is of use for so long after it was made; INT64_MAX: as long as it is tried at all. */
int64_t notify_kind_age_us(enum notify_kind k);
/* What goes with it. */
bool notify_kind_has_tickets(enum notify_kind k);
bool notify_kind_has_calendar(enum notify_kind k);
/* It is about a lock: there is no booking, and the person has no name. */
bool notify_kind_is_of_lock(enum notify_kind k);

enum notify_state { NOTIFY_QUEUED, NOTIFY_SENT, NOTIFY_FAILED, NOTIFY_DROPPED, NOTIFY_STATES };
const char *notify_state_name(enum notify_state s);
struct notify_arrow {
	enum notify_state from, to;
	const char *file; /* without .sql */
};
extern const struct notify_arrow notify_arrows[];
extern const size_t notify_arrows_n;

/* After so many attempts the next one comes so much later. attempts from 1. */
int64_t notify_delay_us(int attempts);

enum notify_locale { NOTIFY_EN, NOTIFY_DE, NOTIFY_ZH, NOTIFY_LOCALES };
/* The language of the templates for a BCP 47 tag or a POSIX locale: de-AT is German, zh-Hans-CN and zh_TW Chinese; else English. */
enum notify_locale notify_locale_for(struct str tag);
const char *notify_locale_name(enum notify_locale l);

/* A server's words without whom they are about: whatever looks like an address, and the address and its part before the @ wherever
 * they stand, become "<address>". out is NUL-terminated; what does not fit is cut. */
void notify_words_clean(const char *words, struct str address, char *out, size_t size);

#endif
