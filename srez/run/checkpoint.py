"""Checkpoints on disk: whole or not at all, checked when read; one training at a time.

A checkpoint is a folder, checkpoint_dir/batch000200. It holds the tensors as tf.train.Checkpoint
writes them, what else a run needs as JSON, and a manifest with the size and SHA-256 of each file.
It is written under a hidden name, brought to the disk, and only then renamed.
"""

import contextlib
import gzip
import json
import math
import os
import re
import shutil
import time
from pathlib import Path

from srez import files
from srez.console import say
from srez.run.results import LOCK, REMOVING, WRITING, is_own

FORMAT = 1  # of a checkpoint; raise it when older programs can't read the new one
KEPT_CHECKPOINTS = 2
RETRY_SECONDS = 60  # to the next try, when a checkpoint couldn't be written
TENSORS_FILE = "tensors.data-00000-of-00001"  # in a checkpoint: all weights
_TENSORS, _RUN, _MANIFEST = "tensors", "run.json.gz", "manifest.json"


def checkpoint_name(batch):
    """The name of a batch's checkpoint in checkpoint_dir."""
    return f"batch{batch:06d}"


def batch_of(path):
    """The batch number in a checkpoint's path; None if the path has another name."""
    match = re.fullmatch(r"batch(\d+)", path.name)
    return match and int(match[1])


def newest_checkpoint(checkpoint_dir):
    """The path of the newest whole checkpoint in `checkpoint_dir`, or None if there is none.

    If a checkpoint is damaged, it says so, with the reason, and takes the one before. Raises
    OSError if all are damaged.
    """
    paths = _checkpoints(checkpoint_dir)
    for path in reversed(paths):
        damage = _damage(path)
        if not damage:
            return path
        say(f"{path} is damaged ({damage}): taking the one before.")
    if paths:
        raise OSError(
            f"none of the {len(paths)} checkpoints in --checkpoint_dir={checkpoint_dir} is whole: "
            "give --noresume to start anew (they are kept)"
        )
    return None


def write_checkpoint(checkpoint_dir, batch, run, objects):
    """Writes checkpoint_dir/batch%06d: `run`, a JSON dict, and `objects`, trackables by name.

    Returns its path. Raises OSError if it can't be written; the other checkpoints stay whole.
    """
    import tensorflow as tf  # here, for choosing and checking one does without

    path = Path(checkpoint_dir, checkpoint_name(batch))
    temporary = path.with_name(f"{WRITING}{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        tf.train.Checkpoint(**objects).write(str(temporary / _TENSORS))
        (temporary / _RUN).write_bytes(gzip.compress(json.dumps(run).encode(), mtime=0))
        written = {file.name: _size_and_sum(file) for file in sorted(temporary.iterdir())}
        manifest = json.dumps({"format": FORMAT, "files": written}, indent=1)
        (temporary / _MANIFEST).write_text(manifest, encoding="utf-8")
        for file in temporary.iterdir():
            files.to_disk(file)
        files.to_disk(temporary)
        if path.exists():  # it is damaged, or the run was stopped at this very batch
            if not is_own(path):
                raise OSError(f"{path} is no checkpoint of srez: move it elsewhere")
            _remove(path)
        temporary.rename(path)
        files.to_disk(path.parent)
    except tf.errors.OpError as error:
        raise OSError(f"{path}: {error.message}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def prune(checkpoint_dir, kept, keep_every, best=None):
    """Removes all checkpoints, whole or damaged, that are older than the newest `kept` whole ones.

    Those at multiples of `keep_every` > 0 stay, and the one with the name `best`.
    """
    for path in reversed(_checkpoints(checkpoint_dir)):
        if kept:
            kept -= is_whole(path)
        elif path.name != best and (not keep_every or batch_of(path) % keep_every):
            _remove(path)


def is_whole(path):
    """Whether there is an undamaged checkpoint at `path`."""
    return not _damage(path)


def read_run(path):
    """What `write_checkpoint` got as `run`. Raises OSError if a newer srez wrote the checkpoint."""
    manifest = json.loads(Path(path, _MANIFEST).read_text(encoding="utf-8"))
    if manifest["format"] > FORMAT:
        raise OSError(f"{path} was written by a newer version of srez: use that")
    return json.loads(gzip.decompress(Path(path, _RUN).read_bytes()))


def file_sums(path):
    """The hex SHA-256 of a whole checkpoint's files by name, from its manifest."""
    listed = json.loads(Path(path, _MANIFEST).read_text(encoding="utf-8"))["files"]
    return {name: known["sha256"] for name, known in listed.items()}


def restore(path, **objects):
    """Assigns to `objects` what the checkpoint holds under their names.

    Raises OSError if the checkpoint is damaged or from other networks.
    """
    import tensorflow as tf

    try:
        status = tf.train.Checkpoint(**objects).read(str(Path(path, _TENSORS)))
        status.assert_existing_objects_matched().expect_partial()
    except (ValueError, AssertionError, tf.errors.OpError) as error:
        raise OSError(f"{path} does not fit these networks, or is damaged") from error


@contextlib.contextmanager
def locked(folder, name="checkpoint_dir"):
    """Makes the folder of an option, keeps other trainings out, removes what a killed one left.

    Raises OSError if another training uses it, or if it can't be made.
    """
    given, folder = folder, Path(folder)
    has_folder, has_lock = folder.is_dir(), os.path.lexists(folder / LOCK)
    files.make_folder(folder)
    try:
        with files.locked(folder / LOCK) as file:
            file.seek(0)
            if not re.fullmatch(r"\d*", file.read().strip()):
                raise OSError(f"--{name}={given}: {folder / LOCK} is not srez's: rename it")
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            for path in folder.iterdir():
                if path.name.startswith((WRITING, REMOVING)) and is_own(path):
                    _remove_tree(path)
            try:
                yield
            finally:
                # Nothing came into it. A folder that was moved aside isn't here any more.
                if not has_lock and not any(map(is_own, folder.glob("*"))):
                    with contextlib.suppress(OSError):
                        (folder / LOCK).unlink()
                        if not has_folder:
                            folder.rmdir()
    except BlockingIOError as error:
        raise OSError(
            f"--{name}={given} is in use by another training, process {error.holder}: wait for "
            "it, stop it, or give another folder"
        ) from None


class Checkpoints:
    """Saves the checkpoints of a run when they are due, and tries again after a full disk.

    One is due every `period` batches and every so many `minutes` (0: not by the clock). It keeps
    the two newest, those at multiples of `keep_every` (0: none), and the best.
    """

    def __init__(self, checkpoint_dir, period, minutes, keep_every, batch):
        self.saved_batch = batch
        self._folder = checkpoint_dir
        self._period = period
        self._seconds = 60 * minutes or math.inf
        self._keep_every = keep_every
        self._next_at = time.monotonic() + self._seconds

    def is_due(self, batch, stop):
        """Whether one is due: by the batches, by the clock, or because the training stops here."""
        if batch == self.saved_batch:
            return False
        return stop or batch % self._period == 0 or time.monotonic() >= self._next_at

    def save(self, batch, run, objects, is_last=False):
        """Writes a checkpoint, removes old ones but not `run["best"]`; returns whether it could.

        Raises OSError if it can't write the last one.
        """
        best = run["best"] and run["best"]["name"]
        try:
            path = write_checkpoint(self._folder, batch, run, objects)
            say(f"Saved {path}.")
            prune(self._folder, KEPT_CHECKPOINTS, self._keep_every, best)
        except OSError as error:
            reason = f"Can't write a checkpoint: {' '.join(str(error).split())}."
            if is_last:
                raise OSError(
                    f"{reason} Make room in --checkpoint_dir={self._folder}: the one before is "
                    "whole, and the same command goes on from it"
                ) from error
            say(f"{reason} Training goes on; the next try is in a minute.")
            self._next_at = time.monotonic() + RETRY_SECONDS
            return False
        self.saved_batch, self._next_at = batch, time.monotonic() + self._seconds
        return True


def _checkpoints(checkpoint_dir):
    """Paths of all checkpoints in the folder, damaged ones too, the newest last."""
    folder = Path(checkpoint_dir)
    found = folder.iterdir() if folder.is_dir() else ()
    own = (path for path in found if batch_of(path) is not None and is_own(path))
    return sorted(own, key=batch_of)


def _damage(path):
    """What is wrong with a checkpoint, in words; "" if it is whole."""
    try:
        listed = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))["files"]
        wrong = [name for name, known in listed.items() if _size_and_sum(path / name) != known]
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{_MANIFEST} can't be read: {error}"
    return f"{wrong[0]} has changed" if wrong else ""


def _size_and_sum(path):
    return {"bytes": path.stat().st_size, "sha256": files.sha256(path)}


def _remove(path):
    # Renamed first, so that a half removed checkpoint doesn't look like a damaged one.
    trash = path.with_name(f"{REMOVING}{path.name}")
    if os.path.lexists(trash):
        _remove_tree(trash)
    path.rename(trash)
    _remove_tree(trash)


def _remove_tree(path):
    """Removes a folder, or of a link to one the link alone."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)
