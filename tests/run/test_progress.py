import os
import re
import sys
import termios

import pytest
import tensorflow as tf

from srez.original import Original
from srez.run.logs import Logs
from srez.run.progress import Progress, Totals, say_where

SCALARS = {
    "loss/gene_loss": tf.constant(0.12345),
    "loss/disc_real_loss": tf.constant(1.5),
    "loss/disc_fake_loss": tf.constant(12.0),
}


def _progress(folder, batch=0, seconds=0.0, train_batches=0, train_time=20.0, batch_size=16):
    totals = Totals(train_batches, train_time)
    logs = Logs(folder, batch)
    return Progress(totals, batch, seconds, batch_size, 100, 20, logs, Original.losses)


@pytest.fixture
def line(tmp_path, capsys):
    """Gives what is said at a batch, after so many seconds of training."""

    def said(batch, seconds=0.0, **flags):
        with _progress(tmp_path, batch - 1, seconds, **flags) as progress:
            capsys.readouterr()
            progress.advance(batch, SCALARS)
        return capsys.readouterr().out

    return said


def test_the_line_is_the_original_one_to_the_letter(line):
    assert line(500, 600.0, train_batches=1000, train_time=None) == (
        "Progress[ 50%], ETA[  10m], Batch [ 500], G_Loss[0.123], D_Real_Loss[1.500], "
        "D_Fake_Loss[12.000]\n"
    )
    assert line(509) == ""  # one every ten batches


@pytest.mark.parametrize(
    ("train_batches", "train_time", "start"),
    [(2000, 20, "Progress[ 50%], ETA[  10m]"), (400, 200, "Progress[ 25%], ETA[  30m]")],
)
def test_progress_follows_the_total_that_is_reached_first(line, train_batches, train_time, start):
    said = line(100, 600.0, train_batches=train_batches, train_time=train_time)
    assert said.startswith(start)


def test_the_time_of_batches_counts_and_no_other(tmp_path, clock):
    progress = _progress(tmp_path, 9, 59.9, train_time=2.0)
    clock[0] += 500  # pictures for the sheets
    with progress:
        _run(progress, clock, range(10, 20), 6)
        with progress.apart():
            clock[0] += 500  # a sheet
        assert not progress.done
        _run(progress, clock, [20], 0.5)
        clock[0] += 500  # the last checkpoint
        assert progress.seconds == pytest.approx(120.4)
    assert progress.done.startswith("trained 2 min of 2 min.")


@pytest.mark.parametrize("batch", [3, 10, 11, 40, 205])
def test_a_batch_in_which_the_machine_slept_counts_as_a_usual_one(tmp_path, clock, capsys, batch):
    with _progress(tmp_path, train_batches=1000, train_time=None) as progress:
        _run(progress, clock, [1], 30)  # builds the graph
        _run(progress, clock, range(2, batch), 0.6)
        with progress.waiting():
            clock[0] += 3600
        _run(progress, clock, [batch], 0.0)
        assert progress.seconds == pytest.approx(30 + 0.6 * (batch - 1))
        _run(progress, clock, range(batch + 1, 231), 0.6)
        assert progress.seconds == pytest.approx(30 + 0.6 * 229)
    out = capsys.readouterr().out
    said = f"Batch {batch} took 1 h, over 30 times as long as usual. It counts as 0.6 s."
    assert out.count("Did the machine sleep?") == out.count(said) == 1
    assert _etas(out)[-1] == 8  # 770 batches
    assert progress.waiting_share <= 1.01 / 229


@pytest.mark.parametrize(("usual", "slow"), [(1, 29), (0.3, 29), (4, 119)])
def test_a_slow_batch_is_counted_as_it_is(tmp_path, clock, capsys, usual, slow):
    with _progress(tmp_path) as progress:
        _run(progress, clock, [1], 1000)
        _run(progress, clock, range(2, 30), usual)
        _run(progress, clock, [30], slow)
        assert progress.seconds == pytest.approx(1000 + 28 * usual + slow)
    assert "sleep" not in capsys.readouterr().out


def test_a_minute_in_which_a_usual_training_was_stopped_does_not_count(tmp_path, clock):
    with _progress(tmp_path) as progress:
        _run(progress, clock, range(1, 30), 1.25)
        _run(progress, clock, [30], 61.25)
        assert progress.seconds == pytest.approx(30 * 1.25)


def test_a_gpu_that_is_waited_for_in_one_of_ten_batches_is_no_sleep(tmp_path, clock, capsys):
    with _progress(tmp_path) as progress:
        _run(progress, clock, range(1, 11), 0.5)
        for batch in range(11, 511):
            _run(progress, clock, [batch], 4.991 if batch % 10 == 1 else 0.001)
        assert progress.seconds == pytest.approx(5 + 500 * 0.5)
    assert "sleep" not in capsys.readouterr().out


def test_sheets_and_measurements_lengthen_the_time_left(tmp_path, clock, capsys):
    with _progress(tmp_path, train_time=100.0) as progress:
        for first in range(1, 301, 10):
            _run(progress, clock, range(first, first + 10), 6)
            with progress.apart():
                clock[0] += 30
        _run(progress, clock, range(301, 311), 6)
    assert _etas(capsys.readouterr().out)[-1] == pytest.approx(102, abs=1)


@pytest.mark.parametrize(
    ("batch", "seconds", "train_batches", "train_time", "expected"),
    [
        (9, 1e9, 10, None, ""),
        (10, 0, 10, None, "trained 10 of 10 batches.\nRaise --train_batches"),
        (10, 59.9, 0, 1.0, ""),
        (10, 1200.0, 0, 20.0, "trained 20 min of 20 min.\nRaise --train_time"),
        (10, 60.0, 20, 1.0, "trained 1 min of 1 min."),
        (1, 4.3, 1000, 0.07, "trained 4.3 s of 4.2 s."),
        (1, 0, 1, None, "trained 1 of 1 batch."),
    ],
)
def test_the_total_that_is_reached_is_named(batch, seconds, train_batches, train_time, expected):
    found = Totals(train_batches, train_time).reached(batch, seconds)
    assert found.startswith(expected) if expected else found == ""


def test_waiting_for_data_is_counted(tmp_path, clock):
    progress = _progress(tmp_path)
    with progress.waiting():
        clock[0] += 5
    assert progress.waited == 5


@pytest.fixture
def clock(monkeypatch):
    """The clock that the speed is measured by: a list, [seconds]."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def _run(progress, clock, batches, seconds_each):
    for batch in batches:
        clock[0] += seconds_each
        progress.advance(batch, SCALARS)


def _etas(out):
    return [int(minutes) for minutes in re.findall(r"ETA\[ *(\d+)m\]", out)]


def test_the_speed_is_said_after_ten_batches_and_the_first_does_not_count(tmp_path, clock, capsys):
    with _progress(tmp_path, train_batches=200, train_time=None, batch_size=5) as progress:
        _run(progress, clock, [1], 300)
        _run(progress, clock, range(2, 11), 6)
    out = capsys.readouterr().out
    assert "\n0.17 batches/s: 19 min left, 200 batches and 10 epochs in all.\n" in out
    assert _etas(out) == [19]


def test_the_time_left_follows_the_recent_speed(tmp_path, clock, capsys):
    with _progress(tmp_path, train_batches=1000, train_time=None) as progress:
        _run(progress, clock, range(1, 101), 60)
        _run(progress, clock, range(101, 401), 6)
    assert _etas(capsys.readouterr().out)[-1] == pytest.approx(60, abs=2)


def test_a_resumed_run_has_its_own_speed_and_before_that_the_earlier_one(tmp_path, clock, capsys):
    flags = {"train_batches": 1000, "train_time": None}
    with _progress(tmp_path, 499, 499 * 12.0, **flags) as progress:
        _run(progress, clock, [500], 60)
        _run(progress, clock, range(501, 511), 6)
    assert _etas(capsys.readouterr().out) == [100, 49]


def test_a_measurement_is_spread_over_the_batches(tmp_path, clock, capsys):
    with _progress(tmp_path, train_batches=1000, train_time=None) as progress:
        _run(progress, clock, range(1, 401), 6)
        with progress.apart():
            clock[0] += 400
        _run(progress, clock, range(401, 411), 6)
    *_, before, after = _etas(capsys.readouterr().out)
    assert (before, after) == (60, round(590 * (6 + 400 / 409) / 60))


def test_minutes_are_left_until_the_end(line):
    assert "ETA[   1m]" in line(500, 600.0, train_batches=510, train_time=None)
    assert "ETA[   0m]" in line(500, 600.0, train_batches=500, train_time=None)


def test_in_a_terminal_losses_are_on_the_bar_and_a_line_comes_each_period(
    tmp_path, clock, capsys, monkeypatch
):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    screen, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    monkeypatch.setattr(sys, "stderr", os.fdopen(terminal, "w"))
    with _progress(tmp_path, train_batches=123_456, train_time=None) as progress:
        _run(progress, clock, range(1, 21), 6)
    lines = [text for text in capsys.readouterr().out.splitlines() if "G 0.123" in text]
    assert [text.split(",")[0] for text in lines] == ["Batch 20"]
    assert max(map(len, lines)) <= 80
    bar = ""
    while not bar.endswith("\n"):  # a read may give a part only
        bar += os.read(screen, 2**16).decode()
    shown = [text for text in bar.split("\r") if "D Fake 12.000" in text]
    assert len(shown) > 1
    assert max(map(len, shown)) <= 80
    assert "batch 20, 205 h 43 min left" in shown[-1]


def test_what_to_run_next_names_folders_that_are_not_the_usual_ones(here, capsys):
    say_where("train", "elsewhere")
    out = capsys.readouterr().out
    assert "Sheets and logs are in train, checkpoints in elsewhere." in out
    assert out.count("srez_main.py --run ") == 2
    assert out.count(" --checkpoint_dir=elsewhere\n") == 1
    assert "--train_dir" not in out
