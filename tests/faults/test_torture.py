"""Two seeds of the torture test; more of them: make test-long."""

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
