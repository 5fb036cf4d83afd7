"""Names that clients made up, as messages repeat them: a name can be as long as a document."""

from __future__ import annotations

import re
from typing import Final

_LONGEST: Final = 64
_TOO_LONG: Final = re.compile(rf"(\w{{{_LONGEST}}})\w+")


def with_short_names(text: str) -> str:
    """The text, every name in it cut to 64 characters and an ellipsis."""
    return _TOO_LONG.sub(r"\1…", text)
