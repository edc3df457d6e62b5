"""What a training starts from: a checkpoint whose options and pictures still fit, or nothing."""

import contextlib
import dataclasses
import errno
import os
from pathlib import Path

import numpy as np

from srez.console import complain, counted, say
from srez.data.split import Split, split_source
from srez.files import printable
from srez.options import FIELDS
from srez.run.checkpoint import (
    batch_of,
    checkpoint_name,
    is_whole,
    locked,
    newest_checkpoint,
    read_run,
    restore,
)
from srez.run.progress import Totals
from srez.run.results import LOCK, in_the_way, set_aside
from srez.run.weights import choose_weights

# Options that shape the networks or the order of the data: a run can't go on with others.
FIXED_OPTIONS = ("recipe", "l1_batches", "degrade", "batch_size", "noise_level", "random_seed")
FIXED_OPTIONS += ("sample_size", "test_vectors")
PARTS = ("train", "validation", "test")
NAMED = 3  # pictures in an error, if there are many
# Up to so many pictures (CelebA has 202,599) a checkpoint keeps each by name. With more it would be
# large and slow to write: then it keeps what tells other pictures, and how they were split.
KEPT_BY_NAME = 500_000
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}
_START_ANEW = "or give --noresume to start anew (the old results are kept)"


@dataclasses.dataclass(frozen=True)
class Start:
    """What a training starts from: a `checkpoint`'s path, or None, and how its pictures are split.

    `options` and `files` are what its checkpoints will keep of the options and the pictures.
    `bad_images` and `best` are what earlier sessions found, `changes` lines about changed options.
    """

    checkpoint: Path | None
    split: Split
    options: dict
    files: dict
    bad_images: list = dataclasses.field(default_factory=list)
    best: dict | None = None
    changes: list = dataclasses.field(default_factory=list)


@contextlib.contextmanager
def claimed(options, cluster, source):
    """Gives the Start of a training on `source`, and keeps other trainings out of its folders.

    If there are several processes, those of a parallel.cluster.Cluster, the chief finds the
    checkpoint. It moves aside what is in the way of a new run.

    Raises:
        OSError: a folder is in use, or holds something else under a name that the run needs; its
            checkpoints are damaged, or the pictures are too few.
        FileExistsError: options or pictures are not those that the run began with.
    """
    with contextlib.ExitStack() as stack:
        checkpoint = _find_checkpoint(options, cluster, stack)
        new = options.of_training() | {"source": source.label}
        found = {}
        if checkpoint:
            run = read_run(checkpoint)
            changes = changed_options(checkpoint, run["options"], new)
            split = resumed_split(checkpoint, run["files"], source)
            found = {"bad_images": run["bad_images"], "best": run.get("best"), "changes": changes}
        else:
            rule = (options.test_vectors, options.random_seed, options.batch_size)
            split = split_source(source, *rule)
            if cluster.is_chief:
                _make_room(options, stack)
        yield Start(checkpoint, split, new, kept_files(source, split), **found)


def changed_options(path, old, new):
    """Lines about the changed options that a resumed run takes; `old`, `new` are values by name.

    Raises FileExistsError if an option that has to stay has changed; says which, and both values.
    """
    # An option that the old program didn't know had the effect of today's default.
    before = {name: old.get(name, FIELDS[name].default) for name in new if name in FIELDS}
    fixed = [*FIXED_OPTIONS]
    if "float16" in (before["precision"], new["precision"]):
        fixed.append("precision")  # its loss scaling keeps numbers in the checkpoint
    for name in fixed:
        if before[name] != new[name]:
            raise FileExistsError(
                f"{path} was trained with --{name}={before[name]}, not {new[name]}: give that to "
                f"go on, {_START_ANEW}"
            )
    return [
        f"--{name} is now {new[name]}, was {value}."
        for name, value in before.items()
        if name != "resume" and new[name] != value
    ]


def kept_files(source, split):
    """What a checkpoint keeps of the pictures and their split, for JSON.

    It keeps each name if there are up to KEPT_BY_NAME, or if the split can't be made again because
    pictures came later.
    """
    kept = {"label": source.label, "split": split.note}
    if len(source.names) > KEPT_BY_NAME and split.rule is not None:
        return kept | {"rule": split.rule} | _digests(source)
    kept |= {"names": list(source.names), "identities": source.identities.tolist()}
    return kept | {part: getattr(split, part).tolist() for part in PARTS}


def resumed_split(path, kept, source):
    """The Split of `source` by what `kept_files` kept; new pictures are for training.

    A run on more than KEPT_BY_NAME takes no new ones: all have to be the same.

    Raises FileExistsError if pictures are missing or have changed; names the first of them, unless
    there are so many.
    """
    if "rule" in kept:
        _refuse_others(path, kept, source)
        return split_source(source, **kept["rule"])
    place = {name: number for number, name in enumerate(source.names)}
    names = kept["names"]
    gone = {name for name in names if name not in place and source.leaves_out(name)}
    missing = [name for name in names if name not in place and name not in gone]
    changed = [
        name
        for name, identity in zip(names, kept["identities"], strict=True)
        if name in place and source.identities[place[name]] != identity
    ]
    if 2 * (len(missing) + len(changed)) > len(names):
        raise FileExistsError(
            f"{path} was trained on {kept['label']}, but --dataset has other pictures: "
            f"{source.label}. Give the old --dataset to go on, {_START_ANEW}"
        )
    for what, which in (("missing", missing), ("changed", changed)):
        if which:
            more = ", ..." if len(which) > NAMED else ""
            raise FileExistsError(
                f"{len(which)} of the pictures that {path} was trained with are {what} in "
                f"{source.label} ({', '.join(map(repr, which[:NAMED]))}{more}): put them back to "
                f"go on, {_START_ANEW}"
            )
    numbers = np.array([place.get(name, -1) for name in names], np.int64)
    added = np.setdiff1d(np.arange(len(source.names)), numbers)
    note = kept.get("split", "split as when the run began")  # missing before 2026-12
    if len(added):
        note += f"; {counted(len(added), 'picture')} came later, for training"
    if gone:
        note += f"; {counted(len(gone), 'picture')} of then left out now: srez's own, or thumbnails"
    parts = (numbers[np.array(kept[part], np.int64)] for part in PARTS)
    train, validation, test = (part[part >= 0] for part in parts)
    if not len(test):
        raise FileExistsError(
            f"all test pictures of {path} were srez's own or thumbnails, and srez leaves these "
            f"out now: give other pictures, {_START_ANEW}"
        )
    return Split(np.concatenate([train, added]), validation, test, note)


def take_up(trainer, start):
    """Gives a srez_train.Trainer the weights that it starts from; returns whether it is done."""
    options, recipe = trainer.options, trainer.recipe
    if start.checkpoint:
        restore(start.checkpoint, **trainer.state)
        totals = Totals(options.train_batches, options.train_time)
        done = totals.reached(int(trainer.batch), float(trainer.seconds))
        going_on = [f"Resuming from {start.checkpoint}.", *start.changes]
        say(f"Nothing to do: {done}" if done else "\n".join(going_on))
        return bool(done)
    if options.weights == "shipped":  # at --fidelity between its two ends
        weights = choose_weights(options.checkpoint_dir, "shipped", options.sample_size)
        for network in (recipe.generator, recipe.average):
            network.set_weights(weights.between(options.fidelity).get_weights())
        recipe.faithful.set_weights(weights.between(0.0).get_weights())
        say(f"Beginning with the {weights.words}.")
    return False


def _find_checkpoint(options, cluster, stack):
    """The checkpoint to go on from, the same for all processes, or None; locks the folders."""
    if cluster.is_chief:
        for name in _folders(options):
            _lock(options, name, stack)
        if other := in_the_way(options.train_dir, options.checkpoint_dir):
            raise OSError(
                f"{printable(str(other))} is not srez's, and the training needs its name: move it "
                "elsewhere, or give another folder"
            )
        checkpoint = newest_checkpoint(options.checkpoint_dir) if options.resume else None
        cluster.from_chief(batch_of(checkpoint) if checkpoint else 0)
        return checkpoint
    batch = cluster.from_chief(0)
    path = Path(options.checkpoint_dir, checkpoint_name(batch))
    if batch and not is_whole(path):
        raise OSError(
            f"worker {cluster.index} doesn't find {path}, which worker 0 goes on from: "
            "--checkpoint_dir has to be a folder that all workers share"
        )
    return path if batch else None


def _folders(options):
    """The run's folders by their options; one alone if they are the same."""
    folders = {"checkpoint_dir": options.checkpoint_dir, "train_dir": options.train_dir}
    if os.path.realpath(options.train_dir) == os.path.realpath(options.checkpoint_dir):
        del folders["train_dir"]
    return folders


def _make_room(options, stack):
    """Moves the results of an earlier run aside, and locks the folders that are new then."""
    folders = _folders(options)
    held = [name for name, folder in folders.items() if Path(folder, LOCK).exists()]
    given = folders.values() if not options.resume else [options.train_dir]
    for old, new in set_aside(given, inside=folders.values()).items():
        how = f"{old} is now {new}."
        if new.parent == old:
            how = f"from {old} to {new}. What isn't srez's stayed."
        say(f"Moved an earlier run's results aside: {how}")
    for name in held:
        if not Path(folders[name], LOCK).exists():
            _lock(options, name, stack)


def _lock(options, name, stack):
    """Locks a folder; a train_dir that can't be written to, as on a full disk, is no hindrance."""
    folder = getattr(options, name)
    try:
        stack.enter_context(locked(folder, name))
    except OSError as error:
        if name != "train_dir" or error.errno not in _NO_ROOM:
            raise
        complain(
            f"--{name}={folder} can't be locked ({error.strerror}): see to it yourself that only "
            "one training uses it"
        )


def _digests(source):
    # The fingerprint is that of the names and of the split's list.
    return {
        "count": len(source.names),
        "fingerprint": source.fingerprint,
        "contents": source.contents,
    }


def _refuse_others(path, kept, source):
    new = _digests(source)
    differences = {
        "count": f"there were {kept['count']:,} and now there are {new['count']:,}",
        "fingerprint": "some have other names, or their list of the split has changed",
        "contents": "some have changed",
    }
    for key, difference in differences.items():
        if new[key] != kept[key]:
            left_out = "".join(f"; left out now: {what}" for what in source.left_out)
            raise FileExistsError(
                f"{path} was trained with the pictures of {kept['label']}, and those of "
                f"{source.label} are not the same: {difference}{left_out} (with so many "
                f"pictures a run doesn't keep the names): put the old ones back to go on, "
                f"{_START_ANEW}"
            )
