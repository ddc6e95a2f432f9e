/*
 * JSON in and out. Reading is jansson's (json_t is used as a value type everywhere), with duplicates, NUL, bad UTF-8
 * and deep nesting refused. Writing is our own small writer onto a buf, so that nothing is built twice.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "base/money.h"

#include <jansson.h>

enum { JSON_DEPTH_DEFAULT = 32, JSON_IN_FIELDS_MAX = 40 };

/* Once per process, before anything else of JSON: a text is never called malformed because memory was short (xmalloc.h). */
void json_setup(void);
/* NULL with *ret_error set (ERR_INVALID_REQUEST; path empty, detail has line and column). The caller decrefs. */
json_t *json_read(struct str text, int max_depth, struct error *ret_error);
static inline void json_free_at_exit(json_t **j)
{
	json_decref(*j);
}
#define JSON_AUTO __attribute__((cleanup(json_free_at_exit)))

/*
 * Reading an object field by field. The first fault is kept in *error with its JSON Pointer; after it every getter
 * returns an empty value, so that a handler checks once: `if (!json_in_end(&in)) return refuse(...)`.
 * json_in_end also refuses members that were never asked for.
 * Wrong shape is ERR_INVALID_REQUEST; a value out of its range is ERR_INVALID_VALUE.
 */
struct json_in {
	const json_t *object;
	struct error *error;
	char path[ERROR_PATH_MAX]; /* of the object itself: "" or "/buyer" */
	const char *known[JSON_IN_FIELDS_MAX];
	size_t n_known;
};

/* value may be NULL or of any type: not an object is the first fault. */
void json_in_init(struct json_in *in, const json_t *value, const char *path, struct error *error);
bool json_in_end(struct json_in *in);
/* Records a fault of one member (invalid_value unless said otherwise). */
void json_in_fault(struct json_in *in, enum err code, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* "/buyer/name" into out (ERROR_PATH_MAX), with ~ and / escaped; cut between characters, ending in "...", when too long. */
void json_pointer(char *out, const char *parent, const char *name);
void json_pointer_index(char *out, const char *parent, size_t index);

enum json_need { JSON_OPTIONAL, JSON_REQUIRED };

/* Any type; NULL when absent (a fault when required). JSON null counts as absent for optional members. */
const json_t *json_in_value(struct json_in *in, const char *name, enum json_need need);
/* One line: length in characters, min..max; control characters are refused. Empty slice when absent. */
struct str json_in_str(struct json_in *in, const char *name, enum json_need need, size_t min, size_t max);
/* The same, but line feeds and tabs may stand in it (descriptions). */
struct str json_in_text(struct json_in *in, const char *name, enum json_need need, size_t min, size_t max);
int64_t json_in_i64(struct json_in *in, const char *name, enum json_need need, int64_t min, int64_t max,
		    int64_t absent);
bool json_in_bool(struct json_in *in, const char *name, enum json_need need, bool absent);
bool json_in_uuid(struct json_in *in, const char *name, enum json_need need, struct uuid *ret); /* true: was there */
bool json_in_time(struct json_in *in, const char *name, enum json_need need, int64_t *ret_us);	/* true: was there */
/* {"amount": 4500, "currency": "EUR"}; 0 or within the currency's bounds; true: was there. */
bool json_in_money(struct json_in *in, const char *name, enum json_need need, struct money *ret);
/* The same for an amount that is never charged by itself (a fee that is kept, a refund): without the currency's minimum, but at
 * least so many minor units. */
bool json_in_amount(struct json_in *in, const char *name, enum json_need need, int64_t min, struct money *ret);
/* The array's length is checked against min..max; NULL when absent. */
const json_t *json_in_array(struct json_in *in, const char *name, enum json_need need, size_t min, size_t max);
/* A reader on a member object; child->object is NULL when absent. */
bool json_in_object(struct json_in *in, const char *name, enum json_need need, struct json_in *child);

/*
 * The writer: commas and quoting are its business. Unbalanced use is caught by assert in jw_done.
 */
struct jw {
	struct buf *out;
	int depth;
	uint64_t has; /* bit per depth: something was written at this level */
	bool after_key;
};

void jw_init(struct jw *w, struct buf *out);
/* false when the buffer's maximum was passed. */
bool jw_done(struct jw *w);
void jw_obj(struct jw *w);
void jw_obj_end(struct jw *w);
void jw_arr(struct jw *w);
void jw_arr_end(struct jw *w);
void jw_key(struct jw *w, const char *key);
void jw_keystr(struct jw *w, struct str key);
void jw_str(struct jw *w, struct str v); /* well-formed UTF-8 */
void jw_cstr(struct jw *w, const char *v);
void jw_int(struct jw *w, int64_t v);
void jw_real(struct jw *w, double v); /* finite; shortest form that reads back equal */
void jw_bool(struct jw *w, bool v);
void jw_null(struct jw *w);
void jw_uuid(struct jw *w, const struct uuid *v);
void jw_time(struct jw *w, int64_t us);
void jw_money(struct jw *w, int64_t amount_minor, const char *currency);
void jw_raw(struct jw *w, struct str json); /* already JSON */
/* key and value in one */
void jw_kstr(struct jw *w, const char *k, struct str v);
void jw_kcstr(struct jw *w, const char *k, const char *v);
void jw_kint(struct jw *w, const char *k, int64_t v);
void jw_kbool(struct jw *w, const char *k, bool v);
void jw_kuuid(struct jw *w, const char *k, const struct uuid *v);
void jw_ktime(struct jw *w, const char *k, int64_t us);
void jw_kmoney(struct jw *w, const char *k, int64_t amount_minor, const char *currency);

#endif
