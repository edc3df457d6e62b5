"""What srez writes in a run's folders: its names, how it is known again, and setting it aside.

A folder may hold other things, too: --train_dir and --checkpoint_dir may be any folder. Only what
is srez's by name, and where other programs use that name by content, is moved or rewritten.
"""

import contextlib
import itertools
import os
import re
from pathlib import Path

from srez.data.left_out import SHEET_NAME

SHEET = "batch%06d_out.png"
LOSSES, METRICS, OPTIONS, BAD_IMAGES = "losses.csv", "metrics.csv", "options.json", "bad_images.txt"
LOSS_TITLES = {  # in the table of losses, of either recipe
    "L1": "loss/gene_l1_loss",
    "G": "loss/gene_loss",
    "D real": "loss/disc_real_loss",
    "D fake": "loss/disc_fake_loss",
    "features": "loss/gene_feature_loss",
    "adversarial": "loss/gene_adversarial_loss",
    "D": "loss/disc_loss",
}
EVENTS = "events.out.tfevents.*"
BASELINE = "bicubic"  # the run in TensorBoard, a folder, that the figures bicubic/... are of
VIDEO, ANIMATION = "demo1.mp4", "demo1.webp"
LOCK = "lock"  # says which process uses the folder
EARLIER = "earlier"  # EARLIER.N in a folder that stays: what was set aside
WRITING, REMOVING = ".writing-", ".removing-"  # before a checkpoint's name; a killed run leaves it

_IS_FOLDER = re.compile(rf"{EARLIER}\.\d+|{BASELINE}")  # of other results
# Files by name, and what stands near the beginning of those whose name others may use.
_FILES = {
    SHEET_NAME: b"",
    re.compile(r"(losses|metrics)\.csv"): rb"\A(batch\b|\Z)",
    re.compile(r"options\.json"): rb'"batch_size"',
    re.compile(r"bad_images(_\d+)?\.txt"): rb"\A([^\n]*\t|\Z)",
    # The first 100 bytes tell which program wrote it, and nothing more.
    re.compile(r"events\.out\.tfevents\..*"): (
        rb"\A.{0,100}\Z|\n\x05sheet|loss/(gene|disc)_|validation/(lr_)?psnr"
    ),
    re.compile(r"demo1\.(mp4|webp)"): b"",
    re.compile(r"\.[0-9a-f]{16}(\.\w+)?"): b"",  # files.atomic_path's, after a kill
}
_NEEDED = (LOSSES, METRICS, OPTIONS, BAD_IMAGES)  # names that a run can't do without
_CHECKPOINT = re.compile(r"(\.writing-|\.removing-)?batch\d{6,}")
_IN_CHECKPOINT = re.compile(r"manifest\.json|run\.json\.gz|tensors.*")
# Nobody's: desktops write them everywhere.
_SYSTEMS = {".ds_store", "thumbs.db", "desktop.ini", ".directory"}
_HEAD = 2**16  # bytes


def is_own(path):
    """Whether srez wrote a file or folder of a run."""
    if _CHECKPOINT.fullmatch(path.name) and path.is_dir():
        return all(_IN_CHECKPOINT.fullmatch(file.name) or _is_nobodys(file) for file in _in(path))
    if _IS_FOLDER.fullmatch(path.name) and path.is_dir():
        return all(is_own(inner) or _is_nobodys(inner) for inner in _in(path))
    if path.is_dir():
        return False
    content = next((text for name, text in _FILES.items() if name.fullmatch(path.name)), None)
    return content is not None and bool(re.search(content, _head(path), re.DOTALL))


def in_the_way(train_dir, checkpoint_dir):
    """What has a name that a run needs in its folders, and isn't srez's: a path, or None."""
    paths = [path for path in _in(checkpoint_dir) if _CHECKPOINT.fullmatch(path.name)]
    paths += [Path(train_dir, name) for name in _NEEDED if os.path.lexists(Path(train_dir, name))]
    return next((path for path in paths if not is_own(path)), None)


def set_aside(folders, inside=()):
    """Moves what srez wrote in the folders to NAME.N: the first N that is free for all.

    A folder is renamed if it holds nothing else, and then `inside`, folders of the same run, go
    with it. Of a link to a folder, that folder is renamed, and the link leads to an empty one. Else
    the folder stays, such as a mounted one, or that in which srez was started: what is srez's moves
    into a new folder in it, EARLIER.N. Returns a dict: folder -> where its results are now.

    Raises:
        OSError: something can't be moved; then nothing is.
    """
    # A folder may lie in another one of them, so the inner one comes first.
    paths = sorted({Path(os.path.realpath(folder)) for folder in folders}, reverse=True)
    known = {Path(os.path.realpath(folder)) for folder in inside}
    number = next(number for number in itertools.count(1) if _is_free(paths, number))
    links = {Path(os.path.realpath(folder)) for folder in folders if os.path.islink(folder)}
    moves, done = [], {}
    try:
        for path in paths:
            own, others = _sorted_out(path, known | set(done.values()))
            target = _beside(path, number)
            if not own:
                continue
            if others or _is_in_use(path) or not _moved(moves, path, target):
                target = path / f"{EARLIER}.{number}"
                target.mkdir()
                for each in own:
                    each.rename(target / each.name)
                    moves.append((each, target / each.name))
            done[path] = target
    except OSError as error:
        for old, new in reversed(moves):
            new.rename(old)
        with contextlib.suppress(OSError):
            target.rmdir()
        raise OSError(
            f"what is in {path} can't be moved aside ({error.strerror}): move it elsewhere, or "
            "give another folder"
        ) from error
    for path in links & done.keys():
        path.mkdir(exist_ok=True)
    return done


def _is_free(paths, number):
    targets = [_beside(path, number) for path in paths]
    targets += [path / f"{EARLIER}.{number}" for path in paths]
    return not any(map(os.path.lexists, targets))


def _beside(path, number):
    """NAME.N; the root has no name, and can't be renamed."""
    return path.with_name(f"{path.name}.{number}") if path.name else path / f"{EARLIER}.{number}"


def _sorted_out(folder, known):
    """(what srez wrote in a folder and can move; what else there is), lists of paths."""
    own, others = [], []
    for path in _in(folder):
        if path in known:
            others += _sorted_out(path, known)[1]
        elif re.fullmatch(rf"{EARLIER}\.\d+", path.name) or _is_nobodys(path):
            pass  # it goes with the folder, and doesn't keep it
        elif is_own(path):
            own.append(path)
        else:
            others.append(path)
    return own, others


def _is_in_use(path):
    """Whether a user stands in a folder, or is at home there."""
    places = Path(os.path.realpath(os.curdir)), Path(os.path.realpath(os.path.expanduser("~")))
    return any(path in (place, *place.parents) for place in places)


def _moved(moves, path, target):
    """Renames a folder, unless it can't be, as a mounted one; returns whether it could."""
    try:
        path.rename(target)
    except OSError:
        return False
    moves.append((path, target))
    return True


def _is_nobodys(path):
    return path.name.lower() in _SYSTEMS or path.name == LOCK


def _in(folder):
    """The paths in a folder, sorted; none if there is no folder."""
    return sorted(Path(folder).iterdir()) if os.path.isdir(folder) else []


def _head(path):
    """The first bytes of a file; b"" of what is none, such as a pipe, or can't be read."""
    if not path.is_file():
        return b""
    try:
        with open(path, "rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""
