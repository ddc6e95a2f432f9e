/*
 * The consumer "notifications": a batch of events becomes rows of `notifications`, in one statement. What it tells whom is in
 * notices.h; the sender makes mails of the rows.
 */
#ifndef NOTIFY_NOTICES_CONSUME_H
#define NOTIFY_NOTICES_CONSUME_H

#include "consume/consume.h"

struct notices;
struct notices *notices_new(struct pg *pg, struct metrics *metrics);
void notices_free(struct notices *n); /* after its consumer and pg; NULL is fine */
consumer_batch_fn notices_consume;    /* arg: the struct notices */

#endif
