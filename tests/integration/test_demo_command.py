from dealias.cli import main


def test_it_prints_both_networks_side_by_side_and_keeps_the_files(tmp_path, capsys):
    assert main(["demo", "--folder", str(tmp_path / "demo"), "--scenes", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    plain, lowpass = (
        [line.split() for line in lines if name in line and line.startswith("│")]
        for name in ("decimation", "lowpass")
    )
    values = [[float(word) for word in rows[0] if word[0].isdigit()] for rows in (plain, lowpass)]
    assert len(values[0]) == len(values[1]) == 6
    better = [low > plain for plain, low in zip(*values, strict=True)]
    assert better == [True] * 3 + [False] * 3
    assert len(list((tmp_path / "demo" / "predictions").rglob("*.png"))) == 2


def test_bad_options_exit_with_2(tmp_path, capsys):
    assert main(["demo", "--folder", str(tmp_path / "demo"), "--scenes", "0"]) == 2
    assert "scenes: expected at least 1, got 0" in capsys.readouterr().err
