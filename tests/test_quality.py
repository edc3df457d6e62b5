import json

from tests import quality


def test_quality_reports_bicubic_and_both_weights(trained, faces, monkeypatch, capsys):
    monkeypatch.chdir(trained[0])
    quality.main(["quality", f"--dataset={faces}", "--batch_size=4", "--test_vectors=3"])
    lines = capsys.readouterr().out.splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    assert [row["images"] for row in rows] == ["bicubic", "ema", "raw"]
    assert all(row["count"] == 3 and 5 < row["psnr"] < 40 for row in rows)
    assert rows[0]["lr_psnr"] > 30
