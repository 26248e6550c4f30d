"""The page and its API.

    GET  /                      the page; it knows nothing before somebody has entered
    POST /api/enter             {"token"}: exchanges a link's token for a cookie; works once
    GET  /api/next              {"run", "task", "rater", "asked": {"handle", "words", "clips", "episodes"} | null,
                                "last": id of the answer that can be taken back | null}
    GET  /film/HANDLE/P/E       mp4: clip P of a set, its episode E, both from 0
    POST /api/vote              {"id", "asked", "form", "order", "comment"}, see `poll.Answer`; saved when it answers.
                                The page makes the id, 16 hex digits: the same answer sent twice counts once
    POST /api/undo              {"id"} of the last answer; gives what it was
    POST /api/link              {"rater"}: a link for a further rater, or for one's own other device
    GET  /api/progress          {"stage", "share", "finished", "questions", "raters": {name: answers}, "sure"}

Errors are {"error", "hint"} with a fitting status; 409 means: look again at what is asked. All but / and enter need the
cookie.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Collection
from importlib.resources import files
from typing import Any, NamedTuple

import anyio
from anyio.to_thread import run_sync
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from rewardsmith.errors import RewardsmithError, RunError, UsageError, problems_in
from rewardsmith.web.films import Films
from rewardsmith.web.guard import MOST_BYTES, Guard, problem
from rewardsmith.web.links import COOKIE_S, Links
from rewardsmith.web.poll import Answer, NotNow, Poll
from rewardsmith.web.progress import Fresh, Stage

FILMS_AT_ONCE = 8  # waiting for films must not keep votes waiting

log = logging.getLogger(__name__)


class Entrance(NamedTuple):
    """What a page is told of the run before its first question."""

    run: str
    task: str


def make_app(
    poll: Poll, links: Links, films: Films, *, stage: Callable[[], Stage], entrance: Entrance, origins: Collection[str]
) -> Starlette:
    """The application. `origins`: where browsers may find it, as http://127.0.0.1:8000; new links name the last."""
    origins = list(origins)

    def look() -> dict[str, object]:
        now, sure = stage(), poll.sure()
        return {
            "stage": now.text,
            "share": now.share,
            "finished": now.finished,
            "questions": len(poll.book.questions()),
            "raters": poll.counts(),
            "sure": None if sure is None else sure._asdict(),
        }

    progress = Fresh(look)
    film_threads = anyio.CapacityLimiter(FILMS_AT_ONCE)

    async def enter(request: Request) -> Response:
        token = (await body(request)).get("token")
        rater = await run_sync(links.enter, token) if isinstance(token, str) else None
        if rater is None:
            return problem(
                403, "this link was used before, or is not of this run", "ask whoever started the server for another"
            )
        response = JSONResponse({"rater": rater})
        secure = request.headers["host"] in {o.removeprefix("https://") for o in origins if o.startswith("https:")}
        response.set_cookie(
            links.cookie, links.ticket(rater), max_age=COOKIE_S, httponly=True, samesite="strict", secure=secure
        )
        return response

    async def ask(request: Request, rater: str) -> Response:
        def find() -> dict[str, object]:
            shown = poll.next(rater)
            return {
                **entrance._asdict(),
                "rater": rater,
                "asked": None if shown is None else shown._asdict(),
                "last": poll.last(rater),
            }

        return JSONResponse(await run_sync(find))

    async def film(request: Request, rater: str) -> Response:
        where = request.path_params
        candidate, seed = await run_sync(poll.clip, rater, where["handle"], where["place"], where["episode"])
        path = await run_sync(films.film, candidate, seed, limiter=film_threads)
        return FileResponse(path, media_type="video/mp4", headers={"Cache-Control": "private, max-age=86400"})

    async def vote(request: Request, rater: str) -> Response:
        try:
            answer = Answer.model_validate(await body(request))
        except ValidationError as error:
            raise UsageError(problems_in(error)) from None
        await run_sync(poll.vote, rater, answer)
        return JSONResponse({"saved": answer.id})

    async def undo(request: Request, rater: str) -> Response:
        id = (await body(request)).get("id")
        return JSONResponse((await run_sync(poll.undo, rater, str(id)))._asdict())

    async def link(request: Request, rater: str) -> Response:
        name = (await body(request)).get("rater")
        if not isinstance(name, str):
            raise UsageError("a link is for a rater: say the name")
        name = " ".join(name.split())
        if name != rater and await run_sync(poll.taken, name):
            raise UsageError(f"{name} is here already", hint="choose another name, or let them make their own link")
        return JSONResponse({"rater": name, "link": f"{origins[-1]}/#{await run_sync(links.make, name)}"})

    async def show_progress(request: Request, rater: str) -> Response:
        return JSONResponse(await run_sync(progress.get))

    def of_rater(answer: Callable[[Request, str], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def checked(request: Request) -> Response:
            rater = links.holder(request.cookies.get(links.cookie, ""))
            if rater is None:
                return problem(401, "this page opens with a link", "open the link that was printed, or sent to you")
            return await answer(request, rater)

        return checked

    return Starlette(
        routes=[
            Route("/", _file("page.html", "text/html")),
            Route("/page.js", _file("page.js", "text/javascript")),
            Route("/page.css", _file("page.css", "text/css")),
            Route("/api/enter", enter, methods=["POST"]),
            Route("/api/next", of_rater(ask)),
            Route("/api/vote", of_rater(vote), methods=["POST"]),
            Route("/api/undo", of_rater(undo), methods=["POST"]),
            Route("/api/link", of_rater(link), methods=["POST"]),
            Route("/api/progress", of_rater(show_progress)),
            Route("/film/{handle:str}/{place:int}/{episode:int}", of_rater(film)),
        ],
        middleware=[Middleware(Guard, origins=origins)],
        exception_handlers={
            RewardsmithError: _known_problem,
            HTTPException: _http_problem,
            Exception: _unknown_problem,
        },
    )


async def body(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises: UsageError: it is none, or too large."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BYTES:
            raise HTTPException(413, f"a request has {MOST_BYTES:,} bytes at most")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UsageError("the request is no JSON object")
    return content


def _file(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    content = files("rewardsmith.web").joinpath("page", name).read_bytes()

    async def show(request: Request) -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return show


async def _known_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, RewardsmithError)
    status = 409 if isinstance(error, NotNow) else 400 if isinstance(error, UsageError) else 503
    if status == 503:
        log.warning("%s", error.message)
        if isinstance(error, RunError):  # names files of this machine, which are nobody else's business
            return problem(503, "the run's files cannot be used right now", "whoever started the server sees why")
    return problem(status, error.message, error.hint)


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail).lower())


async def _unknown_problem(request: Request, error: Exception) -> Response:
    return problem(500, "something went wrong here", "whoever started the server sees what")
