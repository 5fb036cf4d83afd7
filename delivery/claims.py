"""What a token says, with types held to the letter."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from bus.ids import MemberId, TenantId
from delivery.caller import Caller, Role
from delivery.errors import TokenRefused

AUDIENCE: Final = "covey"
CONNECT_USE: Final = "connect"
_CLOCK_SKEW_SECONDS: Final = 60.0
"""How far an issuer's clock may be ahead of ours in `iat` and `nbf`; `exp` gets no grace."""

_Name = Annotated[str, Meta(min_length=1, max_length=256)]
_Moment = Annotated[float, Meta(ge=0, le=253_402_300_799)]
"""Seconds since 1970, up to the year 9999; a bool is no number."""


class Claims(Struct, frozen=True, kw_only=True):
    """The claims of a token whose signature was checked. Further claims of an issuer are ignored."""

    sub: _Name
    tid: _Name
    roles: Annotated[tuple[Role, ...], Meta(min_length=1, max_length=8)]
    exp: _Moment
    iat: _Moment
    aud: Annotated[str, Meta(max_length=256)] | Annotated[tuple[_Name, ...], Meta(max_length=16)]
    """`covey`, or a list that names it (RFC 7519, 4.1.3)."""
    mid: _Name | UnsetType = UNSET
    nbf: _Moment | UnsetType = UNSET
    jti: _Name | UnsetType = UNSET
    use: Literal["connect"] | UnsetType = UNSET
    sexp: _Moment | UnsetType = UNSET
    """When the socket opened with a connect token ends: as the token that fetched it would have."""
    sjti: _Name | UnsetType = UNSET
    """The id of that token, so that its revocation ends the socket too."""
    siat: _Moment | UnsetType = UNSET
    """When that token was issued: a connect token is no younger than what it was fetched with."""

    @property
    def connect_only(self) -> bool:
        return self.use == CONNECT_USE

    def caller(self, now: datetime) -> Caller:
        """Who this is at `now`. Raises TokenRefused."""
        self._check_times(now.timestamp())
        audiences = (self.aud,) if isinstance(self.aud, str) else self.aud
        if AUDIENCE not in audiences:
            raise TokenRefused("The token is for another audience.")
        is_member = Role.MEMBER in self.roles
        if is_member and self.mid is UNSET:
            raise TokenRefused("The token of a member needs the claim `mid`.")
        return Caller(
            subject=self.sub,
            tenant_id=TenantId(self.tid),
            roles=frozenset(self.roles),
            member_id=MemberId(self.mid) if is_member and self.mid is not UNSET else None,
            expires_at=datetime.fromtimestamp(self._ends(), UTC),
            token_id=None if self.jti is UNSET else self.jti,
            session_token_id=None if self.sjti is UNSET else self.sjti,
            issued_at=datetime.fromtimestamp(self.iat if self.siat is UNSET else min(self.iat, self.siat), UTC),
            connect_only=self.connect_only,
        )

    def _check_times(self, now: float) -> None:
        if now >= min(self.exp, self._ends()):
            raise TokenRefused("The token has ended.")
        begins = max(self.iat, 0.0 if self.nbf is UNSET else self.nbf)
        if begins > now + _CLOCK_SKEW_SECONDS:
            raise TokenRefused("The token is not valid yet.")

    def _ends(self) -> float:
        if not self.connect_only:
            return self.exp
        if self.sexp is UNSET:
            raise TokenRefused("A connect token needs the claim `sexp`.")
        return self.sexp


_decoder: Final = msgspec.json.Decoder(Claims)


def read_claims(payload: bytes) -> Claims:
    """Read a token's payload. Raises TokenRefused, which names the claim that is wrong and not its value."""
    try:
        return _decoder.decode(payload)
    except (ValueError, RecursionError) as error:
        raise TokenRefused(f"The token's claims are not as they must be{_place(error)}.") from None


def _place(error: Exception) -> str:
    for name in Claims.__struct_fields__:
        if f"`{name}`" in str(error) or f"$.{name}" in str(error):
            return f" (`{name}`)"
    return ""
