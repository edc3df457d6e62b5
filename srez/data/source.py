"""Where the pictures are: their names in order, their bytes, and what tells a changed one."""

import functools
import hashlib
import itertools
import os
import time
from pathlib import Path

import numpy as np

from srez.console import complain, counted
from srez.data.left_out import BINS, bin_of, is_made, made_by_srez
from srez.data.parts import ADVICE, find_parts, is_picture
from srez.data.zips import Entry
from srez.drawn.faces import sample_faces
from srez.files import printable
from srez.pictures.bad import NoPictures
from srez.pictures.formats import PICTURE_SUFFIXES, counted_suffixes, is_unreadable

QUIET = 2.0  # seconds before, and between, the lines that say how far a listing is
SOME = 16  # pictures of which one can be read, if their folder is there
# A picture as it is listed: the number of its part, then its Entry. Packed, it takes little memory.
_LISTED = np.dtype(
    {
        "names": ("part", *Entry._fields),
        "formats": (np.uint32, object, np.uint64, np.uint16, np.uint32, np.uint64, np.uint64),
    }
)


def open_source(dataset):
    """Lists the pictures of --dataset, or the drawn faces if it is None; returns a Source.

    Raises:
        OSError: nothing is there, or it holds no pictures; one line that says what was found.
    """
    if dataset is None:
        source = open_source(sample_faces())
        source.label = "the built-in drawn sample faces"
        source.no_identity = "drawn faces are nobody's"
        return source
    label = os.fspath(dataset)
    parts = find_parts(label)
    if len(parts) == 1 and "://" not in label:
        label = str(Path(parts[0].path))
    return Source(label, parts)


class Source:
    """Numbered pictures, sorted by name: those of all `parts`, Folders and Zips, as one list.

    `names` is a list. If a name is in two parts, each name gets the path of its part in front. If
    a name is twice in one part, the last entry counts. `label` says in words where the pictures
    are from. `partition` is the text of CelebA's list of the split, or None.

    Raises:
        OSError: a part holds no pictures or can't be read, or one part holds another.
    """

    def __init__(self, label, parts):
        self.label = label
        self.no_identity = ""  # why nobody is on the pictures, in words
        self.left_out = []  # what is none of the dataset, in words
        self._parts = parts
        listed, self._made = self._without_made(
            np.fromiter(self._telling(self._list(), "listed"), _LISTED)
        )
        names = listed["name"]
        if _any_twice(names):
            heads = np.array([self._head(number) for number in range(len(parts))], object)
            names = heads[listed["part"]] + names
            if _any_twice(names):
                raise OSError(f"--dataset={label} names pictures twice: one part holds another")
        order = names.argsort(kind="stable")
        self.names = names[order].tolist()
        self._listed = listed[order]
        lists = dict.fromkeys(part.partition() for part in parts)
        self.partition = "\n".join(text for text in lists if text is not None) or None

    def read(self, number):
        """The bytes of a picture's file.

        Raises:
            OSError: it can't be read, or srez made it; one line that names it.
            NoPictures: no other one in its part can be read, either.
        """
        part, *entry = self._listed[number].item()
        try:
            data = self._parts[part].read(Entry(*entry), self.names[number])
        except OSError as error:
            if self._parts[part].is_gone(self._some(part)):
                raise NoPictures(
                    f"{self._parts[part].path}: its pictures can't be read any more, the folder or "
                    f"zip is gone or has changed ({error.strerror or error})"
                ) from error
            raise
        if is_made(data):
            raise OSError(f"{printable(self.names[number])}: made by srez, no picture of a dataset")
        return data

    def leaves_out(self, name):
        """Whether a picture of this name, as in `names`, is left out: srez's, or in a bin."""
        return bool(bin_of(name)) or name in self._made

    @functools.cached_property
    def identities(self):
        """An int64 per name that tells a changed file cheaply, on any machine; no times in it.

        It is the size in bytes in a folder (-1: gone), and checksum and size in a zip. The low 32
        bits are the size in both.
        """
        rows = (row.item() for row in self._listed)
        found = (self._parts[part].identity(Entry(*entry)) for part, *entry in rows)
        return np.fromiter(self._telling(found, "looked at"), np.int64)

    @functools.cached_property
    def fingerprint(self):
        """Hex digits of the names and the list of the split, wherever the files are."""
        text = "\n".join([*self.names, "", self.partition or ""])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    @functools.cached_property
    def contents(self):
        """Hex digits of the identities."""
        return hashlib.sha256(self.identities.astype("<i8", copy=False)).hexdigest()[:16]

    def _head(self, number):
        return f"{self._parts[number].path.rstrip('/')}/"

    def _some(self, part):
        """Yields some Entries of a part, from all over it."""
        [places] = np.nonzero(self._listed["part"] == part)
        for place in places[:: max(len(places) // SOME, 1)]:
            _, *entry = self._listed[place].item()
            yield Entry(*entry)

    def _list(self):
        """Yields the pictures of all parts, each as the fields of _LISTED."""
        for number, part in enumerate(self._parts):
            found, others = 0, []
            for entry in part.list():
                if is_picture(entry.name):
                    found += 1
                    yield number, *entry
                elif is_unreadable(entry.name) and not bin_of(entry.name):
                    others.append(entry.name)
            if part.bins:
                self._leave_out(part.path, f"{', '.join(sorted(part.bins))}: {BINS}")
            if others:
                complain(f"{part.path}: left out {counted_suffixes(others)}")
            if not found:
                what = f"no {' '.join(PICTURE_SUFFIXES)} pictures"
                raise FileNotFoundError(f"--dataset={part.path} holds {what}: {ADVICE}")

    def _without_made(self, listed):
        """(the listed pictures without those that srez made, the names of these)."""
        bounds = np.searchsorted(listed["part"], range(len(self._parts) + 1))
        made, names = [], set()
        for number, (part, (first, end)) in enumerate(
            zip(self._parts, itertools.pairwise(bounds), strict=True)
        ):
            within = listed[first:end]

            def read(at, part=part, within=within):
                _, *entry = within[at].item()
                return part.read(Entry(*entry), entry[0])

            found = sorted(made_by_srez(within["name"], read))
            made += [first + at for at in found]
            for name in within["name"][found]:
                names |= {name, self._head(number) + name}
        if made:
            what = counted(len(made), "picture")
            self._leave_out(self.label, f"{what} that srez made: sheets, results, comparisons")
        if made and len(made) == len(listed):
            raise FileNotFoundError(f"--dataset={self.label} holds no other pictures: {ADVICE}")
        return np.delete(listed, made), names

    def _leave_out(self, where, what):
        complain(f"{where}: left out {what}")
        self.left_out.append(what)

    def _telling(self, found, done):
        """Yields what it is given, and says on stderr every few seconds how many that were."""
        due = time.monotonic() + QUIET
        for count, item in enumerate(found, 1):
            if time.monotonic() >= due:
                complain(f"{self.label}: {count:,} pictures {done} so far")
                due = time.monotonic() + QUIET
            yield item


def _any_twice(names):
    return len(set(names)) < len(names)
