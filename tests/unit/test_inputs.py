"""Files of strangers, read within limits."""

import io
import json
import math
import os
import struct
import time
import zipfile

import pytest
import torch

from dealias import inputs
from dealias.inputs import (
    LARGEST_DIRECTORY,
    open_regular,
    open_zip,
    parse_yaml,
    read_bytes,
    read_json,
    read_yaml,
)
from dealias.text import FileError


class TestRegularFiles:
    @pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/proc/self"])
    def test_devices_and_folders_are_refused(self, path, tmp_path):
        (tmp_path / "link").symlink_to(path)
        with pytest.raises(FileError, match=r"link: expected a regular file, got a"):
            read_bytes(tmp_path / "link", 10)

    def test_a_pipe_does_not_hang(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(FileError, match="pipe: expected a regular file"):
            read_bytes(tmp_path / "pipe", 10)

    def test_a_loop_of_links(self, tmp_path):
        (tmp_path / "a").symlink_to(tmp_path / "b")
        (tmp_path / "b").symlink_to(tmp_path / "a")
        with pytest.raises(FileError, match="a: can't be read"):
            read_bytes(tmp_path / "a", 10)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(FileError, match="x: no such file"), open_regular(tmp_path / "x"):
            pass

    def test_a_name_that_no_file_has(self, tmp_path):
        with pytest.raises(FileError, match="can't be read"):
            read_bytes(tmp_path / "a\0b", 10)

    def test_the_limit(self, tmp_path):
        (tmp_path / "a").write_bytes(b"12345")
        assert read_bytes(tmp_path / "a", 5) == b"12345"
        with pytest.raises(FileError, match="a: expected at most 4 bytes"):
            read_bytes(tmp_path / "a", 4)


def zipped(count=1, **options):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for number in range(count):
            archive.writestr(f"{number}", b"x")
    return file.getvalue()


def saved():
    file = io.BytesIO()
    torch.save({"w": torch.ones(3)}, file)
    return file.getvalue()


def at(content, place, value, kind="<L"):
    """With another number at a place."""
    changed = bytearray(content)
    struct.pack_into(kind, changed, place % len(content), value)
    return bytes(changed)


class TestZip:
    @pytest.mark.parametrize(
        ("content", "count"),
        [(zipped(0), 0), (zipped(3), 3), (zipped(70_000), 70_000), (saved(), 7)],
    )
    def test_as_python_and_pytorch_write_it(self, content, count):
        with open_zip(io.BytesIO(content), LARGEST_DIRECTORY) as archive:
            assert len(archive.infolist()) >= count
            assert all(archive.read(entry) for entry in archive.infolist())

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"PK\5\6",
            zipped() + b"x",
            b"x" + zipped(),
            at(zipped(), -2, 1, "<H"),  # a comment
            at(zipped(), -6, 0),  # offset, size and number of entries
            at(zipped(), -10, 0),
            at(zipped(2), -12, 1, "<H"),
            at(saved(), -50, 0, "<Q"),  # the same of 64 bits
            at(saved(), -58, 0, "<Q"),
            at(saved(), -66, 1, "<Q"),
            at(saved(), -34, 0, "<Q"),  # where those are
            at(saved(), -98, 0),
            saved()[:-98] + saved()[-42:],
        ],
        ids=range(14),
    )
    def test_parts_that_contradict_each_other(self, content):
        with pytest.raises(zipfile.BadZipFile), open_zip(io.BytesIO(content), LARGEST_DIRECTORY):
            pass

    def test_a_long_directory(self):
        with pytest.raises(ValueError, match="few entries"), open_zip(io.BytesIO(saved()), 100):
            pass


JSON = {
    "": "got an empty file",
    " \n": "got an empty file",
    "{": "Expecting",
    '{"a": 1, "a": 2}': "key 'a' is given twice",
    '[{"x": {"b": 1, "b": 1}}]': "key 'b' is given twice",
    "NaN": "NaN is no JSON",
    "[-Infinity]": "-Infinity is no JSON",
    "1" + "0" * 400: "an integer of 401 digits",
    "1e999": "1e999 is out of range",
    "[" * 100_000: "nesting",
    '{"a":' * 100_000: "nesting",
    "[" * 65 + "]" * 65: "at most 64 levels of nesting",
    '{"a": [' * 450 + "]}" * 450: "at most 64 levels of nesting",
    '["\\\\", "\\"", ' + "[" * 65 + '"]"' + "]" * 65 + "]": "at most 64 levels of nesting",
    '"\xff"': "",
}


class TestJson:
    @pytest.mark.parametrize("text", JSON, ids=range(len(JSON)))
    def test_refused(self, text, tmp_path):
        (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(FileError, match=f"a.json: expected JSON.*{JSON[text]}") as caught:
            read_json(tmp_path / "a.json")
        assert len(str(caught.value)) < 1000

    def test_read(self, tmp_path):
        content = {"a": [1, -(2**63), 2**64 - 1, 0.1, 1e300, None, True, "ß"], "b": {}}
        (tmp_path / "a.json").write_text(json.dumps(content))
        for exact in (True, False):
            assert read_json(tmp_path / "a.json", exact=exact) == content

    def test_large_files_are_checked_less(self, tmp_path):
        (tmp_path / "a.json").write_text('{"a": 1, "a": 2}')
        assert read_json(tmp_path / "a.json", exact=False) == {"a": 2}
        (tmp_path / "a.json").write_text("[NaN]")
        with pytest.raises(FileError, match="NaN"):
            read_json(tmp_path / "a.json", exact=False)
        assert math.isnan(read_json(tmp_path / "a.json", exact=False, finite=False)[0])
        (tmp_path / "a.json").write_text("[1e999]")
        assert read_json(tmp_path / "a.json", exact=False) == [math.inf]

    def test_a_key_that_is_given_twice_is_not_searched_for_one_by_one(self):
        compared = []

        class Key(str):
            __hash__ = str.__hash__

            def __eq__(self, other):
                compared.append(other)
                return str(self) == str(other)

        keys = [Key(number) for number in [*range(1000), 999]]
        with pytest.raises(ValueError, match="the key '999' is given twice"):
            inputs._unique([(key, 0) for key in keys])
        assert len(compared) < 100

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
    @pytest.mark.parametrize("depth", [3, 64, 65, 900])
    def test_nesting(self, depth, encoding, tmp_path):
        texts = ["[" * 99, "\\", '"', '\\"' + "{" * 99, "\u5b22\u225d\u7b00\u007d" * 99, "]" * 99]
        content = {text: [text, {}] for text in texts}
        for level in range(depth - 3):
            content = {'"[': content} if level % 2 else ["]", content]
        path = tmp_path / "a.json"
        path.write_text(json.dumps(content, ensure_ascii=False), encoding=encoding)
        if depth <= 64:
            assert read_json(path) == content
        else:
            with pytest.raises(FileError, match="at most 64 levels of nesting"):
                read_json(path)

    @pytest.mark.parametrize("exact", [True, False])
    def test_many_values(self, exact, tmp_path, monkeypatch):
        monkeypatch.setattr(json, "loads", None)  # found before any value is made
        for content, message in {
            "0," * 4_200_000: "at most 4,194,304 values",
            "[]," * 1_500_000: "few lists and mappings, got 1,500,001",
            "{}," * 1_500_000: "few lists and mappings, got 1,500,001",
        }.items():
            (tmp_path / "a.json").write_text(f"[{content}0]")
            with pytest.raises(FileError, match=f"a.json: expected JSON of {message}"):
                read_json(tmp_path / "a.json", exact=exact)
        with pytest.raises(FileError, match="of at most 9 values"):
            read_json(tmp_path / "a.json", exact=exact, values=9)


YAML = {
    "a: 1\na: 2": "the key 'a' is given twice.*line 2",
    "a: {1: x, 0x1: y}": "the key 1 is given twice",
    "a: &x [*x]": "an alias of what it lies in",
    "a: &x {b: *x}": "an alias of what it lies in",
    "!!python/object/apply:os.system [echo]": "tag",
    "a: !!binary aGk=": "tag",
    "a: !!set {b}": "tag",
    "a: !mine b": "tag",
    "? [1]\n: 2": "a key that is a list",
    "[" * 5000: "nesting",
    "{a: " * 100 + "1" + "}" * 100: "at most 64 levels",
    "a: " + "9" * 6000: "digits",
    "a: 1" + ":1" * 250_000: "digits",
    "? 1" + ":1" * 250_000 + "\n: a": "digits",
    "a: !!int 1" + ":1" * 250_000: "digits",
    "a: 1" + ":1" * 250_000 + ".5": "digits",
    "a: *missing": "undefined alias",
    "a: 1\n--- \nb: 2": "single document",
    "a: \x07": "not allowed",
    "<<: 1": "merging",
    "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9 if i else ['1'])}]" for i in range(9)): (
        "at most 200,000 values"
    ),
}


class TestYaml:
    @pytest.mark.parametrize("text", YAML, ids=range(len(YAML)))
    def test_refused(self, text, tmp_path):
        start = time.monotonic()
        (tmp_path / "a.yaml").write_text(text)
        with pytest.raises(FileError, match=rf"(?s)a.yaml: expected YAML.*{YAML[text]}") as caught:
            read_yaml(tmp_path / "a.yaml")
        assert len(str(caught.value)) < 1000
        assert time.monotonic() - start < 10

    def test_read(self):
        text = "a: &x {b: 1}\nc: {<<: *x, d: [2024-01-01, yes, 1.5, ~, 'é']}\ne: *x\n"
        merged = {"b": 1, "d": ["2024-01-01", True, 1.5, None, "é"]}
        assert parse_yaml(text) == {"a": {"b": 1}, "c": merged, "e": {"b": 1}}

    def test_nothing(self):
        assert parse_yaml("# nothing\n") is None

    @pytest.mark.parametrize("content", [b"a: \xff", b"\xff\xfea\0:\0"])
    def test_not_utf_8(self, content, tmp_path):
        (tmp_path / "a.yaml").write_bytes(content)
        with pytest.raises(FileError, match=r"a\.yaml: expected YAML"):
            read_yaml(tmp_path / "a.yaml")
