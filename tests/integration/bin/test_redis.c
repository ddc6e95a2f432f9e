/* io/redis against a real server. REDIS_URL, REDIS_UNIX_URL and, for the tests that need it, REDIS_PASSWORD. */
#include "io/redis.h"

#include "loop_test.h"

#include <sys/resource.h>
#include <time.h>

enum { N_MANY = 10000, BIG = 20 << 20 };

struct fixture {
	struct loop *loop;
	struct redis *r;
	int ups, downs;
};

/* What became of one command. */
struct got {
	int calls;
	enum redis_status status;
	enum redis_type type;
	int64_t n;
	char text[128];
	size_t size;
	int place; /* in the order of the callbacks */
	int *counter;
};

static void on_state(void *arg, bool ready)
{
	struct fixture *f = arg;

	assert_int_equal(ready, redis_ready(f->r));
	f->ups += ready;
	f->downs += !ready;
}

static void got_fn(void *arg, const struct redis_answer *a)
{
	struct got *g = arg;
	struct str s = redis_str(a->value);

	g->calls++;
	g->status = a->status;
	g->type = redis_type(a->value);
	g->n = redis_int(a->value);
	g->size = s.n;
	if (a->status == REDIS_OK)
		snprintf(g->text, sizeof(g->text), "%.*s", (int)(s.n < 100 ? s.n : 100), s.n ? s.p : "");
	else
		snprintf(g->text, sizeof(g->text), "%s", a->error);
	if (g->counter)
		g->place = ++*g->counter;
}

static bool is_ready(void *arg)
{
	return redis_ready(((struct fixture *)arg)->r);
}

static bool is_down(void *arg)
{
	return !redis_ready(((struct fixture *)arg)->r);
}

static bool was_called(void *arg)
{
	return ((struct got *)arg)->calls > 0;
}

static struct redis *connect_to(struct fixture *f, const char *url, int64_t timeout_ms)
{
	char error[256] = "";
	struct redis_config config = {.url = url,
	                              .connect_timeout_ms = 2000,
	                              .command_timeout_ms = timeout_ms,
	                              .on_state = on_state,
	                              .arg = f};

	f->r = redis_new(f->loop, &config, error, sizeof(error));
	if (!f->r)
		fail_msg("%s", error);
	return f->r;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	f->loop = loop_new();
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	redis_free(f->r);
	loop_free(f->loop);
	free(f);
	return 0;
}

/* The usual beginning. */
static void come_up(struct fixture *f, int64_t timeout_ms)
{
	connect_to(f, getenv("REDIS_UNIX_URL"), timeout_ms);
	assert_false(redis_ready(f->r));
	WAIT_UNTIL(f->loop, is_ready, f);
	assert_int_equal(f->ups, 1);
	assert_int_equal(f->downs, 0);
}

#define CMD(f, got, ...)                                                                                               \
	redis_cmd_start((f)->r, (struct str[]){__VA_ARGS__}, sizeof((struct str[]){__VA_ARGS__}) / sizeof(struct str), \
	                0, got_fn, (got))

static void call(struct fixture *f, struct got *g, const struct str *argv, size_t argc)
{
	memset(g, 0, sizeof(*g));
	redis_cmd_start(f->r, argv, argc, 0, got_fn, g);
	assert_int_equal(g->calls, 0);
	WAIT_UNTIL(f->loop, was_called, g);
	assert_int_equal(g->calls, 1);
}
#define CALL(f, got, ...)                                                                                              \
	call((f), (got), (struct str[]){__VA_ARGS__}, sizeof((struct str[]){__VA_ARGS__}) / sizeof(struct str))

static void values(void **state)
{
	struct fixture *f = *state;
	struct got g;
	const char binary[] = "a\0b\r\n$5\r\n\xff*1\r\n";

	come_up(f, 5000);
	assert_int_equal(strlen(redis_run_id(f->r)), 40);
	assert_true(redis_noeviction(f->r));
	assert_string_equal(redis_last_error(f->r), "");
	CALL(f, &g, STR("SET"), STR("k"), ((struct str){binary, sizeof(binary) - 1}));
	assert_int_equal(g.status, REDIS_OK);
	assert_int_equal(g.type, REDIS_STRING);
	assert_string_equal(g.text, "OK");
	CALL(f, &g, STR("STRLEN"), STR("k"));
	assert_int_equal(g.type, REDIS_INT);
	assert_int_equal(g.n, sizeof(binary) - 1);
	CALL(f, &g, STR("GET"), STR("k"));
	assert_int_equal(g.size, sizeof(binary) - 1);
	assert_memory_equal(g.text, binary, 1);
	CALL(f, &g, STR("GET"), STR("absent"));
	assert_int_equal(g.status, REDIS_OK);
	assert_int_equal(g.type, REDIS_NIL);
	CALL(f, &g, STR("SET"), STR("k"), STR("-42"));
	CALL(f, &g, STR("GET"), STR("k"));
	assert_int_equal(g.n, -42);
	CALL(f, &g, STR("SET"), STR(""), STR_NULL);
	assert_int_equal(g.status, REDIS_OK);
	CALL(f, &g, STR("GET"), STR(""));
	assert_int_equal(g.type, REDIS_STRING);
	assert_int_equal(g.size, 0);
	CALL(f, &g, STR("HGET"), STR("k"), STR("x"));
	assert_int_equal(g.status, REDIS_ERROR);
	assert_memory_equal(g.text, "WRONGTYPE", 9);
	assert_true(redis_ready(f->r));
}

static void array_fn(void *arg, const struct redis_answer *a)
{
	int *calls = arg;

	++*calls;
	assert_int_equal(redis_type(a->value), REDIS_ARRAY);
	assert_int_equal(redis_count(a->value), 5);
	assert_int_equal(redis_int(redis_item(a->value, 0)), 7);
	assert_true(str_eqc(redis_str(redis_item(a->value, 1)), "x"));
	assert_int_equal(redis_type(redis_item(a->value, 2)), REDIS_NIL);
	assert_int_equal(redis_count(redis_item(a->value, 3)), 1);
	assert_int_equal(redis_int(redis_item(redis_item(a->value, 3), 0)), 9);
	assert_int_equal(redis_type(redis_item(a->value, 4)), REDIS_NIL); /* an error inside */
	assert_null(redis_item(a->value, 5));
}

static bool nonzero(void *arg)
{
	return *(int *)arg != 0;
}

static void arrays(void **state)
{
	struct fixture *f = *state;
	int calls = 0;
	struct str argv[] = {STR("EVAL"), STR("return {7, 'x', false, {9}, redis.error_reply('ERR no')}"), STR("0")};

	come_up(f, 5000);
	redis_cmd_start(f->r, argv, 3, 0, array_fn, &calls);
	WAIT_UNTIL(f->loop, nonzero, &calls);
	assert_int_equal(calls, 1);
}

/* Two big values each way, so that sending is cut up, with small commands between. */
static void big_values(void **state)
{
	struct fixture *f = *state;
	char *p = malloc(BIG);
	struct got set[2] = {0}, small = {0}, get[2] = {0};

	for (size_t i = 0; i < BIG; i++)
		p[i] = (char)(i * 2654435761U >> 13);
	come_up(f, WAIT_MAX_MS);
	CMD(f, &set[0], STR("SET"), STR("a"), ((struct str){p, BIG}));
	CMD(f, &small, STR("INCR"), STR("n"));
	CMD(f, &set[1], STR("SET"), STR("b"), ((struct str){p, BIG}));
	CMD(f, &get[0], STR("GET"), STR("a"));
	p[0] ^= 1; /* copied: this must not be seen */
	CMD(f, &get[1], STR("EVAL"), STR("return redis.call('GET', 'a') == redis.call('GET', 'b') and 1 or 0"),
	    STR("0"));
	WAIT_UNTIL(f->loop, was_called, &get[1]);
	assert_int_equal(get[1].status, REDIS_OK);
	assert_int_equal(get[1].n, 1);
	assert_int_equal(set[0].status, REDIS_OK);
	assert_int_equal(small.n, 1);
	assert_int_equal(get[0].size, BIG);
	CMD(f, &get[1], STR("EVAL"),
	    STR("return redis.sha1hex(redis.call('GET', 'a')) == redis.sha1hex(ARGV[1]) and 1 or 0"), STR("0"),
	    ((struct str){p, BIG}));
	get[1].calls = 0;
	WAIT_UNTIL(f->loop, was_called, &get[1]);
	assert_int_equal(get[1].n, 0); /* p[0] differs */
	p[0] ^= 1;
	get[1].calls = 0;
	CMD(f, &get[1], STR("EVAL"),
	    STR("return redis.sha1hex(redis.call('GET', 'a')) == redis.sha1hex(ARGV[1]) and 1 or 0"), STR("0"),
	    ((struct str){p, BIG}));
	WAIT_UNTIL(f->loop, was_called, &get[1]);
	assert_int_equal(get[1].n, 1);
	free(p);
	assert_int_equal(redis_in_flight(f->r), 0);
}

static const struct redis_script count_script = {"count", "return redis.call('INCRBY', KEYS[1], ARGV[1])",
                                                 "8cd00688c05c46bde4a2e60658ef20a2e5c0b248"};
static const struct redis_script broken_script = {"broken", "this is not Lua",
                                                  "0000000000000000000000000000000000000001"};
static const struct redis_script wrong_sha_script = {"wrong", "return 1", "0000000000000000000000000000000000000002"};

struct many {
	int called, wrong;
};

static void many_fn(void *arg, const struct redis_answer *a)
{
	struct many *m = arg;

	m->called++;
	if (a->status != REDIS_OK || redis_int(a->value) != m->called)
		m->wrong++;
}

static bool many_done(void *arg)
{
	return ((struct many *)arg)->called == N_MANY;
}

static int64_t cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * INT64_C(1000000) + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

/* Every answer belongs to its own command: the n-th INCRBY 1 answers n. */
static void pipelined(void **state)
{
	struct fixture *f = *state;
	uint64_t count, total_us;
	struct got g;
	int64_t cpu[3];

	come_up(f, 10000);
	for (int round = 0; round < 3; round++) {
		struct many m = {0};
		struct str keys[] = {STR("{0190b1f2-7c3e-7d4a-9b1c-2f3e4d5c6b7a}n")}, args[] = {STR("1")};

		CALL(f, &g, STR("DEL"), keys[0]);
		cpu[round] = cpu_us();
		for (int i = 0; i < N_MANY; i++)
			redis_eval_start(f->r, &count_script, keys, 1, args, 1, 0, many_fn, &m);
		assert_int_equal(redis_in_flight(f->r), N_MANY);
		assert_int_equal(m.called, 0);
		WAIT_UNTIL(f->loop, many_done, &m);
		cpu[round] = cpu_us() - cpu[round];
		assert_int_equal(m.wrong, 0);
		assert_int_equal(redis_in_flight(f->r), 0);
	}
	redis_stats(f->r, &count, &total_us);
	assert_int_equal(count, 3 * N_MANY + 3);
	assert_true(total_us > 0);
	print_message("CPU us per pipelined EVALSHA: %.2f (the first round, with NOSCRIPT for all: %.2f)\n",
	              (double)cpu[2] / N_MANY, (double)cpu[0] / N_MANY);
}

/* A reloaded call comes later than what was sent after it; calls of one script keep their order. */
static void noscript(void **state)
{
	struct fixture *f = *state;
	int counter = 0;
	struct got g, eval[3] = {{0}}, after = {0};
	struct str keys[] = {STR("n")}, ten[] = {STR("10")}, one[] = {STR("1")};

	come_up(f, 5000);
	CALL(f, &g, STR("SCRIPT"), STR("FLUSH"));
	eval[0].counter = eval[1].counter = eval[2].counter = after.counter = &counter;
	redis_eval_start(f->r, &count_script, keys, 1, one, 1, 0, got_fn, &eval[0]);
	redis_eval_start(f->r, &count_script, keys, 1, ten, 1, 0, got_fn, &eval[1]);
	CMD(f, &after, STR("GET"), STR("n"));
	WAIT_UNTIL(f->loop, was_called, &eval[1]);
	assert_int_equal(eval[0].n, 1);
	assert_int_equal(eval[1].n, 11);
	assert_int_equal(after.type, REDIS_NIL);
	assert_int_equal(after.place, 1);
	assert_int_equal(eval[0].place, 2);
	assert_int_equal(eval[1].place, 3);
	/* flushed between the load and the repetition, as far as that can be had: again and again, none is lost */
	for (int i = 0; i < 200; i++) {
		memset(eval, 0, sizeof(eval));
		CMD(f, &g, STR("SCRIPT"), STR("FLUSH"));
		redis_eval_start(f->r, &count_script, keys, 1, one, 1, 0, got_fn, &eval[0]);
		WAIT_UNTIL(f->loop, was_called, &eval[0]);
		assert_int_equal(eval[0].status, REDIS_OK);
		assert_int_equal(eval[0].n, 12 + i);
	}
	CALL(f, &g, STR("SCRIPT"), STR("FLUSH"));
	/* fire and forget and cancelled ones are repeated too */
	redis_eval_start(f->r, &count_script, keys, 1, one, 1, 0, NULL, NULL);
	memset(eval, 0, sizeof(eval));
	redis_cmd_cancel(redis_eval_start(f->r, &count_script, keys, 1, one, 1, 0, got_fn, &eval[1]));
	redis_eval_start(f->r, &count_script, keys, 1, one, 1, 0, got_fn, &eval[0]);
	WAIT_UNTIL(f->loop, was_called, &eval[0]);
	assert_int_equal(eval[0].n, 11 + 200 + 3);
	assert_int_equal(eval[1].calls, 0);
}

static void bad_scripts(void **state)
{
	struct fixture *f = *state;
	struct got broken = {0}, wrong = {0}, good = {0};
	struct str keys[] = {STR("n")}, one[] = {STR("1")};

	come_up(f, 5000);
	redis_eval_start(f->r, &broken_script, NULL, 0, NULL, 0, 0, got_fn, &broken);
	WAIT_UNTIL(f->loop, was_called, &broken);
	assert_int_equal(broken.status, REDIS_ERROR);
	assert_non_null(strstr(broken.text, "broken"));
	assert_non_null(strstr(broken.text, "compil"));
	redis_eval_start(f->r, &wrong_sha_script, NULL, 0, NULL, 0, 0, got_fn, &wrong);
	WAIT_UNTIL(f->loop, was_called, &wrong);
	assert_int_equal(wrong.status, REDIS_ERROR);
	assert_non_null(strstr(wrong.text, "sha"));
	redis_eval_start(f->r, &count_script, keys, 1, one, 1, 0, got_fn, &good);
	WAIT_UNTIL(f->loop, was_called, &good);
	assert_int_equal(good.n, 1);
	assert_true(redis_ready(f->r));
}

/* Started when down; while that is answered another one is started, and one is cancelled. */
static void not_sent(void **state)
{
	struct fixture *f = *state;
	struct got g = {0}, cancelled = {0};

	connect_to(f, getenv("REDIS_UNIX_URL"), 5000);
	CMD(f, &g, STR("INCR"), STR("n"));
	redis_cmd_cancel(CMD(f, &cancelled, STR("INCR"), STR("n")));
	assert_int_equal(g.calls, 0);
	WAIT_UNTIL(f->loop, was_called, &g);
	assert_int_equal(g.calls, 1);
	assert_int_equal(g.status, REDIS_NOT_SENT);
	assert_int_equal(cancelled.calls, 0);
	WAIT_UNTIL(f->loop, is_ready, f);
	CALL(f, &g, STR("GET"), STR("n"));
	assert_int_equal(g.type, REDIS_NIL);
}

static void cancelled(void **state)
{
	struct fixture *f = *state;
	struct got g[3] = {{0}};
	struct redis_cmd *c;

	come_up(f, 5000);
	CMD(f, &g[0], STR("INCR"), STR("n"));
	c = CMD(f, &g[1], STR("INCR"), STR("n"));
	CMD(f, &g[2], STR("INCR"), STR("n"));
	redis_cmd_cancel(c);
	WAIT_UNTIL(f->loop, was_called, &g[2]);
	assert_int_equal(g[0].n, 1);
	assert_int_equal(g[1].calls, 0);
	assert_int_equal(g[2].n, 3); /* what was sent still takes effect */
}

struct reentrant {
	struct fixture *f;
	struct redis_cmd *victim;
	struct got inner, victim_got;
	int calls;
};

static void reentrant_fn(void *arg, const struct redis_answer *a)
{
	struct reentrant *x = arg;

	x->calls++;
	redis_cmd_cancel(x->victim);
	CMD(x->f, &x->inner, STR("PING"));
	assert_int_equal(x->inner.calls, 0);
}

static void from_callbacks(void **state)
{
	struct fixture *f = *state;
	struct reentrant x = {.f = f}, y = {.f = f};

	come_up(f, 5000);
	redis_cmd_start(f->r, (struct str[]){STR("PING")}, 1, 0, reentrant_fn, &x);
	x.victim = CMD(f, &x.victim_got, STR("PING"));
	WAIT_UNTIL(f->loop, was_called, &x.inner);
	assert_string_equal(x.inner.text, "PONG");
	assert_int_equal(x.victim_got.calls, 0);
	/* the same when the connection is lost under them */
	ask_test("pause");
	redis_cmd_start(f->r, (struct str[]){STR("PING")}, 1, 0, reentrant_fn, &y);
	y.victim = CMD(f, &y.victim_got, STR("PING"));
	ask_test("kill");
	WAIT_UNTIL(f->loop, was_called, &y.inner);
	assert_int_equal(y.calls, 1);
	assert_int_equal(y.inner.status, REDIS_NOT_SENT);
	assert_int_equal(y.victim_got.calls, 0);
	assert_int_equal(f->downs, 1);
}

static bool round_trip_out(void *arg)
{
	return redis_in_flight(((struct fixture *)arg)->r) > 0;
}

static void killed(void **state)
{
	struct fixture *f = *state;
	struct got g = {0}, late = {0};
	char before[64];

	come_up(f, 60000);
	snprintf(before, sizeof(before), "%s", redis_run_id(f->r));
	CALL(f, &g, STR("SET"), STR("k"), STR("v"));
	ask_test("pause");
	memset(&g, 0, sizeof(g));
	CMD(f, &g, STR("INCR"), STR("n"));
	WAIT_UNTIL(f->loop, round_trip_out, f); /* one turn: it is sent */
	ask_test("kill");
	WAIT_UNTIL(f->loop, was_called, &g);
	assert_int_equal(g.status, REDIS_UNKNOWN);
	assert_true(g.text[0] != '\0');
	assert_false(redis_ready(f->r));
	assert_int_equal(f->downs, 1);
	CALL(f, &late, STR("INCR"), STR("n"));
	assert_int_equal(late.status, REDIS_NOT_SENT);
	ask_test("start");
	WAIT_UNTIL(f->loop, is_ready, f);
	assert_int_equal(f->ups, 2);
	assert_string_not_equal(before, redis_run_id(f->r));
	CALL(f, &g, STR("EXISTS"), STR("k"));
	assert_int_equal(g.n, 0);
	assert_int_equal(g.status, REDIS_OK);
}

/* A server that sleeps: what had been sent is unknown, what still lay in the buffer did not happen. */
static void timed_out(void **state)
{
	struct fixture *f = *state;
	struct got g = {0}, quick = {0}, big = {0};
	char *p = calloc(1, BIG), before[64];
	int64_t start_us;

	come_up(f, 30000);
	snprintf(before, sizeof(before), "%s", redis_run_id(f->r));
	ask_test("pause");
	start_us = wall_now_us();
	CMD(f, &g, STR("INCR"), STR("n"));
	redis_cmd_start(f->r, (struct str[]){STR("PING")}, 1, 150, got_fn, &quick);
	CMD(f, &big, STR("SET"), STR("k"), ((struct str){p, BIG}));
	WAIT_UNTIL(f->loop, was_called, &big);
	assert_true(wall_now_us() - start_us >= 140000);
	assert_int_equal(g.calls, 1);
	assert_int_equal(g.status, REDIS_UNKNOWN);
	assert_int_equal(quick.status, REDIS_UNKNOWN);
	assert_string_equal(quick.text, "no answer within 150 ms");
	assert_int_equal(big.status, REDIS_NOT_SENT);
	assert_int_equal(f->downs, 1);
	ask_test("go_on");
	WAIT_UNTIL(f->loop, is_ready, f);
	assert_string_equal(before, redis_run_id(f->r));
	CALL(f, &g, STR("EXISTS"), STR("k"));
	assert_int_equal(g.n, 0);
	free(p);
}

/* Not the server but this process slept: the answers are there, nothing has timed out. */
static void own_sleep(void **state)
{
	struct fixture *f = *state;
	struct got g = {0};
	struct timespec nap = {.tv_nsec = 900000000};

	come_up(f, 5000);
	ask_test("pause");
	redis_cmd_start(f->r, (struct str[]){STR("PING")}, 1, 600, got_fn, &g);
	WAIT_UNTIL(f->loop, round_trip_out, f); /* one turn: it is sent */
	ask_test("go_on");
	nanosleep(&nap, NULL);
	WAIT_UNTIL(f->loop, was_called, &g);
	assert_int_equal(g.status, REDIS_OK);
	assert_int_equal(f->downs, 0);
}

static void auth(void **state)
{
	struct fixture *f = *state;
	const char *address = getenv("REDIS_URL") + strlen("redis://");
	char url[256];
	struct got g = {0};

	snprintf(url, sizeof(url), "redis://:s3cr%%40t@%s/3", address);
	connect_to(f, url, 5000);
	WAIT_UNTIL(f->loop, is_ready, f);
	CALL(f, &g, STR("CLIENT"), STR("INFO"));
	CALL(f, &g, STR("SET"), STR("here"), STR("1"));
	CALL(f, &g, STR("SELECT"), STR("3"));
	CALL(f, &g, STR("EXISTS"), STR("here"));
	assert_int_equal(g.n, 1);
	CALL(f, &g, STR("SELECT"), STR("0"));
	CALL(f, &g, STR("EXISTS"), STR("here"));
	assert_int_equal(g.n, 0);
	CALL(f, &g, STR("ACL"), STR("SETUSER"), STR("box"), STR("on"), STR(">pw"), STR("~*"), STR("+@all"));
	assert_int_equal(g.status, REDIS_OK);
	redis_free(f->r);
	snprintf(url, sizeof(url), "redis://box:pw@%s", address);
	connect_to(f, url, 5000);
	WAIT_UNTIL(f->loop, is_ready, f);
}

static bool has_error(void *arg)
{
	return redis_last_error(((struct fixture *)arg)->r)[0] != '\0';
}

static void auth_wrong(void **state)
{
	struct fixture *f = *state;
	char url[256];

	snprintf(url, sizeof(url), "redis://:wrong@%s", getenv("REDIS_URL") + strlen("redis://"));
	connect_to(f, url, 5000);
	WAIT_UNTIL(f->loop, has_error, f);
	assert_non_null(strstr(redis_last_error(f->r), "signing in: WRONGPASS"));
	redis_free(f->r);
	connect_to(f, getenv("REDIS_URL"), 5000);
	WAIT_UNTIL(f->loop, has_error, f);
	assert_non_null(strstr(redis_last_error(f->r), "NOAUTH"));
	assert_int_equal(f->ups, 0);
}

/* Started with maxmemory and allkeys-lru. */
static void eviction(void **state)
{
	struct fixture *f = *state;
	struct got g;

	come_up(f, 5000);
	assert_false(redis_noeviction(f->r));
	CALL(f, &g, STR("CONFIG"), STR("SET"), STR("maxmemory-policy"), STR("noeviction"));
	CALL(f, &g, STR("CLIENT"), STR("KILL"), STR("TYPE"), STR("normal"), STR("SKIPME"), STR("no"));
	WAIT_UNTIL(f->loop, is_down, f);
	WAIT_UNTIL(f->loop, is_ready, f);
	assert_true(redis_noeviction(f->r));
}

static void urls(void **state)
{
	static const char *const wrong[][2] = {
		{"", "redis:// or unix://"},
		{"http://localhost", "redis:// or unix://"},
		{"rediss://localhost", "TLS"},
		{"redis://", "host"},
		{"redis://:6379", "host"},
		{"redis://h:0", "port"},
		{"redis://h:65536", "port"},
		{"redis://h:x", "port"},
		{"redis://h/x", "database"},
		{"redis://pw@h", "user:password"},
		{"redis://u:p%4@h", "%XX"},
		{"redis://u:p%00@h", "%XX"},
		{"redis://[::1", "host"},
		{"redis://[::1]x", "after ]"},
		{"unix://", "absolute path"},
		{"unix://run/x.sock", "absolute path"},
		{"unix:///run/x.sock?x=1", "?db=NUMBER"},
		{"unix:///"
	         "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
	         "0123456789",
	         "longer than"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct redis_config config = {.url = wrong[i][0], .connect_timeout_ms = 100, .command_timeout_ms = 100};
		char error[256] = "";

		assert_null(redis_new(f->loop, &config, error, sizeof(error)));
		if (!strstr(error, wrong[i][1]))
			fail_msg("%s: %s", wrong[i][0], error);
		assert_null(strstr(error, "pw"));
	}
}

/* Started as a replica of nobody. */
static void replica(void **state)
{
	struct fixture *f = *state;

	connect_to(f, getenv("REDIS_URL"), 5000);
	WAIT_UNTIL(f->loop, has_error, f);
	assert_non_null(strstr(redis_last_error(f->r), "replica"));
	assert_int_equal(f->ups, 0);
	ask_test("promote");
	WAIT_UNTIL(f->loop, is_ready, f);
}

/* Nobody listens, then a server appears. */
static void late_server(void **state)
{
	struct fixture *f = *state;

	ask_test("kill");
	connect_to(f, getenv("REDIS_URL"), 5000);
	WAIT_UNTIL(f->loop, has_error, f);
	assert_non_null(strstr(redis_last_error(f->r), "refused"));
	assert_int_equal(f->ups + f->downs, 0);
	ask_test("start");
	WAIT_UNTIL(f->loop, is_ready, f);
	assert_string_equal(redis_last_error(f->r), "");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(values),   T(arrays),     T(big_values),     T(pipelined), T(noscript),    T(bad_scripts),
		T(not_sent), T(cancelled),  T(from_callbacks), T(killed),    T(timed_out),   T(own_sleep),
		T(auth),     T(auth_wrong), T(eviction),       T(urls),      T(late_server), T(replica),
	};

	return RUN_TESTS(argc, argv, tests);
}
