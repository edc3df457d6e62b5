"""Files whole or not at all: safe reads, atomic writes, locks, checksums, setting aside."""

import contextlib
import fcntl
import hashlib
import itertools
import os
import stat
import tempfile
from pathlib import Path

MAX_BYTES = 2**28  # of a picture's file


def read_file(path, name=None):
    """The bytes of a file, which is called `name` in an error.

    Raises:
        OSError: it isn't there, is a pipe or a device, or is larger than MAX_BYTES.
    """
    # Without O_NONBLOCK, to open a pipe is to wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        name = printable(os.fspath(path) if name is None else name)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{name}: not a regular file")
        if status.st_size > MAX_BYTES:
            raise OSError(f"{name}: larger than {MAX_BYTES >> 20} MiB")
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def printable(text):
    """A file's name for one line of text: line ends, control and invalid characters escaped."""
    return repr(os.fspath(text))[1:-1]


def make_folder(path):
    """Makes a folder, and those it lies in, unless it is there.

    Raises:
        OSError: it can't be made; a NotADirectoryError if a file of its name is there.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(f"{path} is a file: give a folder") from error


@contextlib.contextmanager
def atomic_path(path):
    """Gives a temporary path beside `path` to write to, then renames it; on an error removes it."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(suffix=path.suffix, prefix=".", dir=path.parent)
    os.close(handle)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_UMASK)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path, text):
    """Writes a text file as UTF-8, whole or not at all; bytes of odd file names stay as they are.

    Raises OSError if it can't be written.
    """
    with atomic_path(path) as temporary:
        Path(temporary).write_bytes(text.encode("utf-8", "surrogateescape"))


@contextlib.contextmanager
def locked(path):
    """Opens a file, made if need be, that only one process at a time may hold.

    The lock ends with the process, however that ends.

    Raises:
        BlockingIOError: another process holds it; its `holder` is what that wrote to the file.
    """
    with open(path, "a+") as file:
        file.seek(0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            error.holder = file.read().strip()
            raise
        yield file


def sha256(path):
    """The hex SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_disk(path):
    """Returns when a file, or the list of a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_aside(folders, but=()):
    """Renames those folders that hold something to NAME.N, with the first N that is free for all.

    Files whose names are in `but` count as nothing. Returns a dict from each renamed folder to its
    new path. Raises OSError if one can't be renamed.
    """
    # A folder may lie in another one: the inner one first.
    paths = sorted({Path(os.path.abspath(folder)) for folder in folders}, reverse=True)
    for number in itertools.count(1):
        targets = {path: path.with_name(f"{path.name}.{number}") for path in paths}
        if not any(target.exists() for target in targets.values()):
            break
    return {
        path: path.rename(target)
        for path, target in targets.items()
        if path.is_dir() and any(inner.name not in but for inner in path.iterdir())
    }


def _read_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _read_umask()  # once, for reading it sets it for a moment, in all threads
