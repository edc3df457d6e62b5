import pytest

import srez_data_server


@pytest.mark.parametrize(
    "words", [[], ["x"], ["70000"], ["-1"], ["5000", "localhost"], ["5000", "a:1", "more"]]
)
def test_a_bad_command_line_is_refused_in_one_line(words, capsys):
    assert srez_data_server.main(["srez_data_server.py", *words]) == 2
    err = capsys.readouterr().err
    assert err == f"srez: expected PORT or PORT HOST:PORT, not {' '.join(words)!r}\n"


def test_a_port_that_is_taken_is_named(monkeypatch, capsys):
    def taken(*_):
        raise RuntimeError("Could not start\ngRPC server")

    monkeypatch.setattr(srez_data_server, "serve", taken)
    assert srez_data_server.main(["srez_data_server.py", "5000"]) == 1
    assert capsys.readouterr().err == (
        "srez: can't serve on port 5000, take another one: Could not start gRPC server\n"
    )
