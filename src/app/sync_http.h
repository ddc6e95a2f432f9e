/* One HTTP request at a time, blocking (libcurl): for one-shot commands, never on a loop. */
#ifndef APP_SYNC_HTTP_H
#define APP_SYNC_HTTP_H

#include "base/str.h"

#include <jansson.h>

struct http_answer {
	int status;
	json_t *json; /* NULL when the body is none */
	char error[200];
};

/* base: "http://127.0.0.1:8080". token and key (Idempotency-Key) may be NULL; a body without bytes is not sent. false:
 * no answer, ret->error says why. ret is always set; sync_http_done frees it. */
bool sync_http(const char *base, const char *method, const char *path, const char *token, const char *key,
	       struct str body, long timeout_ms, struct http_answer *ret);
/* For many GETs of one server: the connection is kept. ca_file "": the system's certificates. */
struct sync_http_client;
struct sync_http_client *sync_http_client_new(const char *base, const char *token, const char *ca_file,
					      long timeout_ms);
/* false: no answer, as sync_http. path: at most 900 bytes. */
bool sync_http_get(struct sync_http_client *c, const char *path, struct http_answer *ret);
void sync_http_client_free(struct sync_http_client *c);

void sync_http_done(struct http_answer *a);
/* "402 payment_declined: the sentence (/path)" from a problem answer, or the error. */
void sync_http_say(const struct http_answer *a, char *out, size_t size);

#endif
