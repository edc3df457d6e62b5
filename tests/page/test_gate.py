"""Which requests the gate lets in, without a server."""

import asyncio
from unittest.mock import Mock

import pytest

from srez.page.gate import Gate, _checked_path, _Refused


def _asked(path, method="GET", root_path="", **headers):
    """What `_checked_path` gives for a request."""
    headers = {"host": "faces.example:7860"} | headers
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": root_path,
        "query_string": b"",
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
        "app": Mock(auth=None, cookie_id="x"),
    }
    return _checked_path(scope, Mock(is_ours=lambda _: False))


@pytest.mark.parametrize("path", ["/", "/config", "/assets/a/b.js", "/gradio_api/heartbeat/abc"])
def test_what_the_page_needs_is_let_in_at_any_root(path):
    assert _asked(path) == path
    assert _asked(f"/srez{path}", root_path="/srez") == path
    assert _asked(path, root_path="/srez") == path
    assert _asked("/srez", root_path="/srez") == "/"


def test_a_link_from_another_site_opens_the_page():
    assert _asked("/", sec_fetch_site="cross-site", sec_fetch_mode="navigate") == "/"


@pytest.mark.parametrize(
    "path", ["/srez", "/gradio_api", "/gradio_api/run/leave", "/docs", "//config", "/config/x"]
)
def test_what_the_page_does_not_need_is_not_there(path):
    with pytest.raises(_Refused, match="there is nothing here"):
        _asked(path)


OWN = [
    {},
    {"origin": "http://faces.example:7860"},
    {"origin": "https://faces.example"},  # a proxy, which tells the host without its port
    {"origin": "https://public.example", "x_forwarded_host": "public.example"},
    {"sec_fetch_site": "same-origin", "origin": "https://public.example"},
    {"sec_fetch_site": "none"},
]
OTHERS = [
    {"origin": "http://evil.example"},
    {"origin": "http://faces.example.evil.example:7860"},
    {"origin": "null"},
    {"origin": ""},
    {"origin": "http://[::1"},
    {"origin": "null", "host": ""},
    {"sec_fetch_site": "cross-site", "origin": "http://faces.example:7860"},
    {"sec_fetch_site": "same-site"},
    {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"},
]


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_a_request_of_our_own_page_or_of_no_browser_is_let_in(headers):
    assert _asked("/gradio_api/queue/join", "POST", **headers)


@pytest.mark.parametrize("headers", OTHERS, ids=str)
def test_a_request_of_another_sites_page_is_refused(headers):
    with pytest.raises(_Refused, match="asked for by another site's page"):
        _asked("/gradio_api/queue/join", "POST", **headers)


def test_a_websocket_is_closed_before_gradio_sees_it():
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    gate = Gate(Mock(side_effect=AssertionError("it got through")), visitors=None)
    asyncio.run(gate({"type": "websocket", "path": "/gradio_api/queue/join"}, receive, send))
    assert sent == [{"type": "websocket.close"}]
