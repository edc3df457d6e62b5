import contextlib
import csv
import io
import json
import re
import shutil

import numpy as np
import pytest

import srez.quality.evaluate
import srez_main
from srez.data.source import open_source
from srez.options import Options
from srez.pictures.grid import GAP
from srez.pictures.image import read_image
from srez.quality.evaluate import METHODS, evaluate, measure
from srez.quality.metrics import TITLES, shown
from srez.run.checkpoint import newest_checkpoint
from tests.conftest import cell


@pytest.fixture(scope="module")
def evaluated(trained, tmp_path_factory):
    """The folder of a run's evaluation through the command line, and what was said."""
    folder = shutil.copytree(trained[0], tmp_path_factory.mktemp("evaluated") / "run")
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as said:
        assert srez_main.main(["srez_main.py", "--run=evaluate"]) == 0
    return folder / "evaluation", said.getvalue()


@pytest.fixture(scope="module")
def metrics(evaluated):
    def refuse(constant):
        raise AssertionError(f"JSON knows no {constant}")

    return json.loads((evaluated[0] / "metrics.json").read_text(), parse_constant=refuse)


def test_every_method_has_every_figure_that_three_pictures_allow(metrics):
    assert tuple(metrics["rows"]) == METHODS
    for row in metrics["rows"].values():
        assert list(row) == [name for name in TITLES if name != "frechet_distance"]
        assert all(value["low"] <= value["mean"] <= value["high"] for value in row.values())


def test_the_figures_are_those_of_the_runs_test_pictures(metrics, evaluated, faces, trained):
    assert metrics["count"] == 3
    assert metrics["batch"] == 12
    with open(evaluated[0] / "per_image.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    sheet = read_image(trained[0] / "train" / "batch000012_out.png")
    bicubic, truth = (np.float64(cell(sheet, 0, column, 128)) for column in (1, 3))
    expected = 20 * np.log10(255) - 10 * np.log10(np.square(bicubic - truth).mean())
    assert float(rows[0]["bicubic_psnr"]) == pytest.approx(expected, abs=0.05)
    mean = np.mean([float(row["bicubic_psnr"]) for row in rows])
    assert metrics["rows"]["bicubic"]["psnr"]["mean"] == pytest.approx(mean, abs=0.01)


def test_nearest_is_true_to_its_input_beyond_the_cap(metrics):
    assert metrics["rows"]["nearest"]["lr_psnr"]["mean"] == 100
    assert shown("lr_psnr", 100.0) == "100+ dB"
    assert shown("lr_psnr", 99.9) == "99.90 dB"


def test_faces_are_compared_with_the_truths(metrics):
    distances = {name: row["identity_distance"]["mean"] for name, row in metrics["rows"].items()}
    assert all(0.05 < distance < 1.5 for distance in distances.values())


def test_the_card_has_the_data_the_training_and_the_figures(evaluated, metrics):
    card = (evaluated[0] / "MODEL_CARD.md").read_text()
    assert "19 training and 3 test pictures from" in card
    assert "12 batches, 48 pictures seen, with `--recipe original`" in card
    lines = card.splitlines()
    assert lines[lines.index("## Figures") + 2].startswith("| | PSNR | SSIM |")
    psnr = metrics["rows"]["srez"]["psnr"]["mean"]
    assert [line for line in lines if line.startswith(f"| srez | {psnr:.2f} dB |")]
    assert lines[-6] == "## Limits"
    assert "four times in each direction,\n16x16 to 64x64 pixels, and" in card
    assert "made to average back to their inputs (--consistent on)." in card
    assert "{" not in card


def test_the_console_says_the_weights_and_where_the_report_is(evaluated):
    out = evaluated[1]
    assert "the best on the validation pictures" in out
    assert re.search(r"^srez +\d+\.\d\d dB +0\.\d{3} ", out, re.M)
    assert "Wrote evaluation/report.html" in out


@pytest.mark.parametrize("name", ["metrics.json", "MODEL_CARD.md"])
def test_files_of_no_evaluation_are_not_overwritten(here, name):
    (here / name).write_text('{"accuracy": 1}')
    with pytest.raises(FileExistsError, match=f"--evaluation_dir=.: {name} is there, and no"):
        evaluate(Options(evaluation_dir="."))
    assert (here / name).read_text() == '{"accuracy": 1}'


def _repeating(low_res, training):
    """A network that repeats pixels, as nearest neighbour does."""
    return np.repeat(np.repeat(low_res, 4, axis=1), 4, axis=2)


def test_bad_test_pictures_are_left_out_and_listed(folder, monkeypatch):
    (folder / "01.jpg").write_text("no picture")
    monkeypatch.setattr(srez.quality.evaluate, "CHUNK", 2)
    monkeypatch.setattr(srez.quality.descriptors, "missing", lambda: "get it")
    evaluation = measure(open_source(folder), [0, 1, 2, 3, 1], _repeating, 64)
    assert evaluation.names == ["00.jpg", "02.jpg", "03.jpg"]
    assert [name for name, _ in evaluation.metrics["left_out"]] == ["01.jpg"]
    rows = evaluation.metrics["rows"]
    assert rows["srez"] == rows["nearest"]
    assert "identity_distance" not in rows["nearest"]
    assert evaluation.metrics["faces_missing"] == "get it"


def test_the_frechet_distance_has_its_floor_when_there_are_enough(faces, monkeypatch):
    draws = np.random.default_rng(0)
    monkeypatch.setattr(srez.quality.descriptors, "missing", lambda: "")
    monkeypatch.setattr(
        srez.quality.descriptors, "descriptors", lambda images: draws.normal(size=(len(images), 8))
    )
    monkeypatch.setattr(srez.quality.evaluate, "LEAST_FRECHET", 40)
    metrics = measure(open_source(faces), np.arange(48) % 24, _repeating, 64).metrics
    assert 0 < metrics["rows"]["bicubic"]["frechet_distance"]["mean"] < 3
    assert 0 < metrics["frechet_floor"] < 5


def test_sheets_go_from_best_to_worst(faces, monkeypatch):
    monkeypatch.setattr(srez.quality.descriptors, "missing", lambda: "none")
    evaluation = measure(open_source(faces), np.arange(14), _repeating, 64)
    psnr = evaluation.per_image["srez"]["psnr"]

    def first_psnr(sheet):
        generated, truth = (np.float64(cell(sheet, 0, column, 128)) for column in (2, 3))
        return 20 * np.log10(255) - 10 * np.log10(np.square(generated - truth).mean())

    found = [first_psnr(sheet) for sheet in evaluation.sheets.values()]
    ordered = np.sort(psnr)[::-1]
    assert found == pytest.approx([ordered[0], ordered[5], ordered[10]], abs=0.01)


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--checkpoint_dir=nowhere", "srez: no checkpoint in --checkpoint_dir=nowhere: run"),
        ("--weights=shipped", "were trained on img_align_celeba.zip, and it is not here: give"),
    ],
)
def test_without_weights_or_their_pictures_there_is_one_line_and_no_report(
    here, capsys, flag, words
):
    assert srez_main.main(["srez_main.py", "--run=evaluate", flag]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (here / "evaluation").exists()


def test_a_run_of_the_recipe_modern_has_its_own_curves_and_options(trained_small, small, here):
    folder = trained_small / "modern"
    evaluate(Options(checkpoint_dir=str(folder / "checkpoint"), train_dir=str(folder / "train")))
    report = (here / "evaluation" / "report.html").read_text()
    assert "<title>Losses</title>" in report and ">adversarial</text>" in report
    card = (here / "evaluation" / "MODEL_CARD.md").read_text()
    assert "(--consistent on), with --fidelity 1." in card
    assert "`--recipe modern`" in card and "`--l1_batches 6`" in card
    assert "--noise_level" not in card
    with open(folder / "train" / "losses.csv", newline="") as file:
        assert all(None not in row and None not in row.values() for row in csv.DictReader(file))


@pytest.fixture
def page(browser, evaluated):
    browser.get(f"file://{evaluated[0] / 'report.html'}")
    return browser


def test_the_page_loads_without_a_word_on_the_console_and_from_nowhere_else(page):
    assert page.get_log("browser") == []
    loaded = page.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [url for url in loaded if not url.startswith("data:")] == []


def test_the_pages_table_has_the_figures_of_the_json(page, metrics):
    cells = page.execute_script(
        "return [...document.querySelectorAll('table.figures tr')].slice(1).map("
        "row => [...row.cells].map(cell => cell.innerText.split('\\n')[0]))"
    )
    for method, *texts in cells:
        row = metrics["rows"][method]
        assert texts == [shown(name, figure["mean"]) for name, figure in row.items()]
    assert [row[0] for row in cells] == list(METHODS)


def test_the_pages_pictures_are_decoded(page):
    sizes = page.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert sizes == [4 * 128 + 5 * GAP] * 3  # four columns, magnified
    assert page.execute_script("return document.querySelectorAll('svg').length") >= 6


def test_the_best_of_each_column_is_bold_whoever_made_it(page, metrics):
    bold = page.execute_script(
        "return [...document.querySelectorAll('table.figures td.best')].map("
        "cell => [cell.cellIndex, cell.parentElement.cells[0].innerText])"
    )
    found = [[method for index, method in bold if index == 1 + column] for column in range(5)]
    means = {
        name: {m: row[name]["mean"] for m, row in metrics["rows"].items()}
        for name in TITLES
        if name in metrics["rows"]["srez"]
    }
    assert len(means) == 5
    expected = [max(means[name], key=means[name].get) for name in ("psnr", "ssim", "lr_psnr")]
    expected.append(min(METHODS, key=lambda method: abs(means["sharpness"][method] - 1)))
    expected.append(min(METHODS, key=means["identity_distance"].get))
    assert all(method in best for method, best in zip(expected, found, strict=True))
    assert sum(map(len, found)) < 9


@pytest.mark.parametrize("width", [320, 1280])
def test_the_page_does_not_overflow(page, width):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    shown_width, needed_width = page.execute_script(
        "const root = document.documentElement; return [root.clientWidth, root.scrollWidth]"
    )
    assert abs(shown_width - width) <= 20  # a scroll bar
    assert needed_width <= shown_width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_legible_in_light_and_dark(page, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    ink, ground, label = page.execute_script(
        "const style = getComputedStyle(document.body);"
        "const text = getComputedStyle(document.querySelector('svg text'));"
        "return [style.color, style.backgroundColor, text.fill]"
    )
    assert _contrast(ink, ground) > 7
    assert _contrast(label, ground) > 7
    assert (_luminance(ground) < 0.2) == (scheme == "dark")


def _contrast(one, other):
    """https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio"""
    dark, light = sorted(_luminance(colour) + 0.05 for colour in (one, other))
    return light / dark


def _luminance(colour):
    channels = np.array(re.findall(r"\d+", colour)[:3], float) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_the_checkpoint_is_left_as_it_was(evaluated):
    assert newest_checkpoint(evaluated[0].parent / "checkpoint").name == "batch000012"
