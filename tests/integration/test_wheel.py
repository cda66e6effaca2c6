"""The source distribution, and the wheel built from it, in an environment outside the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("sdist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "sdist"]
    subprocess.run([*build, "--directory", str(folder)], cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("dealias-*.tar.gz")
    return path


@pytest.fixture(scope="module")
def wheel(sdist):
    build = [*PIP, "wheel", str(sdist), "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(sdist.parent)], check=True)
    (path,) = sdist.parent.glob("dealias-*.whl")
    return path


@pytest.fixture(scope="module")
def clean(wheel, tmp_path_factory):
    """An environment with the wheel and the libraries that it needs, but no checkout."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = [*PIP, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    ask = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True)
    # A folder named in a .pth file is searched, but the .pth files in it, as that of an editable
    # installation, are not read.
    libraries = Path(ask.stdout.strip()) / "libraries.pth"
    libraries.write_text(sysconfig.get_path("purelib"))
    return folder


def test_the_source_distribution_has_what_is_kept(sdist):
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if kept.returncode != 0:
        pytest.skip("not a checkout of git")
    # Files of the repository, not of the library.
    apart = (".ci/", ".github/", ".pre-commit-config.yaml")
    missing = {name for name in kept.stdout.splitlines() if name not in held}
    assert {name for name in missing if not name.startswith(apart)} == set()
    assert held - set(kept.stdout.splitlines()) <= {"PKG-INFO"}


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


def test_commands_run_from_it(clean, tmp_path):
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*arguments, program="dealias"):
        call = [clean / "bin" / program, *map(str, arguments)]
        found = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, env=env)
        assert found.returncode == 0, found.stderr
        return found.stdout

    where = run("-c", "import dealias; print(dealias.__file__)", program="python")
    assert Path(where.strip()).is_relative_to(clean)
    run("demo", "--steps=1", "--scenes=2")
    demo = tmp_path / "demo"
    predictions, targets = demo / "plain" / "test" / "predictions", tmp_path / "targets"
    shutil.copytree(predictions, targets)
    maps = ["--predictions", predictions, "--targets", targets, "--classes", "scenes"]
    assert "100.00" in run("evaluate", *maps, "--images", demo / "images", "--report", "page")
    assert (tmp_path / "page" / "index.html").is_file()
    network = ["--model", f"dealias:{demo / 'plain' / 'last.ckpt'}", "--images", demo / "images"]
    assert "layer4" in run("probe", *network, "--limit=1")
