/*
 * Keys of tickets for `boxoffice admin`: blocks, outside any loop.
 */
#ifndef TICKET_TICKET_ADMIN_H
#define TICKET_TICKET_ADMIN_H

#include "io/crypto.h"

/* Makes a new signing key the active one and retires the one before: its tickets stay good, its name stays published.
 * Running processes need not be told. Prints the new key's id to standard output. Returns an exit status: 0, or 1 after a
 * sentence on standard error. crypto_init must have been called. */
int ticket_key_rotate(const char *database_url, const struct crypto_key *master);

#endif
