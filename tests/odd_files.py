"""Makes files that are odd, bad or hostile, for the tests of what reads them."""

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

import srez.drawn.faces

TURNS = 0x0112  # EXIF's orientation


def face(index=0):
    return srez.drawn.faces.draw_face(0, index)


def encoded(image, kind="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {}) | options)
    return buffer.getvalue()


def jpeg(index=0, **options):
    return encoded(face(index), **options)


def turned(orientation, **options):
    exif = Image.Exif()
    exif[TURNS] = orientation
    return jpeg(exif=exif, **options)


def png_chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, depth, colour, content, extra=b""):
    """A PNG written by hand: `content` are the unpacked rows with their filter bytes."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header), extra, png_chunk(b"IDAT", zlib.compress(content))]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*chunks, png_chunk(b"IEND", b"")])


def deep_rgb(index=0):
    """The face as a PNG of 16 bits per channel."""
    pixels = np.asarray(face(index)).astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    return png(178, 218, 16, 2, rows)


def jpeg_of_size(width, height):
    """A face's JPEG whose header lies about its size."""
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def broken_inside():
    """A JPEG with header and end as they should be that TensorFlow can't decode."""
    data = bytearray(jpeg(progressive=True))
    scans = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    data[scans[2] + 4] = 9  # components in a scan: 4 at most
    return bytes(data)


def zipped(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def patched(path, changes):
    """Overwrites bytes of the first entry in a zip's directory: offset there -> bytes."""
    data = bytearray(path.read_bytes())
    start = data.index(b"PK\1\2")
    for offset, content in changes.items():
        data[start + offset : start + offset + len(content)] = content
    path.write_bytes(data)
