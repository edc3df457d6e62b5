"""Names and places of many pictures as a few arrays, in memory or in files that are mapped.

A picture takes 20 bytes for its place, 8 for the end of its name, and its name and one more.
"""

import array
import hashlib
import json
import os
import shutil
import struct
import sys
import tempfile
import time
import weakref
from pathlib import Path

import numpy as np

from srez.data.names import Names
from srez.data.zips import OFFSET_BITS

# A picture's part (which of the sources), over the place of a data.zips.ZipEntry within that; its
# checksum, size and packed size. For a picture in a folder all but the part is 0.
ENTRY = np.dtype([("place", "<u8"), ("crc", "<u4"), ("size", "<u4"), ("packed", "<u4")])
PART_SHIFT = OFFSET_BITS + 4
MAX_PARTS = 1 << (64 - PART_SHIFT)
IN_MEMORY = 100_000  # entries; more of zips go to files

_FORMAT = 1  # of the files
_FILES, _ABOUT = ("names", "ends", "entries"), "about.json"
_ENTRY = struct.Struct("<QLLL")
_CHUNK = 4096  # entries at a time
_WIDEST = 256  # bytes; names up to that are sorted as an array of a fixed width
_QUIET = 2.0  # seconds before, and between, the lines that say how far a listing is


class Index:
    """`names`, a Names in order, and `entries`, an array of ENTRY with one for each.

    `about` is a dict for JSON: "prefixed", whether the names begin with their parts' paths, and
    "counts", how many pictures were listed in each part.
    `folder` is where the files lie that are mapped, gone with the Index unless they are kept; None
    if all is in memory.
    """

    def __init__(self, arrays, about, folder=None, temporary=None):
        text, ends, self.entries = arrays
        self.names = Names(text, ends)
        self.about = about
        self.folder = folder
        self._temporary = temporary  # as long as this is here, so are the files

    def parts(self):
        """The number of each picture's part, an array [N]."""
        return self.entries["place"] >> PART_SHIFT


def build_index(paths, listings, label, folder=None):
    """The Index of parts: their paths, and as many iterables of data.zips.ZipEntry.

    Of entries with one name in one part the last counts. If a name is in two parts, each name gets
    its part's path and a slash in front. More than IN_MEMORY entries go to files in `folder`, if it
    is given and can be written. On stderr it is said from time to time how many pictures of `label`
    are listed.

    Raises:
        OSError: whatever the listings raise; a disk is full; a file is in two parts.
    """
    if len(paths) > MAX_PARTS:
        raise OSError(f"--dataset={label} names {len(paths)} parts, more than {MAX_PARTS}")
    writer = _Writer(folder)
    progress = Progress(label)
    counts = []
    for part, listing in enumerate(listings):
        before = len(writer)
        for entry in listing:
            writer.add(entry.name, part << PART_SHIFT | entry.place, *entry[2:])
            if len(writer) % _CHUNK == 0:
                progress.show(f"{len(writer):,} pictures listed so far")
        counts.append(len(writer) - before)
    index = writer.index({"prefixed": False, "counts": counts})
    if writer.in_order:
        return index
    order, twice = _order(index)
    if twice is not None:
        heads = [f"{path.rstrip('/')}/".encode("utf-8", "surrogatepass") for path in paths]
        index = _reordered(index, order, folder, progress, heads)
        order, twice = _order(index)
    if twice is not None:
        raise OSError(f"--dataset={label} names {index.names[twice]} twice: one part holds another")
    return _reordered(index, order, folder, progress)


def kept_index(folder, key):
    """The Index that an earlier run kept in `folder` under the same `key`, or None."""
    place = _place(folder, key)
    try:
        about = json.loads((place / _ABOUT).read_text())
        sizes = [(place / name).stat().st_size for name in _FILES]
        return Index(_mapped(place), about, place) if sizes == about["sizes"] else None
    except (OSError, ValueError, KeyError, TypeError):  # gone, or damaged
        return None


def keep_index(index, folder, key):
    """Keeps an Index whose files lie in `folder` for later runs; that of an older `key` goes.

    `key` is (what, state): for one `what` only the newest state is kept.
    """
    place = _place(folder, key)
    sizes = [(index.folder / name).stat().st_size for name in _FILES]
    (index.folder / _ABOUT).write_text(json.dumps(index.about | {"sizes": sizes}))
    for name in (*_FILES, _ABOUT):
        with open(index.folder / name, "rb") as file:
            os.fsync(file.fileno())
    for old in place.parent.glob(f"{place.name.rpartition('-')[0]}-*"):
        shutil.rmtree(old, ignore_errors=True)
    try:
        index.folder.rename(place)
    except OSError:  # another process was faster with the same
        return
    index.folder = place


def _place(folder, key):
    digests = (hashlib.sha256(json.dumps([_FORMAT, word]).encode()) for word in key)
    return Path(folder, "-".join(["index", *(digest.hexdigest()[:16] for digest in digests)]))


def _mapped(folder):
    kinds = (np.uint8, np.dtype("<u8"), ENTRY)
    return [np.memmap(folder / name, kind, "r") for name, kind in zip(_FILES, kinds, strict=True)]


class _Writer:
    """Takes names and entries, and makes an Index of them in the order they came."""

    def __init__(self, folder):
        self.in_order = True  # so far, and without two of a name
        self._folder = folder
        self._temporary = None
        self._written = self._end = 0
        self._last = b""
        self._buffers = bytearray(), array.array("Q"), bytearray()

    def __len__(self):
        return self._written + len(self._buffers[1])

    def add(self, name, *entry):
        """Takes a name's UTF-8 and the fields of its ENTRY."""
        text, ends, entries = self._buffers
        if name <= self._last:
            self.in_order = False
        self._last = name
        text += name
        text += b"\n"
        self._end += len(name) + 1
        ends.append(self._end)
        entries += _ENTRY.pack(*entry)
        if self._folder is not None and len(ends) > IN_MEMORY:
            self._write()

    def index(self, about):
        """The Index of what was taken."""
        if self._temporary is None:
            kinds = (np.uint8, np.uint64, ENTRY)
            arrays = [np.frombuffer(*pair) for pair in zip(self._buffers, kinds, strict=True)]
            return Index(arrays, about)
        self._write()
        path = self._temporary.path
        return Index(_mapped(path), about, path, self._temporary)

    def _write(self):
        try:
            if self._temporary is None:
                self._temporary = _TemporaryFolder(self._folder)
        except OSError:  # a folder that can't be written: then in memory
            self._folder = None
            return
        for name, buffer in zip(_FILES, self._buffers, strict=True):
            try:
                with open(self._temporary.path / name, "ab") as file:
                    file.write(buffer)
            except OSError as error:
                raise OSError(f"{self._folder}: {error.strerror}: make room") from error
        self._written += len(self._buffers[1])
        self._buffers = bytearray(), array.array("Q"), bytearray()


class _TemporaryFolder:
    """A new folder in `folder`, removed when this object goes, unless it was renamed."""

    def __init__(self, folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(prefix=".index-", dir=folder))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def _order(index):
    """The numbers of an Index's entries in order, of a name's in one part the last one only.

    Also the number, among these, of a name that is in two parts, or None.
    """
    names, parts = index.names, index.parts()
    widest = max(int(names.lengths().max()), 1)
    kind = f"S{widest}" if widest <= _WIDEST else object
    keys = np.fromiter(names.encoded(), kind, len(names))
    order = np.argsort(keys, kind="stable")
    keys, parts = keys[order], parts[order]
    same = keys[1:] == keys[:-1]
    across = same & (parts[1:] != parts[:-1])
    is_last = np.append(~(same & ~across), True)
    twice = int(order[np.argmax(across)]) if across.any() else None
    return order[is_last], twice


def _reordered(index, order, folder, progress, heads=None):
    """The Index of those entries in that order; with `heads`, its part's in front of each name."""
    writer = _Writer(folder)
    for first in range(0, len(order), _CHUNK):
        progress.show(f"{first:,} of {len(order):,} pictures sorted so far")
        numbers = order[first : first + _CHUNK]
        entries = index.entries[numbers].tolist()
        for name, entry in zip(index.names.take_encoded(numbers), entries, strict=True):
            head = heads[entry[0] >> PART_SHIFT] if heads else b""
            writer.add(head + name, *entry)
    prefixed = heads is not None or index.about["prefixed"]
    return writer.index(index.about | {"prefixed": prefixed})


class Progress:
    """Says on stderr how far a listing is, every few seconds."""

    def __init__(self, label):
        self._label = label
        self._next = time.monotonic() + _QUIET

    def show(self, text):
        """Says it if it is time to."""
        if time.monotonic() >= self._next:
            print(f"{self._label}: {text}", file=sys.stderr, flush=True)
            self._next = time.monotonic() + _QUIET
