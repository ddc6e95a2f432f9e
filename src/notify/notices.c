/* The table of notices.h. Called by the consumer (notices_consume.c) and by tests. */
#include "notify/notices.h"

#define NOBODY NULL, NOTICE_BUYER, NOTICE_NEVER

const struct notice_rule notice_rules[] = {
	{"booking.confirmed", NULL, "booking_confirmed", NOTICE_BUYER, NOTICE_STILL_CONFIRMED, NULL},
	{"booking.cancelled", "show_cancelled", NOBODY, "the show's job tells, with the refund"},
	{"booking.cancelled", NULL, "booking_cancelled", NOTICE_ALL, NOTICE_ALWAYS, NULL},
	{"booking.seats_cancelled", "show_cancelled", NOBODY, "the show's job tells, with the refund"},
	{"booking.seats_cancelled", NULL, "booking_cancelled", NOTICE_ALL, NOTICE_ALWAYS, NULL},
	{"booking.failed", "show_cancelled", "show_cancelled", NOTICE_BUYER, NOTICE_ALWAYS,
	 "was never confirmed, so the show's job does not know it"},
	{"booking.failed", NULL, NOBODY, "the payment's event tells"},
	{"booking.payment_pending", NULL, NOBODY, "nothing to do"},
	{"payment.failed", NULL, "payment_failed", NOTICE_BUYER, NOTICE_PAYMENT_OVER, NULL},
	{"payment.abandoned", NULL, "payment_failed", NOTICE_BUYER, NOTICE_PAYMENT_OVER, NULL},
	{"payment.voided", NULL, "payment_failed", NOTICE_BUYER, NOTICE_PAYMENT_OVER, NULL},
	{"payment.capture_failed", NULL, NOBODY, "the booking is cancelled as payment_lost: that tells"},
	{"refund.succeeded", NULL, "refunded", NOTICE_BUYER, NOTICE_MONEY_BACK, NULL},
	{"refund.failed", NULL, "refunded", NOTICE_BUYER, NOTICE_MONEY_STUCK, NULL},
	{"ticket.issued", NULL, NOBODY, "with the booking, or by the transfer's own row"},
	{"ticket.revoked", NULL, NOBODY, "with the booking, or by the transfer's own row"},
};
const size_t notice_rules_n = sizeof(notice_rules) / sizeof(notice_rules[0]);

const char *const notice_topics[] = {"booking", "payment", NULL};

const char *notice_when_name(enum notice_when w)
{
	static const char *const names[] = {[NOTICE_NEVER] = "never",
					    [NOTICE_PAYMENT_OVER] = "payment_over",
					    [NOTICE_STILL_CONFIRMED] = "still_confirmed",
					    [NOTICE_ALWAYS] = "always",
					    [NOTICE_MONEY_BACK] = "money_back",
					    [NOTICE_MONEY_STUCK] = "money_stuck"};

	return names[w];
}

const struct notice_rule *notice_rule_for(struct str type, struct str reason)
{
	for (size_t i = 0; i < notice_rules_n; i++) {
		const struct notice_rule *r = &notice_rules[i];

		if (str_eqc(type, r->type) && (!r->reason || str_eqc(reason, r->reason)))
			return r;
	}
	return NULL;
}
