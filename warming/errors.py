"""The cache's errors.

CoveyError
└── CacheUnavailable    take the same events again later
"""

from __future__ import annotations

from bus.errors import CoveyError


class CacheUnavailable(CoveyError):
    """The coverage cache cannot be written now (disk full, read-only, closed). Nothing is lost: the log holds it."""
