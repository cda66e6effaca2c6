"""Outputs: claimed by one process, whole, and replaced only where dealias wrote them."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dealias.files import OutputError, write_whole
from dealias.outputs import (
    MANIFEST,
    OutputFolder,
    check_folder,
    claim,
    claim_outputs,
    fill_folder,
    folders_above,
)


def fill(path, **files):
    with OutputFolder(path) as folder:
        for name, text in files.items():
            folder.write(name, text.encode())
        folder.finish()


def content(folder):
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: path.read_text() for name, path in found.items() if path.name != MANIFEST}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


def fill_until_killed(folder, calls, files):
    """Fill it as the working folder; the process ends at one of the calls that remove or move."""
    os.chdir(folder)
    left = iter(range(calls))
    for module, name in [(os, "unlink"), (os, "rmdir"), (os, "mkdir"), (Path, "replace")]:
        function = getattr(module, name)

        def until_killed(*given, function=function, **options):
            if next(left, None) is None:
                os._exit(9)
            return function(*given, **options)

        setattr(module, name, until_killed)
    fill(Path(), **files)
    os._exit(0)


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

    def test_empty_folders_of_its_own_are_replaced(self, tmp_path):
        for text in ("1", "2"):
            with OutputFolder(tmp_path / "out") as folder:
                (folder.part / "a").write_text(text)
                (folder.part / "empty").mkdir()
                folder.finish()
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
            MANIFEST,
            "a",
            "empty",
        ]

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

    def test_the_working_folder(self, tmp_path, monkeypatch):
        """A shell in it stays in it, and what is written to relative paths arrives."""
        (tmp_path / "out").mkdir()
        monkeypatch.chdir(tmp_path / "out")
        inode = (tmp_path / "out").stat().st_ino
        for text in ("1", "2"):
            fill(Path(), **{"a": text, text: text, "index.html": text})
            assert content(Path()) == {"a": text, text: text, "index.html": text}
            assert leftovers(Path()) == [MANIFEST]
        assert (tmp_path / "out").stat().st_ino == inode
        assert leftovers(tmp_path) == []

    def test_replaced_inside_and_killed(self, tmp_path):
        """Whatever is there then, the next one may replace it."""
        calls, code = 0, 9
        while code == 9:
            out = tmp_path / str(calls) / "out"
            out.parent.mkdir()
            old = {"a": "1", "b": "1", "assets/x": "1", "assets/more/x": "1", "index.html": "1"}
            new = {"a": "2", "assets/x": "2", "c": "2", "index.html": "2"}
            fill(out, **old)
            child = os.fork()
            if child == 0:
                fill_until_killed(out, calls, new)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            found = {name: text for name, text in content(out).items() if name[0] != "."}
            if "index.html" in found:
                assert found in (old, new)
            fill(out, d="3")
            assert content(out) == {"d": "3"}
            assert leftovers(out.parent) == []
            calls += 1
        assert code == 0
        assert calls > 10  # Python 3.10 tells of fewer

    def test_a_link_to_a_folder(self, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        for text in ("1", "2"):
            fill(tmp_path / "link", a=text)
            assert (tmp_path / "link").is_symlink()
            assert content(tmp_path / "real") == {"a": text}
        assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]

    @pytest.mark.parametrize("name", [os.fsdecode(b"\xff\xfe"), "\\udcff", "a" * 255, "\n", '"'])
    def test_odd_names(self, name, tmp_path):
        for text in ("1", "2"):
            fill(tmp_path / name, **{name: text})
            assert content(tmp_path / name) == {name: text}
        assert [path.name for path in tmp_path.iterdir()] == [name]

    @pytest.mark.parametrize("what", ["the part", "all above"])
    def test_a_part_that_vanishes(self, what, tmp_path):
        """Even if a writer makes its folders anew: half of it is not to pass for the whole."""
        (tmp_path / "above").mkdir()
        if what == "the part":
            fill(tmp_path / "above" / "out", a="1")
        with OutputFolder(tmp_path / "above" / "out") as folder:
            (folder.part / "a").write_text("2")
            shutil.rmtree(folder.part if what == "the part" else tmp_path / "above")
            folder.part.mkdir(parents=True)
            (folder.part / "b").write_text("2")
            with pytest.raises(OutputError, match=r"out: what was written for it was removed\Z"):
                folder.finish()
        assert content(tmp_path) == ({"above/out/a": "1"} if what == "the part" else {})

    def test_a_writer_that_outlives_it(self, tmp_path):
        """It leaves nothing that would bar the next one."""
        folder = OutputFolder(tmp_path / "out")
        with folder:
            pass
        with pytest.raises(OutputError, match="a: can't be written: its folder was removed"):
            folder.write("a", b"1")
        assert names(tmp_path) == []

    def test_a_writer_at_the_end(self, tmp_path, monkeypatch):
        rmdir = Path.rmdir

        def write_once_more(path):
            (path / "late").touch()
            rmdir(path)

        with monkeypatch.context() as patched, OutputFolder(tmp_path / "out"):
            patched.setattr(Path, "rmdir", write_once_more)
        assert names(tmp_path) == [".out.dealias-part"]
        fill(tmp_path / "out", a="1")
        assert names(tmp_path) == ["out"]

    def test_a_removal_cut_short(self, tmp_path, monkeypatch):
        """What is left of the old folder goes with the next one, whatever it lacks."""
        fill(tmp_path / "out", a="1", b="1")
        unlink = Path.unlink

        def unlink_one(path, **options):
            if path.parent.name.endswith("gone") and path.name != "a":
                raise OSError
            unlink(path, **options)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", unlink_one)
            fill(tmp_path / "out", a="2")
        assert MANIFEST in names(tmp_path / ".out.dealias-gone")
        fill(tmp_path / "out", a="3")
        assert content(tmp_path) == {"out/a": "3"}
        assert leftovers(tmp_path) == []


@pytest.fixture
def small(tmp_path):
    """A file system of 1 MB of its own."""
    (tmp_path / "small").mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path / "small")]
    if shutil.which("mount") is None or subprocess.run(mounted, check=False).returncode:
        pytest.skip("no file system can be mounted")
    yield tmp_path / "small"
    subprocess.run(["umount", "-l", str(tmp_path / "small")], check=True)


class TestFileSystem:
    def test_a_mount_point_is_filled_and_replaced(self, small, tmp_path):
        for text in ("1", "2"):
            with claim_outputs([], [small], [], overwrite=True):
                fill(small, **{"a": text, text: text})
            assert content(small) == {"a": text, text: text}
        assert leftovers(small) == [MANIFEST]
        assert leftovers(tmp_path) == []

    @pytest.mark.parametrize("inside", [False, True])
    def test_a_full_disk_leaves_what_was_there(self, inside, small):
        out = small if inside else small / "out"
        fill(out, a="1")
        for _ in range(2):
            with pytest.raises(OutputError, match="can't be written: No space left on device"):
                write_much(out)
            assert content(out) == {"a": "1"}
            assert leftovers(small) == ([MANIFEST] if inside else [])
        fill(out, a="2")
        assert content(out) == {"a": "2"}

    def test_a_full_disk_leaves_a_file(self, small):
        (small / "r").write_text("1")
        with (
            pytest.raises(OutputError, match="r: can't be written: No space left"),
            write_whole(small / "r") as file,
        ):
            file.write(bytes(2**21))
        assert content(small) == {"r": "1"}

    def test_one_that_is_not_to_be_written(self, small):
        fill(small / "out", a="1")
        (small / "r").write_text("1")
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        for files, folders in ([[small / "r"], []], [[], [small / "out"]], [[], [small / "new"]]):
            with (
                pytest.raises(OutputError, match="can't be written: Read-only file system"),
                claim_outputs(files, folders, [], overwrite=True),
            ):
                pass
        assert content(small) == {"out/a": "1", "r": "1"}


def write_much(out):
    with OutputFolder(out) as folder:
        for number in range(20):
            folder.write(str(number), bytes(10**5))
        folder.finish()


FOREIGN = {
    "a file of others": lambda out: (out / "mine.txt").write_text("x"),
    "one in a folder": lambda out: ((out / "assets").mkdir(), (out / "assets" / "x").touch()),
    "an empty folder": lambda out: (out / "mine").mkdir(),
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


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("inside", [False, True])
def test_a_change_at_the_last_moment(inside, change, tmp_path, monkeypatch):
    """After the check, before the old folder is moved: it comes back."""
    out = tmp_path / "out"
    fill(out, a="1")
    if inside:
        monkeypatch.chdir(out)

    def check_and_change(path, *, overwrite):
        check_folder(path, overwrite=overwrite)
        change(out)

    with OutputFolder(out) as folder:
        folder.write("a", b"2")
        monkeypatch.setattr("dealias.outputs.folders.check_folder", check_and_change)
        with pytest.raises(OutputError, match="has changed meanwhile"):
            folder.finish()
    monkeypatch.undo()
    with pytest.raises(OutputError, match="only what dealias wrote"):
        check_folder(out, overwrite=True)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "desktop.ini"])
@pytest.mark.parametrize("inside", [False, True])
def test_what_file_managers_leave_goes_with_the_folder(inside, name, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    if inside:
        monkeypatch.chdir(out)
    for text in "12":
        (out / name).touch()
        with claim_outputs([], [out], [], overwrite=text == "2"):
            fill(out, **{"assets/a": text})
        assert content(out) == {"assets/a": text}
        (out / "assets" / name).touch()
    (out / "mine").mkdir()
    (out / "mine" / name).touch()
    with pytest.raises(OutputError, match=r"holds mine, .*: move the file away, or choose another"):
        check_folder(out, overwrite=True)


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

    @pytest.mark.parametrize(
        ("files", "folders", "problem"),
        [
            (["a"], ["a"], "a: is given for two outputs"),
            (["a/r.json"], ["a"], "a/r.json: lies in another output, "),
            ([], ["a/b", "a"], "a/b: lies in another output, "),
            ([], ["a", "a/b"], "a/b: lies in another output, "),
            (["in/r.json"], [], "in/r.json: lies in the inputs, "),
            ([], ["in"], "in: lies in the inputs, "),
            ([], ["."], "holds an input, "),
            ([], ["/"], "/: is the root of the file system"),
            (["/"], [], "/: is the root of the file system"),
        ],
    )
    def test_outputs_that_lie_in_one_another(self, files, folders, problem, tmp_path, monkeypatch):
        for folder in ("a", "in"):
            (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path)
        for base in (Path(), tmp_path):
            given = [base / name for name in files], [base / name for name in folders]
            with (
                pytest.raises(OutputError, match=problem),
                claim_outputs(*given, [Path("in")], overwrite=True),
            ):
                pass
        assert not any(path for path in tmp_path.rglob("*") if path.is_file())

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

    @pytest.mark.parametrize(
        "kind", [".out.dealias-part", ".out.dealias-gone", ".out.dealias-old", "out/.dealias-part"]
    )
    def test_hidden_folders_of_others_stay(self, kind, tmp_path):
        """Even under the names that dealias gives to its own."""
        out, hidden = tmp_path / "out", tmp_path / kind
        hidden.mkdir(parents=True)
        (hidden / "mine").write_text("x")
        for overwrite in (False, True):
            with (
                pytest.raises(OutputError, match=f"{kind}: dealias did not make it"),
                claim_outputs([], [out], [], overwrite=overwrite),
            ):
                pass
        with pytest.raises(OutputError, match=f"{kind}: dealias did not make it"):
            fill(out, a="1")
        assert (hidden / "mine").read_text() == "x"

    def test_a_lock_of_others_stays(self, tmp_path):
        lock = tmp_path / ".out.dealias-lock"
        lock.write_text("x")
        with pytest.raises(OutputError, match="lock: dealias did not make it; move it away"):
            fill(tmp_path / "out", a="1")
        assert content(tmp_path) == {".out.dealias-lock": "x"}

    def test_a_long_name(self, tmp_path):
        path = tmp_path / ("ß" * 120)
        with claim(path), write_whole(path) as file:
            file.write(b"x")
        assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_folders_above_are_made_and_go_with_an_error(tmp_path):
    (tmp_path / "a").mkdir()
    with contextlib.suppress(ZeroDivisionError), folders_above(tmp_path / "a" / "b" / "c" / "out"):
        (tmp_path / "a" / "b" / "file").touch()
        raise ZeroDivisionError
    assert [path.name for path in (tmp_path / "a").rglob("*")] == ["b", "file"]
    with folders_above(tmp_path / "a" / "d" / "out"):
        pass
    assert (tmp_path / "a" / "d").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError), folders_above(tmp_path / "file" / "a" / "out"):
        pass


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
        assert leftovers(tmp_path) == []
    fill(out, a="end")
    assert content(out) == {"a": "end"}
    assert leftovers(tmp_path) == []
