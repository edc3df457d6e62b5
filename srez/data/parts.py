"""The parts of --dataset: folders and zips, here or where names have ://, one by one."""

import functools
import glob
import os
import re

from srez.console import complain
from srez.data import local
from srez.data.left_out import BINS, bin_of
from srez.data.zips import Entry, list_zip, read_zipped
from srez.pictures.formats import PICTURE_SUFFIXES

# CelebA's own split: lines of "name.jpg 0|1|2"; as a table it has commas.
PARTITION = "list_eval_partition.txt"
_LISTS = (PARTITION, "list_eval_partition.csv")
_LIST_DEPTH = 3  # folders in which it is looked for: that of the pictures, and two above it
ADVICE = "give a folder of pictures or img_align_celeba.zip"

_OPEN_ZIPS = 128  # at a time; a process may have some 1,000 files open
_HIDDEN = re.compile(r"(^|/)\.(?!/)")  # in a path: a name that starts with a dot, and is more


def find_parts(dataset):
    """The parts, a list of Folder and Zip, that `dataset` names: paths and patterns with commas.

    A path that exists is taken as it is, whatever signs or commas it has.

    Raises:
        OSError: there is nothing for a path or pattern; one line that names it.
    """
    words = [dataset] if os.path.exists(dataset) else dataset.split(",")
    words = [word.strip() for word in words if word.strip()]
    paths = [path for word in words for path in _expanded(word)]
    if not paths:
        raise FileNotFoundError(f"--dataset={dataset} names nothing: {ADVICE}")
    opened = functools.lru_cache(_OPEN_ZIPS)(lambda path: _files_of(path).open_file(path))
    list_in = functools.cache(_list_in)  # many zips in a folder share one list
    return [_part(path, list_in, opened) for path in dict.fromkeys(paths)]


class Folder:
    """A folder of pictures at any depth; `bins` are the folders that `list` has left out."""

    def __init__(self, path, list_in):
        self.path = path
        self.bins = set()
        self._files = _files_of(path)
        self._list_in = list_in

    def list(self):
        """Yields an Entry per file, with nothing but its name; in no order."""
        return map(Entry, self._files.walk(self.path, self._leaves_out))

    def partition(self):
        """The text of CelebA's list in the folder, or else above it, or None."""
        folder = self.path
        for _ in range(_LIST_DEPTH):
            found = self._list_in(folder)
            if found is not None:
                return found
            folder = self._files.parent(folder)
        return None

    def read(self, entry, shown):
        """The bytes of a picture. Raises OSError: one line that calls it `shown`."""
        return self._files.read_file(os.path.join(self.path, entry.name), shown)

    def identity(self, entry):
        """The size of a picture in bytes; -1 if it is gone."""
        try:
            return self._files.stamp(os.path.join(self.path, entry.name))[0]
        except OSError:
            return -1

    def is_gone(self, entries):
        """Whether none of some pictures can be read."""
        for entry in entries:
            try:
                self.read(entry, entry.name)
            except OSError:
                continue
            return False
        return True

    def _leaves_out(self, folder):
        found = bin_of(f"{folder}/")
        self.bins |= {found} - {""}
        return bool(found or _HIDDEN.search(folder))


class Zip:
    """A zip, read in place; `bins` as in a Folder."""

    def __init__(self, path, list_in, opened):
        self.path = path
        self.bins = set()
        self._files = _files_of(path)
        self._stamp = self._files.stamp(path)
        self._list_entry = None  # of CelebA's list, once the zip is listed
        self._list_in = list_in
        self._opened = opened

    def list(self):
        """Yields the Entry of each file, in the zip's order. Raises OSError: no whole zip."""
        file = self._open()
        for entry in list_zip(file.stream, self.path):
            if self._list_entry is None and base_name(entry.name) in _LISTS:
                self._list_entry = entry
            self.bins |= {bin_of(entry.name)} - {""}
            yield entry

    def partition(self):
        """The text of CelebA's list in the zip, or else next to it, or None. List the zip first."""
        if self._list_entry is None:
            return self._list_in(self._files.parent(self.path))
        return self.read(self._list_entry, PARTITION).decode(errors="replace")

    def read(self, entry, shown):
        """The bytes of an entry. Raises OSError: one line that calls it `shown`."""
        return read_zipped(self._open(), shown, entry)

    def identity(self, entry):
        """Checksum and size of a picture in one number."""
        number = entry.crc << 32 | min(entry.size, 0xFFFFFFFF)
        return number - (1 << 64) * (number >> 63)  # as an int64

    def is_gone(self, _):
        """Whether the zip isn't there any more, or has changed."""
        try:
            return self._files.stamp(self.path) != self._stamp
        except OSError:
            return True

    def _open(self):
        try:
            file = self._opened(self.path)
        except PermissionError as error:
            raise OSError(f"--dataset={self.path} can't be read: {error.strerror}") from error
        if file.stamp != self._stamp:
            raise OSError(f"--dataset={self.path} has changed since the start: start anew")
        return file


def base_name(name):
    """A name without its folders; a zip that was made on Windows may have backslashes."""
    return re.split(r"[/\\]", name)[-1]


def is_picture(name):
    """Whether a name is a picture's, and neither hidden nor in a folder that is left out."""
    is_hidden = _HIDDEN.search(name) or bin_of(name)
    return name.lower().endswith(PICTURE_SUFFIXES) and not is_hidden


def _expanded(word):
    files = _files_of(word)
    if files.exists(word):
        return [word]
    is_pattern = word != glob.escape(word)
    paths = files.matches(word) if is_pattern else []
    bins = {bin_of(f"{path}/") for path in paths} - {"", bin_of(f"{word}/")}
    if bins:
        complain(f"--dataset={word}: left out {', '.join(sorted(bins))}: {BINS}")
    paths = [path for path in paths if bin_of(f"{path}/") not in bins]
    if not paths:
        what = "matches nothing" if is_pattern else f"does not exist{_other_case(word)}"
        raise FileNotFoundError(f"--dataset={word} {what}: {ADVICE}")
    return paths


def _other_case(path):
    """Words that name what there is in other letters, capital or small; or ""."""
    folder, name = os.path.split(path)
    if not os.path.isdir(folder or "."):
        return ""
    found = [each for each in os.listdir(folder or ".") if each.lower() == name.lower()]
    return f", but {os.path.join(folder, found[0])} does" if found else ""


def _part(path, list_in, opened):
    files = _files_of(path)
    if files.is_folder(path):
        return Folder(path, list_in)
    if not files.is_file(path):
        raise OSError(f"--dataset={path} is neither a folder nor a zip: give one of these")
    if path.lower().endswith(PICTURE_SUFFIXES):
        raise OSError(f"--dataset={path} is a picture: give the folder of pictures that it is in")
    return Zip(path, list_in, opened)


def _files_of(path):
    if "://" not in path:
        return local

    from srez.data import remote  # loads TensorFlow, which takes seconds

    return remote


def _list_in(folder):
    for name in _LISTS:
        path = os.path.join(folder, name)
        files = _files_of(path)
        if files.is_file(path):
            return files.text(path)
    return None
