"""The page attacked over HTTP: whatever is sent, only the server's own folder changes."""

import contextlib
import http.client
import io
import json
import os
import re
import time
import uuid
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
from tests.conftest import ROOT, free_port
from tests.odd_files import jpeg, png

pytestmark = pytest.mark.slow
PASSWORD = "mellon"
AT_ONCE = 32  # calls: more than 64 may not wait
PATIENCE = 60  # seconds, on a busy machine
FILE = {"_type": "gradio.FileData"}
ELSEWHERE = (
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"},
    {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
)


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

    def answers(self, session, count):
        """What the queue answers to so many calls: [(whether it went well, output)]."""
        found = []
        if not count:
            return found
        with self.http.stream("GET", f"/gradio_api/queue/data?session_hash={session}") as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if message.get("msg") == "process_completed":
                    found.append((message["success"], message["output"]))
                if len(found) == count:
                    break
        return found

    def ask(self, calls, session):
        """What is answered to calls, pairs of a function's number and what its body has."""
        answers = []
        for at in range(0, len(calls), AT_ONCE):
            sent = [
                self.join(number, session=session, **body) for number, body in calls[at:][:AT_ONCE]
            ]
            answers += self.answers(session, sum(each.status_code == 200 for each in sent))
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


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    """A folder for the server's, with a canary in it, and no network but stubs."""
    root = tmp_path_factory.mktemp("attacked")
    (root / "canary").mkdir()
    (root / "canary" / "feather.png").write_bytes(jpeg())
    (root / "run").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(root))
        patch.setattr("srez.photo.faces.find_faces", lambda _: np.array([eyes_of_box(10, 5, 20)]))
        patch.setattr("srez.photo.tiles.as_graph", lambda network: network)
        patch.chdir(root / "run")
        yield root


@pytest.fixture(scope="module", params=[None, PASSWORD], ids=["open", "password"])
def attacked(stubs, request):
    with temporary_folder() as folder:
        attacked = Attacked(stubs, folder, request.param)
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
    status, _ = _raw(attacked, "GET", f"/gradio_api/heartbeat/{session}")
    assert status in (400, 404)


def _raw(attacked, method, path):
    """(status, body) of a request whose path is sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", attacked.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        cookies = "; ".join(f"{name}={value}" for name, value in attacked.http.cookies.items())
        connection.request(method, path, headers={"cookie": cookies})
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_the_end_of_a_session_cant_be_called(attacked):
    session = _session()
    attacked.looked(session)
    is_well, output = attacked.call("leave", [], session)
    assert not is_well and output["error"] == "That can't be called"
    assert attacked.page.visitors.is_here(session)
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
    _until(lambda: not folders[0].exists())
    assert folders[1].is_dir() and len(list(folders[1].iterdir())) == 1


def test_an_honest_visitor_still_gets_his_results(attacked):
    session = _session()
    attacked.looked(session)
    is_well, output = attacked.call("sharpen", [None, 1, 1.0], session)
    assert is_well
    words, slider, *_ = output["data"]
    assert words.startswith("astronaut") or "face" in words
    for picture in slider:
        assert attacked.http.get(picture["url"]).headers["content-type"] == "image/png"
    [path] = attacked.upload(jpeg(), "a.jpg").json()
    is_well, output = attacked.call("sharpen_all", [[{"path": path, "meta": FILE}]], session)
    assert is_well and output["data"][0].startswith("1 result made.")
    body = {"data": [0], "session_hash": session, "fn_index": 0}
    example = attacked.http.post("/gradio_api/run/predict", json=body).json()["data"][0]
    is_well, output = attacked.call("look", [example["value"]], session)
    assert is_well, output


def test_only_files_of_the_servers_folder_are_served(attacked):
    canary = attacked.root / "canary" / "feather.png"
    link = attacked.folder / "link.png"
    link.symlink_to(canary)
    cached = attacked.root / "run" / ".gradio" / "cached_examples"
    for path in (canary, link, cached, "/etc/passwd", f"{attacked.folder}/../canary/feather.png"):
        assert attacked.http.get(f"/gradio_api/file={path}").status_code == 403
    link.unlink()
    for url in ("http://127.0.0.1:1/", "https://huggingface.co/robots.txt", "file:///etc/passwd"):
        assert attacked.http.get(f"/gradio_api/file={url}").status_code == 403


def test_what_gradio_offers_beyond_the_page_is_closed(attacked):
    paths = [re.sub(r"\{.*?\}", "x", path) for path in attacked.demo.app.openapi()["paths"]]
    closed = [path for path in paths if not OPEN.fullmatch(path)]
    assert len(closed) > 30
    for path in closed:
        for method in ("GET", "POST", "HEAD"):
            assert attacked.http.request(method, path, json={}).status_code == 404, path


def test_without_the_password_only_the_login_is_there(attacked):
    if not attacked.demo.app.auth:
        pytest.skip("no password")  # the page is attacked with one and without
    with httpx.Client(base_url=attacked.http.base_url, trust_env=False) as stranger:
        for path in ("config", "gradio_api/info", "gradio_api/heartbeat/abc"):
            assert stranger.get(f"/{path}").status_code == 401
        file = f"gradio_api/file={attacked.folder}/drawn.png"
        for path in (file, "gradio_api/queue/data?session_hash=abc", "gradio_api/upload_progress"):
            assert stranger.get(f"/{path}").status_code == 401
        for path in ("queue/join", "cancel", "component_server", "upload", "run/predict"):
            body = {"data": [], "session_hash": "abc", "fn_index": 0, "event_id": "x"}
            body |= {"component_id": min(attacked.demo.blocks), "fn_name": "paint"}
            answer = stranger.post(f"/gradio_api/{path}", json=body)
            assert answer.status_code == 401, (path, answer.text)
        assert stranger.post("/gradio_api/upload", files={"files": b"x"}).status_code == 401
        assert "abc" not in attacked.demo.app.state_holder


@pytest.mark.parametrize("headers", ELSEWHERE, ids=str)
def test_another_sites_page_can_do_nothing(attacked, headers):
    session = _session()
    body = {"data": [None], "session_hash": session, "fn_index": 1, "fn_name": "paint"}
    for path in ("queue/join", "component_server", "cancel", "upload", "run/predict"):
        for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
            answer = attacked.http.post(
                f"/gradio_api/{path}",
                content=json.dumps(body),
                headers=headers | {"content-type": kind},
            )
            assert answer.status_code == 403
    for path in (f"heartbeat/{session}", f"file={attacked.folder}/drawn.png"):
        assert attacked.http.get(f"/gradio_api/{path}", headers=headers).status_code == 403
    assert session not in attacked.demo.app.state_holder


def test_only_what_the_page_paints_is_painted(attacked):
    session, painted = _session(), 0
    for block in attacked.demo.blocks:
        for name in ("paint", "preprocess", "postprocess", "__init__", "get_config", "_id", ""):
            for data in ("80" * 768, None, 5, "zz", [], {"a": 1}, "80" * 100_000):
                body = {"component_id": block, "fn_name": name, "session_hash": session}
                if name != "paint" and data is not None:
                    continue
                answer = attacked.http.post(
                    "/gradio_api/component_server", json=body | {"data": data}
                )
                painted += "image/png" in answer.text
                assert answer.status_code == 404 or answer.json() == "" or painted
    assert painted == 1


def test_no_upload_is_too_much_for_the_disk(attacked, monkeypatch):
    monkeypatch.setattr(visitors, "MAX_UPLOADED", 2**40)
    room = visitors.size_of(attacked.folder) + 3 * visitors.LEAST
    monkeypatch.setattr(visitors, "MAX_OF_ALL", room)
    assert attacked.upload(os.urandom(100)).status_code == 200
    answer = attacked.upload(os.urandom(3 * visitors.LEAST))
    assert answer.status_code == 413
    assert answer.text == "The page's disk is full: try again later"
    monkeypatch.setattr(visitors, "MAX_OF_ALL", 2**40)
    monkeypatch.setattr(visitors, "MAX_UPLOADED", 2**20)
    answers = {attacked.upload(os.urandom(2**18)).status_code for _ in range(6)}
    assert 413 in answers
    assert "in an hour from you: try again later" in attacked.upload(os.urandom(2**20)).text
    assert attacked.page.visitors._arriving == 0


def test_no_results_are_too_many_for_the_disk(attacked, monkeypatch):
    session = _session()
    attacked.looked(session)
    monkeypatch.setattr(visitors, "MAX_OF_ONE", visitors.LEAST)
    for name, data in (("sharpen", [None, 1, 1.0]), ("put_back", [None, 1, 1.0])):
        is_well, output = attacked.call(name, data, session)
        assert not is_well and "load the page again to remove them" in output["error"]
    assert attacked.call("sharpen", [None, None, 1.0], _session())[0]


def test_an_upload_without_a_length_and_a_call_without_an_end_are_refused(attacked):
    def endless():
        for _ in range(MAX_BODY // 2**16 + 2):
            yield b" " * 2**16

    form = {"content-type": "multipart/form-data; boundary=x"}
    answer = attacked.http.post("/gradio_api/upload", content=endless(), headers=form)
    assert answer.status_code == 411
    answer = attacked.http.post("/gradio_api/queue/join", content=endless())
    assert answer.status_code == 413
    for body in (b"", b"[" * 100_000, b"no JSON", b"[1]", b"\xff\xfe", b'{"a": '):
        assert attacked.http.post("/gradio_api/queue/join", content=body).status_code == 400


def test_an_upload_that_is_broken_off_is_no_bug_and_counts_no_longer(attacked):
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    connection = http.client.HTTPConnection("127.0.0.1", attacked.port, timeout=PATIENCE)
    connection.putrequest("POST", "/gradio_api/upload")
    cookies = "; ".join(f"{name}={value}" for name, value in attacked.http.cookies.items())
    for name, value in (
        ("content-length", 10**6),
        ("content-type", "multipart/form-data; boundary=x"),
        ("cookie", cookies),
    ):
        connection.putheader(name, str(value))
    connection.endheaders(head + b"x" * 10**5)
    table = attacked.page.visitors
    _until(lambda: table._arriving == 10**6 and list(attacked.folder.glob("tmp*")))
    connection.close()
    _until(lambda: table._arriving == 0)


def _until(what):
    last = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < last
        time.sleep(0.05)


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
    files = []
    for name, data in bombs.items():
        [path] = attacked.upload(io.BytesIO(data), name).json()
        files.append({"path": path, "meta": FILE})
        is_well, output = attacked.call("look", [files[-1]], session)
        assert not is_well and output["error"].startswith(f"{name}: can't be read as a picture")
    is_well, output = attacked.call("sharpen_all", [files], session)
    assert is_well and output["data"][0].startswith("0 results made.")
