import csv

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from srez.run.logs import METRICS, Logs


def _log(folder, start, batches):
    logs = Logs(folder, start)
    for batch in batches:
        logs.scalars(batch, {"loss/gene_loss": batch / 10, "learning_rate": 2e-4})
    logs.sheet(batches[-1], np.zeros((8, 8, 3)))
    logs.flush()


def _rows(folder):
    with open(folder / "losses.csv", newline="") as file:
        return list(csv.DictReader(file))


def _events(folder):
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return events


def _steps(folder, name):
    return [event.step for event in _events(folder).Tensors(name)]


def test_scalars_go_to_the_csv_and_to_tensorboard(tmp_path):
    _log(tmp_path, 0, [10, 20])
    assert _rows(tmp_path)[1] == {"batch": "20", "loss/gene_loss": "2", "learning_rate": "0.0002"}
    assert _steps(tmp_path, "loss/gene_loss") == [10, 20]
    assert _steps(tmp_path, "sheet") == [20]


def test_validation_and_bicubic_are_of_one_name_in_two_runs_for_one_chart(tmp_path):
    for batch in (0, 1000):  # the second time they go on from batch 1000
        logs = Logs(tmp_path, batch)
        for later in (1000, 2000):
            if later > batch:
                figures = {"validation/psnr": 24.0 + later / 1000, "bicubic/psnr": 23.0}
                logs.scalars(later, figures, METRICS)
        logs.flush()
    for folder, expected in ((tmp_path, [25, 26]), (tmp_path / "bicubic", [23, 23])):
        assert _events(folder).Tags()["tensors"] == ["validation/psnr"]
        found = sorted(_events(folder).Tensors("validation/psnr"), key=lambda event: event.step)
        assert [event.step for event in found] == [1000, 2000]
        assert [float(tf.make_ndarray(event.tensor_proto)) for event in found] == expected
    with open(tmp_path / "metrics.csv", newline="") as file:
        assert list(next(csv.DictReader(file))) == ["batch", "validation/psnr", "bicubic/psnr"]


def test_logs_rewind_to_the_checkpoint(tmp_path):
    _log(tmp_path, 0, [10, 20, 30])
    _log(tmp_path, 15, [20, 30, 40])
    assert [row["batch"] for row in _rows(tmp_path)] == ["10", "20", "30", "40"]
    assert sorted(_steps(tmp_path, "loss/gene_loss")) == [10, 20, 30, 40]
    assert _steps(tmp_path, "sheet") == [40]


def test_half_a_row_and_half_an_event_are_cut(tmp_path):
    _log(tmp_path, 0, [10, 20])
    with open(tmp_path / "losses.csv", "a") as file:
        file.write("30,0.1")
    (events,) = tmp_path.glob("events*")
    with open(events, "ab") as file:
        file.write(events.read_bytes()[-20:-4])
    _log(tmp_path, 30, [40])
    assert [row["batch"] for row in _rows(tmp_path)] == ["10", "20", "40"]
    assert sorted(_steps(tmp_path, "learning_rate")) == [10, 20, 40]


def test_what_tensorflow_cannot_write_is_said_once(tmp_path, capsys):
    logs = Logs(tmp_path, 0)
    for _ in range(2):
        with logs.tolerating("sheets"):
            raise tf.errors.DataLossError(None, None, "x")
    assert capsys.readouterr().out.count("Can't write sheets: ") == 1


def test_a_full_disk_does_not_stop_the_logs(tmp_path, capsys):
    logs = Logs(tmp_path, 0)
    # Each write to this device fails with "No space left on device".
    (tmp_path / "losses.csv").symlink_to("/dev/full")
    for batch in (10, 20):
        logs.scalars(batch, {"loss/gene_loss": 0.1})
    logs.flush()
    out = capsys.readouterr().out
    assert out.count("losses.csv: [Errno 28] No space left on device. Training goes on.") == 1
    assert _steps(tmp_path, "loss/gene_loss") == [10, 20]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file is a file: give a folder"):
        Logs(tmp_path / "file", 0)
