"""The page's server: what the environment says of other programs, and a proxy in front of it."""

import contextlib
import http.client
import http.server
import threading

import httpx
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.conftest import PATIENCE, ROOT, free_port, printed, serving, until

# In a process of its own: Gradio reads the environment when it is imported, and here all is.
BUILT = """import os, sys, srez.page.serve as serve, httpx, huggingface_hub.constants as hub
from gradio import analytics, http_server
from srez.options import Options
demo = serve.Page(Options(run="serve", weights="shipped"), os.environ["TMPDIR"]).build()
print(demo.root_path, http_server.INITIAL_PORT_VALUE, http_server.LOCALHOST_NAME)
print(demo.allowed_paths, analytics.analytics_enabled(), demo.dev_mode, hub.HF_HUB_OFFLINE)
print(httpx.Client()._mounts, [name for name in os.environ if name.startswith("GRADIO_")])
print(sorted({"tensorflow", "keras", "scipy", "srez_model"} & {*sys.modules}))"""
HOSTILE = {
    "GRADIO_ALLOWED_PATHS": "/",
    "GRADIO_ANALYTICS_ENABLED": "True",
    "GRADIO_MCP_SERVER": "True",
    "GRADIO_NODE_SERVER_PORT": "x",
    "GRADIO_NUM_WORKERS": "x",
    "GRADIO_ROOT_PATH": "/elsewhere",
    "GRADIO_RUN_HISTORY": "True",
    "GRADIO_SERVER_NAME": "192.0.2.1",
    "GRADIO_SERVER_PORT": "x",
    "GRADIO_SHARE": "True",
    "GRADIO_SSR_MODE": "True",
    "GRADIO_TEMP_DIR": "/nowhere",
    "GRADIO_WATCH_DIRS": "/tmp",
    "HF_HUB_DOWNLOAD_TIMEOUT": "x",
    "HF_HUB_OFFLINE": "0",
    "SSLKEYLOGFILE": "/nowhere/log",
    "SSL_CERT_FILE": "/nowhere",
    "http_proxy": "nonsense://x",
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "ALL_PROXY": "socks5://127.0.0.1:1",
    "no_proxy": "example.org",
}
LOG_IN = """fetch("login", {method: "POST",
  body: new URLSearchParams({username: "me", password: "mellon"})}).then(() => location.reload())"""


def test_gradio_sees_nothing_that_is_meant_for_others_and_the_page_is_built_without_tensorflow(
    tmp_path,
):
    assert printed(BUILT, TMPDIR=str(tmp_path), **HOSTILE).splitlines()[1:] == [
        " 7860 127.0.0.1",
        "[] False False True",
        "{} ['GRADIO_ANALYTICS_ENABLED']",
        "[]",
    ]


class Proxy(http.server.BaseHTTPRequestHandler):
    """Hands on what is below /srez to a port, as nginx does with the lines of docs/PAGE.md.

    All else goes to `strays`: all, if there is no port.
    """

    def do_GET(self):
        """Passes the answer on as it comes."""
        if not (self.server.upstream and self.path.startswith("/srez/")):
            self.server.strays.append(self.path)
            self.send_error(502)
            return
        path = self.path.removeprefix("/srez")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream)
        with contextlib.closing(upstream):
            upstream.request(self.command, path, body, dict(self.headers))
            answer = upstream.getresponse()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the browser has left
                while data := answer.read1(65536):
                    self.wfile.write(data)

    do_CONNECT = do_HEAD = do_POST = do_GET

    def log_message(self, *_):
        """Says nothing."""


@contextlib.contextmanager
def proxying(upstream=None):
    """Runs a proxy: (its address, what it was asked for in vain)."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        proxy.daemon_threads, proxy.upstream, proxy.strays = True, upstream, []
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_port}", proxy.strays
        proxy.shutdown()


@pytest.fixture(scope="module")
def below(tmp_path_factory):
    """The address of a page with a password, below /srez of a reverse proxy."""
    folder, port = tmp_path_factory.mktemp("below"), free_port()
    options = ["--serve_path=/srez", "--serve_host=0.0.0.0", f"--serve_port={port}"]
    options += ["--serve_password=mellon", "--weights=shipped"]
    with proxying() as (way_out, asked), proxying(port) as (address, strays):
        names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY")
        environment = HOSTILE | dict.fromkeys(names, way_out)
        with serving(folder, *options, **environment):
            yield f"{address}/srez"
    assert not asked
    # What Chromium asks for at the root of any server; it does without.
    assert set(strays) <= {"/favicon.ico", "/manifest.json"}


@pytest.mark.slow
def test_behind_a_reverse_proxy_all_of_the_page_works_whatever_proxies_lead_out(below, browser):
    def wait_for(name, attribute="src"):
        def find(browser):
            parts = browser.find_elements(By.CSS_SELECTOR, name)
            return parts and (parts[0].get_attribute(attribute) or None)

        return WebDriverWait(browser, PATIENCE).until(find)

    browser.get(f"{below}/")
    wait_for("input[type=password]", "type")
    browser.execute_script(LOG_IN)
    wait_for("#upload input[type=file]", "type")
    picture = ROOT / "docs" / "astronaut_small.png"
    browser.find_element(By.CSS_SELECTOR, "#upload input[type=file]").send_keys(str(picture))
    result = wait_for("#compare img")
    assert result.startswith(f"{below}/gradio_api/file=")
    until(lambda: int(wait_for("#compare img", "naturalWidth")) > 0)
    buttons = browser.find_elements(By.CSS_SELECTOR, "button[role=tab]")
    next(button for button in buttons if button.text == "Draw").click()
    assert wait_for("#draw .face").startswith("data:image/png")


@pytest.mark.slow
def test_there_the_password_lets_in_and_https_stays_https(below):
    with httpx.Client(base_url=below, trust_env=False) as client:
        client.post("/login", data={"username": "me", "password": "mellon"})
        headers = {"Host": "example.org", "X-Forwarded-Proto": "https"}
        assert '"root":"https://example.org/srez"' in client.get("/", headers=headers).text
        assert '"components"' in client.get("/config").text
