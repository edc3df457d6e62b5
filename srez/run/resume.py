"""Tells whether a run may go on from a checkpoint: the same options, the same pictures."""

import dataclasses

import numpy as np

from srez.data.source import Split, split_source

# Options that shape the networks or the order of the data: a run can't go on with others.
FIXED_OPTIONS = ("batch_size", "noise_level", "random_seed", "sample_size", "test_vectors")
NAMED = 3  # pictures named in an error, of many
# A checkpoint keeps a line on each of so many pictures at most (CelebA has 202,599); it would grow
# and take long to write. Of more it keeps how to tell that they are the same, and split the same.
KEPT_BY_NAME = 500_000
_START_ANEW = "or give --noresume to start anew (the old results are kept)"


def changed_options(path, old, new):
    """Lines about those options (dicts, flag to value) that a resumed run takes although changed.

    Raises:
        FileExistsError: one that can't change has; says which, and both values.
    """
    for name in FIXED_OPTIONS:
        if old[name] != new[name]:
            raise FileExistsError(_refusal(path, name, old[name], new[name]))
    # Loss scaling keeps numbers of its own beside the optimizer's.
    if "float16" in (old["precision"], new["precision"]) and old["precision"] != new["precision"]:
        raise FileExistsError(_refusal(path, "precision", old["precision"], new["precision"]))
    return [
        f"--{name} is now {value}, was {old.get(name)}."
        for name, value in new.items()
        if name not in ("resume", "source") and value != old.get(name)
    ]


def kept_files(source, split):
    """What a checkpoint keeps of the pictures and their split, for JSON.

    Each name if there are up to KEPT_BY_NAME, or if the split can't be made again: that of a run
    which was resumed with new pictures.
    """
    if len(source.names) > KEPT_BY_NAME and split.rule is not None:
        return {"label": source.label, "rule": split.rule} | _digests(source)
    return {
        "label": source.label,
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
        split = split_source(source, **kept["rule"])
        return dataclasses.replace(split, note=f"{split.note}, as before")
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
    note = "split as before"
    if len(added):
        note += f"; {len(added)} new pictures are taken for training from here on"
    return Split(
        np.concatenate([numbers[kept["train"]], added]),
        numbers[np.array(kept["validation"], np.int64)],
        numbers[np.array(kept["test"], np.int64)],
        note,
    )


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
