/*
 * The parts of the scenarios that the table in drive.c is made of.
 */
#ifndef BENCH_DRIVE_SCENARIOS_H
#define BENCH_DRIVE_SCENARIOS_H

#include "drive.h"

typedef bool setup_fn(struct drive *d);
typedef size_t request_fn(struct drive *d, const struct intent *in, char *out);
typedef bool arrival_fn(struct drive *d, struct intent *in);
typedef void answer_fn(struct drive *d, const struct intent *in, const struct answer *a);
typedef void tick_fn(struct drive *d);

/* The id of that name in an answer, into UUID_TEXT bytes. */
bool take_id(const struct answer *a, const char *name, size_t name_n, char *ret);
#define TAKE_ID(a, name, ret) take_id(a, "\"" name "\":\"", sizeof(name) + 3, ret)

/* drive_lock.c */
setup_fn get_setup, lock_setup, hot_setup, refuse_setup, lone_setup, rush_setup, overload_setup;
request_fn get_request, lock_request, lone_request;
arrival_fn get_arrival, lock_arrival, hot_arrival, refuse_arrival, rush_arrival;
answer_fn get_answer, lock_answer, hot_answer, refuse_answer, lone_answer, rush_answer, overload_answer;
tick_fn lone_begin;

/* drive_journey.c */
setup_fn journey_setup;
request_fn journey_request;
arrival_fn journey_arrival;
answer_fn journey_answer;
tick_fn journey_finish;

/* drive_onsale.c */
setup_fn onsale_setup;
request_fn onsale_request;
answer_fn onsale_answer;
tick_fn onsale_begin, onsale_tick, onsale_judge, onsale_finish;
void onsale_report(struct drive *d, struct jw *w);

#endif
