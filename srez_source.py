"""Where the pictures are: lists a folder or a zip, reads files, splits training from test."""

import dataclasses
import functools
import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np

import srez_faces
from srez_image import MAX_BYTES, PICTURE_SUFFIXES, read_file

PARTITION = "list_eval_partition.txt"  # CelebA's own split: lines of "name.jpg 0|1|2"
MAX_VALIDATION = 256  # faces; more would only make watching slower


@dataclasses.dataclass(frozen=True)
class Source:
    """Numbered pictures: `read(number)` gives the bytes of the file called names[number].

    `label` says in words where they are from; `partition` is the text of CelebA's list of the
    split, or None; `identify(number)` is one of `identities`.
    """

    label: str
    names: tuple
    read: Callable
    partition: str | None
    identify: Callable

    @functools.cached_property
    def identities(self):
        """A number for each picture that changes when its content does: int64 [N].

        The size of a file, size and CRC-32 of an entry in a zip.
        """
        return np.array([self.identify(number) for number in range(len(self.names))], np.int64)

    @functools.cached_property
    def fingerprint(self):
        """Hex digits of the files' names and the list of the split; where they lie is no matter."""
        text = "\n".join([*self.names, "", self.partition or ""])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


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
    return Source(
        str(folder),
        names,
        lambda number: read_file(folder / names[number]),
        partition,
        lambda number: os.stat(folder / names[number]).st_size,
    )


def _open_zip(path):
    try:
        with zipfile.ZipFile(path) as archive:
            # Of entries with the same name the last one counts, as when unpacking. Links and names
            # like ../a.jpg are left out; /a.jpg does no harm, since nothing is ever unpacked.
            found = [entry for entry in archive.infolist() if not _is_link(entry)]
            entries = {entry.filename: entry for entry in found}
            lists = [name for name in entries if PurePosixPath(name).name == PARTITION]
            partition = archive.read(lists[0]).decode(errors="replace") if lists else None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        with open(path, "rb") as file:
            is_page = b"<html" in file.read(1024).lower()
        found = (
            "is an HTML page, not a zip: download it again"
            if is_page
            else f"is no whole zip archive ({error}): is the download complete?"
        )
        raise OSError(f"--dataset={path} {found}") from error
    beside = path.absolute().parent / PARTITION
    if partition is None and beside.is_file():
        partition = _text(beside)
    names = tuple(sorted(filter(_is_picture, entries)))
    if len(entries) < len(found):
        print(f"{path}: {len(found) - len(entries)} names stand there twice; the last ones count.")
    # Positioned reads need no lock, so pictures are read in parallel.
    descriptor = os.open(path, os.O_RDONLY)

    def read(number):
        return _read_entry(descriptor, entries[names[number]])

    def identify(number):
        entry = entries[names[number]]
        return entry.CRC << 31 | entry.file_size & 0x7FFFFFFF

    return Source(str(path), names, read, partition, identify)


def _read_entry(descriptor, entry):
    """The bytes of one zip entry, stored or deflated. Raises OSError naming it."""
    name = entry.filename
    if entry.flag_bits & 1:
        raise OSError(f"{name}: is encrypted in the zip")
    if max(entry.file_size, entry.compress_size) > MAX_BYTES:
        raise OSError(f"{name}: {entry.file_size} bytes, {MAX_BYTES} at most for a picture")
    header = os.pread(descriptor, 30, entry.header_offset)
    if len(header) < 30 or not header.startswith(b"PK\3\4"):
        raise OSError(f"{name}: the zip's entry is damaged (no header)")
    start = entry.header_offset + 30 + sum(struct.unpack_from("<HH", header, 26))
    data = os.pread(descriptor, entry.compress_size, start)
    if entry.compress_type == zipfile.ZIP_DEFLATED:
        try:
            # A byte more than it should be, so that an entry that lies is seen, and no more.
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, entry.file_size + 1)
        except zlib.error as error:
            raise OSError(f"{name}: the zip's entry is damaged ({error})") from error
    elif entry.compress_type != zipfile.ZIP_STORED:
        raise OSError(f"{name}: neither stored nor deflated in the zip")
    if len(data) != entry.file_size or zlib.crc32(data) != entry.CRC:
        raise OSError(f"{name}: the zip's entry is damaged (its size or checksum is wrong)")
    return data


def _is_link(entry):
    return stat.S_ISLNK(entry.external_attr >> 16)


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
