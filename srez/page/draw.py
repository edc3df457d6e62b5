"""The tab in which a face is painted, pixel by pixel, and a network follows."""

import base64
import io
import json
import math
import threading

import gradio as gr
import numpy as np
from PIL import Image

from srez.drawn.faces import draw_face
from srez.page.server import asset
from srez.photo.tiles import as_graph
from srez.pictures.image import celeba_box, to_uint8

SIDES = (16, 32)  # of the grids to paint in
WAITING = 16  # strokes; each holds one of Gradio's 40 threads, and further ones get no answer
SAMPLES = (12, 2, 11, 17, 13, 14)  # numbers of drawn faces to start from, of different looks


class Drawing:
    """The grid, the palette and the network's face; `networks` are run.weights.Networks."""

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
            starts=json.dumps({side: _starts(side) for side in SIDES}),
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
            with self._networks.lock:
                return _data_url(to_uint8(np.asarray(self._graph(side)(low_res))[0]))
        finally:
            self._places.release()

    def _graph(self, side):
        """The plausible network as a graph: it is twice as fast as Keras' call."""
        if side not in self._graphs:
            size = self._networks.size_for(side)
            self._graphs[side] = as_graph(self._networks.of(size, "on")[-1])
        return self._graphs[side]


def _starts(side):
    """A few faces to start from, pixels in hex as `paint` takes them."""
    boxes = [celeba_box(np.asarray(draw_face(1, number))) for number in SAMPLES]
    step = len(boxes[0]) // side
    faces = [box.reshape(side, step, side, step, 3).mean(axis=(1, 3)) for box in boxes]
    return [np.rint(face).astype(np.uint8).tobytes().hex() for face in faces]


def _data_url(image):
    data = io.BytesIO()
    Image.fromarray(image).save(data, format="png")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
