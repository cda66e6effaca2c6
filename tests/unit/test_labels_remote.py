"""Folders in ZIP files and stores: copies of the same files, within limits."""

import sys
import zipfile

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dealias.labels import PairingError, is_url, local_folder
from dealias.labels import remote as module

FILES = {"a.png": b"one", "sub/b.NPY": b"two" * 1000, "notes.txt": b"no", ".x/c.png": b"hidden"}
KEPT = {"a.png": b"one", "sub/b.NPY": b"two" * 1000}


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def zipped(path, files, start="", **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, held in files.items():
            archive.writestr(f"{start}{name}", held)
    return path


@pytest.fixture
def store():
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def copied(given):
    with local_folder(given) as folder:
        found = content(folder)
        assert folder.is_dir()
    assert not is_url(given) or not folder.exists()
    return found


def test_a_folder_is_itself(tmp_path):
    with local_folder(str(tmp_path)) as folder:
        assert folder == tmp_path


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_files_on_disk(compression, tmp_path):
    path = zipped(tmp_path / "a.zip", FILES, compression=compression)
    assert copied(f"zip://{path}") == copied(f"zip://::{path}") == KEPT
    inner = zipped(tmp_path / "b.zip", FILES, start="masks/val/", compression=compression)
    assert copied(f"zip://masks/val::{inner}") == copied(f"zip:///masks/val/::{inner}") == KEPT
    assert copied(f"zip://masks::{inner}") == {f"val/{name}": held for name, held in KEPT.items()}


def test_stores_and_zip_files_in_them(store, tmp_path):
    for name, held in FILES.items():
        store.pipe(f"/masks/val/{name}", held)
    assert copied("memory://masks/val") == KEPT
    store.pipe("/zips/a.zip", zipped(tmp_path / "a.zip", FILES).read_bytes())
    assert copied("zip://::memory://zips/a.zip") == KEPT


@given(st.dictionaries(st.from_regex(r"\A[a-c]{1,2}(/[a-c]{1,2}){0,2}\Z"), st.binary(max_size=9)))
def test_what_is_copied_is_what_was_there(tmp_path_factory, files):
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    files = {f"{name}.png": held for name, held in files.items()}
    zipped(path, files)
    if files:
        assert copied(f"zip://{path}") == files
    else:
        with pytest.raises(PairingError, match="got none"):
            copied(f"zip://{path}")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("file:///tmp", "expected a folder or a URL of zip, memory, s3"),
        ("reference://x", "expected a folder or a URL"),
        ("zip://none.zip", "no such file"),
        ("memory://nowhere", r"memory://nowhere: (can't be read|expected images)"),
        ("zip://::file:///dev/zero", "expected a ZIP file or a URL of memory, s3"),
        ("zip://::zip://a.zip", "expected a ZIP file or a URL"),
    ],
)
def test_what_is_no_folder(given, said, store):
    with pytest.raises(PairingError, match=said):
        copied(given)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"_MOST_FILES": 1}, "at most 1 files"),
        ({"_LARGEST_FILE": 2999}, r"sub/b\.NPY.*: expected at most 2,999 bytes of a file"),
        ({"_MOST_BYTES": 3002}, "and 3,002 in all"),
        ({"_FREE_BYTES": 2**70}, "no room for a copy"),
    ],
)
def test_limits(change, said, monkeypatch, tmp_path):
    path = zipped(tmp_path / "a.zip", FILES, compression=zipfile.ZIP_DEFLATED)
    for name, value in change.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(PairingError, match=said):
        copied(f"zip://{path}")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_are_broken(tmp_path):
    path = zipped(tmp_path / "a.zip", FILES)
    whole = path.read_bytes()
    for held in (b"", whole[:-5], whole + b"x", b"x" + whole):
        path.write_bytes(held)
        with pytest.raises(PairingError, match=r"a\.zip: can't be read"):
            copied(f"zip://{path}")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"1")
        archive.writestr("a.png", b"2")
    with pytest.raises(PairingError, match=r"'a\.png' is there twice"):
        copied(f"zip://{path}")


def test_fsspec_may_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(PairingError, match=r"memory://x: .*pip install 'dealias\[remote\]'"):
        copied("memory://x")
