"""Where the pictures are: lists folders and zips, reads files, splits training from test."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from srez.data.index import PART_SHIFT, Progress, build_index, keep_index, kept_index
from srez.data.parts import PARTITION, Folder, Zip, find_parts
from srez.data.zips import ZipEntry
from srez.drawn import faces
from srez.pictures.image import PICTURE_SUFFIXES

MAX_VALIDATION = 256  # faces; more would only make watching slower
_INDEX_FOLDER = ".cache"  # where the drawn faces are, too


@dataclasses.dataclass(frozen=True)
class Source:
    """Numbered pictures: `read(number)` gives the bytes of the file called names[number].

    `label` says in words where they are from; `partition` is the text of CelebA's list of the
    split, or None; `identify()` computes the `identities`.
    """

    label: str
    names: Sequence
    read: Callable
    partition: str | None
    identify: Callable

    @functools.cached_property
    def fingerprint(self):
        """Hex digits of the files' names and the list of the split; where they lie is no matter."""
        digest = hashlib.sha256()
        for lines in self.names.lines():
            digest.update(lines)
        digest.update(f"\n{self.partition or ''}".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]

    @functools.cached_property
    def identities(self):
        """An int64 per name that tells a changed file cheaply, on any machine; no times in it.

        The size in bytes in a folder (-1: gone), checksum and size in a zip. The low 32 bits are
        the size in both.
        """
        return self.identify()

    @functools.cached_property
    def contents(self):
        """Hex digits of the identities."""
        return hashlib.sha256(self.identities.astype("<i8", copy=False)).hexdigest()[:16]


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


def open_source(dataset):
    """Lists the pictures of --dataset, or the drawn faces if it is None.

    Names are sorted; those of several parts are one list, with their part's path in front if a name
    is in two of them. The lists of more than some 100,000 pictures in zips are kept in .cache/.

    Raises:
        OSError: nothing there, or no pictures in it; one line that says what was found.
    """
    if dataset is None:
        folder = faces.sample_faces()
        return dataclasses.replace(open_source(folder), label="the built-in drawn sample faces")
    parts = find_parts(os.fspath(dataset))
    label = os.fspath(dataset)
    if len(parts) == 1 and "://" not in label:
        label = str(Path(parts[0].path))
    index = _index(parts, label)
    for part, count in zip(parts, index.about["counts"], strict=True):
        if not count:
            raise FileNotFoundError(
                f"--dataset={part.path} holds no {' '.join(PICTURE_SUFFIXES)} pictures: "
                "give a folder of pictures or img_align_celeba.zip"
            )
    lists = dict.fromkeys(part.partition() for part in parts)
    partition = "\n".join(text for text in lists if text is not None) or None
    return Source(label, index.names, partition=partition, **_readers(parts, index))


def split_source(source, test_vectors, random_seed, batch_size):
    """Splits by CelebA's list if there is one, else by a seeded shuffle, and returns a Split.

    By shuffle the last `test_vectors` are for testing, and up to 256 (at most a tenth) before
    them for validation.

    Raises:
        OSError: fewer training pictures than a batch takes, or no test picture.
    """
    listed = _listed_parts(source)
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


def _index(parts, label):
    """The Index of the parts; that of many pictures in zips is kept, and taken up again."""
    paths = [part.path for part in parts]
    listings = (part.list() for part in parts)
    if not all(isinstance(part, Zip) for part in parts):
        return build_index(paths, listings, label)
    key = paths, [part.stamp for part in parts]
    index = kept_index(_INDEX_FOLDER, key)
    if index is None:
        index = build_index(paths, listings, label, _INDEX_FOLDER)
        index.about["lists"] = [part.list_entry and _as_json(part.list_entry) for part in parts]
        if index.folder is not None:
            keep_index(index, _INDEX_FOLDER, key)
    else:
        for part, entry in zip(parts, index.about["lists"], strict=True):
            part.list_entry = entry and ZipEntry(entry[0].encode(), *entry[1:])
    return index


def _as_json(entry):
    return [entry.name.decode(), *entry[1:]]


def _readers(parts, index):
    """The functions `read` and `identify` of a Source, by these names."""
    heads = [len(f"{part.path.rstrip('/')}/") * index.about["prefixed"] for part in parts]

    def read(number):
        place, *others = index.entries[number].item()
        part = place >> PART_SHIFT
        name = index.names[number]
        entry = ZipEntry(None, place & (1 << PART_SHIFT) - 1, *others)
        return parts[part].read(name[heads[part] :], entry, name)

    def identify():
        found = index.entries["crc"].astype(np.int64) << 32 | index.entries["size"]
        part_of = index.parts()
        for number, part in enumerate(parts):
            if isinstance(part, Folder):
                mine = np.flatnonzero(part_of == number)
                names = (name[heads[number] :] for name in index.names.take(mine))
                found[mine] = np.fromiter(_sizes(part, names), np.int64, len(mine))
        return found

    return {"read": read, "identify": identify}


def _sizes(folder, names):
    progress = Progress(folder.path)
    for count, name in enumerate(names):
        if count % 1024 == 0:
            progress.show(f"{count:,} pictures looked at so far")
        yield folder.size(name)


def _listed_parts(source):
    """The part (0, 1, 2) of each picture in CelebA's list and how many names are absent, or None.

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
