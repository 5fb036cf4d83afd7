"""The payer room's errors: faults of the set-up, found at the start. What a call brings is an `Outcome`, never raised.

CoveyError
├── ApiKeyInvalid       mend the key in the settings
└── DirectoryInvalid    mend the file of payers
"""

from __future__ import annotations

from bus.errors import CoveyError


class ApiKeyInvalid(CoveyError):
    """The API key is empty or holds something else than printable ASCII. The message does not repeat it."""


class DirectoryInvalid(CoveyError):
    """The file of payers cannot be read, or gives one id or alias to two payers."""
