"""What a training starts from: a checkpoint whose options and pictures still fit, or nothing."""

import contextlib
import dataclasses
from pathlib import Path

import numpy as np

from srez import files
from srez.console import say
from srez.data.split import Split, listed_parts, split_source
from srez.options import FIELDS
from srez.run.checkpoint import (
    LOCK,
    batch_of,
    checkpoint_name,
    is_whole,
    locked,
    newest_checkpoint,
    read_run,
)
from srez.run.logs import EVENTS, LOSSES, METRICS

# Options that shape the networks or the order of the data: a run can't go on with others.
FIXED_OPTIONS = ("batch_size", "noise_level", "random_seed", "sample_size", "test_vectors")
NAMED = 3  # pictures named in an error, of many
# A checkpoint keeps a line on each of so many pictures at most (CelebA has 202,599); it would grow
# and take long to write. Of more it keeps how to tell that they are the same, and split the same.
KEPT_BY_NAME = 500_000
RESULTS = ("batch*_out.png", LOSSES, METRICS, EVENTS)  # of a run, in its train_dir
_START_ANEW = "or give --noresume to start anew (the old results are kept)"


@dataclasses.dataclass(frozen=True)
class Start:
    """What a training starts from: a `checkpoint`'s path, or None, and how its pictures are split.

    `options` and `files` are what its checkpoints keep of the command line and the pictures,
    `bad_images` and `best` what an earlier session found; `changes` are lines about new options.
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
    """Gives the Start of a training on `source`, and keeps other trainings out of its folder.

    Of several processes, those of a parallel.cluster.Cluster, the chief finds the checkpoint. What
    is in the way of a new run is moved aside.

    Raises:
        OSError: the folder is in use, its checkpoints are damaged, or the pictures are too few.
        FileExistsError: options or pictures are not those that the run began with.
    """
    with contextlib.ExitStack() as stack:
        checkpoint = _find_checkpoint(options, cluster, stack)
        new = options.of_training() | {"source": source.label}
        if checkpoint:
            kept = read_run(checkpoint)
            changes = changed_options(checkpoint, kept["options"], new)
            split = resumed_split(checkpoint, kept["files"], source)
            found = {"bad_images": kept["bad_images"], "best": kept.get("best")}
            yield Start(checkpoint, split, new, kept_files(source, split), **found, changes=changes)
            return
        split = split_source(source, options.test_vectors, options.random_seed, options.batch_size)
        if cluster.is_chief and _make_room(options):
            stack.enter_context(locked(options.checkpoint_dir))
        yield Start(None, split, new, kept_files(source, split))


def changed_options(path, old, new):
    """Lines about those options (dicts, name to value) that a resumed run takes although changed.

    Raises:
        FileExistsError: one that can't change has; says which, and both values.
    """
    for name in FIXED_OPTIONS:
        if old[name] != new[name]:
            raise FileExistsError(_refusal(path, name, old[name], new[name]))
    # Loss scaling keeps numbers of its own beside the optimizer's.
    if "float16" in (old["precision"], new["precision"]) and old["precision"] != new["precision"]:
        raise FileExistsError(_refusal(path, "precision", old["precision"], new["precision"]))
    # An option that the old program didn't know had the effect of today's default.
    before = {name: old.get(name, FIELDS[name].default) for name in new if name in FIELDS}
    return [
        f"--{name} is now {new[name]}, was {value}."
        for name, value in before.items()
        if name != "resume" and new[name] != value
    ]


def kept_files(source, split):
    """What a checkpoint keeps of the pictures and their split, for JSON.

    Each name if there are up to KEPT_BY_NAME, or if the split can't be made again: that of a run
    which was resumed with new pictures.
    """
    kept = {"label": source.label, "split": split.note}
    if len(source.names) > KEPT_BY_NAME and split.rule is not None:
        return kept | {"rule": split.rule} | _digests(source)
    return kept | {
        "names": list(source.names),
        "identities": source.identities.tolist(),
        "train": split.train.tolist(),
        "validation": split.validation.tolist(),
        "test": split.test.tolist(),
    }


def resumed_split(path, kept, source):
    """The Split of `source` that goes on with `kept`, of `kept_files`: new pictures are training's.

    Of a run on very many pictures no new ones are taken: they have to be the same.

    Raises:
        FileExistsError: pictures are missing or have changed; names them, or if there are very many
            says so.
    """
    if "rule" in kept:
        _refuse_others(path, kept, source)
        return split_source(source, **kept["rule"])
    place = {name: number for number, name in enumerate(source.names)}
    names = kept["names"]
    missing = [name for name in names if name not in place]
    identities = source.identities
    changed = [
        name
        for name, identity in zip(names, kept["identities"], strict=True)
        if name in place and identities[place[name]] != identity
    ]
    if 2 * (len(missing) + len(changed)) > len(names):
        raise FileExistsError(
            f"{path} was trained on {kept['label']}, and now the pictures are other ones, "
            f"{source.label}: give the old --dataset to go on, {_START_ANEW}"
        )
    for what, which in (("missing", missing), ("changed", changed)):
        if which:
            more = ", ..." if len(which) > NAMED else ""
            raise FileExistsError(
                f"{len(which)} of the pictures that {path} was trained with are {what} in "
                f"{source.label} ({', '.join(map(repr, which[:NAMED]))}{more}): put them back to "
                f"go on, {_START_ANEW}"
            )
    numbers = np.array([place[name] for name in names], np.int64)
    added = np.setdiff1d(np.arange(len(source.names)), numbers)
    note = kept.get("split") or _note_of_old(source)
    if len(added):
        note += f"; {len(added)} pictures came later and are for training"
    return Split(
        np.concatenate([numbers[kept["train"]], added]),
        numbers[np.array(kept["validation"], np.int64)],
        numbers[np.array(kept["test"], np.int64)],
        note,
    )


def _note_of_old(source):
    """How the split was made of a run whose checkpoints don't keep it, those of before 2026-12."""
    return "split by a seeded shuffle" if listed_parts(source) is None else "split by CelebA's list"


def _find_checkpoint(options, cluster, stack):
    """The checkpoint to go on from, the same for all processes, or None; locks the folder."""
    checkpoint = None
    if cluster.is_chief:
        stack.enter_context(locked(options.checkpoint_dir))
        checkpoint = newest_checkpoint(options.checkpoint_dir) if options.resume else None
    batch = cluster.from_chief(batch_of(checkpoint) if checkpoint else 0)
    if not batch or cluster.is_chief:
        return checkpoint
    path = Path(options.checkpoint_dir, checkpoint_name(batch))
    if not is_whole(path):
        raise OSError(
            f"worker {cluster.index} doesn't find {path}, which worker 0 goes on from: "
            "--checkpoint_dir has to be a folder that all workers share"
        )
    return path


def _make_room(options):
    """Moves aside what is in the way of a new run: old results, logs without a checkpoint.

    Returns whether checkpoint_dir was moved.
    """
    has_results = any(any(Path(options.train_dir).glob(pattern)) for pattern in RESULTS)
    folders = [options.train_dir] if has_results or not options.resume else []
    if not options.resume:
        folders.append(options.checkpoint_dir)
    for old, new in files.set_aside(folders, but=(LOCK,)).items():
        say(f"Moved an earlier run's results aside: {old} is now {new}.")
    return not Path(options.checkpoint_dir).is_dir()


def _digests(source):
    """How many pictures there are, and hex digits of their names with the split's list, and of
    their contents.
    """
    return {
        "count": len(source.names),
        "fingerprint": source.fingerprint,
        "contents": source.contents,
    }


def _refuse_others(path, kept, source):
    new = _digests(source)
    if new["count"] != kept["count"]:
        what = f"there were {kept['count']:,} and now there are {new['count']:,}"
    elif new["fingerprint"] != kept["fingerprint"]:
        what = "some have other names, or their list of the split has changed"
    elif new["contents"] != kept["contents"]:
        what = "some have changed"
    else:
        return
    raise FileExistsError(
        f"{path} was trained with the pictures of {kept['label']}, and those of {source.label} are "
        f"not the same: {what} (of so many it isn't kept which): put them back to go on, "
        f"{_START_ANEW}"
    )


def _refusal(path, name, old, new):
    return f"{path} was trained with --{name}={old}, not {new}: give that to go on, {_START_ANEW}"
