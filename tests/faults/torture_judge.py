"""Judges a torture run after it has settled: the gateway's ledger, the database and what the buyers were told must be one story.

Three books that know nothing of each other: the simulator's (what was taken from whom), PostgreSQL's (who owns what), the
buyers' (what was answered). Nothing here asks the program.
"""

import collections
import urllib.parse
import uuid

CHARGED = ("captured",)
QUIET = ("succeeded", "canceled", "requires_payment_method", "requires_confirmation")
NOTHING_DONE = {"unavailable", "overloaded", "rate_limited"}


class Books:
    """All three, read once. ledger: what GET /_sim/ledger says."""

    def __init__(self, db, ledger, shows, records):
        self.seats = {uuid.UUID(show.show_id): show.seats for show in shows}
        self.records = records
        self.intents = ledger["payment_intents"]
        self.gateway_refunds = ledger["refunds"]
        self.bookings = self._by_id(db, """SELECT booking_id, show_id, lock_id, session_id, state, reason, seats, total_minor,
            fee_kept_minor, confirmed_at FROM bookings""")
        self.payments = self._by_id(db, """SELECT payment_id, booking_id, state, amount_minor, currency, method, return_url, intent_id,
            failure FROM payments ORDER BY created_at, attempt_no""")
        self.refunds = self._by_id(db, """SELECT refund_id, payment_id, booking_id, state, amount_minor, kind, failure FROM refunds
            ORDER BY created_at""")
        self.booking_seats = collections.defaultdict(list)
        for row in self._rows(db, """SELECT booking_id, seat_no, price_minor, released_at FROM booking_seats
                                  ORDER BY booking_id, seat_no"""):
            self.booking_seats[row["booking_id"]].append(row)
        self.of_attempt = collections.defaultdict(list)
        for intent in self.intents:
            self.of_attempt[intent["metadata"].get("attempt")].append(intent)
        self.of_booking = collections.defaultdict(list)
        for payment in self.payments.values():
            self.of_booking[payment["booking_id"]].append(payment)
        # which wish to pay an attempt belongs to stands in the address the buyer is sent back to
        self.of_wish = collections.defaultdict(list)
        for payment in self.payments.values():
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(payment["return_url"]).query)
            self.of_wish[int(query["visit"][0]), int(query["card"][0])].append(payment)

    @staticmethod
    def _rows(db, statement):
        cursor = db.execute(statement)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    @classmethod
    def _by_id(cls, db, statement):
        """The rows by their first column."""
        return {next(iter(row.values())): row for row in cls._rows(db, statement)}

    def net(self, payment):
        """What the gateway has of an attempt in the end."""
        return sum(i["amount_captured"] - i["amount_refunded"] for i in self.of_attempt[str(payment["payment_id"])])

    def captures(self, booking_id):
        """All captures of a booking's attempts, also of those the database has forgotten."""
        return [i for i in self.intents if i["metadata"].get("booking") == str(booking_id) and i["amount_captured"]]


def judge(books):
    """A list of sentences; empty: all is well."""
    return [*judge_gateway(books), *judge_refunds(books), *judge_bookings(books), *judge_told(books), *judge_wishes(books),
            *judge_strangers(books)]


def judge_gateway(books):
    """Every intent is one of our attempts, for its sum, taken at most once; nothing stays held."""
    for intent in books.intents:
        name = f"intent {intent['id']} ({intent['status']})"
        attempt = intent["metadata"].get("attempt")
        payment = books.payments.get(uuid.UUID(attempt)) if attempt else None
        if payment is None:
            yield f"{name} belongs to no attempt"
            continue
        if (intent["amount"], intent["currency"]) != (payment["amount_minor"], payment["currency"].lower()):
            yield f"{name} is about {intent['amount']} {intent['currency']}, its attempt about {payment['amount_minor']}"
        if intent["status"] not in QUIET or intent["amount_capturable"]:
            yield f"{name} is still open: {intent['amount_capturable']} held, attempt {attempt} is {payment['state']}"
        if not 0 <= intent["amount_refunded"] <= intent["amount_captured"] <= intent["amount"]:
            yield f"{name}: captured {intent['amount_captured']} and refunded {intent['amount_refunded']} of {intent['amount']}"
    for payment in books.payments.values():
        net, name = books.net(payment), f"attempt {payment['payment_id']} ({payment['state']})"
        taken = [i for i in books.of_attempt[str(payment["payment_id"])] if i["amount_captured"]]
        if payment["state"] in CHARGED:
            if len(taken) != 1 or taken[0]["amount_captured"] != payment["amount_minor"] or taken[0]["id"] != payment["intent_id"]:
                yield f"{name} of {payment['amount_minor']} was captured as {[(i['id'], i['amount_captured']) for i in taken]}"
        elif net:
            yield f"{name} has {net} of somebody's money"


def judge_refunds(books):
    """Each of our refunds that succeeded is one of the gateway's, and the other way round."""
    theirs = collections.defaultdict(list)
    for refund in books.gateway_refunds:
        theirs[refund["metadata"].get("refund")].append(refund)
    for refund_id, refund in books.refunds.items():
        found = [each["amount"] for each in theirs.pop(str(refund_id), []) if each["status"] == "succeeded"]
        paid = books.payments[refund["payment_id"]]["state"]
        wanted = [refund["amount_minor"]] if refund["state"] == "succeeded" else []
        if found != wanted:
            yield f"refund {refund_id} ({refund['state']}, {refund['amount_minor']}) is {found} at the gateway"
        if refund["state"] == "failed" and paid in CHARGED:
            yield f"refund {refund_id} failed ({refund['failure']}) although the payment is {paid}"
    for name, found in theirs.items():
        yield f"the gateway has refunds of nobody's: {name}: {[each['amount'] for each in found]}"


def judge_bookings(books):
    """Confirmed: paid once. Ended: the fee at most. Everything else: nothing."""
    for booking_id, booking in books.bookings.items():
        name = f"booking {booking_id} ({booking['state']} {booking['reason']})"
        captures = books.captures(booking_id)
        net = sum(i["amount_captured"] - i["amount_refunded"] for i in captures)
        goodwill = sum(r["amount_minor"] for r in books.refunds.values()
                       if r["booking_id"] == booking_id and r["kind"] == "goodwill" and r["state"] == "succeeded")
        live = sum(seat["price_minor"] for seat in books.booking_seats[booking_id] if seat["released_at"] is None)
        paid = booking["state"] == "confirmed" or (booking["state"] == "cancelled" and booking["reason"] != "payment_lost")
        lost = any(p["state"] == "capture_failed" for p in books.of_booking[booking_id])
        if paid and not lost and booking["total_minor"]:
            if [i["amount_captured"] for i in captures] != [booking["total_minor"]]:
                yield f"{name} of {booking['total_minor']} was charged {[i['amount_captured'] for i in captures]}"
            if net != live + booking["fee_kept_minor"] - goodwill:
                yield f"{name}: kept {net}, but seats {live} + fee {booking['fee_kept_minor']} - goodwill {goodwill}"
        elif net:
            yield f"{name} was charged {net}"
        if booking["state"] == "confirmed" and lost:
            yield f"{name} is confirmed, but its capture was refused"
        if booking["state"] == "payment_pending":
            yield f"{name} was not settled"


def judge_told(books):
    """What was acknowledged as confirmed is, or was ended by somebody who asked for that; the same of its seats and refunds."""
    for record in books.records:
        for booking_id, told in record.told.items():
            name = f"visit {record.visit.number} was told that booking {booking_id} is confirmed"
            booking = books.bookings.get(uuid.UUID(booking_id))
            if booking is None:
                yield f"{name}; it is not there"
                continue
            asked = [done for done in record.done if done.what == "cancel"]
            cards = {p["method"] for p in books.of_booking[booking["booking_id"]] if p["state"] == "capture_failed"}
            who = {done.by for done in asked}
            if booking["state"] == "cancelled":
                if booking["reason"] not in (who | {"payment_lost"}):
                    yield f"{name}; it was cancelled by {booking['reason']}, whom nobody asked"
                if booking["reason"] == "payment_lost" and cards != {"pm_card_captureFails"}:
                    yield f"{name}; its payment was lost with card {cards}"
            elif booking["state"] != "confirmed":
                yield f"{name}; it is {booking['state']}"
            guids = books.seats[booking["show_id"]]
            mine = {guids[seat] for seat in booking["seats"]}
            if {seat["guid"] for seat in told["seats"]} != mine:
                yield f"{name} with {told['seats']}; it has {mine}"
            if {told["total"]["amount"], sum(s["price"]["amount"] for s in told["seats"])} != {booking["total_minor"]}:
                yield f"{name} for {told['total']}; it costs {booking['total_minor']}"
            live = {guids[s["seat_no"]] for s in books.booking_seats[booking["booking_id"]] if s["released_at"] is None}
            may_go = set().union(*[done.seats or mine for done in asked])
            must_go = set().union(*[done.seats or mine for done in asked if any(got.status == 200 for got in done.got)])
            if booking["reason"] != "payment_lost" and (mine - may_go) - live:
                yield f"{name}; its seats {(mine - may_go) - live} are gone and nobody cancelled them"
            if must_go & live:
                yield f"visit {record.visit.number} was told that {must_go & live} are cancelled; they are not"
        yield from judge_given_back(books, record)


def judge_given_back(books, record):
    for done in record.done:
        for got in done.got:
            if got.status == 201:  # goodwill
                refund = books.refunds.get(uuid.UUID(got.body["refund_id"]))
                # of a payment that was lost after all there is nothing to give back
                lost = refund and refund["failure"] == "not_captured" and books.payments[refund["payment_id"]]["state"] == "capture_failed"
                if refund is None or refund["amount_minor"] != done.amount or (refund["state"] != "succeeded" and not lost):
                    yield f"visit {record.visit.number} was promised goodwill {got.body}; there is {refund}"
            if got.status == 200 and got.body.get("refund"):
                booking = uuid.UUID(got.body["booking_id"])
                ours = [r for r in books.refunds.values() if r["booking_id"] == booking]
                if sum(r["amount_minor"] for r in ours) < got.body["refund"]["amount"]["amount"]:
                    yield f"visit {record.visit.number} was promised {got.body['refund']}; there are {ours}"


def judge_wishes(books):
    """Each answer to a wish to pay fits what became of its attempts."""
    of_lock = {str(b["lock_id"]): b for b in books.bookings.values()}
    for record in books.records:
        for asked in record.asked:
            yield from judge_wish(books, asked, books.of_wish[asked.visit, asked.number], of_lock.get(asked.lock_id))


def judge_wish(books, asked, attempts, booking):
    name = f"visit {asked.visit} key {asked.key} ({asked.card.method} {asked.card.bank})"
    states = [p["state"] for p in attempts]
    net = sum(books.net(p) for p in attempts)
    confirmed = [got for got in asked.got if got.status == 201 and got.body["status"] == "confirmed"]
    declined = [got for got in asked.got if got.status == 402]
    lost = any(got.status == 0 or got.code == "outcome_unknown" for got in asked.got)
    said = {got.code for got in asked.got}
    last = max(asked.got, key=lambda got: got.at)
    ids = {got.body["booking_id"] for got in asked.got if got.status in (201, 402)}
    if len(ids) > 1:
        yield f"{name} was told of several bookings: {ids}"
    if ids and (booking is None or ids != {str(booking["booking_id"])}):
        yield f"{name} was told of booking {ids}; its lock has {booking and booking['booking_id']}"
    if sum(state in ("captured", "capture_failed") for state in states) > 1:
        yield f"{name} was paid more than once: {states}"
    if confirmed and states[-1] not in ("captured", "capture_failed"):
        yield f"{name} was confirmed; its attempts are {states}"
    if declined:
        if net or "captured" in states:
            yield f"{name} was declined; its attempts are {states}, charged {net}"
        card = asked.card
        refused = card.method.startswith("pm_card_chargeDeclined") or card.bank == "fail" or card.method == "pm_card_captureFails"
        if not refused or not {"failed", "capture_failed"} & set(states):
            yield f"{name} was told 402 {declined[0].body['decline_code']}; its attempts are {states}"
    if all(got.status in (-1, 429) or got.code in NOTHING_DONE for got in asked.got) and attempts:
        yield f"{name} was told each time that nothing was done; its attempts are {states}"
    if not lost and last.code in ("payment_unavailable", "lock_expired") and (net or not {"failed", "abandoned"} >= set(states)):
        yield f"{name} was told {last.code}; its attempts are {states}, charged {net}"
    if "lock_already_used" in said and (booking is None or booking["confirmed_at"] is None):
        yield f"{name} was told that its lock has a booking; it is {booking}"
    if said & {"seat_already_booked", "not_on_sale", "idempotency_mismatch", "not_found"}:
        yield f"{name} was told {said}"


def judge_strangers(books):
    """No booking, no charge for those who were never told of one and never left without an answer."""
    sessions = {record.session: record for record in books.records}
    for booking in books.bookings.values():
        record = sessions.get(booking["session_id"])
        if record is None:
            yield f"booking {booking['booking_id']} is nobody's"
            continue
        if booking["confirmed_at"] is None or booking["reason"] == "payment_lost" or str(booking["booking_id"]) in record.told:
            continue
        # he does not know that he has it: an answer was lost, or he left while his bank had not decided
        if not any(got.unclear or (got.status == 201 and got.body["status"] == "payment_pending")
                   for asked in record.asked for got in asked.got):
            yield f"visit {record.visit.number} has booking {booking['booking_id']} and every answer it got said otherwise"
