"""The parts of --dataset: folders and zips, here or behind names with ://, one by one."""

import functools
import os
import re
from pathlib import PurePosixPath

from srez.data import local
from srez.data.zips import ZipEntry, list_zip, read_zipped
from srez.pictures.image import PICTURE_SUFFIXES

PARTITION = "list_eval_partition.txt"  # CelebA's own split: lines of "name.jpg 0|1|2"

_OPEN_ZIPS = 128  # at a time; a process may have some 1,000 files open
_SUFFIXES = tuple(suffix.encode() for suffix in PICTURE_SUFFIXES)
_ADVICE = "give a folder of pictures or img_align_celeba.zip"
# A picture in a folder is found by its name alone.
_NOWHERE = {"place": 0, "crc": 0, "size": 0, "packed": 0}
_SIGNS = re.compile(r"[*?[]")  # of a pattern


def find_parts(dataset):
    """The parts, a list of Folder and Zip, that `dataset` names: paths, patterns, commas between.

    What exists is taken by its name, whatever signs or commas that has.

    Raises:
        OSError: a part or pattern that there is nothing for; one line that names it.
    """
    words = [dataset] if os.path.exists(dataset) else dataset.split(",")
    words = [word.strip() for word in words if word.strip()]
    paths = [path for word in words for path in _expanded(word)]
    if not paths:
        raise FileNotFoundError(f"--dataset={dataset} names nothing: {_ADVICE}")
    opened = functools.lru_cache(_OPEN_ZIPS)(lambda path: _files_of(path).File(path))
    text = functools.cache(_list_in)  # beside many zips there is one list
    return [_part(path, opened, text) for path in dict.fromkeys(paths)]


class Folder:
    """A folder of pictures at any depth."""

    def __init__(self, path, text):
        self.path = path
        self._files = _files_of(path)
        self._text = text

    def list(self):
        """Yields a ZipEntry per picture, of which only the name counts; in no order."""
        for name in self._files.walk(self.path, _is_hidden):
            name = name.encode("utf-8", "surrogatepass")
            if is_picture(name):
                yield ZipEntry(name, **_NOWHERE)

    def partition(self):
        """The text of CelebA's list in the folder or beside it, or None."""
        inside = self._text(self.path)
        return self._text(self._files.parent(self.path)) if inside is None else inside

    def read(self, name, entry, shown):
        """The bytes of a picture. Raises OSError: one line that calls it `shown`."""
        return self._files.read_file(os.path.join(self.path, name), shown)

    def size(self, name):
        """Bytes of a picture; -1 if it is gone."""
        return self._files.size(os.path.join(self.path, name))


class Zip:
    """A zip, read in place. `stamp` tells a changed one; `list_entry` is that of CelebA's list."""

    def __init__(self, path, text, opened):
        self.path = path
        self.stamp = _files_of(path).stamp(path)
        self.list_entry = None  # until the zip is listed
        self._text = text
        self._opened = opened

    def list(self):
        """Yields the ZipEntry of each picture, in the zip's order. Raises OSError: no whole zip."""
        for entry in list_zip(self._open(), self.path):
            if is_picture(entry.name):
                yield entry
            elif self.list_entry is None and entry.name.split(b"/")[-1] == PARTITION.encode():
                self.list_entry = entry

    def partition(self):
        """The text of CelebA's list in the zip, or else beside it, or None; once it is listed."""
        if self.list_entry is None:
            return self._text(_files_of(self.path).parent(self.path))
        return self.read(None, self.list_entry, PARTITION).decode(errors="replace")

    def read(self, name, entry, shown):
        """The bytes of an entry. Raises OSError: one line that calls it `shown`."""
        return read_zipped(self._open(), shown, entry)

    def _open(self):
        try:
            file = self._opened(self.path)
        except PermissionError as error:
            raise OSError(f"--dataset={self.path} can't be read: {error.strerror}") from error
        if file.stamp != self.stamp:
            raise OSError(f"--dataset={self.path} has changed meanwhile: start anew")
        return file


def is_picture(name):
    """Whether a name, as UTF-8, is a picture's, and neither hidden nor in a hidden folder."""
    if not name.lower().endswith(_SUFFIXES):
        return False
    if not name.startswith((b".", b"/")) and b"/." not in name and b"__MACOSX" not in name:
        return True
    parts = PurePosixPath(name.decode("utf-8", "surrogatepass")).parts
    return not any(map(_is_hidden, parts))


def _expanded(word):
    files = _files_of(word)
    if files.exists(word):
        return [word]
    paths = files.matches(word) if _SIGNS.search(word) else []
    if not paths:
        what = "matches nothing" if _SIGNS.search(word) else "does not exist"
        raise FileNotFoundError(f"--dataset={word} {what}: {_ADVICE}")
    return paths


def _part(path, opened, text):
    files = _files_of(path)
    if files.is_folder(path):
        return Folder(path, text)
    if not files.is_file(path):
        raise OSError(f"--dataset={path} is neither a folder nor a zip: give one of these")
    return Zip(path, text, opened)


def _files_of(path):
    if "://" not in path:
        return local

    from srez.data import remote  # loads TensorFlow, which takes seconds

    return remote


def _list_in(folder):
    path = os.path.join(folder, PARTITION)
    files = _files_of(path)
    return files.text(path) if files.is_file(path) else None


def _is_hidden(name):
    return name.startswith(".") or name == "__MACOSX"
