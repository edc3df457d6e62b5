"""Draws the hair and the beard of a portrait."""

import numpy as np

from srez.drawn.pen import CENTRE, between, ellipse_outline, on_side, points_on

LONG_STYLES = ("long", "wavy", "bob")


def hair_texture(pen, face):
    """Gives the lit hair as an image [218, 178, 3] in [0, 255]: strands fall from the parting."""
    rng = face.rng
    x, y = pen.grid()
    x, y = x - face.part, y - 34
    if face.style in ("wavy", "curly"):
        x = x + (2.2 if face.style == "wavy" else 3.4) * np.sin(y / rng.uniform(3.5, 6.0))
    far = np.hypot(x, y)
    # Strands lie side by side in the angle near the parting, and fall straight further down.
    across = np.arctan2(x, np.maximum(y, 0) + 16) * (40 + 0.35 * far)
    fine, coarse = rng.standard_normal((2, 600))
    streaks = 0.13 * np.interp(across * 1.3 % 599, range(600), fine)
    streaks += 0.10 * np.interp((across / 3.5) % 599, range(600), coarse)
    sheen = 0.35 * np.exp(-(((far - rng.uniform(24, 34)) / 9) ** 2)) * (1 + 2 * streaks)
    light = 0.86 + 0.2 * face.light[0] * np.tanh(x / 40) + streaks + sheen - y / 700
    return face.hair * light[..., None] + 18 * sheen[..., None]


def _strands(pen, face, roots, tips, bend, count):
    """Draws strands between two lines [N, 2], each in its own shade, bent in the middle."""
    rng = face.rng
    along = rng.random(count)
    start, end = (points_on(line, along)[:, None] for line in (roots, tips))
    steps = np.linspace(0, 1, 6)[:, None]
    jitter = rng.normal(0, 1.4, (count, 1, 2))
    paths = start + steps * (end + jitter - start) + np.sin(np.pi * steps) * (bend + jitter)
    for path, shade in zip(paths, rng.normal(0.95, 0.2, count), strict=True):
        pen.line(path, face.hair * shade, 0.5)


def draw_hair_behind(pen, face, hair):
    """Draws the long hair behind neck and shoulders; nothing for short styles."""
    if face.style not in LONG_STYLES:
        return
    bottom = 182 if face.style == "bob" else 226
    width = face.half_width + face.rng.uniform(9, 15)
    x = CENTRE[0]
    crown = ellipse_outline(x, 108, width, 68, 2.2, np.pi, 2 * np.pi)
    wide = width + face.rng.uniform(-3, 8)  # at the bottom
    ends = [(x + wide, bottom), (x - wide, bottom)]
    pen.shape(np.concatenate([crown, ends]), hair * 0.72, blur=0.9)
    for side in (-1, 1):
        roots = on_side(side, x, [(width - 3, 90), (width - 1, 110)])
        tips = on_side(side, x, [(wide - 6, bottom), (wide + 2, bottom)])
        _strands(pen, face, roots, tips, (side * 2, 0), 14)


def draw_beard(pen, face):
    """Draws stubble, a full beard or a goatee on some men, with a moustache."""
    rng = face.rng
    if face.feminine or rng.random() < 0.55:
        return
    kind = rng.choice(["stubble", "full", "goatee"])
    x = CENTRE[0] + 0.7 * face.yaw
    count = {"stubble": 500, "full": 900, "goatee": 260}[kind]
    spread = 9.0 if kind == "goatee" else face.half_width
    side, depth = rng.uniform(-1, 1, count), rng.random(count)
    bottom = 152 + (face.chin - 153) * np.sqrt(np.clip(1 - np.abs(side) ** face.jaw, 0, 1))
    top = 143 if kind == "goatee" else 145 - 22 * np.abs(side) ** 3
    spots = np.stack([x + side * spread * 0.94, top + depth * (bottom - top)], -1)
    lips = (np.abs(spots[:, 0] - x) < 19) & (np.abs(spots[:, 1] - 152) < 7)
    length = 0.7 if kind == "stubble" else rng.uniform(1.5, 3.0)
    colour = face.hair * 0.75 if kind != "stubble" else 0.5 * face.hair + 0.3 * face.skin
    for spot, shade in zip(spots[~lips], rng.normal(1, 0.2, count), strict=False):
        lean = (spot[0] - x) * 0.03
        pen.line([spot, spot + (lean, length)], colour * shade, 0.5)
    if kind == "stubble":
        return
    for root in np.linspace(-13, 13, 60):  # the moustache
        start = (CENTRE[0] + face.yaw + root, 142.5 + 0.012 * root**2 + rng.normal(0, 0.5))
        end = np.add(start, (0.12 * root + rng.normal(0, 0.4), rng.uniform(2.5, 4.5)))
        pen.line([start, end], colour * rng.normal(1.0, 0.2), 0.5)


def draw_hair_in_front(pen, face, hair):
    """Draws the hair on the head, over the forehead and down the sides; nothing for the bald."""
    rng = face.rng
    if face.style == "bald":
        return
    x = CENTRE[0] + 0.4 * face.yaw
    width = face.half_width + rng.uniform(2, 5)
    line = rng.uniform(70, 77) + (14 if face.style == "fringe" else 0)  # the forehead's beginning
    top = rng.uniform(40, 47)
    crown = ellipse_outline(x, 106, width, 106 - top, 2.3, np.pi, 2 * np.pi)
    low = 128 if face.feminine else rng.uniform(104, 114)  # how far down at the sides
    fall = 9 if face.feminine else 4
    half = [(width - 1, low), (face.half_width - fall, 100), (0.74 * face.half_width, line + 11)]
    parting = [(face.part + 7, line), (face.part - 7, line + 1)]
    edge = np.concatenate([on_side(1, x, half), parting, on_side(-1, x, half[::-1])])
    shadow = between(edge[1:-1], edge[1:-1] + (0, 5))
    pen.shape(shadow, face.skin * 0.35, blur=2.5, opacity=0.6)
    pen.shape(np.concatenate([crown, edge]), hair, blur=0.8)
    for side in (-1, 1):
        roots = [(face.part, top + 6), (x + side * width * 0.8, 80)]
        temple = x + side * (face.half_width - fall + 2)
        tips = [(face.part + side * 8, line + 3), (temple, low - 6)]
        _strands(pen, face, roots, tips, (side * 9, -4), 26)
        outer = on_side(side, x, [(8, top + 1), (width * 0.8, 66), (width, 100)])
        _strands(pen, face, outer, outer + (side * 3, 6), (side, -2), 22)
        if face.style in LONG_STYLES:  # a lock in front of the shoulder
            bottom, inner = 176 if face.style == "bob" else 218, face.half_width - 5
            upper = [(width - 12, 84), (width, 84)]
            lower = [(width + 7, bottom), (inner - 1, bottom), (inner, 130)]
            pen.shape(on_side(side, x, upper + lower), hair, blur=0.8)
            ends = on_side(side, x, [(inner - 3, bottom), (width + 9, bottom)])
            _strands(pen, face, on_side(side, x, upper), ends, (side * 3, 0), 22)
    if face.style == "fringe":
        roots = [(x - 34, 76), (x, 70), (x + 34, 76)]
        _strands(pen, face, roots, [(x - 36, 99), (x, 97), (x + 36, 99)], (0, -2), 70)
