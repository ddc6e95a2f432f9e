/*
 * Owns the relay's partitions (leases), what it does next, and whether there is a broker. relay.h has the states.
 *
 *   poll: nothing when a poll is under way, when the broker is not OPEN, or four batches are under way
 *         what is set aside is stale, or somebody wished something: waits for the batches to end, then relay_park
 *         else relay_next (or relay_pass) over the partitions that are ours and FREE
 *
 * Numbers below which nothing is left. Deleted rows stay in the index until they are vacuumed, and while some transaction is old (a
 * backup) they are not; walking over them in each poll would make the relay slower and slower. So it remembers from where on to look.
 * That is safe only for numbers that no transaction can still have and nobody sees: `given` is how far they were given out at one
 * look; at the next look every transaction that has one of these has begun (pending_next); when all that had begun by then have
 * ended, numbers up to `given` are decided: there, or never. A partition's own low is that, or its first row's number. Once a minute
 * it looks through everything all the same, and also when PostgreSQL is another one than before.
 */
#include "relay/relay_int.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "io/log.h"
#include "io/metrics_table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BATCHES_MAX = 4,
	ROWS_MAX = 1000,
	ROWS_OF_PARTITION = 500,
	WATCH_MS = 1000,
	TOPICS_MS = 5000,
	STOP_MS = 1500,
	CHECK_AGAIN_MS = 2000,
};
#define FULL_LOOK_US US_PER_MINUTE

const struct pg_stmt *const *const relay_sql = relay_sql_statements;

/* ---- what is wrong ---- */

void relay_say(struct relay *r, const char *what, const char *error)
{
	if (!error) {
		if (r->said[0])
			log_line(LOG_INFO, "the relay goes on");
		r->said[0] = '\0';
		return;
	}
	metric_add(r->config.metrics, METRIC_RELAY_ERRORS, 0, 0, 1);
	if (!strcmp(r->said, error))
		return;
	snprintf(r->said, sizeof(r->said), "%s", error);
	log_line(LOG_ERROR, what, LOG_C("error", error));
}

bool relay_holds(const struct relay *r, int partition, int64_t generation)
{
	return r->partitions[partition].held && r->partitions[partition].generation == generation;
}

void relay_doubt(struct relay *r)
{
	r->stale = true;
	timer_set_ms(r->lease_timer, 0);
}

/* ---- the end ---- */

static void on_dropped(void *arg, const struct pg_answer *a)
{
	struct relay *r = arg;

	r->stop_fn(r->stop_arg);
}

static void hand_on(struct relay *r)
{
	struct arena arena;
	struct pg_args args;

	if (r->handed_on)
		return;
	r->handed_on = true;
	timer_clear(r->watch_timer);
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_text(&args, str_from(r->config.holder));
	pg_query_start(r->config.pg, &relay_sql_relay_leases_drop, &args, STOP_MS, on_dropped, r);
	arena_done(&arena);
}

/* We are to end: when nothing is under way any more. */
static void stop_try(struct relay *r)
{
	if (r->stopped && r->n_batches == 0 && !r->parking && !(r->polling && r->broker == RELAY_NO_BROKER))
		hand_on(r);
}

/* ---- leases ---- */

/* What is more than our share, as far as it is free. */
static size_t give_up(struct relay *r, int32_t *ret)
{
	int held = 0;
	size_t n = 0;

	for (int i = 0; i < RELAY_PARTITIONS; i++)
		held += r->partitions[i].held;
	for (int i = RELAY_PARTITIONS - 1; i >= 0 && held > r->share; i--)
		if (r->partitions[i].held && !r->partitions[i].busy) {
			r->partitions[i].held = false;
			ret[n++] = i;
			held--;
		}
	return n;
}

static void on_lease(void *arg, const struct pg_answer *a)
{
	struct relay *r = arg;
	bool mine[RELAY_PARTITIONS] = {false}, more = false;
	int64_t n = 0;

	r->leasing = false;
	if (r->stopped)
		return;
	timer_set_ms(r->lease_timer, a->status == PG_OK ? r->config.lease_ms / 4 : RELAY_RETRY_MS);
	if (a->status != PG_OK) {
		relay_say(r, "the relay cannot have its partitions", a->message);
		return;
	}
	r->mine_until_us = loop_now_us(r->config.loop) + r->config.lease_ms * 1000 * 2 / 3;
	for (int i = 0; i < pg_rows(a->result); i++, n++) {
		struct relay_partition *p = &r->partitions[pg_get_int(a->result, i, 0)];
		int64_t generation = pg_get_int(a->result, i, 1);

		mine[pg_get_int(a->result, i, 0)] = true;
		r->share = (int)pg_get_int(a->result, i, 2);
		if (!p->held || p->generation != generation) {
			p->low = 0;
			more = true;
		}
		p->held = true;
		p->generation = generation;
	}
	for (int i = 0; i < RELAY_PARTITIONS; i++)
		if (!mine[i])
			r->partitions[i].held = false;
	metric_set(r->config.metrics, METRIC_RELAY_PARTITIONS, 0, 0, n);
	if (more) {
		r->stale = true;
		relay_poll_in(r, 0);
	}
}

static void on_lease_timer(void *arg)
{
	struct relay *r = arg;
	int32_t up[RELAY_PARTITIONS];
	struct arena arena;
	struct pg_args args;

	if (r->leasing || r->stopped)
		return;
	r->leasing = true;
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_text(&args, str_from(r->config.holder));
	pg_arg_interval_us(&args, r->config.lease_ms * 1000);
	pg_arg_i32s(&args, up, give_up(r, up));
	pg_query_start(r->config.pg, &relay_sql_relay_lease, &args, RELAY_QUERY_MS, on_lease, r);
	arena_done(&arena);
}

/* ---- what is next ---- */

void relay_poll_in(struct relay *r, int64_t ms)
{
	if (!r->stopped)
		timer_set_ms(r->poll_timer, ms);
}

void relay_over(struct relay *r, bool ok)
{
	if (r->stopped) {
		stop_try(r);
		return;
	}
	if (!ok)
		relay_doubt(r);
	relay_poll_in(r, ok ? 0 : RELAY_RETRY_MS);
}

void relay_check_again(struct relay *r)
{
	if (r->broker != RELAY_OPEN || r->stopped)
		return;
	r->broker = RELAY_CHECKING;
	timer_set_ms(r->check_timer, RELAY_RETRY_MS);
}

/* What is below this is decided: the partition's first row, or all that was decided when the question was asked. */
static void low_set(struct relay *r, int partition, int64_t first, int64_t safe)
{
	int64_t low = first < safe ? first : safe;

	if (low > r->partitions[partition].low)
		r->partitions[partition].low = low;
}

static void on_next(void *arg, const struct pg_answer *a)
{
	struct relay *r = arg;
	int n = a->status == PG_OK ? pg_rows(a->result) : 0, last = -1;

	r->polling = false;
	if (r->stopped)
		return;
	if (r->stale) /* it may hold an aggregate that waits, and we do not know */
		n = 0;
	if (a->status != PG_OK) {
		relay_say(r, "the relay cannot read the outbox", a->message);
		relay_poll_in(r, RELAY_RETRY_MS);
		return;
	}
	for (int i = 0; i < n; i++) {
		int partition = (int)pg_get_int(a->result, i, 0);

		if (partition != last)
			low_set(r, partition, pg_get_int(a->result, i, 6), r->asked_safe);
		last = partition;
		r->asked[partition] = false;
	}
	for (int i = 0; i < RELAY_PARTITIONS && n < ROWS_MAX && !r->stale; i++)
		if (r->asked[i])
			low_set(r, i, r->asked_safe, r->asked_safe);
	if (n > 0)
		relay_batch_start(r, a->result);
	relay_poll_in(r, n == ROWS_MAX ? 0 : r->config.poll_ms);
}

static void on_passed(void *arg, const struct pg_answer *a)
{
	struct relay *r = arg;
	const struct relay_passed *p = &r->passed;
	bool full = false, went[RELAY_PARTITIONS] = {false};

	r->polling = false;
	for (size_t i = 0; i < p->n; i++)
		r->partitions[p->partitions[i]].busy = false;
	if (a->status == PG_OK) {
		for (int i = 0; i < pg_rows(a->result); i++) {
			int partition = (int)pg_get_int(a->result, i, 0);
			bool all = pg_get_int(a->result, i, 1) < ROWS_OF_PARTITION;

			went[partition] = true;
			full |= !all;
			metric_add(r->config.metrics, METRIC_RELAY_EVENTS, 1, 0, pg_get_int(a->result, i, 2));
			low_set(r, partition, all ? p->safe : pg_get_int(a->result, i, 3), p->safe);
		}
		/* nothing came of these: they are empty, or not ours any more, and then low is begun anew with the lease */
		for (size_t i = 0; i < p->n; i++)
			if (!went[p->partitions[i]])
				low_set(r, p->partitions[i], p->safe, p->safe);
		relay_say(r, NULL, NULL);
	} else {
		relay_say(r, "the relay cannot move what is next", a->message);
	}
	relay_poll_in(r, a->status != PG_OK ? RELAY_RETRY_MS : full ? 0 : r->config.poll_ms);
	stop_try(r);
}

static void ask(struct relay *r, const int32_t *partitions, size_t n)
{
	int64_t lows[RELAY_PARTITIONS], generations[RELAY_PARTITIONS];
	struct arena arena;
	struct pg_args args;

	for (size_t i = 0; i < n; i++) {
		lows[i] = r->partitions[partitions[i]].low;
		generations[i] = r->partitions[partitions[i]].generation;
	}
	r->polling = true;
	arena_init(&arena);
	pg_args_init(&args, &arena);
	if (r->broker == RELAY_NO_BROKER) {
		r->passed.n = n;
		r->passed.safe = r->safe;
		memcpy(r->passed.partitions, partitions, n * sizeof(*partitions));
		for (size_t i = 0; i < n; i++)
			r->partitions[partitions[i]].busy = true;
		pg_arg_text(&args, str_from(r->config.holder));
		pg_arg_i32s(&args, partitions, n);
		pg_arg_i64s(&args, generations, n);
		pg_arg_i64s(&args, lows, n);
		pg_arg_i32(&args, ROWS_OF_PARTITION);
		pg_query_start(r->config.pg, &relay_sql_relay_pass, &args, RELAY_QUERY_MS, on_passed, r);
	} else {
		r->asked_safe = r->safe;
		for (int i = 0; i < RELAY_PARTITIONS; i++)
			r->asked[i] = false;
		for (size_t i = 0; i < n; i++)
			r->asked[partitions[i]] = true;
		pg_arg_i32s(&args, partitions, n);
		pg_arg_i64s(&args, lows, n);
		pg_arg_i32(&args, ROWS_OF_PARTITION);
		pg_arg_i32(&args, ROWS_MAX);
		pg_query_start(r->config.pg, &relay_sql_relay_next, &args, RELAY_QUERY_MS, on_next, r);
	}
	arena_done(&arena);
}

static void look_again_at_all(struct relay *r)
{
	int64_t now = loop_now_us(r->config.loop);

	if (strcmp(r->timeline, pg_timeline(r->config.pg))) {
		snprintf(r->timeline, sizeof(r->timeline), "%s", pg_timeline(r->config.pg));
		r->safe = r->pending = r->pending_next = 0;
	} else if (now < r->full_at_us) {
		return;
	}
	r->full_at_us = now + FULL_LOOK_US;
	for (int i = 0; i < RELAY_PARTITIONS; i++)
		r->partitions[i].low = 0;
}

static void on_poll(void *arg)
{
	struct relay *r = arg;
	int32_t partitions[RELAY_PARTITIONS];
	size_t n = 0;

	/* each of these ends with a poll */
	if (r->stopped || r->polling || r->parking || r->broker == RELAY_CHECKING || r->n_batches >= BATCHES_MAX)
		return;
	if (loop_now_us(r->config.loop) >= r->mine_until_us) {
		relay_poll_in(r, r->config.poll_ms);
		return;
	}
	/* without a broker nothing waits; but what is no event is shown, until somebody says that it has been seen */
	if (r->wished || (r->broker == RELAY_OPEN && r->stale)) {
		if (r->n_batches == 0)
			relay_park_start(r);
		return;
	}
	look_again_at_all(r);
	for (int i = 0; i < RELAY_PARTITIONS; i++)
		if (r->partitions[i].held && !r->partitions[i].busy)
			partitions[n++] = i;
	if (n > 0)
		ask(r, partitions, n);
	else
		relay_poll_in(r, r->config.poll_ms);
}

/* ---- how things stand ---- */

static void on_watch(void *arg, const struct pg_answer *a)
{
	struct relay *r = arg;
	int64_t given, oldest, next;

	r->watching = false;
	if (r->stopped)
		return;
	timer_set_ms(r->watch_timer, WATCH_MS);
	if (a->status != PG_OK)
		return;
	metric_set(r->config.metrics, METRIC_RELAY_LAG, 0, 0, pg_get_int(a->result, 0, 0));
	metric_set(r->config.metrics, METRIC_RELAY_PARKED, 0, 0, pg_get_int(a->result, 0, 1));
	if (pg_get_bool(a->result, 0, 2) && !r->wished) {
		r->wished = true;
		relay_poll_in(r, 0);
	}
	given = pg_get_int(a->result, 0, 3);
	oldest = pg_get_int(a->result, 0, 4);
	next = pg_get_int(a->result, 0, 5);
	if (r->pending_next && oldest >= r->pending_next) {
		r->safe = r->pending;
		r->pending = r->pending_next = 0;
	}
	if (!r->pending)
		r->pending = given;
	else if (!r->pending_next)
		r->pending_next = next;
}

static void on_watch_timer(void *arg)
{
	struct relay *r = arg;
	int32_t partitions[RELAY_PARTITIONS];
	int64_t lows[RELAY_PARTITIONS];
	size_t n = 0;
	struct arena arena;
	struct pg_args args;

	if (r->stopped)
		hand_on(r); /* it has had its time */
	if (r->watching || r->stopped)
		return;
	for (int i = 0; i < RELAY_PARTITIONS; i++)
		if (r->partitions[i].held) {
			partitions[n] = i;
			lows[n++] = r->partitions[i].low;
		}
	r->watching = true;
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_i32s(&args, partitions, n);
	pg_arg_i64s(&args, lows, n);
	pg_query_start(r->config.pg, &relay_sql_relay_watch, &args, RELAY_QUERY_MS, on_watch, r);
	arena_done(&arena);
}

/* ---- the broker ---- */

static void on_topics(void *arg, bool ok, const char *error)
{
	struct relay *r = arg;

	r->checking = NULL;
	if (r->stopped)
		return;
	if (!ok) {
		relay_say(r, "nothing goes to Kafka", error);
		timer_set_ms(r->check_timer, CHECK_AGAIN_MS);
		return;
	}
	relay_say(r, NULL, NULL);
	r->broker = RELAY_OPEN;
	relay_poll_in(r, 0);
}

static void on_check(void *arg)
{
	struct relay *r = arg;
	struct kafka_topics_spec spec = {.access = &r->config.kafka,
					 .names = (const char *const *)r->topics,
					 .n = RELAY_TOPICS,
					 .partitions = r->config.kafka_partitions,
					 .replication = r->config.kafka_replication,
					 .timeout_ms = TOPICS_MS};

	if (r->checking || r->stopped)
		return;
	r->checking = kafka_topics_start(r->config.offload, &spec, on_topics, r);
	if (!r->checking)
		timer_set_ms(r->check_timer, CHECK_AGAIN_MS);
}

/* ---- its life ---- */

struct relay *relay_new(const struct relay_config *config, char ret_error[KAFKA_ERROR_MAX])
{
	struct relay *r = xcalloc(1, sizeof(*r));

	r->config = *config;
	list_init(&r->batches);
	r->share = RELAY_PARTITIONS;
	if (config->kafka.brokers[0]) {
		r->producer = kafka_producer_new(config->loop, config->offload, &config->kafka, ret_error);
		if (!r->producer) {
			free(r);
			return NULL;
		}
		r->broker = RELAY_CHECKING;
	}
	for (int i = 0; i < RELAY_TOPICS; i++) {
		size_t n = strlen(config->topic_prefix) + strlen(relay_topics[i]) + 1;

		r->topics[i] = xcalloc(1, n);
		snprintf(r->topics[i], n, "%s%s", config->topic_prefix, relay_topics[i]);
	}
	r->lease_timer = timer_new(config->loop, on_lease_timer, r);
	r->poll_timer = timer_new(config->loop, on_poll, r);
	r->watch_timer = timer_new(config->loop, on_watch_timer, r);
	r->check_timer = timer_new(config->loop, on_check, r);
	timer_set_ms(r->lease_timer, 0);
	timer_set_ms(r->watch_timer, 0);
	if (r->producer)
		timer_set_ms(r->check_timer, 0);
	return r;
}

void relay_stop(struct relay *r, loop_fn *fn, void *arg)
{
	assert(!r->stopped);
	r->stopped = true;
	r->stop_fn = fn;
	r->stop_arg = arg;
	timer_clear(r->lease_timer);
	timer_clear(r->poll_timer);
	timer_clear(r->check_timer);
	/* what is under way may end, so that it is not sent again */
	timer_set_ms(r->watch_timer, STOP_MS);
	stop_try(r);
}

void relay_free(struct relay *r)
{
	if (!r)
		return;
	if (r->checking)
		kafka_topics_cancel(r->checking);
	relay_batch_drop(r);
	relay_park_drop(r);
	kafka_producer_free(r->producer);
	timer_free(r->lease_timer);
	timer_free(r->poll_timer);
	timer_free(r->watch_timer);
	timer_free(r->check_timer);
	relay_set_done(&r->blocked);
	for (int i = 0; i < RELAY_TOPICS; i++)
		free(r->topics[i]);
	free(r);
}
