"""Files that are whole or not there, and what is written to them."""

import json
import math
import os

import numpy as np
import pytest

from dealias.data import write_picture
from dealias.files import OutputError, to_json, write_json, write_whole


@pytest.fixture
def umask():
    """A group may read what is written, and others nothing."""
    before = os.umask(0o027)
    yield
    os.umask(before)


def write_some(path):
    with write_whole(path) as file:
        file.write(b"some")


WRITERS = {
    "bytes": write_some,
    "json": lambda path: write_json({}, path),
    "picture": lambda path: write_picture(np.zeros((2, 2, 3), np.uint8), path),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
class TestWriters:
    @pytest.mark.usefixtures("umask")
    def test_the_umask_says_who_may_read(self, write, tmp_path):
        write(tmp_path / "file")
        assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640

    @pytest.mark.parametrize("mode", [0o600, 0o664])
    def test_a_file_that_is_replaced_keeps_its_mode(self, mode, write, tmp_path):
        (tmp_path / "file").touch()
        (tmp_path / "file").chmod(mode)
        write(tmp_path / "file")
        assert (tmp_path / "file").stat().st_mode & 0o777 == mode

    def test_a_link_is_followed(self, write, tmp_path):
        (tmp_path / "real").write_bytes(b"before")
        (tmp_path / "link").symlink_to("real")
        write(tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real").read_bytes() != b"before"

    def test_a_missing_folder(self, write, tmp_path):
        with pytest.raises(OutputError, match="nowhere"):
            write(tmp_path / "nowhere" / "file")


def test_an_error_without_a_number_says_what_it_is(tmp_path):
    expected = pytest.raises(OutputError, match="file: can't be written: encoder error")
    with expected, write_whole(tmp_path / "file"):
        raise OSError("encoder error")
    assert not list(tmp_path.iterdir())


def test_json():
    content = {"name": "Straße", "values": [1, None, 0.5]}
    text = to_json(content).decode()
    assert "Straße" in text
    assert text.endswith("}\n")
    assert json.loads(text) == content


def test_json_of_a_name_that_is_no_text():
    assert to_json("\udcff") == b'"\\udcff"\n'  # as Python has bytes that are not UTF-8 in names


def test_json_of_no_number(tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(b"before")
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json([math.nan], path)
    assert path.read_bytes() == b"before"
