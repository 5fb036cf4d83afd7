"""The command line. Each command says what it was given to the room that does the work, and its end as an exit code.

0 done, 1 the work failed, 2 used wrongly. Results go to stdout, all else to stderr. What a command needs is imported
when it runs, so that the others and `--help` do not wait for it.
"""
# ruff: noqa: PLC0415 - for that reason

from __future__ import annotations

import gc
from datetime import date
from typing import Annotated, Any, Final

import typer

from bus.events import CacheMode, Priority, Topic
from console import cluster, operators
from console.errors import UsedWrongly
from console.options import Data, Host, Port, Version, day, duration
from console.running import given_settings, run, say_ready, told
from delivery.caller import Role

cli: Final = typer.Typer(
    name="covey",
    help="Ask insurers whether a member is covered, and get the answer pushed. Start with: covey demo",
    epilog="covey COMMAND --help has an example. Settings are environment variables, COVEY_ before each: "
    "docs/settings.md. Exit codes: 0 done, 1 failed, 2 used wrongly.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@cli.callback()
def _covey(_: Version = False) -> None:
    pass


@cli.command()
def demo(
    port: Port = 8000,
    data: Data = None,
    once: Annotated[
        bool, typer.Option("--once", metavar="", help="Run one check through a real socket, show its events, and end.")
    ] = False,
) -> None:
    """Run everything in one process: the server, its log, and a simulator in the payers' place.

    Prints a link to open, a token, and a command to try.

    Example: covey demo --port 9000
    """
    with told():
        import logs
        from console import demo as program

        settings = given_settings(data=data)
        # Beside what a demo prints, a log line for every step would hide it.
        level = settings.log_level if "log_level" in settings.model_fields_set else "warning"
        logs.configure(level=level, json_lines=False)
        if once:
            done = run(program.once(settings, port=port, keep_data=data is not None))
        else:
            done = run(program.demo(settings, port=port))
        raise typer.Exit(done)


@cli.command()
def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    data: Data = None,
    workers_in_process: Annotated[
        int | None,
        typer.Option(
            min=0, max=15, metavar="COUNT", help="Workers beside it. 1 over a file; none over Kafka, unless told so."
        ),
    ] = None,
) -> None:
    """Run the server, with its settings from the environment.

    It is stopped by SIGTERM or Ctrl-C: connections are then closed so that clients come back to another instance.

    Example: COVEY_PAYER_URL=http://127.0.0.1:8100 covey serve --port 8000
    """
    with told():
        from wiring.unused import unused

        with unused("rich"):  # structlog would draw tracebacks with it
            import app
            import logs
        from console.ports import require_free
        from wiring.duties import Duties

        settings = given_settings(data=data)
        if not settings.shared and workers_in_process not in (None, 1):
            raise UsedWrongly("--workers-in-process: over a file one process makes the calls itself; allowed: 1.")
        require_free(host, port)

        def ready(url: str) -> None:
            say_ready(url)
            if settings.development and not settings.names_payers:
                typer.echo(
                    f"covey: warning: COVEY_PAYER_URL is not set, so payers are called at {settings.payer_url}. Start "
                    "`covey payer-sim`, which listens there, or run `covey demo`, which brings a simulator.",
                    err=True,
                )

        logs.configure(level=settings.log_level, json_lines=not settings.development)
        workers = workers_in_process if workers_in_process is not None else int(not settings.shared)
        duties = Duties(workers=workers)
        raise typer.Exit(run(app.serve(settings, host=host, port=port, duties=duties, on_ready=ready)))


@cli.command("payer-sim")
def payer_sim(
    port: Port = 8100,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Makes the same people and times again.")] = 1,
    slots: Annotated[int, typer.Option(min=1, metavar="COUNT", help="Calls at once; more are answered 429.")] = 15,
    speed: Annotated[float, typer.Option(min=0.001, metavar="FACTOR", help="All times are divided by this.")] = 1.0,
) -> None:
    """Run the payer simulator by itself: it speaks Stedi's HTTP, and fails by payer id (SIMOK, SIMSLOW, SIMDOWN ...).

    Example: covey payer-sim --port 8100 --speed 10
    """
    with told():
        from console import simulator

        run(simulator.simulate(port=port, seed=seed, slots=slots, speed=speed, on_ready=say_ready))


@cli.command()
def check(  # noqa: PLR0917 - typer's options are parameters
    payer: Annotated[str, typer.Option(metavar="ID", help="The payer: any of its ids.")],
    member: Annotated[str, typer.Option(metavar="ID", help="Whose coverage, by our own member id.")],
    first_name: Annotated[str, typer.Option(metavar="NAME", help="The subscriber's, as on the card.")],
    last_name: Annotated[str, typer.Option(metavar="NAME", help="The subscriber's, as on the card.")],
    birth_date: Annotated[date, typer.Option(parser=day, help="The subscriber's.", metavar="YYYY-MM-DD")],
    card: Annotated[str, typer.Option(metavar="ID", help="The member id that is printed on the card.")],
    service_type: Annotated[
        list[str] | None, typer.Option(metavar="CODE", help="X12 service type code; may be repeated. 30 when absent.")
    ] = None,
    date_of_service: Annotated[
        date | None, typer.Option(parser=day, help="Today when absent.", metavar="YYYY-MM-DD")
    ] = None,
    npi: Annotated[
        str | None, typer.Option(metavar="NPI", help="The provider who asks; goes with --provider-name.")
    ] = None,
    provider_name: Annotated[str | None, typer.Option(metavar="NAME", help="The provider's organisation.")] = None,
    cache_mode: Annotated[
        CacheMode,
        typer.Option(metavar="MODE", help="What to take from the cache: DEFAULT, PREFER_CACHE or REQUIRE_FRESH."),
    ] = CacheMode.DEFAULT,
    priority: Annotated[
        Priority,
        typer.Option(metavar="PRIORITY", help="INTERACTIVE, ENROLLMENT or BACKGROUND. Members: INTERACTIVE only."),
    ] = Priority.INTERACTIVE,
    deadline: Annotated[
        int, typer.Option(min=1, max=600, metavar="SECONDS", help="Seconds after which to give up.")
    ] = 120,
    url: Annotated[str, typer.Option(metavar="URL", help="The server's.")] = "http://127.0.0.1:8000/graphql",
    token: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="Who asks. When absent: one made with the development key in COVEY_DATA."),
    ] = None,
    tenant: Annotated[str, typer.Option(metavar="ID", help="Whose member; for the token that is made.")] = "demo",
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Print a line of JSON for every event.")] = False,
) -> None:
    r"""Submit one eligibility check, follow its events, and print the coverage as a table.

    Cut off, it comes back and goes on where it was.

    Example:
    covey check --payer 60054 --member m-1 --first-name Jane \
      --last-name Doe --birth-date 2004-04-04 --card AETNA12345
    """
    with told():
        from console import check as program
        from console import development_token

        request: dict[str, Any] = {
            "question": {
                "memberId": member,
                "payerId": payer,
                "subscriber": {
                    "memberId": card,
                    "firstName": first_name,
                    "lastName": last_name,
                    "dateOfBirth": birth_date.isoformat(),
                },
                "serviceTypeCodes": service_type or ["30"],
            },
            "cacheMode": cache_mode.value,
            "priority": priority.value,
            "deadlineSeconds": deadline,
        }
        if (npi is None) != (provider_name is None):
            raise UsedWrongly("--npi and --provider-name go together: give both, or neither.")
        if npi is not None:
            request["question"]["provider"] = {"npi": npi, "organizationName": provider_name}
        if date_of_service is not None:
            request["question"]["dateOfService"] = date_of_service.isoformat()
        key_folder = None
        if token is None:
            settings = development_token.settings_with_key()
            token = development_token.mint(settings, tenant=tenant, member=member, role=Role.MEMBER, seconds=900)
            key_folder = settings.data.absolute()
        raise typer.Exit(run(program.shown(request, url=url, token=token, as_json=as_json, key_folder=key_folder)))


@cli.command()
def token(
    tenant: Annotated[str, typer.Option(metavar="ID", help="The tenant the caller belongs to.")],
    member: Annotated[str | None, typer.Option(metavar="ID", help="The caller's member id; members need one.")] = None,
    role: Annotated[
        Role, typer.Option(metavar="ROLE", help="What the caller may be: member, service or operator.")
    ] = Role.MEMBER,
    ttl: Annotated[str, typer.Option(metavar="TIME", help="How long it is good for: 90s, 15m, 2h.")] = "15m",
) -> None:
    """Print a token, signed by the development key in COVEY_DATA. Development only.

    Example: covey token --tenant demo --member m-1 --ttl 2h
    """
    with told():
        from console import development_token

        if role is Role.MEMBER and member is None:
            raise UsedWrongly("A member's token needs --member.")
        seconds = duration(ttl)
        settings = development_token.settings_with_key()
        typer.echo(development_token.mint(settings, tenant=tenant, member=member, role=role, seconds=seconds))


@cli.command()
def schema() -> None:
    """Print the GraphQL schema (SDL).

    Example: covey schema > schema.graphql
    """
    with told():
        import app

        typer.echo(app.build_schema_for_printing().as_str())


@cli.command()
def tail(
    topic: Annotated[
        Topic | None, typer.Option(metavar="TOPIC", help="Only rte.events or payer.events; all when absent.")
    ] = None,
    start: Annotated[
        int | None,
        typer.Option("--from", min=0, metavar="POSITION", help="Begin behind this position; at the end when absent."),
    ] = None,
    data: Annotated[
        bool,
        typer.Option("--data", metavar="", help="Print the data of events too. It is health data: mind who sees it."),
    ] = False,
) -> None:
    """Follow the log of COVEY_DATA, also while a server writes it: one line an event, until Ctrl-C.

    Example: covey tail --topic rte.events --from 0
    """
    with told():
        from console import tail as program

        if data:
            typer.echo("covey: what follows is health data; keep it off shared screens and out of files.", err=True)

        def say(words: str) -> None:
            typer.echo(words, err=True)

        run(program.tail(given_settings(), topic=topic, after=start, with_data=data, write=typer.echo, say=say))


cli.command()(cluster.worker)
cli.add_typer(cluster.topics)
cli.command()(cluster.rebuild)
cli.add_typer(cluster.dlq)
cli.command()(operators.connections)
cli.command()(operators.revoke)


def main() -> None:
    """The `covey` program."""
    gc.disable()  # nothing that is imported becomes garbage; `run` turns it on
    cli()


if __name__ == "__main__":
    main()
