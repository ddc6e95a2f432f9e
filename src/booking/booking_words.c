/*
 * A booking in words: what is the matter with it, why, and what can be done now. Owns the sentences, but for why a card was
 * declined (payment/decline.c); pure. Called when a booking
 * is shown (booking_view.c) and when a card is declined (booking_pay.c).
 */
#include "booking/booking_int.h"

#include <stdio.h>
#include <string.h>

/* Waiting to be paid. "still": the lock lives, another try may be made. */
static const char PROCESSING[] =
	"The gateway has not said yet whether the payment was made. The seats are held meanwhile. "
	"Ask again in a moment.";
static const char AT_THE_BANK[] =
	"The bank wants to see you: go on at the address in next_action. The seats are held for that "
	"as long as payment.expires_in says.";
static const char UNAVAILABLE_STILL[] =
	"The gateway could not be used; nothing was charged. Pay again with the same lock before "
	"expires_in is over.";
static const char UNAVAILABLE[] = "The gateway could not be used, and the time to pay is over. Nothing was charged.";
static const char CARD_LIMIT_STILL[] =
	"This card has paid for as many seats of this event as one person may book. Nothing was "
	"charged. Another card may be tried before expires_in is over.";
static const char CARD_LIMIT[] =
	"This card has paid for as many seats of this event as one person may book. Nothing was charged.";
static const char NOT_AS_ASKED_STILL[] =
	"The payment service did not take the payment as it was asked. Nothing was charged. Pay "
	"again with the same lock before expires_in is over.";
static const char NOT_AS_ASKED[] = "The payment service did not take the payment as it was asked. Nothing was charged.";
/* Ended. */
static const char TOO_LONG[] =
	"The payment took too long: the seats were released. Nothing is charged; what the bank has set "
	"aside, or sets aside later, is given back.";
static const char SEATS_LOST[] =
	"A seat already belonged to another booking. Nothing is charged; what the bank has set aside is "
	"given back.";
static const char PAYMENT_LOST[] =
	"The bank had promised the money, but the payment was not made. The tickets are void and the "
	"seats are on sale again; you owe nothing, and what was taken goes back.";
static const char CALLED_OFF[] = "The show was cancelled. The tickets are void; all that was paid for them goes back.";
static const char CALLED_OFF_UNPAID[] = "The show was cancelled before the payment was through. Nothing is charged; "
					"what the bank has set aside, or sets "
					"aside later, is given back.";
static const char BY_STAFF[] = "The organiser cancelled the booking.";
static const char CANCELLED[] = "The booking was cancelled.";
static const char TO_BE_CAPTURED[] =
	"The booking stands. The bank holds the money for it, and it is being taken; there is nothing "
	"left to do for you.";
/* Given back. "late": taken although the booking had ended. */
static const char REFUND_PENDING_WORDS[] = "The refund is under way; it is repeated until the bank has taken it.";
static const char REFUND_FAILED_WORDS[] =
	"The bank does not take the refund. It is still owed: the organiser has to pay it in "
	"another way.";
static const char REFUND_REVERSED_WORDS[] =
	"The refund was made, but the bank sent it back afterwards. It is still owed: the organiser has to pay it in "
	"another way.";
static const char REFUND_SETTLED_WORDS[] =
	"The bank did not take the refund, or sent it back. The organiser has settled it in another way.";
static const char LATE_PENDING[] = "The money was taken although the booking had ended. All of it is being given back.";
static const char LATE_FAILED[] =
	"The money was taken although the booking had ended, and the bank does not take it back. It is "
	"yours: the organiser has to pay it back in another way.";
static const char LATE_REVERSED[] = "The money was taken although the booking had ended. It was given back, but the "
				    "bank sent it back afterwards. It is "
				    "yours: the organiser has to pay it back in another way.";
static const char LATE_SETTLED[] = "The money was taken although the booking had ended, and the bank did not take it "
				   "back. The organiser has settled "
				   "it in another way.";
static const char LATE_DONE[] = "The money was taken although the booking had ended. All of it was given back.";

void booking_decline_words(const char *decline_code, bool lock_lives, char out[BOOKING_WORDS_MAX])
{
	snprintf(out, BOOKING_WORDS_MAX, "%s %s", payment_decline_words(decline_code),
		 lock_lives ? "The seats are still yours until the lock ends."
			    : "The seats are no longer held for you.");
}

const char *booking_payment_status(const struct booking_view *v)
{
	if (!v->paid)
		return v->total_minor ? "not_started" : "not_required";
	switch (v->payment_state) {
	case PAYMENT_CREATED:
		return "processing";
	case PAYMENT_AUTHORISED:
		return "capture_pending";
	case PAYMENT_FAILED:
		return strcmp(v->failure, "declined") == 0 ? "declined" : "failed";
	case PAYMENT_VOIDED:
	case PAYMENT_ABANDONED:
	case PAYMENT_CAPTURE_FAILED:
		if (v->refunded_late && !v->refund_reversed && strcmp(v->refund_status, "succeeded") == 0)
			return "refunded";
		break;
	case PAYMENT_REQUIRES_ACTION:
	case PAYMENT_CAPTURED:
	case PAYMENT_STATES:
		break;
	}
	return payment_state_name(v->payment_state);
}

static const char *refund_words(const struct booking_view *v)
{
	if (v->refund_owed)
		return v->refunded_late ? LATE_FAILED : REFUND_FAILED_WORDS;
	if (v->refund_reversed)
		return v->refunded_late ? LATE_REVERSED : REFUND_REVERSED_WORDS;
	if (v->refund_under_way)
		return v->refunded_late ? LATE_PENDING : REFUND_PENDING_WORDS;
	if (v->refund_settled)
		return v->refunded_late ? LATE_SETTLED : REFUND_SETTLED_WORDS;
	return v->refunded_late ? LATE_DONE : NULL;
}

/* Of a booking that is not confirmed; why a card was declined is told by its code. */
static const char *unpaid_words(const struct booking_view *v)
{
	bool still = v->state == BOOKING_PAYMENT_PENDING && booking_expires_in(v) > 0;

	if (strcmp(v->reason, "show_cancelled") == 0)
		return CALLED_OFF_UNPAID;
	if (!v->paid)
		return NULL;
	switch (v->payment_state) {
	case PAYMENT_CREATED:
		return PROCESSING;
	case PAYMENT_REQUIRES_ACTION:
		return AT_THE_BANK;
	case PAYMENT_ABANDONED:
		return TOO_LONG;
	case PAYMENT_FAILED:
		return still ? UNAVAILABLE_STILL : UNAVAILABLE;
	case PAYMENT_VOIDED:
		if (strcmp(v->failure, "card_limit") == 0)
			return still ? CARD_LIMIT_STILL : CARD_LIMIT;
		if (strcmp(v->failure, "amount_differs") == 0)
			return still ? NOT_AS_ASKED_STILL : NOT_AS_ASKED;
		if (strcmp(v->failure, "show_cancelled") == 0)
			return CALLED_OFF_UNPAID;
		return SEATS_LOST;
	case PAYMENT_AUTHORISED:
	case PAYMENT_CAPTURED:
	case PAYMENT_CAPTURE_FAILED:
	case PAYMENT_STATES:
		break;
	}
	return NULL;
}

static const char *words_of(const struct booking_view *v)
{
	switch (v->state) {
	case BOOKING_CONFIRMED:
		return v->paid && v->payment_state == PAYMENT_AUTHORISED ? TO_BE_CAPTURED : NULL;
	case BOOKING_CANCELLED:
		if (v->paid && v->payment_state == PAYMENT_CAPTURE_FAILED)
			return PAYMENT_LOST;
		if (strcmp(v->reason, "show_cancelled") == 0)
			return CALLED_OFF;
		return strcmp(v->reason, "staff") == 0 ? BY_STAFF : CANCELLED;
	case BOOKING_PAYMENT_PENDING:
	case BOOKING_FAILED:
		return unpaid_words(v);
	case BOOKING_STATES:
		break;
	}
	return NULL;
}

bool booking_words(const struct booking_view *v, char out[BOOKING_WORDS_MAX])
{
	const char *words = v->refunded ? refund_words(v) : NULL;

	if (!words && v->paid && v->payment_state == PAYMENT_FAILED && strcmp(v->failure, "declined") == 0) {
		booking_decline_words(v->decline_code, v->state == BOOKING_PAYMENT_PENDING && booking_expires_in(v) > 0,
				      out);
		return true;
	}
	if (!words)
		words = words_of(v);
	if (words)
		snprintf(out, BOOKING_WORDS_MAX, "%s", words);
	return words != NULL;
}
