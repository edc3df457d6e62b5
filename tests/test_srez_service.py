import itertools
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

import srez_input
import srez_service
import srez_train
from srez_bad import BadImages
from srez_service import check_service
from srez_source import open_source
from tests import odd_files
from tests.conftest import FACES, small_config
from tests.odd_files import encoded, face, zipped

# A worker in a process of its own can be killed, and doesn't take seconds to end.
WORKER = """
import sys
import tensorflow as tf
service = tf.data.experimental.service
worker = service.WorkerServer(service.WorkerConfig(dispatcher_address=sys.argv[1]))
print("started", flush=True)
worker.join()
"""


@pytest.fixture(scope="module")
def service():
    """A dispatcher and the processes of three workers."""
    dispatcher = tf.data.experimental.service.DispatchServer()
    command = [sys.executable, "-c", WORKER, dispatcher.target.removeprefix("grpc://")]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    workers = [
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for _ in range(3)
    ]
    assert all(worker.stdout.readline() == b"started\n" for worker in workers)
    yield dispatcher, workers
    for worker in workers:
        worker.kill()
        worker.wait()


@pytest.fixture(scope="module")
def address(service):
    return service[0].target


@pytest.fixture
def nobody():
    """The address of a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"grpc://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def made_here(monkeypatch):
    """The list of the numbers of all batches that the trainer makes as a whole from now on."""
    numbers = []
    original = srez_input.Batches.make
    monkeypatch.setattr(
        srez_input.Batches,
        "make",
        lambda maker, batch: numbers.append(batch) or original(maker, batch),
    )
    return numbers


def _assert_same(batches, expected):
    for pair, wanted in zip(batches, expected, strict=True):
        for images, others in zip(pair, wanted, strict=True):
            np.testing.assert_array_equal(images, others)


def _iterate(source, start_batch=0, data_service=None, **options):
    batches = srez_input.Batches(source, range(len(source.names)), 4, 64, 0, **options)
    return batches.iterate(start_batch, data_service)


def _batches(source, count, start_batch=0, **options):
    batches = _iterate(source, start_batch, **options)
    found = list(itertools.islice(batches, count))
    batches.close()
    return found


def test_workers_make_the_same_batches_in_the_same_order(address, faces, made_here):
    source = open_source(faces)
    ledger = BadImages(FACES, limit=0.0)
    found = _batches(source, 20, start_batch=7, data_service=address, bad_images=ledger)
    _assert_same(found, _batches(source, 20, start_batch=7))
    assert not made_here
    ledger.note("invented.jpg", "to be judged")
    with pytest.raises(OSError, match=f"1 of the {FACES} pictures read"):
        ledger.check()


def test_workers_read_zips(address, faces, tmp_path, made_here):
    contents = [(path.name, path.read_bytes()) for path in sorted(faces.iterdir())]
    shards = [
        zipped(tmp_path / "stored.zip", contents[:12]),
        zipped(tmp_path / "deflated.zip", contents[12:], compression=8),
    ]
    source = open_source(",".join(map(str, shards)))
    _assert_same(_batches(source, 9, data_service=address), _batches(source, 9))
    assert not made_here


def test_odd_and_bad_pictures_give_what_they_give_without_a_service(
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
    _assert_same(found, _batches(source, 12, bad_images=ledgers[1]))
    assert not made_here
    assert ledgers[0].rows == ledgers[1].rows
    assert [name for name, _ in ledgers[0].rows] == ["11.jpg", "13.jpg"]


def test_workers_that_die_or_stand_still_cost_no_batch(service, address, faces, monkeypatch, capfd):
    monkeypatch.setattr(srez_service, "LATE", 1.0)
    dying, *lasting = service[1]
    batches = _iterate(open_source(faces), data_service=address)
    found = [next(batches) for _ in range(8)]
    dying.kill()
    found += [next(batches) for _ in range(60)]
    assert not _said(capfd)
    monkeypatch.setattr(srez_service, "STALL", 2.0)  # the others were slow to start, maybe
    for worker in lasting:
        worker.send_signal(signal.SIGSTOP)
    said = []
    while not said and len(found) < 2000:  # some have come already
        found.append(next(batches))
        said = _said(capfd)
    for worker in lasting:
        worker.send_signal(signal.SIGCONT)
    found += [next(batches) for _ in range(20)]
    assert said + _said(capfd) == [
        f"srez: --data_service={address} does not answer, so pictures are decoded here until it "
        "does"
    ]
    batches.close()
    _assert_same(found, _batches(open_source(faces), len(found)))


def _said(capfd):
    return [line for line in capfd.readouterr().err.splitlines() if line.startswith("srez:")]


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
