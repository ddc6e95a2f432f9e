/* What an answer counts as. */
#include "drive.h"

#include <assert.h>
#include <string.h>

bool counted(const struct drive *d, const struct intent *in)
{
	return in->start_us >= d->count_from_us && in->start_us < d->count_until_us;
}

bool answer_text(const struct answer *a, const char *name, size_t name_n, struct str *ret)
{
	const char *at = memmem(a->body.p, a->body.n, name, name_n), *end;

	*ret = STR_NULL;
	if (!at)
		return false;
	at += name_n;
	end = memchr(at, '"', a->body.n - (size_t)(at - a->body.p));
	if (!end)
		return false;
	*ret = (struct str){at, (size_t)(end - at)};
	return true;
}

bool answer_code(const struct answer *a, const char *code)
{
	struct str found;

	return ANSWER_TEXT(a, "code", &found) && str_eqc(found, code);
}

/* The first line of the answer and as much of its body as fits. */
static void unexpected(struct drive *d, const struct intent *in, const struct answer *a)
{
	char request[REQUEST_MAX];
	size_t n = d->talk->request(d, in, request), line;
	const char *end;

	/* made again only to say what was asked; not the line's end */
	end = memmem(request, n, " HTTP/1.1\r\n", 11);
	line = end ? (size_t)(end - request) : 0;
	problem(d, PROBLEM_ANSWER, "%.*s -> %d %.*s", (int)(line < 100 ? line : 100), request, a->status,
		(int)(a->body.n < 200 ? a->body.n : 200), a->body.n ? a->body.p : "");
}

void count_answer(struct drive *d, const struct intent *in, const struct answer *a, enum outcome o, int named)
{
	struct stats *s = &d->stats;
	bool in_window = d->now_us >= d->count_from_us && d->now_us < d->count_until_us;
	struct str code;

	if (o == OUTCOME_UNEXPECTED && a->status)
		unexpected(d, in, a);
	if (in_window && a->status) {
		s->in_window++;
		s->accepted_in_window += o == OUTCOME_ACCEPTED;
	}
	/* a lost one is counted as a problem where it was lost */
	if (!counted(d, in) || a->status == 0)
		return;
	s->completed++;
	s->by_status[a->status]++;
	if (a->status >= 400 && ANSWER_TEXT(a, "code", &code))
		stats_code(s, code.p, code.n);
	if ((a->status == 429 || a->status == 503) && memmem(a->head.p, a->head.n, "\r\nRetry-After:", 14))
		s->retry_after++;
	s->accepted += o == OUTCOME_ACCEPTED;
	s->refused += o == OUTCOME_REFUSED;
	if (named >= 0)
		hist_record(&s->named[named], d->now_us - in->due_us);
	if (o != OUTCOME_STEP)
		hist_record(&s->all, d->now_us - in->start_us);
}

static int find_name(const char **names, int max, const char *name)
{
	for (int i = 0; i < max; i++) {
		if (!names[i])
			names[i] = name;
		if (strcmp(names[i], name) == 0)
			return i;
	}
	assert(!"too many names");
	return 0;
}

int drive_named(struct drive *d, const char *name)
{
	return find_name(d->named, NAMED_MAX, name);
}

int drive_counter(struct drive *d, const char *name)
{
	return find_name(d->counters, COUNTERS_MAX, name);
}

void drive_count(struct drive *d, const struct intent *in, int counter)
{
	d->stats.counters[counter] += counted(d, in);
}
