/* See drive_stats.h. */
#include "drive_stats.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void stats_init(struct stats *s)
{
	*s = (struct stats){0};
	hist_init(&s->all);
	hist_init(&s->late);
	for (int i = 0; i < NAMED_MAX; i++)
		hist_init(&s->named[i]);
}

void stats_done(struct stats *s)
{
	hist_done(&s->all);
	hist_done(&s->late);
	for (int i = 0; i < NAMED_MAX; i++)
		hist_done(&s->named[i]);
}

/* Everything but the memory of the histograms. */
static void copy_plain(struct stats *into, const struct stats *from)
{
	struct stats old = *into;

	*into = *from;
	into->all = old.all;
	into->late = old.late;
	memcpy(into->named, old.named, sizeof(old.named));
}

void stats_reset(struct stats *s)
{
	static const struct stats nothing;

	copy_plain(s, &nothing);
	hist_reset(&s->all);
	hist_reset(&s->late);
	for (int i = 0; i < NAMED_MAX; i++)
		hist_reset(&s->named[i]);
}

void stats_copy(struct stats *into, const struct stats *from)
{
	copy_plain(into, from);
	hist_copy(&into->all, &from->all);
	hist_copy(&into->late, &from->late);
	for (int i = 0; i < NAMED_MAX; i++)
		hist_copy(&into->named[i], &from->named[i]);
}

void stats_code(struct stats *s, const char *code, size_t n)
{
	if (n >= CODE_TEXT)
		n = CODE_TEXT - 1;
	for (int i = 0; i < CODES_MAX; i++) {
		if (s->by_code[i].n == 0) {
			memcpy(s->by_code[i].code, code, n);
			s->by_code[i].code[n] = '\0';
		}
		if (memcmp(s->by_code[i].code, code, n) == 0 && s->by_code[i].code[n] == '\0') {
			s->by_code[i].n++;
			return;
		}
	}
}

double stats_seconds(const struct stats *s)
{
	return s->ended_us > s->began_us ? (double)(s->ended_us - s->began_us) / 1e6 : 1e-6;
}

bool stats_clean(const struct stats *s)
{
	for (int i = 0; i < PROBLEMS; i++)
		if (s->problems[i].n)
			return false;
	return true;
}

void stats_problem(struct stats *s, enum problem kind, const char *fmt, ...)
{
	va_list ap;

	if (s->problems[kind].n++)
		return;
	va_start(ap, fmt);
	vsnprintf(s->problems[kind].first, PROBLEM_TEXT, fmt, ap);
	va_end(ap);
	/* it goes into JSON, and an answer may have been cut in the middle of a character */
	for (char *p = s->problems[kind].first; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = ' ';
}

const char *stats_problem_text(const struct stats *s, enum problem kind, char *out, size_t size)
{
	static const char *const what[PROBLEMS] = {
		[PROBLEM_CONNECT] = "connections failed",
		[PROBLEM_LOST] = "requests lost their connection",
		[PROBLEM_MALFORMED] = "answers were malformed",
		[PROBLEM_ANSWER] = "answers were not expected",
		[PROBLEM_OVERFLOW] = "arrivals found no place to wait",
		[PROBLEM_IDLE] = "idle connections were closed",
	};

	if (what[kind])
		snprintf(out, size, "%" PRIu64 " %s; the first: %s", s->problems[kind].n, what[kind],
			 s->problems[kind].first);
	else
		snprintf(out, size, "%s", s->problems[kind].first);
	return out;
}
