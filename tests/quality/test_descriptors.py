import sys

import numpy as np
import pytest
from PIL import Image
from skimage import data

from srez.console import install
from srez.drawn.faces import draw_face
from srez.quality import descriptors

EYES = [[204, 102.5], [247, 105]]  # of the astronaut in her picture of 512x512 pixels


def _resized(image, side):
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("side", [64, 128, 512, 3000])
def test_the_eyes_are_found_at_any_size_of_the_photo(side):
    [eyes] = descriptors.find_faces(_resized(data.astronaut(), side))
    np.testing.assert_allclose(eyes * 512 / side, EYES, atol=1)


@pytest.mark.slow
def test_a_face_of_24_pixels_is_found_in_a_photo_of_a_thousand():
    photo = _resized(data.coffee()[:, 100:500], 1000).copy()
    photo[400:487, 700:787] = _resized(data.astronaut(), 87)
    [eyes] = descriptors.find_faces(photo)
    np.testing.assert_allclose((eyes - [700, 400]) * 512 / 87, EYES, atol=2)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_the_eyes_are_found_in_a_turned_photo_the_left_one_of_the_upright_first(monkeypatch, turns):
    monkeypatch.setattr(descriptors, "SEARCH_SIDE", 1200)  # enough for a face of a quarter of that
    photo = np.ascontiguousarray(data.astronaut()[:300, :400])
    [upright] = descriptors.find_faces(photo)
    image, expected = descriptors.turned(photo, upright, turns)
    [eyes] = descriptors.find_faces(np.ascontiguousarray(image))
    np.testing.assert_allclose(eyes, expected, atol=1e-9)


def test_four_quarters_are_none_and_a_place_keeps_its_pixel():
    image = np.arange(6).reshape(2, 3, 1)
    for turns in range(-4, 5):
        turned, (x, y) = descriptors.turned(image, np.array([2.5, 0.5]), turns)
        assert turned[int(y), int(x)] == image[0, 2]
        assert turns % 4 or (turned == image).all()


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((0.6, 0.9, 0.0, 0.0), 0),  # a sure face: nothing else is searched
        ((0.2, 0.4, 0.0, 0.0), 0),
        ((0.2, 0.4, 0.6, 0.5), 2),
        ((0.0, 0.2, 0.0, 0.3), 3),
        ((0.0, 0.0, 0.0, 0.0), None),
    ],
)
def test_a_turn_counts_if_no_face_is_upright_or_none_as_sure(monkeypatch, scores, expected):
    finds = (
        (np.full((int(score > 0), 2, 2), 5.0 + turns), score) for turns, score in enumerate(scores)
    )
    monkeypatch.setattr(descriptors, "_search", lambda _: next(finds))
    monkeypatch.setattr(descriptors, "turned", lambda image, places, _: (image, places))
    eyes = descriptors.find_faces(np.zeros((9, 9, 3), np.uint8))
    assert [*eyes[:, 0, 0]] == ([] if expected is None else [5.0 + expected])


def test_a_face_in_a_long_panorama_is_found():
    panorama = np.zeros((600, 12_000, 3), np.uint8)
    panorama[:512, 7000:7512] = data.astronaut()
    [eyes] = descriptors.find_faces(panorama)
    np.testing.assert_allclose(eyes - [7000, 0], EYES, atol=2)


def test_faces_come_from_left_to_right_and_a_badge_is_none():
    image = data.astronaut()
    small = _resized(image[:, ::-1], 256)
    photo = np.concatenate([image, np.pad(small, ((128, 128), (0, 0), (0, 0)))], axis=1)
    eyes = descriptors.find_faces(photo)
    assert eyes.shape == (2, 2, 2)
    assert eyes[0, :, 0].max() < 512 < eyes[1, :, 0].min()


PLAIN = [np.full((*shape, 3), 255, np.uint8) for shape in ((1, 1), (100, 100), (40, 2000))]


@pytest.mark.parametrize("image", [data.chelsea(), *PLAIN])
def test_a_picture_without_a_face_gives_none(image):
    assert descriptors.find_faces(image).shape == (0, 2, 2)


def test_descriptors_of_one_face_are_near_and_of_another_are_far():
    face = data.astronaut()[24:180, 147:303]
    other = np.asarray(draw_face(0, 1))[60:188, 25:153]
    images = [_resized(face, 128), _resized(face[:, ::-1], 128), _resized(other, 128)]
    found = descriptors.descriptors(np.stack(images))
    assert found.dtype == np.float64
    assert found.shape == (3, 128)
    distances = np.linalg.norm(found - found[0], axis=1)
    assert distances[1] < 0.4 < 0.6 < distances[2]


def test_descriptors_take_any_number_of_faces_of_any_size(monkeypatch):
    monkeypatch.setattr(descriptors, "DESCRIPTOR_BATCH", 2)
    for count, side in ((3, 64), (0, 64), (1, 7)):
        images = np.zeros((count, side, side, 3), np.uint8)
        assert descriptors.descriptors(images).shape == (count, 128)


def test_nothing_is_missing_here_and_without_dlib_it_says_what_to_install(monkeypatch):
    assert descriptors.missing() == ""
    monkeypatch.setitem(sys.modules, "dlib", None)
    assert descriptors.missing().endswith(f": {install('face.txt')}")
