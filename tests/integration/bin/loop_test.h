/*
 * For the programs here: running a loop until something has happened, and asking the test around the program (pytest)
 * to do something to the server, over a socket whose number is in BOXOFFICE_TEST_CONTROL.
 */
#ifndef LOOP_TEST_H
#define LOOP_TEST_H

#include "io/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { WAIT_MAX_MS = 60000 }; /* a loaded machine, under valgrind */

struct wait {
	struct loop *loop;
	struct timer *poll;
	bool (*happened)(void *arg);
	void *arg;
	int64_t until_us;
	bool ok;
};

static inline void wait_poll(void *arg)
{
	struct wait *w = arg;

	w->ok = w->happened(w->arg);
	if (w->ok || wall_now_us() > w->until_us)
		loop_stop(w->loop);
	else
		timer_set_ms(w->poll, 1);
}

/* Runs the loop until happened(arg); the test fails when that takes longer than any sane machine needs. */
static inline void wait_until(struct loop *loop, bool (*happened)(void *arg), void *arg, const char *what)
{
	struct wait w = {.loop = loop, .happened = happened, .arg = arg};

	w.until_us = wall_now_us() + WAIT_MAX_MS * INT64_C(1000);
	w.poll = timer_new(loop, wait_poll, &w);
	timer_set_ms(w.poll, 0);
	loop_run(loop);
	timer_free(w.poll);
	if (!w.ok)
		fail_msg("did not happen: %s", what);
}
#define WAIT_UNTIL(loop, happened, arg) wait_until((loop), (happened), (arg), #happened)

/* Blocks until it is done. */
static inline void ask_test(const char *what)
{
	const char *number = getenv("BOXOFFICE_TEST_CONTROL");
	char answer[128] = "";
	int fd;

	assert_non_null(number);
	fd = (int)strtol(number, NULL, 10);
	assert_int_equal(send(fd, what, strlen(what), MSG_NOSIGNAL), (ssize_t)strlen(what));
	if (recv(fd, answer, sizeof(answer) - 1, 0) <= 0 || strcmp(answer, "ok") != 0)
		fail_msg("the test refused '%s': %s", what, answer);
}

/* All tests, or the one named on the command line. */
#define RUN_TESTS(argc, argv, tests)                                                                                   \
	((argc) > 1 ? (cmocka_set_test_filter((argv)[1]), cmocka_run_group_tests((tests), NULL, NULL))                 \
	            : cmocka_run_group_tests((tests), NULL, NULL))

#endif
