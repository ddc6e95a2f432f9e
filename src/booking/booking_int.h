/* Inside the booking service: its own structure, how a booking is read and shown, its handlers. */
#ifndef BOOKING_BOOKING_INT_H
#define BOOKING_BOOKING_INT_H

#include "base/list.h"
#include "booking/booking.h"
#include "booking/booking_service.h"
#include "payment/payment_service.h"

enum { BOOKING_QUERY_MS = 3000, BOOKING_TX_MS = 6000 };
/* Indexes into the label of METRIC_BOOKINGS. */
enum { BOOKING_METRIC_PENDING, BOOKING_METRIC_CONFIRMED, BOOKING_METRIC_CANCELLED, BOOKING_METRIC_FAILED };

struct booking_service {
	struct booking_service_config config;
	struct crypto_key email_key;
	struct list endings; /* under way, see booking_end.c */
};

/* A booking as read; arena memory. */
struct booking_view {
	struct uuid show_id, booking_id, session_id, organizer_id, lock_id;
	enum booking_state state;
	size_t n, n_released;
	const int64_t *seats, *prices_minor; /* as booked */
	const int64_t *released;	     /* seats cancelled since */
	int64_t total_minor, created_us, expires_us,
		now_us; /* expires_us: of its lock; in the past when that has ended */
	const char *reference, *currency, *reason, *name, *email;
	bool paid; /* there is an attempt; the last one: */
	struct uuid payment_id;
	enum payment_state payment_state;
	const char *failure, *decline_code, *action_url;
	int64_t action_until_us;      /* until when the bank's page is waited for */
	bool refunded, refunded_late; /* refunded_late: taken by the gateway after the attempt had ended here */
	bool refund_owed,
		refund_reversed; /* it failed, or did so after it had succeeded, and nobody has settled that */
	bool refund_settled, refund_under_way;
	int64_t refund_minor;
	const char *refund_status;
};
void booking_view_read(const struct pg_result *r, int row, struct arena *arena, struct booking_view *ret);
/* The members of a booking into an open object. tickets: rows of tickets_read. owner: with what only an owner sees. */
void booking_write(struct booking_service *b, struct jw *w, const struct booking_view *v, const struct show *show,
		   const struct pg_result *tickets, bool owner);
int64_t booking_expires_in(const struct booking_view *v);
/* The last attempt as the API names it. */
const char *booking_payment_status(const struct booking_view *v);
enum { BOOKING_WORDS_MAX = 400 };
/* What is the matter and what can be done now, for the person in front of the screen; false: all is as it should be. */
bool booking_words(const struct booking_view *v, char out[BOOKING_WORDS_MAX]);
/* Why a card was declined, and whether the seats are still held. */
void booking_decline_words(const char *decline_code, bool lock_lives, char out[BOOKING_WORDS_MAX]);
/* Of the rows of payments_lock: what is left of the payment that holds money. */
int64_t booking_money_left(const struct pg_answer *a);

/* Reads booking, show and tickets. fn runs exactly once, never before this returns; err ERR_NONE, ERR_NOT_FOUND or
 * ERR_UNAVAILABLE; what it is given is valid during the callback (the view as long as the arena). */
typedef void booking_loaded_fn(void *arg, enum err err, const struct booking_view *v, struct show *show,
			       const struct pg_result *tickets);
void booking_load(struct booking_service *b, struct arena *arena, const struct uuid *show, const struct uuid *booking,
		  booking_loaded_fn *fn, void *arg);

/* May whoever calls see this booking: ERR_NONE, or what to refuse it with. And is it theirs? */
enum err booking_may_see(const struct web_call *call, const struct booking_view *v);
bool booking_owner(const struct web_call *call, const struct booking_view *v);

/* What is still under way when the process ends; after the pg. */
void booking_endings_free(struct booking_service *b);

/* A new record of a person, in the caller's transaction. */
void buyer_create(struct booking_service *b, struct pg_tx *tx, struct arena *arena, const struct uuid *buyer,
		  const struct uuid *organizer, const struct booking_person *person);

void bookings_get(struct web_call *call);	 /* booking_list.c */
void booking_resend_post(struct web_call *call); /* booking_mail.c */
void lookup_post(struct web_call *call);
void booking_transfer_post(struct web_call *call); /* booking_transfer.c */
void my_bookings_get(struct web_call *call);	   /* booking_mine.c */
void me_get(struct web_call *call);
void booking_post(struct web_call *call);	 /* booking_pay.c */
void booking_cancel_post(struct web_call *call); /* booking_cancel.c */
void booking_refund_post(struct web_call *call); /* booking_refund.c */
void booking_return_post(struct web_call *call); /* booking_return.c */
/* Does this address lead back to us, as the request or the configuration names us? */
bool booking_return_allowed(const struct booking_service *b, const struct web_call *call, struct str url);
/* Where the bank sends a buyer back to when the client did not say: the front page. Arena memory; empty: nowhere. */
struct str booking_return_usual(const struct booking_service *b, const struct web_call *call);

#endif
