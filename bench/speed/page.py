"""Measures the page: python3 -m bench.speed.page. Needs Debian's chromium and chromium-driver.

Starts it anew and loads it, paints in it, then uploads one picture after the other, some at once,
and bad ones. Prints seconds, milliseconds and the server's memory. Needs requirements/dev.txt.
"""

import concurrent.futures
import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gradio_client
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from bench.shared import ROOT

STARTS = 3
STROKES = 30
UPLOADS, AT_ONCE, BAD = 100, 20, 20
ADDRESS = "http://127.0.0.1:7873"
PICTURE = ROOT / "docs" / "astronaut_small.png"
ARROWS = (Keys.ARROW_UP, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_LEFT)


def main():
    """Measures and prints."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it reaches the servers in any case
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options, service) as browser:
        for start in range(1, STARTS + 1):
            imported = _seconds(
                subprocess.run, [sys.executable, "-c", "import tensorflow"], capture_output=True
            )
            began = time.monotonic()
            with _server() as process:
                browser.get(ADDRESS)
                _wait_for(browser, "#upload input[type=file]")
                painted = time.monotonic() - began
                print(f"first paint {painted:.1f} s, {painted / imported:.2f} x import tensorflow")
                if start == STARTS:
                    _paint(browser)
                    browser.get("about:blank")
                    _upload(process.pid)
                process.send_signal(signal.SIGINT)
                print(f"Ctrl-C to the end {_seconds(process.wait):.2f} s", flush=True)


@contextlib.contextmanager
def _server():
    """The server's process, once it listens; it never outlives the block."""
    command = [sys.executable, ROOT / "srez_main.py", "--run=serve", "--weights=shipped"]
    command.append(f"--serve_port={ADDRESS.rpartition(':')[2]}")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if not any(line.startswith("Open ") for line in process.stdout):
                raise OSError("the page did not start")
            yield process
        finally:
            process.kill()


def _paint(browser):
    tabs = browser.find_elements(By.CSS_SELECTOR, "button[role=tab]")
    next(tab for tab in tabs if tab.text == "Draw").click()
    [grid] = _wait_for(browser, "#draw .grid")
    for side in ("16", "32"):
        browser.find_element(By.CSS_SELECTOR, "#draw .side").send_keys(side)
        time.sleep(2)
        milliseconds = []
        for stroke in range(STROKES):
            grid.send_keys(ARROWS[stroke % len(ARROWS)] + " ")
            time.sleep(0.5)
            milliseconds.append(float(grid.get_attribute("data-milliseconds")))
        _print(f"a stroke of {side}x{side}, ms", milliseconds)


def _upload(pid):
    _sharpen(PICTURE)
    print(f"memory after the first upload {_resident(pid)} MB")
    _print("an upload, s", [_seconds(_sharpen, PICTURE) for _ in range(UPLOADS)])
    print(f"memory {_resident(pid)} MB")
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        seconds = _seconds(lambda: list(pool.map(_sharpen, [PICTURE] * AT_ONCE)))
    print(f"{AT_ONCE} at once {seconds:.1f} s; memory {_resident(pid)} MB")
    refused = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(BAD):
            path = Path(folder, f"bad{number}.png")
            path.write_bytes(os.urandom(100 * number))
            try:
                _sharpen(path)
            except gradio_client.exceptions.AppError as error:
                refused += path.name in str(error)
    print(f"{refused} of {BAD} bad files refused by name")
    print(f"the next upload {_seconds(_sharpen, PICTURE):.2f} s; memory {_resident(pid)} MB")


def _sharpen(path):
    client = gradio_client.Client(ADDRESS, verbose=False)
    client.predict(gradio_client.handle_file(path), api_name="/look")
    words, *_ = client.predict(1, 1.0, api_name="/sharpen")
    assert "are invented" in words, words


def _seconds(function, *arguments, **named):
    began = time.monotonic()
    function(*arguments, **named)
    return time.monotonic() - began


def _resident(pid):
    """Megabytes of a process in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1000


def _wait_for(browser, selector):
    while not (found := browser.find_elements(By.CSS_SELECTOR, selector)):
        time.sleep(0.05)
    return found


def _print(title, values):
    print(f"{title}: median {statistics.median(values):.3g}, at most {max(values):.3g}", flush=True)


if __name__ == "__main__":
    main()
