"""Which pictures are for training, for validation and for testing."""

import dataclasses

import numpy as np

from srez.data.parts import PARTITION

MAX_VALIDATION = 256  # faces; more would only make watching slower


@dataclasses.dataclass(frozen=True)
class Split:
    """Numbers of the training, validation and test pictures (int64 arrays), and how it was made.

    `rule` are the arguments of `split_source` that make it again, or None if they don't.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    note: str
    rule: dict | None = None


def split_source(source, test_vectors, random_seed, batch_size):
    """Splits by CelebA's list if there is one, else by a seeded shuffle, and returns a Split.

    By shuffle the last `test_vectors` are for testing, and up to 256 (at most a tenth) before
    them for validation.

    Raises:
        OSError: fewer training pictures than a batch takes, or no test picture.
    """
    listed = listed_parts(source)
    if listed is None:
        split = _shuffled_split(len(source.names), test_vectors, random_seed)
    else:
        parts, absent = listed
        train, validation, test = (np.flatnonzero(parts == part) for part in range(3))
        note = f"split by {PARTITION} (--test_vectors limits nothing)"
        if absent:
            note += f"; {absent} of its names are not among the pictures"
        split = Split(train, validation, test, note)
    if len(split.train) < batch_size or not len(split.test):
        raise FileNotFoundError(
            f"{source.label} holds {len(source.names)} pictures, {len(split.train)} for training "
            f"and {len(split.test)} for testing: too few for --batch_size={batch_size}; "
            "add pictures or lower --batch_size and --test_vectors"
        )
    rule = {"test_vectors": test_vectors, "random_seed": random_seed, "batch_size": batch_size}
    return dataclasses.replace(split, rule=rule)


def listed_parts(source):
    """The part (0, 1, 2) of each picture in CelebA's list, and how many names are absent; or None.

    A picture that is not listed is for training. A list that leaves no test picture is no list.
    """
    if source.partition is None:
        return None
    rows = (line.split() for line in source.partition.splitlines())
    listed = {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1] in ("0", "1", "2")}
    parts, found = np.zeros(len(source.names), np.int8), set()
    for number, name in enumerate(source.names):
        name = name.rpartition("/")[2]
        if name in listed:
            found.add(name)
            parts[number] = listed[name]
    return (parts, len(listed) - len(found)) if (parts == 2).any() else None


def _shuffled_split(count, test_vectors, random_seed):
    order = np.random.default_rng(random_seed).permutation(count)
    rest, test = np.split(order, [max(count - test_vectors, 0)])
    train, validation = np.split(rest, [len(rest) - min(MAX_VALIDATION, count // 10, len(rest))])
    return Split(train, validation, test, "split by a seeded shuffle")
