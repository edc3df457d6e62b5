"""The page attacked over HTTP: whatever is sent, only the server's own folder changes."""

import contextlib
import http.client
import json
import os
import re
import uuid
from itertools import islice, product
from pathlib import Path

import httpx
import numpy as np
import pytest

from srez.options import Options
from srez.page import visitors
from srez.page.gate import MAX_BODY, OPEN
from srez.page.serve import Page
from srez.page.server import launch, temporary_folder
from srez.photo.align import eyes_of_box
from tests.conftest import PATIENCE, ROOT, free_port, until
from tests.odd_files import jpeg, png

pytestmark = pytest.mark.slow
PASSWORD = "mellon"
AT_ONCE = 32  # calls: more than 64 may not wait
FILE = {"_type": "gradio.FileData"}


def _enlarged(low_res, training=False):
    """In place of a network: pixels four times as large."""
    return np.asarray(low_res).repeat(4, axis=1).repeat(4, axis=2)


class Attacked:
    """A served page in `folder`, its canary beside it, and a browser that has logged in."""

    def __init__(self, root, folder, password):
        self.root, self.folder = root, folder
        self.page = Page(Options(run="serve", weights="shipped"), folder)
        self.page.networks.of = lambda size, consistent: [_enlarged] * 3
        self.page.load()
        self.demo = self.page.build()
        self.port = free_port()
        address = launch(
            self.demo, Options(run="serve", serve_port=self.port, serve_password=password)
        )
        self.http = httpx.Client(base_url=address, trust_env=False, timeout=PATIENCE)
        if password:
            self.http.post("/login", data={"username": "me", "password": password})

    def end(self):
        self.http.close()
        self.demo.close()

    def number(self, name):
        """The number of a function of the page."""
        return next(at for at, fn in self.demo.fns.items() if fn.api_name == name)

    def join(self, number, data, session, **more):
        body = {"fn_index": number, "data": data, "session_hash": session} | more
        headers = {"content-type": "application/json"}
        return self.http.post("/gradio_api/queue/join", content=json.dumps(body), headers=headers)

    def ask(self, calls, session):
        """[(whether it went well, output)] of calls, pairs of a number and what the body has."""
        answers = []
        for at in range(0, len(calls), AT_ONCE):
            sent = [self.join(each, session=session, **body) for each, body in calls[at:][:AT_ONCE]]
            count = sum(each.status_code == 200 for each in sent)
            asked = f"/gradio_api/queue/data?session_hash={session}"
            with self.http.stream("GET", asked) as stream:
                lines = (line.removeprefix("data: ") for line in stream.iter_lines() if line)
                ends = (end for end in map(json.loads, lines) if end["msg"] == "process_completed")
                answers += [(end["success"], end["output"]) for end in islice(ends, count)]
        return answers

    def call(self, name, data, session):
        """(whether it went well, the output) of one call."""
        [answer] = self.ask([(self.number(name), {"data": data})], session)
        return answer

    def upload(self, data, name="face.png"):
        return self.http.post("/gradio_api/upload", files={"files": (name, data)})

    def looked(self, session):
        """Uploads a photo and has its faces found; returns its path."""
        [path] = self.upload((ROOT / "docs" / "astronaut_small.png").read_bytes()).json()
        is_well, output = self.call("look", [{"path": path, "meta": FILE}], session)
        assert is_well, output
        return path


@pytest.fixture(scope="module", params=[None, PASSWORD], ids=["open", "password"])
def attacked(tmp_path_factory, request):
    """The page attacked, without and with a password; no networks but stubs."""
    root = tmp_path_factory.mktemp("attacked")
    (root / "canary").mkdir()
    (root / "canary" / "feather.png").write_bytes(jpeg())
    (root / "run").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(root))
        patch.setattr("srez.photo.faces.find_faces", lambda _: np.array([eyes_of_box(10, 5, 20)]))
        patch.setattr("srez.photo.tiles.as_graph", lambda network: network)
        patch.chdir(root / "run")
        with temporary_folder() as folder:
            attacked = Attacked(root, folder, request.param)
            yield attacked
            attacked.end()


@pytest.fixture(autouse=True)
def canary(attacked, capfd):
    """Nothing but the server's folder changes, and the terminal tells of no bug."""
    before = _snapshot(attacked)
    yield
    assert _snapshot(attacked) == before
    assert "Traceback" not in "".join(capfd.readouterr())


def _snapshot(attacked):
    own = [attacked.folder / "lock", attacked.folder / "drawn.png"]
    paths = [path for path in attacked.root.rglob("*") if attacked.folder not in path.parents]
    return {path: path.read_bytes() if path.is_file() else None for path in (*paths, *own)}


def _session():
    return str(uuid.uuid4())


def _hostile(attacked):
    """Values that no page of ours sends."""
    canary = str(attacked.root / "canary")
    yield from (None, True, -1, 0, 0.5, 10**9, 1e308, float("nan"), float("inf"), "", "\0")
    yield from ("../../canary", canary, "x" * 100_000, [], [[1]], [None] * 1000, {}, {"a": 1})
    url = f"http://127.0.0.1:{attacked.port}/config"
    for path in (f"{canary}/feather.png", "../canary", "/etc/passwd", url, "", "\0", None, ["x"]):
        yield {"path": path, "meta": FILE}
    for path in (f"{canary}/feather.png", url, str(attacked.folder), f"{attacked.folder}/lock"):
        yield [{"path": path, "url": url, "orig_name": "../../x.png", "meta": FILE}]


def _fitting(block):
    """A value that a component may have."""
    return {"Slider": 1, "Radio": 1, "Checkbox": True, "Dataset": 0}.get(type(block).__name__)


def test_no_argument_of_any_function_leads_out_of_the_servers_folder(attacked):
    session, calls = _session(), []
    attacked.looked(session)
    for number, fn in attacked.demo.fns.items():
        for at in range(len(fn.inputs)):
            for value in _hostile(attacked):
                data = [*map(_fitting, fn.inputs)]
                data[at] = value
                calls.append((number, {"data": data}))
    _assert_told(attacked.ask(calls, session))


def test_no_call_of_another_shape_is_a_bug(attacked):
    session, calls = _session(), []
    attacked.looked(session)
    events = [{"index": value} for value in _hostile(attacked)]
    events += [{"index": [1, value]} for value in _hostile(attacked)]
    events += [None, [], "x", 5, {"a": 1}]
    for number, fn in attacked.demo.fns.items():
        usual = {"data": [*map(_fitting, fn.inputs)]}
        calls += [(number, {"data": []}), (number, {"data": [None] * 1000})]
        calls += [(number, usual | {"batched": True})]
        if fn.api_name == "choose":
            calls += [(number, usual | {"event_data": each, "trigger_id": 9}) for each in events]
    _assert_told(attacked.ask(calls, session))


def _assert_told(answers):
    """Asserts that what went wrong is told in a line."""
    told = {output["error"] for is_well, output in answers if not is_well}
    assert len(told) > 3
    for words in told:
        assert words and "\n" not in words and len(words) <= 200, words


NO_SESSIONS = ("/abs/x", "..", ".", "../../canary", "a/b", "a\0b", "", "x" * 65, 5, ["a"], {"a": 1})


def test_no_session_that_is_a_path_is_taken(attacked):
    for session in (*NO_SESSIONS, str(attacked.root / "canary")):
        for number in attacked.demo.fns:
            answer = attacked.join(number, [], session)
            assert answer.status_code == 400, (session, answer.text)
        body = {"session_hash": session, "component_id": 1, "fn_name": "paint", "data": ""}
        assert attacked.http.post("/gradio_api/component_server", json=body).status_code == 400
        body = {"session_hash": session, "fn_index": 1, "event_id": "x"}
        assert attacked.http.post("/gradio_api/cancel", json=body).status_code == 400
        if isinstance(session, str):
            asked = {"session_hash": session}
            assert attacked.http.get("/gradio_api/queue/data", params=asked).status_code == 400


@pytest.mark.parametrize("number", [10**9, -1, None, "0", [0], {}, 0.5, "../../x"])
def test_what_the_page_does_not_have_cant_be_called(attacked, number):
    body = {"fn_index": number, "component_id": number, "data": [], "session_hash": _session()}
    body |= {"fn_name": "paint", "event_id": "x"}
    for path in ("queue/join", "run/predict", "component_server", "cancel"):
        assert attacked.http.post(f"/gradio_api/{path}", json=body).status_code == 404


@pytest.mark.parametrize("session", ["..", ".", "%2e%2e", "..%2fcanary", "%2fetc", "a%00b", "%20"])
def test_no_heartbeat_of_a_path_is_taken(attacked, session):
    with _sent(attacked, "GET", f"/gradio_api/heartbeat/{session}") as connection:
        assert connection.getresponse().status in (400, 404)


@contextlib.contextmanager
def _sent(attacked, method, path, body=None, **headers):
    """The connection of a request whose path and length are sent as they are."""
    cookies = "; ".join(f"{name}={value}" for name, value in attacked.http.cookies.items())
    connection = http.client.HTTPConnection("127.0.0.1", attacked.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers | {"cookie": cookies})
        yield connection


def test_the_end_of_a_session_cant_be_called(attacked):
    session = _session()
    attacked.looked(session)
    call = attacked.number("leave"), {"data": []}
    answers = attacked.ask([call, (call[0], call[1] | {"batched": True})], session)
    assert [(is_well, output["error"]) for is_well, output in answers] == [
        (False, "That can't be called")
    ] * 2
    body = {"data": [], "session_hash": session, "fn_index": attacked.number("leave")}
    for name in ("run/leave", "api/leave", "call/leave", "call/v2/leave", "run/predict"):
        assert attacked.http.post(f"/gradio_api/{name}", json=body).status_code == 404
    assert attacked.page.visitors.is_here(session)


def test_what_was_made_goes_with_its_visitor_and_nobody_elses(attacked):
    sessions = [_session(), _session()]
    for session in sessions:
        attacked.looked(session)
    folders = [attacked.page.visitors._table[session] for session in sessions]
    assert all(re.fullmatch(r"[0-9a-f]{32}", folder.name) for folder in folders)
    with attacked.http.stream("GET", f"/gradio_api/heartbeat/{sessions[0]}") as beat:
        next(beat.iter_lines())
    until(lambda: not folders[0].exists())
    assert folders[1].is_dir() and len(list(folders[1].iterdir())) == 1


def test_only_files_of_the_servers_folder_are_served(attacked):
    own = attacked.http.get(f"/gradio_api/file={attacked.folder}/drawn.png")
    assert own.headers["content-type"] == "image/png"
    canary = attacked.root / "canary" / "feather.png"
    cached = attacked.root / "run" / ".gradio" / "cached_examples"
    urls = ("http://127.0.0.1:1/", "https://huggingface.co/robots.txt", "file:///etc/passwd")
    for path in (canary, cached, f"{attacked.folder}/../canary/feather.png", "/etc/passwd", *urls):
        assert attacked.http.get(f"/gradio_api/file={path}").status_code == 403


def test_what_gradio_offers_beyond_the_page_is_closed(attacked):
    paths = [re.sub(r"\{.*?\}", "x", path) for path in attacked.demo.app.openapi()["paths"]]
    closed = [path for path in paths if not OPEN.fullmatch(path)]
    assert len(closed) > 30
    for path in closed:
        for method in ("GET", "POST", "HEAD"):
            assert attacked.http.request(method, path, json={}).status_code == 404, path


@pytest.mark.parametrize("attacked", [PASSWORD], indirect=True)
def test_without_the_password_only_the_login_is_there(attacked):
    with httpx.Client(base_url=attacked.http.base_url, trust_env=False) as stranger:
        paths = (f"file={attacked.folder}/drawn.png", "info", "heartbeat/abc", "upload_progress")
        for path in (*paths, "queue/data?session_hash=abc"):
            assert stranger.get(f"/gradio_api/{path}").status_code == 401
        assert stranger.get("/config").status_code == 401
        answer = stranger.post("/login", data={"username": "me", "password": "friend"})
        assert answer.status_code == 400
        for path in ("queue/join", "cancel", "component_server", "upload", "run/predict"):
            body = {"data": [], "session_hash": "abc", "fn_index": 0, "event_id": "x"}
            body |= {"component_id": min(attacked.demo.blocks), "fn_name": "paint"}
            answer = stranger.post(f"/gradio_api/{path}", json=body)
            assert answer.status_code == 401, (path, answer.text)
        assert stranger.post("/gradio_api/upload", files={"files": b"x"}).status_code == 401
        assert "abc" not in attacked.demo.app.state_holder


def test_another_sites_page_can_do_nothing(attacked):
    session, elsewhere = _session(), {"origin": "http://evil.example"}
    body = {"data": [None], "session_hash": session, "fn_index": 1, "fn_name": "paint"}
    for path in ("queue/join", "component_server", "cancel", "upload", "run/predict"):
        for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
            answer = attacked.http.post(
                f"/gradio_api/{path}",
                content=json.dumps(body),
                headers=elsewhere | {"content-type": kind},
            )
            assert answer.status_code == 403
    for path in (f"heartbeat/{session}", f"file={attacked.folder}/drawn.png"):
        assert attacked.http.get(f"/gradio_api/{path}", headers=elsewhere).status_code == 403
    assert session not in attacked.demo.app.state_holder


NO_GRIDS = (None, 5, "", "zz", "00" * 3 * 8 * 8, "00" * 769, ["00"], [], {"a": 1}, "80" * 100_000)


def test_only_what_the_page_paints_is_painted(attacked):
    others = ("preprocess", "postprocess", "__init__", "get_config", "_id", "")
    session, painted = _session(), []
    for block, data in product(attacked.demo.blocks, ("80" * 768, *NO_GRIDS)):
        for name in ("paint", *(others if data is None else ())):
            body = {"component_id": block, "fn_name": name, "session_hash": session}
            answer = attacked.http.post("/gradio_api/component_server", json=body | {"data": data})
            if answer.status_code != 404 and answer.json() != "":
                painted.append((data, answer.json()[:15]))
    assert painted == [("80" * 768, "data:image/png;")]


def test_no_upload_is_too_much_for_the_disk(attacked, monkeypatch):
    room = visitors.size_of(attacked.folder) + 3 * visitors.LEAST
    monkeypatch.setattr(visitors, "MAX_OF_ALL", room)
    assert attacked.upload(os.urandom(100)).status_code == 200
    answer = attacked.upload(os.urandom(3 * visitors.LEAST))
    assert answer.status_code == 413
    assert answer.text == "The page's disk is full: try again later"
    until(lambda: attacked.page.visitors._arriving == 0)


def test_no_results_are_too_many_for_the_disk(attacked, monkeypatch):
    session = _session()
    attacked.looked(session)
    monkeypatch.setattr(visitors, "MAX_OF_ONE", visitors.LEAST)
    for name, data in (("sharpen", [None, 1, 1.0]), ("put_back", [None, 1, 1.0])):
        is_well, output = attacked.call(name, data, session)
        assert not is_well and "load the page again to remove them" in output["error"]
    assert attacked.call("sharpen", [None, None, 1.0], _session())[0]


def test_an_upload_without_a_length_and_a_call_without_an_end_are_refused(attacked):
    endless = [b" " * 2**16] * (MAX_BODY // 2**16 + 2)  # httpx tells no length of a list
    form = {"content-type": "multipart/form-data; boundary=x"}
    answer = attacked.http.post("/gradio_api/upload", content=endless, headers=form)
    assert answer.status_code == 411
    answer = attacked.http.post("/gradio_api/queue/join", content=endless)
    assert answer.status_code == 413
    for body in (b"", b"[" * 100_000, b"no JSON", b"[1]", b"\xff\xfe", b'{"a": '):
        assert attacked.http.post("/gradio_api/queue/join", content=body).status_code == 400


def test_an_upload_that_is_broken_off_is_no_bug_and_counts_no_longer(attacked):
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    headers = {"content-length": str(10**6), "content-type": "multipart/form-data; boundary=x"}
    table = attacked.page.visitors
    with _sent(attacked, "POST", "/gradio_api/upload", head + b"x" * 10**5, **headers):
        until(lambda: table._arriving == 10**6 and list(attacked.folder.glob("tmp*")))
    until(lambda: table._arriving == 0)


@pytest.mark.parametrize("name", ["..", ".", "a/../../b.png", "\\..\\x.png", "-rf.png", "é" * 300])
def test_an_uploads_name_stays_in_its_folder(attacked, name):
    answer = attacked.upload(os.urandom(10), name)
    assert answer.status_code in (200, 400)
    for path in answer.json() if answer.status_code == 200 else ():
        assert attacked.folder in Path(path).resolve().parents


def test_a_bomb_is_a_line_and_holds_nobody_up(attacked):
    rows = b"\0" * (1 + 3 * 12_000) * 100
    bombs = {
        "bomb.png": png(12_000, 12_000, 8, 2, rows),
        "zeros.png": png(60_000, 1_900, 8, 2, rows),
    }
    session = _session()
    [good] = attacked.upload(jpeg()).json()
    files = [{"path": good, "meta": FILE}]
    for name, data in bombs.items():
        [path] = attacked.upload(data, name).json()
        files.append({"path": path, "meta": FILE})
        is_well, output = attacked.call("look", [files[-1]], session)
        assert not is_well and output["error"].startswith(f"{name}: can't be read as a picture")
    is_well, output = attacked.call("sharpen_all", [files], session)
    assert is_well and output["data"][0].startswith("1 result made.")
