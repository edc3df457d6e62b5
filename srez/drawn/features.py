"""Draws eyes, brows, nose, mouth and glasses of a portrait."""

import numpy as np

from srez.drawn.pen import CENTRE, between, ellipse_outline, on_side, points_on

EYE_X = 19.5  # pixels from the centre to either eye


def draw_nose(pen, face):
    """Draws the wings, the nostrils and the tip."""
    x = CENTRE[0] + face.yaw
    width = face.rng.uniform(6.5, 8.0) + (0 if face.feminine else 1.2)
    for side in (-1, 1):
        wing = on_side(side, x, [(width - 1, 127), (width + 0.8, 131), (width - 2, 135)])
        pen.line(wing, face.skin * 0.66, 0.9)
        pen.ellipse(x + side * (width - 3.6), 135.2, 2.2, 1.1, face.skin * 0.32, blur=0.35)
    pen.ellipse(x, 137.5, width - 2, 1.4, face.skin * 0.62, blur=0.9, opacity=0.7)
    shine = face.skin * 0.4 + 150
    pen.ellipse(x + 1.2 * face.light[0], 129.5, 1.6, 2.0, shine, blur=0.8, opacity=0.55)


def draw_mouth(pen, face):
    """Draws the lips, and on some faces the teeth between them."""
    rng = face.rng
    x, y = CENTRE[0] + face.yaw, 152.0
    half, smile = rng.uniform(14.5, 18.5), rng.uniform(-0.5, 3.0)
    opening = rng.uniform(2.5, 5.0) / 2 if rng.random() < 0.5 and smile > 0.3 else 0.0
    lip = face.skin * (0.86, 0.62, 0.6)
    if face.feminine and rng.random() < 0.6:  # lipstick
        lip = np.array([185, 40, 60]) * rng.uniform(0.7, 1.1)
    across = np.linspace(-1, 1, 21)
    arch = 1 - across**2
    middle = y - smile * across**2  # a smile's corners are above its middle
    bow = 3.4 * arch * (1 - 0.25 * np.exp(-((across / 0.16) ** 2)))
    upper = np.stack([x + half * across, middle - bow - opening], -1)
    lower = np.stack([x + half * across, middle + (5.2 + opening) * arch], -1)
    pen.shape(between(upper, lower), lip, blur=0.3)
    pen.ellipse(x, y + 3.4 + opening, half * 0.4, 0.8, lip + 70, blur=0.7, opacity=0.6)
    inner = x + 0.82 * half * across
    if not opening:
        pen.line(np.stack([inner, middle + 0.3], -1), lip * 0.42, 0.9)
        return
    top = np.stack([inner, middle - opening * arch], -1)
    bottom = np.stack([inner, middle + 0.8 + opening * arch], -1)
    pen.shape(between(top, bottom), (60, 16, 18), blur=0.2)
    teeth = between(top, top * 0.15 + bottom * 0.85)
    pen.shape(teeth, (236, 230, 218), blur=0.25, opacity=0.95)
    for gap in (-8.4, -5.4, -2.6, 0, 2.6, 5.4, 8.4):
        if abs(gap) < 0.62 * half:
            height = opening * (1 - (gap / half) ** 2)
            level = y - smile * (gap / 0.82 / half) ** 2
            ends = [(x + gap, level - height), (x + gap, level + height)]
            pen.line(ends, (178, 164, 152), 0.4)


def draw_eye(pen, face, side):
    """Draws the eye on the left (-1) or right (1), with iris, lid and lashes."""
    x, y = CENTRE[0] + side * EYE_X, CENTRE[1]
    half, opening = 9.2, 4.4 if face.feminine else 3.7
    across = np.linspace(-1, 1, 17)
    tilt = -0.6 * across * side
    upper = np.stack([x + half * across, y - opening * (1 - across**2) ** 0.7 + tilt], -1)
    lower = np.stack([x + half * across, y + 0.7 * opening * (1 - across**2) ** 0.8 + tilt], -1)
    almond = between(upper, lower)
    gaze, above = x + 0.35 * face.yaw, y - 0.3
    glint = gaze + 1.5 * np.sign(face.light[0])
    pen.shape(almond, (222, 216, 210), blur=0.2)
    pen.ellipse(gaze, above, 4.6, 4.6, face.iris * 0.4, within=almond)
    pen.ellipse(gaze, above, 3.8, 3.8, face.iris, blur=0.25, within=almond)
    pen.ellipse(gaze, above + 1.1, 2.7, 1.8, face.iris * 1.5, blur=0.5, opacity=0.6, within=almond)
    pen.ellipse(gaze, above, 1.9, 1.9, (10, 8, 8), within=almond)
    pen.ellipse(glint, above - 1.5, 1.0, 1.0, (255, 255, 255), within=almond)
    pen.shape(between(upper, upper + (0, 1.6)), (50, 36, 32), blur=0.5, opacity=0.55)
    dark = np.array([24, 18, 16]) if face.feminine else 0.3 * face.hair + 0.15 * face.skin
    pen.line(upper, dark, 1.2 if face.feminine else 0.8)
    pen.line(lower, face.skin * 0.6, 0.5)
    pen.line(upper[2:-1] - (0, 2.8), face.skin * 0.6, 0.7)  # the lid's crease
    length = face.rng.uniform(1.8, 2.6) if face.feminine else 1.0
    for at in range(1, 16):
        pen.line([upper[at], upper[at] + ((at - 8) * 0.12, -length)], dark, 0.35)


def draw_brow(pen, face, side):
    """Draws the brow on the left (-1) or right (1), hair by hair."""
    x, y = CENTRE[0] + side * EYE_X, CENTRE[1] - (11.5 if face.feminine else 10.0)
    thick = 1.6 if face.feminine else 2.8
    across = np.linspace(-11, 11, 9)
    arch = y - 2.2 * np.cos(across / 9) - 0.06 * side * across + 2
    colour = 0.75 * np.minimum(face.hair, 110) + 0.1 * face.skin
    line = np.stack([x + across, arch], -1)
    outline = between(line - (0, thick * 0.6), line + (0, thick * 0.5))
    pen.shape(outline, colour, blur=0.7, opacity=0.7)
    for root in points_on(line, np.linspace(0, 1, 34)):
        root = root + face.rng.normal(0, 0.4, 2) + (0, thick * 0.4)
        pen.line([root, root + (side * 1.8, -thick)], colour * face.rng.normal(0.9, 0.15), 0.4)


def draw_glasses(pen, face):
    """Draws thin rims, temples and a bridge."""
    rng = face.rng
    colour = rng.integers(10, 90, 3)
    width, height, power = rng.uniform(13, 15.5), rng.uniform(9, 12.5), rng.uniform(2.0, 4.0)
    for side in (-1, 1):
        x = CENTRE[0] + side * (EYE_X + 0.5)
        rim = ellipse_outline(x, CENTRE[1] + 1.5, width, height, power)
        pen.shape(rim, (235, 240, 250), opacity=0.08)
        pen.line(rim, colour, rng.uniform(0.9, 1.1))
        edge = CENTRE[0] + side * (face.half_width + 1)
        pen.line([(x + side * width, CENTRE[1]), (edge, CENTRE[1] - 1)], colour, 1.2)
    half = EYE_X - width
    bridge = [(CENTRE[0] - half, 110), (CENTRE[0], 107.5), (CENTRE[0] + half, 110)]
    pen.line(bridge, colour, 1.1)
