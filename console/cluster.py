"""The commands for many processes: workers, Kafka's topics, Redis' views, and dead letters."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that the others do not wait for it

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from console.errors import UsedWrongly
from console.running import given_settings, run, say_ready, told

if TYPE_CHECKING:
    from settings import Settings

topics: Final = typer.Typer(
    name="topics", help="Kafka's topics: make them, or tell how they differ.", no_args_is_help=True
)
dlq: Final = typer.Typer(name="dlq", help="Dead letters: events that a consumer group gave up.", no_args_is_help=True)

Group = Annotated[str | None, typer.Option(metavar="NAME", help="Only of this consumer group; of all when absent.")]


def worker(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address of the probes: /healthz, /readyz, /metrics.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, metavar="PORT", help="Port of the probes; 0 takes a free one.")
    ] = 8001,
) -> None:
    r"""Make payers' calls for all instances, within the slots they share. Needs Kafka and Redis; serves no clients.

    It is stopped by SIGTERM or Ctrl-C: calls under way may end, others are handed over.

    Example:
    COVEY_LOG=kafka://127.0.0.1:9092 \
      COVEY_STATE=redis://127.0.0.1:6379/0 covey worker
    """
    with told():
        from wiring.unused import unused

        with unused("rich"):  # structlog would draw tracebacks with it
            import app
            import logs
        from console.ports import require_free
        from wiring.duties import Duties

        settings = _shared_settings()
        require_free(host, port)
        logs.configure(level=settings.log_level, json_lines=not settings.development)
        duties = Duties(gateway=False, workers=1)
        raise typer.Exit(run(app.serve(settings, host=host, port=port, duties=duties, on_ready=say_ready)))


def rebuild() -> None:
    """Fill Redis from the log, showing how far it is. Safe to break off, and beside running instances.

    Instances do it by themselves when they find Redis empty; one does, the others wait.

    Example: covey rebuild
    """
    with told():
        from console.rebuild import rebuilt

        raise typer.Exit(run(rebuilt(_shared_settings())))


@topics.command()
def create() -> None:
    r"""Make the topics that are missing, and tell where others are not as the settings say. Changes none.

    Example:
    COVEY_TOPIC_REPLICATION=1 COVEY_TOPIC_MIN_IN_SYNC=1 \
      covey topics create
    """
    with told():
        from console import topics as program
        from wiring.shared import kafka_link, topic_plans

        settings = _shared_settings()
        raise typer.Exit(run(program.create(kafka_link(settings), topic_plans(settings))))


@topics.command()
def check() -> None:
    """Tell where topics are not as the settings say; exit code 1 where one is not.

    Example: covey topics check
    """
    with told():
        from console import topics as program
        from wiring.shared import kafka_link, topic_plans

        settings = _shared_settings()
        raise typer.Exit(run(program.check(kafka_link(settings), topic_plans(settings))))


@dlq.command("list")
def list_dead(group: Group = None) -> None:
    """A line for every dead letter that was not sent back.

    Example: covey dlq list
    """
    with told():
        from console import dlq as program
        from wiring.shared import kafka_link

        settings = _shared_settings()
        link, prefix = kafka_link(settings), settings.topic_prefix
        if not run(program.list_dead(link, group=group, prefix=prefix, write=typer.echo)):
            typer.echo("There are no dead letters.", err=True)


@dlq.command()
def show(
    letter: Annotated[str, typer.Argument(help="As `covey dlq list` shows it.")],
    data: Annotated[
        bool, typer.Option("--data", metavar="", help="Print its data too: health data, mind who sees it.")
    ] = False,
) -> None:
    """What is known of one dead letter: where it was first read, how often it was tried, why it was given up.

    Example: covey dlq show rte.events.ledger.dlq/0/17
    """
    with told():
        from console import dlq as program
        from wiring.foundation import sealer_of
        from wiring.shared import kafka_link

        settings = _shared_settings()
        sealer = sealer_of(settings)
        if data:
            typer.echo("covey: what follows is health data; keep it off shared screens and out of files.", err=True)
        run(program.show(kafka_link(settings), letter=letter, sealer=sealer, with_data=data, write=typer.echo))


@dlq.command()
def retry(
    letters: Annotated[list[str] | None, typer.Argument(help="As `covey dlq list` shows them.")] = None,
    every: Annotated[bool, typer.Option("--all", metavar="", help="All that there are, instead.")] = False,
    group: Group = None,
) -> None:
    """Send dead letters back to their group, which handles them again.

    Example: covey dlq retry --all --group ledger
    """
    with told():
        from console import dlq as program
        from wiring.shared import kafka_link

        settings = _shared_settings()
        link, prefix = kafka_link(settings), settings.topic_prefix
        run(program.retry(link, letters=letters or [], every=every, group=group, prefix=prefix, write=typer.echo))


def _shared_settings() -> Settings:
    settings = given_settings()
    if not settings.shared:
        raise UsedWrongly("This command is for many processes: set COVEY_LOG=kafka://... and COVEY_STATE=redis://...")
    return settings
