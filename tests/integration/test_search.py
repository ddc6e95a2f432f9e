"""Search: what is found by which words, in which order, page by page while things change, and by which index."""

import secrets
import subprocess
from urllib.parse import quote, urlencode

import psycopg
import pytest

from api import from_now, seating_plan
from organiser import make_staff, pages
from plans import fresh_database, nodes
from service import ROOT

DAY = 86400


class Programme:
    """An organiser's events with their shows, named by a word that nobody else has."""

    def __init__(self, office, city=None):
        self.staff = make_staff(office)
        self.word = "q" + secrets.token_hex(5)
        self.city = city or f"City {self.word}"
        venue = self.staff.make_venue(city=self.city)["venue_id"]
        self.plan = self.staff.make_plan(venue, seating_plan(2))["plan_id"]
        self.names = {}

    def event(self, name, days=(5,), **fields):
        event = self.staff.make_event(name=name, **fields)["event_id"]
        self.names[event] = name
        for day in days:
            self.show(event, day)
        return event

    def show(self, event, days, **fields):
        return self.staff.post(f"/v1/events/{event}/shows", {
            "plan_id": self.plan, "starts_at": from_now(days * DAY), "sale_starts_at": from_now(-60), "sale_ends_at": from_now(DAY),
            "prices": {"Standard": {"amount": 100, "currency": "EUR"}}, **fields}).expect(201)["show_id"]


@pytest.fixture
def anyone(boxoffice):
    """Nobody in particular."""
    return boxoffice.api()


@pytest.fixture
def programme(boxoffice):
    """An empty one."""
    return Programme(boxoffice)


def found(client, **query):
    """Names of the events found, in their order."""
    return [item["name"] for item in pages(client, "/v1/events", **query)]


# ---- words -----------------------------------------------------------------------------------------------------------


def test_words_whole_and_the_last_one_begun(programme, anyone):
    word = programme.word
    name = f"Théâtre de l’Étoile — {word} & Söhne, 2. Akt"
    programme.event(name, description="Mit Live-Musik\nund Feuerwerk", category="Straßenfest")
    for text in (word, word.upper(), f"{word} theatre", f"theatre {word}", f"THÉÂTRE {word} thea", f"{word} etoile", f"{word} Söhne akt 2",
                 f"{word} sohne", f"{word} live musik", f"{word} feuerw", f"{word} strassenfest", f"  {word} ,  ", f"{word} l'étoile",
                 f"{word} Ｔｈｅａｔｒｅ", f"{word} The\u0301a\u0302tre"):
        assert found(anyone, q=text) == [name], text
    # a word that is not the last one is whole, and every one is there
    other = f"Macbeth {word}x"
    programme.event(other, days=(1,))
    assert found(anyone, q=f"macbeth {word}x") == found(anyone, q=f"{word}x macb") == [other]
    assert found(anyone, q=f"beth {word}x") != [other], "the end of a word is none; alike are both names"
    assert found(anyone, q=word) == [other, name], "the beginning of a word, the nearest show first"
    assert found(anyone, q=f"{word} etoile") == [name]


@pytest.mark.parametrize("language, name, query", [
    ("en", "Running Cats", "cat runs"), ("de", "Die Räuber", "räubers"), ("fr", "Les Chansons oubliées", "chanson oubliée"),
    ("ru", "Вишнёвые сады", "сад вишневый"), ("es", "Las bodas", "boda"), ("sv", "Flickorna", "flicka"),
])
def test_words_by_their_stem_in_the_language_of_the_event(programme, anyone, language, name, query):
    word = programme.word
    programme.event(f"{word} {name}", language=language)
    programme.event(f"{word} {name} unsaid", days=(6,))
    if language != "ru":  # of its words one may be a beginning
        assert found(anyone, q=f"{query} {word}") == [f"{word} {name}"]
    assert f"{word} {name}" in found(anyone, q=f"{query} {word}")
    assert found(anyone, q=f"{name} {word}") == [f"{word} {name}", f"{word} {name} unsaid"], "the words themselves, in any language"


def test_the_stem_of_one_language_is_no_word_of_another(programme, anyone):
    word = programme.word
    programme.event(f"{word} running", language="en")
    programme.event(f"{word} run", days=(6,))
    assert found(anyone, q=f"run {word}") == [f"{word} running", f"{word} run"]
    assert found(anyone, q=f"running {word}") == [f"{word} running"], "of the second one no language is known"


def test_slips(programme, anyone):
    word = programme.word
    programme.event(f"{word} Hamlet")
    programme.event(f"{word} Hamster", days=(6,))
    slipped = word[:5] + "z" + word[6:]
    assert found(anyone, q=f"{word} hamlett") == [f"{word} Hamlet", f"{word} Hamster"], "both are alike; the nearest show first"
    assert f"{word} Hamlet" in found(anyone, q=f"{slipped} hamlet"), slipped
    assert found(anyone, q=f"{word} hamlet") == [f"{word} Hamlet"], "who spells it right gets nothing else"
    assert found(anyone, q=f"{word} hamlett", city="Nowhere") == []
    assert found(anyone, q=f"{word} hamlett", category="opera") == []
    assert found(anyone, q=f"{word} hamlett", category="THEATRE") == [f"{word} Hamlet", f"{word} Hamster"]
    assert found(anyone, q="zq" + secrets.token_hex(6).replace("0", "x")) == []


# ---- filters, order, limit -------------------------------------------------------------------------------------------


def test_filters(boxoffice, programme, anyone):
    word = programme.word
    programme.event(f"{word} a", days=(2, 20), category=f"Café {word}")
    programme.event(f"{word} b", days=(10,), category="theatre")
    elsewhere = Programme(boxoffice, city=f"ZÜRICH {word}")
    elsewhere.event(f"{word} c", days=(10,), category=f"Café {word}")
    names = {letter: f"{word} {letter}" for letter in "abc"}

    def assert_found(letters, **query):
        assert sorted(found(anyone, **query)) == [names[letter] for letter in letters], query

    assert_found("abc", q=word)
    assert_found("ac", category=f"CAFE {word}")
    assert_found("c", category=f"café {word}", city=f"zurich {word}")
    assert_found("c", city=f"Zürich {word}")
    assert_found("c", city=f"Zürich {word}", q="c")
    assert_found("", city=f"Zürich {word}", q=f"{word} a", category="theatre")
    assert_found("a", q=word, **{"from": from_now(15 * DAY)})
    assert_found("bc", q=word, **{"from": from_now(5 * DAY), "to": from_now(15 * DAY)})
    assert_found("", q=word, **{"from": from_now(15 * DAY), "to": from_now(5 * DAY)})
    assert_found("", q=word, to=from_now(-DAY))
    item = anyone.get(f"/v1/events?q={word}&from={from_now(15 * DAY)}").expect(200)["items"][0]
    assert item["shows"] == 1 and item["city"] == programme.city
    assert anyone.get(f"/v1/events?q={word}%20a").expect(200)["items"][0]["shows"] == 2


def test_what_is_not_public_is_not_found(boxoffice, programme, anyone):
    word = programme.word
    programme.event(f"{word} draft", status="draft")
    past = programme.event(f"{word} past", days=(-1,))
    empty = programme.event(f"{word} empty", days=())
    programme.show(empty, 3, status="draft")
    assert past
    for client in (anyone, programme.staff):
        for query in ({"q": word}, {"q": word + "draff"}, {"city": programme.city}):
            assert found(client, **query) == []
    assert found(anyone, **{"from": from_now(-2 * DAY), "q": word}) == []


def test_limit(programme, anyone):
    for number in range(5):
        programme.event(f"{programme.word} {number}", days=(number + 1,))
    page = anyone.get(f"/v1/events?q={programme.word}&limit=2").expect(200)
    assert [item["name"][-1] for item in page["items"]] == ["0", "1"]
    page = anyone.get(f"/v1/events?q={programme.word}&limit=100&cursor={page['next']}").expect(200)
    assert [item["name"][-1] for item in page["items"]] == ["2", "3", "4"] and page["next"] is None
    page = anyone.get(f"/v1/events?q={programme.word}&limit=5").expect(200)
    assert len(page["items"]) == 5 and page["next"] is None
    for limit in ("0", "101", "-1", "x", "", "1.0", "99999999999999999999", "%00"):
        anyone.get(f"/v1/events?limit={limit}").expect(400, "invalid_request")


# ---- odd things to ask -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["!", "...", "'", "''", "\"", "\\", "%", "_", "&", "|", "!!", "<->", ":*", "()", "🎭",
                                  "🎭🎭", "—", "“”", "\t", "\u200f", "\u00a0", "&|!():*<>'\\\"", "-- ", "\u202e"])
def test_no_word_at_all_finds_nothing(anyone, text):
    page = anyone.get(f"/v1/events?q={quote(text)}").expect(200)
    assert page == {"items": [], "next": None}


@pytest.mark.parametrize("before, after", [("'", "'"), ("\"", "\""), ("a & ", ""), ("!", ""), ("(", ")"), ("", ":*"), ("\\", "\\"),
                                           ("<-> ", ""), ("🎭 ", " 🎭"), ("%", "%"), ("\u202b", "\u202c"), ("{", "}"), ("$1 ", ""),
                                           ("; DROP TABLE events; -- ", "")])
def test_signs_are_signs(programme, anyone, before, after):
    name = f"{programme.word} a drop table events 1"
    programme.event(name)
    assert found(anyone, q=before + programme.word + after) == [name]


@pytest.mark.parametrize("name", ["שלום עולם", "مرحبا بالعالم", "日本語の公演", "Ελληνικό θέατρο", "Ünïcödé", "наводка Ёжик", "100", "4711 4712", "1e5", "a.b@c.de",
                                  "3:0", "x" * 150, "ﬁn", "İstanbul", "नमस्ते दुनिया"])
def test_names_of_any_kind_are_found(programme, anyone, name):
    whole = f"{programme.word} {name}"
    programme.event(whole, language="de")
    assert found(anyone, q=whole) == [whole]
    assert found(anyone, q=f"{name} {programme.word}") == [whole]


def test_empty_is_as_if_left_out(programme, anyone):
    name = f"{programme.word} x"
    programme.event(name)
    assert found(anyone, q="", category="", city=programme.city) == [name]
    assert found(anyone, q=programme.word, city="", category="") == [name]


@pytest.mark.parametrize("name", ["q", "category", "city"])
def test_text_too_long_or_broken(anyone, name):
    anyone.get(f"/v1/events?{name}={'x' * 400}").expect(200)
    anyone.get(f"/v1/events?{name}={'x' * 401}").expect(400, "invalid_request")
    anyone.get(f"/v1/events?{name}={'x' * 10000}").expect(400, "invalid_request")
    anyone.get(f"/v1/events?{name}={quote('é' * 200)}").expect(200)
    anyone.get(f"/v1/events?{name}={quote(' a' * 200)}").expect(200)
    for broken in ("%00", "a%00b", "%ff", "%ed%a0%80", "%c0%80", "%"):
        anyone.get(f"/v1/events?{name}={broken}").expect(400, "invalid_request")


def test_a_cursor_of_another_kind(programme, anyone):
    for number in range(2):
        programme.event(f"{programme.word} {number}")
    cursor = anyone.get(f"/v1/events?q={programme.word}&limit=1").expect(200)["next"]
    for number in (0, 1, 2, 3):
        for change in ("A", "_"):
            bad = cursor[:number * 10] + change + cursor[number * 10 + 1:]
            assert anyone.get(f"/v1/events?q={programme.word}&cursor={bad}").status in (200, 400)
    for bad in (cursor[:-1], cursor + "A", cursor[4:], "A" * 44 + "B"):
        anyone.get(f"/v1/events?q={programme.word}&cursor={bad}").expect(400, "invalid_request")


# ---- pages while things change ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["words", "city", "time", "slip", "category"])
def test_pages_while_things_change(boxoffice, programme, anyone, way):
    """Events come and go between the pages, and so do shows: what was there all the time is told once."""
    word = programme.word
    far = 1000 + secrets.randbelow(20000)  # a time that no other test plays in
    category = f"kind {word}"
    query = {"words": {"q": word}, "city": {"city": programme.city}, "slip": {"q": word + " programe"},
             "category": {"category": category}, "time": {"from": from_now(far * DAY), "to": from_now((far + 50) * DAY)}}[way]

    def event(letter, *days):
        return programme.event(f"{word} programme {letter}", days=[far + day for day in days], category=category)

    shows = {}
    for letter, first, second in (("a", 1, 30), ("b", 2, 31), ("c", 3, 32), ("d", 4, 33), ("e", 5, 34), ("f", 6, 35)):
        made = event(letter)
        shows[letter] = [programme.show(made, far + first), programme.show(made, far + second)]
        shows[letter].append(made)

    def page(cursor):
        return anyone.get("/v1/events?" + urlencode({**query, "limit": 2, **({"cursor": cursor} if cursor else {})})).expect(200)

    def sql(statement, *values):
        with psycopg.connect(boxoffice.database_url) as db:
            db.execute(statement, values)

    seen = []
    first = page(None)
    seen += first["items"]
    # one that was told plays its first show no more: it has another one behind
    sql("UPDATE shows SET status = 'cancelled' WHERE show_id = %s", shows["a"][0])
    # new ones, before and behind; a new first show for one that is still to come
    event("new before", 0.5)
    event("new behind", 10)
    programme.show(shows["d"][2], far + 0.2)
    sql("UPDATE shows SET status = 'cancelled' WHERE show_id = %s", shows["c"][0])
    second = page(first["next"])
    seen += second["items"]
    # one that is still to come goes, and a draft among them is published
    sql("UPDATE events SET status = 'draft' WHERE event_id = %s", shows["e"][2])
    sql("UPDATE shows SET starts_at = starts_at WHERE show_id = %s", shows["f"][0])
    last = second
    while last["next"]:
        last = page(last["next"])
        seen += last["items"]
    told = [item["name"].split()[-1] for item in seen if "new" not in item["name"]]
    assert told == ["a", "b", "c", "d", "f"], [item["name"] for item in seen]
    assert len({item["event_id"] for item in seen}) == len(seen)
    again = [name.split("programme ")[1] for name in found(anyone, **query)]
    assert again == ["d", "new before", "b", "f", "new behind", "a", "c"], "a list that begins now"


# ---- a backup -------------------------------------------------------------------------------------------------------


def test_what_was_dumped_is_restored_and_found(plant, work_dir):
    """A restore fills the tables, and makes the indexes, without a search path."""
    with fresh_database(plant, "dumped") as db:
        db.execute("INSERT INTO organizers (organizer_id, name) VALUES ('00000000-0000-0000-0000-0000000000aa', 'o')")
        db.execute("""INSERT INTO events (event_id, organizer_id, name, category, status, language) VALUES
            (gen_random_uuid(), '00000000-0000-0000-0000-0000000000aa', 'Les Forêts', 'Théâtre', 'published', 'fr')""")
        db.execute("""INSERT INTO venues (venue_id, organizer_id, name, timezone, city) VALUES
            (gen_random_uuid(), '00000000-0000-0000-0000-0000000000aa', 'v', 'UTC', 'Orléans')""")
        words = "SELECT search::text, folded_name FROM events"
        [before] = db.execute(words).fetchall()
        db.execute("CREATE DATABASE restored")
        urls = {name: psycopg.conninfo.make_conninfo(plant.postgres.url, dbname=name) for name in ("dumped", "restored")}
        dump = work_dir / "dump.sql"
        dump.write_bytes(subprocess.run([f"{plant.postgres.bin}/pg_dump", urls["dumped"]], capture_output=True, check=True).stdout)
        done = subprocess.run([f"{plant.postgres.bin}/psql", "-qXb", "-v", "ON_ERROR_STOP=1", "-f", str(dump), urls["restored"]],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with psycopg.connect(urls["restored"], autocommit=True) as restored:
            assert restored.execute(words).fetchall() == [before]
            for query in ("event_query('foret', 'theatre')", "event_query('les for', '')"):
                assert restored.execute(f"SELECT count(*) FROM events WHERE search @@ {query}").fetchone() == (1,)
            assert restored.execute("SELECT count(*) FROM venues WHERE event_fold(city) = 'orleans'").fetchone() == (1,)
            assert restored.execute("SELECT count(*) FROM events_like('forrets', '')").fetchone() == (1,)
        db.execute("DROP DATABASE restored")


# ---- a hundred thousand events ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(plant):
    """A database with a hundred thousand events, nothing analysed."""
    with fresh_database(plant, "many_events") as db:
        db.execute((ROOT / "tests/integration/many_events.sql").read_text())
        yield db


# pages of 8 KB; the tables have some 20,000, and reading an index along is much more
@pytest.mark.parametrize("name, query, rows, pages_max, indexes", [
    ("events_walk", {}, 51, 1500, set()),
    ("events_walk", {"q": "common"}, 51, 1500, set()),
    ("events_match", {"q": "c4ca42"}, 1, 400, ["events_by_terms"]),
    ("events_match", {"q": "hamlet c4"}, 43, 1200, ["events_by_terms"]),
    ("events_match", {"q": "common"}, 1, 1000, ["events_by_terms"]),  # too many: only the count
    ("events_match", {"category": "Category 5"}, 51, 6000, ["events_by_terms"]),
    ("events_in_city", {"city": "city 5"}, 51, 15000, ["venues_by_city", "shows_by_venue"]),
    ("events_like", {"q": "c4ca43"}, 5, 1000, []),
    ("events_like", {"q": "hamlit"}, 51, 20000, []),
    ("events_like", {"q": "!!"}, 0, 300, []),
    ("recommended", {"event": "first"}, 10, 15000, set()),
], ids=str)
@pytest.mark.parametrize("analysed", [False, True])
def test_a_page_reads_little(many, name, query, rows, pages_max, indexes, analysed):
    """Also by plans that were made before there was anything, as connections have them."""
    if analysed:
        many.execute("ANALYZE")
    many.execute("DEALLOCATE ALL")
    many.execute(f"PREPARE s AS {(ROOT / 'src/event/sql' / (name + '.sql')).read_text()}")
    [n] = many.execute("SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 's'").fetchone()
    [as_of] = many.execute("SELECT statement_timestamp()").fetchone()
    if name == "recommended":
        [event] = many.execute("SELECT event_id FROM events ORDER BY event_id LIMIT 1").fetchone()
        values = [event, 10]
    else:
        values = [as_of, "1970-01-01", "infinity", query.get("q", ""), query.get("category", ""), "-infinity",
                  "00000000-0000-0000-0000-000000000000", 51, query.get("city", ""), 5000][:n]
    text = psycopg.sql.SQL(", ").join(psycopg.sql.Literal(str(value)) for value in values)
    call = psycopg.sql.SQL("EXECUTE s({})").format(text)
    assert len(many.execute(call).fetchall()) == rows
    [[[explained]]] = many.execute(psycopg.sql.SQL("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ") + call).fetchall()
    plan = explained["Plan"]
    read = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    assert read <= pages_max, plan
    assert set(indexes) <= {node.get("Index Name") for node in nodes(plan)}
    assert not any(node["Node Type"] == "Seq Scan" for node in nodes(plan)), plan
