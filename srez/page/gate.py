"""The page's gate: what of a browser's request gets through to Gradio, and of a call to the page.

Gradio's own routes and calls trust the client in places. Read from top to bottom: which requests
get in (an ASGI middleware) -> which calls.
"""

import asyncio
import contextlib
import json
import re
import urllib.parse

import gradio as gr
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse

from srez.page.visitors import refused

# Nothing that the page asks the browser for may come from elsewhere, whatever Gradio does.
POLICY = b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'"
MAX_BODY = 2**20  # bytes of a request that is no upload: a hundred files are named in 100 KB
# What page and clients ask for. Gradio has more: proxies, downloads, streams, editors, histories.
OPEN = re.compile(
    r"/(config/?|theme\.css|manifest\.json|favicon\.ico|robots\.txt|login/?"
    r"|(assets|static|svelte)/.*"
    r"|gradio_api/(info/?|user/?|login_check/?|app_id/?|startup-events|theme\.css|queue/join"
    r"|queue/data|queue/status|run/predict|cancel|reset/?|upload|upload_progress|component_server/?"
    r"|heartbeat/[^/]*|file=.*))?",
    re.DOTALL,
)
# Gradio doesn't ask for the password everywhere.
FOR_MEMBERS = re.compile(r"/gradio_api/(heartbeat|cancel|reset|upload|queue|run|component|file).*")
MAX_WORDS = 200  # letters of an error of Gradio's, which repeats what was sent
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")  # a session's name, as browsers and clients make it


class Gate:
    """Lets those requests through that the page needs, from its own pages (an ASGI middleware)."""

    def __init__(self, app, visitors):
        self.app = app
        self.visitors = visitors

    async def __call__(self, scope, receive, send):
        """Answers a request, or passes it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page opens no websocket
            await receive()
            await send({"type": "websocket.close"})
            return

        async def send_with_policy(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY)]
            await send(message)

        try:
            path = _checked_path(scope, self.visitors)
            if scope["method"] in ("GET", "HEAD", "OPTIONS"):
                await self.app(scope, receive, send_with_policy)
            elif path == "/gradio_api/upload":
                await self._upload(scope, receive, send_with_policy)
            else:
                receive = await _small(scope, path, receive)
                await self.app(scope, receive, send_with_policy)
        except _Refused as error:
            status, words = error.args
            is_upload = scope["path"].endswith("/upload")  # then the page shows all that it gets
            answer = PlainTextResponse if is_upload else JSONResponse
            answer = answer(words if is_upload else {"detail": words}, status)
            await answer(scope, receive, send_with_policy)

    async def _upload(self, scope, receive, send):
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        if not length.isdecimal() or "transfer-encoding" in headers:  # that would be without end
            raise _Refused(411, "say how long it is")
        address = (scope.get("client") or ("",))[0]
        try:
            await asyncio.to_thread(self.visitors.expect, address, int(length))
        except gr.Error as error:
            await _drain(receive)  # or the browser would tell of a broken connection instead
            raise _Refused(413, error.message) from error
        try:
            with contextlib.suppress(ClientDisconnect):  # what came is removed after an hour
                await self.app(scope, receive, send)
        finally:
            self.visitors.arrived(int(length))


class _Refused(Exception):
    """A request that isn't let in: (HTTP status, words)."""


def _checked_path(scope, visitors):
    """The path that a request asks for. Raises _Refused: it isn't let in."""
    path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
    if not OPEN.fullmatch(path):
        raise _Refused(404, "there is nothing here")
    request = Request(scope)
    if not _is_own(request, path):
        raise _Refused(403, "asked for by another site's page")
    if FOR_MEMBERS.fullmatch(path) and not _is_member(request):
        raise _Refused(401, "log in first")
    _, is_heartbeat, session = path.partition("/gradio_api/heartbeat/")
    _check_session(session if is_heartbeat else request.query_params.get("session_hash"))
    _, is_file, name = path.partition("/gradio_api/file=")
    if is_file and not visitors.is_ours(name):
        raise _Refused(403, "no file of the page")
    return path


def _is_own(request, path):
    """Whether a request comes from the page itself, or from no browser.

    A link from elsewhere may open the page. Browsers tell where a request comes from, by
    Sec-Fetch-Site or, older ones and over plain HTTP, by Origin: as Go's CrossOriginProtection.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        is_visit = request.method == "GET" and request.headers.get("sec-fetch-mode") == "navigate"
        return site in ("same-origin", "none") or (is_visit and "gradio_api" not in path)
    if "origin" not in request.headers:
        return True
    names = [request.headers.get(name, "") for name in ("host", "x-forwarded-host")]
    hosts = {_host(f"//{name}") for name in names}
    return _host(request.headers["origin"]) in hosts - {None}


def _host(url):
    try:
        return urllib.parse.urlsplit(url).hostname
    except ValueError:
        return None


def _is_member(request):
    """Whether a request is one of somebody who has given the password, if there is one."""
    app = request.scope["app"]
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return app.auth is None or any(request.cookies.get(name) in app.tokens for name in names)


def _check_session(session):
    """Raises _Refused: there is a session's name, and it isn't one."""
    is_name = isinstance(session, str) and SESSION.fullmatch(session)
    if session is not None and not is_name:
        raise _Refused(400, "that is no session")


async def _small(scope, path, receive):
    """What gives a request's body once more. Raises _Refused: it is too large, or no call."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":  # the client has gone
            return _later(message, receive)
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise _Refused(413, f"more than {MAX_BODY >> 20} MiB")
        if not message.get("more_body"):
            break
    if path not in ("/login", "/login/"):
        _check_call(scope["app"].get_blocks(), path, body)
    return _later({"type": "http.request", "body": bytes(body)}, receive)


def _check_call(blocks, path, body):
    """Raises _Refused: a body is no call of something that the page has, by a session."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _Refused(400, "no JSON") from error
    if not isinstance(asked, dict):
        raise _Refused(400, "no JSON of a call")
    _check_session(asked.get("session_hash"))
    is_part = path.rstrip("/") == "/gradio_api/component_server"
    name, known = ("component_id", blocks.blocks) if is_part else ("fn_index", blocks.fns)
    number = asked.get(name)
    if not path.startswith("/gradio_api/reset") and not (
        isinstance(number, int) and number in known
    ):
        raise _Refused(404, f"the page has no such {name}")


def _later(message, receive):
    """A `receive` that gives the message first."""
    messages = [message]

    async def receive_later():
        return messages.pop() if messages else await receive()

    return receive_later


async def _drain(receive):
    while True:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            return


class Guarded(gr.Blocks):
    """The page as a gr.Blocks that believes no call: only files of its own, no call of its end."""

    def __init__(self, visitors, **about):
        super().__init__(**about)
        self.visitors = visitors

    async def process_api(self, block_fn, inputs, *arguments, request=None, **named):
        """As Gradio's. Raises gr.Error: a client calls what only the server may, or names a file
        that isn't the page's.
        """
        is_unload = any(event == "unload" for _, event in block_fn.targets)
        # Gradio calls it at the end of a heartbeat, which is a GET. What a client calls is a POST.
        if is_unload and getattr(request, "method", None) != "GET":
            raise refused("That can't be called")
        event = named.get("event_data")
        for path in _paths([inputs, event and event._data]):
            if not self.visitors.is_ours(path):
                raise refused("That file isn't here, or not any more: upload it again")
        return await super().process_api(block_fn, inputs, *arguments, request=request, **named)

    async def preprocess_data(self, block_fn, inputs, *arguments, **named):
        """As Gradio's. Raises gr.Error: a value is none that the page sends."""
        try:
            return await super().preprocess_data(block_fn, inputs, *arguments, **named)
        except gr.Error as error:
            raise refused(error.message[:MAX_WORDS]) from error
        except Exception as error:  # whatever it is, it comes from what the client sent
            raise refused("The page doesn't send that") from error


def _paths(values):
    """All that is called a path in nested values."""
    waiting = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "path" in value:
                yield value["path"]
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
