"""What lies among pictures and is none of the dataset: thumbnails, bins, and what srez made."""

import collections
import functools
import io
import re

from PIL import Image

BINS = "folders of thumbnails and deleted files"
_BINS = {"@eadir", "@recycle", "@recently-snapshot", "@sharebin", "#recycle", "#snapshot"}  # NAS'
_BINS |= {"thumbs", ".thumbnails", ".@__thumb", "__macosx"}  # desktops', in small letters
_BINS |= {"$recycle.bin", "recycler", "system volume information", "lost+found"}
SHEET_NAME = re.compile(r"(?:.*[/\\])?batch\d{6,}_out\.png", re.DOTALL)  # its folder may precede
_COMPARISON = re.compile(r"(.*)_compare\.png|(.*(?:^|/))compare/([^/]*)\.png", re.DOTALL)
# A result, a face's or a photo's: with its number, "_photo", or in a folder photo/.
_RESULT = re.compile(r"(.*/)?([^/]*?)(?:_\d+|_photo)?\.(?:png|jpe?g|webp)", re.DOTALL | re.I)
_MARK = "srez "  # how a result's Software begins
_SOFTWARE = 0x0131  # EXIF's tag


def bin_of(path):
    """The first folder of thumbnails or deleted files in the path of a file; or ""."""
    return _first_bin(path[: max(path.rfind("/"), path.rfind("\\")) + 1])


@functools.lru_cache(2**12)  # many files are in one folder
def _first_bin(folder):
    for name in re.split(r"[/\\]", folder):
        if name.lower() in _BINS or name.lower().startswith(".trash"):
            return name
    return ""


def is_sheet(name):
    """Whether a path or name is that of a sheet of test faces."""
    return name.endswith("_out.png") and bool(SHEET_NAME.fullmatch(name))


def is_made(data):
    """Whether a picture's bytes say that srez made it: a result, a sheet, a comparison."""
    if _MARK.encode() not in data:
        return False
    try:
        with Image.open(io.BytesIO(data)) as image:
            software = image.info.get("Software") or image.getexif().get(_SOFTWARE)
    except MemoryError:
        raise
    except Exception:  # Pillow raises nearly anything on a broken file
        return False
    return str(software).startswith(_MARK)


def made_by_srez(names, read):
    """The numbers of the pictures that srez made, a set; `names` are those of one part.

    Sheets are known by their names. Names tell what may be a comparison, and what its results:
    only these are looked into, by `read`, a function from a number to bytes. So results without
    their comparison are not found.
    """
    made = {number for number, name in enumerate(names) if is_sheet(name)}
    comparisons, stem_of = collections.defaultdict(set), {}
    for number, name in enumerate(names):
        if name.endswith(".png") and "compare" in name and (found := _COMPARISON.fullmatch(name)):
            stem_of[number] = found[1] if found[3] is None else found[2] + found[3]
            comparisons[stem_of[number]].add(number)
    for number, name in enumerate(names) if comparisons else ():
        stems = [stem_of[number]] if number in stem_of else _stems(name)
        stem = next((stem for stem in stems if stem in comparisons), None)
        if stem is not None and _is_made(read, number):
            made |= {number} | comparisons[stem]
    return made


def _stems(name):
    """By which stems of a comparison a picture may be its result, the likeliest first."""
    found = _RESULT.fullmatch(name)
    if not found:
        return []
    folder, stem = found[1] or "", found[2]
    whole = name[len(folder) :].rpartition(".")[0]
    folders = dict.fromkeys((folder, re.sub(r"(^|/)photo/\Z", r"\1", folder)))
    return [each + end for end in (whole, stem) for each in folders]


def _is_made(read, number):
    try:
        return is_made(read(number))
    except OSError:
        return False
