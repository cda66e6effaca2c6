"""Outputs: claimed by one process, whole, and replaced only where dealias wrote them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dealias.files import OutputError, write_whole
from dealias.outputs import MANIFEST, OutputFolder, check_folder, claim, claim_outputs, fill_folder


def fill(path, **files):
    with OutputFolder(path) as folder:
        for name, text in files.items():
            (folder.part / name).write_text(text)
        folder.finish()


def content(folder):
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: path.read_text() for name, path in found.items() if name != MANIFEST}


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


class TestFolder:
    def test_takes_its_place_when_it_is_whole(self, tmp_path):
        with OutputFolder(tmp_path / "out") as folder:
            (folder.part / "a").write_text("1")
            assert not (tmp_path / "out").exists()
            folder.finish()
        assert content(tmp_path / "out") == {"a": "1"}
        assert leftovers(tmp_path) == []

    def test_an_error_leaves_what_was_there(self, tmp_path):
        fill(tmp_path / "out", a="old")
        with contextlib.suppress(ZeroDivisionError), OutputFolder(tmp_path / "out") as folder:
            (folder.part / "a").write_text("new")
            raise ZeroDivisionError
        assert content(tmp_path / "out") == {"a": "old"}
        assert leftovers(tmp_path) == []

    def test_the_new_one_has_nothing_of_the_old(self, tmp_path):
        fill(tmp_path / "out", a="1", b="2")
        fill(tmp_path / "out", b="3")
        assert content(tmp_path / "out") == {"b": "3"}

    def test_an_empty_folder_is_filled(self, tmp_path):
        (tmp_path / "out").mkdir()
        fill(tmp_path / "out", a="1")
        assert content(tmp_path / "out") == {"a": "1"}

    def test_a_mounted_folder_is_replaced_inside(self, tmp_path, monkeypatch):
        """One that can't be renamed, as mount points can't."""
        fill(tmp_path / "out", a="1")
        replace = Path.replace

        def busy(path, target):
            if path == tmp_path / "out":
                raise OSError(16, "Device or resource busy")
            return replace(path, target)

        monkeypatch.setattr(Path, "replace", busy)
        fill(tmp_path / "out", b="2")
        assert content(tmp_path / "out") == {"b": "2"}
        check_folder(tmp_path / "out", overwrite=True)

    def test_in_a_folder_that_is_not_to_be_written(self, tmp_path, monkeypatch):
        """Everything stays inside, as in a volume of a container."""
        (tmp_path / "out").mkdir()
        access = os.access
        monkeypatch.setattr(os, "access", lambda p, mode: p != tmp_path and access(p, mode))
        for text in ("1", "2"):
            with OutputFolder(tmp_path / "out") as folder:
                assert folder.part.parent == tmp_path / "out"
                (folder.part / "a").write_text(text)
                folder.finish()
            assert content(tmp_path / "out") == {"a": text}
            assert leftovers(tmp_path / "out") == [MANIFEST]


FOREIGN = {
    "a file of others": lambda out: (out / "mine.txt").write_text("x"),
    "one in a folder": lambda out: ((out / "assets").mkdir(), (out / "assets" / "x").touch()),
    "a change": lambda out: (out / "a").write_text("edited"),
    "a link": lambda out: ((out / "a").unlink(), (out / "a").symlink_to(out / MANIFEST)),
    "a pipe": lambda out: os.mkfifo(out / "pipe"),
    "no manifest": lambda out: (out / MANIFEST).unlink(),
    "a broken manifest": lambda out: (out / MANIFEST).write_text("{"),
    "a manifest of another kind": lambda out: (out / MANIFEST).write_text('{"files": ["a"]}'),
    "a README that looks like ours": lambda out: (out / "README.txt").write_text("dealias"),
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN)
class TestForeignFiles:
    def test_are_not_overwritten(self, change, tmp_path):
        fill(tmp_path / "out", a="1")
        change(tmp_path / "out")
        before = sorted(p.name for p in (tmp_path / "out").rglob("*"))
        with pytest.raises(OutputError, match="only what dealias wrote"):
            check_folder(tmp_path / "out", overwrite=True)
        with pytest.raises(OutputError, match="only what dealias wrote"):
            fill(tmp_path / "out", a="2")
        assert sorted(p.name for p in (tmp_path / "out").rglob("*")) == before
        assert leftovers(tmp_path) == []

    def test_nor_if_they_come_meanwhile(self, change, tmp_path):
        fill(tmp_path / "out", a="1")
        with OutputFolder(tmp_path / "out") as folder:
            (folder.part / "a").write_text("2")
            change(tmp_path / "out")
            with pytest.raises(OutputError):
                folder.finish()
        assert leftovers(tmp_path) == []


class TestClaims:
    def test_overwrite(self, tmp_path):
        fill(tmp_path / "out", a="1")
        (tmp_path / "file").touch()
        for files, folders in ([[tmp_path / "file"], []], [[], [tmp_path / "out"]]):
            with (
                pytest.raises(OutputError, match="--overwrite replaces it"),
                claim_outputs(files, folders, [], overwrite=False),
            ):
                pass
            with claim_outputs(files, folders, [], overwrite=True):
                pass

    @pytest.mark.parametrize("name", ["x" * 300 + ".json", "in/x.json", "file/x.json"])
    def test_what_can_not_be_written(self, tmp_path, name):
        (tmp_path / "file").touch()
        (tmp_path / "in").mkdir()
        with (
            pytest.raises(OutputError),
            claim_outputs([tmp_path / name], [], [tmp_path / "in"], overwrite=True),
        ):
            pass
        assert leftovers(tmp_path) == []

    def test_twice_in_one_process(self, tmp_path):
        with claim(tmp_path / "out"), claim(tmp_path / "out"):
            fill(tmp_path / "out", a="1")
        with claim(tmp_path / "out"):
            pass

    def test_one_process_of_two(self, tmp_path):
        program = (
            "import sys; from pathlib import Path; from dealias.outputs import claim\n"
            "with claim(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
        )
        other = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "out")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert other.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match="out: another process is writing it"):
            fill(tmp_path / "out", a="1")
        os.kill(other.pid, signal.SIGKILL)
        other.communicate()
        fill(tmp_path / "out", a="1")
        assert leftovers(tmp_path) == []

    def test_what_killed_processes_left_goes(self, tmp_path):
        file, folder = tmp_path / "a.json", tmp_path / "out"
        for path in (tmp_path / ".a.json.12345678.dealias-part", tmp_path / ".a.json.dealias-lock"):
            path.touch()
        (tmp_path / ".out.dealias-part").mkdir()
        of_others = [
            tmp_path / ".a.json.b.12345678.dealias-part",
            tmp_path / ".b.json.12345678.dealias-part",
            tmp_path / ".a.json.mine",
        ]
        for path in of_others:
            path.touch()
        with claim(file):
            pass
        fill(folder, a="1")
        assert leftovers(tmp_path) == sorted(path.name for path in of_others)

    def test_the_old_folder_comes_back(self, tmp_path):
        """If the process was killed after it had moved it away, before the new one came."""
        fill(tmp_path / "out", a="old")
        (tmp_path / "out").rename(tmp_path / ".out.dealias-old")
        with claim(tmp_path / "out"):
            assert content(tmp_path / "out") == {"a": "old"}

    def test_a_long_name(self, tmp_path):
        path = tmp_path / ("ß" * 120)
        with claim(path), write_whole(path) as file:
            file.write(b"x")
        assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_no_folder():
    with fill_folder(None) as part:
        assert part is None


def test_processes_of_torchrun_fill_one_folder(tmp_path, monkeypatch):
    """The main one puts in place what the other wrote."""
    with fill_folder(tmp_path / "out") as part:
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", "1")
        out = tmp_path / "out"
        with claim_outputs([], [out], [], overwrite=False), fill_folder(out) as other:
            (other / "a").write_text("1")
        monkeypatch.setenv("RANK", "0")
        assert part == other
    assert content(tmp_path / "out") == {"a": "1"}


def test_killed_at_any_moment(tmp_path):
    """The folder is the old one, the new one or not there, and the next run repairs it."""
    program = (
        "import sys, itertools; from pathlib import Path\n"
        "from dealias.outputs import OutputFolder\n"
        "print('ready', flush=True)\n"
        "for i in itertools.count():\n"
        "    with OutputFolder(Path(sys.argv[1])) as folder:\n"
        "        for name in 'abc':\n"
        "            (folder.part / name).write_text(str(i))\n"
        "        folder.finish()\n"
    )
    out = tmp_path / "out"
    for i in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(out)], stdout=subprocess.PIPE, text=True
        )
        process.stdout.readline()
        time.sleep(0.02 + 0.013 * i)
        process.kill()
        process.communicate()
        if out.exists():
            assert sorted(content(out)) == ["a", "b", "c"]
            assert len(set(content(out).values())) == 1
            check_folder(out, overwrite=True)
        with claim(out):
            pass
        assert not [name for name in leftovers(tmp_path) if name != ".out.dealias-part"]
    fill(out, a="end")
    assert content(out) == {"a": "end"}
    assert leftovers(tmp_path) == []
