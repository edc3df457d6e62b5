"""Which pictures are for training, for validation and for testing."""

import dataclasses

import numpy as np

from srez.data.parts import PARTITION

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


def split_source(source, test_vectors, random_seed, batch_size):
    """Splits by CelebA's list if there is one, else by a seeded shuffle, and returns a Split.

    In a shuffle, the last `test_vectors` are for testing. Up to MAX_VALIDATION before them, at most
    a tenth of all, are for validation.

    Raises:
        OSError: fewer training pictures than a batch takes, or no test picture.
    """
    count = len(source.names)
    listed = listed_parts(source)
    if listed is None:
        order = np.random.default_rng(random_seed).permutation(count)
        rest, test = np.split(order, [max(count - test_vectors, 0)])
        most = min(MAX_VALIDATION, count // 10, len(rest))
        train, validation = np.split(rest, [len(rest) - most])
        note = "split by a seeded shuffle"
    else:
        parts, absent = listed
        train, validation, test = (np.flatnonzero(parts == part) for part in range(3))
        note = f"split by {PARTITION} (--test_vectors limits nothing)"
        if absent:
            note += f"; {absent} of its names are not among the pictures"
    if len(train) < batch_size or not len(test):
        raise FileNotFoundError(
            f"{source.label} holds {count} pictures, {len(train)} for training and {len(test)} for "
            f"testing: too few for --batch_size={batch_size}; add pictures or lower --batch_size "
            "and --test_vectors"
        )
    rule = {"test_vectors": test_vectors, "random_seed": random_seed, "batch_size": batch_size}
    return Split(train, validation, test, note, rule)


def listed_parts(source):
    """The part (0, 1, 2) of each picture in CelebA's list, and the number of absent names; or None.

    A picture that is not listed is for training. A list that leaves no test picture doesn't count.
    """
    if source.partition is None:
        return None
    rows = (line.split() for line in source.partition.splitlines())
    listed = {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1] in ("0", "1", "2")}
    names = [name.rpartition("/")[2] for name in source.names]
    parts = np.array([listed.get(name, 0) for name in names], np.int8)
    return (parts, len(listed.keys() - names)) if (parts == 2).any() else None
