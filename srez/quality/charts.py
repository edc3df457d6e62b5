"""Charts for an HTML page: templates/chart.svg draws what is computed here."""

import math

import numpy as np

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 22, 34, 34  # pixels around the plot
ROOM = 0.04  # of the range, between the curves and the frame
BINS = 24
MAX_POINTS = 400  # of a line; more can't be seen


def line_chart(title, unit, series):
    """A chart of lines over the batches: `series` is a dict of (batches, values) by name."""
    lines = {name: _thinned(*points) for name, points in series.items() if len(points[0])}
    return _chart("line", (title, "batch", unit), lines)


def histogram(title, unit, series):
    """A chart of how often values occur: `series` is a dict of arrays by name."""
    values = np.concatenate(list(series.values()))
    edges = np.linspace(values.min(), max(values.max(), values.min() + 1e-6), BINS + 1)
    steps = {}
    for name, values in series.items():
        count = np.histogram(values, edges)[0]
        # A step at each edge, from the axis and back to it.
        steps[name] = edges.repeat(2), np.concatenate([[0], count.repeat(2), [0]])
    return _chart("area", (title, unit, "pictures"), steps)


def _chart(kind, titles, lines):
    """What the template needs: all places in pixels. `lines` are (xs, ys) by name."""
    xs, ys = (np.concatenate([line[axis] for line in lines.values()]) for axis in (0, 1))
    x_range, y_range = _range(xs), _range(ys, from_0=kind == "area")

    def pixels(x, y):
        across = (np.asarray(x) - x_range[0]) / (x_range[1] - x_range[0])
        up = (np.asarray(y) - y_range[0]) / (y_range[1] - y_range[0])
        width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return LEFT + width * across, HEIGHT - BOTTOM - height * up

    return {
        "kind": kind,
        "titles": titles,
        "size": (WIDTH, HEIGHT),
        "plot": (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
        "x_ticks": [
            (pixels(value, 0)[0], value) for value in _ticks(*x_range, whole=kind == "line")
        ],
        "y_ticks": [
            (pixels(0, value)[1], value) for value in _ticks(*y_range, whole=kind == "area")
        ],
        "lines": {name: list(zip(*pixels(*line), strict=True)) for name, line in lines.items()},
    }


def _range(values, from_0=False):
    """From the least to the largest value, or around it if there is one only, and some room.

    Without the room a curve would lie on the frame. What starts `from_0` stands on it.
    """
    low, high = values.min(), values.max()
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    room = ROOM * (high - low)
    return low if from_0 else low - room, high + room


def _ticks(low, high, whole):
    """Round numbers in the range, four to nine; fewer of `whole` ones, batches or pictures."""
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step = max(step, 1) if whole else step
    while (high - low) / step > 8:
        step *= 2 if (high - low) / step <= 16 else 5
    first = math.ceil(low / step)
    return [round(index * step, 10) for index in range(first, math.floor(high / step) + 1)]


def _thinned(batches, values):
    """Means over equal stretches, so that no line has more than MAX_POINTS points."""
    parts = min(len(batches), MAX_POINTS)
    return [
        np.array([part.mean() for part in np.array_split(np.asarray(axis, float), parts)])
        for axis in (batches, values)
    ]
