"""A mail server that refuses, hangs, is cut off or away, and a worker that dies: each notification is sent, or visibly not."""

import os
import re
import signal
import tempfile
import time
import uuid

import psycopg
import pytest

from paying import admin, db, sound  # noqa: F401 (fixtures)
from service import Boxoffice, free_port, wait_until
from smtp_server import Server, make_certificate

FREE = {"Free": 0}


@pytest.fixture(scope="module")
def smtp(base_dir):
    server = Server().start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def crashes(base_dir):
    return tempfile.mkdtemp(dir=base_dir)


@pytest.fixture(scope="module")
def office(build_dir, base_dir, smtp, crashes):
    env = {"SMTP_URL": smtp.url, "SMTP_TLS": "opportunistic", "SMTP_CONNECTIONS": 2, "SMTP_MAILS_PER_CONNECTION": 3, "SMTP_TIMEOUT_MS": 3000,
           "MAIL_FROM": "kasse@theater.example", "MAIL_RATE": 200, "MAIL_PER_RECIPIENT": 5, "WORK_PORT": free_port(), "TEST_CRASH": crashes}
    office = Boxoffice(build_dir, tempfile.mkdtemp(dir=base_dir), env={f"BOXOFFICE_{name}": str(value) for name, value in env.items()}).start()
    yield office
    office.close()


@pytest.fixture(autouse=True)
def quiet(smtp, db):
    yield
    smtp.refuse.clear()
    smtp.data_answers.clear()
    smtp.mail_answer = None
    smtp.slow_s = smtp.silent_quit = smtp.cut_in_data = smtp.cut_after_data = 0
    db.execute("DELETE FROM notifications")


def somebody(domain=None):
    """At a domain of their own: one that has put us off is left alone for a while."""
    name = uuid.uuid4().hex[:12]
    return f"ada.{name}@{domain or name + '.example'}"


@pytest.fixture(scope="module")
def booking(office):
    """One that any number of notifications are about: each with a buyer of its own."""
    show = office.admin().make_show(seats=4, prices=FREE)
    buyer = office.session()
    lock = buyer.lock(show.show_id, show.seats[:1]).expect(201)["lock_id"]
    return buyer.post(f"/v1/shows/{show.show_id}/bookings", {"lock_id": lock, "buyer": {"name": "Ada", "email": "ada@example.org"}}).expect(201)


def notify(db, booking, address, kind="lookup", cause=None):
    [[made]] = db.execute(
        "WITH who AS (INSERT INTO buyers (buyer_id, organizer_id, name, email, email_hash, locale) "
        "  SELECT gen_random_uuid(), organizer_id, 'Ada Lovelace', %s, sha256(%s::bytea), 'en' FROM bookings WHERE booking_id = %s RETURNING *) "
        "INSERT INTO notifications (notification_id, organizer_id, kind, show_id, booking_id, buyer_id, cause_id) "
        "SELECT gen_random_uuid(), b.organizer_id, %s, b.show_id, b.booking_id, w.buyer_id, coalesce(%s, gen_random_uuid()) "
        "FROM bookings b, who w WHERE b.booking_id = %s RETURNING notification_id::text",
        [address, address, booking["booking_id"], kind, cause, booking["booking_id"]]).fetchall()
    return made


def row(db, notification):
    found = db.execute("SELECT state, attempts, smtp_status, last_error, due_at > now() + interval '20 s' AND claim_id = '00000000-0000-0000-0000-000000000000' AS put_off, message_id "
                       "FROM notifications WHERE notification_id = %s", [notification]).fetchone()
    return dict(zip(("state", "attempts", "smtp_status", "last_error", "put_off", "message_id"), found))


def wait_for(db, notification, what, **fields):
    def there():
        found = row(db, notification)
        return all(found[name] == value for name, value in fields.items()) and found

    try:
        return wait_until(there, what, 20)
    except AssertionError as error:
        raise AssertionError(f"{error}: {row(db, notification)}") from None


def now(db, notification):
    """Its time has come: what it waited for is over."""
    db.execute("UPDATE notifications SET due_at = now() WHERE notification_id = %s", [notification])


def metric(office, line):
    found = re.findall(rf"^{re.escape(line)} (\S+)$", office.api().__class__(f"http://127.0.0.1:{office.env['BOXOFFICE_WORK_PORT']}")
                       .get("/metrics").body.decode(), re.M)
    return float(found[0])


# ---- refusals -----------------------------------------------------------------------------------------------------------------


def test_refused_for_good(office, smtp, db, booking):
    """5xx: failed, with the server's words, of which the address is taken out; nothing of it in any log; a person sends it again."""
    address = somebody()
    smtp.refuse[address] = f"550 5.1.1 <{address}>: no such mailbox {address.partition('@')[0]}"
    made = notify(db, booking, address)
    found = wait_for(db, made, "failed", state="failed")
    assert found["smtp_status"] == 550 and found["attempts"] == 1
    assert found["last_error"] == "550 5.1.1 <<address>>: no such mailbox <address>"
    log = (office.dir / "log/work.log").read_text()
    assert made in log and address.partition("@")[0] not in log and "Lovelace" not in log

    listed = office.run_admin("notifications", "list")
    assert made in listed and "no such mailbox <address>" in listed and booking["reference"] in listed and "@" + address.partition("@")[2] not in listed
    smtp.refuse.clear()
    assert office.run_admin("notifications", "retry", made) == "to be sent again: 1"
    smtp.wait_for(address)
    wait_for(db, made, "sent", state="sent", last_error="")
    assert "Nothing waits for a person" in office.run_admin("notifications", "list")
    assert made in office.run_admin("notifications", "list", "--all")
    office.run_admin("notifications", "retry", made, status=1)
    office.run_admin("notifications", "retry", "nonsense", status=2)


def test_refused_for_now(office, smtp, db, booking):
    """4xx: later and later, until its time is over."""
    address = somebody()
    smtp.refuse[address] = "451 4.7.1 greylisted"
    made = notify(db, booking, address)
    found = wait_for(db, made, "put off", attempts=1, put_off=True, last_error="451 4.7.1 greylisted")
    assert found["state"] == "queued" and found["smtp_status"] == 451
    now(db, made)
    wait_for(db, made, "put off again", attempts=2, put_off=True)
    assert db.execute("SELECT due_at > now() + interval '4 min' FROM notifications WHERE notification_id = %s", [made]).fetchone()[0]
    db.execute("UPDATE notifications SET kind = 'refunded', created_at = now() - interval '47 hours 59 min' WHERE notification_id = %s", [made])
    now(db, made)
    found = wait_for(db, made, "given up", state="failed")
    assert found["last_error"] == "given up after 3 attempts; the last: 451 4.7.1 greylisted"


def test_refused_after_it_was_said(office, smtp, db, booking):
    address, other = somebody(), somebody()
    smtp.data_answers = ["554 5.7.1 looks like spam"]
    made = notify(db, booking, address)
    wait_for(db, made, "failed", state="failed", last_error="554 5.7.1 looks like spam")
    smtp.data_answers = ["452 4.3.1 disk full"]
    made = notify(db, booking, other)
    wait_for(db, made, "put off", state="queued", smtp_status=452, put_off=True)


def test_the_sender_is_not_taken(office, smtp, db, booking):
    """That is about us, not about a mail: all wait, none fails, and it goes on when it is mended."""
    address = somebody()
    smtp.mail_answer = "553 5.7.1 not your address"
    made = notify(db, booking, address)
    found = wait_for(db, made, "put back", state="queued", attempts=0, smtp_status=553)
    assert (office.dir / "log/work.log").read_text().count("takes nothing from us") >= 1
    assert found["last_error"] == "553 5.7.1 not your address"
    wait_until(lambda: metric(office, "boxoffice_mail_server_away") == 1, "the gauge")
    smtp.mail_answer = None
    now(db, made)
    smtp.wait_for(address)
    wait_until(lambda: metric(office, "boxoffice_mail_server_away") == 0, "the gauge again")


# ---- lost connections, unknown outcomes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where, arrives", [("cut_in_data", 1), ("cut_after_data", 2)])
def test_cut_off_while_it_is_said(office, smtp, db, booking, where, arrives):
    """Nobody knows whether the server has it: it is sent again, and whoever gets it twice can tell by its Message-ID."""
    address = somebody()
    before = metric(office, 'boxoffice_mails_total{outcome="unknown"}')
    setattr(smtp, where, 1)
    made = notify(db, booking, address)
    wait_for(db, made, "put off", state="queued", attempts=1, smtp_status=0, put_off=True)
    assert metric(office, 'boxoffice_mails_total{outcome="unknown"}') == before + 1
    now(db, made)
    got = smtp.wait_for(address, arrives)
    wait_for(db, made, "sent", state="sent")
    assert len(got) == arrives and {one.mail["Message-ID"] for one in got} == {f"<{made}@theater.example>"}


def test_a_worker_dies_between_accepted_and_recorded(office, smtp, db, booking, crashes):
    """kill -9 there: the claim ends, another worker sends it again, with the same Message-ID and nothing lost."""
    address = somebody()
    [before] = office.pids(" work ")
    open(f"{crashes}/mail_accepted", "w").close()
    made = notify(db, booking, address)
    smtp.wait_for(address)
    wait_until(lambda: office.pids(" work ") not in ([before], []), "another worker")
    found = row(db, made)
    assert found["state"] == "queued" and found["attempts"] == 1
    assert db.execute("SELECT due_at > now() + interval '1 min' FROM notifications WHERE notification_id = %s", [made]).fetchone()[0], \
        "the claim is the dead one's until it ends"
    time.sleep(1)
    assert len(smtp.to(address)) == 1
    now(db, made)
    got = smtp.wait_for(address, 2)
    wait_for(db, made, "sent", state="sent")
    assert got[0].mail["Message-ID"] == got[1].mail["Message-ID"] == found["message_id"]


def test_a_worker_dies_before_it_sends(office, smtp, db, booking, crashes):
    address = somebody()
    open(f"{crashes}/mail_claimed", "w").close()
    made = notify(db, booking, address)
    wait_until(lambda: not os.path.exists(f"{crashes}/mail_claimed"), "the crash")
    now(db, made)
    smtp.wait_for(address)
    wait_for(db, made, "sent", state="sent", attempts=2)
    assert len(smtp.to(address)) == 1


def test_two_workers_never_send_one_twice(office, smtp, db, booking):
    """A second worker, with the lease out of the way: the claims alone keep them apart."""
    import subprocess
    addresses = [somebody(f"{i}.example") for i in range(40)]
    env = {**os.environ, **office.env, **dict([office.mark.split("=")]), "BOXOFFICE_WORK_PORT": "-1"}
    common = ["--database-url", office.database_url, "--redis-url", office.redis_url, "--secret-file", str(office.dir / "secret/master.key"),
              "--public-url", office.url]
    others = [subprocess.Popen([str(office.build_dir / "boxoffice"), "work", *common], env=env, stderr=subprocess.DEVNULL) for _ in range(2)]
    try:
        made = [notify(db, booking, address) for address in addresses]
        # whoever holds the lease loses it again and again
        def done():
            db.execute("DELETE FROM leases WHERE name = 'mail'")
            return db.execute("SELECT count(*) FROM notifications WHERE state = 'sent' AND notification_id = ANY(%s)", [made]).fetchone()[0] == 40
        wait_until(done, "all sent", 40, 0.05)
    finally:
        for other in others:
            other.send_signal(signal.SIGTERM)
        assert [other.wait(20) for other in others] == [0, 0]
    assert all(len(smtp.to(address)) == 1 for address in addresses)


def test_a_slow_server(office, smtp, db, booking):
    """It has so much time for a mail; the others do not wait for it, and neither does anything else that work does."""
    address = somebody()
    smtp.slow_s = 6
    made = notify(db, booking, address)
    found = wait_for(db, made, "put off", state="queued", attempts=1, smtp_status=0, put_off=True)
    assert found["last_error"] == "not through within 3000 ms"
    smtp.slow_s = 0


def test_a_server_that_does_not_say_goodbye(office, smtp, db, booking):
    """libcurl waits for the answer to QUIT on our thread: it is not let. While connections close, /healthz is answered at once."""
    addresses = [somebody(f"bye{i}.example") for i in range(8)]
    smtp.silent_quit = 5
    for i, address in enumerate(addresses):
        if i % 2:
            smtp.refuse[address] = "550 no"
    made = [notify(db, booking, address) for address in addresses]
    slowest, end = 0, time.monotonic() + 20
    watch = office.api().__class__(f"http://127.0.0.1:{office.env['BOXOFFICE_WORK_PORT']}")
    while time.monotonic() < end:
        begun = time.monotonic()
        watch.get("/healthz").expect(200)
        slowest = max(slowest, time.monotonic() - begun)
        if all(row(db, one)["state"] in ("sent", "failed") for one in made):
            break
        time.sleep(0.01)
    assert [row(db, one)["state"] for one in made] == ["sent", "failed"] * 4
    assert slowest < 3, f"work did not answer for {slowest:.1f} s"


def test_the_server_is_away(office, smtp, db, booking):
    """Nothing fails, nothing counts as an attempt, and all arrives when it is back."""
    addresses = [somebody(f"away{i}.example") for i in range(6)]
    smtp.stop()
    made = [notify(db, booking, address) for address in addresses]
    wait_until(lambda: metric(office, "boxoffice_mail_server_away") == 1, "noticed")
    wait_until(lambda: metric(office, "boxoffice_mails_waiting") >= 1, "counted", 15)
    time.sleep(2)
    assert {row(db, one)["state"] for one in made} == {"queued"}
    smtp.start()
    db.execute("UPDATE notifications SET due_at = now() WHERE state = 'queued'")
    for address in addresses:
        smtp.wait_for(address, timeout_s=60)
    for one in made:
        assert wait_for(db, one, "sent", state="sent")["attempts"] == 1


# ---- bounds -----------------------------------------------------------------------------------------------------------------------


def test_bounds_of_connections(office, smtp, db, booking):
    """At most two at once, at most three mails over one, and they are used again."""
    wait_until(lambda: smtp.open == 0, "the end of what a test before left")
    smtp.most_open, smtp.slow_s = 0, 0.2
    addresses = [somebody(f"many{i}.example") for i in range(12)]
    for address in addresses:
        notify(db, booking, address)
    got = [smtp.wait_for(address, timeout_s=30)[0] for address in addresses]
    uses = {one.connection: sum(other.connection == one.connection for other in got) for one in got}
    assert smtp.most_open == 2 and max(uses.values()) <= 3 and len(uses) < 12, uses


def test_bound_by_recipient(office, smtp, db, booking):
    address = somebody()
    made = [notify(db, booking, address) for _ in range(7)]

    def settled():
        rows = [row(db, one) for one in made]
        return all(one["state"] == "sent" or one["put_off"] for one in rows) and rows

    wait_until(settled, "all", 30)
    # mails that are claimed at once do not count each other
    assert 5 <= len(smtp.to(address)) <= 6
    waiting = [one for one in (row(db, one) for one in made) if one["state"] == "queued"]
    assert waiting and all(one["attempts"] == 0 and one["last_error"].startswith("put off: 5 mails") for one in waiting)


def test_a_domain_that_wants_us_to_wait(office, smtp, db, booking):
    """After three times the others for it wait without asking, and other domains do not."""
    domain = f"{uuid.uuid4().hex[:8]}.example"
    addresses = [somebody(domain) for _ in range(12)]
    for address in addresses:
        smtp.refuse[address] = "450 4.7.0 slow down"
    made = [notify(db, booking, address) for address in addresses]
    wait_until(lambda: all(row(db, one)["put_off"] for one in made), "all put off", 30)
    rows = [row(db, one) for one in made]
    asked = sum(one["attempts"] for one in rows)
    assert 3 <= asked <= 5, rows
    assert sum("asked to wait" in one["last_error"] for one in rows) == 12 - asked
    other = somebody()
    notify(db, booking, other)
    smtp.wait_for(other)


def test_an_address_that_is_none(office, smtp, db, booking):
    made = [notify(db, booking, address) for address in ("nobody@-x", "a\r\nRCPT TO:<evil@example.org>@example.org", "x@" + "y" * 300)]
    for one in made:
        assert wait_for(db, one, "failed", state="failed")["last_error"].startswith("not an address that mail can be sent to")
    assert not smtp.to("evil@example.org")


def test_no_smtputf8(office, db, booking, build_dir):
    """A server without it: such an address fails clearly, before anything is said to the wrong one; a domain of that kind is no matter."""
    server = Server(utf8=False).start()
    try:
        with other_worker(office, server.url):
            made = notify(db, booking, "j\u00f6rg@example.org")
            found = wait_for(db, made, "failed", state="failed")
            assert "SMTPUTF8" in found["last_error"] and not server.received
            made = notify(db, booking, "joerg@b\u00fccher.example")
            server.wait_for("joerg@xn--bcher-kva.example")
    finally:
        server.stop()


# ---- TLS and login ---------------------------------------------------------------------------------------------------------------


class other_worker:
    """The office's own worker is stopped from sending: one with other settings does it."""

    def __init__(self, office, url, expect=None, **settings):
        self.office, self.expect = office, expect
        keep = {"BOXOFFICE_TEST_CRASH": ""}
        self.env = {**os.environ, **keep, **dict([office.mark.split("=")])}
        self.args = [str(office.build_dir / "boxoffice"), "work", "--database-url", office.database_url, "--redis-url", office.redis_url,
                     "--secret-file", str(office.dir / "secret/master.key"), "--public-url", office.url, "--smtp-url", url,
                     "--smtp-timeout-ms", "20000", "--lease-seconds", "600"]
        given = {"smtp-tls": "opportunistic", "mail-from": "kasse@theater.example", **{k.replace("_", "-"): v for k, v in settings.items()}}
        for name, value in given.items():
            self.args += [f"--{name}", str(value)]

    def __enter__(self):
        import subprocess
        [self.theirs] = self.office.pids(" work ")
        os.kill(self.theirs, signal.SIGSTOP)
        with psycopg.connect(self.office.database_url, autocommit=True) as db:
            db.execute("DELETE FROM leases")
        self.process = subprocess.Popen(self.args, env=self.env, stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *error):
        self.process.send_signal(signal.SIGTERM)
        _, self.log = self.process.communicate(timeout=20)
        with psycopg.connect(self.office.database_url, autocommit=True) as db:
            db.execute("DELETE FROM leases")
        os.kill(self.theirs, signal.SIGCONT)
        assert "Sanitizer" not in self.log, self.log


def password_file(folder, text):
    with open(f"{folder}/password", "w") as file:
        file.write(text)
    return file.name


def test_tls_is_checked(office, db, booking, tmp_path):
    """A certificate of nobody we trust, of another name; no STARTTLS where it is required: nothing is said, not even to whom."""
    good = make_certificate(tmp_path)
    other_name = make_certificate(tmp_path, "mail.example")
    cases = [({"tls": good}, {}, "certificate"),  # the system's: it is not among them
             ({"tls": other_name}, {"smtp_ca_file": other_name[0]}, "name"),
             ({}, {"smtp_tls": "required"}, "STARTTLS")]
    for server_settings, settings, words in cases:
        server = Server(**server_settings).start()
        try:
            with other_worker(office, server.url, **settings):
                made = notify(db, booking, somebody())
                found = wait_until(lambda: row(db, made)["last_error"] and row(db, made), "put off", 40)
                assert found["state"] == "queued" and found["attempts"] == 0 and not server.received
                assert words in found["last_error"] or words == "name", found
                db.execute("DELETE FROM notifications")
        finally:
            server.stop()
    for settings in ({"smtp_tls": "required"}, {"smtp_tls": "opportunistic"}):
        server = Server(tls=good).start()
        try:
            with other_worker(office, server.url, smtp_ca_file=good[0], **settings):
                address = somebody()
                notify(db, booking, address)
                assert server.wait_for(address)[0].tls
        finally:
            server.stop()


def test_login(office, db, booking, tmp_path):
    tls = make_certificate(tmp_path)
    server = Server(tls=tls, users={"box": "right"}).start()
    try:
        common = {"smtp_ca_file": tls[0], "smtp_tls": "required", "smtp_user": "box"}
        address = somebody()
        with other_worker(office, server.url, **common, smtp_password_file=password_file(tmp_path, "wrong")) as worker:
            made = notify(db, booking, address)
            found = wait_for(db, made, "put off", smtp_status=535)
            assert found["state"] == "queued" and not server.received
        assert "wrong" not in worker.log
        with other_worker(office, server.url, **common, smtp_password_file=password_file(tmp_path, "right\n")):
            # (the first one may have gone to the office's own worker in between)
            notify(db, booking, address := somebody())
            assert server.wait_for(address)[0].login == "box"
    finally:
        server.stop()


@pytest.mark.parametrize("settings, words", [
    ({"smtp-url": "http://x"}, "smtp-url is smtp://host"),
    ({"smtp-url": "smtp://user:secret@host"}, "smtp-user"),
    ({"smtp-url": "smtp://h", "mail-from": "nobody"}, "mail-from"),
    ({"smtp-url": "smtp://h", "mail-from": "a@b\r\nX: y"}, "mail-from"),
    ({"smtp-url": "smtp://h"}, "mail-from must say"),
    ({"smtp-url": "smtp://h", "mail-dir": "/tmp"}, "one of them"),
    ({"smtp-url": "smtp://h", "mail-from": "a@b.c", "public-url": ""}, "public-url"),
    ({"smtp-url": "smtp://h", "mail-from": "a@b.c", "public-url": "theater.example"}, "public-url"),
    ({"smtp-url": "smtp://h", "mail-from": "a@b.c", "smtp-tls": "maybe"}, "smtp-tls"),
    ({"smtp-url": "smtp://h", "mail-from": "a@b.c", "smtp-user": "u"}, "belong together"),
    ({"smtp-url": "smtp://h", "mail-from": "a@b.c", "smtp-user": "u", "smtp-password-file": "/x", "smtp-tls": "off"}, "readable"),
    ({"smtp-url": "smtp://h", "mail-from": "a@b.c", "smtp-user": "u", "smtp-password-file": "/x"}, "/x"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_settings_that_do_not_fit(office, settings, words):
    import subprocess
    args = {"database-url": office.database_url, "redis-url": office.redis_url, "secret-file": str(office.dir / "secret/master.key"),
            "public-url": office.url, **settings}
    done = subprocess.run([str(office.build_dir / "boxoffice"), "work", *[part for name, value in args.items() for part in (f"--{name}", value)]],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and words in done.stderr, done.stderr
    assert "secret" not in done.stderr.replace("secret-file", "")
