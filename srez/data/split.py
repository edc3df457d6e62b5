"""Which pictures are for training, for validation and for testing."""

import dataclasses
import os
import re

import numpy as np

from srez.console import counted, say
from srez.data.parts import PARTITION, base_name
from srez.options import FIELDS

MAX_VALIDATION = 256  # pictures; more would only slow down the validation


@dataclasses.dataclass(frozen=True)
class Split:
    """The numbers of the training, validation and test pictures: int64 arrays.

    `note` says how the split was made. `rule` holds the arguments of `split_source` that make it
    again, or is None if none do.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    note: str
    rule: dict | None = None

    def in_words(self, label):
        """Lines: how many pictures of the source `label` there are, and how they were split."""
        return (
            f"{len(self.train):,} training, {len(self.validation):,} validation and "
            f"{counted(len(self.test), 'test picture')}.\n"
            f"They are from {label}.\n"
            f"{self.note[0].upper()}{self.note[1:]}."
        )


def split_source(source, test_vectors, random_seed, batch_size):
    """Splits by CelebA's list if there is one, else by a seeded shuffle, and returns a Split.

    In a shuffle, the last `test_vectors` are for testing. Up to MAX_VALIDATION before them, at most
    a tenth of all, are for validation.

    Raises:
        OSError: fewer training pictures than a batch takes, or no test picture.
    """
    count = len(source.names)
    parts, known, absent = listed_parts(source)
    if not (parts == 2).any():
        order = np.random.default_rng(random_seed).permutation(count)
        rest, test = np.split(order, [max(count - test_vectors, 0)])
        most = min(MAX_VALIDATION, count // 10, len(rest))
        train, validation = np.split(rest, [len(rest) - most])
        note = f"split by a seeded shuffle, because there is no {PARTITION}"
        if source.partition is not None:
            note = f"split by a seeded shuffle, because {PARTITION} names no test picture"
            say(f"Warning: the pictures of {source.label} are {note}: is it of other pictures?")
    else:
        train, validation, test = (np.flatnonzero(parts == part) for part in range(3))
        note = f"split by {PARTITION}"
        if test_vectors != FIELDS["test_vectors"].default:
            note += ", not by --test_vectors"
        if absent:
            note += f"; {absent:,} of its names have no picture here"
        if 2 * known < count:
            say(
                f"Warning: {PARTITION} names only {known} of the {count} pictures of "
                f"{source.label}; srez trains on the others, even if test people are on them"
            )
    if len(train) < batch_size or not len(test):
        raise FileNotFoundError(
            f"{source.label} holds {count} pictures, {len(train)} for training and {len(test)} for "
            f"testing: too few for --batch_size={batch_size}; add pictures or lower --batch_size "
            "and --test_vectors"
        )
    rule = {"test_vectors": test_vectors, "random_seed": random_seed, "batch_size": batch_size}
    return Split(train, validation, test, note, rule)


def listed_parts(source):
    """What CelebA's list says: (the part of each picture, how many it names, how many are absent).

    A part is 0, 1 or 2; a picture that is not listed is for training. Names count without folders
    and suffix: CelebA is also packed as PNG. Lines are those of CelebA's list, or have a comma.
    """
    rows = (re.split(r"[\s,]+", line.strip()) for line in (source.partition or "").splitlines())
    rows = (row for row in rows if len(row) == 2 and row[1] in ("0", "1", "2"))
    listed = {_stem(name): int(part) for name, part in rows}
    stems = [_stem(name) for name in source.names]
    parts = np.array([listed.get(stem, 0) for stem in stems], np.int8)
    return parts, sum(stem in listed for stem in stems), len(listed.keys() - stems)


def _stem(name):
    return os.path.splitext(base_name(name))[0]
