"""Following a log that another part of the program writes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from console.errors import WorkFailed
from console.tail import line, tail
from settings import load
