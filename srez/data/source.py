"""Where the pictures are: their names in order, their bytes, and what tells a changed one."""

import array
import functools
import hashlib
import os
import time
from pathlib import Path

import numpy as np

from srez.console import complain
from srez.data.parts import ADVICE, find_parts
from srez.data.zips import Entry
from srez.drawn.faces import sample_faces
from srez.pictures.image import PICTURE_SUFFIXES

QUIET = 2.0  # seconds before, and between, the lines that say how far a listing is
_FIELDS = 6  # numbers of a picture: its part, and those of its Entry


def open_source(dataset):
    """Lists the pictures of --dataset, or the drawn faces if it is None; returns a Source.

    Raises:
        OSError: nothing there, or no pictures in it; one line that says what was found.
    """
    if dataset is None:
        source = open_source(sample_faces())
        source.label = "the built-in drawn sample faces"
        return source
    parts = find_parts(os.fspath(dataset))
    label = os.fspath(dataset)
    if len(parts) == 1 and "://" not in label:
        label = str(Path(parts[0].path))
    return Source(label, parts)


class Source:
    """Numbered pictures, sorted by name: those of all `parts`, Folders and Zips, as one list.

    `names` is a list. If a name is in two parts, each name gets the path of its part in front. If
    it is twice in one part, the last entry counts. `label` says in words where the pictures are
    from, `partition` is the text of CelebA's list of the split, or None.

    Raises:
        OSError: a part holds no pictures or can't be read, or one part holds another.
    """

    def __init__(self, label, parts):
        self.label = label
        self._parts = parts
        self._progress = _Progress(label)
        names, self._entries = self._list()
        self._heads = [""] * len(parts)
        order = self._order(names)
        if order is None:
            self._heads = [f"{part.path.rstrip('/')}/" for part in parts]
            heads = (self._heads[part] for part in self._entries[:, 0])
            names = [head + name for head, name in zip(heads, names, strict=True)]
            order = self._order(names)
        if order is None:
            raise OSError(f"--dataset={label} names pictures twice: one part holds another")
        self.names = [names[number] for number in order]
        self._entries = self._entries[order]
        lists = dict.fromkeys(part.partition() for part in parts)
        self.partition = "\n".join(text for text in lists if text is not None) or None

    def read(self, number):
        """The bytes of a picture's file. Raises OSError: one line that names it."""
        part, *numbers = self._entries[number].tolist()
        name = self.names[number]
        inner = name.removeprefix(self._heads[part])
        return self._parts[part].read(Entry(inner, *numbers), name)

    @functools.cached_property
    def identities(self):
        """An int64 per name that tells a changed file cheaply, on any machine; no times in it.

        The size in bytes in a folder (-1: gone), checksum and size in a zip. The low 32 bits are
        the size in both.
        """
        found = np.empty(len(self.names), np.int64)
        for number, (part, *numbers) in enumerate(self._entries.tolist()):
            self._progress.show(number, "pictures looked at so far")
            inner = self.names[number].removeprefix(self._heads[part])
            found[number] = self._parts[part].identity(Entry(inner, *numbers))
        return found

    @functools.cached_property
    def fingerprint(self):
        """Hex digits of the files' names and the list of the split; where they lie is no matter."""
        digest = hashlib.sha256()
        for name in self.names:
            digest.update(f"{name}\n".encode("utf-8", "surrogateescape"))
        digest.update(f"\n{self.partition or ''}".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]

    @functools.cached_property
    def contents(self):
        """Hex digits of the identities."""
        return hashlib.sha256(self.identities.astype("<i8", copy=False)).hexdigest()[:16]

    def _list(self):
        """All parts' names, and an array uint64 [N, 6] of their parts and entries, as listed."""
        names, numbers = [], array.array("Q")
        for index, part in enumerate(self._parts):
            before = len(names)
            for name, *entry in part.list():
                names.append(name)
                numbers.extend((index, *entry))
                self._progress.show(len(names), "pictures listed so far")
            if len(names) == before:
                suffixes = " ".join(PICTURE_SUFFIXES)
                raise FileNotFoundError(
                    f"--dataset={part.path} holds no {suffixes} pictures: {ADVICE}"
                )
        return names, np.frombuffer(numbers, np.uint64).reshape(-1, _FIELDS)

    def _order(self, names):
        """The numbers of the names in order, of a name's in one part the last one only.

        None if a name is in two parts.
        """
        order = sorted(range(len(names)), key=names.__getitem__)
        kept = []
        for number in order:
            if kept and names[kept[-1]] == names[number]:
                if self._entries[kept[-1], 0] != self._entries[number, 0]:
                    return None
                kept.pop()
            kept.append(number)
        return kept


class _Progress:
    """Says on stderr how far a listing is, every few seconds."""

    def __init__(self, label):
        self._label = label
        self._next = time.monotonic() + QUIET

    def show(self, count, words):
        """Says it if it is time to; looks at the clock for one in a thousand."""
        if count % 1024 == 0 and time.monotonic() >= self._next:
            complain(f"{self._label}: {count:,} {words}")
            self._next = time.monotonic() + QUIET
