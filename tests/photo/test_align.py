import numpy as np
import pytest
from PIL import Image
from skimage import data

from srez.drawn.faces import draw_face
from srez.photo import align
from srez.pictures.formats import MAX_PIXELS
from srez.pictures.geometry import celeba_box

EYES = np.array([[204, 102.5], [247, 105]])  # of the astronaut
CELEBA_EYES = np.array([[69.5, 111.5], [108.5, 111.5]])


@pytest.fixture(scope="module")
def astronaut():
    return data.astronaut()


def _turned(image, eyes, degrees):
    """A picture turned anticlockwise about its centre, at its size, and its eyes then."""
    turned = np.asarray(Image.fromarray(image).rotate(degrees, Image.Resampling.BICUBIC))
    centre = image.shape[1] / 2 + 1j * image.shape[0] / 2
    places = (eyes[:, 0] + 1j * eyes[:, 1] - centre) * np.exp(-1j * np.radians(degrees)) + centre
    return turned, np.stack([places.real, places.imag], axis=1)


def test_an_aligned_picture_gives_the_datasets_box():
    face = np.asarray(draw_face(0, 1))
    box = celeba_box(face)
    assert (np.rint(align.align_face(face, CELEBA_EYES, 128) * 255) == box).all()
    mean = box.reshape(16, 8, 16, 8, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(align.align_face(face, CELEBA_EYES, 16) * 255, mean, atol=1e-3)


@pytest.mark.parametrize("degrees", [-20, 20, 90])
def test_a_turned_face_is_turned_upright(astronaut, degrees):
    upright = align.align_face(astronaut, EYES, 16)
    turned = align.align_face(*_turned(astronaut, EYES, degrees), 16)
    assert np.abs(upright - turned).mean() < 0.01
    assert np.abs(upright - turned[:, ::-1]).mean() > 0.05


def test_a_reduced_box_is_an_average_without_aliases():
    stripes = np.zeros((2000, 2000, 3), np.uint8)
    stripes[:, ::2] = 255
    box = align.align_face(stripes, np.array([[900.3, 900], [1214, 945.7]]), 16)
    np.testing.assert_allclose(box, 0.5, atol=0.03)


def test_outside_of_the_photo_its_edge_goes_on():
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, 0] = 200
    box = align.align_face(image, np.array([[2.0, 50], [12, 50]]), 16)
    np.testing.assert_allclose(box[:, :3], 200 / 255, atol=1e-3)
    np.testing.assert_allclose(box[:, 10:], 0, atol=1e-3)


def test_a_face_put_back_as_it_was_leaves_the_photo_as_it_was(astronaut):
    result = align.align_face(astronaut, EYES, 128)
    photo = align.put_back(astronaut, EYES[None], result[None])
    assert photo.shape == astronaut.shape
    assert np.abs(photo.astype(int) - astronaut).mean() < 0.13  # a quarter pixel off: 0.16


def test_a_face_is_put_into_its_box_alone_and_fades_towards_its_edge():
    image, eyes = _turned(np.zeros((512, 512, 3), np.uint8), EYES, 20)
    photo = align.put_back(image, eyes[None], np.full((1, 64, 64, 3), [0, 1, 0]))
    assert image.max() == 0
    assert 0.85 < (photo[..., 1] > 0).sum() / align.box_side(eyes) ** 2 <= 1.0
    inside = align.align_face(photo, eyes, 128)
    assert inside[..., [0, 2]].max() == 0
    np.testing.assert_allclose(inside[30:98, 30:98, 1], 1, atol=0.01)
    fade = np.diff(inside[64, :30, 1])
    assert fade.min() > -0.01
    assert fade.max() < 0.08


def test_a_face_that_is_larger_than_its_result_keeps_its_pixels(astronaut):
    result = align.align_face(astronaut, EYES, 64)
    eyes = EYES[None]
    same = align.put_back(astronaut, eyes, result[None])
    assert np.abs(same.astype(int) - astronaut).max() <= 1
    darker = align.put_back(astronaut, eyes, result[None] * 0.9)
    inside = align.align_face(darker, EYES, 128)[40:90, 40:90]
    before = align.align_face(astronaut, EYES, 128)[40:90, 40:90]
    assert inside.mean() == pytest.approx(0.9 * before.mean(), abs=0.01)
    assert np.abs(np.diff(inside, axis=0)).mean() > 0.9 * np.abs(np.diff(before, axis=0)).mean()


@pytest.mark.parametrize("eyes", [[[2, 50], [32, 50]], [[70, 5], [99, 8]]])
def test_a_face_at_the_photos_border_is_put_back(eyes):
    image = np.zeros((100, 100, 3), np.uint8)
    photo = align.put_back(image, np.array([eyes], float), np.ones((1, 64, 64, 3)))
    assert photo.shape == image.shape
    assert photo.max() == 255


@pytest.mark.parametrize(
    ("side", "times"), [(10, 4), (16, 4), (21, 4), (22, 3), (32, 2), (63, 2), (64, 1), (500, 1)]
)
def test_the_photo_becomes_as_large_as_its_face_needs(side, times):
    eyes = np.array([[[0, 0], [side * 39 / 128, 0]]])
    assert align.photo_enlargement((300, 400, 3), eyes, [64]) == times
    for scale in (1, 2, 4):
        assert align.photo_enlargement((300, 400, 3), eyes, [64], scale) == scale


def test_no_photo_becomes_larger_than_srez_would_read():
    eyes = np.array([[[0, 0], [5, 0]]])
    side = int((MAX_PIXELS / 4) ** 0.5)
    assert align.photo_enlargement((side, side, 3), eyes, [64]) == 2
    assert align.photo_enlargement((side + 1, side + 1, 3), eyes, [64]) == 1


def test_an_enlarged_photo_holds_the_result_in_full():
    image = np.full((40, 60, 3), 128, np.uint8)
    eyes = np.array([[[25, 20], [25 + 16 * 39 / 128, 20]]])
    result = np.random.default_rng(0).random((64, 64, 3))
    photo = align.put_back(image, eyes, result[None])
    assert photo.shape == (160, 240, 3)
    found = align.align_face(photo, 4 * eyes[0], 64)
    assert np.abs(found - result)[20:44, 20:44].mean() < 0.1


@pytest.mark.parametrize(
    ("sides", "times"), [((20, 50), 3), ((20, 200), 1), ((20, 40, 200), 4), ((20, 100, 200), 2)]
)
def test_at_least_half_of_the_faces_keep_all_their_pixels(sides, times):
    eyes = np.array([[[0, 0], [side * 39 / 128, 0]] for side in sides])
    results = [128] * len(sides)
    assert align.photo_enlargement((300, 400, 3), eyes, results) == times


def test_the_box_of_eyes_is_that_which_they_came_from():
    eyes = align.eyes_of_box(100.0, 60.0, 128.0)
    np.testing.assert_allclose(eyes, CELEBA_EYES + np.array([75, 0]), atol=1e-9)
    assert align.box_side(eyes) == pytest.approx(128)


@pytest.mark.parametrize(
    ("turns", "degrees"), [(0, 20), (0, 0), (-1, 90), (-1, 70), (2, 180), (1, 270)]
)
def test_a_photo_has_to_be_turned_back_by_the_quarters_nearest_to_its_faces(
    astronaut, turns, degrees
):
    _, eyes = _turned(astronaut, EYES, degrees)
    assert align.turns_upright(eyes[None]) == turns
