import itertools
import queue
import shutil
import socket
import time

import numpy as np
import pytest
import tensorflow as tf

import srez_feed
import srez_input
import srez_service
from srez_bad import BadImages
from srez_service import check_service
from srez_source import open_source
from tests import odd_files
from tests.conftest import FACES, small_config
from tests.odd_files import encoded, face, zipped

SERVICE = tf.data.experimental.service


def _worker(dispatcher):
    address = dispatcher.target.removeprefix("grpc://")
    return SERVICE.WorkerServer(SERVICE.WorkerConfig(dispatcher_address=address))


@pytest.fixture(scope="module")
def dispatcher():
    return SERVICE.DispatchServer()


@pytest.fixture(scope="module")
def address(dispatcher):
    """Of a service with two workers."""
    workers = [_worker(dispatcher) for _ in range(2)]
    yield dispatcher.target
    del workers


@pytest.fixture
def nobody():
    """The address of a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"grpc://127.0.0.1:{server.getsockname()[1]}"


def _assert_same(batches, expected):
    for pair, wanted in zip(batches, expected, strict=True):
        for images, others in zip(pair, wanted, strict=True):
            np.testing.assert_array_equal(images, others)


def _batches(source, count, start_batch=0, sample_size=64, **options):
    batches = srez_input.iterate_batches(
        source, range(len(source.names)), 4, sample_size, 0, start_batch, **options
    )
    found = list(itertools.islice(batches, count))
    batches.close()
    return found


@pytest.fixture
def made_here(monkeypatch):
    """The list of the numbers of all batches that the trainer makes as a whole from now on."""
    numbers = []
    original = srez_input._BatchMaker.make
    monkeypatch.setattr(
        srez_input._BatchMaker,
        "make",
        lambda maker, batch: numbers.append(batch) or original(maker, batch),
    )
    return numbers


@pytest.mark.parametrize("start_batch", [0, 7])
def test_workers_make_the_same_batches_in_the_same_order(address, faces, start_batch, made_here):
    source = open_source(faces)
    found = _batches(source, 20, start_batch, data_service=address)
    _assert_same(found, _batches(source, 20, start_batch))
    assert not made_here


@pytest.mark.parametrize("compression", [0, 8])
def test_workers_read_zips(address, faces, tmp_path, compression, made_here):
    contents = [(path.name, path.read_bytes()) for path in sorted(faces.iterdir())]
    shards = [
        zipped(tmp_path / f"{start}.zip", contents[start : start + 12], compression)
        for start in (0, 12)
    ]
    source = open_source(",".join(map(str, shards)))
    _assert_same(_batches(source, 9, data_service=address), _batches(source, 9))
    assert not made_here


def test_odd_pictures_are_the_same_and_bad_ones_replaced_as_without_a_service(
    address, faces, tmp_path, made_here
):
    folder = shutil.copytree(faces, tmp_path / "faces")
    for name, content in (
        ("03", encoded(face(3), "PNG")),
        ("07", odd_files.turned(3)),
        ("11", odd_files.broken_inside()),
        ("13", (folder / "13.jpg").read_bytes()[:2000]),
    ):
        (folder / f"{name}.jpg").write_bytes(content)
    source = open_source(folder)
    ledgers = [BadImages(FACES, limit=1.0) for _ in range(2)]
    found = _batches(source, 12, data_service=address, bad_images=ledgers[0])
    # One by one: a whole graph rearranges the sums of a batch that it decodes with care.
    expected = _batches(source, 12, bad_images=ledgers[1])
    _assert_same(found, expected)
    assert not made_here
    assert ledgers[0].rows == ledgers[1].rows
    assert [name for name, _ in ledgers[0].rows] == ["11.jpg", "13.jpg"]


def test_sides_that_xla_can_t_shrink_to_are_the_same_but_for_rounding(address, faces):
    source = open_source(faces)
    found = _batches(source, 3, sample_size=72, data_service=address)
    for pair, expected in zip(found, _batches(source, 3, sample_size=72), strict=True):
        for images, others in zip(pair, expected, strict=True):
            np.testing.assert_allclose(images, others, atol=1e-6)


def test_all_pictures_that_workers_read_are_counted(address, faces):
    ledger = BadImages(FACES, limit=0.0)
    _batches(open_source(faces), FACES // 4, data_service=address, bad_images=ledger)
    ledger.note("invented.jpg", "to be judged")
    with pytest.raises(OSError, match=f"1 of the {FACES} pictures read"):
        ledger.check()


def test_a_dead_worker_s_batches_are_made_by_the_trainer(faces, monkeypatch):
    monkeypatch.setattr(srez_service, "LATE", 0.5)
    dispatcher = SERVICE.DispatchServer()
    workers = [_worker(dispatcher) for _ in range(2)]
    source = open_source(faces)
    data = source, range(FACES), 4, 64, 0
    batches = srez_input.iterate_batches(*data, data_service=dispatcher.target)
    found = [next(batches) for _ in range(8)]
    workers.pop()
    found += [next(batches) for _ in range(40)]
    batches.close()
    _assert_same(found, _batches(source, 48))


def test_a_service_that_dies_is_said_once_and_the_trainer_goes_on(faces, monkeypatch, capfd):
    monkeypatch.setattr(srez_service, "STALL", 0.5)
    dispatcher = SERVICE.DispatchServer()
    worker = _worker(dispatcher)
    source = open_source(faces)
    batches = srez_input.iterate_batches(
        source, range(FACES), 4, 64, 0, data_service=dispatcher.target
    )
    found = [next(batches) for _ in range(5)]
    address = dispatcher.target
    del worker
    found += [next(batches) for _ in range(25)]
    worker = _worker(dispatcher)  # and another one comes
    found += [next(batches) for _ in range(25)]
    batches.close()
    _assert_same(found, _batches(source, 55))
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("srez:")]
    assert said == [
        f"srez: --data_service={address} does not answer, so pictures are decoded here until it "
        "does"
    ]


def test_pictures_that_workers_can_t_make_are_spoken_of_once(address, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(srez_feed, "MANY", 8)
    for number in range(8):
        face(number).save(tmp_path / f"{number}.png")
    source = open_source(tmp_path)
    _assert_same(_batches(source, 6, data_service=address), _batches(source, 6))
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("srez:")]
    assert len(said) == 1
    assert (
        f"8 of 8 pictures could not be made by the workers of --data_service={address}" in said[0]
    )


def test_a_folder_of_bad_pictures_alone_ends_with_an_error(address, tmp_path):
    for number in range(8):
        (tmp_path / f"{number}.jpg").write_text("no picture")
    with pytest.raises(OSError, match="can't be read"):
        _batches(open_source(tmp_path), 1, data_service=address)


def test_a_service_that_answers_is_taken(address):
    check_service(address)


def test_an_address_where_nobody_listens_is_refused_in_seconds(nobody):
    started = time.monotonic()
    with pytest.raises(OSError, match=f"--data_service={nobody} can't be reached .*refused"):
        check_service(nobody, answer=1.0)
    assert time.monotonic() - started < 5


def test_a_name_of_no_host_is_refused():
    with pytest.raises(OSError, match="--data_service=grpc://nowhere.invalid:5000 can't be"):
        check_service("grpc://nowhere.invalid:5000", answer=0.1)


def test_a_port_that_is_too_large_is_refused():
    with pytest.raises(OSError, match="--data_service=grpc://localhost:70000 can't be reached"):
        check_service("grpc://localhost:70000", answer=0.1)


def test_a_server_of_another_kind_is_refused_in_seconds():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"grpc://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(OSError, match=f"{address} is no tf.data service"):
            check_service(address, answer=1.0)


def test_a_training_is_refused_where_there_is_no_service(here, faces, nobody, monkeypatch):
    import srez_train

    monkeypatch.setattr(srez_train, "check_service", lambda address: check_service(address, 0.1))
    with pytest.raises(OSError, match=f"--data_service={nobody}"):
        srez_train.train(small_config(faces, data_service=nobody))
    assert not list(here.iterdir())


def test_names_too_many_for_a_graph_are_refused(faces, address, monkeypatch):
    monkeypatch.setattr(srez_service, "MAX_TABLE", 1000)
    with pytest.raises(
        OSError, match=f"--data_service={address}: names and places of {FACES} pict"
    ):
        _batches(open_source(faces), 1, data_service=address)


class _StandIn:
    """A feed of what a test puts into it."""

    address = "grpc://stand:1"

    def __init__(self, start):
        self.start = self.wanted = start
        self.error, self.ended = "", False
        self.items = queue.Queue()

    def put(self, *batches):
        for batch in batches:
            self.items.put((batch, (tf.fill([4], float(batch)),)))

    def get(self, seconds):
        try:
            return self.items.get(timeout=seconds or 0.001)
        except queue.Empty:
            return None

    def close(self):
        self.ended = True


@pytest.fixture
def feeds(monkeypatch):
    """The stand-ins that `_ordered` opens, one after the other; it has little patience."""
    for name in ("FIRST", "STALL", "LATE"):
        monkeypatch.setattr(srez_service, name, 0.05)
    return []


def _ordered(feeds, first=(), start=0):
    def open_feed(start):
        feeds.append(_StandIn(start))
        if len(feeds) == 1:
            feeds[0].put(*first)
        return feeds[-1]

    return srez_service._ordered(open_feed, lambda batch: f"made {batch}", start)


def _numbers(batches, count):
    return [
        pair if isinstance(pair, str) else int(pair[0][0])
        for pair in itertools.islice(batches, count)
    ]


def test_batches_that_come_in_disorder_are_put_in_order(feeds):
    assert _numbers(_ordered(feeds, [6, 5, 9, 7, 8], start=5), 5) == [5, 6, 7, 8, 9]


def test_a_batch_that_does_not_come_is_made_here_and_left_out_if_it_comes_late(feeds):
    batches = _ordered(feeds, [0, 2, 3])
    assert _numbers(batches, 3) == [0, "made 1", 2]
    feeds[0].put(1, 4)
    assert _numbers(batches, 2) == [3, 4]


def test_early_batches_don_t_pile_up(feeds, monkeypatch):
    monkeypatch.setattr(srez_service, "LATE", 60.0)
    monkeypatch.setattr(srez_service, "WINDOW_BYTES", 10 * 16)
    batches = _ordered(feeds, [0, *range(2, 40)])
    assert _numbers(batches, 3) == [0, "made 1", 2]
    assert feeds[0].items.qsize() == 39 - 11


def test_a_service_that_fails_is_tried_again_later(feeds, monkeypatch, capsys):
    monkeypatch.setattr(srez_service, "RETRY", 0.2)
    batches = _ordered(feeds, [0])
    assert _numbers(batches, 1) == [0]
    feeds[0].error, feeds[0].ended = "gone", True
    assert _numbers(batches, 2) == ["made 1", "made 2"]
    time.sleep(0.3)
    feeds[0].error = ""
    assert _numbers(batches, 1) == ["made 3"]
    assert [feed.start for feed in feeds] == [0, 3]
    feeds[1].put(4, 5)
    assert _numbers(batches, 2) == [4, 5]
    assert capsys.readouterr().err == (
        "srez: --data_service=grpc://stand:1 failed (gone), so pictures are decoded here\n"
    )


def test_a_feed_that_lags_behind_is_followed_by_one_from_the_batch_in_turn(feeds):
    batches = _ordered(feeds)
    assert _numbers(batches, 2) == ["made 0", "made 1"]
    feeds[0].ended = True
    assert _numbers(batches, 2) == ["made 2", "made 3"]
    assert [feed.start for feed in feeds] == [0, 3]
