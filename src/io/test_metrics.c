/* What is shown is what was counted, by all processes; and it is text that Prometheus takes. */
#include "io/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { REQUESTS, OPEN, LAG, TOOK, SIZES, ROUTES, N_METRICS };

static const char *const outcomes[] = {"locked", "say \"no\"\\\nplease", NULL};
static const char *const routes[] = {"locks", "seats", NULL};
static const char *const statuses[] = {"201", "409", "503", NULL};
static const double seconds[] = {0.001, 0.005, 0.3, 1.001, 0};
static const double sizes[] = {1, 2, 4, 0};

static const struct metric_def defs[N_METRICS] = {
	[REQUESTS] = {.name = "boxoffice_locks_total",
		      .help = "Lock requests\nby \\outcome \"x\".",
		      .type = METRIC_COUNTER,
		      .label = "outcome",
		      .label_values = outcomes},
	[OPEN] = {.name = "boxoffice_connections", .help = "Open connections.", .type = METRIC_GAUGE},
	[LAG] = {.name = "boxoffice_expiry_lag_seconds",
		 .help = "Oldest lock past its end.",
		 .type = METRIC_GAUGE,
		 .scale = 1e-6,
		 .max = true},
	[TOOK] = {.name = "boxoffice_request_duration_seconds",
		  .help = "Time to answer.",
		  .type = METRIC_HISTOGRAM,
		  .buckets = seconds,
		  .scale = 1e-6},
	[SIZES] = {.name = "boxoffice_batch_requests",
		   .help = "Requests in a batch.",
		   .type = METRIC_HISTOGRAM,
		   .buckets = sizes,
		   .label = "route",
		   .label_values = routes},
	[ROUTES] = {.name = "boxoffice_requests_total",
		    .help = "Requests.",
		    .type = METRIC_COUNTER,
		    .label = "route",
		    .label_values = routes,
		    .label2 = "status",
		    .label2_values = statuses},
};

static char *render(const struct metrics *m)
{
	struct buf out;

	buf_init(&out, 100000);
	assert_true(metrics_render(m, &out));
	return buf_take(&out, NULL);
}

/* The whole line "name value" stands in the text. */
static void assert_line(const struct metrics *m, const char *line)
{
	char *text = render(m), want[400];

	snprintf(want, sizeof(want), "\n%s\n", line);
	if (!strstr(text, want))
		fail_msg("no line %s in\n%s", line, text);
	free(text);
}

static void assert_nowhere(const struct metrics *m, const char *part)
{
	char *text = render(m);

	if (strstr(text, part))
		fail_msg("there should be no %s in\n%s", part, text);
	free(text);
}

static void nothing_counted_yet(void **state)
{
	static const char want[] = "# HELP boxoffice_locks_total Lock requests\\nby \\\\outcome \"x\".\n"
				   "# TYPE boxoffice_locks_total counter\n"
				   "boxoffice_locks_total{outcome=\"locked\"} 0\n"
				   "boxoffice_locks_total{outcome=\"say \\\"no\\\"\\\\\\nplease\"} 0\n"
				   "# HELP boxoffice_connections Open connections.\n"
				   "# TYPE boxoffice_connections gauge\n"
				   "boxoffice_connections 0\n";
	struct metrics *m = metrics_new(defs, N_METRICS, 2);
	char *text = render(m);

	assert_memory_equal(text, want, sizeof(want) - 1);
	free(text);
	assert_line(m, "# TYPE boxoffice_request_duration_seconds histogram");
	assert_line(m, "boxoffice_request_duration_seconds_bucket{le=\"+Inf\"} 0");
	/* pairs that never occurred are left out */
	assert_line(m, "# TYPE boxoffice_requests_total counter");
	assert_nowhere(m, "boxoffice_requests_total{");
	metrics_free(m);
}

static void counters_and_gauges_of_all_slots(void **state)
{
	struct metrics *m = metrics_new(defs, N_METRICS, 3);

	metrics_use_slot(m, 0);
	metric_add(m, REQUESTS, 0, 0, 2);
	metric_add(m, REQUESTS, 1, 0, 1);
	metric_add(m, OPEN, 0, 0, 5);
	metric_add(m, OPEN, 0, 0, -2);
	metric_set(m, LAG, 0, 0, 1500000);
	metric_add(m, ROUTES, 1, 2, 9);
	metrics_use_slot(m, 2);
	metric_add(m, REQUESTS, 0, 0, 40);
	metric_set(m, OPEN, 0, 0, 10);
	metric_set(m, LAG, 0, 0, 250000);
	assert_line(m, "boxoffice_locks_total{outcome=\"locked\"} 42");
	assert_line(m, "boxoffice_locks_total{outcome=\"say \\\"no\\\"\\\\\\nplease\"} 1");
	assert_line(m, "boxoffice_connections 13");
	assert_line(m, "boxoffice_expiry_lag_seconds 1.5");
	assert_line(m, "boxoffice_requests_total{route=\"seats\",status=\"503\"} 9");
	assert_nowhere(m, "boxoffice_requests_total{route=\"seats\",status=\"409\"}");
	metrics_free(m);
}

static void largest_of_negative_gauges(void **state)
{
	struct metrics *m = metrics_new(defs, N_METRICS, 2);

	metrics_use_slot(m, 0);
	metric_set(m, LAG, 0, 0, -3000000);
	metrics_use_slot(m, 1);
	metric_set(m, LAG, 0, 0, -2000000);
	assert_line(m, "boxoffice_expiry_lag_seconds -2");
	metrics_free(m);
}

static void a_new_process_in_an_old_slot(void **state)
{
	struct metrics *m = metrics_new(defs, N_METRICS, 2);

	metrics_use_slot(m, 1);
	metric_add(m, REQUESTS, 0, 0, 7);
	metric_add(m, OPEN, 0, 0, 100);
	metric_observe(m, TOOK, 0, 0, 1);
	metrics_use_slot(m, 1);
	metric_add(m, REQUESTS, 0, 0, 1);
	metric_add(m, OPEN, 0, 0, 1);
	assert_line(m, "boxoffice_locks_total{outcome=\"locked\"} 8");
	assert_line(m, "boxoffice_connections 1");
	assert_line(m, "boxoffice_request_duration_seconds_count 1");
	metrics_free(m);
}

/* Bounds belong to their bucket, also where scaling is not exact in binary (1.001 / 1e-6 < 1001000). */
static void histogram(void **state)
{
	static const int64_t took_us[] = {0, 1000, 1001, 5000, 300000, 300001, 1001000, 1001001, 70000000};
	struct metrics *m = metrics_new(defs, N_METRICS, 2);

	for (size_t i = 0; i < sizeof(took_us) / sizeof(took_us[0]); i++) {
		metrics_use_slot(m, (int)(i % 2));
		metric_observe(m, TOOK, 0, 0, took_us[i]);
	}
	assert_line(m, "boxoffice_request_duration_seconds_bucket{le=\"0.001\"} 2");
	assert_line(m, "boxoffice_request_duration_seconds_bucket{le=\"0.005\"} 4");
	assert_line(m, "boxoffice_request_duration_seconds_bucket{le=\"0.3\"} 5");
	assert_line(m, "boxoffice_request_duration_seconds_bucket{le=\"1.001\"} 7");
	assert_line(m, "boxoffice_request_duration_seconds_bucket{le=\"+Inf\"} 9");
	assert_line(m, "boxoffice_request_duration_seconds_sum 72.609003");
	assert_line(m, "boxoffice_request_duration_seconds_count 9");
	metric_observe(m, SIZES, 1, 0, 2);
	metric_observe(m, SIZES, 1, 0, 3);
	metric_observe(m, SIZES, 1, 0, 5);
	assert_line(m, "boxoffice_batch_requests_bucket{route=\"seats\",le=\"1\"} 0");
	assert_line(m, "boxoffice_batch_requests_bucket{route=\"seats\",le=\"2\"} 1");
	assert_line(m, "boxoffice_batch_requests_bucket{route=\"seats\",le=\"4\"} 2");
	assert_line(m, "boxoffice_batch_requests_bucket{route=\"seats\",le=\"+Inf\"} 3");
	assert_line(m, "boxoffice_batch_requests_sum{route=\"seats\"} 10");
	assert_line(m, "boxoffice_batch_requests_count{route=\"locks\"} 0");
	metrics_free(m);
}

/* Every series in a cell of its own: each gets another value, all are read back. */
static void series_do_not_overlap(void **state)
{
	struct metrics *m = metrics_new(defs, N_METRICS, 4);
	char line[200];

	for (int slot = 0; slot < 4; slot++) {
		metrics_use_slot(m, slot);
		for (int r = 0; r < 2; r++)
			for (int s = 0; s < 3; s++)
				metric_add(m, ROUTES, r, s, 1 + r * 10 + s);
		metric_add(m, REQUESTS, 0, 0, 1000);
		metric_add(m, REQUESTS, 1, 0, 2000);
		metric_set(m, OPEN, 0, 0, 30000);
		metric_observe(m, SIZES, 1, 0, 1 << 20);
	}
	for (int r = 0; r < 2; r++)
		for (int s = 0; s < 3; s++) {
			snprintf(line, sizeof(line), "boxoffice_requests_total{route=\"%s\",status=\"%s\"} %d",
				 routes[r], statuses[s], 4 * (1 + r * 10 + s));
			assert_line(m, line);
		}
	assert_line(m, "boxoffice_locks_total{outcome=\"locked\"} 4000");
	assert_line(m, "boxoffice_connections 120000");
	assert_line(m, "boxoffice_batch_requests_sum{route=\"seats\"} 4194304");
	assert_line(m, "boxoffice_request_duration_seconds_count 0");
	metrics_free(m);
}

/* Processes made after it share it, also when two write to one slot. */
static void several_processes(void **state)
{
	struct metrics *m = metrics_new(defs, N_METRICS, 2);
	pid_t pids[4];
	int start[2];
	char c;

	/* all begin when the pipe closes, so that they really run at the same time */
	assert_int_equal(pipe(start), 0);
	for (int i = 0; i < 4; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			metrics_use_slot(m, i / 2);
			close(start[1]);
			if (read(start[0], &c, 1) != 0)
				_exit(1);
			for (int k = 0; k < 3000000; k++)
				metric_add(m, REQUESTS, 0, 0, 1);
			_exit(0);
		}
	}
	close(start[0]);
	close(start[1]);
	for (int i = 0; i < 4; i++) {
		int status;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_line(m, "boxoffice_locks_total{outcome=\"locked\"} 12000000");
	metrics_free(m);
}

static void no_room(void **state)
{
	struct metrics *m = metrics_new(defs, N_METRICS, 1);
	struct buf out;

	buf_init(&out, 500);
	assert_false(metrics_render(m, &out));
	buf_done(&out);
	metrics_free(m);
}

static void check_table(void **state)
{
	static const char *const twice[] = {"a", "b", "a", NULL};
	static const char *const none[] = {NULL};
	static const double falling[] = {1, 3, 2, 0};
	static const struct metric_def bad[] = {
		{.name = "locks", .help = "x", .type = METRIC_COUNTER},
		{.name = "locks_total", .help = "x", .type = METRIC_GAUGE},
		{.name = "Locks_total", .help = "x", .type = METRIC_COUNTER},
		{.name = "wait_ms", .help = "x", .type = METRIC_GAUGE},
		{.name = "wait_milliseconds", .help = "x", .type = METRIC_GAUGE},
		{.name = "queue_gauge", .help = "x", .type = METRIC_GAUGE},
		{.name = "queue_count", .help = "x", .type = METRIC_GAUGE},
		{.name = "queue", .help = "", .type = METRIC_GAUGE},
		{.name = "queue2", .help = "x", .type = METRIC_GAUGE, .label = "le", .label_values = outcomes},
		{.name = "queue3", .help = "x", .type = METRIC_GAUGE, .label = "a", .label_values = twice},
		{.name = "queue4", .help = "x", .type = METRIC_GAUGE, .label = "a", .label_values = none},
		{.name = "queue5",
		 .help = "x",
		 .type = METRIC_GAUGE,
		 .label = "a",
		 .label_values = outcomes,
		 .label2 = "a",
		 .label2_values = outcomes},
		{.name = "queue6", .help = "x", .type = METRIC_HISTOGRAM},
		{.name = "queue7", .help = "x", .type = METRIC_HISTOGRAM, .buckets = falling},
	};
	static const struct metric_def same[] = {
		{.name = "queue", .help = "x", .type = METRIC_GAUGE},
		{.name = "queue", .help = "x", .type = METRIC_GAUGE},
	};
	struct buf out;

	buf_init(&out, 10000);
	if (!metrics_check(defs, N_METRICS, &out))
		fail_msg("%s", out.p);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		buf_reset(&out);
		if (metrics_check(&bad[i], 1, &out))
			fail_msg("%s was let pass", bad[i].name);
		assert_memory_equal(out.p, bad[i].name, strlen(bad[i].name));
	}
	buf_reset(&out);
	assert_true(metrics_check(same, 1, &out));
	assert_false(metrics_check(same, 2, &out));
	buf_done(&out);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_counted_yet),
		cmocka_unit_test(counters_and_gauges_of_all_slots),
		cmocka_unit_test(largest_of_negative_gauges),
		cmocka_unit_test(a_new_process_in_an_old_slot),
		cmocka_unit_test(histogram),
		cmocka_unit_test(series_do_not_overlap),
		cmocka_unit_test(several_processes),
		cmocka_unit_test(no_room),
		cmocka_unit_test(check_table),
	};

	/* `test_metrics --print | promtool check metrics` */
	if (argc > 1 && strcmp(argv[1], "--print") == 0) {
		struct metrics *m = metrics_new(defs, N_METRICS, 1);
		char *text;

		metric_observe(m, TOOK, 0, 0, 123456);
		metric_add(m, ROUTES, 0, 1, 1);
		text = render(m);
		fputs(text, stdout);
		free(text);
		metrics_free(m);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
