"""Who is let in: links that work once, and nobody's page but ours."""

from __future__ import annotations

import base64
import stat

import pytest

from rewardsmith.errors import RunError, UsageError
from rewardsmith.web.guard import MOST_BYTES
from rewardsmith.web.links import Links
from rewardsmith.web.server import origin_of
from tests.web.conftest import QUESTION, Client, put, vote_id, votes


def test_a_link_works_once_and_its_cookie_is_out_of_scripts_reach(serve) -> None:
    served = serve(rater="ann")
    first, second = Client(served.site.port), Client(served.site.port)
    entered = first.enter(served.link)
    assert entered.json == {"rater": "ann"}
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "path=/" in cookie and "domain" not in cookie
    assert second.enter(served.link).status == 403
    assert second.call("/api/next").status == 401
    assert first.next()["rater"] == "ann"


def test_a_link_not_used_yet_works_after_a_restart_and_a_used_one_does_not(run) -> None:
    links = Links(run.root)
    used, waiting = links.make("ann"), links.make("bob")
    assert links.enter(used) == "ann"
    links.close()
    again = Links(run.root)
    assert (again.enter(used), again.enter(waiting), again.enter("guess")) == (None, "bob", None)
    assert again.holder(links.ticket("ann")) == "ann"
    again.close()


def test_the_private_file_is_private(run) -> None:
    Links(run.root).close()
    for path in run.root.glob("web.sqlite*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.parametrize("name", ["ann", "Zoë Müller", "a.b|c", "名前"])
def test_cookies_cannot_be_forged(run, name: str) -> None:
    links = Links(run.root)
    ticket = links.ticket(name)
    assert links.holder(ticket) == name
    encoded, signature = ticket.split(".")
    other = base64.urlsafe_b64encode(b"eve").decode().rstrip("=")
    for forged in (f"{other}.{signature}", f"{encoded}.{'0' * 32}", encoded, f"{encoded}.", "", ".", "é.é", "%%%.x"):
        assert links.holder(forged) is None
    links.close()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", ""])
def test_another_name_that_leads_here_is_turned_away(serve, enter, host: str) -> None:
    served = serve()
    ann = enter(served)
    for path in ("/", "/page.js", "/api/next"):
        answer = ann.call(path, headers={"Host": host.format(port=ann.port)})
        assert answer.status in (400, 403)
    assert ann.call("/", headers={"Host": f"localhost:{ann.port}"}).status == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}", None]
)
def test_another_page_cannot_vote(run, serve, enter, origin: str | None) -> None:
    put(run, QUESTION)
    ann = enter(serve())
    vote = {"id": vote_id(1), "asked": ann.next()["asked"]["handle"], "form": "unsure"}
    answer = ann.call("/api/vote", vote, headers={"Origin": origin and origin.format(port=ann.port)})
    assert answer.status == 403 and answer.json["error"]
    assert votes(run) == []


@pytest.mark.parametrize(
    ("path", "raw", "headers", "status"),
    [
        ("/api/vote", b"{}", {"Content-Type": "text/plain"}, 415),
        ("/api/vote", b"x" * (MOST_BYTES + 1), {}, 413),
        ("/api/vote", b"{", {}, 400),
        ("/api/vote", b"[" * 60_000, {}, 400),
        ("/api/vote", b"[]", {}, 400),
        ("/api/vote", b"\xff", {}, 400),
        ("/api/undo", b"{}", {}, 409),
        ("/api/enter", b'{"token": 3}', {}, 403),
        ("/api/enter", b'{"token": "\\ud800"}', {}, 403),
        ("/api/link", b"{}", {}, 400),
        ("/api/link", b'{"rater": ""}', {}, 400),
        ("/api/link", b'{"rater": "%s"}' % (b"x" * 41), {}, 400),
        ("/api/next", b"{}", {}, 405),
        ("/api/other", b"{}", {}, 404),
    ],
)
def test_what_makes_no_sense_is_answered_with_json(serve, enter, path, raw, headers, status) -> None:
    answer = enter(serve()).call(path, raw=raw, headers=headers)
    assert answer.status == status and set(answer.json) == {"error", "hint"} and answer.json["error"]


def test_a_body_without_a_length_is_cut_off_too(serve, enter) -> None:
    import http.client

    ann = enter(serve())
    connection = http.client.HTTPConnection("127.0.0.1", ann.port, timeout=30)
    headers = {"Origin": f"http://127.0.0.1:{ann.port}", "Content-Type": "application/json", "Cookie": ann.cookie}
    connection.request("POST", "/api/vote", (b"x" * 1024 for _ in range(80)), headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_every_answer_forbids_what_the_page_does_not_need(serve, enter) -> None:
    ann = enter(serve())
    for path in ("/", "/page.js", "/api/next", "/api/nothing"):
        headers = ann.call(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers


def test_the_page_names_no_other_place_and_has_no_code_of_its_own(serve) -> None:
    client = Client(serve().site.port)
    page = client.call("/").body.decode()
    script, style = client.call("/page.js").body.decode(), client.call("/page.css").body.decode()
    assert "://" not in page + style and "://" not in script
    assert " on" + "click=" not in page and "style=" not in page and "<script>" not in page
    assert "innerHTML" not in script and "eval(" not in script


def test_links_for_others(run, serve, enter) -> None:
    served = serve()
    ann = enter(served)
    made = ann.call("/api/link", {"rater": "  bob   b "}).json
    assert made["rater"] == "bob b"
    bob = Client(served.site.port)
    assert bob.enter(made["link"]).json == {"rater": "bob b"}
    taken = bob.call("/api/link", {"rater": "ann"})  # nobody gets into another's name
    assert taken.status == 400 and "already" in taken.json["error"]
    assert ann.call("/api/link", {"rater": "ann"}).status == 200  # one's own other device


def test_a_tunnel(serve) -> None:
    served = serve(public_url="https://Votes.example.org", rater="ann")
    client = Client(served.site.port)
    assert served.link.startswith("https://votes.example.org/#")
    seen = {"Host": "votes.example.org"}
    entered = client.call(
        "/api/enter", {"token": served.link.split("#")[1]}, headers={**seen, "Origin": "https://votes.example.org"}
    )
    assert entered.status == 200 and "secure" in entered.headers["set-cookie"].lower()
    assert client.call("/", headers={"Host": "other.example.org"}).status == 403


@pytest.mark.parametrize(
    "url",
    [
        "votes.example.org",
        "ftp://x.org",
        "https://",
        "https://x.org/page",
        "https://u@x.org",
        "https://x:y",
        "https://x.org?q",
        "https://[x",
    ],
)
def test_a_public_address_is_a_server(url: str) -> None:
    with pytest.raises(UsageError, match="no address of a server"):
        origin_of(url)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Votes.Example.org/", "https://votes.example.org"),
        ("https://x.org:443", "https://x.org"),
        ("http://x.org:443", "http://x.org:443"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_addresses_are_named_as_browsers_do(url: str, origin: str) -> None:
    assert origin_of(url) == origin


def test_a_port_in_use(serve) -> None:
    with pytest.raises(UsageError, match="cannot be used") as caught:
        serve(port=serve().site.port)
    assert "--port" in caught.value.hint


def test_damaged_votes(run, serve) -> None:
    (run.root / "votes.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(RunError, match="damaged"):
        serve()


def test_without_the_extra(run, serve, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    with pytest.raises(Exception, match="not installed") as caught:
        serve()
    assert "rewardsmith[web]" in caught.value.hint  # type: ignore[attr-defined]


def test_only_this_machine_is_listened_to(serve) -> None:
    assert serve().site._socket.getsockname()[0] == "127.0.0.1"
