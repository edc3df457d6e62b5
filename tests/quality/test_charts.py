from xml.etree import ElementTree

import numpy as np
import pytest

from srez.quality.charts import HEIGHT, MAX_POINTS, WIDTH, histogram, line_chart

SVG = "{http://www.w3.org/2000/svg}"


def _points(svg, tag):
    shapes = ElementTree.fromstring(svg).findall(f"{SVG}{tag}")
    return [
        np.array([point.split(",") for point in shape.get("points").split()], float)
        for shape in shapes
    ]


def test_a_line_goes_from_left_to_right_and_up_with_the_values():
    svg = line_chart("Losses", "", {"rises": ([10, 20, 30], [1.0, 2.0, 4.0])})
    (points,) = _points(svg, "polyline")
    assert (np.diff(points[:, 0]) > 0).all()
    assert (np.diff(points[:, 1]) < 0).all()  # SVG's y points down
    assert points.min() > 0
    assert (points.max(axis=0) < (WIDTH, HEIGHT)).all()


def test_a_long_line_is_thinned_to_what_can_be_seen():
    svg = line_chart("Losses", "", {"long": (range(100000), np.zeros(100000))})
    assert len(_points(svg, "polyline")[0]) == MAX_POINTS


def test_a_series_without_points_is_left_out():
    svg = line_chart("Losses", "", {"none": ([], []), "one": ([1], [1.0])})
    assert len(_points(svg, "polyline")) == 1


def test_a_histogram_is_highest_where_the_values_are():
    svg = histogram("PSNR", "dB", {"ours": np.array([1.0, 5.0, 5.1, 9.0])})
    (points,) = _points(svg, "polygon")
    top = points[points[:, 1].argmin(), 0]
    assert abs(top - points[:, 0].mean()) < 20


@pytest.mark.parametrize("values", [[3.0], [3.0, 3.0], [1e-5, 2e-5], [-1e6, 1e6], [100.0] * 5])
def test_any_range_gives_a_chart_with_a_few_ticks(values):
    svg = histogram("any <thing>", "dB", {"ours": np.array(values)})
    texts = [text.text for text in ElementTree.fromstring(svg).findall(f"{SVG}text")]
    assert 8 <= len(texts) <= 26
    assert texts[0] == "any <thing>"
