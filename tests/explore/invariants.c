/*
 * What must hold: in every state, and in every end. An end is a state in which nothing is open: no drive, no row that is due,
 * no lock that lives. Calls that are still on their way may arrive afterwards; the next end must hold as well.
 */
#include "explore.h"

static int captures(const struct world *w, int buyer)
{
	int n = 0;

	for (int i = 0; i < ATTEMPTS; i++)
		n += buyer_of(i) == buyer && w->attempts[i].intent == INTENT_PAID;
	return n;
}

/* The gateway has taken money: is there a booking for it, or is it known that it has to go back? */
static bool accounted(const struct world *w, int attempt)
{
	const struct attempt *a = &w->attempts[attempt];
	const struct buyer *b = &w->buyers[buyer_of(attempt)];
	bool ours = a->state == PAYMENT_AUTHORISED || a->state == PAYMENT_CAPTURED;

	if (ours && b->booking == BOOKING_CONFIRMED)
		return true;
	if (ours && b->booking == BOOKING_CANCELLED && a->refunds[REFUND_SEATS].state != NO_REFUND)
		return true;
	return a->void_wanted || a->refunds[REFUND_VOID].state != NO_REFUND;
}

static const char *broken_attempt(const struct world *w, int i)
{
	const struct attempt *a = &w->attempts[i];

	if (a->state == NO_PAYMENT)
		return NULL;
	if (a->intent == INTENT_PAID && !accounted(w, i))
		return "I3: money was taken for what is no confirmed booking, and nothing is on its way to give it "
		       "back";
	/* so that two attempts at one booking are never both captured, whatever becomes of the first */
	if (a->intent == INTENT_PAID && a->state != PAYMENT_AUTHORISED && a->state != PAYMENT_CAPTURED &&
	    a->state != PAYMENT_CAPTURE_FAILED)
		return "I3: money was taken for an attempt for which there never was a booking";
	if (a->state <= PAYMENT_AUTHORISED && !a->due)
		return "I4: an attempt is open, and nobody will ever look at it";
	if (a->void_wanted && !a->due)
		return "I4: the gateway has to be told, and nobody will ever do it";
	return NULL;
}

static const char *broken_buyer(const struct world *w, int i)
{
	const struct buyer *b = &w->buyers[i];

	if (captures(w, i) > 1)
		return "I3: a booking was charged twice";
	if (b->owns != (b->booking == BOOKING_CONFIRMED))
		return "I1: who owns the seat is not whose booking is confirmed";
	if (b->owns && (w->seat != SEAT_BOOKED || w->holder != (unsigned)i))
		return "I1: the seat of a confirmed booking is not booked for it";
	return NULL;
}

const char *broken(const struct model *m, const struct world *w)
{
	const char *why = NULL;

	if (w->fault == FAULT_OVERTAKEN && !m->lenient)
		return "an overtaken drive changed something";
	if (w->fault == FAULT_TWO_REFUNDS)
		return "I3: one refund was paid out twice";
	if (w->fault == FAULT_NOT_DRAWN)
		return "a transaction went an arrow that is not drawn";
	if (w->fault == FAULT_OWN_CANCEL)
		return "I3: a booking's money was given back by our own cancellation";
	if (w->fault == FAULT_TOO_LATE)
		return "I4: an attempt was booked past the bound of everything";
	if (w->fault == FAULT_CAME_BACK)
		return "I1: who was out of it came back for the seat";
	if (w->buyers[0].owns && w->buyers[1].owns)
		return "I1: the seat has two owners";
	for (int i = 0; i < BUYERS && !why; i++)
		why = broken_buyer(w, i);
	for (int i = 0; i < ATTEMPTS && !why; i++)
		why = broken_attempt(w, i);
	return why;
}

bool quiescent(const struct world *w)
{
	for (int i = 0; i < DRIVES; i++)
		if (w->drives[i].used)
			return false;
	for (int i = 0; i < REFUND_DRIVES; i++)
		if (w->refunds[i].used)
			return false;
	for (int i = 0; i < BUYERS; i++)
		if (w->buyers[i].lock == LOCK_ACTIVE || w->buyers[i].lock == LOCK_PAYING ||
		    w->buyers[i].booking == BOOKING_PAYMENT_PENDING)
			return false;
	for (int i = 0; i < ATTEMPTS; i++) {
		const struct attempt *a = &w->attempts[i];

		if (a->due)
			return false;
		for (int kind = 0; kind < REFUND_KINDS; kind++)
			if (a->refunds[kind].state == REFUND_REQUESTED || a->refunds[kind].state == REFUND_PENDING)
				return false;
	}
	return true;
}

/* captured - refunded, of all attempts of a buyer; what could not be given back and waits for a person counts as given. */
static int net_of(const struct world *w, int buyer)
{
	int net = 0;

	for (int i = 0; i < ATTEMPTS; i++) {
		const struct attempt *a = &w->attempts[i];

		if (buyer_of(i) != buyer || a->intent != INTENT_PAID)
			continue;
		net += PRICE;
		for (int kind = 0; kind < REFUND_KINDS; kind++) {
			const struct refund *r = &a->refunds[kind];
			bool refused = r->state == REFUND_FAILED &&
				       (r->sent == SENT_NOTHING || r->sent == SENT_FAILED) &&
				       (kind == REFUND_VOID || a->state == PAYMENT_CAPTURED);

			if (r->sent == SENT_SUCCEEDED || refused)
				net -= kind == REFUND_VOID ? PRICE : PRICE - FEE;
		}
	}
	return net;
}

const char *broken_in_the_end(const struct world *w)
{
	for (int i = 0; i < BUYERS; i++) {
		const struct buyer *b = &w->buyers[i];
		int net = net_of(w, i);

		if (b->booking == BOOKING_CONFIRMED && net != PRICE)
			return "I3: in the end a confirmed booking is not paid";
		if (b->booking == BOOKING_CANCELLED && net != (b->fee_kept ? FEE : 0))
			return "I3: in the end a cancelled booking is paid for with more or less than its fee";
		if (b->booking != BOOKING_CONFIRMED && b->booking != BOOKING_CANCELLED && net != 0)
			return "I3: in the end somebody without a booking has paid";
	}
	for (int i = 0; i < ATTEMPTS; i++) {
		const struct attempt *a = &w->attempts[i];

		if (a->intent == INTENT_HELD || a->intent == INTENT_ACTION)
			return "I3: in the end money is held, or may still be, for nothing";
		if (a->state != NO_PAYMENT && (a->state == PAYMENT_CAPTURED) != (a->intent == INTENT_PAID) &&
		    a->refunds[REFUND_VOID].state == NO_REFUND)
			return "I3: in the end we and the gateway differ about a capture";
	}
	return NULL;
}

void print_world(FILE *out, const struct world *w)
{
	static const char *const intents[] = {"none", "new", "requires_action", "held", "paid", "canceled", "declined"};
	static const char *const sent[] = {"", ", pending at the gateway", ", paid out", ", failed at the gateway"};

	fprintf(out, "  seat %s%s%s\n", seat_state_name((enum seat_state)w->seat), w->seat == SEAT_FREE ? "" : " by ",
		w->seat == SEAT_FREE ? "" : buyer_names[w->holder]);
	for (int i = 0; i < BUYERS; i++)
		if (w->buyers[i].lock != NO_LOCK)
			fprintf(out, "  %s: lock %s, booking %s\n", buyer_names[i],
				lock_state_name((enum lock_state)w->buyers[i].lock),
				w->buyers[i].booking == NO_BOOKING
					? "none"
					: booking_state_name((enum booking_state)w->buyers[i].booking));
	for (int i = 0; i < ATTEMPTS; i++) {
		const struct attempt *a = &w->attempts[i];

		if (a->state == NO_PAYMENT)
			continue;
		fprintf(out, "  %s: %s%s%s; intent %s\n", attempt_names[i],
			payment_state_name((enum payment_state)a->state), a->void_wanted ? ", void wanted" : "",
			a->due ? "" : ", not due", intents[a->intent]);
		for (int kind = 0; kind < REFUND_KINDS; kind++)
			if (a->refunds[kind].state != NO_REFUND)
				fprintf(out, "    %s: %s%s\n", kind == REFUND_VOID ? "refund of everything" : "refund",
					refund_state_name((enum refund_state)a->refunds[kind].state),
					sent[a->refunds[kind].sent]);
	}
}
