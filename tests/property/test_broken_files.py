"""Files that are broken in any way: read, or refused with one message that names them.

Each kind of file starts whole, is broken by a number of steps, and is read as commands do. Another
kind is a function below that writes a whole file into a folder and returns what reads it.
"""

import contextlib
import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dealias.cli import main
from dealias.data.finding import find_samples
from dealias.evaluation import (
    Evaluation,
    Options,
    Shard,
    Sources,
    evaluate_maps,
    merge_counts,
    write_counts,
)
from dealias.files import to_json
from dealias.instance import read_annotations, read_detections
from dealias.labels import ClassSet, load_class_set, read_label_map
from dealias.report import (
    AliasingErrors,
    ResultFileError,
    class_table,
    compare_results,
    find_examples,
    mean_table,
    page_examples,
    read_probe,
    read_result,
    worst_images,
)
from dealias.report.sections import distributions, probe_section
from helpers import random_maps

CLASSES = replace(load_class_set("camvid"), ignore_index=255)
QUICK, THOROUGH = 30, 600
Read = Callable[[Path], Any]


def evaluation(folder: Path) -> Evaluation:
    options = Options(CLASSES, band_width=3, boundary=True)
    total = Evaluation.empty(options.settings)
    for seed in range(2):
        maps = random_maps(seed, 12, 16, classes=11)
        total.absorb(evaluate_maps(f"image {seed}", *maps, options))
    total.shards.append(Shard(1, 1))
    total.sources = Sources.of(CLASSES, folder / "a", folder / "b")
    return total


def class_set(folder: Path) -> tuple[str, Read]:
    text = yaml.safe_dump(CLASSES.to_dict() | {"palette": [*map(list, CLASSES.palette)]})
    text += "label_map_files: '*.png'\n" if CLASSES.label_map else ""
    (folder / "file.yaml").write_text(text.replace("label_map_files: null\n", "", 1))

    def read(path: Path) -> None:
        classes = load_class_set(path)
        assert ClassSet.from_dict(json.loads(json.dumps(classes.to_dict())), "a") == classes
        assert len(classes.colors()) == len(classes)
        classes.stored_labels(Path("a.png"), "target")
        classes.labels_of_colors()

    return "file.yaml", read


def result(folder: Path) -> tuple[str, Read]:
    aliasing = AliasingErrors.empty()
    aliasing.counts[:, :3] = 2
    more = {"errors_against_aliasing": aliasing.to_dict() | {"site": "a"}, "report": "page"}
    (folder / "file.json").write_bytes(to_json(evaluation(folder).to_dict() | more))

    def read(path: Path) -> None:
        found = read_result(path)
        mean_table({"a": found, "b": found})
        class_table(found)
        worst_images(found, 3)
        json.dumps(compare_results(found, found), allow_nan=False)
        if found.get("errors_against_aliasing"):
            distributions(found["errors_against_aliasing"])
        with contextlib.suppress(ResultFileError):  # its images are nowhere
            find_examples(found, path)

    return "file.json", read


def probe(folder: Path) -> tuple[str, Read]:
    sizes = {key: [0.25, 0.5] for key in ("kernel", "stride", "esr", "nyquist", "cutoff")}
    scores = dict.fromkeys(("aliasing_score", "aliasing_score_std", "orthogonality"), 0.5)
    site = {"name": "a", "in_channels": 3, "out_channels": 4, "spectrum": [0.5, 0.3, 0.2]}
    content = {"sites": [site | sizes | scores], "settings": {"images": 2, "model": "net"}}
    maps = {"folder": str(folder / "maps"), "site": "a"}
    (folder / "file.json").write_bytes(to_json(content | {"maps": maps}))
    return "file.json", lambda path: probe_section(read_probe(path))


def counts(folder: Path) -> tuple[str, Read]:
    write_counts(evaluation(folder), folder / "file.npz")
    return "file.npz", lambda path: json.dumps(merge_counts([path], partial=True).to_dict())


def label_map(suffix: str, **options: Any) -> Callable[[Path], tuple[str, Read]]:
    def make(folder: Path) -> tuple[str, Read]:
        labels = random_maps(0, 12, 16, classes=11)[0].numpy()
        path = folder / f"file{suffix}"
        if suffix == ".npy":
            np.save(path, labels)
        elif suffix == ".npz":
            np.savez_compressed(path, labels)
        else:
            colors = np.array(CLASSES.palette, np.uint8)[labels]
            pixels = colors if options.get("colors") else labels.astype(np.uint8)
            Image.fromarray(pixels).save(path, compression=options.get("compression"))
        other = load_class_set("camvid" if options.get("colors") else "ade20k")

        def read(path: Path) -> None:
            assert read_label_map(path, CLASSES, "target").ndim == 2
            assert read_label_map(path, other, "target").ndim == 2

        return path.name, read

    return make


def coco(folder: Path) -> tuple[Any, list[Any]]:
    (folder / "images").mkdir()
    for name in "ab":
        Image.new("RGB", (16, 12)).save(folder / "images" / f"{name}.png")
    outline, runs = [[1, 1, 9, 1, 9, 8, 1, 8]], {"size": [12, 16], "counts": [20, 30, 142]}
    entries = [
        {"image_id": k % 2, "category_id": 3 + k % 2, "bbox": [1, 1, 8, 7], "segmentation": mask}
        for k, mask in enumerate([outline, runs, outline, {**runs, "counts": "d0n0^4"}])
    ]
    images = [
        {"id": k, "file_name": f"{name}.png", "width": 16, "height": 12}
        for k, name in enumerate("ab")
    ]
    more = [{"id": k, "area": 56, "iscrowd": k % 2} for k in range(4)]
    content = {
        "images": images,
        "categories": [{"id": 3, "name": "car"}, {"id": 4, "name": "bus"}],
        "annotations": [entry | about for entry, about in zip(entries[:3], more, strict=False)],
    }
    return content, [entry | {"score": 0.5, "category": "car"} for entry in entries[:3:2]]


def annotations(folder: Path) -> tuple[str, Read]:
    (folder / "file.json").write_text(json.dumps(coco(folder)[0]))

    def read(path: Path) -> None:
        for skip_bad in (True, False):
            read_annotations(path, images=folder / "images", skip_bad=skip_bad)

    return "file.json", read


def detections(folder: Path) -> tuple[str, Read]:
    content, entries = coco(folder)
    instances = read_annotations(content, images=folder / "images")
    (folder / "file.json").write_text(json.dumps(entries))
    return "file.json", lambda path: read_detections(path, instances).to_dict()


def names(folder: Path) -> tuple[str, Read]:
    for part in ("images", "labels"):
        (folder / part).mkdir()
        for name in ("one", "two"):
            Image.new("L", (4, 4)).save(folder / part / f"{name}.png")
    (folder / "file.txt").write_text("one\ntwo.png\n")
    return "file.txt", lambda path: find_samples("folder", path.name, root=folder)


def page(folder: Path) -> tuple[str, Read]:
    (folder / "assets").mkdir()
    kept = {"counted": "0", "class_set": CLASSES.to_dict(), "images": {"a": ["image"], "b": []}}
    (folder / "assets" / "evaluation.json").write_text(json.dumps(kept))
    return "assets/evaluation.json", lambda path: page_examples(path.parent.parent, "0")


KINDS: dict[str, Callable[[Path], tuple[str, Read]]] = {
    "class set": class_set,
    "result": result,
    "probe": probe,
    "counts": counts,
    "PNG": label_map(".png"),
    "PNG of colours": label_map(".png", colors=True),
    "TIFF": label_map(".tif"),
    "compressed TIFF": label_map(".tif", compression="tiff_adobe_deflate"),
    "NPY": label_map(".npy"),
    "NPZ": label_map(".npz"),
    "annotations": annotations,
    "detections": detections,
    "names": names,
    "page": page,
}

ODD: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        0.5,
        1.5,
        -0.5,
        1e300,
        -1e300,
        5e-324,
        2**31,
        2**63,
        -(2**70),
    ),
    *("", "a", "\0", "\ud800", "../x", "/etc", "5", "=1", "ä" * 50, "b" * 20_000, "ignore", "\n"),
    *([], {}, [[]], {"a": 1}, [0] * 4, [1e300] * 4, [None], ["a", "a"], {"": None}),
]


def nest(value: Any, depth: int, rng: random.Random) -> Any:
    for _ in range(depth):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def break_value(content: Any, rng: random.Random) -> Any:
    """Change something in lists and mappings."""
    places = [(None, None)]
    inner = [content]
    while inner:
        value = inner.pop()
        keys = range(len(value)) if isinstance(value, list) else value
        places += [(value, key) for key in keys]
        inner += [value[key] for key in keys if isinstance(value[key], list | dict)]
    at, key = rng.choice(places)
    old = content if at is None else at[key]
    way = rng.randrange(6)
    if way == 0 and at is not None:
        del at[key]
        return content
    if way == 1 and isinstance(at, dict):
        at[rng.choice(["", "x", f"{key} "])] = at.pop(key)
        return content
    if way == 2:
        new = nest(old, rng.choice([1, 2, 40, 300]), rng)
    elif way == 3 and isinstance(old, list):
        new = old * rng.choice([2, 50])
    elif way == 4 and isinstance(old, int | float) and not isinstance(old, bool):
        new = rng.choice([-old, old + 1, old * 10**6, float(old), str(old), old / 3])
    else:
        new = rng.choice(ODD)
    if at is None:
        return new
    at[key] = json.loads(json.dumps(new))
    return content


def break_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, insert or repeat some bytes, or put a key or a bracket there twice."""
    changed = bytearray(data)
    at = rng.randrange(len(data) + 1)
    length = rng.choice([1, 1, 4, 30])
    ways = [
        lambda: changed.__setitem__(slice(at, at + 1), bytes([rng.randrange(256)])),
        lambda: changed.__delitem__(slice(at, None)),
        lambda: changed.__delitem__(slice(at, at + length)),
        lambda: changed.__setitem__(slice(at, at), changed[at : at + length]),
        lambda: changed.__setitem__(slice(at, at), rng.randbytes(length)),
        lambda: changed.__setitem__(slice(at, at + length), b"\xff" * length),
        lambda: changed.__setitem__(slice(at, at), rng.choice([b"[", b"{", b'"', b"9"]) * 2000),
    ]
    rng.choice(ways)()
    return bytes(changed)


def break_array(data: bytes, rng: random.Random) -> bytes:
    """Change the values, the dtype, the shape or the bytes of an NPY file."""
    array = np.load(io.BytesIO(data))
    way = rng.randrange(5)
    if way == 0 and array.size and array.dtype.kind in "iuf":
        array = array.copy()
        with contextlib.suppress(ValueError, OverflowError):  # of a dtype that can't hold it
            array.flat[rng.randrange(array.size)] = rng.choice([-1, 3, 2**30, 100])
    elif way == 1:
        with contextlib.suppress(ValueError):  # of text that is no number
            array = array.astype(rng.choice(["f8", "i4", ">i8", "u8", "U9", "c16", "?"]))
    elif way == 2:
        array = rng.choice([np.atleast_1d(array)[:1], array[None], array.reshape(-1), array.T])
    else:
        return break_bytes(data[:128], rng) + data[128:]
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def break_file(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    suffix = path.suffix
    if rng.random() < 0.4:
        data = break_bytes(data, rng)
    elif suffix == ".json":
        data = json.dumps(break_value(json.loads(data), rng)).encode()
    elif suffix == ".yaml":
        data = yaml.safe_dump(break_value(yaml.safe_load(data), rng)).encode("utf-8", "ignore")
    elif suffix == ".npy":
        data = break_array(data, rng)
    elif suffix == ".npz":
        data = break_archive(data, rng)
    else:
        data = break_bytes(data, rng)
    path.write_bytes(data)


def break_archive(data: bytes, rng: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    name = rng.choice([*members])
    way = rng.randrange(8)
    if way == 0 and len(members) > 1:
        del members[name]
    elif way == 1:
        members["more.npy"] = members[name]
    elif "header.npy" in members and way < 6:
        header = break_value(json.loads(np.load(io.BytesIO(members["header.npy"])).tobytes()), rng)
        array = io.BytesIO()
        np.save(array, np.frombuffer(json.dumps(header).encode(), np.uint8))
        members["header.npy"] = array.getvalue()
    else:
        members[name] = break_array(members[name], rng)
    again = io.BytesIO()
    with zipfile.ZipFile(again, "w", zipfile.ZIP_DEFLATED) as file:
        for member, content in members.items():
            file.writestr(member, content)
    return again.getvalue()


def everything_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_reading(kind: str, seed: int, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    rng = random.Random(seed)
    name, read = KINDS[kind](folder)
    path = folder / name
    break_file(path, rng)
    if rng.random() < 0.3:
        with contextlib.suppress(Exception):  # too broken to be changed as a value
            break_file(path, rng)
    before = everything_in(folder)
    try:
        read(path)
    except (ValueError, OSError) as error:
        text = str(error)
        assert path.parts[len(folder.parts)] in text or str(folder) in text, text
        assert len(text.splitlines()) <= 20
        assert len(text) < 5000
    assert everything_in(folder) == before


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_read(kind, tmp_path):
    name, read = KINDS[kind](tmp_path)
    read(tmp_path / name)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=QUICK, derandomize=True, database=None)
@given(seed=st.integers(0, 2**32))
def test_broken_files_are_read_or_refused(kind, tmp_path_factory, seed):
    check_reading(kind, seed, tmp_path_factory.getbasetemp() / kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=THOROUGH, derandomize=True, database=None)
@given(seed=st.integers(0, 2**32))
def test_many_broken_files(kind, tmp_path_factory, seed):
    check_reading(kind, seed, tmp_path_factory.getbasetemp() / kind)


COMMANDS = {
    "counts": lambda path, out: ["merge", path, "--output", out, "--csv", f"{out}.csv"],
    "result": lambda path, out: ["figures", path, "--output", out, "--strips", "1"],
    "class set": lambda path, out: [
        *("evaluate", "--predictions", path.parent, "--targets", path.parent / "none"),
        *("--classes", path, "--output", out),
    ],
}


@pytest.mark.parametrize("kind", COMMANDS)
def test_commands_say_so_in_a_line_and_leave_nothing(kind, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    for seed in range(8):
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        path = folder / KINDS[kind](folder)[0]
        break_file(path, random.Random(seed))
        before = everything_in(tmp_path)
        code = main([*map(str, COMMANDS[kind](path, tmp_path / f"out {seed}"))])
        said = capsys.readouterr().err
        assert code in (0, 2), said
        if code == 2:
            assert str(folder) in said
            assert len(said.splitlines()) <= 20
            assert everything_in(tmp_path) == before


def test_files_that_nobody_may_read(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    for kind in KINDS:
        folder = tmp_path / kind
        folder.mkdir()
        name, read = KINDS[kind](folder)
        (folder / name).chmod(0)
        with pytest.raises((ValueError, OSError), match=r"file|assets|evaluation"):
            read(folder / name)
