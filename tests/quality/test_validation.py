import re

import numpy as np
import pytest
import tensorflow as tf

from srez.drawn.faces import draw_face
from srez.modern import Modern
from srez.options import FIELDS
from srez.original import Original
from srez.pictures.geometry import celeba_box, interpolate
from srez.quality.validation import Validation, Watch, warn_of_schedule

FACES = 6
REMEDY = "a remedy"


@pytest.fixture
def faces():
    """Smooth random pictures [6, 64, 64, 3] and their averages [6, 16, 16, 3]."""
    low_res = np.random.default_rng(0).uniform(0.2, 0.8, (FACES, 4, 4, 3)).repeat(4, 1).repeat(4, 2)
    return np.float32(low_res), np.float32(low_res.repeat(4, 1).repeat(4, 2))


def _enlarge(low_res, training):
    return np.repeat(np.repeat(low_res, 4, axis=1), 4, axis=2)


def _grey(low_res, training):
    return np.full((len(low_res), 64, 64, 3), 0.5, np.float32)


def _red(low_res, training):
    return _enlarge(low_res, training) + np.float32([0.1, 0, 0])


def test_a_perfect_network_has_a_score_of_one_and_is_best(faces, capsys):
    figures, best = Validation(faces, REMEDY).measure(1000, _enlarge, None)
    assert best["name"] == "batch001000"
    assert figures["validation/score"] == pytest.approx(1, abs=2e-3)  # 8 bits
    assert figures["validation/ssim"] == pytest.approx(1, abs=1e-3)
    assert figures["bicubic/ssim"] < 0.99
    out = capsys.readouterr().out
    assert "Validation at batch 1,000 on 6 pictures:" in out
    assert "the best so far" in out
    assert "Warning" not in out


def test_only_a_better_score_replaces_the_best(faces):
    validation = Validation(faces, REMEDY)
    _, first = validation.measure(200, _red, None)
    _, second = validation.measure(400, _enlarge, first)
    _, third = validation.measure(600, _red, second)
    assert second["name"] == "batch000400"
    assert third is second
    assert second["score"] > first["score"]


def test_a_best_by_an_older_score_gives_way(faces):
    old = {"name": "batch000020", "score": 2.0, "figures": {}}
    _, best = Validation(faces, REMEDY).measure(200, _red, old)
    assert best["name"] == "batch000200"


def test_neither_blur_nor_a_pattern_that_makes_up_for_it_wins():
    boxes = np.stack([celeba_box(np.asarray(draw_face(1, number))) for number in range(FACES)])
    truths = np.float32(boxes.reshape(FACES, 64, 2, 64, 2, 3).mean((2, 4)) / 255)
    faces = truths.reshape(FACES, 16, 4, 16, 4, 3).mean((2, 4)), truths
    soft = np.asarray(interpolate(faces[0]))
    rows, columns = np.indices((64, 64))
    pattern = 0.035 * (-1.0) ** (rows + columns)[:, :, None]  # as of an untrained upsampling
    better = 0.5 * (soft + truths)

    def figures_of(images):
        return Validation(faces, REMEDY).measure(1000, lambda *_, **__: images.clip(0, 1), None)[0]

    patterned, blurred, sharp = map(figures_of, (soft + pattern, soft, better))
    assert patterned["validation/sharpness"] > sharp["validation/sharpness"]
    for worse in (patterned, blurred, figures_of(better + pattern)):
        assert worse["validation/score"] < 0.9 * sharp["validation/score"]


def test_without_faces_nothing_is_measured():
    assert Validation(None, REMEDY).measure(1000, _enlarge, None) == ({}, None)


@pytest.mark.parametrize(
    ("network", "words"),
    [(_red, "drifted from the inputs' by +0.10, "), (_grey, "nearly the same for different")],
)
def test_outputs_that_went_wrong_are_said_once(faces, capsys, network, words):
    validation = Validation(faces, REMEDY)
    for batch in (1000, 2000):
        validation.measure(batch, network, None)
    said = capsys.readouterr().out
    assert said.count(words) == said.count(f"start anew with {REMEDY}") == 1


@pytest.mark.parametrize("recipe", [Original, Modern])
def test_what_a_recipe_advises_is_an_option_of_its_own(recipe):
    others = {"original": Modern, "modern": Original}
    for name in re.findall(r"--(\w+)", f"{recipe.remedy} {recipe.when_diverged}"):
        assert others.get(FIELDS[name].metadata["recipe"]) is not recipe


def test_outputs_of_the_first_batches_are_no_reason_to_warn(faces, capsys):
    Validation(faces, REMEDY).measure(100, _grey, None)
    assert "Warning" not in capsys.readouterr().out


def _losses(real, learning_rate=2e-4):
    return {
        "loss/disc_real_loss": real,
        "loss/disc_fake_loss": 0.01,
        "learning_rate": learning_rate,
    }


def test_a_discriminator_that_has_won_is_said_after_200_batches(capsys):
    watch = Watch({}, 2e-4, REMEDY)
    said = []
    for batch in range(10, 500, 10):
        watch.warn(batch, _losses(0.01 if batch > 100 else 0.5))
        said += [batch] if "discriminator has won" in capsys.readouterr().out else []
    assert said == [310]


def test_a_discriminator_that_comes_back_has_not_won(capsys):
    watch = Watch({}, 2e-4, REMEDY)
    for batch in range(10, 1000, 10):
        watch.warn(batch, _losses(0.5 if batch % 150 == 0 else 0.01))
    assert capsys.readouterr().out == ""


def test_a_vanishing_learning_rate_is_said_once(capsys):
    watch = Watch({}, 2e-4, REMEDY)
    for batch in (34990, 35000, 35010, 40000, 45000):  # and halved again, twice
        watch.warn(batch, _losses(0.5, 2e-4 * 0.5 ** (batch // 5000)))
    out = capsys.readouterr().out
    assert out.count("under 1% of its start") == 1


def test_a_schedule_that_ends_at_nothing_is_said_at_the_start(capsys):
    warn_of_schedule(34999, 5000)
    assert capsys.readouterr().out == ""
    warn_of_schedule(130000, 5000)
    assert (
        "--train_batches=130000 the learning rate will be 1e-08 of its start, and falls under "
        in (capsys.readouterr().out)
    )


def test_the_first_batch_with_a_loss_that_is_no_number_is_told():
    watch = Watch({"x": tf.Variable(1.0)}, 2e-4, REMEDY)
    for batch, loss in ((1, 0.5), (2, float("nan")), (3, float("inf"))):
        watch.note(batch, {"loss/gene_loss": tf.constant(loss), "logits/real": tf.constant(0.1)})
    assert watch.diverged_at(3) == 2
    assert watch.diverged_at(3) == 0  # they were looked at


def test_float16_losses_tell_nothing_but_a_scale_that_vanishes_does():
    watch = Watch({}, 2e-4, REMEDY)
    watch.note(1, {"loss/gene_loss": tf.constant(float("nan")), "loss_scale": tf.constant(1.0)})
    assert watch.diverged_at(1) == 0
    watch.note(2, {"loss/gene_loss": tf.constant(0.5), "loss_scale": tf.constant(2.0**-36)})
    with pytest.raises(OSError, match="some fifty steps in a row, up to batch 2: use --precision"):
        watch.diverged_at(2)
