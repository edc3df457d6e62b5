"""Draws a portrait: skin, hair, eyes and all, from random traits.

It has the geometry of an aligned CelebA picture (178x218 pixels, eyes at (69, 111) and (108, 111))
and detail that a 64x64 crop shows and a 16x16 one doesn't: irises, lashes, strands, teeth.
"""

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFilter

from srez.drawn.features import EYE_X, draw_brow, draw_eye, draw_glasses, draw_mouth, draw_nose
from srez.drawn.hair import draw_beard, draw_hair_behind, draw_hair_in_front, hair_texture
from srez.drawn.pen import CENTRE, HEIGHT, WIDTH, Pen, ellipse_outline, on_side, picture, rgb

# Colours are linear blends of neighbours in these lists.
SKINS = "#fadcc8", "#eec3a5", "#d6a078", "#a06a48", "#69422e", "#442a20"
HAIRS = "#181414", "#302018", "#603e26", "#96683a", "#d6b270", "#ecd6a4"
RARE_HAIRS = "#a04624", "#782c18", "#969492", "#d6d4d2"
IRISES = "#3e2818", "#603e20", "#626834", "#4a7082", "#5c88b0", "#6e787c"
EVERYTHING = (-50, -50), (250, -50), (250, 300), (-50, 300)  # corners outside of the picture


class Traits:
    """The random traits of one face; lengths in pixels, colours RGB in [0, 255]."""

    def __init__(self, rng):
        self.rng = rng
        self.feminine = bool(rng.random() < 0.55)
        aside = np.sin(rng.uniform(-1.0, 1.0))
        light = np.array([aside, -rng.uniform(0.2, 0.7), rng.uniform(0.7, 1.2)])
        self.light = light / np.linalg.norm(light)  # direction: right, down, towards the viewer
        self.skin = _blend(SKINS, rng.beta(1.1, 1.5))
        dark = self.skin.mean() < 130
        if rng.random() < (0.04 if dark else 0.18):
            self.hair = _blend(RARE_HAIRS, rng.uniform(0, 1))
        else:
            self.hair = _blend(HAIRS, rng.uniform(0, 0.3 if dark else 1))
        self.iris = _blend(IRISES, rng.uniform(0, 0.3 if dark else 1))
        self.half_width = rng.uniform(43, 48) - 2 * self.feminine
        self.chin = rng.uniform(175, 184) - 2 * self.feminine  # y of its lowest point
        # The exponent of the outline: 2 is an ellipse, more is squarer.
        self.jaw = rng.uniform(2.0, 2.3) if self.feminine else rng.uniform(2.2, 2.8)
        self.part = CENTRE[0] + rng.choice([-1, 1]) * rng.uniform(2, 18)  # x of the hair's parting
        self.yaw = rng.uniform(-3.0, 3.0)  # pixels by which nose and mouth are turned aside
        styles = "long wavy bob fringe" if self.feminine else "short parted curly bald"
        self.style = str(rng.choice(styles.split()))
        self.age = rng.beta(1.2, 2.0)


def draw_portrait(rng):
    """Draws a face from a numpy random Generator: a PIL image, RGB, 178x218."""
    face = Traits(rng)
    pen = Pen(rng)
    pen.shape(EVERYTHING, np.asarray(_background(rng)))
    skin, hair = _skin(pen, face), hair_texture(pen, face)
    draw_hair_behind(pen, face, hair)
    _body(pen, face, skin)
    _head(pen, face, skin)
    draw_nose(pen, face)
    draw_mouth(pen, face)
    draw_beard(pen, face)
    for side in (-1, 1):
        draw_eye(pen, face, side)
        draw_brow(pen, face, side)
    draw_hair_in_front(pen, face, hair)
    if rng.random() < 0.15:
        draw_glasses(pen, face)
    # A camera adds its colour cast and its noise.
    cast = rng.uniform(0.93, 1.05, 3) * rng.uniform(0.85, 1.08)
    noise = rng.standard_normal((HEIGHT, WIDTH, 1), np.float32) * rng.uniform(1.0, 3.5)
    return picture(pen.result() * cast + noise)


def _blend(colours, at):
    at *= len(colours) - 1
    channels = zip(*map(ImageColor.getrgb, colours), strict=True)
    return np.array([np.interp(at, range(len(colours)), channel) for channel in channels])


def _background(rng):
    corners = _muted(rng) + rng.normal(0, 22, (3, 3, 1)) + rng.normal(0, 7, (3, 3, 3))
    image = picture(corners).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    if rng.random() < 0.6:  # things out of focus
        draw = ImageDraw.Draw(image)
        for _ in range(rng.integers(3, 9)):
            x, y, width, height = rng.integers((-20, -20, 10, 10), (WIDTH, HEIGHT, 60, 90))
            box = (x, y, x + width, y + height)
            (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(box, rgb(_muted(rng)))
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(2, 7)))
    return image


def _muted(rng):
    """A colour as things have them: more often greyish than not."""
    return rng.uniform(15, 235) + rng.normal(0, 6 if rng.random() < 0.6 else 32, 3)


def _body(pen, face, skin):
    rng = face.rng
    x = CENTRE[0]
    half = face.half_width * (0.56 if face.feminine else 0.7)
    neck = [(x - half, 150), (x + half, 150), (x + half + 5, 220), (x - half - 5, 220)]
    pen.shape(neck, np.minimum(skin, face.skin) * 0.9, blur=1.0)
    pen.ellipse(x, face.chin - 2, half + 6, 17, face.skin * 0.35, blur=5.0, opacity=0.7)
    colour = np.clip(_muted(rng), 12, 230)
    slope, collar = rng.uniform(196, 206), rng.uniform(202, 214)
    shoulders = [(-10, 230), (-10, slope + 12), (x - half - 4, slope - 4), (x, collar + 8)]
    shoulders += [(x + half + 4, slope - 4), (190, slope + 12), (190, 230)]
    columns = np.linspace(-1, 1, WIDTH)[None, :, None]
    folds = 0.9 + 0.25 * face.light[0] * columns + 0.08 * np.sin(columns * rng.uniform(8, 30))
    pen.shape(shoulders, np.broadcast_to(colour * folds, (HEIGHT, WIDTH, 3)), blur=0.5)
    pen.line(shoulders[2:5], colour * 0.55, 1.2)


def _head(pen, face, skin):
    for side in (-1, 1):
        x = CENTRE[0] + side * (face.half_width + 1.5) + 0.4 * face.yaw
        pen.ellipse(x, 120, 5, 12, face.skin * 0.82, blur=0.6)
        pen.ellipse(x, 120, 2, 7, face.skin * 0.6, blur=0.8, opacity=0.8)
    # Half an ellipse above the eyes' line, a squarer half below, down to the chin.
    x, y = CENTRE[0] + 0.4 * face.yaw, 108.0
    lower = ellipse_outline(x, y, face.half_width, face.chin - y, face.jaw, 0, np.pi)
    upper = ellipse_outline(x, y, face.half_width, 56, 2.2, np.pi, 2 * np.pi)
    pen.shape(np.concatenate([lower, upper]), skin, blur=0.6)
    if face.rng.random() < 0.12:  # freckles
        for x, y in face.rng.normal((CENTRE[0], 128), (17, 6), (45, 2)):
            pen.ellipse(x, y, 0.5, 0.5, face.skin * 0.7, opacity=0.6)
    if face.age > 0.55:
        for side in (-1, 1):
            fold = on_side(side, CENTRE[0] + face.yaw, [(13, 132), (19, 141), (21, 150)])
            pen.line(fold, face.skin * 0.78, 0.6)
        for y in (84, 89):
            wrinkle = [(CENTRE[0] + x, y + abs(x) / 14) for x in range(-18, 19, 6)]
            pen.line(wrinkle, face.skin * 0.86, 0.5)


def _skin(pen, face):
    """Gives the lit skin, an ellipsoid with sockets and cheeks: [218, 178, 3] in [0, 255]."""
    x, y = pen.grid()
    x = x - CENTRE[0] - 0.4 * face.yaw
    right, down = x / (face.half_width * 1.12), (y - 120) / 76
    towards = np.sqrt(np.clip(1.0 - right**2 - down**2, 0.02, None))
    facing = right * face.light[0] + down * face.light[1] + towards * face.light[2]
    light = 0.52 + 0.62 * np.maximum(facing, -0.3)

    def spot(at_x, at_y, width, height):
        return np.exp(-(((x - at_x) / width) ** 2) - ((y - at_y) / height) ** 2)

    turn = 0.6 * face.yaw
    light -= 0.16 * (spot(-EYE_X, 108, 10, 7) + spot(EYE_X, 108, 10, 7))  # sockets
    light -= 0.10 * spot(turn, 163, 9, 2.5)  # below the lip
    light += 0.10 * (spot(-24 + turn, 132, 9, 8) + spot(24 + turn, 132, 9, 8))  # cheekbones
    light += 0.08 * spot(0, 82, 22, 12)  # forehead
    light += 0.10 * spot(turn, 122, 3.2, 14)  # bridge of the nose
    side = np.sign(face.light[0])
    light -= 0.12 * abs(face.light[0]) * spot(turn - side * 7.5, 124, 3.5, 12)  # its shadow
    red = 0.5 * (spot(-25, 138, 11, 8) + spot(25, 138, 11, 8)) + 0.5 * spot(turn, 133, 6, 4)
    return face.skin * light[..., None] + red[..., None] * np.array([14.0, -8.0, -6.0])
