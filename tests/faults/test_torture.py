"""Two seeds of the torture test; more of them: make test-long. And that it sees what is wrong, and shows it again."""

import re
import shlex
import shutil
import subprocess

import pytest
import torture
import torture_plan

BOOKINGS = 200


@pytest.mark.parametrize("number", [1, 2])
def test_torture(build_dir, work_dir, rng, number):
    torture.run(build_dir, work_dir, f"{rng.getrandbits(32):08x}", BOOKINGS)


def test_a_seed_is_a_plan():
    one, same, other = (torture_plan.make(seed, BOOKINGS) for seed in ("7", "7", "8"))
    assert (one.visits, one.steps) == (same.visits, same.steps)
    assert one.visits != other.visits and one.steps != other.steps
    # everything is in a long one
    long = torture_plan.make("9", 2000)
    assert {step.what for step in long.steps} == {"switch", *(fault[1] for fault in torture_plan.FAULTS)}
    assert {tuple(visit.after) for visit in long.visits} == {tuple(after) for _, after in torture_plan.AFTER}


# Every refund of seats is a little too small: by the least step of each currency that is sold in.
DEFECT = """
CREATE FUNCTION less() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.amount_minor := NEW.amount_minor - 10; RETURN NEW; END $$;
CREATE TRIGGER less BEFORE INSERT ON refunds FOR EACH ROW WHEN (NEW.kind = 'seats') EXECUTE FUNCTION less();
"""
SEED, FEW = "23", 8    # with faults that leave the cancellations their way


def too_much(text):
    """By how much each booking that was told of kept too much. (Which seats each visit gets, and so the sums, may be others.)"""
    found = re.findall(r"^\s*booking .*: kept (\d+), but seats (\d+) \+ fee (\d+) - goodwill (\d+)", text, re.M)
    return [kept - seats - fee + goodwill for kept, seats, fee, goodwill in (map(int, numbers) for numbers in found)]


def is_the_defect(text):
    """10 for each refund, of which a visit makes two at most; and nothing else is told of bookings."""
    return bool(too_much(text)) and set(too_much(text)) <= {10, 20} and len(re.findall(r"^\s*booking ", text, re.M)) == len(too_much(text))


def test_a_seed_that_failed_fails_again(build_dir, work_dir):
    """What is told at the end of a failed run is a command that shows the same."""
    defect = work_dir / "defect.sql"
    defect.write_text(DEFECT)
    with pytest.raises(torture.Failed) as failed:
        torture.run(build_dir, work_dir, SEED, FEW, defect=defect)
    text = str(failed.value)
    command, story = re.search("^again: (.*)$", text, re.M)[1], re.search("^the whole story: (.*)$", text, re.M)[1]
    try:
        assert is_the_defect(text), text
        again = subprocess.run(shlex.split(command), cwd=torture.ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert again.returncode == 1 and "0 of 1 seeds passed" in again.stdout, again.stdout + again.stderr
        assert is_the_defect(again.stdout), again.stdout
    finally:
        torture.Path(story).unlink(missing_ok=True)
        shutil.rmtree(torture.Path(story).with_suffix(".logs"), ignore_errors=True)
