"""Where the pictures are: lists a folder or a zip, reads files, splits training from test."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np

import srez_faces
from srez_image import PICTURE_SUFFIXES, read_file
from srez_zip import ZipReader

PARTITION = "list_eval_partition.txt"  # CelebA's own split: lines of "name.jpg 0|1|2"
MAX_VALIDATION = 256  # faces; more would only make watching slower


@dataclasses.dataclass(frozen=True)
class Source:
    """Numbered pictures: `read(number)` gives the bytes of the file called names[number].

    `label` says in words where they are from; `partition` is the text of CelebA's list of the
    split, or None; `identify()` computes the `identities`.
    """

    label: str
    names: tuple
    read: Callable
    partition: str | None
    identify: Callable

    @functools.cached_property
    def fingerprint(self):
        """Hex digits of the files' names and the list of the split; where they lie is no matter."""
        text = "\n".join([*self.names, "", self.partition or ""])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    @functools.cached_property
    def identities(self):
        """An int64 per name that tells a changed file cheaply, on any machine; no times in it.

        The size in bytes in a folder (-1: gone), checksum and size in a zip.
        """
        return self.identify()


@dataclasses.dataclass(frozen=True)
class Split:
    """Numbers of the training, validation and test pictures (int64 arrays), and how it was made."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    note: str


def open_source(dataset):
    """Lists the pictures of a folder (recursively) or zip, or of the drawn faces if None.

    Raises:
        OSError: nothing there, or no pictures in it; one line that says what was found.
    """
    if dataset is None:
        folder = srez_faces.sample_faces()
        return dataclasses.replace(_open_folder(folder), label="the built-in drawn sample faces")
    path = Path(dataset)
    if not path.exists():
        raise FileNotFoundError(
            f"--dataset={dataset} does not exist: give a folder of pictures or img_align_celeba.zip"
        )
    if not path.is_dir() and not path.is_file():  # a pipe would never end
        raise OSError(f"--dataset={dataset} is neither a folder nor a zip: give one of these")
    source = _open_folder(path) if path.is_dir() else _open_zip(path)
    if not source.names:
        raise FileNotFoundError(
            f"--dataset={dataset} holds no {' '.join(PICTURE_SUFFIXES)} pictures: "
            "give a folder of pictures or img_align_celeba.zip"
        )
    return source


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
    return split


def _open_folder(folder):
    names = []
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        names += [Path(path, name).relative_to(folder).as_posix() for name in files]
    names = tuple(sorted(filter(_is_picture, names)))
    lists = [place / PARTITION for place in (folder, folder.absolute().parent)]
    partition = next((_text(path) for path in lists if path.is_file()), None)

    def read(number):
        return read_file(os.path.join(folder, names[number]), names[number])

    def identify():
        sizes = (_size(os.path.join(folder, name)) for name in names)
        return np.fromiter(sizes, np.int64, len(names))

    return Source(str(folder), names, read, partition, identify)


def _open_zip(path):
    archive = ZipReader(path)
    lists = [name for name in archive.entries if PurePosixPath(name).name == PARTITION]
    beside = path.absolute().parent / PARTITION
    partition = None
    if lists:
        partition = archive.read(lists[0]).decode(errors="replace")
    elif beside.is_file():
        partition = _text(beside)
    names = tuple(sorted(filter(_is_picture, archive.entries)))
    return Source(
        str(path),
        names,
        lambda number: archive.read(names[number]),
        partition,
        lambda: archive.identities(names),
    )


def _size(path):
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def _text(path):
    return path.read_text(errors="replace")


def _is_picture(name):
    parts = PurePosixPath(name).parts
    hidden = any(_is_hidden(part) for part in parts)
    return not hidden and name.lower().endswith(PICTURE_SUFFIXES)


def _is_hidden(name):
    return name.startswith(".") or name == "__MACOSX"


def _listed_parts(source):
    """The part (0, 1, 2) of each picture in CelebA's list and how many names are absent, or None.

    A picture that is not listed is for training. A list that leaves no test picture is no list.
    """
    if source.partition is None:
        return None
    rows = (line.split() for line in source.partition.splitlines())
    listed = {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1] in ("0", "1", "2")}
    base_names = [PurePosixPath(name).name for name in source.names]
    parts = np.array([listed.get(name, 0) for name in base_names])
    return (parts, len(listed.keys() - set(base_names))) if (parts == 2).any() else None


def _shuffled_split(count, test_vectors, random_seed):
    order = np.random.default_rng(random_seed).permutation(count)
    rest, test = np.split(order, [max(count - test_vectors, 0)])
    train, validation = np.split(rest, [len(rest) - min(MAX_VALIDATION, count // 10, len(rest))])
    return Split(train, validation, test, "split by a seeded shuffle")
