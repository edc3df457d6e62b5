"""Files in a zip, read in place: nothing is extracted, nothing that the zip says is trusted.

Python's zipfile reads the directory. The files are read here: at any place by any number of
threads, up to a size, with their checksums.
"""

import stat
import struct
import sys
import typing
import zipfile
import zlib

from srez.files import MAX_BYTES, printable

ENCRYPTED = 0xFFFF  # in place of a method
_ROOM = 256  # bytes in front of an entry's data that its name and extra fields rarely fill
_LOCAL = struct.Struct("<4s22xHH")  # signature, lengths of name and extra fields


class Entry(typing.NamedTuple):
    """A picture's `name` in a part of the dataset, and in a zip what it takes to read it.

    `offset` is where its header begins, `method` a number of zipfile's or ENCRYPTED; sizes are in
    bytes.
    """

    name: str
    offset: int = 0
    method: int = 0
    crc: int = 0
    size: int = 0
    packed: int = 0


def list_zip(file, path):
    """Yields the Entries of a zip, an open binary file, in its directory's order.

    Symbolic links are left out. A name that comes twice is yielded twice. Names are labels and no
    paths: an absolute one harms nobody.

    Raises:
        OSError: no whole zip; one line that names `path`.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            found = archive.infolist()
    # zipfile raises nearly anything on a damaged directory.
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError) as error:
        raise OSError(_refusal(file, path, error)) from error
    for info in found:
        if not stat.S_ISLNK(info.external_attr >> 16):
            method = ENCRYPTED if info.flag_bits & 1 else info.compress_type
            # An offset before the file is damage, and is found to be when the picture is read.
            offset = info.header_offset if info.header_offset >= 0 else sys.maxsize
            sizes = info.file_size, info.compress_size
            yield Entry(info.filename, offset, method, info.CRC, *sizes)


def read_zipped(file, name, entry):
    """The bytes of an Entry of a data.local.File, stored or deflated, its checksum verified.

    Raises:
        OSError: it is damaged, encrypted, larger than MAX_BYTES or not as large as the zip says;
            one line that calls it `name`.
    """
    name = printable(name)
    if entry.method == ENCRYPTED:
        raise OSError(f"{name}: the zip's entry is encrypted")
    if max(entry.size, entry.packed) > MAX_BYTES:
        raise OSError(f"{name}: larger than {MAX_BYTES >> 20} MiB")
    if entry.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise OSError(f"{name}: neither stored nor deflated in the zip")
    data = _packed(file, name, entry.offset, entry.packed)
    if entry.method == zipfile.ZIP_DEFLATED:
        try:
            # A byte more than announced is enough to catch a liar.
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, entry.size + 1)
        except zlib.error as error:
            raise OSError(f"{name}: the zip's entry is damaged ({error})") from error
    if len(data) != entry.size:
        raise OSError(f"{name}: the zip's entry is not as large as the zip says")
    if zlib.crc32(data) != entry.crc:
        raise OSError(f"{name}: the zip's entry is damaged (wrong checksum)")
    return data


def _packed(file, name, offset, packed):
    if 0 <= offset <= file.size - _LOCAL.size:
        # One read, since over a network each one takes its time.
        data = file.read_at(offset, _LOCAL.size + _ROOM + packed)
        signature, *lengths = _LOCAL.unpack(data[: _LOCAL.size].ljust(_LOCAL.size, b"\0"))
        start = _LOCAL.size + sum(lengths)
        if signature == b"PK\3\4" and offset + start + packed <= file.size:
            if start > _LOCAL.size + _ROOM:
                return file.read_at(offset + start, packed)
            return data[start : start + packed]
    raise OSError(f"{name}: the zip's entry is damaged (not in its place)")


def _refusal(file, path, error):
    file.seek(0)
    if b"<html" in file.read(1024).lower():
        return f"--dataset={path} is an HTML page, not a zip: download it again"
    reason = printable(str(error))
    return f"--dataset={path} is no whole zip archive ({reason}): is the download complete?"
