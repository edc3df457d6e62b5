"""A run that is killed or starved: nothing is lost, and one line says what is wrong."""

import csv
import errno
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import srez.run.checkpoint
import srez_train
from srez.run.checkpoint import locked, newest_checkpoint, read_run
from tests.conftest import ROOT, assert_same_bits, small_config, train_arguments

pytestmark = pytest.mark.slow  # each trains, most of them more than once

KILLS = 10
BATCHES = 30


def _command(faces, **flags):
    flags = {"batch_size": 2, "test_vectors": 2} | flags
    return [sys.executable, "-u", ROOT / "srez_main.py", *train_arguments(faces, **flags)]


def _start(command, cwd):
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _wait_for(process, text):
    """Reads a process's stdout up to the line that holds `text`; says whether it came."""
    return any(text in line for line in process.stdout)


def _kill_while_writing(process, folder):
    deadline = time.monotonic() + 60
    while not any(folder.glob("checkpoint/.writing-*")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()


def test_a_run_killed_ten_times_ends_as_one_never_stopped(tmp_path, faces):
    flags = {"train_batches": BATCHES, "checkpoint_period": 3, "summary_period": 10}
    command = _command(faces, **flags)
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = subprocess.run(command, cwd=tmp_path / "whole", capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    moments = random.Random(0)
    for number in range(KILLS):
        process = _start(command, tmp_path / "killed")
        with process:
            assert _wait_for(process, "training, "), process.stderr.read()
            if number % 3 == 1:
                _kill_while_writing(process, tmp_path / "killed")
            else:
                time.sleep(moments.uniform(0, 6))
                process.kill()
        assert process.returncode in (0, -signal.SIGKILL)
    last = subprocess.run(command, cwd=tmp_path / "killed", capture_output=True, text=True)
    assert last.returncode == 0, last.stderr
    paths = [newest_checkpoint(tmp_path / name / "checkpoint") for name in ("whole", "killed")]
    assert [path.name for path in paths] == [f"batch{BATCHES:06d}"] * 2
    assert_same_bits(*paths)
    _logs_are_those_of_one_run(tmp_path / "killed" / "train")
    for sheet in (tmp_path / "whole" / "train").glob("*.png"):
        assert (tmp_path / "killed" / "train" / sheet.name).read_bytes() == sheet.read_bytes()


def _logs_are_those_of_one_run(folder):
    with open(folder / "losses.csv", newline="") as file:
        batches = [int(row["batch"]) for row in csv.DictReader(file)]
    assert batches == [10, 20, 30]
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    assert [event.step for event in events.Tensors("loss/gene_loss")] == [10, 20, 30]
    assert [event.step for event in events.Tensors("sheet")] == [0, 10, 20, 30]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_batch_and_saves(here, faces, number):
    with _start(_command(faces), here) as process:
        assert _wait_for(process, "Progress")
        process.send_signal(number)
        rest, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (128 + number, "")
    batch = int(re.search(r"Saved at batch (\d+): the same command goes on", rest)[1])
    assert newest_checkpoint(here / "checkpoint").name == f"batch{batch:06d}"


def test_a_second_signal_leaves_at_once_with_the_checkpoint_before_intact(here, faces):
    with _start(_command(faces, checkpoint_period=10), here) as process:
        assert _wait_for(process, "Batch [  20]")
        process.send_signal(signal.SIGINT)
        assert _wait_for(process, "once more leaves at once")
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
    assert process.returncode == -signal.SIGINT  # which shells show as 130
    assert time.monotonic() - start < 5
    assert int(newest_checkpoint(here / "checkpoint").name[5:]) >= 10


def test_a_damaged_newest_checkpoint_costs_its_batches_only(here, faces, capsys):
    for name in ("whole", "damaged"):
        folders = {"train_dir": here / name, "checkpoint_dir": here / name / "checkpoint"}
        config = small_config(faces, train_batches=4, checkpoint_period=2, **folders)
        srez_train.train(config)
    newest = here / "damaged" / "checkpoint" / "batch000004"
    data = newest / "tensors.data-00000-of-00001"
    os.truncate(data, data.stat().st_size // 2)
    srez_train.train(config)
    out = capsys.readouterr().out
    assert "batch000004 is damaged (tensors.data-00000-of-00001 has changed)" in out
    assert "Resuming from" in out
    assert_same_bits(newest, here / "whole" / "checkpoint" / "batch000004")


def test_a_second_trainer_on_a_checkpoint_dir_is_refused(here, faces):
    with locked("checkpoint"), pytest.raises(OSError, match=f"process {os.getpid()}"):
        srez_train.train(small_config(faces, train_batches=1, resume=False))
    assert not (here / "checkpoint.1").exists()


ROOM = 150 << 20  # bytes: for one checkpoint, not for two


@pytest.fixture
def small_disk(here, monkeypatch):
    """A folder with that much ROOM: a tmpfs, or who may not mount one gets a stub of a quota.

    The stub is at the file layer: as with quotas, the disk is found full when files are synced.
    """
    folder = here / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True).returncode == 0:
        yield folder
        subprocess.run(["umount", folder], check=True)
        return
    sync = os.fsync

    def sync_if_there_is_room(descriptor):
        if sum(path.stat().st_size for path in folder.rglob("*")) > ROOM:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync_if_there_is_room)
    yield folder


def test_a_full_disk_leaves_the_checkpoint_before_whole(small_disk, faces, capsys):
    checkpoints = small_disk / "checkpoint"
    config = small_config(faces, train_batches=3, checkpoint_period=2, checkpoint_dir=checkpoints)
    with pytest.raises(OSError, match="could not be written to --checkpoint_dir=.*: make room"):
        srez_train.train(config)
    assert "Can't write a checkpoint: " in capsys.readouterr().out
    assert sorted(path.name for path in checkpoints.iterdir()) == ["batch000002", "lock"]
    assert newest_checkpoint(checkpoints).name == "batch000002"


def test_a_checkpoint_that_cannot_be_written_is_tried_again(here, faces, monkeypatch, capsys):
    # A stub at the file layer: the first write fails as on a full disk.
    tries = []
    write = srez.run.checkpoint.write_checkpoint

    def full_at_first(folder, batch, *others):
        tries.append(batch)
        if len(tries) == 1:
            raise OSError(28, "No space left on device")
        return write(folder, batch, *others)

    monkeypatch.setattr(srez.run.checkpoint, "write_checkpoint", full_at_first)
    monkeypatch.setattr(srez.run.checkpoint, "RETRY_SECONDS", 0)
    srez_train.train(small_config(faces, train_batches=5, checkpoint_period=2))
    assert tries == [2, 3, 4, 5]
    out = capsys.readouterr().out
    assert "Can't write a checkpoint: [Errno 28] No space left on device." in out
    assert out.count("Training goes on; the next try is in a minute.") == 1
    assert newest_checkpoint(here / "checkpoint").name == "batch000005"


def test_a_sheet_that_cannot_be_written_is_said_once(here, faces, monkeypatch, capsys):
    # A stub at the file layer: every sheet meets a full disk.
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(srez_train, "write_image", full)
    srez_train.train(small_config(faces, train_batches=2, summary_period=1))
    assert capsys.readouterr().out.count("Can't write sheets: ") == 1
    assert newest_checkpoint(here / "checkpoint").name == "batch000002"


def test_numbers_that_diverge_stop_a_run_and_name_the_pictures(here, faces, monkeypatch):
    class Diverging(srez_train.Trainer):
        """The third step's gradients are not numbers."""

        def gradients(self, low_res, high_res):
            scalars, generator_gradients, others = super().gradients(low_res, high_res)
            factor = tf.where(self.batch < 2, 1.0, float("nan"))
            return scalars, [factor * gradient for gradient in generator_gradients], others

    monkeypatch.setattr(srez_train, "Trainer", Diverging)
    config = small_config(faces, train_batches=40, checkpoint_period=1)
    with pytest.raises(OSError, match=r"not finite since batch 3, with the pictures '\d\d.jpg'"):
        srez_train.train(config)
    assert newest_checkpoint(here / "checkpoint").name == "batch000002"  # the last good one


@pytest.fixture
def spoilt(here, faces):
    """A function that makes a folder of faces of which some are no pictures."""

    def make(count):
        folder = shutil.copytree(faces, here / "spoilt")
        for number in range(count):
            (folder / f"{number:02d}.jpg").write_text("no picture")
        return folder

    return make


def test_bad_pictures_are_named_in_a_file_and_in_the_checkpoint(here, spoilt):
    config = small_config(spoilt(1), train_batches=12, max_bad_images=50)
    srez_train.train(config)
    name, reason = (here / "train" / "bad_images.txt").read_text().rstrip("\n").split("\t")
    assert name == "00.jpg"
    assert "not a picture" in reason
    assert read_run(newest_checkpoint(here / "checkpoint"))["bad_images"] == [[name, reason]]


def test_too_many_bad_pictures_stop_a_run(spoilt):
    with pytest.raises(OSError, match="pictures read are bad, more than --max_bad_images=5 perc"):
        srez_train.train(small_config(spoilt(12), train_batches=40))


def test_checkpoints_come_by_the_clock_too(here, faces, monkeypatch):
    saved = []
    write = srez.run.checkpoint.write_checkpoint
    monkeypatch.setattr(
        srez.run.checkpoint,
        "write_checkpoint",
        lambda folder, batch, *others: saved.append(batch) or write(folder, batch, *others),
    )
    srez_train.train(small_config(faces, train_batches=3, checkpoint_minutes=1e-9))
    assert saved == [1, 2, 3]
