"""Where a run waits for people's votes, the page on which they give them is shown by the same process."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rewardsmith.cli.console import complain, progress, wash
from rewardsmith.errors import RewardsmithError
from rewardsmith.loop.events import Event, Observer, VotesWanted

if TYPE_CHECKING:
    from rewardsmith.web import Background
    from rewardsmith.web.recorded import RecordedFilms

ME = "me"


class VotingPage:
    """An observer in front of another one: serves the page from the first time that votes are wanted until it ends."""

    def __init__(self, observe: Observer) -> None:
        self._observe = observe
        self._films: RecordedFilms | None = None
        self._served: Background | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, VotesWanted):
            self._show(event)
        self._observe(event)

    def _show(self, wanted: VotesWanted) -> None:
        what = f"{wanted.question}: {wanted.clips} clips to compare"
        if self._served is not None:
            progress.print(f"{wash(what)}. They are on the page by now: {self._served.site.url}", soft_wrap=True)
            return
        try:
            self._serve(wanted)
        except RewardsmithError as error:  # the votes can come another way, and the run waits for them
            complain(error)
        progress.print(f"{wash(what)}. The run waits; Ctrl-C leaves it, to be resumed.", soft_wrap=True)
        if self._served is None:
            progress.print(f"Show them with: rewardsmith prefer {wash(str(wanted.root))}", soft_wrap=True)
            return
        links = {ME: self._served.link}
        links |= {f"rater {n}": self._served.site.link(f"rater {n}") for n in range(2, wanted.raters + 1)}
        for name, link in links.items():
            progress.print(f"Link for {name} (works once): {link}", soft_wrap=True)

    def _serve(self, wanted: VotesWanted) -> None:
        from rewardsmith.loop.summary import load_run
        from rewardsmith.store import RunFolder
        from rewardsmith.web import serve_in_background
        from rewardsmith.web.recorded import RecordedFilms

        run = load_run(wanted.root)
        task = run.task.words if run.task else run.config.words
        self._films = RecordedFilms(run)
        self._served = serve_in_background(RunFolder.open(wanted.root), self._films, rater=ME, task=task)

    def __enter__(self) -> VotingPage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._served is not None:
            self._served.close()
        if self._films is not None:
            self._films.close()
