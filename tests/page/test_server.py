"""The page's server: what the environment says of other programs, and a proxy in front of it."""

import contextlib
import http.client
import http.server
import os
import subprocess
import sys
import threading
import urllib.request

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.conftest import ROOT, free_port, serving

# In a process of its own: Gradio reads them when it is imported.
SETTLED = """import os, srez.page, gradio, httpx, huggingface_hub.constants as hub
from gradio import analytics, http_server
with gradio.Blocks() as demo:
    pass
print(demo.root_path, http_server.INITIAL_PORT_VALUE, http_server.LOCALHOST_NAME)
print(demo.allowed_paths, analytics.analytics_enabled(), demo.dev_mode, hub.HF_HUB_OFFLINE)
print(httpx.Client()._mounts, [name for name in os.environ if name.startswith("GRADIO_")])"""
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
# What Chromium asks for at the root of any server; it does without.
BY_ITSELF = {"/favicon.ico", "/manifest.json"}


def test_gradio_sees_no_variable_that_is_meant_for_others():
    process = subprocess.run(
        [sys.executable, "-c", SETTLED],
        env=os.environ | HOSTILE | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines() == [
        " 7860 127.0.0.1",
        "[] False False True",
        "{} ['GRADIO_ANALYTICS_ENABLED']",
    ]


class Refusing(http.server.BaseHTTPRequestHandler):
    """A proxy for the way out, which reaches nothing; what it is asked for goes to `strays`."""

    def do_GET(self):
        """Answers that there is no way."""
        self.server.strays.append(self.path)
        self.send_error(502)

    do_CONNECT = do_HEAD = do_POST = do_GET

    def log_message(self, *_):
        """Says nothing."""


class Reverse(Refusing):
    """Hands on what is below /srez to a port, as nginx does with the lines of docs/PAGE.md."""

    def do_GET(self):
        """Passes the answer on as it comes."""
        if not self.path.startswith("/srez/"):
            super().do_GET()
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

    do_HEAD = do_POST = do_GET


@contextlib.contextmanager
def proxying(handler, upstream=None):
    """Runs a proxy: (its address, what it was asked for in vain)."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as proxy:
        proxy.daemon_threads, proxy.upstream, proxy.strays = True, upstream, []
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_port}", proxy.strays
        proxy.shutdown()


@pytest.fixture
def below(tmp_path):
    """Serves the page below /srez of a reverse proxy: a function of options, for its address."""
    served = []
    with contextlib.ExitStack() as stack:
        address, asked = stack.enter_context(proxying(Refusing))
        names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY")
        environment = HOSTILE | dict.fromkeys(names, address)

        def start(*options):
            port = free_port()
            options += (f"--serve_port={port}", "--serve_path=/srez", "--weights=shipped")
            stack.enter_context(serving(tmp_path, *options, **environment))
            address, strays = stack.enter_context(proxying(Reverse, port))
            served.extend([asked, strays])
            return f"{address}/srez"

        yield start
        asked, strays = served
        assert not asked
        assert set(strays) <= BY_ITSELF


@pytest.mark.slow
def test_behind_a_reverse_proxy_all_of_the_page_works_whatever_proxies_lead_out(below, browser):
    def wait_for(name, attribute="src"):
        def find(browser):
            parts = browser.find_elements(By.CSS_SELECTOR, name)
            return parts and (parts[0].get_attribute(attribute) or None)

        return WebDriverWait(browser, 60).until(find)

    address = below()
    browser.get(f"{address}/")
    wait_for("#upload input[type=file]", "type")
    picture = ROOT / "docs" / "astronaut_small.png"
    browser.find_element(By.CSS_SELECTOR, "#upload input[type=file]").send_keys(str(picture))
    result = wait_for("#compare img")
    assert result.startswith(f"{address}/gradio_api/file=")
    with urllib.request.urlopen(result) as answer:
        assert answer.read().startswith(b"\x89PNG")
    buttons = browser.find_elements(By.CSS_SELECTOR, "button[role=tab]")
    next(button for button in buttons if button.text == "Draw").click()
    assert wait_for("#draw .face").startswith("data:image/png")


@pytest.mark.slow
def test_there_the_password_lets_in_and_https_stays_https(below):
    address = below("--serve_password=mellon")
    cookies = urllib.request.HTTPCookieProcessor()
    browser = urllib.request.build_opener(cookies)
    browser.open(f"{address}/login", b"username=me&password=mellon").close()
    headers = {"Host": "example.org", "X-Forwarded-Proto": "https"}
    with browser.open(urllib.request.Request(f"{address}/", headers=headers)) as answer:
        assert b'"root":"https://example.org/srez"' in answer.read()
    with browser.open(f"{address}/config") as answer:
        assert b'"components"' in answer.read()
