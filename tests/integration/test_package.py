"""The Debian package and the systemd units: made of the programs under test, judged by lintian and systemd-analyze, installed into a
copy of this system's own root (an overlay: nothing of it stays), started as systemd would start it."""

import configparser
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import pytest

from service import ROOT, free_port, wait_until
from stand import Plant

UNITS = ROOT / "deploy/systemd"


def run(*command, status=0, timeout=100, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout, **more)
    assert done.returncode == status, f"{command}: {done.returncode}: {(done.stdout + done.stderr)[-3000:]}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def package(build_dir, base_dir):
    folder = Path(tempfile.mkdtemp(dir=base_dir))
    run(ROOT / "script/deb", build_dir, folder)
    [path] = folder.glob("boxoffice_*.deb")
    return path


@pytest.fixture(scope="module")
def plant(build_dir, base_dir):
    plant = Plant(build_dir, tempfile.mkdtemp(dir=base_dir))
    yield plant
    plant.close()


# ---- what it is ----


def test_what_is_in_it(package):
    listed = run("dpkg-deb", "--contents", package)
    files = {line.split(None, 5)[5]: line.split()[:2] for line in listed.splitlines()}
    for path, mode in {"./usr/bin/boxoffice": "-rwxr-xr-x", "./usr/bin/boxoffice-paysim": "-rwxr-xr-x",
                       "./usr/lib/systemd/system/boxoffice-serve.service": "-rw-r--r--", "./usr/lib/systemd/system/boxoffice-work.service": "-rw-r--r--",
                       "./etc/boxoffice/boxoffice.conf": "-rw-r--r--", "./usr/share/doc/boxoffice/operations.md": "-rw-r--r--",
                       "./usr/share/doc/boxoffice/runbooks/work.md": "-rw-r--r--"}.items():
        assert files[path] == [mode, "root/root"], (path, files.get(path))
    control = run("dpkg-deb", "--info", package)
    assert "conffiles" in control and "libpq5" in control and "adduser" in control
    assert run("dpkg-deb", "--info", package, "conffiles") == "/etc/boxoffice/boxoffice.conf\n"


def test_lintian_has_nothing_against_it(package):
    assert shutil.which("lintian"), "lintian is not installed: make deps-test"
    said = run("lintian", "--fail-on", "error,warning", "--suppress-tags", "initial-upload-closes-no-bugs", "--allow-root", package)
    assert not re.findall(r"^[EW]: .*", said, re.M), said


# ---- the units ----


def unit(name):
    parsed = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parsed.optionxform = str
    parsed.read_string((UNITS / name).read_text())
    return parsed


@pytest.mark.parametrize("name", ["boxoffice-serve.service", "boxoffice-work.service"])
def test_the_sandbox_is_tight(name):
    assert shutil.which("systemd-analyze"), "systemd is not installed: make deps-test"
    said = run("systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", UNITS / name)
    [level] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert float(level) <= 1.5, said


@pytest.mark.parametrize("name", ["boxoffice-serve.service", "boxoffice-work.service", "boxoffice-serve.socket"])
def test_systemd_understands_the_unit(name, work_dir):
    """With the programs where the unit says: whatever else it warns about counts."""
    for path in UNITS.iterdir():
        (Path(work_dir) / path.name).write_text(path.read_text().replace("/usr/bin/boxoffice", "/bin/true").replace("man:boxoffice(1) ", ""))
    said = run("systemd-analyze", "verify", "--man=no", Path(work_dir) / name)
    assert not [line for line in said.splitlines() if "boxoffice" in line], said


# ---- readiness, socket, end ----


class Notified:
    """What a program tells its service manager."""

    def __init__(self, folder):
        self.path = str(Path(folder) / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self.socket.settimeout(20)

    def next(self):
        return self.socket.recv(4096).decode()

    def until(self, word):
        while word not in (said := self.next()):
            pass
        return said


def settings(plant):
    return ["--database-url", plant.postgres.url_as("boxoffice_app"), "--redis-url", plant.redis.unix_url, "--secret-file", str(plant.secret)]


@pytest.mark.parametrize("command", ["serve", "work"])
def test_it_is_ready_when_the_database_is(plant, work_dir, command):
    told = Notified(work_dir)
    more = ["--port", "0", "--workers", "1"] if command == "serve" else []
    plant.postgres.stop()
    process = subprocess.Popen([plant.program, command, *settings(plant), *more], env={**os.environ, "NOTIFY_SOCKET": told.path},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if command == "serve":
            assert "waiting for PostgreSQL" in told.next()
        plant.postgres.start()
        assert "READY=1" in told.next()
        if command == "serve":
            process.send_signal(signal.SIGHUP)
            assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", told.next())
            assert told.next() == "READY=1"
        process.send_signal(signal.SIGTERM)
        assert told.next() == "STOPPING=1"
        assert process.wait(20) == 0
    finally:
        plant.postgres.ensure_running()
        process.kill()
        process.wait()


def test_a_socket_that_systemd_holds_is_taken(plant, work_dir):
    """The queue is there before the service and after it: a connection waits instead of being refused."""
    told = Notified(work_dir)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        # systemd sets LISTEN_PID to the process it has made: a shell that becomes the program
        process = subprocess.Popen(["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", plant.program, "serve", *settings(plant), "--port", "1",
                                    "--workers", "1"], env={**os.environ, "LISTEN_FDS": "1", "NOTIFY_SOCKET": told.path},
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False,
                                   preexec_fn=lambda: os.dup2(listener.fileno(), 3))
        try:
            told.until("READY=1")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=20) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            with socket.create_connection(("127.0.0.1", port), 5):
                pass  # still in the queue of whoever holds it
        finally:
            process.kill()
            process.wait()


# ---- installed ----


@pytest.fixture
def system(work_dir, plant):
    """A copy of this system's root that may be changed: command(...) runs in it. It has a file system of its own for what is written."""
    copy = System(Path(work_dir), plant)
    yield copy
    copy.close()


class System:
    def __init__(self, folder, plant):
        self.folder, self.root = folder, folder / "root"
        # the mounts live as long as a process in their name space does
        script = f"""set -e
            mount -t tmpfs tmpfs {folder}
            mkdir {folder}/up {folder}/work {self.root}
            mount -t overlay overlay -o lowerdir=/,upperdir={folder}/up,workdir={folder}/work {self.root}
            mount -t proc proc {self.root}/proc
            mount --rbind /dev {self.root}/dev
            for place in {plant.dir} {plant.postgres.dir}; do mount --bind $place {self.root}$place; done
            # somebody else's wish that no package starts anything is not what is tested
            rm -f {self.root}/usr/sbin/policy-rc.d
            echo mounted
            exec sleep infinity"""
        who = [] if os.geteuid() == 0 else ["--map-root-user"]
        self.holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", *who, "sh", "-c", script], stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, text=True)
        said = self.holder.stdout.readline()
        if "cannot change root filesystem propagation" in said:
            pytest.skip("the root is no mount point here (a chroot): script/fresh-check --package installs it in a bare system")
        assert said == "mounted\n", said + self.holder.stdout.read()

    def enter(self, *command):
        return ["nsenter", "--target", str(self.holder.pid), "--mount", "chroot", str(self.root), *map(str, command)]

    def command(self, *command, status=0):
        return run(*self.enter(*command), status=status, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"})

    def write(self, path, text):
        run(*self.enter("sh", "-c", f"cat >{path}"), input=text)

    def there(self, path):
        return subprocess.run(self.enter("test", "-e", path)).returncode == 0

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()


def test_it_is_installed_started_removed_and_purged(package, system, plant):
    with open(package, "rb") as file:
        subprocess.run(system.enter("sh", "-c", "cat >/tmp/boxoffice.deb"), stdin=file, check=True)
    said = system.command("dpkg", "--install", "/tmp/boxoffice.deb")
    assert "not started: /etc/boxoffice/boxoffice.conf names no database-url yet" in said
    assert system.command("stat", "-c", "%a %U:%G", "/etc/boxoffice/boxoffice.conf", "/etc/boxoffice") == "640 root:boxoffice\n750 root:boxoffice\n"
    assert "/nonexistent" in system.command("getent", "passwd", "boxoffice")
    assert system.there("/etc/systemd/system/multi-user.target.wants/boxoffice-serve.service")
    # what is not configured is a sentence and a status that is not tried again
    said = system.command("setpriv", "--reuid=boxoffice", "--regid=boxoffice", "--init-groups", "boxoffice", "serve", "--config",
                          "/etc/boxoffice/boxoffice.conf", status=2)
    assert "boxoffice: serve needs --database-url" in said
    assert "2" in unit("boxoffice-serve.service")["Service"]["RestartPreventExitStatus"].split()

    # configured, it is started as the unit says, as its user
    port = free_port()
    conf = (ROOT / "deploy/debian/boxoffice.conf").read_text()
    for name, value in {"database-url": plant.postgres.url_as("boxoffice_app"), "redis-url": plant.redis.unix_url}.items():
        conf = re.sub(rf"^#{name} = .*", lambda _: f"{name} = {value}", conf, flags=re.M)
    conf = conf.replace("#secret-file", "secret-file") + f"port = {port}\nworkers = 1\n"
    system.write("/etc/boxoffice/boxoffice.conf", conf)
    system.write("/etc/boxoffice/master.key", plant.secret.read_text())
    system.command("chown", "root:boxoffice", "/etc/boxoffice/master.key")
    system.command("chmod", "640", "/etc/boxoffice/master.key")
    command = unit("boxoffice-serve.service")["Service"]["ExecStart"].split()
    serve = subprocess.Popen(system.enter("setpriv", "--reuid=boxoffice", "--regid=boxoffice", "--init-groups", *command), stdout=subprocess.DEVNULL,
                             # settings live as long as the process; stripped, it has no names that could be passed over
                             env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}, stderr=subprocess.PIPE, text=True)
    try:
        def ready():
            assert serve.poll() is None, serve.stderr.read()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
                    return answer.status == 200
            except OSError:
                return False

        wait_until(ready, "the installed program ready", 30)
        serve.send_signal(signal.SIGTERM)
        said = serve.communicate(timeout=20)[1]
        assert serve.returncode == 0, said[-3000:]
    finally:
        serve.kill()
        serve.communicate()

    # installed again, what was written into the settings stays
    system.command("dpkg", "--install", "/tmp/boxoffice.deb")
    assert system.command("cat", "/etc/boxoffice/boxoffice.conf") == conf
    system.command("dpkg", "--remove", "boxoffice")
    assert not system.there("/usr/bin/boxoffice") and system.there("/etc/boxoffice/boxoffice.conf")
    said = system.command("dpkg", "--purge", "boxoffice")
    assert "left in place" in said and "/etc/boxoffice/master.key" in said and not system.there("/etc/boxoffice/boxoffice.conf")


def test_purged_without_keys_nothing_is_left(package, system):
    with open(package, "rb") as file:
        subprocess.run(system.enter("sh", "-c", "cat >/tmp/boxoffice.deb"), stdin=file, check=True)
    system.command("dpkg", "--install", "/tmp/boxoffice.deb")
    system.command("dpkg", "--purge", "boxoffice")
    assert not system.there("/etc/boxoffice")
    system.command("getent", "passwd", "boxoffice", status=2)
    assert "boxoffice" not in system.command("sh", "-c", "ls /etc/systemd/system /etc/systemd/system/*.wants /usr/lib/systemd/system /usr/share/doc")
