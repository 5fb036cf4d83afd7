"""What a member needs to open a socket."""

from __future__ import annotations

from delivery.caller import Caller
from delivery.connect_tokens import ConnectToken, ConnectTokens


class WebsocketInfo:
    """The use case behind `websocketSubscribeInfo`."""

    def __init__(self, *, connect_tokens: ConnectTokens) -> None:
        self._connect_tokens = connect_tokens

    def issue(self, caller: Caller) -> ConnectToken:
        """A connect token for this member. Raises ConnectTokenRefused for who came by one, or is no member."""
        return self._connect_tokens.issue(caller)
