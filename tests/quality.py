"""Measures the newest checkpoint on the test pictures: python -m tests.quality --dataset ...

Takes srez_main's flags (--dataset, --checkpoint_dir, --batch_size, --random_seed, --test_vectors).
Prints a JSON line each for bicubic interpolation, the averaged and the raw weights: the means over
the test pictures of PSNR and LR-PSNR in dB, after rounding to 8 bits, and of the colour in each
channel less the truth's.
"""

import json
import sys

import numpy as np
import tensorflow as tf

import srez_main
from srez_image import to_uint8
from srez_infer import load_generator, upscale
from srez_input import load_pictures
from srez_metrics import lr_psnr, psnr
from srez_source import open_source, split_source

CHUNK = 32  # pictures through the network at a time


def main(argv):
    """Prints the figures of the run that the flags in argv describe."""
    srez_main.FLAGS(argv)
    config = srez_main.train_config()
    source = open_source(config.dataset)
    split = split_source(source, config.test_vectors, config.random_seed, config.batch_size)
    low_res, high_res = load_pictures(source, split.test, config.sample_size)
    size = high_res.shape[1:3]
    _report("bicubic", tf.image.resize(low_res, size, method="bicubic"), low_res, high_res)
    for weights in ("ema", "raw"):
        generator, _ = load_generator(config.checkpoint_dir, weights)
        parts = [low_res[at : at + CHUNK] for at in range(0, len(low_res), CHUNK)]
        generated = np.concatenate([upscale(generator, part) for part in parts])
        _report(weights, generated, low_res, high_res)


def _report(name, images, low_res, high_res):
    images = to_uint8(images) / 255.0
    colour = images.mean((0, 1, 2)) - high_res.mean((0, 1, 2))
    figures = {
        "images": name,
        "count": len(images),
        "psnr": round(float(psnr(images, high_res).mean()), 2),
        "lr_psnr": round(float(lr_psnr(images, low_res).mean()), 2),
        "colour": [round(float(difference), 4) for difference in colour],
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
