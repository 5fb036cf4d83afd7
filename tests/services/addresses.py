"""Where `scripts/services` keeps what it started, and tells where that listens."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[2] / ".services"
"""Kafka's jars, and the folders of the servers."""
ADDRESSES: Final = FOLDER / "addresses.json"
"""`kafka`: addresses separated by commas; `redis`: a URL. There while the servers are meant to run."""
