/*
 * Errors a caller of the API can be told: one table, errors.def. Rules and parsers report through struct error.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

enum err {
	ERR_NONE = 0,
#define ERR(name, code, status, retryable, sentence) ERR_##name,
#include "base/errors.def"
#undef ERR
	ERR_COUNT,
};

struct err_info {
	const char *code;
	int http_status;
	bool retryable; /* the answer carries Retry-After where it is 429 or 503 */
	const char *sentence;
};

const struct err_info *err_info(enum err e);

/* Paths are JSON Pointers (RFC 6901); longer ones end in an ellipsis, said here so that nobody compares them. */
enum { ERROR_PATH_MAX = 256, ERROR_DETAIL_MAX = 384 };

struct error {
	enum err code; /* ERR_NONE: nothing wrong */
	char path[ERROR_PATH_MAX];
	char detail[ERROR_DETAIL_MAX];
};

/* Records the first error; later ones are ignored. Returns false so that `return error_set(...)` reads well. */
bool error_set(struct error *e, enum err code, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
