/* Owns nothing. Called by letter.c and tests. One pass over the text; sections and partials are calls of it. */
#include "notify/template.h"

#include <stdio.h>
#include <string.h>

struct walk {
	const struct template_source *source;
	const struct template_value *values;
	struct buf *out; /* NULL: only the names are wanted */
	void (*name)(void *arg, struct str name);
	void *arg;
	char *error;
	int depth;
};

static bool fail(struct walk *w, const char *what, struct str name)
{
	snprintf(w->error, 160, "%s: \"%.*s\"", what, name.n > 60 ? 60 : (int)name.n, name.p);
	return false;
}

static bool value_of(struct walk *w, struct str name, const char **ret)
{
	*ret = "";
	if (w->name) {
		w->name(w->arg, name);
		return true;
	}
	for (const struct template_value *v = w->values; v->name; v++)
		if (str_eqc(name, v->name)) {
			*ret = v->value ? v->value : "";
			return true;
		}
	return fail(w, "no such value", name);
}

void template_plain(const char *value, struct buf *out)
{
	struct str rest = str_from(value);

	while (rest.n) {
		size_t n = str_utf8_sequence(rest);
		unsigned char c = (unsigned char)*rest.p;

		if (n == 0)
			buf_adds(out, "\xEF\xBF\xBD");
		else if ((c < 0x20 && c != '\n') || c == 0x7F || (c == 0xC2 && (unsigned char)rest.p[1] < 0xA0))
			buf_addc(out, ' ');
		else
			buf_add(out, rest.p, n);
		n += n == 0;
		rest.p += n;
		rest.n -= n;
	}
}

static void add_value(struct walk *w, const char *value)
{
	struct buf plain;

	if (!w->out)
		return;
	if (!w->source->html) {
		template_plain(value, w->out);
		return;
	}
	buf_init(&plain, w->out->max);
	template_plain(value, &plain);
	for (size_t i = 0; i < plain.n; i++)
		switch (plain.p[i]) {
		case '&':
			buf_adds(w->out, "&amp;");
			break;
		case '<':
			buf_adds(w->out, "&lt;");
			break;
		case '>':
			buf_adds(w->out, "&gt;");
			break;
		case '"':
			buf_adds(w->out, "&quot;");
			break;
		case '\'':
			buf_adds(w->out, "&#39;");
			break;
		case '\n':
			buf_adds(w->out, "<br>\n");
			break;
		default:
			buf_addc(w->out, plain.p[i]);
		}
	buf_done(&plain);
}

/* The next tag from *at on: its place, its inside, and where it ends. false: there is none, or it does not end. */
static bool next_tag(struct str text, size_t at, size_t *ret_begin, size_t *ret_end, struct str *ret_inside)
{
	const char *open = memmem(text.p + at, text.n - at, "{{", 2), *close;

	if (!open)
		return false;
	*ret_begin = (size_t)(open - text.p);
	close = memmem(open + 2, text.n - *ret_begin - 2, "}}", 2);
	*ret_end = close ? (size_t)(close - text.p) + 2 : text.n;
	*ret_inside = close ? (struct str){open + 2, (size_t)(close - open) - 2} : STR_NULL;
	return true;
}

/* A tag that has its line for itself goes with the line. */
static bool take_line(struct str text, size_t begin, size_t *end)
{
	if ((begin > 0 && text.p[begin - 1] != '\n') || *end >= text.n || text.p[*end] != '\n')
		return false;
	++*end;
	return true;
}

/* The end of the section whose inside begins at `at`. */
static bool section_end(struct walk *w, struct str text, size_t at, struct str name, size_t *ret_begin, size_t *ret_end)
{
	struct str inside;
	int open = 1;

	while (next_tag(text, at, ret_begin, ret_end, &inside)) {
		at = *ret_end;
		if (inside.n == 0 || !str_eq((struct str){inside.p + 1, inside.n - 1}, name))
			continue;
		open += *inside.p == '#' || *inside.p == '^';
		open -= *inside.p == '/';
		if (open == 0)
			return true;
	}
	return fail(w, "a section that does not end", name);
}

static bool walk(struct walk *w, struct str text)
{
	size_t at = 0, begin, end, close, after;
	struct str inside, name, other;
	const char *value;
	bool ok = true;

	if (++w->depth > TEMPLATE_DEPTH)
		return fail(w, "templates too deep in each other", STR(""));
	while (ok && next_tag(text, at, &begin, &end, &inside)) {
		char sign = inside.n ? *inside.p : '\0';

		if (!sign)
			return fail(w, "a tag that does not end or is empty",
				    (struct str){text.p + begin, text.n - begin});
		if (w->out)
			buf_add(w->out, text.p + at, begin - at);
		name = strchr("#^/>", sign) ? (struct str){inside.p + 1, inside.n - 1} : inside;
		if (sign == '/')
			return fail(w, "the end of a section that did not begin", name);
		if (sign == '>') {
			other = w->source->find(w->source->arg, name);
			if (!other.p)
				return fail(w, "no such template", name);
			/* a file ends its last line; a template that stands in a line does not */
			if (!take_line(text, begin, &end))
				other.n -= other.n && other.p[other.n - 1] == '\n';
			ok = walk(w, other);
		} else if (sign == '#' || sign == '^') {
			take_line(text, begin, &end);
			if (!value_of(w, name, &value) || !section_end(w, text, end, name, &close, &after))
				return false;
			if (w->name || (*value != '\0') == (sign == '#'))
				ok = walk(w, (struct str){text.p + end, close - end});
			end = after;
			take_line(text, close, &end);
		} else if ((ok = value_of(w, name, &value))) {
			add_value(w, value);
		}
		at = end;
	}
	if (!ok)
		return false;
	if (w->out) {
		buf_add(w->out, text.p + at, text.n - at);
		if (w->out->failed)
			return fail(w, "too long", STR(""));
	}
	w->depth--;
	return true;
}

bool template_render(struct str text, const struct template_source *source, const struct template_value *values,
		     struct buf *out, char error[160])
{
	struct walk w = {.source = source, .values = values, .out = out, .error = error};

	return walk(&w, text);
}

bool template_names(struct str text, const struct template_source *source, void (*fn)(void *arg, struct str name),
		    void *arg, char error[160])
{
	struct walk w = {.source = source, .name = fn, .arg = arg, .error = error};

	return walk(&w, text);
}
