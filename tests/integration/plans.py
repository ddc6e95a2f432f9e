"""How PostgreSQL would go about a statement of the program's, as the program has it prepared: a plan for whatever the
parameters are, made while the tables are empty, without reading whole tables (decision 0015)."""

import contextlib
import subprocess

import psycopg

from service import ROOT

SETTINGS = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off"


@contextlib.contextmanager
def fresh_database(plant, name):
    """A database that was just made, and a connection to it as the program has it."""
    with plant.sql() as db:
        db.execute(f"CREATE DATABASE {name}")
    options = psycopg.conninfo.conninfo_to_dict(plant.postgres.url)
    url = psycopg.conninfo.make_conninfo(**{**options, "dbname": name})
    done = subprocess.run([plant.program, "migrate", "--migrate-url", url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as db:
        db.execute(SETTINGS)
        yield db
    with plant.sql() as db:
        db.execute(f"DROP DATABASE {name}")


def plan_of(db, path):
    """Prepares the statement of a file and has it planned, which also asks whether this role may run it; its plan."""
    return _explained(db, path, "EXPLAIN (FORMAT JSON) ").fetchone()[0][0]["Plan"]


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def plan_text(database_url, path):
    """The same in words, on a connection of its own with the program's role and settings."""
    with psycopg.connect(database_url) as db:
        db.execute(f"SET ROLE boxoffice_app; {SETTINGS}")
        return "\n".join(row[0] for row in _explained(db, path, "EXPLAIN "))


def assert_entered_by_a_condition(plan, *but):
    """No index is read from end to end, except where a line says one of these."""
    lines = plan.splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if "Index Scan" in line or "Index Only Scan" in line:
            assert "Index Cond" in below or any(name in line for name in but), plan


def _explained(db, path, how):
    db.execute("DEALLOCATE ALL")
    db.execute(f"PREPARE s AS {(ROOT / path).read_text()}")
    types, = db.execute("SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 's'").fetchone()
    arguments = f"({', '.join(['NULL'] * len(types))})" if types else ""
    return db.execute(f"{how}EXECUTE s{arguments}")
