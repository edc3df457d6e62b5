import numpy as np
import pytest
from PIL import Image

from srez.pictures import degrade
from srez.pictures.degrade import EXACT, known_of, packed

SIDE = 64


@pytest.fixture(scope="module")
def faces():
    coarse = np.random.default_rng(0).integers(0, 256, (200, 24, 24, 3), np.uint8)
    enlarged = [Image.fromarray(each).resize((SIDE, SIDE), 3) for each in coarse]
    return np.stack(enlarged) / np.float32(255.0)


@pytest.fixture(scope="module")
def known(faces):
    return known_of(faces, range(len(faces)), 0.7)


@pytest.fixture
def only(monkeypatch):
    """A function: of all that is drawn only what it is told happens, always."""

    def switch(name="", **others):
        for each in ("BLURRED", "SMALLER", "NOISY", "PACKED"):
            monkeypatch.setattr(degrade, each, 1.0 if each == name else 0.0)
        for each, value in {"KERNELS": (Image.Resampling.BOX,), "LEAST": 1.0, **others}.items():
            monkeypatch.setattr(degrade, each, value)

    return switch


def averages(images, factor):
    side = SIDE // factor
    return images.reshape(-1, side, factor, side, factor, 3).mean(axis=(2, 4))


def test_a_share_is_degraded_and_the_others_are_exact_averages(faces, known):
    exact = known[:, 0, 0, 4] == 1.0
    assert exact.mean() == pytest.approx(0.3, abs=0.08)
    found = {factor: known[:, 0, 0, 3] == np.log2(factor) for factor in EXACT}
    for factor, odds in EXACT.items():
        of_it = exact & found[factor]
        assert of_it.sum() / exact.sum() == pytest.approx(odds, abs=0.2)
        pair = averages(known[of_it][..., :3], factor), averages(faces[of_it], factor)
        np.testing.assert_allclose(*pair, atol=1e-5)
    assert (exact <= sum(found.values())).all()


def test_each_size_from_the_smallest_face_on_is_as_likely_by_its_logarithm(known):
    enlargements = known[known[:, 0, 0, 4] == 0.0][:, 0, 0, 3]
    assert enlargements.min() >= 0 and enlargements.max() < 0.01 - np.log2(degrade.LEAST)
    low, middle, high = np.quantile(enlargements, (0.25, 0.5, 0.75))
    assert (low, middle, high) == pytest.approx((0.92, 1.84, 2.76), abs=0.35)


def test_the_same_seed_gives_the_same(faces, known):
    again = known_of(faces[7:9], [7, 8], 0.7)
    np.testing.assert_array_equal(again, known[7:9])
    assert (known_of(faces[:1], [8], 0.7) != known[:1]).any()


def test_a_face_of_its_own_size_with_nothing_done_to_it_stays_as_it_is(faces, only):
    only()
    known = known_of(faces[:3], range(3), 1.0)
    np.testing.assert_allclose(known[..., :3], faces[:3], atol=0.51 / 255)
    assert (known[..., 3:] == 0.0).all()


def test_what_was_made_small_on_a_grid_that_is_moved_comes_back_to_its_place(faces, only):
    only(LEAST=0.25)
    known = known_of(faces[:20], range(20), 1.0)
    assert (known[..., 3] > 0.05).all()
    errors = {
        by: np.abs(np.roll(known[..., :3], by, (1, 2)) - faces[:20]).mean() for by in (-1, 0, 1)
    }
    assert min(errors, key=errors.get) == 0


def test_blur_takes_detail_away_and_keeps_the_mean(faces, only):
    only("BLURRED")
    known = known_of(faces[:20], range(20), 1.0)[..., :3]

    def detail(images):
        return np.abs(np.diff(images, 2, axis=1)).mean()

    assert detail(known) < 0.8 * detail(faces[:20])
    np.testing.assert_allclose(known.mean(axis=(1, 2)), faces[:20].mean(axis=(1, 2)), atol=0.03)


def test_the_noise_has_up_to_eight_levels(only):
    only("NOISY")
    grey = np.full((60, SIDE, SIDE, 3), 0.5, np.float32)
    levels = 255 * known_of(grey, range(60), 1.0)[..., :3].std(axis=(1, 2, 3))
    assert levels.max() == pytest.approx(8.0, abs=0.6) and levels.min() < 0.8
    assert np.median(levels) == pytest.approx(4.0, abs=1.2)


def test_jpegs_blocks_begin_anywhere_and_webp_comes_too(faces, monkeypatch):
    image = (255 * faces[0]).astype(np.uint8)
    monkeypatch.setattr(degrade, "QUALITIES", (50, 50))
    saved = []
    save = Image.Image.save

    def noted(picture, file, **about):
        saved.append((picture.size, about["format"]))
        save(picture, file, **about)

    monkeypatch.setattr(Image.Image, "save", noted)
    for seed in range(60):
        result = packed(image, np.random.default_rng(seed))
        assert result.shape == image.shape
        error = np.abs(result.astype(int) - image).mean()
        assert 0.5 < error < 30  # a picture that is moved would be further off
    assert {size[0] - SIDE for size, _ in saved} == set(range(8))
    assert {kind for _, kind in saved} == {"JPEG", "WEBP"}
