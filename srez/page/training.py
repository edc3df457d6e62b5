"""The tab in which a training is watched: its sheets, its curves, its options."""

import json
from pathlib import Path

import gradio as gr

from srez.console import command
from srez.page.visitors import number_in
from srez.pictures.image import read_image, write_image
from srez.quality.report import curves, template
from srez.run.results import LOSSES, METRICS, OPTIONS

SECONDS = 3  # between two looks
MAX_SHEETS = 10**6


class Training:
    """A training in `train_dir`, under way or done; what is shown is copied to a `folder`."""

    def __init__(self, train_dir, folder):
        self._folder = Path(train_dir)
        self._shown = folder

    def build(self, tab):
        """Adds the components of a gr.Tab to the page that is being built."""
        words = gr.Markdown(elem_id="run")
        follow = gr.Checkbox(True, label="Follow it: show the newest sheet", elem_id="follow")
        number = gr.Slider(1, 2, 1, step=1, label="Sheet", visible=False, elem_id="number")
        sheet = gr.Image(
            label="Test faces",
            format="png",
            interactive=False,
            buttons=["download", "fullscreen"],
            elem_id="sheet",
        )
        charts = gr.HTML(elem_id="charts")
        options = gr.JSON(label="Options of the run", open=False, elem_id="options")
        seen, shown = gr.State(None), [words, number, sheet, charts, options]
        look = {"concurrency_limit": 4, "show_progress": "hidden", "api_visibility": "private"}
        for listen in (tab.select, gr.Timer(SECONDS).tick, follow.input):
            listen(self.look, [seen, follow, number], [seen, *shown], **look)
        number.input(self.sheet, number, [follow, words, sheet], trigger_mode="always_last", **look)

    def look(self, seen, follow, number):
        """(what was seen, words, slider, sheet, charts, options); all is skipped if as before."""
        sheets, follow = self._sheets(), bool(follow)
        number = _checked(number)
        newest = (len(sheets), follow, *map(_changed, self._logs()))
        if newest == seen:
            return [gr.skip()] * 6
        if not sheets and not any(path.is_file() for path in self._logs()):
            words = f"No training in `{self._folder}` yet: `{command('--run train')}`."
            return newest, words, gr.Slider(visible=False), None, "", None
        at = max(len(sheets) if follow else min(number, len(sheets)), 1)
        charts = "".join(
            template("chart.svg").render(chart=chart) for chart in curves(self._folder)
        )
        return (
            newest,
            self._words(sheets, at),
            gr.Slider(1, max(len(sheets), 2), at, visible=len(sheets) > 1),
            self._read(sheets, at),
            f'<div class="charts">{charts}</div>',
            self._options(),
        )

    def sheet(self, number):
        """(follow no more, words, a sheet by its number from 1)."""
        sheets, number = self._sheets(), _checked(number)
        return False, self._words(sheets, number), self._read(sheets, number)

    def _words(self, sheets, number):
        shown = sheets[number - 1 : number]
        name = shown[0].stem.removesuffix("_out") if shown else "no sheet yet"
        return f"The training in `{self._folder}`: {len(sheets)} sheets, shown: **{name}**."

    def _logs(self):
        return [self._folder / name for name in (LOSSES, METRICS, OPTIONS)]

    def _sheets(self):
        return sorted(self._folder.glob("batch*_out.png"))

    def _read(self, sheets, number):
        try:
            image = read_image(sheets[number - 1])
        except (OSError, IndexError):  # none yet, or moved aside meanwhile
            return None
        path = self._shown / sheets[number - 1].name
        write_image(path, image)
        return str(path)

    def _options(self):
        try:
            return json.loads((self._folder / OPTIONS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None


def _checked(number):
    """The number of a sheet, as a browser sent it. Raises gr.Error: it is none."""
    return int(number_in(number, 1, MAX_SHEETS, "Sheet"))


def _changed(path):
    """When a file was changed, or None."""
    return path.stat().st_mtime_ns if path.is_file() else None
