#include "base/err.h"

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
	return false;
}
