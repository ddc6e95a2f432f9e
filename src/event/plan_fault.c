/*
 * What can be told from the text of a plan alone: where one that could not be read goes wrong, as a JSON Pointer
 * (jansson says at which byte it stopped, a walk up to there knows which member that is), and whether it is hopelessly
 * large.
 */
#include "base/json.h"
#include "event/plan_model.h"

#include <assert.h>
#include <string.h>

struct level {
	bool array;
	bool named; /* an object whose current member's name has been read */
	bool expect_key;
	size_t index;	/* of an array */
	struct str key; /* of an object, as it stands in the text */
};

struct walk {
	struct str text;
	struct level level[PLAN_DEPTH_MAX];
	int depth;
};

/* i at the opening quote; returns the offset behind the closing one, or the end. */
static size_t skip_string(struct str text, size_t i)
{
	for (i++; i < text.n; i++) {
		if (text.p[i] == '\\')
			i++;
		else if (text.p[i] == '"')
			return i + 1;
	}
	return text.n;
}

/* Walks up to byte stop. false: a level more than depth_max opens before it. */
static bool walk_to(struct walk *w, size_t stop, int depth_max)
{
	for (size_t i = 0; i < stop;) {
		struct level *top = w->depth ? &w->level[w->depth - 1] : NULL;
		char c = w->text.p[i];

		if (c == '"') {
			size_t end = skip_string(w->text, i);

			if (top && top->expect_key && end <= stop && end - i >= 2) {
				top->key = (struct str){w->text.p + i + 1, end - i - 2};
				top->named = true;
				top->expect_key = false;
			}
			i = end;
			continue;
		}
		if (c == '{' || c == '[') {
			if (w->depth == depth_max)
				return false;
			w->level[w->depth++] = (struct level){.array = c == '[', .expect_key = c == '{'};
		} else if ((c == '}' || c == ']') && top) {
			w->depth--;
		} else if (c == ',' && top) {
			top->index++;
			top->expect_key = !top->array;
			top->named = false;
		}
		i++;
	}
	return true;
}

static void pointer_of(const struct walk *w, char out[ERROR_PATH_MAX])
{
	char parent[ERROR_PATH_MAX];

	out[0] = '\0';
	for (int i = 0; i < w->depth; i++) {
		const struct level *l = &w->level[i];

		memcpy(parent, out, sizeof(parent));
		if (l->array) {
			json_pointer_index(out, parent, l->index);
		} else if (l->named) {
			/* with its quotes the name is a JSON text: that undoes the escapes */
			json_t *name = json_loadb(l->key.p - 1, l->key.n + 2, JSON_DECODE_ANY, NULL);

			/* a name that cannot be said: the object it stands in */
			if (name)
				json_pointer(out, parent, json_string_value(name));
			json_decref(name);
		}
	}
}

void plan_explain(struct str text, int depth_max, struct error *ret_error)
{
	char path[ERROR_PATH_MAX];
	struct walk w = {.text = text};
	enum err code = ERR_INVALID_REQUEST;
	const char *what = NULL;
	json_error_t e = {.position = 0};
	json_t *j = json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	size_t stop = j ? text.n : e.position > 0 ? (size_t)e.position : 0;
	int line = e.line, column = e.column;

	assert(depth_max > 0 && depth_max <= PLAN_DEPTH_MAX);
	json_decref(j);
	if (!walk_to(&w, stop < text.n ? stop : text.n, depth_max)) {
		pointer_of(&w, path);
		*ret_error = (struct error){.code = ERR_NONE};
		error_set(ret_error, ERR_INVALID_PLAN, path, "The JSON is nested more than %d levels deep here.",
			  depth_max);
		return;
	}
	pointer_of(&w, path);
	switch (json_error_code(&e)) {
	case json_error_null_character:
	case json_error_null_byte_in_key:
		code = ERR_INVALID_PLAN;
		what = "A text contains the character U+0000";
		break;
	case json_error_numeric_overflow:
		code = ERR_INVALID_PLAN;
		what = "A number is too large";
		break;
	case json_error_duplicate_key:
		what = "A member is given twice";
		break;
	case json_error_invalid_utf8:
		what = "A text is not well-formed UTF-8";
		break;
	default:
		break;
	}
	if (what) {
		*ret_error = (struct error){.code = ERR_NONE};
		error_set(ret_error, code, path, "%s (line %d, column %d).", what, line, column);
	} else {
		/* json_read's own sentence is the best there is; it only does not know the place */
		memcpy(ret_error->path, path, sizeof(path));
	}
}

bool plan_too_many_seats(struct str text, uint32_t seats_max, int depth_max, struct error *ret_error)
{
	static const char key[] = "\"seat_guid\"";
	const char *at = text.p, *end = text.p + text.n;
	uint32_t n = 0;

	/* shorter than seats_max of the smallest seats: the usual case */
	if (text.n / sizeof(key) <= seats_max)
		return false;
	while ((at = memmem(at, (size_t)(end - at), key, sizeof(key) - 1))) {
		const char *after = at + sizeof(key) - 1;

		while (after < end && (*after == ' ' || *after == '\t' || *after == '\n' || *after == '\r'))
			after++;
		/* a member's name, not a text that happens to read so */
		if (after < end && *after == ':' && ++n > seats_max) {
			char path[ERROR_PATH_MAX];
			struct walk w = {.text = text};

			walk_to(&w, (size_t)(at - text.p), depth_max);
			pointer_of(&w, path);
			error_set(ret_error, ERR_INVALID_PLAN, path, "A plan has at most %u seats.", seats_max);
			return true;
		}
		at = after;
	}
	return false;
}
