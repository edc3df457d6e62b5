"""Pictures enlarged one after the other, and their results written.

Jobs come in, an enlarger (photo.faces.Faces or srez_infer.Wholes) reads and enlarges what they
name, and what is written is said.
"""

import concurrent.futures
import itertools
import math
import os
import sys

import numpy as np
import tqdm

from srez.console import counted, say
from srez.files import printable
from srez.photo.align import box_side, photo_enlargement, put_back, turns_upright
from srez.photo.compare import comparison, with_boxes
from srez.photo.faces import FACELESS_TIP, NAMED, NoFace, name_and_size
from srez.photo.jobs import count_left, earlier_results
from srez.pictures.image import MADE, kept_exif, read_with_alpha, to_grey, write_image
from srez.quality.descriptors import turned
from srez.quality.metrics import averages_back, trueness
from srez_model import SCALE

INVENTED = "Made by srez: the details are invented."  # in each result's file
IN_FLIGHT = 4  # photos that are read or written at a time, at most: each takes memory


def enlarge_all(jobs, enlarger, quiet=False):
    """Does the jobs with a Faces or Wholes; returns the OSErrors of those that failed.

    A NoFace is among these. Says what was done, of a folder's photos which have no face, and shows
    a bar, if not `quiet`.

    So many pictures are in memory as go through the network together, and their results are
    written before the next ones are read. After Ctrl-C, what is being read or written is finished.
    """
    for folder in {path.parent for job in jobs for path in (job.target, job.comparison)}:
        folder.mkdir(parents=True, exist_ok=True)
    failures, said, earlier = [], set(), earlier_results(jobs)
    has_no_bar = quiet or len(jobs) == 1 or not sys.stderr.isatty()
    with (
        concurrent.futures.ThreadPoolExecutor(min(os.cpu_count(), IN_FLIGHT)) as pool,
        tqdm.tqdm(total=len(jobs), unit=" pictures", disable=has_no_bar) as bar,
    ):
        try:
            for at in range(0, len(jobs), enlarger.at_once):
                part, before = jobs[at : at + enlarger.at_once], len(failures)
                items = _without_failures(pool, enlarger.read, [(job,) for job in part], failures)
                written = _without_failures(pool, write_results, enlarger.enlarge(items), failures)
                faceless = [str(each) for each in failures[before:] if isinstance(each, NoFace)]
                if faceless and len(jobs) > 1:
                    written.append([f"{each}." for each in faceless] + [f"{FACELESS_TIP}."])
                for line in itertools.chain(*written):
                    if not quiet and line not in said:  # a tip is the same for all
                        say(line)
                    said.add(line)
                bar.update(len(part))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            left = counted(count_left(jobs, earlier), "picture")
            tip = "" if earlier else "; with --infer_skip_existing the same command goes on"
            say(f"Stopped, {left} left{tip}.")
            raise
    return failures


def _without_failures(pool, function, calls, failures):
    """What the function returns for each call's arguments; an OSError goes to `failures`."""
    found = []
    for future in [pool.submit(function, *arguments) for arguments in calls]:
        try:
            found.append(future.result())
        except OSError as error:
            failures.append(error)
    return found


def write_results(item, outputs):
    """Writes an item's results and what belongs to them; returns what to say, texts of some lines.

    `outputs` are for each part [4h, 4w, 3] of the network, and of the faithful and the plausible
    one if asked for.
    """
    job = item.job
    if not item.parts:
        return ["\n".join([*item.notes, "  Nothing is written for it."])]
    if item.is_grey:
        outputs = [list(map(to_grey, output)) for output in outputs]
    results = [result for result, *_ in outputs]
    targets, errors = job.targets(item.numbers), []
    for target, part, told, result in zip(targets, item.parts, item.told, results, strict=True):
        errors.append(averages_back(result, part.known))
        is_exact = target.suffix.lower() == ".png"
        comment = f"{INVENTED} {trueness(errors[-1:])}" if is_exact else INVENTED
        about = _about([told], SCALE, comment)
        write_image(target, result, about, item.alpha, item.exif)
    named = [name_and_size(*pair) for pair in zip(targets, results, strict=True)]
    named = ", ".join(named) if len(named) <= NAMED else f"{named[0]} to {named[-1]}"
    compared = f"{printable(str(job.comparison))}: beside bicubic interpolation"
    lines = [item.words, f"  -> {named}", f"  -> {compared}"]
    numbers = item.numbers if len(item.found) > 1 else ()
    grid, levels = comparison([part.known for part in item.parts], outputs, numbers)
    if item.eyes is not None:
        # Read again: to keep the photos of a whole folder would take too much memory.
        image, alpha = read_with_alpha(job.source)
        lines.append(f"  -> {_write_photo(item, results, image, alpha)}")
        if len(item.found) > 1:
            upright = turned(image, item.found, turns_upright(item.found))
            grid = np.concatenate([with_boxes(*upright, grid.shape[1])[0], grid])
    write_image(job.comparison, grid, MADE)
    lines.append(f"  {trueness(errors)}")
    if len(outputs[0]) > 1:
        lines.append(f"  Invented, from --fidelity 0 to 1: {levels:.1f} of 255 levels on average.")
    tips = sorted({part.tip for part in item.parts} - {""})
    if not is_exact:
        tips.append("JPEG and WebP lose a little of that: .png keeps it all.")
    return [*item.notes, "\n".join(lines), *tips]


def _write_photo(item, results, image, alpha):
    """Writes the photo, uint8 [H, W, 3] with its alpha, its faces put back; returns words on it."""
    photo = put_back(image, item.eyes, results, item.photo_scale)
    times = photo.shape[0] // image.shape[0]
    item.job.photo.parent.mkdir(exist_ok=True)
    about = _about(item.told, times, INVENTED)
    write_image(item.job.photo, photo, about, alpha, kept_exif(item.job.source))
    how = "" if times == 1 else f", {times} times as large"
    sides = [len(result) for result in results]
    most = max(side / box_side(pair) for pair, side in zip(item.eyes, sides, strict=True))
    most = photo_enlargement(image.shape, item.eyes, sides, math.ceil(most))
    if most > times and not item.photo_scale:
        how += f" (--photo_scale {most} shows more of the smallest face)"
    return f"{name_and_size(item.job.photo, photo)}: the photo{how}, faces put back"


def _about(told, times, comment):
    """What is written into a result's file, texts by name, for what is told of its networks."""
    names = dict.fromkeys(itertools.chain(*told))
    of_networks = {
        name: ", ".join(sorted({each[name] for each in told if name in each})) for name in names
    }
    return MADE | {"Comment": comment, "Factor": f"{times}"} | of_networks
