/*
 * A consumer for tests: gives every batch to the SQL function probe_take(jsonb), which the test defines.
 *
 *   consume_probe DATABASE-URL BROKERS PREFIX TOPIC,TOPIC now|beginning [BATCH [TRIES [DIE-AFTER]]]
 *
 * BROKERS "": from the log. DIE-AFTER n: kills itself when the effect of the nth batch is committed and nobody knows it yet. SIGTERM
 * ends it; then it prints its metrics.
 */
#include "consume/consume.h"
#include "io/metrics_table.h"
#include "work/work.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct pg_stmt take = {"probe_take", "SELECT probe_take($1::jsonb)", 1};
static const struct pg_stmt *const takes[] = {&take, NULL};

struct probe {
	struct loop *loop;
	struct pg *pg;
	struct consumer *consumer;
	struct duty *duty;
	struct consumer_batch *batch;
	char holder[64];
	int die_after;
};

static void on_taken(void *arg, const struct pg_answer *a)
{
	struct probe *p = arg;

	if (a->status == PG_OK && p->die_after && --p->die_after == 0)
		raise(SIGKILL);
	consumer_batch_answer(p->batch, a);
}

static void on_batch(void *arg, const struct consumer_event *events, size_t n, struct consumer_batch *batch)
{
	struct probe *p = arg;
	struct arena arena;
	struct pg_args args;

	p->batch = batch;
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_json(&args, consumer_events_json(&arena, events, n));
	pg_query_start(p->pg, &take, &args, 10000, on_taken, p);
	arena_done(&arena);
}

static void on_round(void *arg, bool ok, bool more)
{
	duty_done(arg, ok, more);
}

static void run(void *arg, struct duty *d)
{
	struct probe *p = arg;

	consumer_round(p->consumer, on_round, d);
}

static void lost(void *arg)
{
	struct probe *p = arg;

	consumer_lost(p->consumer);
}

static void wake(void *arg)
{
	struct probe *p = arg;

	duty_wake(p->duty);
}

static void on_handed_on(void *arg)
{
	struct probe *p = arg;

	loop_stop(p->loop);
}

static void on_term(void *arg, int signo)
{
	struct probe *p = arg;

	duty_stop(p->duty);
	duties_hand_on(p->pg, p->holder, on_handed_on, p);
}

int main(int argc, char **argv)
{
	static struct metric_def defs[METRIC_COUNT_OF_ALL];
	static const char *const no_routes[] = {"-", NULL};
	const struct pg_stmt *const *lists[] = {consume_sql, work_sql, takes, NULL};
	const char *topics[8] = {NULL};
	struct probe p = {0};
	struct signal_watch *term;
	struct metrics *metrics;
	struct offload *offload;
	struct buf out;
	size_t n = 0;

	if (argc < 6)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	json_setup();
	for (char *t = strtok_r(argv[4], ",", &argv[4]); t && n < 7; t = strtok_r(NULL, ",", &argv[4]))
		topics[n++] = t;
	metrics_table_fill(defs, no_routes);
	metrics = metrics_new(defs, METRIC_COUNT_OF_ALL, 1);
	metrics_use_slot(metrics, 0);
	p.loop = loop_new();
	p.pg = pg_new(p.loop, &(struct pg_config){.url = argv[1],
						  .application = "consume_probe",
						  .shared = 2,
						  .exclusive = 1,
						  .connect_timeout_ms = 5000,
						  .statement_timeout_ms = 10000,
						  .lock_timeout_ms = 500,
						  .statements = lists});
	offload = offload_new(p.loop, 2, 16);
	p.die_after = argc > 8 ? (int)strtol(argv[8], NULL, 10) : 0;
	snprintf(p.holder, sizeof(p.holder), "probe/%d", (int)getpid());
	p.consumer = consumer_new(
		&(struct consume_env){.loop = p.loop,
				      .pg = p.pg,
				      .offload = offload,
				      .metrics = metrics,
				      .kafka = {argv[2], "", "probe"},
				      .topic_prefix = argv[3],
				      .batch_max = argc > 6 ? strtoul(argv[6], NULL, 10) : 100,
				      .tries_max = argc > 7 ? (int)strtol(argv[7], NULL, 10) : 3},
		&(struct consumer_config){CONSUMER_RECOMMENDED, topics,
					  strcmp(argv[5], "now") == 0 ? CONSUMER_FROM_NOW : CONSUMER_FROM_BEGINNING,
					  on_batch, &p});
	p.duty = duty_new(&(struct duty_config){.kind = DUTY_CONSUME,
						.name = consumer_lease(p.consumer),
						.holder = p.holder,
						.every_ms = 20,
						.lease_ms = 1000,
						.loop = p.loop,
						.pg = p.pg,
						.metrics = metrics,
						.run = run,
						.lost = lost,
						.arg = &p});
	consumer_on_wake(p.consumer, wake, &p);
	term = signal_watch_new(p.loop, SIGTERM, on_term, &p);
	loop_run(p.loop);
	signal_watch_free(term);
	consumer_free(p.consumer);
	duty_free(p.duty);
	offload_free(offload);
	pg_free(p.pg);
	loop_free(p.loop);
	buf_init(&out, 1024 * 1024);
	metrics_render(metrics, &out);
	printf("%s", out.p);
	buf_done(&out);
	metrics_free(metrics);
	return 0;
}
