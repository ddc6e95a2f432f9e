/*
 * Who is told what: the rules from an event to a notification. Pure.
 *
 *   event (type, reason) --first row that fits--> a kind, to whom, and under which condition; or nobody, with the reason why not
 *
 * What an event says was true when it was written. Whether it is still worth a mail is decided by how things stand when the notice is
 * made: that is the condition, which sql/notices_make.sql knows by its name. Between two mails that say the same the rule is: one voice.
 * Who is told by a job or a transfer (their rows are made in the transaction itself) is not told again because of the events.
 */
#ifndef NOTIFY_NOTICES_H
#define NOTIFY_NOTICES_H

#include "base/str.h"

enum notice_when {
	NOTICE_NEVER,
	/* A payment came to nothing. The booking waits or has failed, its show is on, and no other attempt is under way. While the
	 * lock lives the buyer may take another card: told once for a booking. When it has ended: once more, the last. */
	NOTICE_PAYMENT_OVER,
	NOTICE_STILL_CONFIRMED, /* the booking is confirmed and the show is on; once for a booking */
	NOTICE_ALWAYS,		/* once for an event */
	/* Money went back, and it is not what a cancelled show's notice has promised, unless the buyer was told since that it failed;
	 * nothing that was never taken. Once for a refund. */
	NOTICE_MONEY_BACK,
	NOTICE_MONEY_STUCK, /* a refund is failed, still; once for an event */
};
const char *notice_when_name(enum notice_when w);

enum notice_whom {
	NOTICE_BUYER, /* of the booking, as it is now */
	NOTICE_ALL,   /* and whoever had its tickets by a transfer */
};

struct notice_rule {
	const char *type;   /* of the event */
	const char *reason; /* of the event; NULL: any */
	const char *kind;   /* of the notification; NULL: nobody is told */
	enum notice_whom whom;
	enum notice_when when;
	const char *why; /* nobody is told, or it may look like a second mail */
};
extern const struct notice_rule notice_rules[];
extern const size_t notice_rules_n;

/* NULL: an event that no rule names; nobody is told. reason may be empty. */
const struct notice_rule *notice_rule_for(struct str type, struct str reason);

/* The topics that these events come in, ended by NULL. */
extern const char *const notice_topics[];

#endif
