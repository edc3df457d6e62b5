from xml.etree import ElementTree

import numpy as np
import pytest

from srez.quality.charts import HEIGHT, MAX_POINTS, WIDTH, histogram, line_chart
from srez.quality.report import template

SVG = "{http://www.w3.org/2000/svg}"


def _drawn(chart):
    return ElementTree.fromstring(template("chart.svg").render(chart=chart).strip())


def _points(chart, tag):
    shapes = _drawn(chart).findall(f"{SVG}{tag}")
    return [
        np.array([point.split(",") for point in shape.get("points").split()], float)
        for shape in shapes
    ]


def test_a_line_goes_from_left_to_right_and_up_with_the_values_and_keeps_off_the_frame():
    chart = line_chart("Losses", "", {"rises": ([10, 20, 30], [1.0, 2.0, 4.0])})
    (points,) = _points(chart, "polyline")
    assert (np.diff(points[:, 0]) > 0).all()
    assert (np.diff(points[:, 1]) < 0).all()  # SVG's y points down
    left, top, right, bottom = chart["plot"]
    assert 0 < left < right < WIDTH and 0 < top < bottom < HEIGHT
    assert (points.min(axis=0) > (left + 5, top + 4)).all()
    assert (points.max(axis=0) < (right - 5, bottom - 4)).all()


def test_a_long_line_is_thinned_to_what_can_be_seen():
    chart = line_chart("Losses", "", {"long": (range(100000), np.zeros(100000))})
    assert len(_points(chart, "polyline")[0]) == MAX_POINTS


def test_a_single_point_is_drawn_as_a_point_and_a_series_without_any_is_left_out():
    series = {"one": ([1000], [24.0]), "line": ([500, 1500], [20.0, 30.0]), "none": ([], [])}
    chart = line_chart("Losses", "", series)
    [circle] = _drawn(chart).findall(f"{SVG}circle")
    left, top, right, bottom = chart["plot"]
    at = float(circle.get("cx")), float(circle.get("cy"))
    assert at == pytest.approx(((left + right) / 2, top + 0.6 * (bottom - top)), abs=5)
    assert len(_points(chart, "polyline")) == 1


def test_a_histogram_stands_on_the_axis_and_is_highest_where_the_values_are():
    chart = histogram("PSNR", "dB", {"ours": np.array([1.0, 5.0, 5.1, 9.0])})
    (points,) = _points(chart, "polygon")
    assert points[:, 1].max() == pytest.approx(chart["plot"][3], abs=0.1)
    top = points[points[:, 1].argmin(), 0]
    assert abs(top - points[:, 0].mean()) < 20


@pytest.mark.parametrize("values", [[3.0], [3.0, 3.0], [1e-5, 2e-5], [-1e6, 1e6], [100.0] * 5])
def test_any_range_gives_a_chart_with_a_few_ticks(values):
    chart = histogram("any <thing>", "dB", {"ours": np.array(values)})
    texts = [text.text for text in _drawn(chart).findall(f"{SVG}text")]
    assert 7 <= len(texts) <= 26
    assert texts[0] == "any <thing>"


def test_there_are_no_halves_of_batches_and_pictures():
    line = line_chart("PSNR", "dB", {"srez": ([72], [24.8]), "bicubic": ([72], [25.5])})
    assert [value for _, value in line["x_ticks"]] == [72]
    bars = histogram("PSNR", "dB", {"srez": np.array([1.0, 5.0, 5.1, 9.0])})
    assert [value for _, value in bars["y_ticks"]] == [0, 1, 2]
