#include "base/err.h"

#include "base/str.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

static const struct err_info table[ERR_COUNT] = {
	[ERR_NONE] = {"ok", 200, false, ""},
#define ERR(name, code, status, retryable, sentence) [ERR_##name] = {code, status, retryable, sentence},
#include "base/errors.def"
#undef ERR
};

const struct err_info *err_info(enum err e)
{
	assert(e >= ERR_NONE && e < ERR_COUNT);
	return &table[e];
}

/* Texts are quoted from requests and cut to size: what is left of a character would spoil the whole answer. */
static void repair_utf8(char *text)
{
	for (struct str s = str_from(text); s.n;) {
		size_t len = str_utf8_sequence(s);

		if (len == 0) {
			text[s.p - text] = '?';
			len = 1;
		}
		s.p += len;
		s.n -= len;
	}
}

bool error_set(struct error *e, enum err code, const char *path, const char *fmt, ...)
{
	va_list ap;

	if (e->code != ERR_NONE)
		return false;
	e->code = code;
	if (snprintf(e->path, sizeof(e->path), "%s", path ? path : "") >= (int)sizeof(e->path))
		snprintf(e->path + sizeof(e->path) - 4, 4, "...");
	va_start(ap, fmt);
	if (vsnprintf(e->detail, sizeof(e->detail), fmt, ap) >= (int)sizeof(e->detail))
		snprintf(e->detail + sizeof(e->detail) - 4, 4, "...");
	va_end(ap);
	repair_utf8(e->path);
	repair_utf8(e->detail);
	return false;
}
