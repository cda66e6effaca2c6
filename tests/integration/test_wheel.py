"""The wheel, outside the checkout."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", str(ROOT), "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run(build, check=True)
    (path,) = folder.glob("dealias-*.whl")
    return path


def test_everything_that_is_read_at_run_time_is_in_it(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("dealias/")}
    source = ROOT / "src"
    ours = {
        path.relative_to(source).as_posix()
        for path in (source / "dealias").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    configs = {
        f"dealias/{path.relative_to(ROOT).as_posix()}"
        for path in (ROOT / "configs").rglob("*.yaml")
    }
    assert held == ours | configs
    assert {"dealias/py.typed", "dealias/labels/class_sets/camvid.yaml"} <= held


def test_commands_run_from_it(wheel, tmp_path):
    """From the wheel itself, as Python can, and not from the checkout."""
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import dealias;"
        "assert '.whl' in dealias.__file__ or 'unpacked' in dealias.__file__, dealias.__file__;"
        "from dealias.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)

    def run(*arguments):
        call = [sys.executable, "-I", "-c", code, str(unpacked), *map(str, arguments)]
        return subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)

    few = ["--data.scenes.train=2", "--data.scenes.val=2", "--data.scenes.size=[64, 96]"]
    few += ["--data.augmentation.crop_size=[64, 64]", "--data.batch_size=2", "--data.workers=0"]
    few += ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    fit = run("fit", "--config", "scenes/tiny", "--output", "run", *few, "--trainer.max_steps=1")
    assert fit.returncode == 0, fit.stderr
    maps = ["--label_maps=true", "--report", "page"]
    test = run("test", "--config", "scenes/tiny", "--output", "run", *few, *maps)
    assert test.returncode == 0, test.stderr
    assert (tmp_path / "page" / "index.html").is_file()
    predictions, targets = tmp_path / "run" / "test" / "predictions", tmp_path / "targets"
    shutil.copytree(predictions, targets)
    found = run(
        *("evaluate", "--predictions", predictions, "--targets", targets),
        *("--classes", "scenes", "--report", "again"),
    )
    assert found.returncode == 0, found.stderr
    assert "100.00" in found.stdout
