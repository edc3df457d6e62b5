"""The video of a training: its sheets, one after the other."""

import re
from pathlib import Path

import moviepy
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from srez_image import atomic_path, read_image

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
    paths = sorted(Path(train_dir).glob("batch*_out.png"))
    frames = _frames([path for path in paths if re.fullmatch(r"batch\d+_out", path.stem)])
    if not frames:
        raise FileNotFoundError(f"no PNG files in --train_dir={train_dir}; run --run train first")
    count = max(SECONDS * FPS, len(frames))
    # Half a frame more: moviepy makes int(duration * fps) frames, and rounding may cost the last.
    clip = moviepy.VideoClip(
        lambda seconds: frames[round(seconds * FPS) * len(frames) // count],
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
    print(f"Wrote {video}: {len(frames)} sheets, {count / FPS:.1f} seconds.")
    return video


def _frames(paths):
    """A frame, uint8 [H, W, 3] with even sides, of each readable sheet of the newest one's size."""
    sheets = {}
    for path in paths:
        try:
            sheets[path] = read_image(path)
        except OSError as error:
            print(f"Left out: {error}")
    if not sheets:
        return []
    shape = sheets[max(sheets)].shape
    for path, sheet in sheets.items():
        if sheet.shape != shape:
            print(f"Left out: {path} is {_size(sheet.shape)}, the newest sheet {_size(shape)}.")
    return [_frame(path, sheet) for path, sheet in sheets.items() if sheet.shape == shape]


def _frame(path, sheet):
    image = Image.fromarray(sheet.repeat(MAGNIFY, axis=0).repeat(MAGNIFY, axis=1))
    frame = Image.new("RGB", (image.width, image.height + CAPTION_HEIGHT), "black")
    frame.paste(image, (0, CAPTION_HEIGHT))
    batch = int(re.search(r"\d+", path.stem).group())
    font = ImageFont.load_default(size=CAPTION_HEIGHT * 0.6)
    at = (frame.width / 2, CAPTION_HEIGHT / 2)
    ImageDraw.Draw(frame).text(at, f"batch {batch}", "white", font, anchor="mm")
    return np.asarray(frame)


def _size(shape):
    return f"{shape[1]}x{shape[0]}"
