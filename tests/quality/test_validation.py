import numpy as np
import pytest

from srez.quality.validation import Watch, warn_of_schedule

FACES = 6


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
    figures, is_best = Watch(faces, best=None).evaluate(1000, _enlarge)
    assert is_best
    assert figures["validation/score"] == pytest.approx(1, abs=1e-3)
    assert figures["validation/ssim"] == pytest.approx(1, abs=1e-3)
    assert figures["bicubic/ssim"] < 0.99
    out = capsys.readouterr().out
    assert "Validation at batch 1000, 6 pictures" in out
    assert "the best so far" in out
    assert "Warning" not in out


def test_only_a_better_score_replaces_the_best(faces):
    watch = Watch(faces, best=None)
    watch.evaluate(200, _red)
    first = watch.best
    assert watch.evaluate(400, _enlarge)[1]
    assert watch.best["name"] == "batch000400"
    assert not watch.evaluate(600, _red)[1]
    assert watch.best["name"] == "batch000400"
    assert watch.best["score"] > first["score"]


def test_what_an_earlier_session_found_best_counts(faces):
    assert not Watch(faces, best={"name": "batch000200", "score": 2.0}).evaluate(400, _enlarge)[1]


def test_neither_blur_nor_noise_scores_high(faces):
    def noisy(low_res, training):
        noise = np.random.default_rng(1).normal(0, 0.3, (len(low_res), 64, 64, 3))
        return np.clip(_enlarge(low_res, training) + noise, 0, 1)

    scores = [
        Watch(faces, None).evaluate(1000, network)[0]["validation/score"]
        for network in (_grey, noisy)
    ]
    assert max(scores) < 0.3


def test_without_faces_nothing_is_measured():
    assert Watch(None, best=None).evaluate(1000, _enlarge) == ({}, False)


@pytest.mark.parametrize(
    ("network", "words"),
    [(_red, "drifted from the inputs' by +0.10, "), (_grey, "nearly the same for different")],
)
def test_outputs_that_went_wrong_are_said_once(faces, capsys, network, words):
    watch = Watch(faces, best=None)
    for batch in (1000, 2000):
        watch.evaluate(batch, network)
    assert capsys.readouterr().out.count(words) == 1


def test_outputs_of_the_first_batches_are_no_reason_to_warn(faces, capsys):
    Watch(faces, best=None).evaluate(100, _grey)
    assert "Warning" not in capsys.readouterr().out


def _losses(real, learning_rate=2e-4):
    return {
        "loss/disc_real_loss": real,
        "loss/disc_fake_loss": 0.01,
        "learning_rate": learning_rate,
    }


def test_a_discriminator_that_has_won_is_said_after_200_batches(capsys):
    watch = Watch(None, best=None)
    said = []
    for batch in range(10, 500, 10):
        watch.losses(batch, _losses(0.01 if batch > 100 else 0.5), 2e-4)
        said += [batch] if "discriminator has won" in capsys.readouterr().out else []
    assert said == [310]


def test_a_discriminator_that_comes_back_has_not_won(capsys):
    watch = Watch(None, best=None)
    for batch in range(10, 1000, 10):
        watch.losses(batch, _losses(0.5 if batch % 150 == 0 else 0.01), 2e-4)
    assert capsys.readouterr().out == ""


def test_a_vanishing_learning_rate_is_said_once(capsys):
    watch = Watch(None, best=None)
    for batch in (34990, 35000, 35010):
        watch.losses(batch, _losses(0.5, 2e-4 * 0.5 ** (batch // 5000)), 2e-4)
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
