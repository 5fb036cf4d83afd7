"""The commands of operators: what is connected, and whose tokens end."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that the others do not wait for it

from __future__ import annotations

from typing import Annotated, Final

import typer

from console.errors import UsedWrongly
from console.running import run, told
from delivery.caller import Role

Url = Annotated[str, typer.Option(metavar="URL", help="The server's.")]
Token = Annotated[
    str | None,
    typer.Option(metavar="TOKEN", help="An operator's. When absent: one made with the development key in COVEY_DATA."),
]
Tenant = Annotated[str, typer.Option(metavar="ID", help="Whose connections or tokens; for the token that is made.")]
_HERE: Final = "http://127.0.0.1:8000/graphql"
_TOKEN_SECONDS: Final = 60


def connections(
    url: Url = _HERE,
    token: Token = None,
    tenant: Tenant = "demo",
    as_json: Annotated[
        bool, typer.Option("--json", metavar="", help="Print a line of JSON for every instance.")
    ] = False,
) -> None:
    """How many connections a tenant has, by instance: members', services', operators'. Names nobody.

    Example: covey connections --tenant demo
    """
    with told():
        from console import connections as program

        raise typer.Exit(run(program.connections(url=url, token=_operators(token, tenant), as_json=as_json)))


def revoke(  # noqa: PLR0917 - typer's options are parameters
    member: Annotated[str | None, typer.Option(metavar="ID", help="End all tokens of this member.")] = None,
    token_id: Annotated[str | None, typer.Option(metavar="ID", help="End the token with this `jti`.")] = None,
    everybody: Annotated[
        bool, typer.Option("--everybody", metavar="", help="End all tokens of the tenant, this one too.")
    ] = False,
    url: Url = _HERE,
    token: Token = None,
    tenant: Tenant = "demo",
) -> None:
    """End tokens before their time, and the connections opened with them, on every instance within a second.

    Of a member or everybody, tokens that are issued later are good.

    Example: covey revoke --tenant demo --member m-1
    """
    with told():
        from console import connections as program

        if (member is not None) + (token_id is not None) + everybody != 1:
            raise UsedWrongly("Whose tokens? Allowed is one of --member, --token-id, --everybody.")
        whose = {"memberId": member, "tokenId": token_id, "everybody": everybody}
        raise typer.Exit(run(program.revoke(whose, url=url, token=_operators(token, tenant))))


def _operators(token: str | None, tenant: str) -> str:
    from console import development_token

    if token is not None:
        return token
    return development_token.mint(
        development_token.settings_with_key(), tenant=tenant, member=None, role=Role.OPERATOR, seconds=_TOKEN_SECONDS
    )
