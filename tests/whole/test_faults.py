"""A run that is stopped, killed or starved: nothing is lost, and one line says what is wrong."""

import contextlib
import csv
import errno
import functools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import srez_main
import srez_train
from srez.data.source import Source, open_source
from srez.data.split import split_source
from srez.run import checkpoint
from srez.run.checkpoint import batch_of, newest_checkpoint, read_run
from srez.run.weights import choose_weights
from srez_input import Batches
from tests.conftest import PATIENCE, SMALL, assert_same_bits, small_config, train_arguments

# Nearly all train anew: small networks, for they are about the run.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small")]

MODERN = {"recipe": "modern", "precision": "bfloat16", "l1_batches": 50, "train_batches": 100}
ROOM = 350 << 10  # bytes: for one checkpoint, not for two
NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


def _kill_while_writing(process, folder):
    deadline = time.monotonic() + PATIENCE
    while not any(folder.glob("checkpoint/.writing-*")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()


def _signal(process, folder, number):
    process.send_signal(number)
    rest, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (128 + number, "")
    batch = int(re.search(r"Saved at batch (\d+): the same command goes on", rest)[1])
    assert newest_checkpoint(folder / "checkpoint").name == f"batch{batch:06d}"


def _interrupt_without_a_reader(process, folder):
    process.stdout.close()  # as tee ends at the same Ctrl-C
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 128 + signal.SIGINT
    assert newest_checkpoint(folder / "checkpoint")


TERM, HANG_UP = (functools.partial(_signal, number=n) for n in (signal.SIGTERM, signal.SIGHUP))
KILLS = [_kill_while_writing, lambda process, _: process.kill()]
STOPS = [TERM, *KILLS, _interrupt_without_a_reader, HANG_UP]


@pytest.mark.parametrize(
    ("ends", "flags"), [(STOPS, {}), (KILLS, MODERN)], ids=["stopped", "modern killed"]
)
def test_a_run_stopped_and_killed_many_times_ends_as_one_never_stopped(
    tmp_path, faces, ends, flags
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    usual = {"batch_size": 2, "test_vectors": 2, "checkpoint_period": 7, "summary_period": 50}
    words = train_arguments(faces, **usual, **flags)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    moments = random.Random(0)
    for end in ends:
        command = [sys.executable, "-u", SMALL, *words]
        with subprocess.Popen(command, cwd=killed, **pipes) as process:
            assert any("Progress" in line for line in process.stdout), process.stderr.read()
            if not flags:  # it has 20 minutes
                time.sleep(moments.uniform(0, 0.3))
            end(process, killed)
    ended = batch_of(newest_checkpoint(killed / "checkpoint"))
    assert 7 <= ended < flags.get("train_batches", 10**6)
    total = flags.get("train_batches", 50 * (ended // 50 + 1))
    for folder in (whole, killed):
        with contextlib.chdir(folder):
            assert srez_main.main(["srez_main.py", *words, f"--train_batches={total}"]) == 0
    paths = [newest_checkpoint(folder / "checkpoint") for folder in (whole, killed)]
    assert [path.name for path in paths] == [f"batch{total:06d}"] * 2
    assert_same_bits(*paths)
    # The logs and sheets are those of one run, too.
    logged, sheets = list(range(10, total + 1, 10)), list(range(0, total + 1, 50))
    with open(killed / "train" / "losses.csv", newline="") as file:
        assert [int(row["batch"]) for row in csv.DictReader(file)] == logged
    events = EventAccumulator(str(killed / "train"), size_guidance={"tensors": 0})
    events.Reload()
    assert [event.step for event in events.Tensors("loss/gene_l1_loss")] == logged
    assert [event.step for event in events.Tensors("sheet")] == sheets
    names = [f"batch{batch:06d}_out.png" for batch in sheets]
    assert sorted(path.name for path in (whole / "train").glob("*.png")) == names
    for name in names:
        assert (killed / "train" / name).read_bytes() == (whole / "train" / name).read_bytes()


def test_a_damaged_newest_checkpoint_costs_its_batches_only(here, faces, whole_run, capsys):
    shutil.copytree(whole_run.folder, here, dirs_exist_ok=True)
    newest = here / "checkpoint" / "batch000004"
    data = newest / "tensors.data-00000-of-00001"
    os.truncate(data, data.stat().st_size // 2)
    srez_train.train(small_config(faces, train_batches=4))
    out = capsys.readouterr().out
    assert "batch000004 is damaged (tensors.data-00000-of-00001 has changed)" in out
    assert "Resuming from checkpoint/batch000003" in out
    assert_same_bits(newest, whole_run.folder / "checkpoint" / "batch000004")


def test_sheets_without_a_checkpoint_are_moved_aside(whole_run):
    assert (whole_run.folder / "train.1" / "batch000007_out.png").read_text() == "old"
    assert not (whole_run.folder / "train" / "batch000007_out.png").exists()


def test_checkpoints_come_by_the_clock_too(whole_run):
    assert whole_run.saved == [1, 2, 3, 4]


def test_two_checkpoints_are_kept_and_the_best_whatever_its_age(here, faces, monkeypatch):
    first, second = ({"name": f"batch00000{batch}", "score": batch / 10} for batch in (1, 2))
    measured = [({"validation/score": 0.1}, best) for best in (first, *[second] * 4)]
    monkeypatch.setattr(srez_train.Validation, "measure", mock.Mock(side_effect=measured))
    config = small_config(faces, train_batches=5, evaluate_period=1, checkpoint_period=1)
    srez_train.train(config)
    names = sorted(path.name for path in (here / "checkpoint").iterdir())
    assert names == ["batch000002", "batch000004", "batch000005", "lock"]
    assert choose_weights(here / "checkpoint", "best").path.name == "batch000002"


@pytest.fixture
def small_disk(here, monkeypatch):
    """A folder with that much ROOM: a tmpfs, or for those who may not mount one a stub of a quota.

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


def test_a_full_disk_leaves_the_checkpoint_before_whole(small_disk, faces):
    checkpoints = small_disk / "checkpoint"
    flags = {"train_batches": 3, "checkpoint_period": 2, "checkpoint_dir": str(checkpoints)}
    config = small_config(faces, **flags)
    with pytest.raises(OSError, match="write a checkpoint: .* Make room in --checkpoint_dir="):
        srez_train.train(config)
    assert sorted(path.name for path in checkpoints.iterdir()) == ["batch000002", "lock"]
    assert newest_checkpoint(checkpoints).name == "batch000002"


def test_a_checkpoint_that_cannot_be_written_is_tried_again(here, faces, monkeypatch, capsys):
    # A stub at the file layer: the first write fails as on a full disk.
    outcomes = [NO_SPACE, mock.DEFAULT, mock.DEFAULT, mock.DEFAULT]
    write = mock.Mock(wraps=checkpoint.write_checkpoint, side_effect=outcomes)
    monkeypatch.setattr(checkpoint, "write_checkpoint", write)
    monkeypatch.setattr(checkpoint, "RETRY_SECONDS", 0)
    srez_train.train(small_config(faces, train_batches=5, checkpoint_period=2))
    assert [call.args[1] for call in write.call_args_list] == [2, 3, 4, 5]
    out = capsys.readouterr().out
    assert "Can't write a checkpoint: [Errno 28] No space left on device." in out
    assert out.count("Training goes on; the next try is in a minute.") == 1
    assert newest_checkpoint(here / "checkpoint").name == "batch000005"


def test_a_sheet_that_cannot_be_written_is_said_once(here, faces, monkeypatch, capsys):
    # A stub at the file layer: every sheet meets a full disk.
    monkeypatch.setattr(srez_train, "write_image", mock.Mock(side_effect=NO_SPACE))
    srez_train.train(small_config(faces, train_batches=2, summary_period=1))
    assert capsys.readouterr().out.count("Can't write sheets: ") == 1
    assert newest_checkpoint(here / "checkpoint").name == "batch000002"


def test_numbers_that_diverge_stop_a_run_and_name_the_pictures(here, faces, monkeypatch):
    gradients = srez_train.Trainer.gradients

    def diverging(trainer, *arguments):
        scalars, generator_gradients, others = gradients(trainer, *arguments)
        factor = tf.where(trainer.batch < 2, 1.0, float("nan"))  # from the third step on
        return scalars, [factor * gradient for gradient in generator_gradients], others

    monkeypatch.setattr(srez_train.Trainer, "gradients", diverging)
    config = small_config(faces, train_batches=40, checkpoint_period=1)
    with pytest.raises(OSError, match=r"not finite since batch 3, with the pictures '\d\d.jpg'"):
        srez_train.train(config)
    assert newest_checkpoint(here / "checkpoint").name == "batch000002"  # the last good one


def _spoilt(faces, count):
    """A folder of faces of which some are no pictures."""
    folder = shutil.copytree(faces, "spoilt")
    for number in range(count):
        Path(folder, f"{number:02d}.jpg").write_text("no picture")
    return folder


def test_bad_pictures_are_named_in_a_file_and_in_the_checkpoint(here, faces):
    srez_train.train(small_config(_spoilt(faces, 8), train_batches=2, max_bad_images=100))
    lines = (here / "train" / "bad_images.txt").read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    assert rows
    assert all(name < "08.jpg" and "not a picture" in reason for name, reason in rows)
    assert read_run(newest_checkpoint(here / "checkpoint"))["bad_images"] == rows


def test_too_many_bad_pictures_stop_a_run(here, faces):
    with pytest.raises(OSError, match="pictures read are bad, more than --max_bad_images=5 perc"):
        srez_train.train(small_config(_spoilt(faces, 12), train_batches=40))


def test_pictures_that_go_away_and_come_back_cost_nothing(
    here, faces, whole_run, monkeypatch, capsys
):
    path = shutil.copytree(faces, here / "pictures")
    config = small_config(path, train_batches=4)
    source, read = open_source(path), Source.read
    files = split_source(source, 2, 0, 2).train
    batches = Batches(source, files, 2, 64, 0)
    first = {number: source.read(number) for at in (0, 1) for number in batches.files_of(at)}

    def reading(source, number):
        """The pictures go when one of the third batch is read, whoever reads the others when."""
        if number in first:
            return first[number]
        if number in files:
            with contextlib.suppress(FileNotFoundError):  # they have gone
                path.rename("elsewhere")
        return read(source, number)

    with monkeypatch.context() as context:
        context.setattr(Source, "read", reading)
        gone = rf"^saved at batch 2, and .* {path}: its pictures can't be read any more"
        with pytest.raises(OSError, match=gone):
            srez_train.train(config)
    assert newest_checkpoint("checkpoint").name == "batch000002"
    assert "left out" not in capsys.readouterr().err
    assert not Path("train", "bad_images.txt").exists()
    Path("elsewhere").rename(path)
    srez_train.train(config)
    assert_same_bits(
        *(folder / "checkpoint" / "batch000004" for folder in (here, whole_run.folder))
    )


def test_pictures_that_are_gone_before_the_first_batch_are_said_and_nothing_is_saved(
    here, faces, monkeypatch
):
    path = shutil.copytree(faces, here / "pictures")
    run = srez_train.Run

    def going(*arguments):
        made = run(*arguments)
        path.rename("elsewhere")
        return made

    monkeypatch.setattr(srez_train, "Run", going)
    with pytest.raises(OSError, match=r"can't be read any more.*No such file or directory\)$"):
        srez_train.train(small_config(path, train_batches=2))
    assert not (here / "checkpoint").exists()
