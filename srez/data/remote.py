"""Files and folders whose names have :// (gs://, ram://): data.local's functions by TensorFlow."""

import contextlib
import posixpath
import threading

import tensorflow as tf

from srez.files import MAX_BYTES, printable


class RemoteFile:
    """A file, open for reading, as data.local.LocalFile."""

    def __init__(self, path):
        self._path = path
        self.stamp = stamp(path)
        self.size = self.stamp[0]
        self.stream = tf.io.gfile.GFile(path, "rb")
        self._lock = threading.Lock()  # no other thread may seek between a seek and its read

    def read_at(self, offset, count):
        """Up to `count` bytes from `offset` on, fewer at the file's end; for any thread."""
        with _os_errors(self._path), self._lock:
            self.stream.seek(offset)
            return self.stream.read(count)


open_file = RemoteFile


def exists(path):
    """Whether there is a file or folder of that name."""
    with _os_errors(path):
        return tf.io.gfile.exists(path)


def is_folder(path):
    """Whether it is a folder."""
    with _os_errors(path):
        return tf.io.gfile.isdir(path)


def is_file(path):
    """Whether it is a file."""
    return exists(path) and not is_folder(path)


def read_file(path, name=None):
    """The bytes of a file. Raises OSError: not there, or too large."""
    with _os_errors(path), tf.io.gfile.GFile(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(f"{printable(name or path)}: larger than {MAX_BYTES >> 20} MiB")
    return data


def matches(pattern):
    """The paths that fit a pattern (*, ?, [abc]), sorted."""
    with _os_errors(pattern):
        return sorted(tf.io.gfile.glob(pattern))


def parent(path):
    """The folder that holds a file or folder."""
    return posixpath.dirname(path.rstrip("/"))


def walk(folder, is_hidden):
    """Yields the paths of all files below a folder, as data.local.walk."""
    top = folder.rstrip("/") + "/"
    with _os_errors(folder):
        for path, _, files in tf.io.gfile.walk(folder):
            below = (path.rstrip("/") + "/").removeprefix(top)
            if not is_hidden(below):
                yield from (below + name for name in files)


def stamp(path):
    """Size and time of change: whole numbers that tell a changed file. Raises OSError: gone."""
    with _os_errors(path):
        status = tf.io.gfile.stat(path)
        return [status.length, status.mtime_nsec]


def text(path):
    """The content of a text file; bytes that are not UTF-8 are replaced."""
    return read_file(path).decode(errors="replace")


@contextlib.contextmanager
def _os_errors(path):
    """Turns TensorFlow's errors into OSErrors of one line that names the path."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(f"{printable(path)}: {printable(error.message)}") from error
