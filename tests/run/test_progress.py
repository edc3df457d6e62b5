import re
import time

import pytest
import tensorflow as tf

from srez.run.logs import Logs
from srez.run.progress import Progress, Totals
from srez_train import Original

SCALARS = {
    "loss/gene_loss": tf.constant(0.12345),
    "loss/disc_real_loss": tf.constant(1.5),
    "loss/disc_fake_loss": tf.constant(12.0),
}


def _progress(folder, batch=0, seconds=0.0, train_batches=0, train_time=20.0, batch_size=16):
    totals = Totals(train_batches, train_time)
    logs = Logs(folder, batch)
    return Progress(totals, batch, seconds, batch_size, 100, logs, Original.losses)


@pytest.fixture
def line(tmp_path, capsys):
    """Gives what is said at a batch, after so many seconds of training."""

    def said(batch, seconds=0.0, **flags):
        with _progress(tmp_path, batch - 1, seconds, **flags) as progress:
            progress.advance(batch, SCALARS)
        return capsys.readouterr().out

    return said


def test_the_line_is_the_original_one_to_the_letter(line):
    assert line(500, 600.0, train_batches=1000, train_time=None) == (
        "Progress[ 50%], ETA[  10m], Batch [ 500], G_Loss[0.123], D_Real_Loss[1.500], "
        "D_Fake_Loss[12.000]\n"
    )


def test_there_is_a_line_every_ten_batches_only(line):
    assert line(509) == ""


@pytest.mark.parametrize(
    ("train_batches", "train_time", "start"),
    [(2000, 20, "Progress[ 50%], ETA[  10m]"), (400, 200, "Progress[ 25%], ETA[  30m]")],
)
def test_progress_follows_the_total_that_is_reached_first(line, train_batches, train_time, start):
    said = line(100, 600.0, train_batches=train_batches, train_time=train_time)
    assert said.startswith(start)


@pytest.mark.parametrize(
    ("batch", "seconds", "train_batches", "train_time", "expected"),
    [
        (9, 1e9, 10, None, ""),
        (10, 0, 10, None, "trained 10 of 10 batches: raise --train_batches"),
        (10, 59.9, 0, 1.0, ""),
        (10, 1200.0, 0, 20.0, "trained 20 of 20 minutes: raise --train_time"),
        (10, 60.0, 20, 1.0, "trained 1 of 1 minutes"),
    ],
)
def test_the_total_that_is_reached_is_named(batch, seconds, train_batches, train_time, expected):
    found = Totals(train_batches, train_time).reached(batch, seconds)
    assert found.startswith(expected) if expected else found == ""


def test_the_speed_is_said_after_ten_batches(tmp_path, capsys):
    with _progress(tmp_path, train_batches=30, train_time=None, batch_size=5) as progress:
        for batch in range(1, 11):
            time.sleep(0.01)
            progress.advance(batch, SCALARS)
    said = r"^([\d.]+) batches/s: .* minutes = 30 batches = 1.5 epochs\.$"
    speed = re.search(said, capsys.readouterr().out, re.M)
    assert 0 < float(speed[1]) < 100


def test_waiting_for_data_is_counted(tmp_path):
    progress = _progress(tmp_path)
    with progress.waiting():
        time.sleep(0.05)
    assert 0.05 <= progress.waited < 5


def test_seconds_go_on_from_an_earlier_session(tmp_path):
    progress = _progress(tmp_path, seconds=100.0)
    assert 100.0 <= progress.seconds < 110.0
