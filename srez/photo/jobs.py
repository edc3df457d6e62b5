"""Which pictures to enlarge, and where the results go: over no input (no TensorFlow)."""

import dataclasses
import re
from pathlib import Path

from srez.console import complain, counted, say
from srez.files import printable
from srez.pictures.formats import PICTURE_SUFFIXES, counted_suffixes, is_unreadable
from srez.values import RESULT_FORMATS

_NUMBERED = re.compile(r"(.+)_[0-9]+", re.DOTALL)
_RELATED = re.compile(r"(.+)_(?:[0-9]+|photo)", re.DOTALL)
_NAMED = 5  # earlier results, at most; others are counted


@dataclasses.dataclass(frozen=True)
class Job:
    """A picture to enlarge, and where its result and its comparison go.

    `photo` is where it goes with its faces put back, or None if no faces are wanted.
    """

    source: Path
    target: Path
    comparison: Path
    photo: Path | None

    @property
    def outputs(self):
        """The files whose names are known beforehand."""
        return [path for path in (self.target, self.comparison, self.photo) if path]

    def targets(self, numbers):
        """Where the results of faces go: one to the target, several to names with their numbers."""
        if len(numbers) == 1:
            return [self.target]
        stem, suffix = self.target.stem, self.target.suffix
        return [self.target.with_name(f"{stem}_{number}{suffix}") for number in numbers]


def list_jobs(infer_input, infer_output, faces):
    """A job for a picture, or for each one in a folder, not in folders inside it.

    `infer_output` is the result's path, for a folder that of a folder; None: result.png or result.
    `faces` is whether faces are wanted.

    Raises:
        OSError: no input, or a result would go over an input, by whatever name, or over a folder.
    """
    source = Path(infer_input)
    if not source.exists():
        raise FileNotFoundError(
            f"--infer_input={infer_input} does not exist: give a picture or a folder of them"
        )
    if source.is_dir():
        jobs = _folder_jobs(source, Path(infer_output or "result"), faces)
    else:
        target = Path(infer_output or "result.png")
        photo = target.with_name(f"{target.stem}_photo.png") if faces else None
        jobs = [Job(source, target, target.with_name(f"{target.stem}_compare.png"), photo)]
    _refuse_overwriting(jobs)
    return jobs


def earlier_results(jobs):
    """What is there under names that results of the jobs may have: path -> what tells the file."""
    paths = {path for job in jobs for path in job.outputs}.union(_related_outputs(jobs))
    others = {_inode(job.source) for job in jobs} | {None}
    return {path: _inode(path) for path in sorted(paths) if _inode(path) not in others}


def count_left(jobs, earlier):
    """How many jobs have no results yet but `earlier` ones."""
    return sum(_inode(job.comparison) in (None, earlier.get(job.comparison)) for job in jobs)


def say_left(earlier):
    """Names the earlier results that are still there and so don't belong to the new ones."""
    left = [path for path, file in earlier.items() if _inode(path) == file]
    if left:
        names = [printable(str(path)) for path in left[:_NAMED]]
        names += [f"{len(left) - _NAMED} more"] if len(left) > _NAMED else []
        say(f"From an earlier run, not from this one: {', '.join(names)}.")


def _folder_jobs(source, folder, faces):
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"--infer_output={folder} is a file: give a folder, as the input")
    paths = sorted(
        path
        for path in source.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
    )
    others = [path.name for path in source.iterdir() if is_unreadable(path.name)]
    if others:
        complain(f"{printable(str(source))}: left out {counted_suffixes(others)}")
    _say_folders(source, folder)
    if not paths:
        raise FileNotFoundError(
            f"--infer_input={source} holds no {' '.join(PICTURE_SUFFIXES)} pictures"
        )
    return [
        Job(
            path,
            folder / f"{name}.png",
            folder / "compare" / f"{name}.png",
            _photo_in(folder, f"{name}.png") if faces else None,
        )
        for path, name in zip(paths, _result_names(paths, faces), strict=True)
    ]


def _say_folders(source, output):
    """Names the folders in a folder, which are left out, but for the results'."""
    names = sorted(
        path.name
        for path in source.iterdir()
        if path.is_dir() and not path.name.startswith(".") and _inode(path) != _inode(output)
    )
    if names:
        listed = ", ".join(map(printable, names[:_NAMED])) + (", ..." if names[_NAMED:] else "")
        complain(
            f"{printable(str(source))}: left out {counted(len(names), 'folder')} in it: {listed}"
        )


def _result_names(paths, faces):
    """A name for each picture's result, .png aside: the picture's own, with its suffix at need."""
    stems = [path.stem for path in paths]
    names = [path.name if stems.count(path.stem) > 1 else path.stem for path in paths]
    lower = {name.lower() for name in names}
    if len(lower) < len(names):  # a.jpg, a.png and a.jpg.png
        return [path.name for path in paths]
    numbered = map(_NUMBERED.fullmatch, lower)
    if faces and any(name and name[1] in lower for name in numbered):
        return [path.name for path in paths]  # a_1.jpg and a.jpg, whose faces may be a_1, a_2
    return names


def _refuse_overwriting(jobs):
    """Raises OSError if a result would go over an input, by whatever name, or over a folder."""
    inputs = {_inode(job.source) for job in jobs} - {None}
    outputs = [path for job in jobs for path in job.outputs]
    for path in [*outputs, *_related_outputs([job for job in jobs if job.photo])]:
        if path.is_dir():
            raise IsADirectoryError(f"--infer_output={path} is a folder: give another")
        if _inode(path) in inputs:
            name = printable(str(path))
            raise OSError(f"--infer_output would overwrite the input {name}: give another")


def _related_outputs(jobs):
    """What is there under the names that several faces in one photo, or the photo, would get."""
    targets = {(job.target.parent, job.target.stem.lower()) for job in jobs}
    for folder in {folder for folder, _ in targets}:
        for path in folder.iterdir() if folder.is_dir() else ():
            name = _RELATED.fullmatch(path.stem.lower())
            if name and (folder, name[1]) in targets and path.suffix.lower() in RESULT_FORMATS:
                yield path
    for job in jobs:  # whether or not faces are wanted now
        photo = _photo_in(job.target.parent, job.target.name)
        is_of_folder = job.comparison.parent != job.target.parent
        if is_of_folder and photo.is_file():
            yield photo


def _photo_in(folder, name):
    return folder / "photo" / name


def _inode(path):
    """What tells a file from others whatever links lead to it, or None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
