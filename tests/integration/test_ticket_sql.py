"""The ticket service's statements against the migrated schema: each is PREPAREd, the arrows of a ticket do what they say even
when two come at once, and so does the rotation of the signing key."""

import base64
import hashlib
import secrets
import subprocess
import threading
import uuid
from pathlib import Path

import psycopg
import pytest
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt
from nacl.signing import SigningKey, VerifyKey

from servers import bin_dir, start_postgres

ROOT = Path(__file__).resolve().parent.parent.parent
SQL = ROOT / "src/ticket/sql"


def statement(name):
    """The file's text with psycopg's placeholders."""
    text = "\n".join(line.split("--")[0] for line in (SQL / f"{name}.sql").read_text().splitlines())
    for i in range(9, 0, -1):
        text = text.replace(f"${i}", f"%(p{i})s")
    return text


def run(conn, name, *args):
    cursor = conn.execute(statement(name), {f"p{i + 1}": value for i, value in enumerate(args)})
    return cursor.fetchall() if cursor.description else cursor.rowcount


@pytest.fixture(scope="module")
def server(base_dir):
    pg = start_postgres(base_dir / "ticket-sql")
    pg.psql("CREATE ROLE boxoffice_app LOGIN; CREATE TABLE schema_migrations "
            "(version int PRIMARY KEY, name text, checksum text, applied_at timestamptz);")
    for migration in sorted((ROOT / "db/migrations").glob("*.sql")):
        pg.psql(migration.read_text())
    yield pg
    pg.close()


@pytest.fixture
def connect(server):
    """Connections as the role the program runs as; what they began is rolled back."""
    made = []

    def make():
        made.append(psycopg.connect(server.url_as("boxoffice_app")))
        return made[-1]

    yield make
    for conn in made:
        conn.close()


@pytest.fixture
def booking(server):
    """show, booking of a confirmed booking of seats 0 to 4 at 10.00 to 14.00, with nothing of tickets yet."""
    ids = {name: str(uuid.uuid4()) for name in ("organizer", "venue", "plan", "event", "show", "booking", "buyer")}
    server.psql("""
        TRUNCATE organizers CASCADE; TRUNCATE tickets, ticket_keys, bookings, buyers, outbox CASCADE;
        INSERT INTO organizers VALUES ('{organizer}', 'Riverside');
        INSERT INTO venues (venue_id, organizer_id, name, timezone, city) VALUES ('{venue}', '{organizer}', 'V', 'UTC', 'C');
        INSERT INTO seating_plans (plan_id, organizer_id, venue_id, version, name, seats, categories, document)
          VALUES ('{plan}', '{organizer}', '{venue}', 1, 'P', 5, '{{A}}', '{{}}');
        INSERT INTO events (event_id, organizer_id, name, status) VALUES ('{event}', '{organizer}', 'E', 'published');
        INSERT INTO shows (show_id, organizer_id, event_id, venue_id, plan_id, status, starts_at, local_starts_at, timezone,
                           sale_starts_at, sale_ends_at, currency, prices, capacity)
          VALUES ('{show}', '{organizer}', '{event}', '{venue}', '{plan}', 'published', now(), now(), 'UTC',
                  now(), now() + interval '1 day', 'EUR', '{{1000}}', 5);
        INSERT INTO buyers (buyer_id, organizer_id, name, email, email_hash, locale)
          VALUES ('{buyer}', '{organizer}', 'Ada', 'ada@example.org', '', 'de');
        INSERT INTO bookings (show_id, booking_id, organizer_id, event_id, lock_id, session_id, buyer_id, reference, state,
                              seats, prices, categories, total_minor, currency)
          VALUES ('{show}', '{booking}', '{organizer}', '{event}', gen_random_uuid(), gen_random_uuid(), '{buyer}',
                  '7KX2M-Q4HDN', 'confirmed', '{{0,1,2,3,4}}', '{{1000,1100,1200,1300,1400}}', '{{0,0,0,0,0}}', 6000, 'EUR');
        """.format(**ids))
    return ids["show"], ids["booking"]


def issue(conn, booking, seats):
    return run(conn, "tickets_issue", *booking, [uuid.uuid4() for _ in seats], seats, uuid.uuid4(), uuid.UUID(int=0))


def revoke(conn, booking, seats):
    run(conn, "tickets_revoke_hold", *booking, seats)
    used, revoked, tickets = run(conn, "tickets_revoke", *booking, seats, uuid.uuid4(), "buyer")[0]
    assert revoked == len(tickets)
    return used, revoked


def states(conn, booking):
    return [row[2] for row in run(conn, "tickets_read", *booking)]


def ended(process):
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    return out.strip()


@pytest.fixture
def key(connect, booking):
    with connect() as conn:
        run(conn, "key_create", b"p" * 32, b"secret")


@pytest.mark.parametrize("path", sorted([*SQL.glob("*.sql"), *(ROOT / "src/door/sql").glob("*.sql")]), ids=lambda path: path.stem)
def test_every_statement_can_be_prepared(path, connect):
    connect().execute(f"PREPARE one AS {path.read_text()}")


def test_issued_tickets_come_back_in_the_order_of_their_seats(connect, booking, key):
    with connect() as conn:
        made = issue(conn, booking, [3, 1, 2])
    with connect() as conn:
        read = run(conn, "tickets_read", *booking)
        (events,) = conn.execute("SELECT events FROM outbox WHERE topic = 'ticket'").fetchone()
    assert [(row[1], row[2]) for row in made] == [(1, "valid"), (2, "valid"), (3, "valid")]
    assert read == [(*row, False) for row in made]
    assert bytes(read[0][4]) == b"secret"
    assert [(e["type"], e["booking_id"], e["ticket_id"], e["seat_no"], e["version"]) for e in events] == [
        ("ticket.issued", booking[1], str(row[0]), row[1], 1) for row in made]


def test_without_a_key_no_ticket_is_issued(connect, booking):
    assert issue(connect(), booking, [1]) == []


def test_a_seat_of_a_booking_has_one_live_ticket(connect, booking, key):
    conn = connect()
    issue(conn, booking, [1])
    with pytest.raises(psycopg.errors.UniqueViolation, match="tickets_one_valid"):
        issue(conn, booking, [2, 1])


def test_a_seat_gets_a_new_ticket_after_its_old_one_was_revoked(connect, booking, key):
    conn = connect()
    issue(conn, booking, [1])
    assert revoke(conn, booking, [1]) == (0, 1)
    issue(conn, booking, [1])
    assert sorted(states(conn, booking)) == ["revoked", "valid"]


def test_only_the_named_seats_are_revoked_and_only_once(connect, booking, key):
    with connect() as conn:
        made = issue(conn, booking, [1, 2, 3])
        assert revoke(conn, booking, [3, 1]) == (0, 2)
        assert revoke(conn, booking, [3, 1]) == (0, 0)
    with connect() as conn:
        assert states(conn, booking) == ["revoked", "valid", "revoked"]
        ((revoked, as_of),) = run(conn, "tickets_revoked", booking[0])
        assert revoked == sorted([made[0][0], made[2][0]]) and as_of is not None
        assert run(conn, "tickets_revoked", str(uuid.uuid4()))[0][0] == []
        rows = conn.execute("SELECT events FROM outbox WHERE topic = 'ticket'").fetchall()
    told = [event for (events,) in rows for event in events if event["type"] == "ticket.revoked"]
    assert [(event["seat_no"], event["version"], event["reason"]) for event in told] == [(1, 2, "buyer"), (3, 2, "buyer")]


def test_nothing_is_revoked_when_one_was_used(connect, booking, key):
    conn = connect()
    issue(conn, booking, [1, 2])
    conn.execute("UPDATE tickets SET state = 'used' WHERE seat_no = 2")
    assert revoke(conn, booking, [1, 2]) == (1, 0)
    assert states(conn, booking) == ["valid", "used"]
    assert revoke(conn, booking, [1]) == (0, 1)


def test_a_ticket_used_while_its_cancellation_waits_is_not_revoked(server, connect, booking, key):
    with connect() as conn:
        issue(conn, booking, [1, 2])
    door, buyer = connect(), connect()
    door.execute("UPDATE tickets SET state = 'used' WHERE seat_no = 2")
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(revoke(buyer, booking, [1, 2])))
    waiting.start()
    while not int(server.psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")):
        assert waiting.is_alive(), "the cancellation did not wait for the door"
    door.commit()
    waiting.join(20)
    assert answers == [(1, 0)]
    assert states(buyer, booking) == ["valid", "used"]


def test_workers_that_start_at_once_make_one_key(connect, booking):
    conns = [connect() for _ in range(8)]
    gate = threading.Barrier(len(conns))
    failed = []

    def start(i):
        try:
            gate.wait(20)
            run(conns[i], "key_create", bytes([i]) * 32, b"secret")
            conns[i].commit()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=start, args=(i,)) for i in range(len(conns))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not failed
    assert [(row[0], row[2]) for row in run(connect(), "keys_list")] == [(1, True)]


def test_a_ticket_says_what_its_paper_needs(connect, booking, key):
    conn = connect()
    (ticket,) = issue(conn, booking, [2])
    ((*_, reference, price, currency, buyer, locale, organizer, _, _, _),) = run(conn, "ticket_get", booking[0], ticket[0])
    assert (reference, price, currency, buyer, locale, organizer) == ("7KX2M-Q4HDN", 1200, "EUR", "Ada", "de", "Riverside")
    assert run(conn, "ticket_get", str(uuid.uuid4()), ticket[0]) == []


def test_processes_that_have_just_started_issue_at_once(server, connect, booking):
    """None has seen a key: each transaction makes sure of one, and all of them sign with the same."""
    show, first = booking
    more = [str(uuid.uuid4()) for _ in range(5)]
    for other in more:
        server.psql(f"""INSERT INTO bookings SELECT (jsonb_populate_record(b, jsonb_build_object(
                        'booking_id', '{other}'::uuid, 'lock_id', gen_random_uuid()))).* FROM bookings b
                        WHERE booking_id = '{first}'""")
    master = secrets.token_bytes(32).hex()
    started = [(other, subprocess.Popen([bin_dir() / "ticket_issue", server.url_as("boxoffice_app"), master, show, other, "3"],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)) for other in [first, *more]]
    printed = {other: [line.split() for line in ended(process).splitlines()] for other, process in started}
    conn = connect()
    ((key_id, public, active, _),) = run(conn, "keys_list")
    assert active
    for other, lines in printed.items():
        assert [int(seat) for _, seat, _ in lines] == [0, 1, 2]
        read = run(conn, "tickets_read", show, other)
        assert [(str(row[0]), row[1], row[2], row[3]) for row in read] == \
            [(ticket, int(seat), "valid", key_id) for ticket, seat, _ in lines]
        for ticket, seat, code in lines:
            raw = base64.b32decode(code[4:] + "====")
            VerifyKey(bytes(public)).verify(b"boxoffice ticket\n" + raw[:43], raw[43:])
            assert raw[5:43] == uuid.UUID(show).bytes + uuid.UUID(ticket).bytes + int(seat).to_bytes(4, "big") + bytes(2)


# ---- rotation ------------------------------------------------------------------------------------------------------------

@pytest.fixture
def rotate(server, booking):
    """rotate() starts a rotation under one master key and returns its process; rotate.master is that key."""
    def start():
        return subprocess.Popen([bin_dir() / "ticket_rotate", server.url_as("boxoffice_app"), master.hex()],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    master = start.master = secrets.token_bytes(32)
    return start


def test_a_new_key_signs_and_the_old_one_stays(connect, booking, key, rotate):
    before = connect()
    issue(before, booking, [1])  # still open: a rotation does not wait for tickets being issued
    printed = ended(rotate())
    before.commit()
    conn = connect()
    issue(conn, booking, [2])
    old, new = run(conn, "keys_list")
    assert [row[2] for row in (old, new)] == [False, True]
    assert [row[3] for row in run(conn, "tickets_read", *booking)] == [old[0], new[0]]
    assert printed == hashlib.blake2b(bytes(new[1]), digest_size=32).hexdigest()[:8]


def test_the_secret_is_sealed_under_the_master_key(connect, rotate):
    ended(rotate())
    public, sealed = connect().execute("SELECT public_key, sealed_secret FROM ticket_keys").fetchone()
    key = hashlib.blake2b(b"ticket-keys", digest_size=32, key=rotate.master).digest()
    secret = crypto_aead_xchacha20poly1305_ietf_decrypt(bytes(sealed[24:]), None, bytes(sealed[:24]), key)
    assert bytes(SigningKey(secret[:32]).verify_key) == bytes(public) == secret[32:]


def test_rotations_at_once_follow_each_other(connect, rotate):
    printed = [ended(process) for process in [rotate() for _ in range(6)]]
    assert len(set(printed)) == 6
    assert [row[2] for row in run(connect(), "keys_list")] == [False] * 5 + [True]
