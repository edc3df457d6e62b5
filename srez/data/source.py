"""Where the pictures are: lists folders and zips, reads files, splits training from test."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from srez.data.index import PART_SHIFT, Progress, build_index, keep_index, kept_index
from srez.data.parts import Folder, Zip, find_parts
from srez.data.zips import ZipEntry
from srez.drawn import faces
from srez.pictures.image import PICTURE_SUFFIXES

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
