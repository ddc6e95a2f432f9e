"""The rows: what is measured against what, with which goal. The order is the table's."""

from figures import AT_LEAST, AT_MOST, Figure

CATALOGUE = [
    # name, what, goal, direction, numerator, denominator, unit
    ("lock", "accepted, durable locks of 2 seats through HTTP, one show of 50,000 seats", 4.0, AT_LEAST,
     "bench_drive lock", "pgbench lock_transaction", "locks/s"),
    ("lock_statement", "the same", 2.5, AT_LEAST, "bench_drive lock", "pgbench lock_statement", "locks/s"),
    ("lock_spread", "the same over 1,000 shows of 50 seats", 0.85, AT_LEAST, "bench_drive lock, 1,000 shows",
     "bench_drive lock, one show", "locks/s"),
    ("lock_cpu", "CPU of all server processes per accepted lock, one show", 60, AT_MOST, "CPU per lock", "", "us"),
    ("spread_cpu", "the same over 1,000 shows", 75, AT_MOST, "CPU per lock", "", "us"),
    ("lone", "one buyer alone: p50 of a lock", 1.2, AT_MOST, "bench_drive lone",
     "pgbench -c 1 p50 + one HTTP round trip", "us"),
    ("refuse", "refusals: seats that somebody has", 0.7, AT_LEAST, "bench_drive refuse", "static 200-byte JSON", "answers/s"),
    ("availability", "availability of a 20,000-seat show, all taken, whole body", 0.8, AT_LEAST, "GET .../seats",
     "static of the same size", "answers/s"),
    ("not_modified", "the same to whoever has it", 0.95, AT_LEAST, "GET .../seats, 304", "static 304", "answers/s"),
    ("rush", "p99 of winners among 100 losers each", 2.0, AT_MOST, "winners' p99 in the crowd", "winners' p99 alone", "us"),
    ("overload", "accepted locks when 10 times the capacity is asked for", 0.9, AT_LEAST, "accepted under overload",
     "accepted at the peak", "locks/s"),
    ("journey", "lock, book, pay (simulator), confirmed", 3.0, AT_LEAST, "bench_drive journey", "pgbench journey", "journeys/s"),
    ("memory_idle", "memory of serve per idle connection, 10,000 of them", None, AT_MOST, "bytes", "", "bytes"),
    ("cold_start", "Redis emptied under load, a show of 50,000 seats: locks that failed", 0, AT_MOST, "requests failed", "",
     "requests"),
    ("growth_shows", "CPU per lock with 10,000 further shows", 1.1, AT_MOST, "10,001 shows", "1 show", "us"),
    ("growth_seats", "CPU per lock in shows of 50,000 seats", 1.1, AT_MOST, "50,000 seats", "100 seats", "us"),
    ("growth_memory", "memory of serve with 10,000 further shows", 1.1, AT_MOST, "10,001 shows", "1 show", "bytes"),
    ("relay", "events that wait go to Kafka", 3.0, AT_LEAST, "relay", "bench_drive lock", "events/s"),
    ("relay_lag", "p99 from a lock's statement to its event being out, at 0.7 of the lock rate", 1000, AT_MOST, "lag", "", "ms"),
    ("tickets", "ticket PDFs: bookings of 2 seats a second", 200, AT_LEAST, "GET ....pdf, by twos", "", "bookings/s"),
    ("checkin", "p99 of a check-in, 20 scanners that scan without a pause", 100, AT_MOST, "p99", "", "ms"),
    ("door_bundle", "what a door without a network carries for 20,000 tickets, all used, packed", 1000, AT_MOST, "kB", "", "kB"),
    ("onsale", "a simulated on-sale: share of the seats sold, each once", 1.0, AT_LEAST, "seats sold", "seats there were", "seats"),
]

# of the goals; nothing to measure yet
NOT_YET = {
    "live_map": "not there yet: deliveries to 10,000 viewers >= 0.8x a bare loop",
}


def figure(name):
    for entry in CATALOGUE:
        if entry[0] == name:
            _, what, goal, direction, numerator, denominator, unit = entry
            return Figure(name, what, goal, direction, numerator, denominator, unit)
    if name in NOT_YET:
        return Figure(name, NOT_YET[name].split(": ", 1)[1], None, missing=NOT_YET[name])
    raise KeyError(name)


NAMES = [entry[0] for entry in CATALOGUE] + list(NOT_YET)


def listing():
    """A line per row."""
    lines = []
    for name in NAMES:
        f = figure(name)
        goal = "" if f.goal is None else f"  (goal {f.direction} {f.goal:g}{' x ' + f.denominator if f.denominator else ' ' + f.unit})"
        lines.append(f"{name:<15} {f.missing or f.what}{'' if f.missing else goal}")
    return lines
