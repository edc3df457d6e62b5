import pytest
import tensorflow as tf

import srez_feed
from srez_feed import BEHIND, Feed


@pytest.fixture(autouse=True)
def reachable(monkeypatch):
    monkeypatch.setattr(srez_feed, "unreachable", lambda address: "")


def _elements(*numbers, good=(True, True)):
    """As a service gives them, with numbers in the place of the boxes."""
    return [
        (tf.constant(number, tf.int64), (), tf.constant(good), tf.fill([2], number))
        for number in numbers
    ]


@pytest.fixture
def open_feed(monkeypatch):
    """A function from such elements to a Feed of them, ended when the test is over."""
    feeds = []

    def opened(elements, finish=lambda batch, drawn, good, boxes: boxes, start=0):
        monkeypatch.setattr(Feed, "_dataset", lambda self: elements)
        feeds.append(Feed("grpc://host:1", None, finish, start))
        return feeds[-1]

    yield opened
    for feed in feeds:
        feed.close()
        assert feed.ended


def test_batches_come_finished_in_the_order_of_the_service(open_feed):
    feed = open_feed(_elements(4, 3, 5), lambda batch, drawn, good, boxes: boxes + 10, start=3)
    assert [number for number, _ in (feed.get(5.0) for _ in range(3))] == [4, 3, 5]
    assert feed.get(0.0) is None
    assert not feed.error


def test_a_batch_that_comes_too_late_is_left_out(open_feed):
    feed = open_feed(_elements(1, 9, 2, 8), start=7)
    assert [feed.get(5.0)[0] for _ in range(2)] == [9, 8]


def test_a_feed_ends_when_all_its_batches_come_too_late(open_feed):
    feed = open_feed(_elements(*range(1000)), start=2000)
    feed.close()
    assert feed.ended
    feed = open_feed(_elements(*range(BEHIND - 1), 2000, *range(1000)), start=2000)
    assert feed.get(5.0)[0] == 2000
    assert feed.get(0.5) is None
    assert not feed.error


def test_what_goes_wrong_with_the_service_is_told_in_a_line(open_feed):
    def elements():
        yield from _elements(0)
        raise tf.errors.NotFoundError(None, None, "no such\njob")

    feed = open_feed(elements())
    assert feed.get(5.0)[0] == 0
    assert feed.get(0.5) is None
    assert feed.ended
    assert feed.error == "no such job"


def test_an_error_in_finishing_a_batch_is_raised_where_it_is_taken(open_feed):
    def finish(batch, drawn, good, boxes):
        raise OSError("pictures can't be read")

    feed = open_feed(_elements(0), finish)
    with pytest.raises(OSError, match="can't be read"):
        feed.get(5.0)


def test_a_service_that_can_t_be_reached_is_an_error(open_feed, monkeypatch):
    monkeypatch.setattr(srez_feed, "unreachable", lambda address: "Connection refused")
    feed = open_feed(_elements(0))
    feed.close()
    assert feed.error == "Connection refused"


def test_pictures_that_workers_can_t_make_are_spoken_of_once(open_feed, monkeypatch, capsys):
    monkeypatch.setattr(srez_feed, "MANY", 8)
    feed = open_feed(_elements(*range(9), good=(False, False)))
    assert [feed.get(5.0)[0] for _ in range(9)] == list(range(9))
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "8 of 8 pictures could not be made by the workers of --data_service=grpc://host" in said


def test_half_of_the_pictures_made_here_is_no_matter(open_feed, monkeypatch, capsys):
    monkeypatch.setattr(srez_feed, "MANY", 8)
    feed = open_feed(_elements(*range(9), good=(True, False)))
    assert [feed.get(5.0)[0] for _ in range(9)] == list(range(9))
    assert not capsys.readouterr().err
