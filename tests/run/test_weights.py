import dataclasses
import os
import shutil

import numpy as np
import pytest

import srez.run.weights
import srez_model
from srez.data.source import open_source
from srez.files import sha256
from srez.options import Options
from srez.pictures.geometry import interpolate
from srez.pictures.image import eight_bit, to_uint8
from srez.pictures.pairs import load_pictures
from srez.quality.metrics import figures, lr_psnr
from srez.run.checkpoint import read_run, write_checkpoint
from srez.run.weights import BOX, BOX_SIZES, upscale
from srez_train import Trainer


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder of checkpoints 1 to 3 whose weights are all equal to their numbers; 1 is best."""
    folder = tmp_path_factory.mktemp("run")
    trainer = Trainer(Options(precision="float32"))
    for batch in (1, 2, 3):
        for name, sign in (("average", 1), ("generator", -1)):
            network = trainer.state[name]
            values = [np.full(value.shape, sign * batch) for value in network.get_weights()]
            network.set_weights(values)
        best = {"name": "batch000001", "score": 0.5, "figures": {}}
        run = {"options": {"sample_size": 96}, "best": best}
        write_checkpoint(folder, batch, run, trainer.state)
    return folder


@pytest.mark.parametrize(("weights", "value"), [("best", 1), ("ema", 3), ("raw", -3)])
def test_the_weights_asked_for_are_loaded_and_said(run, capsys, weights, value):
    options = Options(checkpoint_dir=str(run), weights=weights, consistent="off")
    generator, found = srez.run.weights.load_generator(options)
    assert all((each == value).all() for each in generator.get_weights())
    assert found.sample_size == 96
    said = capsys.readouterr().out
    assert f"{'raw' if weights == 'raw' else 'averaged'} weights of" in said
    assert f"batch00000{abs(value)}" in said


def test_a_damaged_best_checkpoint_gives_way_to_the_newest_average(run, tmp_path):
    for path in run.glob("batch*"):
        os.symlink(path, tmp_path / path.name)
    (tmp_path / "batch000001").unlink()
    found = srez.run.weights.choose_weights(tmp_path, "best")
    assert (found.path.name, found.name) == ("batch000003", "average")
    assert "damaged or gone" in found.words


def test_without_a_best_checkpoint_the_newest_average_is_taken(run, tmp_path):
    os.symlink(run / "batch000002", tmp_path / "batch000002")
    kept = read_run(run / "batch000002")
    write_checkpoint(tmp_path, 5, kept | {"best": None}, {})
    found = srez.run.weights.choose_weights(tmp_path, "best")
    assert (found.path.name, found.name) == ("batch000005", "average")
    assert "none were found best yet" in found.words


def test_many_pictures_go_through_in_parts():
    sizes = []

    def network(part, training):
        sizes.append(len(part))
        return part + 1

    low_res = np.arange(70.0).reshape(70, 1, 1, 1)
    assert (srez.run.weights.upscale(network, low_res) == low_res + 1).all()
    assert sizes == [32, 32, 6]


def boxed(**flags):
    """The generator in the box, by the options."""
    return srez.run.weights.load_generator(Options(weights="shipped", **flags))[0]


def pair_of(faces, size):
    """Drawn faces as a network sees them: (low_res, high_res)."""
    _, *pair = load_pictures(open_source(faces), range(8), size)
    return [eight_bit(images) for images in pair]


def test_the_box_holds_what_its_sums_say():
    lines = (BOX / "SHA256SUMS").read_text().splitlines()
    sums = {line.split()[1]: line.split()[0] for line in lines}
    assert set(sums) == {path.name for path in BOX.iterdir() if path.suffix in (".h5", ".json")}
    assert {name: sha256(BOX / name) for name in sums} == sums


@pytest.mark.parametrize("size", BOX_SIZES)
def test_the_weights_in_the_box_beat_bicubic_on_faces_of_another_kind(faces, size):
    low_res, high_res = pair_of(faces, size)
    images = {
        end: to_uint8(upscale(boxed(fidelity=end, sample_size=size), low_res)) for end in (0.0, 1.0)
    }
    images["bicubic"] = to_uint8(np.asarray(interpolate(low_res)))
    found = {name: figures(each, high_res, low_res) for name, each in images.items()}
    means = {name: {key: row[key].mean() for key in row} for name, row in found.items()}
    assert means[0.0]["psnr"] > means["bicubic"]["psnr"] + 0.8
    assert means[0.0]["ssim"] > means["bicubic"]["ssim"] + 0.03
    assert means[1.0]["sharpness"] > means[0.0]["sharpness"] > means["bicubic"]["sharpness"]
    assert min(means[0.0]["lr_psnr"], means[1.0]["lr_psnr"]) > 55


def test_the_larger_network_needs_not_average_back_to_noise(faces):
    low_res, high_res = pair_of(faces, 128)
    noise = np.random.default_rng(0).normal(0.0, 5 / 255, low_res.shape).astype(np.float32)
    noisy = eight_bit(low_res + noise)
    found = {
        consistent: upscale(boxed(fidelity=0.0, sample_size=128, consistent=consistent), noisy)
        for consistent in ("on", "off")
    }
    errors = {name: np.square(images - high_res).mean() for name, images in found.items()}
    assert errors["off"] < 0.95 * errors["on"]


def test_only_networks_that_know_degraded_inputs_go_without_the_projection(run):
    own = srez.run.weights.Networks(Options(checkpoint_dir=str(run)))  # of the original recipe
    assert own.consistent(96, lambda: False) == "on"
    shipped = srez.run.weights.Networks(Options(weights="shipped"))
    assert [shipped.consistent(128, lambda exact=exact: exact) for exact in (True, False)] == [
        "on",
        "off",
    ]


def test_weights_that_know_exact_inputs_only_are_refused_for_others():
    weights = srez.run.weights.choose_weights("checkpoint", "shipped")
    assert weights.knows_degraded
    run = weights.run | {"options": weights.run["options"] | {"degrade": 0.0}}
    with pytest.raises(OSError, match="--consistent=off: .*faces64.json was trained with --degra"):
        dataclasses.replace(weights, run=run).generator(consistent="off")


def test_a_size_that_is_not_in_the_box_is_named():
    with pytest.raises(OSError, match="--sample_size=96: the weights in the box are for 64 and 12"):
        boxed(sample_size=96)


def test_the_face_size_has_to_be_the_networks(run):
    options = Options(checkpoint_dir=str(run), face_size="128")
    with pytest.raises(OSError, match="--face_size=128: .*batch000001 makes faces of 96 pixels"):
        srez.run.weights.Networks(options)
    assert srez.run.weights.Networks(Options(weights="shipped")).sizes == BOX_SIZES


def test_where_a_run_of_ones_own_is_used_it_is_said_how_to_get_the_box(run, capsys):
    srez.run.weights.Networks(Options(checkpoint_dir=str(run))).announce()
    assert capsys.readouterr().out.endswith("--weights shipped takes those in the box.\n")
    srez.run.weights.Networks(Options(checkpoint_dir=str(run), weights="best"))
    srez.run.weights.Networks(Options(weights="shipped"))
    assert "--weights shipped" not in capsys.readouterr().out


def test_fidelity_mixes_the_weights_of_both_ends():
    ends = [boxed(fidelity=end).get_weights() for end in (0.0, 1.0)]
    for value, near, far in zip(boxed(fidelity=0.25).get_weights(), *ends, strict=True):
        np.testing.assert_allclose(value, 0.75 * near + 0.25 * far, atol=1e-6)


def test_without_a_run_the_box_serves_and_is_said(here, capsys):
    srez.run.weights.load_generator(Options())
    assert "weights in the box, for research only" in capsys.readouterr().out


def test_a_damaged_box_is_named(tmp_path, monkeypatch):
    copy = tmp_path / "weights"
    shutil.copytree(BOX, copy)
    (copy / "faces64_average.weights.h5").write_bytes(b"cut")
    monkeypatch.setattr(srez.run.weights, "BOX", copy)
    with pytest.raises(OSError, match="faces64_average.weights.h5 is damaged or gone"):
        boxed()


def test_the_original_has_no_fidelity(run):
    with pytest.raises(OSError, match="--fidelity and --invented need weights of --recipe=modern"):
        srez.run.weights.load_generator(Options(checkpoint_dir=str(run), fidelity=0.5))


def test_consistent_results_of_the_original_average_back(faces):
    low_res, _ = pair_of(faces, 64)
    generator = srez.run.weights.finished(srez_model.build_generator(), "original", "auto")
    assert lr_psnr(upscale(generator, low_res), low_res).mean() > 50
