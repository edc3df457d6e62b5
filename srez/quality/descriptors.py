"""Finds faces and describes them, with dlib: an extra, of requirements/face.txt (no TensorFlow)."""

import functools
import importlib.util
import math
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from srez.console import install

# The detector knows faces from 80 pixels on. So a small picture is searched enlarged, and a very
# large one reduced: 16 megapixels take a second. The turns are searched at the same size: in half
# of it, those faces of a camera's photo would be lost that srez makes sharp.
SEARCH_SIDE = 4000  # pixels of the searched picture's longer side, or a panorama's as many in all
# For the search. It finds 77 of 100 CelebA faces whose box is 16 pixels, 12 or 16 times no more.
MAX_ENLARGEMENT = 8
MIN_SCORE = 0.2  # of the surest find: below, most of what is found in photos is no face
SURE_SCORE = 0.5  # of the others: next to a face, a badge may pass for one with less
LANDMARK_SIDE = 400  # pixels; dlib's landmarks are whole pixels, so a face is magnified for them
DESCRIPTOR_SIDE = 150  # pixels; what the descriptor network takes
DESCRIPTOR_BATCH = 64

_LOCK = threading.Lock()  # dlib's detectors keep what they compute in themselves


def missing():
    """What to install before the others here work, as a sentence; empty if all is there."""
    names = ("dlib", "face_recognition_models")
    if all(importlib.util.find_spec(name) for name in names):
        return ""
    return f"faces need two more packages: {install('face.txt')}"


def find_faces(image):
    """The eyes of the faces in a picture, uint8 [H, W, 3]: float64 [n, 2, 2], n from 0 up.

    Each face is the centres (x, y) of its two eyes in pixels; (0, 0) is the picture's corner. If
    none is found, or none that is sure, the picture is searched on its sides and upside down, too.
    In the picture turned so that its faces stand upright, a face's left eye comes first, and the
    faces come from left to right. Needs what `missing` asks for.
    """
    upright, best = _search(image)
    eyes = upright
    if best < SURE_SCORE:
        for turns in (1, 2, 3):
            picture = np.ascontiguousarray(np.rot90(image, turns))
            found, score = _search(picture)
            # One in ten faces looks somewhat like a face from another side, too.
            if score > best and (score >= SURE_SCORE or not len(upright)):
                best, (_, eyes) = score, turned(picture, found, -turns)
    return eyes


def turned(image, places, turns):
    """A picture [H, W, 3] turned so many quarters to the left; where places (x, y) in it are then.

    `places` are [..., 2].
    """
    for _ in range(turns % 4):
        places = np.stack([places[..., 1], image.shape[1] - places[..., 0]], axis=-1)
        image = np.rot90(image)
    return image, places


def descriptors(images):
    """128-d descriptors of aligned faces, uint8 [N, S, S, 3]: float64 [N, 128].

    The faces are srez's box of an aligned picture, at any size. Those of one person are less than
    0.6 apart for most pairs (http://dlib.net/face_recognition.py.html), if the pictures are as dlib
    aligns them; srez's box is somewhat wider. Needs what `missing` asks for.
    """
    side = (DESCRIPTOR_SIDE, DESCRIPTOR_SIDE)
    chips = [
        np.asarray(Image.fromarray(image).resize(side, Image.Resampling.BICUBIC))
        for image in images
    ]
    found = []
    with _LOCK:
        for start in range(0, len(chips), DESCRIPTOR_BATCH):
            batch = chips[start : start + DESCRIPTOR_BATCH]
            found += _describer().compute_face_descriptor(batch)
    return np.array(found, np.float64).reshape(-1, 128)


def _search(image):
    """(the eyes as `find_faces` gives them of a picture's upright faces, the surest one's score)"""
    picture = Image.fromarray(image)
    fits = SEARCH_SIDE / math.sqrt(picture.width * picture.height)
    enlargement = min(max(SEARCH_SIDE / max(picture.size), min(fits, 1)), MAX_ENLARGEMENT)
    size = [max(round(side * enlargement), 1) for side in picture.size]
    searched = np.asarray(picture.resize(size, Image.Resampling.BICUBIC))
    with _LOCK:
        found, scores, _ = _detector().run(searched, 0, MIN_SCORE)
        best = max(scores, default=0.0)
        least = min(SURE_SCORE, best)
        faces = [face for face, score in zip(found, scores, strict=True) if score >= least]
        eyes = [_eyes(picture, face, enlargement) for face in faces]
    eyes.sort(key=lambda pair: pair[:, 0].sum())
    return np.array(eyes).reshape(-1, 2, 2), best


def _eyes(picture, face, enlargement):
    """The two eye centres [2, 2] of the `face` found in the picture enlarged."""
    import dlib

    # A window of twice the face's width, in which the face is the middle half.
    side = max(round(2 * face.width() / enlargement), 4)
    centre = face.dcenter()
    left, top = (round(at / enlargement - side / 2) for at in (centre.x, centre.y))
    window = picture.crop((left, top, left + side, top + side))
    window = window.resize((LANDMARK_SIDE, LANDMARK_SIDE), Image.Resampling.BICUBIC)
    first, last = LANDMARK_SIDE // 4, LANDMARK_SIDE - LANDMARK_SIDE // 4
    marks = landmarks()(np.asarray(window), dlib.rectangle(first, first, last, last))
    # Marks 0 and 1 are the corners of the eye on the right, 2 and 3 of that on the left.
    corners = np.array([(mark.x + 0.5, mark.y + 0.5) for mark in marks.parts()][:4])
    eyes = corners.reshape(2, 2, 2).mean(axis=1) * side / LANDMARK_SIDE + (left, top)
    return eyes[eyes[:, 0].argsort()]


@functools.cache
def _detector():
    import dlib

    return dlib.get_frontal_face_detector()


@functools.cache
def landmarks():
    """dlib's predictor of five landmarks: the corners of the eyes, then the nose."""
    import dlib

    return dlib.shape_predictor(_model_file("shape_predictor_5_face_landmarks.dat"))


@functools.cache
def _describer():
    import dlib

    return dlib.face_recognition_model_v1(_model_file("dlib_face_recognition_resnet_model_v1.dat"))


def _model_file(name):
    # Not by the package's own import: it needs pkg_resources, which setuptools has dropped.
    spec = importlib.util.find_spec("face_recognition_models")
    return str(Path(spec.submodule_search_locations[0]) / "models" / name)
