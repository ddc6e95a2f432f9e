/* Owns the rules of repeating calls and of leaving a gateway in trouble alone. Called by gateway_call.c and tests. */
#include "payment/gateway_policy.h"

#include <string.h>

enum { WAIT_FIRST_US = 200 * 1000 };

enum gateway_again gateway_again(const struct gateway_outcome *o)
{
	if (o->should_retry_said && !o->should_retry)
		return AGAIN_NO;
	if (o->http_status == 0)
		return o->sent ? AGAIN_NO : AGAIN_NOTHING_DONE;
	if (o->http_status == 429)
		return AGAIN_NOTHING_DONE;
	if (o->http_status == 409 &&
	    (strcmp(o->code, "idempotency_key_in_use") == 0 || strcmp(o->code, "lock_timeout") == 0))
		return AGAIN_IN_USE;
	return AGAIN_NO;
}

/* Between half and all of it. */
static int64_t jittered(int64_t us, uint32_t random)
{
	return us / 2 + (int64_t)((uint64_t)random * (uint64_t)(us - us / 2) >> 32);
}

int64_t gateway_wait_us(int repeats, int64_t retry_after_s, uint32_t random)
{
	int64_t us = jittered((int64_t)WAIT_FIRST_US << (repeats < 1 ? 0 : repeats > 10 ? 9 : repeats - 1), random);
	/* a day is never waited for; the sum must not overflow */
	int64_t asked_us = retry_after_s > 86400 ? INT64_C(86400000000) : retry_after_s * 1000000;

	return asked_us > 0 ? asked_us + us : us;
}

/* ---- budget ---- */

void gateway_budget_init(struct gateway_budget *b, int64_t now_us)
{
	b->milli = BUDGET_FLOOR * 1000;
	b->filled_us = now_us;
}

void gateway_budget_earn(struct gateway_budget *b)
{
	if (b->milli < BUDGET_MAX * 1000)
		b->milli += 100;
}

bool gateway_budget_take(struct gateway_budget *b, int64_t now_us)
{
	int64_t more = (now_us - b->filled_us) / BUDGET_EVERY_US;

	if (more > 0) {
		b->filled_us += more * BUDGET_EVERY_US;
		if (b->milli < BUDGET_FLOOR * 1000)
			b->milli = more >= BUDGET_FLOOR || b->milli + more * 1000 > BUDGET_FLOOR * 1000
					   ? BUDGET_FLOOR * 1000
					   : b->milli + more * 1000;
	}
	if (b->milli < 1000)
		return false;
	b->milli -= 1000;
	return true;
}

/* ---- breaker ---- */

void breaker_init(struct breaker *b)
{
	*b = (struct breaker){.state = BREAKER_CLOSED, .open_us = BREAKER_OPEN_US};
}

bool breaker_would_admit(const struct breaker *b, int64_t now_us, int64_t *ret_wait_us)
{
	*ret_wait_us = 0;
	if (b->state == BREAKER_CLOSED || now_us >= b->until_us)
		return true;
	*ret_wait_us = b->state == BREAKER_OPEN ? b->until_us - now_us : BREAKER_OPEN_US;
	return false;
}

bool breaker_admit(struct breaker *b, int64_t now_us)
{
	int64_t wait_us;

	if (!breaker_would_admit(b, now_us, &wait_us))
		return false;
	if (b->state != BREAKER_CLOSED) {
		b->state = BREAKER_HALF_OPEN;
		b->until_us = now_us + BREAKER_PROBE_US;
	}
	return true;
}

static void breaker_open(struct breaker *b, int64_t now_us, uint32_t random)
{
	b->state = BREAKER_OPEN;
	b->until_us = now_us + jittered(b->open_us, random);
	b->in_a_row = b->n_window = 0;
	b->window = 0;
}

static int failed_in_window(const struct breaker *b)
{
	return __builtin_popcount(b->window & ((UINT32_C(1) << BREAKER_WINDOW) - 1));
}

void breaker_tell(struct breaker *b, int64_t now_us, bool failed, uint32_t random)
{
	switch (b->state) {
	case BREAKER_HALF_OPEN:
		if (!failed) {
			breaker_init(b);
			return;
		}
		b->open_us = b->open_us * 2 > BREAKER_OPEN_MAX_US ? BREAKER_OPEN_MAX_US : b->open_us * 2;
		breaker_open(b, now_us, random);
		return;
	case BREAKER_OPEN:
		return; /* of a call that had left before: the probe decides */
	case BREAKER_CLOSED:
		break;
	}
	b->in_a_row = failed ? b->in_a_row + 1 : 0;
	b->window = b->window << 1 | failed;
	if (b->n_window < BREAKER_WINDOW)
		b->n_window++;
	if (b->in_a_row >= BREAKER_IN_A_ROW ||
	    (b->n_window == BREAKER_WINDOW && failed_in_window(b) * 2 >= BREAKER_WINDOW))
		breaker_open(b, now_us, random);
}
