/* The rules of what a watcher of a lock is told: lock_news.h. */
#include "seat/lock_news.h"

static bool is_over(enum lock_state state)
{
	return state != LOCK_ACTIVE && state != LOCK_PAYING;
}

void lock_news_read(struct lock_news *n, enum lock_state state, int64_t expires_us, int64_t now_us)
{
	n->lock = n->ending = n->ended = false;
	if (state == LOCK_ACTIVE && now_us >= expires_us + LOCK_OVER_US)
		state = LOCK_EXPIRED;
	n->next_us = INT64_MAX;
	if (is_over(state)) {
		n->ended = n->had < NEWS_ENDED;
		n->had = NEWS_ENDED;
		n->state = state;
		return;
	}
	n->lock = n->had == NEWS_NONE || n->state != state;
	n->state = state;
	if (n->had < NEWS_LOCK)
		n->had = NEWS_LOCK;
	if (state != LOCK_ACTIVE)
		return;
	if (now_us >= expires_us - LOCK_ENDING_US) {
		n->ending = n->had < NEWS_ENDING;
		n->had = NEWS_ENDING;
		n->next_us = expires_us + LOCK_OVER_US;
	} else {
		n->next_us = expires_us - LOCK_ENDING_US;
	}
}
