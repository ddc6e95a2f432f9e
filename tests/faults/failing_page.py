"""The library tests/faults/failing and the page that tests share with the programs it is preloaded into."""

import mmap
import shutil
import struct

KINDS = {"allocation": 1, "send": 2, "disk": 3}
NEVER = 1 << 40


def library(build_dir, base_dir):
    """Where everybody can read it, PostgreSQL's user too."""
    built = build_dir / "tests/faults/failing/libfailing.so"
    assert built.exists(), f"{built} is not there: run make asan"
    there = base_dir / "libfailing.so"
    if not there.exists():
        shutil.copy(built, there)
        there.chmod(0o755)
    return str(there)


class Page:
    """What the library and we share: what fails, how many go before it, how many there were, how many failed."""

    def __init__(self, path):
        path.write_bytes(bytes(4096))
        path.chmod(0o666)
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 4096)

    def arm(self, kind, nth=NEVER):
        self.map[8:32] = struct.pack("<qqq", nth, 0, 0)
        self.map[:8] = struct.pack("<q", KINDS[kind])

    def disarm(self):
        self.map[:8] = bytes(8)

    @property
    def seen(self):
        return struct.unpack("<q", self.map[16:24])[0]

    @property
    def failed(self):
        return struct.unpack("<q", self.map[24:32])[0]
