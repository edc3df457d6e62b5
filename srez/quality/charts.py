"""Charts as SVG for an HTML page, whose style sheet gives the colours: .s0, .s1 and so on.

Text and axes take the page's own colour, so they can be read on light and dark ground.
"""

import html
import math

import numpy as np

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 22, 34, 34  # pixels around the plot
BINS = 24
MAX_POINTS = 400  # of a line; more can't be seen


def line_chart(title, unit, series):
    """A chart of lines over the batches: `series` is a dict of (batches, values) by name."""
    series = {name: _thinned(*points) for name, points in series.items() if len(points[0])}
    xs = np.concatenate([points[0] for points in series.values()])
    ys = np.concatenate([points[1] for points in series.values()])
    plot = _Plot(title, "batch", unit, (xs.min(), xs.max()), (ys.min(), ys.max()))
    for index, (name, (batches, values)) in enumerate(series.items()):
        points = " ".join(plot.point(x, y) for x, y in zip(batches, values, strict=True))
        plot.add(f'<polyline class="line s{index}" points="{points}"/>', name, index)
    return plot.svg()


def histogram(title, unit, series):
    """A chart of how often values occur: `series` is a dict of arrays by name."""
    values = np.concatenate(list(series.values()))
    edges = np.linspace(values.min(), max(values.max(), values.min() + 1e-6), BINS + 1)
    counts = {name: np.histogram(values, edges)[0] for name, values in series.items()}
    top = max(count.max() for count in counts.values())
    plot = _Plot(title, unit, "pictures", (edges[0], edges[-1]), (0, top))
    for index, (name, count) in enumerate(counts.items()):
        # A step at each edge, from the axis and back to it.
        steps = zip(edges.repeat(2), np.concatenate([[0], count.repeat(2), [0]]), strict=True)
        points = " ".join(plot.point(x, y) for x, y in steps)
        plot.add(f'<polygon class="area s{index}" points="{points}"/>', name, index)
    return plot.svg()


class _Plot:
    """The frame of a chart: axes, ticks, title, legend; and the map from values to pixels."""

    def __init__(self, title, x_title, y_title, x_range, y_range):
        self._x, self._y = _widened(*x_range), _widened(*y_range)
        self._parts = [
            f"<title>{html.escape(title)}</title>",
            f'<text class="title" x="{LEFT}" y="14">{html.escape(title)}</text>',
            f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 3}" text-anchor="end">{x_title}</text>',
            f'<text x="4" y="{TOP - 6}">{y_title}</text>',
        ]
        self._legend_at = LEFT
        for value in _ticks(*self._y):
            y = self._pixel_y(value)
            self._parts += [
                f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>',
                f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>',
            ]
        for value in _ticks(*self._x):
            x = self._pixel_x(value)
            y = HEIGHT - BOTTOM + 14
            self._parts.append(f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{value:g}</text>')

    def point(self, x, y):
        """The pixels of a value, as SVG writes them."""
        return f"{self._pixel_x(x):.1f},{self._pixel_y(y):.1f}"

    def add(self, shape, name, index):
        """Adds a series: its shape, and its name to the legend."""
        x = self._legend_at + 60
        self._legend_at = x + 7 * len(name) + 22 - 60
        self._parts += [
            shape,
            f'<rect class="s{index}" x="{x}" y="{TOP - 14}" width="10" height="10"/>',
            f'<text x="{x + 14}" y="{TOP - 5}">{html.escape(name)}</text>',
        ]

    def svg(self):
        """The whole chart."""
        size = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
        return f'<svg {size} role="img" xmlns="http://www.w3.org/2000/svg">{"".join(self._parts)}</svg>'

    def _pixel_x(self, value):
        low, high = self._x
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low)

    def _pixel_y(self, value):
        low, high = self._y
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)


def _widened(low, high):
    """The range, or one around it if it is a point."""
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low, high):
    """Round numbers in the range, four to nine."""
    step = 10 ** math.floor(math.log10((high - low) / 4))
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
