/* Rules of staff: what a password may be, whose scopes hold whose, which network a request comes from. Pure. */
#ifndef STAFF_STAFF_RULES_H
#define STAFF_STAFF_RULES_H

#include "base/str.h"
#include "io/net.h"

enum { PASSWORD_LEAST = 12, PASSWORD_MOST = 200, NETWORK_TEXT = 64 };

/* NULL: it may be used; else why not, a sentence. Long is what counts; an address is no secret. */
const char *password_fault(struct str password, struct str email);

/* Scopes that are in asked and not in held. */
unsigned scopes_missing(unsigned asked, unsigned held);

/* Where guesses at passwords are counted: an IPv4 address, or the /64 that an IPv6 customer has; "local" for others. */
void network_of_guesses(const struct net_addr *client, char out[NETWORK_TEXT]);
/* What is kept in the audit log: a /24 or a /48, which says from where but not who. */
void network_of_log(const struct net_addr *client, char out[NETWORK_TEXT]);

#endif
