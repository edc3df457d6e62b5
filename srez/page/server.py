"""The page's server: closed to the outside, and nothing of it stays on the disk."""

import contextlib
import ipaddress
import os
import secrets
import shutil
import tempfile
from pathlib import Path

import gradio as gr

from srez.files import MAX_BYTES, locked, resource

ASSETS = resource("page/assets")
TEMPORARY = "srez_page_"  # what a server's folder of temporary files begins with
# Nothing that the page asks the browser for may come from elsewhere, whatever Gradio does.
POLICY = b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'"
KEPT_SECONDS = 3600  # that an upload or a result is kept, at most
MAX_WAITING = 64  # requests; further ones are refused


@contextlib.contextmanager
def temporary_folder():
    """Gives a folder for all temporary files, and removes it, and those of servers that died."""
    parent = Path(tempfile.gettempdir())
    for path in parent.glob(f"{TEMPORARY}*"):
        with contextlib.suppress(OSError), locked(path / "lock"):  # nobody holds it any more
            shutil.rmtree(path)
    with (
        tempfile.TemporaryDirectory(prefix=TEMPORARY, ignore_cleanup_errors=True) as folder,
        locked(Path(folder, "lock")),
    ):
        os.environ["GRADIO_TEMP_DIR"] = folder
        yield Path(folder)


def launch(demo, options):
    """Starts the server in threads of its own; returns its address for a browser.

    Raises OSError: it can't listen at --serve_host and --serve_port.
    """
    if ":" in options.serve_host:  # Gradio can't
        raise OSError(f"--serve_host={options.serve_host}: give an IPv4 address, or a name")
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    auth = None
    if options.serve_password:
        wanted = options.serve_password.encode()

        def auth(_, password):
            return secrets.compare_digest(password.encode(), wanted)

    try:
        demo.queue(max_size=MAX_WAITING).launch(
            server_name=options.serve_host,
            server_port=options.serve_port,
            auth=auth,
            auth_message="Any name, and the password.",
            max_file_size=MAX_BYTES,
            app_kwargs={"middleware": [(Closed, (), {})]},
            theme=gr.themes.Base(
                primary_hue="blue",
                font=gr.themes.Font("system-ui"),
                font_mono=gr.themes.Font("monospace"),
            ),
            head=f"<style>{asset('page.css')}</style><script>{asset('page.js')}</script>",
            footer_links=[],
            share=False,
            ssr_mode=False,
            enable_monitoring=False,
            prevent_thread_lock=True,
            show_error=True,
            quiet=True,
        )
    except OSError as error:
        raise OSError(
            f"--serve_host={options.serve_host} --serve_port={options.serve_port}: "
            "can't listen there: give another port, or an address of this machine"
        ) from error
    host = "localhost" if options.serve_host == "0.0.0.0" else options.serve_host
    return f"http://{host}:{options.serve_port}"


class Closed:
    """Tells the browser to load nothing from elsewhere (an ASGI middleware)."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def send_with_policy(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY)]
            await send(message)

        await self.app(scope, receive, send_with_policy)


def asset(name):
    """The text of a file of the page."""
    return (ASSETS / name).read_text(encoding="utf-8")


def is_local(host):
    """Whether an address is for this machine only."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
