"""The frame around the rooms: dependencies, scripts, and who may import whom where the linter cannot look."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {"bus", "payer", "scheduler", "warming", "delivery", "resolvers", "schema"}
ROOT_MODULES = {"app", "cli", "gateway_settings", "logs", "setting_kinds", "settings"}
PYPROJECT = (ROOT / "pyproject.toml").read_text()
# In brackets, so that this file does not name what it forbids.
REGISTRIES = re.compile(
    r"pyp[i]\.org|pythonhoste[d]\.org|npmj[s]\.(org|com)|repo1?\.mave[n]|deb\.debia[n]\.org|crate[s]\.io|proxy\.golan[g]"
)


def dependencies(*, dev: bool) -> list[str]:
    """The names that pyproject.toml gives."""
    project = tomllib.loads(PYPROJECT)["project"]
    given = [*project["dependencies"], *(project["optional-dependencies"]["dev"] if dev else [])]
    return [re.split(r"[\[;<>=~! ]", name)[0].lower() for name in given]


def pins(file: str) -> dict[str, tuple[str, int]]:
    """Of each package in a requirement file, its version and how many hashes it has."""
    found: dict[str, tuple[str, int]] = {}
    for entry in re.split(r"\n(?=[a-z0-9])", (ROOT / file).read_text()):
        if match := re.match(r"([a-z0-9._-]+)(?:\[[a-z,]+\])?==(\S+)", entry):
            found[match[1]] = (match[2], entry.count("--hash=sha256:"))
    return found


@pytest.mark.parametrize("name", dependencies(dev=True))
def test_every_dependency_has_a_reason_beside_it(name: str) -> None:
    assert re.search(rf'(?im)^    "{name}[^"]*", +# \S.{{10,}}$', PYPROJECT)


@pytest.mark.parametrize(("file", "dev"), [("requirements.txt", False), ("requirements-dev.txt", True)])
def test_every_package_is_pinned_with_hashes_and_without_addresses(file: str, dev: bool) -> None:
    pinned = pins(file)
    assert set(dependencies(dev=dev)) | {"setuptools"} <= pinned.keys()
    assert all(hashes > 0 for _, hashes in pinned.values())
    assert "://" not in (ROOT / file).read_text() and "-url" not in (ROOT / file).read_text()


def test_tests_run_with_the_packages_that_users_get() -> None:
    tested = pins("requirements-dev.txt")
    for name, (version, _) in pins("requirements.txt").items():
        assert tested[name][0] == version, name


def test_no_tracked_file_names_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if path.is_file():
            assert not REGISTRIES.search(path.read_text(errors="ignore")), name


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("setting_kinds", set()),
        ("logs", set()),
        ("gateway_settings", {"setting_kinds"}),
        ("settings", {"bus", "gateway_settings", "setting_kinds"}),
        ("app", ROOMS | {"settings", "setting_kinds"}),
        ("cli", {"bus", "delivery", "console", "app", "logs", "settings"}),
    ],
)
def test_root_modules_import_downward_only(module: str, allowed: set[str]) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / f"{module}.py").read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported & (ROOMS | ROOT_MODULES | {"console"}) <= allowed


@pytest.mark.parametrize("script", ["scripts/run", "scripts/test", "scripts/check", "scripts/lock", ".ci/run"])
def test_scripts_can_be_run(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run(["bash", "-n", script], cwd=ROOT, check=True)


EMBEDDED = """
import asyncio, pathlib, sys
import app, settings

async def started():
    async with app.assembled(settings.load(data=pathlib.Path(sys.argv[1])), url="http://127.0.0.1:1"):
        print(*sys.modules)

asyncio.run(started())
"""
NOWHERE = {"COVEY_LOG": "kafka://127.0.0.1:1", "COVEY_STATE": "redis://127.0.0.1:1/0"}
GATEWAY = """
import sys
import cli

# Nobody listens there: it ends once it has imported all that it starts with.
code = cli.cli(["serve", "--port", "0", "--data", sys.argv[1]], standalone_mode=False)
assert code == 1, code
print(*sys.modules)
"""


@pytest.mark.parametrize(
    ("program", "unneeded"),
    [
        (EMBEDDED, {"aiokafka", "redis", "opentelemetry.sdk", "payer.simulator"}),
        (
            GATEWAY,
            {"rich", "opentelemetry.sdk", "httpx", "sqlite3", "payer.stedi", "payer.simulator", "bus.sqlite.log"},
        ),
        ("import sys, cli; print(*sys.modules)", {"app", "strawberry", "graphql", "uvicorn", "aiokafka", "redis"}),
    ],
    ids=["embedded", "gateway", "help"],
)
def test_a_start_does_not_wait_for_libraries_that_it_has_no_use_for(
    program: str, unneeded: set[str], tmp_path: Path
) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("COVEY_", "COVERAGE_"))}
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        env=own if program is not GATEWAY else own | NOWHERE,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(ran.stdout.split())
    assert len(imported) > 100 and not imported & unneeded


class TestEnvironment:
    """`scripts/environment`, with stand-ins for Python."""

    @pytest.fixture
    def checkout(self, tmp_path: Path) -> Path:
        """A checkout of nothing but what the script reads, and a PATH of nothing but what it needs."""
        (tmp_path / "requirements.txt").write_text("nothing==1\n")
        (tmp_path / "pyproject.toml").write_text("\n")
        (tmp_path / "bin").mkdir()
        for tool in ("bash", "cat", "cmp", "mkdir", "touch", "chmod", "rm"):
            (tmp_path / "bin" / tool).symlink_to(_found(tool))
        return tmp_path

    def source(self, checkout: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [checkout / "bin" / "bash", "-euo", "pipefail", "-c", f". '{ROOT}/scripts/environment' requirements.txt"],
            cwd=checkout,
            env={"PATH": str(checkout / "bin")},
            capture_output=True,
            text=True,
            check=False,
        )

    def python(self, checkout: Path, name: str, *, version_fits: bool) -> None:
        """A Python that says what it was asked to do, and makes the files that it would."""
        made = ".venv/bin"
        (checkout / "bin" / name).write_text(
            f"""#!{checkout}/bin/bash
case "$*" in
  -c*) exit {0 if version_fits else 1} ;;
  "-m venv"*) mkdir -p {made}; cat "$0" >{made}/python; chmod +x {made}/python ;;
  *) echo "{name} $*" >>asked; touch {made}/covey; chmod +x {made}/covey ;;
esac
"""
        )
        (checkout / "bin" / name).chmod(0o755)

    def test_says_so_where_there_is_no_python(self, checkout: Path) -> None:
        ended = self.source(checkout)
        assert ended.returncode != 0 and "needs Python 3.11 or newer" in ended.stderr

    def test_passes_over_a_python_that_is_too_old(self, checkout: Path) -> None:
        self.python(checkout, "python3.12", version_fits=False)
        self.python(checkout, "python3", version_fits=True)
        assert self.source(checkout).returncode == 0
        asked = (checkout / "asked").read_text().splitlines()
        assert all(line.startswith("python3 -m pip install") for line in asked)

    def test_installs_hashed_packages_and_then_covey_without_a_network(self, checkout: Path) -> None:
        self.python(checkout, "python3.11", version_fits=True)
        assert self.source(checkout).returncode == 0
        packages, covey = (checkout / "asked").read_text().splitlines()
        assert "--require-hashes -r requirements.txt" in packages
        assert "--no-index --no-deps --no-build-isolation" in covey

    def test_does_nothing_again_until_something_changed(self, checkout: Path) -> None:
        self.python(checkout, "python3.11", version_fits=True)
        self.source(checkout)
        (checkout / "asked").unlink()
        again = self.source(checkout)
        assert again.returncode == 0 and again.stderr == "" and not (checkout / "asked").exists()
        (checkout / "requirements.txt").write_text("nothing==2\n")
        self.source(checkout)
        assert (checkout / "asked").exists()


def _found(tool: str) -> Path:
    return next(path for folder in os.environ["PATH"].split(":") if (path := Path(folder) / tool).exists())
