/*
 * Whatever is sent to the webhook: a header that nobody with a secret has signed is never good, what is read of an event is
 * within its bounds, and so is what is read of a page of intents.
 */
#include "payment/orphans.h"
#include "payment/webhook.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* Stands in for the real one: only that all are compared matters here. */
static void mac(struct str key, struct str text, uint8_t out[32])
{
	memset(out, (int)(text.n & 0xff), 32);
	out[0] = (uint8_t)key.n;
}

static void one_line(const char *s, size_t size)
{
	const char *end = memchr(s, 0, size);

	must(end != NULL && !memchr(s, '\n', (size_t)(end - s)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *cut = memchr(data, '\n', size);
	struct str all = {(const char *)data, size}, header = all, body = all, secrets[2];
	struct str none = STR("whsec_0123456789abcdef");
	enum webhook_signed got;
	struct webhook_event e;
	struct error error = {.code = ERR_NONE};
	struct orphan_page page;
	struct arena arena;

	if (cut) {
		header.n = (size_t)(cut - all.p);
		body = (struct str){cut + 1, size - header.n - 1};
	}
	must(webhook_check(NULL, body, &none, 1, 0, mac) == WEBHOOK_UNSIGNED);
	got = webhook_check(&header, body, &none, 0, 0, mac);
	must(got == WEBHOOK_MALFORMED || got == WEBHOOK_FORGED);
	webhook_check(&header, body, &none, 1, 0, mac);
	must(webhook_secrets_read(all, secrets) <= 2);
	if (webhook_read(body, &e, &error)) {
		must(e.id[0] && e.type[0]);
		one_line(e.id, sizeof(e.id));
		one_line(e.type, sizeof(e.type));
		one_line(e.object_id, sizeof(e.object_id));
		one_line(e.intent_id, sizeof(e.intent_id));
		must(e.about == ABOUT_NOTHING || e.about == ABOUT_DISPUTE || e.intent_id[0]);
		must(e.amount_minor >= 0 && (e.currency[0] == '\0' || strlen(e.currency) == 3));
	} else {
		must(error.code == ERR_INVALID_REQUEST);
	}
	arena_init(&arena);
	if (orphan_page_read(200, body, &arena, &page)) {
		must(page.n <= 100 && (!page.more || page.last[0]));
		for (size_t i = 0; i < page.n; i++)
			one_line(page.intents[i].id, sizeof(page.intents[i].id));
	}
	arena_done(&arena);
	return 0;
}
