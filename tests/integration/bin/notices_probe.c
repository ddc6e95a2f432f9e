/*
 * The consumer of notifications by hand: events on standard input, one JSON object a line ({"id", "topic", "type", "show_id",
 * "time_us", "data"}), an empty line ends a batch; what became of each batch on standard output ("done", "failed").
 *   notices_probe DATABASE_URL
 */
#include "notify/notices_consume.h"
#include "notify/notices_locks.h"

#include "base/json.h"
#include "base/xmalloc.h"
#include "io/metrics_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_MAX = 10000 };

struct consumer_batch {
	struct loop *loop;
	const char *end;
};

static struct consumer_batch batch;

/* What the framework would do. */
void consumer_batch_done(struct consumer_batch *b, bool ok)
{
	b->end = ok ? "done" : "failed";
	loop_stop(b->loop);
}

void consumer_batch_failed(struct consumer_batch *b, const char *why, bool transient)
{
	fprintf(stderr, "%s\n", why);
	consumer_batch_done(b, false);
}

void consumer_batch_answer(struct consumer_batch *b, const struct pg_answer *a)
{
	if (a->status != PG_OK)
		fprintf(stderr, "%s %s\n", a->sqlstate, a->message);
	consumer_batch_done(b, a->status == PG_OK);
}

static const char *copy(json_t *line, const char *name)
{
	return xstrdup(json_string_value(json_object_get(line, name)));
}

static bool read_event(char *text, struct consumer_event *e)
{
	struct error error = {0};
	json_t *line JSON_AUTO = json_read(str_from(text), 64, &error);

	if (!line)
		abort();
	memset(e, 0, sizeof(*e));
	e->id = copy(line, "id");
	e->topic = copy(line, "topic");
	e->type = copy(line, "type");
	uuid_parse(str_from(json_string_value(json_object_get(line, "show_id"))), &e->show_id);
	e->time_us = json_integer_value(json_object_get(line, "time_us"));
	e->json = json_dumps(json_object_get(line, "data"), JSON_COMPACT);
	e->json_len = strlen(e->json);
	return true;
}

static void forget(struct consumer_event *e)
{
	free((void *)(uintptr_t)e->id);
	free((void *)(uintptr_t)e->topic);
	free((void *)(uintptr_t)e->type);
	free((void *)(uintptr_t)e->json);
}

static void on_state(void *arg, bool ready)
{
	if (ready)
		loop_stop(arg);
}

int main(int argc, char **argv)
{
	static struct metric_def defs[METRIC_COUNT_OF_ALL];
	static const char *const no_routes[] = {"-", NULL};
	static struct consumer_event events[EVENTS_MAX];
	struct loop *loop = loop_new();
	const struct pg_stmt *const *lists[] = {notices_sql, NULL};
	struct pg_config config = {.url = argc > 1 ? argv[1] : "",
				   .application = "notices_probe",
				   .shared = 1,
				   .exclusive = 1,
				   .connect_timeout_ms = 5000,
				   .statement_timeout_ms = 20000,
				   .lock_timeout_ms = 5000,
				   .statements = lists,
				   .on_state = on_state,
				   .arg = loop};
	struct metrics *metrics;
	struct notices *notices;
	struct pg *pg;
	char *line = NULL;
	size_t size = 0, n = 0;

	json_setup();
	metrics_table_fill(defs, no_routes);
	metrics = metrics_new(defs, METRIC_COUNT_OF_ALL, 1);
	metrics_use_slot(metrics, 0);
	pg = pg_new(loop, &config);
	notices = notices_new(pg, metrics);
	loop_run(loop);
	batch.loop = loop;
	while (getline(&line, &size, stdin) > 0) {
		if (*line != '\n') {
			n += n < EVENTS_MAX && read_event(line, &events[n]);
			continue;
		}
		batch.end = NULL;
		notices_consume(notices, events, n, &batch);
		if (!batch.end)
			loop_run(loop);
		printf("%s\n", batch.end);
		fflush(stdout);
		while (n)
			forget(&events[--n]);
	}
	free(line);
	notices_free(notices);
	pg_free(pg);
	metrics_free(metrics);
	loop_free(loop);
	return 0;
}
