/*
 * What somebody who watches a lock is told of it, and when. Pure.
 *
 *   lock (how it stands, when it was not known or is another state) -> ending (the last minute has begun; not while it is
 *   being paid: then no clock runs) -> ended (once, the last)
 *
 * Events are numbered in this order, so that a watcher who comes again says by one number what it has had.
 */
#ifndef SEAT_LOCK_NEWS_H
#define SEAT_LOCK_NEWS_H

#include "seat/seat.h"

#define LOCK_ENDING_US (60 * INT64_C(1000000))
/* An active lock whose time is over is ended by the sweeper, at once; a payment that began in time may still become visible.
 * Only after this long the clock alone ends it. */
#define LOCK_OVER_US INT64_C(1000000)

enum lock_news_id { NEWS_NONE, NEWS_LOCK, NEWS_ENDING, NEWS_ENDED };

struct lock_news {
	enum lock_news_id had;	  /* the last that was told; NEWS_NONE: nothing */
	enum lock_state state;	  /* as told last */
	int64_t next_us;	  /* when the clock has news, whatever else happens; INT64_MAX: never */
	bool lock, ending, ended; /* what is to be told now */
};

/* Brings it up to date with what was read. state: as stored. */
void lock_news_read(struct lock_news *n, enum lock_state state, int64_t expires_us, int64_t now_us);

#endif
