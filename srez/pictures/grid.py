"""Images side by side, with titles above: for sheets, comparisons and the video."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from srez.pictures.geometry import interpolate
from srez.pictures.image import to_uint8

GAP, TITLE_HEIGHT, TITLE_SIZE = 4, 26, 16  # pixels, of a grid with titles: its gaps, its letters
SHEET_MAGNIFY = 2  # of a sheet, to be seen on today's screens
GROUND, INK = 24, "rgb(235, 235, 235)"  # behind its images; its letters


def titled_grid(columns, magnify=1):
    """Sets columns of N images, each [N, H, W, 3], side by side with gaps: uint8 [..., ..., 3].

    `columns` is a dict by the title that stands above. Each pixel becomes a square of `magnify` x
    `magnify` pixels.
    """
    cells = np.stack([to_uint8(np.asarray(column)) for column in columns.values()])
    cells = cells.repeat(magnify, axis=2).repeat(magnify, axis=3)
    across, rows, height, width, _ = cells.shape
    shape = TITLE_HEIGHT + rows * (height + GAP), GAP + across * (width + GAP), 3
    grid = np.full(shape, GROUND, np.uint8)
    for column, row in np.ndindex(across, rows):
        top, left = TITLE_HEIGHT + row * (height + GAP), GAP + column * (width + GAP)
        grid[top : top + height, left : left + width] = cells[column, row]
    picture = Image.fromarray(grid)
    for column, title in enumerate(columns):
        middle = GAP + column * (width + GAP) + width / 2
        write_title(picture, title, (middle, TITLE_HEIGHT / 2), width)
    return np.asarray(picture)


def faces_sheet(low_res, generated, high_res):
    """A sheet, uint8, a row per face: input, bicubic, result, truth, which are in [0, 1]."""
    columns = {
        f"input {low_res.shape[2]}x{low_res.shape[1]}": interpolate(low_res, "nearest"),
        "bicubic": interpolate(low_res),
        "srez": generated,
        "truth": high_res,
    }
    return titled_grid(columns, SHEET_MAGNIFY)


def write_title(picture, title, middle, width):
    """Writes a line around a place (x, y) of Pillow's picture, smaller where it is too wide."""
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(TITLE_SIZE)
    fits = min(width / draw.textlength(title, font), 1.0)
    font = font.font_variant(size=max(int(TITLE_SIZE * fits), 1))
    draw.text(middle, title, INK, font, anchor="mm")
