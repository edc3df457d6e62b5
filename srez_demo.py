"""The video of a training: its sheets, one after the other."""

import functools
import re
from pathlib import Path

import moviepy
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from srez.console import say
from srez.files import atomic_path
from srez.pictures.image import read_image

VIDEO = "demo1.mp4"
SECONDS = 5
FPS = 30
MAGNIFY = 2  # a sheet's pixel is a square of this side in the video, to be seen
CAPTION_HEIGHT = 40  # pixels, on top of each frame


def make_video(train_dir):
    """Makes train_dir/demo1.mp4 (H.264, at least five seconds) of the sheets in train_dir.

    Each sheet is held so that all last five seconds. Sheets of another size than the newest one
    and files that are no pictures are named and left out. Returns the video's path.

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
    say(f"Wrote {video}: {len(sheets)} sheets, {count / FPS:.1f} seconds.")
    return video


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
    """The sheet magnified under its batch number: uint8 [H, W, 3], H and W even."""
    sheet = read_image(path)
    image = Image.fromarray(sheet.repeat(MAGNIFY, axis=0).repeat(MAGNIFY, axis=1))
    frame = Image.new("RGB", (image.width, image.height + CAPTION_HEIGHT), "black")
    frame.paste(image, (0, CAPTION_HEIGHT))
    font = ImageFont.load_default(size=CAPTION_HEIGHT * 0.6)
    at = (frame.width / 2, CAPTION_HEIGHT / 2)
    ImageDraw.Draw(frame).text(at, f"batch {_batch(path)}", "white", font, anchor="mm")
    return np.asarray(frame)


def _batch(path):
    """The batch number of a sheet's file; None, which is no sheet, for other files."""
    match = re.fullmatch(r"batch(\d+)_out.png", path.name)
    return match and int(match[1])


def _size(shape):
    return f"{shape[1]}x{shape[0]}"
