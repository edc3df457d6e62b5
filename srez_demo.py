"""The video of a training: its sheets, one after the other; and a small animation of it."""

import csv
import functools
import io
import re
from pathlib import Path

import moviepy
import numpy as np
from PIL import Image

from srez.console import counted, say
from srez.files import atomic_path
from srez.pictures.grid import write_title
from srez.pictures.image import read_image
from srez.run.results import ANIMATION, LOSS_TITLES, LOSSES, VIDEO

SECONDS = 5
FPS = 30
CAPTION_HEIGHT = 32  # pixels, on top of each frame
LOSSES_PERIOD = 10  # batches between two rows of the table of losses
ANIMATION_BYTES = 2_000_000  # at most: a chat takes that, and a README loads it at once
ANIMATION_FRAMES = 25  # at most
ANIMATION_HEIGHT = 720  # pixels, at most
HOLD = 1500  # milliseconds for the last frame


def make_video(train_dir):
    """Makes train_dir/demo1.mp4 (H.264, at least five seconds) of the sheets in train_dir.

    Each sheet is held so that all last five seconds. Sheets of another size than the newest one
    and files that are no pictures are named and left out. An animation comes too, demo1.webp of
    two megabytes at most, for a page or a chat. Returns the video's path.

    Raises:
        OSError: no sheets, or the video can't be written.
    """
    sheets = _sheets(train_dir)
    if not sheets:
        raise FileNotFoundError(f"no PNG files in --train_dir={train_dir}; run --run train first")
    count = max(SECONDS * FPS, len(sheets))
    # Half a frame more: moviepy makes int(duration * fps) frames, and rounding may cost the last.
    clip = moviepy.VideoClip(
        lambda seconds: _frame(sheets[round(seconds * FPS) * len(sheets) // count]),
        duration=(count + 0.5) / FPS,
    )
    video = Path(train_dir, VIDEO)
    with atomic_path(video) as temporary:
        clip.write_videofile(
            temporary,
            fps=FPS,
            codec="libx264",
            audio=False,
            logger=None,
            ffmpeg_params=["-pix_fmt", "yuv420p", "-movflags", "+faststart"],
        )
    _write_animation(Path(train_dir, ANIMATION), sheets)
    say(f"Wrote {video}: {counted(len(sheets), 'sheet')}, {count / FPS:.1f} seconds.")
    say(f"Wrote {video.with_name(ANIMATION)}: the same, small, for a page or a chat.")
    return video


def _write_animation(path, sheets):
    """Writes the sheets, or so many of them, as an animated WebP that is small enough."""
    count = min(len(sheets), ANIMATION_FRAMES)
    numbers = np.linspace(0, len(sheets) - 1, count).round().astype(int)
    frames = [Image.fromarray(_frame(sheets[number])) for number in numbers]
    durations = [1000 * SECONDS // count] * (count - 1) + [HOLD]
    scale = min(ANIMATION_HEIGHT / frames[0].height, 1.0)
    data = _webp(frames, scale, durations)
    while len(data) > ANIMATION_BYTES:
        scale *= 0.7
        data = _webp(frames, scale, durations)
    with atomic_path(path) as temporary:
        Path(temporary).write_bytes(data)


def _webp(frames, scale, durations):
    width, height = (max(round(scale * side), 1) for side in frames[0].size)
    first, *others = (frame.resize((width, height), Image.Resampling.LANCZOS) for frame in frames)
    data = io.BytesIO()
    first.save(
        data,
        "webp",
        save_all=True,
        append_images=others,
        duration=durations if others else HOLD,
        loop=0,
        quality=80,
    )
    return data.getvalue()


def _sheets(train_dir):
    """Paths of the readable sheets in their order, those of the last one's size."""
    found = Path(train_dir).glob("batch*_out.png")
    paths = sorted((path for path in found if _batch(path) is not None), key=_batch)
    shapes = {}
    for path in paths:
        try:
            shapes[path] = read_image(path).shape
        except OSError as error:
            say(f"Left out: {error}")
    *_, last = shapes.values() or [None]
    for path, shape in shapes.items():
        if shape != last:
            say(f"Left out: {path} is {_size(shape)}, the newest sheet {_size(last)}.")
    return [path for path, shape in shapes.items() if shape == last]


@functools.lru_cache(maxsize=1)  # a sheet is held for several frames
def _frame(path):
    """The sheet under its batch number and losses: uint8 [H, W, 3], H and W even."""
    sheet = Image.fromarray(read_image(path))
    width, height = (side + side % 2 for side in (sheet.width, sheet.height + CAPTION_HEIGHT))
    frame = Image.new("RGB", (width, height), "black")
    frame.paste(sheet, (0, CAPTION_HEIGHT))
    batch = _batch(path)
    caption = f"batch {batch:,}{_losses(path.parent).get(str(batch - batch % LOSSES_PERIOD), '')}"
    write_title(frame, caption, (width / 2, CAPTION_HEIGHT / 2), width)
    return np.asarray(frame)


@functools.cache
def _losses(train_dir):
    """The losses in words by batch, as far as they are logged."""
    try:
        with open(train_dir / LOSSES, newline="", encoding="utf-8") as file:
            return {row["batch"]: _in_words(row) for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError):  # none, or not srez's: then the number stands alone
        return {}


def _in_words(row):
    found = {title: row.get(name) for title, name in LOSS_TITLES.items()}
    return "".join(f"   {title} {float(loss):.3f}" for title, loss in found.items() if loss)


def _batch(path):
    """The batch number of a sheet's file; None, which is no sheet, for other files."""
    match = re.fullmatch(r"batch(\d+)_out.png", path.name)
    return match and int(match[1])


def _size(shape):
    return f"{shape[1]}x{shape[0]}"
