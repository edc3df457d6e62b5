"""The tab in which a face is painted, pixel by pixel, and a network follows."""

import json
import math
import threading

import gradio as gr
import numpy as np

from srez.drawn.faces import draw_face
from srez.page.server import asset
from srez.pictures.geometry import celeba_box
from srez.pictures.image import data_url, to_uint8

SIDES = (16, 32)  # of the grids to paint in
WAITING = 16  # strokes; each holds one of Gradio's 40 threads, and further ones get no answer
SAMPLES = (12, 2, 11, 17, 13, 14)  # numbers of drawn faces to start from, of different looks


class Drawing:
    """The grid, the palette and the network's face.

    `networks`, a function, waits for the run.weights.Networks and gives them.
    """

    def __init__(self, networks):
        self._networks = networks
        self._graphs = {}
        self._places = threading.BoundedSemaphore(WAITING)

    def build(self):
        """Adds the tab's component to the page that is being built."""

        def paint(pixels):  # Gradio marks it, which it can't do to a method
            return self.paint(pixels)

        gr.HTML(
            html_template=asset("draw.html"),
            css_template=asset("draw.css"),
            js_on_load=asset("draw.js"),
            server_functions=[paint],
            starts=json.dumps(_starts()),
            elem_id="draw",
        )

    def warm_up(self):
        """Makes the first stroke as fast as the others."""
        for side in SIDES:
            self.paint("80" * (3 * side**2))

    def paint(self, pixels):
        """The network's face for painted pixels.

        `pixels` are the red, green and blue of each in hex, row by row, of a square in SIDES.
        Returns a PNG as a data URL, "" for anything else.
        """
        try:
            values = np.frombuffer(bytes.fromhex(pixels), np.uint8)
            side = math.isqrt(len(values) // 3)
            low_res = values.reshape(1, side, side, 3) / np.float32(255.0)
        except (TypeError, ValueError):
            return ""
        if side not in SIDES or not self._places.acquire(blocking=False):
            return ""
        try:
            networks = self._networks()
            with networks.lock:
                return data_url(to_uint8(np.asarray(self._graph(side, networks)(low_res))[0]))
        except gr.Error:  # they can't be loaded
            return ""
        finally:
            self._places.release()

    def _graph(self, side, networks):
        """The plausible network as a graph: it is twice as fast as Keras' call."""
        from srez.photo.tiles import as_graph  # here, for it needs TensorFlow, which comes later

        if side not in self._graphs:
            size = networks.size_for(side)
            self._graphs[side] = as_graph(networks.of(size, "on")[-1])
        return self._graphs[side]


def _starts():
    """A few faces to start from by the grid's side, pixels in hex as `paint` takes them."""
    boxes = [celeba_box(np.asarray(draw_face(1, number))) for number in SAMPLES]
    return {side: [_made_small(box, side) for box in boxes] for side in SIDES}


def _made_small(box, side):
    step = len(box) // side
    face = box.reshape(side, step, side, step, 3).mean(axis=(1, 3))
    return np.rint(face).astype(np.uint8).tobytes().hex()
