import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data

from bench.quality import sides
from srez.drawn.faces import draw_face
from srez.photo.align import eyes_of_box
from srez.photo.prepare import face_part, keep_known
from srez.pictures.geometry import celeba_box, resized
from srez.pictures.image import to_uint8
from tests.test_infer import FewNetworks

SIDE = 128


@pytest.fixture(scope="module")
def face():
    drawn = celeba_box(np.asarray(draw_face(0, 1))) / np.float32(255.0)
    return gaussian_filter(drawn, (0.7, 0.7, 0))  # without the grain of its hair and skin


@pytest.fixture(scope="module")
def output(face):
    """What a network might give that saw 32x32 pixels: too soft, and another person's."""
    return resized(resized(face, 32), SIDE)


def psnr(image, truth):
    return -10 * np.log10(np.mean(np.square(image - truth)))


@pytest.mark.parametrize("side", [40, 64, 96])
def test_what_is_known_of_a_face_is_in_its_result(face, output, side):
    seen = resized(face, side)
    found = keep_known(output, seen)
    assert psnr(found, face) > psnr(output, face) + 1
    assert psnr(found, face) > psnr(resized(seen, SIDE), face) - 0.3
    assert psnr(resized(found, side), seen) > 40


def test_a_sharp_face_of_the_results_side_stays_as_it_is(face, output):
    assert psnr(keep_known(output, face), face) > 40


@pytest.mark.parametrize(
    ("way", "side", "gain"),
    [
        ("noise", 63, 1.0),
        ("noise", SIDE, 1.0),
        ("blur", 64, 1.0),
        ("blur", SIDE, 1.0),
        ("JPEG", 65, 0.3),
        ("JPEG", SIDE, 0.3),
    ],
)
def test_faults_of_a_face_are_mended(face, output, way, side, gain):
    [seen] = sides.made_small(to_uint8(face[None]), way, side) / np.float32(255)
    assert psnr(keep_known(output, seen), face) > psnr(resized(seen, SIDE), face) + gain


@pytest.mark.parametrize(
    ("width", "size", "inputs", "known"),
    [
        (12, 64, 16, 16),
        (17, 64, 16, 17),
        (20, 128, 32, 32),
        (32, 128, 32, 32),
        (33, 128, 32, 33),
        (100, 128, 32, 100),
        (300, 128, 32, 128),
    ],
)
def test_all_of_a_face_up_to_the_side_of_its_result_is_known(width, size, inputs, known):
    image = np.asarray(Image.fromarray(data.astronaut()).resize((400, 400)))
    part = face_part(image, eyes_of_box(20, 30, width), FewNetworks(64, 128))
    assert (part.size, part.low_res.shape[0], part.known.shape) == (size, inputs, (known, known, 3))
    assert bool(part.tip) == (width > 128)
