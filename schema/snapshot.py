"""The schema as it is kept in the repository, and what may not happen to it unnoticed.

    python -m schema.snapshot            writes schema/schema.graphql
    python -m schema.snapshot --check    fails where that file is stale, or where the schema breaks clients of the last
                                         released one (schema/released/) and docs/schema-breaks.md does not say so

At a release the snapshot is copied to `schema/released/VERSION.graphql`.
"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Final

from graphql import BreakingChangeType, build_schema, find_schema_changes

import schema.execution
from bus.ids import random_id
from bus.metrics import Metrics
from delivery.payloads import Payloads

_FOLDER: Final = Path(__file__).parent
SNAPSHOT: Final = _FOLDER / "schema.graphql"
RELEASED: Final = _FOLDER / "released"
BREAKS: Final = _FOLDER.parent / "docs" / "schema-breaks.md"


def printed() -> str:
    """The schema of the code, as SDL."""
    payloads = Payloads(metrics=Metrics(), new_id=random_id)
    return schema.execution.build_schema(payloads=payloads, development=False).as_str() + "\n"


def difference(kept: str, now: str) -> str:
    """What changed, as a unified diff; empty where nothing did."""
    lines = difflib.unified_diff(kept.splitlines(True), now.splitlines(True), "schema/schema.graphql", "the code")
    return "".join(lines)


def breaks(released: str, now: str) -> list[str]:
    """The changes that can break a client of the released schema, in the words of graphql-core."""
    changes = find_schema_changes(build_schema(released), build_schema(now))
    return [change.description for change in changes if isinstance(change.type, BreakingChangeType)]


def last_released(folder: Path = RELEASED) -> str:
    """The SDL of the highest released version."""
    return max(folder.glob("*.graphql"), key=lambda path: tuple(map(int, path.stem.split(".")))).read_text()


def problems(now: str, *, kept: str, released: str, named: str) -> list[str]:
    """Why the schema may not be merged as it is; `named` is the text of docs/schema-breaks.md."""
    found = []
    changed = difference(kept, now)
    if changed:
        found.append(f"{changed}The schema changed. If that is meant: python -m schema.snapshot")
    admitted = {line.removeprefix("- ").strip() for line in named.splitlines()}
    found += [
        f"This breaks clients, and docs/schema-breaks.md has no line that says so:\n- {change}"
        for change in breaks(released, now)
        if change not in admitted
    ]
    return found


def main(arguments: list[str]) -> int:
    """The exit code: 0 done, 1 something may not stay as it is, 2 used wrongly."""
    match arguments:
        case []:
            SNAPSHOT.write_text(printed())
            return 0
        case ["--check"]:
            found = problems(printed(), kept=SNAPSHOT.read_text(), released=last_released(), named=BREAKS.read_text())
            sys.stderr.writelines(f"{problem}\n" for problem in found)
            return 1 if found else 0
        case _:
            sys.stderr.write("usage: python -m schema.snapshot [--check]\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
