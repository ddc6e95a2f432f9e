/* What a running `up` has written into DIR/up.json, for the commands that take --dir. */
#ifndef APP_UP_STATE_H
#define APP_UP_STATE_H

#include <jansson.h>
#include <stdbool.h>

struct up_state {
	json_t *json; /* owns the texts */
	const char *url, *admin_token, *database_url, *redis_url;
	const char *payment_url; /* NULL: it was not said */
};

/* false after a sentence to standard error. */
bool up_state_read(const char *dir, struct up_state *ret);
void up_state_done(struct up_state *s);

#endif
