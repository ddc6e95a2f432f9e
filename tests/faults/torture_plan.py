"""What a torture run does, all of it from its seed: who comes and what he does, what breaks and when. Pure.

Time is real, so a run is not repeated to the microsecond; its plan is: the same visits in the same order, each with the same
cards, hang-ups and second thoughts, and the same faults, each when the same visit begins.
"""

import random
from dataclasses import dataclass, field

GOOD = ["pm_card_visa", "pm_card_mastercard", "pm_card_amex", "pm_card_visa_debit"]
DECLINED = ["pm_card_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds", "pm_card_chargeDeclinedExpiredCard"]
SECURE = ["pm_card_threeDSecureRequired", "pm_card_authenticationRequired"]
CAPTURE_FAILS = "pm_card_captureFails"

# what a seat costs, the fee of a cancellation, how many seats per 100 visits: the last one is small, so that it is fought for
SHOWS = [
    {"prices": {"Stalls": 4500, "Circle": 1999}, "currency": "EUR", "fee": 300, "share": 80},
    {"prices": {"Standard": 7000}, "currency": "JPY", "fee": 0, "share": 60},
    {"prices": {"Standard": 12340}, "currency": "KWD", "fee": 1500, "share": 50},
    {"prices": {"Standard": 2500}, "currency": "EUR", "fee": 0, "share": 15},
]
PER_ROW = 10


@dataclass
class Card:
    """One card that is tried, with an Idempotency-Key of its own."""
    method: str
    bank: str = ""          # what is pressed at the bank's page: authorise, fail, "": it is left open
    asks: str = "get"       # how the buyer learns what became of it: get, key (the same request again), none (he has gone)
    hang_up: float = None   # the share of the first request that is sent before he hangs up; 1: all of it
    twin: bool = False      # the first request is sent twice at once
    repeats: int = 0        # how often an unclear answer is asked again with the same key


@dataclass
class Visit:
    number: int
    show: int
    choices: list           # seats (numbers) that are wanted, in order of preference; a number: that many of the best
    lock_hang_up: float
    cards: list
    after: list             # what is done with a confirmed booking
    release: bool           # a lock that could not be paid is given back
    pauses: list            # seconds, used in turn


@dataclass
class Step:
    """A fault. At the beginning of which visit, what, for how long, and choices to be made by numbers from 0 to 1."""
    at: int
    what: str
    which: float = 0.0
    seconds: float = 0.0
    switch: dict = None     # of the simulator; with seconds: all leases end so long after
    wait: float = 0.0       # after the beginning of the visit

    def __str__(self):
        text = f"at visit {self.at} + {self.wait:.2f} s: {self.what}"
        if self.switch:
            text += " " + " ".join(f"{name}={value}" for name, value in self.switch.items())
            return text + (f", leases end {self.seconds:.1f} s later" if self.seconds else "")
        return text + f" {self.which:.3f}" + (f" for {self.seconds:.1f} s" if self.seconds else "")


@dataclass
class Plan:
    seed: str
    bookings: int
    every: int
    seats: list = field(default_factory=list)   # of each show
    visits: list = field(default_factory=list)
    steps: list = field(default_factory=list)

    def __str__(self):
        lines = [f"seed {self.seed}, {self.bookings} bookings, shows of {self.seats} seats", *map(str, self.steps)]
        return "\n".join(lines)


# how often, what, seconds from and to
FAULTS = [
    (5, "kill a worker", 0, 0), (2, "kill serve", 0, 0), (4, "kill work", 0, 0), (4, "kill paysim", 0, 0),
    (2, "kill postgres", 0, 0), (1, "kill a backend", 0, 0), (4, "cut connections to postgres", 0, 0),
    (2, "kill redis", 0, 0), (3, "wipe redis", 0, 0),
    (4, "stop a worker", 0.5, 6), (2, "stop work", 0.5, 6), (2, "stop paysim", 0.3, 2.5), (1, "stop postgres", 0.3, 2.5),
    (1, "stop redis", 0.3, 2), (3, "leases end", 0, 0), (3, "time is over", 0, 0),
]
SWITCHES = 30   # as often as all of those together
CALLS = ["create", "confirm", "confirm", "capture", "capture", "cancel", "refund", "retrieve", "list", "any"]
MODES = ["drop_before", "drop_after", "drop_after", "500_before", "500_after", "500_after", "429", "delay", "hang", "hang_after"]


def plan_switch(rng):
    if rng.random() < 0.2:
        return {"match": "webhook", "mode": rng.choice(["drop_before", "delay", "twice", "reorder"]), "times": rng.randint(2, 8),
                "ms": rng.randint(100, 1500)}
    mode = rng.choice(MODES)
    if rng.random() < 0.3:  # a gateway in trouble: some calls for a while
        return {"match": rng.choice(CALLS), "mode": mode, "probability": round(rng.uniform(0.1, 0.5), 2), "seed": rng.getrandbits(32),
                "for_s": rng.randint(1, 2 if "hang" in mode else 4), "ms": rng.randint(200, 900) if mode == "delay" else 0}
    return {"match": rng.choice(CALLS), "mode": mode, "times": rng.randint(1, 2) if "hang" in mode else rng.randint(1, 5),
            "ms": rng.randint(200, 900) if mode == "delay" else 0}


def plan_steps(rng, bookings, every):
    at = 3
    while at < bookings:
        kinds = rng.choices([(0, "switch", 0, 0), *FAULTS], [SWITCHES, *(fault[0] for fault in FAULTS)])[0]
        _, what, least, most = kinds
        step = Step(at, what, rng.random(), rng.uniform(least, most) if most else 0.0, None, rng.random() * 0.3)
        if what == "switch":
            step.switch = plan_switch(rng)
            # who waits for what hangs is overtaken, and goes on when it is over
            step.seconds = rng.uniform(0.1, 1.2) if step.switch["mode"] in ("delay", "hang", "hang_after") else 0.0
        yield step
        at += rng.randint(1, 2 * every - 1)


def plan_cards(rng):
    def card(method, bank=""):
        hang_up = None if rng.random() > 0.12 else 1 if rng.random() < 0.7 else rng.random()
        return Card(method, bank, rng.choices(["get", "key", "none"], [5, 3, 2])[0], hang_up, rng.random() < 0.06,
                    rng.choice([0, 1, 2, 4, 4]))

    good = card(rng.choice(GOOD))
    kind = rng.random()
    if kind < 0.38:
        return [good]
    if kind < 0.50:
        return [good, card(rng.choice(GOOD))]
    if kind < 0.62:
        return [card(rng.choice(DECLINED)), good]
    if kind < 0.67:
        return [card(rng.choice(DECLINED)), card(rng.choice(DECLINED))]
    if kind < 0.80:
        return [card(rng.choice(SECURE), "authorise")]
    if kind < 0.88:
        return [card(rng.choice(SECURE), "fail"), good]
    if kind < 0.95:
        return [card(rng.choice(SECURE))]
    return [card(CAPTURE_FAILS)]


AFTER = [(10, []), (3, ["ask"]), (2, ["mine"]), (3, ["cancel"]), (2, ["seat"]), (2, ["seat", "cancel"]), (1, ["cancel twice"]),
         (2, ["goodwill"]), (1, ["goodwill", "cancel"]), (1, ["cancel and goodwill"]), (1, ["staff"])]


def plan_visit(rng, number, seats):
    show = rng.choices(range(len(seats)), [each["share"] for each in SHOWS])[0]
    n = rng.choices([1, 2, 3, 7], [4, 5, 3, 1])[0]
    choices = [sorted(rng.sample(range(seats[show]), n)) for _ in range(3)] + [n]
    if rng.random() < 0.2:
        choices = [n]
    hang_up = None if rng.random() > 0.08 else 1 if rng.random() < 0.7 else rng.random()
    return Visit(number, show, choices, hang_up, plan_cards(rng),
                 rng.choices([after for _, after in AFTER], [weight for weight, _ in AFTER])[0], rng.random() < 0.4,
                 [rng.random() ** 3 * 0.8 for _ in range(5)])


def make(seed, bookings, every=6):
    """every: about how many visits there are to one fault."""
    plan = Plan(str(seed), bookings, every)
    who, what = random.Random(f"{seed}/visits"), random.Random(f"{seed}/faults")
    rows = [max(1, bookings * show["share"] // (100 * PER_ROW)) for show in SHOWS]
    plan.seats = [n * PER_ROW for n in rows]
    plan.visits = [plan_visit(who, number, plan.seats) for number in range(bookings)]
    plan.steps = list(plan_steps(what, bookings, every))
    return plan
