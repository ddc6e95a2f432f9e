"""What every Python test may ask for: the built programs, a running box office, a seeded source of randomness.

BOXOFFICE_BUILD_DIR  the folder with boxoffice and boxoffice-paysim (default build/asan)
BOXOFFICE_SEED       the seed of a run to repeat (default: random, printed at the top and with every failure)
BOXOFFICE_WRAP       a command to put before boxoffice, for valgrind
BOXOFFICE_KEEP       set: the temporary folders stay
"""

import os
import random
import resource
import secrets
import shutil
import tempfile
from pathlib import Path

import pytest

from kafka import start_kafka
from service import Boxoffice
from stand import Plant, Stand

ROOT = Path(__file__).resolve().parent.parent
SEED = os.environ.get("BOXOFFICE_SEED") or secrets.token_hex(4)
os.environ["BOXOFFICE_SEED"] = SEED  # one for all the processes that the tests are spread over
# for the programs that tests start themselves, however pytest was started
os.environ.setdefault("LSAN_OPTIONS", f"suppressions={ROOT}/tests/lsan.supp:print_suppressions=0")
os.environ.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
os.environ.setdefault("BOXOFFICE_BUILD_DIR", str(ROOT / "build/asan"))


def allow_many_connections():
    """A race of 500 clients, whose sockets go when Python's collector comes by: more than the usual 1024 at a time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = 20000 if hard == resource.RLIM_INFINITY else min(hard, 20000)
    if soft != resource.RLIM_INFINITY and soft < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))


allow_many_connections()


def pytest_report_header(config):
    return f"boxoffice: BOXOFFICE_SEED={SEED}, programs from {build_path()}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        report.sections.append(("seed", f"BOXOFFICE_SEED={SEED}"))
    return report


def build_path():
    return (ROOT / os.environ.get("BOXOFFICE_BUILD_DIR", "build/asan")).resolve()


@pytest.fixture(scope="session")
def root():
    """The top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def build_dir():
    """The folder with the programs under test."""
    path = build_path()
    if not (path / "boxoffice").exists():
        pytest.exit(f"{path}/boxoffice is not there: run make asan", returncode=2)
    return path


@pytest.fixture
def rng(request):
    """Randomness of this test's own: the same for the same seed, whichever other tests run."""
    return random.Random(f"{SEED}/{request.node.nodeid}")


@pytest.fixture(scope="session")
def base_dir():
    """A short path (unix sockets have 107 bytes) that user postgres can enter when we are root."""
    path = Path(tempfile.mkdtemp(prefix="bo-", dir="/tmp"))
    if os.geteuid() == 0:
        path.chmod(0o755)
    yield path
    if not os.environ.get("BOXOFFICE_KEEP"):
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def work_dir(base_dir):
    """An empty folder for one test, entered by anyone like base_dir."""
    path = Path(tempfile.mkdtemp(dir=base_dir))
    if os.geteuid() == 0:
        path.chmod(0o755)
    return path


@pytest.fixture
def make_boxoffice(build_dir, base_dir):
    """Starts box offices of a test's own: make_boxoffice("--workers", "2", demo=True, env={...}, dir=...).

    They are stopped at the end, with every check of Boxoffice.stop() unless the test stopped or killed them itself.
    """
    started = []

    def make(*args, **kwargs):
        office = Boxoffice(build_dir, kwargs.pop("dir", None) or tempfile.mkdtemp(dir=base_dir), *args, **kwargs)
        started.append(office)
        return office.start()

    yield make
    first = None
    for office in reversed(started):
        try:
            office.close()
        except Exception as error:  # the others have to go as well
            first = first or error
    if first:
        raise first


@pytest.fixture
def own_boxoffice(make_boxoffice):
    """A box office that this test alone uses, and may hurt."""
    return make_boxoffice()


@pytest.fixture(scope="session")
def boxoffice(build_dir, base_dir):
    """The box office that tests share: each makes venue, event and show of its own in it and hurts nothing."""
    office = Boxoffice(build_dir, tempfile.mkdtemp(dir=base_dir)).start()
    yield office
    office.close()


@pytest.fixture
def admin(boxoffice):
    """A client of the shared box office with every scope."""
    return boxoffice.api(boxoffice.admin_token)


@pytest.fixture(scope="session")
def plant(build_dir, base_dir):
    """PostgreSQL and Redis for serve and work started by hand; tests may hurt them, and make shows of their own."""
    plant = Plant(build_dir, tempfile.mkdtemp(dir=base_dir))
    yield plant
    plant.close()


@pytest.fixture(scope="session")
def kafka(base_dir):
    """A Kafka broker that tests share: each takes topics and groups of its own and hurts nothing. Started when first asked for."""
    broker = start_kafka(tempfile.mkdtemp(dir=base_dir))
    yield broker
    broker.close()


@pytest.fixture
def own_kafka(work_dir):
    """A Kafka broker that this test alone uses, and may hurt."""
    broker = start_kafka(work_dir / "kafka")
    yield broker
    broker.close()


@pytest.fixture
def make_stand(plant):
    """Starts serve and work by hand: make_stand("--lock-seconds", "2", workers=3, env={...}); stopped and checked at the end."""
    made = []

    def make(*args, **kwargs):
        plant.settle()
        made.append(Stand(plant, *args, **kwargs))
        return made[-1]

    yield make
    first = None
    for stand in reversed(made):
        try:
            stand.close()
        except Exception as error:  # the others have to go as well
            first = first or error
    if first:
        raise first


@pytest.fixture(scope="session")
def shared_stand(plant):
    """serve and work that tests share: each makes a show of its own and hurts nothing."""
    stand = Stand(plant)
    yield stand
    stand.close()
