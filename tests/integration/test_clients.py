"""The client libraries that `make clients` generates buy a ticket each; what would be published is whole."""

import json
import shutil
import subprocess
import tarfile
import tomllib
import zipfile

import pytest

import openapi

HERE = "tests/integration/clients"
BOUGHT = {"refused": "unknown_seat", "declined": "payment_declined", "status": "confirmed", "total": 9000, "tickets": 2, "paper": "%PDF"}


@pytest.fixture(scope="module")
def made(root):
    folder = root / "build/clients"
    assert (folder / "python/made").exists() and (folder / "typescript/made").exists(), "they are not there: make clients"
    return folder


def run(*command, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **kwargs)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


def test_python_buys_a_ticket(root, made, boxoffice, admin):
    show = admin.make_show(seats=10)
    said = run(made / "venv/bin/python", root / HERE / "buy.py", boxoffice.url, show.show_id)
    assert json.loads(said) == BOUGHT
    assert len(admin.taken(show.show_id)) == 2


def test_typescript_buys_a_ticket(root, made, boxoffice, admin, work_dir):
    """From the package as it would be published, and the compiler has to agree with every line."""
    show = admin.make_show(seats=10)
    (archive,) = (made / "dist").glob("*.tgz")
    with tarfile.open(archive) as packed:
        packed.extractall(work_dir, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # Debian 12's Python has none
    modules = work_dir / "node_modules"
    modules.mkdir()
    (work_dir / "package").rename(modules / "boxoffice-client")
    for needed in ("openapi-fetch", "openapi-typescript-helpers"):
        (modules / needed).symlink_to(made / "typescript/node_modules" / needed)
    shutil.copy(root / HERE / "buy.ts", work_dir)
    (work_dir / "package.json").write_text('{"type": "module"}')
    tsc = made / "typescript/node_modules/typescript/bin/tsc"
    run("node", tsc, "--strict", "--target", "ES2022", "--lib", "ES2022,DOM", "--module", "NodeNext",
        "--moduleResolution", "NodeNext", "buy.ts", cwd=work_dir)
    assert json.loads(run("node", "buy.js", boxoffice.url, show.show_id, cwd=work_dir)) == BOUGHT
    assert len(admin.taken(show.show_id)) == 2


def test_every_operation_is_in_both(made):
    paths = openapi.contract().document["paths"]
    named = {item[method]["operationId"] for item in paths.values() for method in openapi.METHODS if method in item}
    (wheel,) = (made / "dist").glob("*.whl")
    modules = {name.rsplit("/", 1)[1].removesuffix(".py").replace("_", "") for name in zipfile.ZipFile(wheel).namelist() if "/api/" in name}
    assert not {name for name in named if name.lower() not in modules}
    schema = (made / "typescript/dist/schema.d.ts").read_text()
    assert not {name for name in named if f'operations["{name}"]' not in schema}


def test_they_carry_the_version_and_licence_of_the_api(root, made):
    version = openapi.contract().document["info"]["version"]
    python = tomllib.loads((root / "clients/python/pyproject.toml").read_text())["project"]
    typescript = json.loads((root / "clients/typescript/package.json").read_text())
    assert (python["version"], typescript["version"]) == (version, version)
    (wheel,), (archive,) = (made / "dist").glob("*.whl"), (made / "dist").glob("*.tgz")
    assert any(name.endswith("/LICENSE") for name in zipfile.ZipFile(wheel).namelist())
    assert any(name.endswith("/LICENSE") for name in tarfile.open(archive).getnames())
