"""`rewardsmith prefer RUN`: people compare clips of a run's policies, in the browser or with a file by mail."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from rewardsmith.cli.console import log_to_stderr, print_json, progress, results, wash
from rewardsmith.cli.design import AsJson, Runs
from rewardsmith.cli.resume import Run, Trust
from rewardsmith.errors import EXIT_INTERRUPTED, UsageError
from rewardsmith.store import write_text

if TYPE_CHECKING:
    from rewardsmith.web import Site
    from rewardsmith.web.recorded import RecordedFilms

ME = "me"
MOST_BYTES = 10_000_000  # of a votes.json


def prefer(
    run: Run = "latest",
    rater: Annotated[
        list[str] | None, typer.Option(help=f'A rater\'s name: a link each. Repeatable; default "{ME}".')
    ] = None,
    at_a_time: Annotated[int, typer.Option(min=2, max=6, help="Clips side by side, where a run asks nothing.")] = 4,
    look_for: Annotated[str, typer.Option(metavar="TEXT", help="What raters shall look for, in your words.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the first link in the browser.")] = False,
    public_url: Annotated[
        str, typer.Option(metavar="URL", help="Where a tunnel of yours shows the page: links name it.")
    ] = "",
    packet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one offline .html file with clips and form, and end.")
    ] = None,
    sets: Annotated[int, typer.Option(min=1, max=200, help="Sets of clips in a packet, repetitions aside.")] = 9,
    votes: Annotated[
        Path | None, typer.Option("--import", metavar="FILE", help="Take in the votes.json of a packet, and end.")
    ] = None,
    standing: Annotated[bool, typer.Option("--standing", help="Only print the ranking by the votes so far.")] = False,
    runs: Runs = Path("runs"),
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Have people compare what a run's policies do. Votes are saved at once; Ctrl-C ends it and prints the ranking.

    A run that waits for votes (--feedback human) goes on when they arrive. Of any other run, all trained rewards are
    compared for as long as raters like.
    """
    log_to_stderr()
    from rewardsmith.loop.summary import load_run
    from rewardsmith.loop.trust import require_trust
    from rewardsmith.store import RunFolder
    from rewardsmith.web import Site
    from rewardsmith.web.recorded import RecordedFilms

    summary = load_run(run, runs=runs)
    require_trust(summary, "prefer", trust=trust)
    waits = summary.config.feedback == "human" and not summary.finished
    served = False
    with RecordedFilms(summary) as films:
        if not waits and len(films.trained) < 2:
            raise UsageError(
                f"the run {summary.id} has {len(films.trained) or 'no'} trained reward{'s' * (not films.trained)}: "
                "there is nothing to compare",
                hint=f"rewardsmith resume {summary.id}",
            )
        task = summary.task.words if summary.task else summary.config.words
        with Site(
            RunFolder.open(summary.root),
            films,
            compare=() if waits else films.trained,
            at_a_time=at_a_time,
            task=task,
            words=look_for,
            port=port,
            public_url=public_url,
        ) as site:
            if packet is not None:
                _write_packet(site, films, packet, root=summary.root, task=task, raters=rater or [], sets=sets)
            elif votes is not None:
                _import(site, votes)
            elif not standing:
                _serve(site, rater or [ME], open_browser=open_browser, public=bool(public_url))
                served = True
            _show(site, summary.id, films.trained, as_json=as_json)
    if served:
        raise typer.Exit(EXIT_INTERRUPTED)


def _serve(site: Site, raters: list[str], *, open_browser: bool, public: bool) -> None:
    links = {name: site.link(name) for name in raters}
    for name, link in links.items():
        progress.print(f"Link for {wash(name)} (works once): {link}", soft_wrap=True)
    if public:
        progress.print(
            "[yellow]Through the tunnel, whoever has a link can vote under that name and see the clips; "
            "send each link to one person only.[/]"
        )
    progress.print("Ctrl-C ends the server. Votes are saved as they come.")
    if open_browser:
        import webbrowser

        webbrowser.open(next(iter(links.values())))
    with contextlib.suppress(KeyboardInterrupt):
        site.run()


def _write_packet(
    site: Site, films: RecordedFilms, path: Path, *, root: Path, task: str, raters: list[str], sets: int
) -> None:
    from rewardsmith.web.packet import make_packet

    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"a packet is written as .html, not as {path.name}", hint=f"--packet {path.stem}.html")
    if len(raters) > 1:
        raise UsageError("a packet is for one rater", hint="leave --rater out, and the page asks for a name")
    progress.print("Drawing the clips of the packet ...")
    page = make_packet(site.poll, films, run=root.name, task=task, rater="".join(raters), sets=sets)
    write_text(path, page)
    progress.print(f"{wash(str(path))}: {len(page) / 1e6:.1f} MB. It sends nothing; its votes.json comes back with:")
    progress.print(f"  rewardsmith prefer {wash(str(root))} --import votes.json", soft_wrap=True)


def _import(site: Site, path: Path) -> None:
    from rewardsmith.store import read_text_file
    from rewardsmith.web.packet import unanswered, votes_of

    text = read_text_file(path, max_bytes=MOST_BYTES, hint="give the votes.json that the packet's page saved")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is not JSON", hint="give the votes.json that the packet's page saved") from None
    given = votes_of(site.poll, data)
    kept = unanswered(site.poll, given)
    new = site.poll.book.merge(kept)
    progress.print(f"{counted(new, 'new vote')} of {len(given)} in {wash(str(path))}", soft_wrap=True)
    if late := len(given) - len(kept):
        progress.print(f"{counted(late, 'answer')} left out: their raters had answered that before", soft_wrap=True)


def _show(site: Site, run: str, trained: list[str], *, as_json: bool) -> None:
    """The ranking by all votes, and how far raters agree with each other and with themselves."""
    from rewardsmith.web.standing import Standing

    found = Standing.of(site.poll.book, trained)
    if as_json:
        print_json({"run": run, **found.model_dump(mode="json")})
        return
    if not found.votes:
        results.print("No votes yet.")
        return
    table = Table(
        title=f"By {counted(found.votes, 'vote')} of {counted(len(found.raters), 'rater')}", title_justify="left"
    )
    for column in ("candidate", "utility (log odds)", "95 %", "better than the next"):
        table.add_column(column, justify="left" if column == "candidate" else "right")
    for row in found.ranking:
        sure = "" if row.better_than_next is None else f"{row.better_than_next:.0%}"
        table.add_row(wash(row.candidate), f"{row.utility:+.2f}", f"{row.low:+.2f} to {row.high:+.2f}", sure)
    results.print(table)
    for line in found.notes:
        results.print(line)


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def register(app: typer.Typer) -> None:
    app.command()(prefer)
