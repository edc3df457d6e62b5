import json
import multiprocessing
import os

import numpy as np
import pytest
import tensorflow as tf

import srez.run.checkpoint
from srez.options import Options
from srez.run.checkpoint import (
    locked,
    newest_checkpoint,
    prune,
    read_run,
    restore,
    write_checkpoint,
)
from srez_train import Trainer

RUN = {"options": {"batch_size": 4}, "names": ["a\nb.jpg", "\udce9.jpg"]}


def _write(folder, batch=1, objects=None):
    return write_checkpoint(folder, batch, RUN, objects or {"x": tf.Variable([1.0, 2.0])})


def _batches(folder):
    """The batches of the checkpoints in a folder that holds nothing else."""
    return sorted(int(path.name.removeprefix("batch")) for path in folder.iterdir())


def test_there_is_no_checkpoint_in_an_empty_or_missing_folder(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_what_is_written_is_read_again(tmp_path):
    _write(tmp_path, batch=7)
    path = newest_checkpoint(tmp_path)
    assert path == tmp_path / "batch000007"
    assert read_run(path) == RUN


def test_the_newest_is_that_of_the_highest_batch(tmp_path):
    for batch in (999_999, 1_000_000, 5):
        _write(tmp_path, batch)
    assert newest_checkpoint(tmp_path).name == "batch1000000"


def test_all_of_the_training_survives_a_checkpoint(tmp_path, small):
    first, second = (Trainer(Options(precision="float32")).state for _ in range(2))
    variables, others = (
        [each for value in state.values() for each in getattr(value, "variables", [value])]
        for state in (first, second)
    )
    draws = np.random.default_rng(0)
    for variable in variables:
        variable.assign(draws.integers(1, 99, variable.shape))
    restore(_write(tmp_path, objects=first), **second)
    for saved, read in zip(variables, others, strict=True):
        np.testing.assert_array_equal(saved, read)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    path = _write(tmp_path)
    with pytest.raises(OSError, match="does not fit"):
        restore(path, x=tf.Variable(1.0))


SHARD = "tensors.data-00000-of-00001"


def _cut_off(path):
    os.truncate(path / SHARD, (path / SHARD).stat().st_size - 1)


def _flip_a_byte(path):
    content = bytearray((path / SHARD).read_bytes())
    content[len(content) // 2] ^= 1
    (path / SHARD).write_bytes(content)


DAMAGES = {
    "cut off": _cut_off,
    "a flipped byte": _flip_a_byte,
    "a missing shard": lambda path: (path / SHARD).unlink(),
    "a missing index": lambda path: (path / "tensors.index").unlink(),
    "no manifest": lambda path: (path / "manifest.json").unlink(),
    "half a manifest": lambda path: (path / "manifest.json").write_text('{"format": 1, "fi'),
    "another manifest": lambda path: (path / "manifest.json").write_text("[]"),
    "changed options": lambda path: (path / "run.json.gz").write_bytes(b"changed"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_one_before_a_damaged_checkpoint_is_taken_and_said(tmp_path, capsys, damage):
    _write(tmp_path, 1)
    DAMAGES[damage](_write(tmp_path, 2))
    assert newest_checkpoint(tmp_path).name == "batch000001"
    assert "batch000002 is damaged (" in capsys.readouterr().out


def test_damaged_checkpoints_alone_are_an_error(tmp_path):
    _cut_off(_write(tmp_path))
    with pytest.raises(OSError, match="none of the 1 checkpoints .* is whole.*--noresume"):
        newest_checkpoint(tmp_path)


def test_a_damaged_checkpoint_is_written_again(tmp_path):
    _cut_off(_write(tmp_path))
    _write(tmp_path)
    assert newest_checkpoint(tmp_path).name == "batch000001"


def test_a_checkpoint_of_a_newer_format_is_refused(tmp_path):
    path = _write(tmp_path)
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(OSError, match="newer version of srez"):
        read_run(path)


@pytest.mark.parametrize("call", ["mkdir", "rename"])
def test_a_checkpoint_that_cannot_be_written_leaves_the_others_whole(tmp_path, monkeypatch, call):
    _write(tmp_path, 1)

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(srez.run.checkpoint.Path, call, fail)
    with pytest.raises(OSError, match="No space left"):
        _write(tmp_path, 2)
    monkeypatch.undo()
    assert _batches(tmp_path) == [1]
    assert newest_checkpoint(tmp_path).name == "batch000001"


def test_the_newest_two_and_the_multiples_of_keep_every_are_kept(tmp_path):
    for batch in (5, 10, 15, 20, 25):
        _write(tmp_path, batch)
    prune(tmp_path, 2, keep_every=10)
    assert _batches(tmp_path) == [10, 20, 25]
    prune(tmp_path, 2, keep_every=0)
    assert _batches(tmp_path) == [20, 25]


def test_two_whole_checkpoints_are_kept_besides_a_damaged_one(tmp_path):
    for batch in (5, 10, 15, 20):
        _write(tmp_path, batch)
    os.truncate(tmp_path / "batch000015" / "tensors.index", 3)
    prune(tmp_path, 2, keep_every=0)
    assert _batches(tmp_path) == [10, 15, 20]
    _write(tmp_path, 25)
    prune(tmp_path, 2, keep_every=0)
    assert _batches(tmp_path) == [20, 25]


def _hold(folder, ready, done):
    with locked(folder):
        ready.set()
        done.wait()


def test_a_second_trainer_is_refused_by_pid(tmp_path):
    context = multiprocessing.get_context("fork")  # which imports nothing anew
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, ready, done))
    other.start()
    assert ready.wait(120)
    match = f"in use by another training, process {other.pid}:"
    with pytest.raises(OSError, match=match), locked(tmp_path):
        pass
    other.kill()  # a lock does not outlive its process
    other.join()
    with locked(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_a_folder_that_nothing_came_into_goes_again(tmp_path):
    with pytest.raises(OSError, match="too few"), locked(tmp_path / "checkpoint"):
        raise OSError("too few pictures")
    assert not (tmp_path / "checkpoint").exists()


def test_what_a_killed_trainer_left_is_removed(tmp_path):
    _write(tmp_path)
    for name in (".writing-batch000002", ".removing-batch000000"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tensors.index").touch()
    with locked(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["batch000001", "lock"]


def test_a_lock_in_a_linked_folder_goes_and_the_folder_stays(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "checkpoint").symlink_to(tmp_path / "disk")
    with pytest.raises(OSError, match="too few"), locked(tmp_path / "checkpoint"):
        raise OSError("too few")
    assert list((tmp_path / "checkpoint").iterdir()) == []
