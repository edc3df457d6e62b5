"""Fills the model card, docs/MODEL_CARD.md, with what an evaluation found."""

import datetime
import string
from pathlib import Path

from srez.files import atomic_path
from srez.quality.report import LIMITS, TITLES, shown

TEMPLATE = Path(__file__).with_name("MODEL_CARD.md")
# Options that a reader of the card asks for first; all of them are in metrics.json.
OPTIONS = (
    "batch_size",
    "ema",
    "gene_l1_factor",
    "learning_rate_half_life",
    "learning_rate_start",
    "noise_level",
    "precision",
    "random_seed",
    "sample_size",
)


def write_card(path, metrics):
    """Writes the model card of an evaluation's `metrics` as Markdown."""
    options = metrics["options"]
    fields = {
        "weights": metrics["weights"],
        "date": datetime.date.today().isoformat(),
        "source": metrics["source"],
        "training_pictures": metrics["training_pictures"],
        "test_pictures": metrics["count"],
        "split": metrics["split"],
        "batch": metrics["batch"],
        "pictures_seen": metrics["batch"] * options["batch_size"],
        "options": ", ".join(f"`--{name} {options[name]}`" for name in OPTIONS),
        "versions": ", ".join(f"{name} {version}" for name, version in metrics["versions"].items()),
        "figures": _table(metrics["rows"]),
        "protocol": metrics["protocol"],
        "limits": "\n".join(f"- {limit}" for limit in LIMITS),
    }
    text = string.Template(TEMPLATE.read_text()).substitute(fields)
    with atomic_path(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8", errors="surrogateescape")


def _table(rows):
    """A Markdown table: a line per method, a column per figure that was measured."""
    names = [name for name in TITLES if name in rows["generator"]]
    lines = ["| | " + " | ".join(TITLES[name] for name in names) + " |"]
    lines.append("| --- " * (len(names) + 1) + "|")
    for method, row in rows.items():
        cells = (shown(name, row[name]["mean"]) for name in names)
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)
