"""The page that shows an evaluation: one HTML file, with all in it, for any browser."""

import base64
import csv
import html
import io
from pathlib import Path

import numpy as np
from PIL import Image

from srez.files import atomic_path
from srez.quality.charts import histogram, line_chart
from srez.quality.metrics import MAX_DECIBELS

TITLES = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "lr_psnr": "LR-PSNR",
    "sharpness": "sharpness",
    "identity_distance": "identity distance",
    "frechet_distance": "Frechet face distance",
}
UNITS = {"psnr": "dB", "lr_psnr": "dB"}
HINTS = {
    "psnr": "higher is closer to the truth, pixel by pixel; favours blur",
    "ssim": "1 is the truth's structure",
    "lr_psnr": "higher is truer to the input",
    "sharpness": "1 is as sharp as the truth",
    "identity_distance": "0 is the same face; beyond 0.6 it passes for another person",
    "frechet_distance": "0 is faces as real as the truth's, as a whole",
}
LIMITS = (
    "The details are invented. They are plausible, and they are not what was in front of the "
    "camera: 256 pixels can't tell what 4,096 looked like.",
    "Never use the result to identify anyone, or as evidence of anything.",
    "The figures hold for pictures like those measured. Other cameras, poses, ages and skin "
    "colours may come out worse, and look like the training pictures.",
)
STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1c1c1c; --soft: #666; --rule: #ddd;
  --c0: #1f5fa8; --c1: #c4541d; --c2: #2b8a4b; --c3: #7d4aa8; }
@media (prefers-color-scheme: dark) { :root { --ground: #16181b; --ink: #e8e8e8; --soft: #a5a5a5;
  --rule: #3a3d42; --c0: #6db0ff; --c1: #ff9a5c; --c2: #66d18b; --c3: #c69bf0; } }
body { background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  margin: 0 auto; max-width: 60rem; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
.soft, figcaption, small { color: var(--soft) }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid var(--rule); padding: .35rem .6rem; text-align: right;
  vertical-align: top; overflow-wrap: normal; font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left } td small { display: block; white-space: nowrap }
th small { font-weight: 400 }
tr.ours td, tr.ours th { font-weight: 600 }
.options td { text-align: left }
figure { margin: 1rem 0 }
figure img { max-width: 100%; height: auto; image-rendering: pixelated; display: block }
.charts { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)) }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif } svg text { fill: var(--ink) }
svg .title { font-weight: 600; font-size: 12px } svg .grid { stroke: var(--rule) }
.s0 { --c: var(--c0) } .s1 { --c: var(--c1) } .s2 { --c: var(--c2) } .s3 { --c: var(--c3) }
svg rect { fill: var(--c) } svg .line { fill: none; stroke: var(--c); stroke-width: 1.6 }
svg .area { fill: var(--c); fill-opacity: .3; stroke: var(--c) }
"""


def write_report(path, evaluation, train_dir):
    """Writes an Evaluation as one HTML page, with the curves of `train_dir`, if any."""
    metrics = evaluation.metrics
    body = [
        f"<h1>srez, measured on {metrics['count']} test pictures</h1>",
        f'<p class="soft">Measured: the {_text(metrics["weights"])}. Test pictures from '
        f"{_text(metrics['source'])}, {_text(metrics['split'])}.{_left_out(metrics)}</p>",
        "<h2>Figures</h2>",
        _table(metrics),
        f'<p class="soft">{_text(metrics["protocol"])}</p>',
        "<h2>Faces</h2>",
        *(_sheet(title, sheet) for title, sheet in evaluation.sheets.items()),
        "<h2>From picture to picture</h2>",
        f'<div class="charts">{"".join(_histograms(evaluation.per_image))}</div>',
        *_curves(Path(train_dir)),
        "<h2>Limits</h2>",
        f"<ul>{''.join(f'<li>{_text(limit)}</li>' for limit in LIMITS)}</ul>",
        "<h2>Options and versions</h2>",
        _pairs(metrics["versions"] | metrics["options"]),
    ]
    page = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>srez: how good it is</title><style>{STYLE}</style>'
        f"</head><body>{''.join(body)}</body></html>\n"
    )
    with atomic_path(path) as temporary:
        Path(temporary).write_text(page, encoding="utf-8", errors="surrogateescape")


def shown(name, value):
    """A figure as people read it, with its unit."""
    if name == "lr_psnr" and value >= MAX_DECIBELS - 0.005:
        return f"{MAX_DECIBELS:.0f}+ dB"
    return f"{value:.2f} dB" if name in UNITS else f"{value:.3f}"


def _table(metrics):
    heads = "".join(
        f'<th scope="col">{title}<br><small>{HINTS[name]}</small></th>'
        for name, title in TITLES.items()
    )
    rows = [
        f'<tr{" class=ours" * (method == "generator")}><th scope="row">{method}</th>'
        + "".join(_cell(name, row.get(name)) for name in TITLES)
        + "</tr>"
        for method, row in metrics["rows"].items()
    ]
    return (
        f'<div class="wide"><table class="figures"><tr><th></th>{heads}</tr>{"".join(rows)}</table>'
        f"</div><p>{_text(_face_note(metrics))}</p>"
    )


def _face_note(metrics):
    if metrics["faces_missing"]:
        return f"The last two columns are empty: {metrics['faces_missing']}, then evaluate again."
    if metrics["frechet_floor"] is None:
        return "The Frechet face distance needs more test pictures."
    return (
        "One half of the truth is at a Frechet face distance of "
        f"{metrics['frechet_floor']:.3f} from its other half: nothing can be told apart below."
    )


def _cell(name, value):
    if value is None:
        return "<td>–</td>"
    interval = ""
    if "low" in value:
        low, high = (shown(name, value[end]).removesuffix(" dB") for end in ("low", "high"))
        interval = f"<small>{low} to {high}</small>"
    return f"<td>{shown(name, value['mean'])}{interval}</td>"


def _sheet(title, sheet):
    data = io.BytesIO()
    Image.fromarray(sheet).save(data, format="png")
    encoded = base64.b64encode(data.getvalue()).decode()
    height, width, _ = sheet.shape
    rows = "From top to bottom: input, bicubic interpolation, srez, truth."
    text = f"{title.capitalize()} by PSNR. {rows}"
    return (
        f'<figure><img alt="{text}" src="data:image/png;base64,{encoded}" width="{width}" '
        f'height="{height}"><figcaption>{text}</figcaption></figure>'
    )


def _histograms(per_image):
    for name, title in TITLES.items():
        if name in per_image["generator"]:
            series = {method: per_image[method][name] for method in ("generator", "bicubic")}
            yield histogram(title, UNITS.get(name, ""), series)


def _curves(train_dir):
    """The charts of the training, as far as its logs are there."""
    losses, validation = (_columns(train_dir / name) for name in ("losses.csv", "metrics.csv"))
    charts = []
    if losses:
        names = {
            "generator": "gene_loss",
            "D, real": "disc_real_loss",
            "D, generated": "disc_fake_loss",
        }
        series = {name: (losses["batch"], losses[f"loss/{loss}"]) for name, loss in names.items()}
        charts.append(line_chart("Losses", "", series))
    for name in TITLES:
        if f"validation/{name}" in validation:
            series = {
                method: (validation["batch"], validation[f"{column}/{name}"])
                for method, column in (("generator", "validation"), ("bicubic", "bicubic"))
            }
            charts.append(line_chart(f"{TITLES[name]}, validation", UNITS.get(name, ""), series))
    if not charts:
        return []
    return ["<h2>The training</h2>", f'<div class="charts">{"".join(charts)}</div>']


def _columns(path):
    """The columns of a CSV file of numbers, arrays by name; {} without rows."""
    if not path.is_file():
        return {}
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        name: np.array([float(row[name]) for row in rows]) for name in (rows[0] if rows else ())
    }


def _left_out(metrics):
    count = len(metrics["left_out"])
    return f" {count} could not be read and are left out." if count else ""


def _pairs(pairs):
    rows = "".join(f"<tr><td>{key}</td><td>{_text(one)}</td></tr>" for key, one in pairs.items())
    return (
        f"<details><summary>{len(pairs)} of them</summary>"
        f'<table class="options">{rows}</table></details>'
    )


def _text(value):
    return html.escape(str(value))
