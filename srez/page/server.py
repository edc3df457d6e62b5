"""The page's server: closed to the outside, and nothing of it stays on the disk."""

import contextlib
import ipaddress
import os
import secrets
import shutil
import tempfile
from pathlib import Path

import gradio as gr

from srez.console import need_temporary
from srez.files import MAX_BYTES, locked, resource
from srez.page.gate import Gate
from srez.page.visitors import MAX_VISITORS

ASSETS = resource("page/assets")
TEMPORARY = "srez_page_"  # what a server's folder of temporary files begins with
MAX_WAITING = 64  # requests; further ones are refused


@contextlib.contextmanager
def temporary_folder():
    """Gives a folder for all temporary files, and removes it, and those of servers that died.

    Raises OSError: there is no place for it.
    """
    need_temporary()
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
    """Starts the server of a gate.Guarded in threads of its own; returns its address.

    Raises OSError: it can't listen at --serve_host and --serve_port.
    """
    if ":" in options.serve_host:  # Gradio can't
        raise OSError(f"--serve_host={options.serve_host}: give an IPv4 address, or a name")
    auth = None
    if options.serve_password:
        wanted = options.serve_password.encode()

        def auth(_, password):
            return secrets.compare_digest(password.encode(), wanted)

    try:
        demo.queue(max_size=MAX_WAITING, api_open=False).launch(
            server_name=options.serve_host,
            server_port=options.serve_port,
            auth=auth,
            auth_message="Any name, and the password.",
            root_path=options.serve_path or "",
            max_file_size=MAX_BYTES,
            state_session_capacity=MAX_VISITORS,
            app_kwargs={"middleware": [(Gate, (), {"visitors": demo.visitors})]},
            theme=gr.themes.Base(
                primary_hue="blue",
                font=gr.themes.Font("system-ui"),
                font_mono=gr.themes.Font("monospace"),
            ),
            head=f"<style>{asset('page.css')}</style><script>{asset('page.js')}</script>",
            footer_links=[],
            run_history=False,
            share=False,
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
            prevent_thread_lock=True,
            show_error=False,  # but of those that srez itself tells
            quiet=True,
        )
    except OSError as error:
        raise OSError(
            f"--serve_host={options.serve_host} --serve_port={options.serve_port}: "
            "can't listen there: give another port, or an address of this machine"
        ) from error
    host = "localhost" if options.serve_host == "0.0.0.0" else options.serve_host
    return f"http://{host}:{options.serve_port}"


def asset(name):
    """The text of a file of the page."""
    return (ASSETS / name).read_text(encoding="utf-8")


def is_local(host):
    """Whether an address is for this machine only."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
