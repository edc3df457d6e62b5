"""A page in the browser: photos made sharp, faces painted, a training watched.

The page is there before the networks: TensorFlow takes seconds, and comes in a thread of its own.
So nothing here imports it, nor what needs it, before `Page.load`. Read from top to bottom: the
server -> the page and its tabs, a module each -> the networks.
"""

import concurrent.futures
import dataclasses
import os
import signal
import sys
import threading
import time

import gradio as gr

from srez.console import complain, load_tensorflow, say
from srez.page.draw import Drawing
from srez.page.gate import Guarded
from srez.page.many import Many
from srez.page.photo import Photo
from srez.page.server import asset, is_local, launch, temporary_folder
from srez.page.training import Training
from srez.page.visitors import KEPT_SECONDS, Visitors, refused
from srez.run.weights import Networks

SHOWN_SECONDS = 2  # that the first visitor has to see the page, before TensorFlow takes the machine
WAIT = "*Getting ready: the networks are being loaded. What you give is done as soon as they are.*"


def serve(options):
    """Serves the page until Ctrl-C. Nothing that was uploaded or made stays on the disk.

    Raises:
        OSError: no such address, the port is in use, or no weights.
    """
    ended = []  # the exit status, once a signal has come

    def end(number, _):
        ended.append(128 + number)
        sys.exit(ended[0])

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        _serve(options, ended)
    finally:
        if ended:  # threads of Gradio and TensorFlow would hold up the end by seconds
            os._exit(ended[0])


def _serve(options, ended):
    with temporary_folder() as folder:
        page = Page(options, folder)
        address = launch(page.build(), options)
        say(f"Open {address} in a browser. Ctrl-C ends it.")
        if not is_local(options.serve_host) and not options.serve_password:
            complain(
                f"--serve_host={options.serve_host}: all who reach this machine can use the page; "
                "give --serve_password"
            )
        threading.Thread(target=page.load, daemon=True).start()
        # An exception raised by the handler can be lost, in a library's callback: hence the list.
        while not ended:
            page.check()
            time.sleep(0.1)


class Page:
    """What the page does; its files go into `folder`, a folder in it for each visitor.

    Raises OSError: there are no such weights, or they are damaged.
    """

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.visitors = Visitors(folder)
        self.networks = Networks(options)
        self.networks.announce()
        self.networks.check()
        self.networks.invented = self.networks.has_ends
        self.asked = threading.Event()  # that somebody sees the page, or waits
        self._loaded = concurrent.futures.Future()
        has_ends = self.networks.has_ends
        self.photo = Photo(self.visitors, self.faces, options.fidelity, has_ends)
        self.many = Many(self.visitors, lambda: self.faces(options.fidelity))
        self.drawing = Drawing(self.ready)

    def build(self):
        """The gr.Blocks."""
        about = {"title": "srez", "analytics_enabled": False, "delete_cache": (60, KEPT_SECONDS)}
        tabs, waits = {"Photo": self.photo, "Many": self.many, "Draw": self.drawing}, []
        with Guarded(self.visitors, **about) as demo:
            gr.Markdown(f"{asset('intro.md')}\nUsing the {self.networks.words}.")
            for name, tab in tabs.items():
                with gr.Tab(name):
                    waits.append(gr.Markdown(WAIT, visible=False, elem_classes="wait"))
                    tab.build()
            with gr.Tab("Training") as tab:
                Training(self.options.train_dir, self.folder).build(tab)
            hidden = {"show_progress": "hidden", "api_visibility": "private"}
            demo.load(self.tell, None, waits, concurrency_limit=None, **hidden)
            demo.unload(self.leave)
        return demo

    def leave(self, request: gr.Request):
        """Removes what was made for a visitor who has left."""
        self.visitors.leave(request.session_hash)

    def tell(self):
        """Shows in the tabs that the networks are still loaded, as long as they are."""
        if not self._loaded.done():
            yield [gr.Markdown(visible=True)] * 3
            self.asked.set()
            concurrent.futures.wait([self._loaded])
        yield [gr.Markdown(visible=False)] * 3

    def load(self):
        """Loads the networks, for all who wait for them; `check` tells what went wrong."""
        self.asked.wait(SHOWN_SECONDS)
        try:
            load_tensorflow()
            from srez.photo import output  # noqa: F401, so that no visitor waits for it

            for size in self.networks.sizes:
                self.networks.of(size, "on")
            self._loaded.set_result(self.networks)
        except BaseException as error:
            self._loaded.set_exception(error)
        else:
            self.drawing.warm_up()

    def check(self):
        """Raises what went wrong while the networks were loaded."""
        if self._loaded.done():
            self._loaded.result()

    def ready(self):
        """Waits for the networks and gives them. Raises gr.Error: they can't be loaded."""
        self.asked.set()
        try:
            return self._loaded.result()
        except Exception as error:
            raise refused("The networks can't be loaded: the page ends") from error

    def faces(self, fidelity):
        """Waits for the networks, and gives what enlarges faces by them at a fidelity."""
        networks = self.ready()
        from srez.photo.faces import Faces

        options = dataclasses.replace(self.options, faces="all", face=0, fidelity=fidelity)
        return OneByOne(Faces(networks, options))


class OneByOne:
    """Enlarges the faces of one request by photo.faces.Faces, while all others wait."""

    reading = threading.Lock()  # a picture of 120 million pixels takes gigabytes

    def __init__(self, faces):
        self._faces = faces
        self.at_once = faces.at_once

    def read(self, job):
        """As that of Faces, one picture at a time."""
        with self.reading:
            return self._faces.read(job)

    def enlarge(self, items):
        """As that of Faces, a list, at the fidelity of its options."""
        networks = self._faces.networks
        with networks.lock:
            networks.fidelity = self._faces.options.fidelity
            return list(self._faces.enlarge(items))
