"""`jangbu queues`: what waits, and what was given up."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jangbu.entrypoints.cli import options, output

if TYPE_CHECKING:
    from jangbu.platform.queues.ports import Parked, Queues

app = typer.Typer(name="queues", help="Events and commands on their way, and those that were given up.", no_args_is_help=True)
_DEPTH = ("queue", "waiting", "held", "parked", "oldest_seconds")
_PARKED = ("id", "queue", "message", "tries", "parked_at", "reason")
Queue = Annotated[str | None, typer.Argument(help="A queue, as `jangbu queues list` names it.", show_default="all")]


@app.command("list")
def list_(folder: options.Folder = None, as_json: options.AsJson = False) -> None:
    """List the queues; `outbox` is what was committed and isn't on a queue yet."""
    with options.application(folder=folder) as application:
        waiting, oldest = application.relay.lag(application.clock.now())
        outbox = {"queue": "outbox", "waiting": waiting, "held": 0, "parked": 0, "oldest_seconds": round(oldest.total_seconds())}
        rows = [outbox, *_depths(application.queues)]
    if as_json:
        output.print_json({"queues": rows})
    else:
        output.print_table(rows, _DEPTH)


@app.command("parked")
def parked(
    queue: Queue = None,
    limit: options.Limit = 100,
    offset: options.Offset = 0,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """List messages that were given up, with the reason, the earliest first."""
    with options.application(folder=folder) as application:
        found = application.queues.parked(queue, offset=offset, limit=limit)
    rows = [_plain(message) for message in found]
    if as_json:
        output.print_json({"parked": [{**row, "body": message.body} for row, message in zip(rows, found, strict=True)]})
    else:
        output.print_table(rows, _PARKED)


@app.command("retry")
def retry(
    message: Annotated[str | None, typer.Argument(metavar="ID", help="A message, as `jangbu queues parked` shows it.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that are parked.")] = False,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """Put a parked message, or all of them, back on its queue."""
    if (message is None) is not every:
        raise typer.BadParameter("Name one message, or say --all.")
    with options.application(folder=folder) as application:
        retried = application.queues.retry_all() if message is None else _retried(application.queues, message)
    if as_json:
        output.print_json({"retried": retried})
    else:
        typer.echo(f"Retried {retried}.")


@app.command("purge")
def purge(
    queue: Annotated[str | None, typer.Argument(help="A queue, as `jangbu queues list` names it.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that are parked.")] = False,
    yes: options.Yes = False,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """Delete the messages that were given up, of a queue or of all, for good."""
    from jangbu.kernel.errors import unknown_name

    if (queue is None) is not every:
        raise typer.BadParameter("Name one queue, or say --all.")
    with options.application(folder=folder) as application:
        parked = {row["queue"]: row["parked"] for row in _depths(application.queues)}
        if queue is not None and queue not in parked:
            raise unknown_name("queue", queue, parked)
        many = sum(parked.values()) if queue is None else parked[queue]
        told = f"{many:,} parked messages will be deleted. Nothing brings them back."
        options.confirm(told, f"Type {queue or 'all'!r} to go on", queue or "all", yes=yes)
        purged = application.queues.purge(queue)
    if as_json:
        output.print_json({"purged": purged})
    else:
        typer.echo(f"Purged {purged:,}.")


def _retried(queues: "Queues", message: str) -> int:
    """Raises:
    NotFound: it isn't parked.
    """
    from jangbu.kernel.errors import NotFound

    if not any(queues.retry(name, message) for name in queues.depths()):
        raise NotFound(f"There is no parked message {message!r}.", value=message, hint="See `jangbu queues parked`.")
    return 1


def _depths(queues: "Queues") -> list[dict[str, Any]]:
    from jangbu.platform.queues.envelope import depths_of

    return [
        {"queue": name, "waiting": depth.waiting, "held": depth.held, "parked": depth.parked}
        | {"oldest_seconds": None if depth.oldest is None else round(depth.oldest.total_seconds())}
        for name, depth in depths_of(queues).items()
    ]


def _plain(message: "Parked") -> dict[str, Any]:
    from jangbu.kernel.errors import WrongType
    from jangbu.platform.queues.envelope import opened

    try:
        name = opened(message.body).name
    except WrongType:
        name = ""
    return {"message": name} | {field: getattr(message, field) for field in _PARKED if field != "message"}
