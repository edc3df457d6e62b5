import importlib.util

from tests.conftest import ROOT

_spec = importlib.util.spec_from_file_location("precision", ROOT / "bench" / "precision.py")
precision = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(precision)


def test_the_summary_compares_the_means_from_batch_600_on():
    curves = {
        ("float32", 0): [(500, 9.0, 9.0), (600, 22.0, 29.0), (1000, 23.0, 31.0)],
        ("float32", 1): [(600, 22.1, 30.0)],
        ("bfloat16", 0): [(600, 22.0, 29.0)],
        ("bfloat16", 1): [(600, 22.2, 30.0)],
    }
    lines = precision.summary(curves).splitlines()
    assert lines[0] == "psnr float32 seed 0: 22.50 dB"
    assert lines[4] == ("psnr: bfloat16 less float32 -0.20 dB, spread of the float32 seeds 0.40 dB")
    assert lines[9] == (
        "lr_psnr: bfloat16 less float32 -0.50 dB, spread of the float32 seeds 0.00 dB"
    )
