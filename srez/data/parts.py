"""The parts of --dataset: folders and zips, here or behind names with ://, one by one."""

import functools
import os
import re
from pathlib import PurePosixPath

from srez.data import local
from srez.data.zips import Entry, list_zip, read_zipped
from srez.pictures.image import PICTURE_SUFFIXES

PARTITION = "list_eval_partition.txt"  # CelebA's own split: lines of "name.jpg 0|1|2"

_OPEN_ZIPS = 128  # at a time; a process may have some 1,000 files open
ADVICE = "give a folder of pictures or img_align_celeba.zip"
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
        raise FileNotFoundError(f"--dataset={dataset} names nothing: {ADVICE}")
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
        """Yields an Entry per picture, of which only the name counts; in no order."""
        return (Entry(name) for name in self._files.walk(self.path, _is_hidden) if is_picture(name))

    def partition(self):
        """The text of CelebA's list in the folder or beside it, or None."""
        inside = self._text(self.path)
        return self._text(self._files.parent(self.path)) if inside is None else inside

    def read(self, entry, shown):
        """The bytes of a picture. Raises OSError: one line that calls it `shown`."""
        return self._files.read_file(os.path.join(self.path, entry.name), shown)

    def identity(self, entry):
        """Bytes of a picture; -1 if it is gone."""
        return self._files.size(os.path.join(self.path, entry.name))


class Zip:
    """A zip, read in place."""

    def __init__(self, path, text, opened):
        self.path = path
        self._stamp = _files_of(path).stamp(path)
        self._list_entry = None  # of CelebA's list, once the zip is listed
        self._text = text
        self._opened = opened

    def list(self):
        """Yields the Entry of each picture, in the zip's order. Raises OSError: no whole zip."""
        self._open()  # is it what it was?
        with _files_of(self.path).open_file(self.path) as file:
            for entry in list_zip(file, self.path):
                if is_picture(entry.name):
                    yield entry
                elif self._list_entry is None and entry.name.split("/")[-1] == PARTITION:
                    self._list_entry = entry

    def partition(self):
        """The text of CelebA's list in the zip, or else beside it, or None; once it is listed."""
        if self._list_entry is None:
            return self._text(_files_of(self.path).parent(self.path))
        return self.read(self._list_entry, PARTITION).decode(errors="replace")

    def read(self, entry, shown):
        """The bytes of an entry. Raises OSError: one line that calls it `shown`."""
        return read_zipped(self._open(), shown, entry)

    def identity(self, entry):
        """Checksum and size of a picture in one number."""
        number = entry.crc << 32 | min(entry.size, 0xFFFFFFFF)
        return number - (1 << 64) * (number >> 63)  # as an int64

    def _open(self):
        try:
            file = self._opened(self.path)
        except PermissionError as error:
            raise OSError(f"--dataset={self.path} can't be read: {error.strerror}") from error
        if file.stamp != self._stamp:
            raise OSError(f"--dataset={self.path} has changed meanwhile: start anew")
        return file


def is_picture(name):
    """Whether a name is a picture's, and neither hidden nor in a hidden folder."""
    if not name.lower().endswith(PICTURE_SUFFIXES):
        return False
    if not name.startswith((".", "/")) and "/." not in name and "__MACOSX" not in name:
        return True
    return not any(map(_is_hidden, PurePosixPath(name).parts))


def _expanded(word):
    files = _files_of(word)
    if files.exists(word):
        return [word]
    paths = files.matches(word) if _SIGNS.search(word) else []
    if not paths:
        what = "matches nothing" if _SIGNS.search(word) else "does not exist"
        raise FileNotFoundError(f"--dataset={word} {what}: {ADVICE}")
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
