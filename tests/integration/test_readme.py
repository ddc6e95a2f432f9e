"""The README's first purchase, word for word, on a demo that was just started."""

import os
import subprocess

import pytest


@pytest.mark.smoke
@pytest.mark.timeout(300)
def test_readme_purchase_sells_a_ticket(make_boxoffice, root, work_dir):
    text = subprocess.run([root / "script/readme-purchase"], capture_output=True, text=True, check=True).stdout
    assert "curl" in text, "the README has no block after <!-- purchase -->"
    office = make_boxoffice(demo=True)

    done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=work_dir, capture_output=True, text=True,
                          env={"PATH": os.environ["PATH"], "BASE": office.url}, timeout=120)

    assert done.returncode == 0, f"exit status {done.returncode}: {done.stdout[-1000:]}{done.stderr[-1000:]}"
    ticket = (work_dir / "ticket.pdf").read_bytes()
    assert ticket.startswith(b"%PDF-"), f"ticket.pdf begins with {ticket[:40]!r}"
    office.check()
