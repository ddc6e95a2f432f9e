/*
 * Templates of mails: a small part of Mustache, which people know.
 *
 *   {{name}}                    the value; escaped in HTML, where its lines become lines
 *   {{#name}} ... {{/name}}     only if the value is not empty
 *   {{^name}} ... {{/name}}     only if it is empty
 *   {{>name}}                   another template
 *
 * A tag of a section that stands alone on its line takes the line with it. Pure; safe on any thread.
 */
#ifndef NOTIFY_TEMPLATE_H
#define NOTIFY_TEMPLATE_H

#include "base/buf.h"

enum { TEMPLATE_DEPTH = 8 };

struct template_value {
	const char *name; /* NULL ends the list */
	const char *value;
};

struct template_source {
	/* The text of another template; p NULL: there is none. */
	struct str (*find)(void *arg, struct str name);
	void *arg;
	bool html;
};

/* false with a sentence: an unknown name, a section that does not end, a template that is not there, out full. */
bool template_render(struct str text, const struct template_source *source, const struct template_value *values,
		     struct buf *out, char error[160]);
/* Calls fn for each name that a value is asked for by, partials included; false as above. For tests. */
bool template_names(struct str text, const struct template_source *source, void (*fn)(void *arg, struct str name),
		    void *arg, char error[160]);
/* For texts: no control characters but ends of lines. */
void template_plain(const char *value, struct buf *out);

#endif
