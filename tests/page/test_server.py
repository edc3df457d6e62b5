"""The page's server: what the environment says of other programs, and a proxy in front of it."""

import contextlib
import http.client
import http.server
import os
import re
import subprocess
import sys
import threading
import urllib.request

import gradio_client
import pytest

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
    "SSL_CERT_FILE": "/nowhere",
    "http_proxy": "nonsense://x",
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "ALL_PROXY": "socks5://127.0.0.1:1",
    "no_proxy": "example.org",
}


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


class Proxy(http.server.BaseHTTPRequestHandler):
    """Hands on what is below /srez, as nginx does with the lines of docs/PAGE.md."""

    def do_GET(self):
        """Passes the answer on as it comes."""
        if not self.path.startswith("/srez/"):
            self.server.strays.append(self.path)
            return self.send_error(404)
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
            while data := answer.read1(65536):
                self.wfile.write(data)

    do_HEAD = do_POST = do_GET

    def log_message(self, *_):
        """Says nothing."""


@contextlib.contextmanager
def proxying(port):
    """Runs the proxy in front of a port: gives it."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        proxy.daemon_threads, proxy.upstream, proxy.strays = True, port, []
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy
        proxy.shutdown()


class Refusing(Proxy):
    """A proxy for the way out, which reaches nothing."""

    def do_GET(self):
        """Answers that there is no way."""
        self.server.strays.append(self.path)
        self.send_error(502)

    do_CONNECT = do_HEAD = do_POST = do_GET


@pytest.mark.slow
def test_below_a_path_of_a_reverse_proxy_the_page_works_whatever_proxies_lead_out(tmp_path):
    port = free_port()
    arguments = (f"--serve_port={port}", "--weights=shipped", "--serve_path=/srez")
    arguments += ("--serve_password=mellon",)
    with contextlib.ExitStack() as stack:
        refusing = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing))
        refusing.strays = []
        threading.Thread(target=refusing.serve_forever, daemon=True).start()
        way_out = f"http://127.0.0.1:{refusing.server_port}"
        names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy")
        environment = HOSTILE | dict.fromkeys(names, way_out)
        stack.enter_context(serving(tmp_path, *arguments, **environment))
        proxy = stack.enter_context(proxying(port))
        address = f"http://127.0.0.1:{proxy.server_port}/srez/"
        client = gradio_client.Client(
            address, auth=("me", "mellon"), verbose=False, download_files=tmp_path / "got"
        )
        client.predict(
            gradio_client.handle_file(ROOT / "docs" / "astronaut_small.png"), api_name="/look"
        )
        words, *_, files, _ = client.predict(1, 1.0, api_name="/sharpen")
        assert "are invented" in words and os.path.getsize(files[0]) > 1000
        assert refusing.strays == proxy.strays == []
        refusing.shutdown()


@pytest.mark.slow
def test_without_a_password_a_browser_finds_all_of_the_page_below_the_path(tmp_path):
    port = free_port()
    with serving(tmp_path, f"--serve_port={port}", "--serve_path=/srez"), proxying(port) as proxy:
        address = f"http://127.0.0.1:{proxy.server_port}/srez/"
        with urllib.request.urlopen(address) as answer:
            page = answer.read().decode()
        assert f'"root":"{address[:-1]}"' in page.replace(" ", "")
        found = set(re.findall(r'(?:src|href)="([^"#]+\.(?:js|css))"', page))
        assert found
        for each in found:
            urllib.request.urlopen(urllib.request.urljoin(address, each)).close()
        assert not proxy.strays
        headers = {"Host": "example.org", "X-Forwarded-Proto": "https"}
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as answer:
            assert b'"root":"https://example.org/srez"' in answer.read()
