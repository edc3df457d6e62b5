"""What an evaluation leaves to read: a page with all in it, and a model card; see templates/."""

import csv
import datetime
import operator
from pathlib import Path

import jinja2
import numpy as np

from srez.files import resource, write_text
from srez.options import FIELDS
from srez.pictures.image import data_url
from srez.quality.charts import histogram, line_chart
from srez.quality.metrics import TITLES, UNITS, shown
from srez.run.results import LOSS_TITLES, LOSSES, METRICS

TEMPLATES = resource("quality/templates")
BETTER = {  # the smaller, the better
    "psnr": operator.neg,
    "ssim": operator.neg,
    "lr_psnr": operator.neg,
    "sharpness": lambda mean: abs(mean - 1),
    "identity_distance": abs,
    "frechet_distance": abs,
}


def write_report(path, evaluation, train_dir):
    """Writes an Evaluation as one HTML page, with the curves of `train_dir`, if any."""
    page = template("report.html").render(
        metrics=evaluation.metrics,
        titles=TITLES,
        shown=shown,
        names=_names(evaluation.metrics["rows"]),
        best=_best(evaluation.metrics["rows"]),
        sheets={title: _embedded(sheet) for title, sheet in evaluation.sheets.items()},
        histograms=list(_histograms(evaluation.per_image)),
        curves=curves(Path(train_dir)),
    )
    write_text(path, page)


def write_card(path, metrics):
    """Writes the model card of an evaluation's `metrics` as Markdown."""
    card = template("card.md").render(
        metrics=metrics,
        date=datetime.date.today().isoformat(),
        names=_names(metrics["rows"]),
        titles=TITLES,
        counts=lambda name: _counts(name, metrics["options"]),
        shown=shown,
    )
    write_text(path, card)


def _names(rows):
    """The figures that were measured: no distances of faces where there are none."""
    return [name for name in TITLES if name in rows["srez"]]


def _best(rows):
    """The methods [...] that are best by each figure, as far as can be seen, by its name."""
    best = {}
    for name in _names(rows):
        means = {method: row[name]["mean"] for method, row in rows.items()}
        least = min(means.values(), key=BETTER[name])
        best[name] = [each for each in means if shown(name, means[each]) == shown(name, least)]
    return best


def _counts(name, options):
    """Whether an option is kept of a run, and is for its recipe."""
    recipe = options.get("recipe", "original")
    return name in options and FIELDS[name].metadata["recipe"] in (None, recipe)


def template(name):
    """A jinja2 template of templates/; in HTML and SVG what is filled in is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(("html", "svg")),
        keep_trailing_newline=True,
    )
    return environment.get_template(name)


def _embedded(sheet):
    """A sheet uint8 [H, W, 3] for an img tag."""
    return {"url": data_url(sheet), "width": sheet.shape[1], "height": sheet.shape[0]}


def _histograms(per_image):
    for name, title in TITLES.items():
        if name in per_image["srez"]:
            series = {method: per_image[method][name] for method in ("srez", "bicubic")}
            yield histogram(title, UNITS.get(name, ""), series)


def curves(train_dir):
    """The charts of the training, as far as its logs are there."""
    losses, validation = (_columns(train_dir / name) for name in (LOSSES, METRICS))
    charts = []
    if losses:
        series = {
            title: (losses["batch"], losses[name])
            for title, name in LOSS_TITLES.items()
            if name in losses
        }
        charts.append(line_chart("Losses", "", series))
    for name in TITLES:
        if f"validation/{name}" in validation:
            series = {
                method: (validation["batch"], validation[f"{column}/{name}"])
                for method, column in (("srez", "validation"), ("bicubic", "bicubic"))
            }
            charts.append(line_chart(f"{TITLES[name]}, validation", UNITS.get(name, ""), series))
    return charts


def _columns(path):
    """The columns of a CSV file of numbers, arrays by name; {} without rows."""
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        name: np.array([float(row[name]) for row in rows]) for name in (rows[0] if rows else ())
    }
