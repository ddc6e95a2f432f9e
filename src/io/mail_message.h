/*
 * A mail as bytes (RFC 5322, 2045 to 2047, 6532): text and HTML that say the same, and attachments. Pure, safe on any thread.
 *
 * Whatever stands in a name, a subject or an address, it stays there: control characters become blanks, bytes that are no UTF-8
 * become U+FFFD, characters that turn the direction of what follows are left out, everything beyond ASCII is encoded. Lines are at
 * most 76 characters and end in CR LF (one with a very long address is longer, and still far from the 998 of RFC 5322). The same
 * mail gives the same bytes.
 */
#ifndef IO_MAIL_MESSAGE_H
#define IO_MAIL_MESSAGE_H

#include "base/buf.h"

enum { MAIL_ADDRESS_MAX = 64 * 2 + 2 + 1 + 253 + 1 }; /* a local part that is all escapes, quoted; @; a name; NUL */

struct mail_address {
	char text[MAIL_ADDRESS_MAX]; /* as it stands in the envelope and in headers: the domain in ASCII (IDNA 2008) */
	const char *domain;	     /* in text, lower case */
	bool utf8;		     /* the part before the @ is not ASCII: only a server with SMTPUTF8 takes it */
};
/* NULL, or why it is none: a constant without the address. */
const char *mail_address_read(struct str address, struct mail_address *ret);
/* "Box office <tickets@example.org>" or "tickets@example.org"; *ret_name points into text, may be empty. */
const char *mail_mailbox_read(struct str text, struct str *ret_name, struct mail_address *ret);

struct mail_part {
	const char *type; /* "application/pdf"; constant */
	const char *name; /* of the file: letters, digits, '.', '-', '_' */
	struct str bytes;
};

struct mail_message {
	struct str from_name, to_name, subject; /* UTF-8; names may be empty */
	const struct mail_address *from, *to;
	int64_t date_us;
	const char *message_id; /* "<...@...>", ASCII */
	struct str text, html;	/* UTF-8, lines end in \n */
	const struct mail_part *parts;
	size_t n_parts;
};
/* false: out is full. */
bool mail_message_build(const struct mail_message *m, struct buf *out);

#endif
