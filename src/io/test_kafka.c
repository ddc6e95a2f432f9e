/* Against librdkafka's own broker in this process, which answers as it is told. (A real one: tests/integration/test_relay.py.) */
#include "io/kafka_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 500 };

struct fixture {
	struct loop *loop;
	struct offload *offload;
	struct timer *guard;
	rd_kafka_t *keeper; /* of the mock cluster */
	rd_kafka_mock_cluster_t *cluster;
	struct kafka_access access;
	struct kafka_producer *p;
	bool started; /* the start that is awaited has returned */
	int told;
	size_t n_out, n_refused, n_lost;
	char error[KAFKA_ERROR_MAX];
};

static void on_guard(void *arg)
{
	fail_msg("nothing was told within 20 s");
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char why[KAFKA_ERROR_MAX];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	rd_kafka_conf_set(conf, "log_level", "0", why, sizeof(why));
	f->loop = loop_new();
	f->offload = offload_new(f->loop, 1, 10);
	f->guard = timer_new(f->loop, on_guard, f);
	f->keeper = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	f->cluster = rd_kafka_mock_cluster_new(f->keeper, 1);
	f->access = (struct kafka_access){rd_kafka_mock_cluster_bootstraps(f->cluster), "", "test"};
	f->p = kafka_producer_new(f->loop, f->offload, &f->access, why);
	assert_non_null(f->p);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	kafka_producer_free(f->p);
	offload_free(f->offload);
	timer_free(f->guard);
	loop_free(f->loop);
	rd_kafka_mock_cluster_destroy(f->cluster);
	rd_kafka_destroy(f->keeper);
	free(f);
	return 0;
}

static void on_sent(void *arg, const enum kafka_outcome *outcomes, size_t n, const char *error)
{
	struct fixture *f = arg;

	assert_true(f->started);
	f->told++;
	for (size_t i = 0; i < n; i++) {
		f->n_out += outcomes[i] == KAFKA_OUT;
		f->n_refused += outcomes[i] == KAFKA_REFUSED;
		f->n_lost += outcomes[i] == KAFKA_LOST;
	}
	snprintf(f->error, sizeof(f->error), "%s", error);
	loop_stop(f->loop);
}

static void run(struct fixture *f)
{
	timer_set_ms(f->guard, 20000);
	loop_run(f->loop);
	timer_clear(f->guard);
}

static void send_n(struct fixture *f, size_t n, size_t size)
{
	struct kafka_message *m = calloc(n + 1, sizeof(*m));
	char *value = calloc(1, size + 1);
	const struct kafka_header headers[] = {{"ce_id", STR("1:0")}};

	memset(value, 'x', size);
	for (size_t i = 0; i < n; i++)
		m[i] = (struct kafka_message){"t", STR("key"), {value, size}, headers, 1};
	f->started = false;
	f->told = 0;
	f->n_out = f->n_refused = f->n_lost = 0;
	assert_non_null(kafka_send_start(f->p, m, n, on_sent, f));
	f->started = true;
	memset(value, 'y', size); /* all was copied */
	free(value);
	free(m);
}

static void test_everything_is_out_and_told_once(void **state)
{
	struct fixture *f = *state;

	send_n(f, N, 100);
	run(f);
	assert_int_equal(f->told, 1);
	assert_int_equal(f->n_out, N);
	assert_string_equal(f->error, "");
	send_n(f, 0, 1); /* also when there is nothing to wait for */
	run(f);
	assert_int_equal(f->told, 1);
}

static void test_too_large_for_us_is_refused_after_start(void **state)
{
	struct fixture *f = *state;

	send_n(f, 1, 3000000);
	run(f);
	assert_int_equal(f->n_refused, 1);
	assert_non_null(strstr(f->error, "too large"));
	send_n(f, 1, 10);
	run(f);
	assert_int_equal(f->n_out, 1);
}

static void test_too_large_for_the_broker_is_refused(void **state)
{
	struct fixture *f = *state;

	rd_kafka_mock_push_request_errors(f->cluster, 0 /* Produce */, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	send_n(f, 1, 10);
	run(f);
	assert_int_equal(f->n_refused, 1);
	send_n(f, 3, 10);
	run(f);
	assert_int_equal(f->n_out, 3);
}

static void test_who_may_not_is_not_refused_for_ever(void **state)
{
	struct fixture *f = *state;

	rd_kafka_mock_push_request_errors(f->cluster, 0, 1, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	send_n(f, 1, 10);
	run(f);
	assert_int_equal(f->n_lost, 1);
	assert_non_null(strstr(f->error, "authoriz"));
}

static void test_a_fatal_error_makes_a_new_producer(void **state)
{
	struct fixture *f = *state;
	rd_kafka_t *before = kafka_producer_handle(f->p);

	rd_kafka_mock_broker_set_down(f->cluster, 1); /* so that nothing is acknowledged before */
	send_n(f, 10, 10);
	assert_int_equal(rd_kafka_test_fatal_error(before, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "asked for"),
			 0);
	run(f);
	assert_int_equal(f->told, 1);
	assert_int_equal(f->n_lost, 10);
	rd_kafka_mock_broker_set_up(f->cluster, 1);
	do { /* what is given before the error is told is lost too */
		send_n(f, 10, 10);
		run(f);
		assert_int_equal(f->n_out + f->n_lost, 10);
	} while (f->n_lost);
	assert_int_equal(kafka_producer_rebuilds(f->p), 1);
	assert_ptr_not_equal(kafka_producer_handle(f->p), before);
}

static void test_what_is_cancelled_is_not_told(void **state)
{
	struct fixture *f = *state;
	struct kafka_message m = {"t", STR("k"), STR("v"), NULL, 0};

	kafka_send_cancel(kafka_send_start(f->p, &m, 1, on_sent, f));
	send_n(f, 1, 10);
	run(f);
	assert_int_equal(f->told, 1);
	/* and freeing with one under way tells nobody */
	rd_kafka_mock_broker_set_down(f->cluster, 1);
	send_n(f, 1, 10);
}

/* ---- the file of properties ---- */

static bool check(const char *text, char *error)
{
	char path[] = "/tmp/test_kafka.XXXXXX";
	int fd = mkstemp(path);
	struct kafka_access a = {"127.0.0.1:9", path, "test"};
	bool ok;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	ok = kafka_access_check(&a, error);
	unlink(path);
	return ok;
}

static void test_properties(void **state)
{
	char error[KAFKA_ERROR_MAX];
	struct kafka_access nowhere = {"127.0.0.1:9", "/nowhere/kafka.properties", "test"}, nobody = {"", "", "test"};

	assert_true(check("# a comment\n\n linger.ms = 7 \ncompression.codec=none", error));
	assert_false(check("linger.ms 7\n", error));
	assert_non_null(strstr(error, "line 1 of"));
	assert_non_null(strstr(error, "is not name=value"));
	assert_false(check("\nsasl.passwrod=geheim\n", error));
	assert_non_null(strstr(error, "line 2 of"));
	assert_non_null(strstr(error, "no property of that name"));
	assert_null(strstr(error, "geheim"));
	assert_false(check("linger.ms=geheim\n", error));
	assert_non_null(strstr(error, "not a value that librdkafka takes"));
	assert_null(strstr(error, "geheim"));
	assert_false(check("acks=1\n", error));
	assert_non_null(strstr(error, "sets acks, which the program sets itself"));
	assert_false(check("security.protocol=ssl\nssl.ca.location=/nowhere/ca.pem\n", error));
	assert_non_null(strstr(error, "kafka-config"));
	assert_false(kafka_access_check(&nowhere, error));
	assert_non_null(strstr(error, "/nowhere/kafka.properties"));
	assert_false(kafka_access_check(&nobody, error));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_everything_is_out_and_told_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_too_large_for_us_is_refused_after_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_too_large_for_the_broker_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_who_may_not_is_not_refused_for_ever, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_fatal_error_makes_a_new_producer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_cancelled_is_not_told, set_up, tear_down),
		cmocka_unit_test(test_properties),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
