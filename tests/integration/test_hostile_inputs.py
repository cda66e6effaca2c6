"""Commands on inputs that would take all memory, never end, or have names of odd bytes."""

import json
import os
import resource
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from dealias.cli import main
from reports import evaluate, write_folders

MEMORY, SECONDS = 1.5 * 2**30, 10


def png(width, height, channels):
    """A whole image of one colour that is small as a file."""

    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    color_type = 2 if channels == 3 else 0
    header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)
    rows = zlib.compress(bytes(channels * width + 1) * height, 1)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def npz_of_zeros(path, megabytes):
    header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': (1024, {megabytes * 128}), }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("header.npy", "w", force_zip64=True) as file,
    ):
        file.write(start)
        for _ in range(megabytes):
            file.write(bytes(2**20))


def bombs(folder):
    """Arguments of commands by name, once the files are written."""
    write_folders(folder, count=1)
    (target,) = (folder / "targets").iterdir()
    found = {}

    def predictions(name, write):
        place = folder / name
        place.mkdir()
        path = place / f"{target.stem}{write[0]}"
        write[1](path)
        found[name] = ["evaluate", "--predictions", place, "--targets", folder / "targets"]
        found[name] += ["--classes", folder / "five.yaml", "--workers", "0"]

    def classes(name, text):
        (folder / f"{name}.yaml").write_text(text)
        found[name] = ["evaluate", "--predictions", folder / "a", "--targets", folder / "targets"]
        found[name] += ["--classes", folder / f"{name}.yaml", "--workers", "0"]

    predictions("pipe", (".png", os.mkfifo))
    predictions("zero", (".npz", lambda path: path.symlink_to("/dev/zero")))
    predictions("array", (".npz", lambda path: npz_of_zeros(path, 4000)))
    predictions("gray", (".png", lambda path: path.write_bytes(png(9400, 9400, 1))))
    predictions("colours", (".png", lambda path: path.write_bytes(png(9400, 9400, 3))))
    predictions("larger", (".png", lambda path: path.write_bytes(png(30_000, 30_000, 1))))
    predictions("pages", (".tif", write_pages))
    aliases = "\n".join(f"k{i}: &k{i} [{f'*k{i - 1}, ' * 9 if i else ''}1]" for i in range(14))
    classes("aliases", aliases)
    classes("recursion", "names: &n [a, *n]")
    classes("many", f"names: [{', '.join(f'c{i}' for i in range(70_000))}]")
    for name, path in {"counts of zeros": npz_of_zeros, "counts": None}.items():
        file = folder / f"{name}.npz"
        if path is not None:
            path(file, 4000)
        else:
            file.symlink_to("/dev/zero")
        found[name] = ["merge", file]
    deep = folder / "deep.json"
    deep.write_text("[" * 10**7)
    many = folder / "many.json"
    many.write_text("[" + "[]," * 10**7 + "[]]")
    for path in (deep, many):
        found[path.name] = ["compare", path, path]
    shard = [*("--predictions", folder / "a", "--targets", folder / "targets")]
    shard += ["--classes", folder / "five.yaml", "--shard", "1/99999999"]
    found["shard"] = ["evaluate", *shard]
    return found


def write_pages(path):
    """A TIFF file of 300,000 pages."""
    pages = bytearray(b"II*\0" + struct.pack("<I", 8))
    tags = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 8)]
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in [*tags, (279, 64)])
    for page in range(300_000):
        following = len(pages) + len(body) + 6 if page < 299_999 else 0
        pages += struct.pack("<H", len(tags) + 1) + body + struct.pack("<I", following)
    path.write_bytes(pages)


@pytest.mark.slow
def test_bombs_take_little_time_and_memory(tmp_path):
    for name, command in bombs(tmp_path).items():
        process = subprocess.Popen(
            [sys.executable, "-m", "dealias", *map(str, command)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (120, 120)),
        )
        with process.stderr:
            said = process.stderr.read().decode()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 2, (name, said)
        assert str(tmp_path) in said or "shard" in said, (name, said)
        assert len(said.splitlines()) <= 20, name
        assert len(said) < 5000, name
        assert used.ru_maxrss * 1024 < MEMORY, name
        # Of its own, not of others on this machine; a second goes to the start.
        assert used.ru_utime + used.ru_stime < SECONDS + 5, name


ODD = b"caf\xe9 \xff"


def test_folders_whose_names_are_no_text(tmp_path, capsys):
    folder = tmp_path / os.fsdecode(ODD)
    write_folders(folder, count=2)
    for path in (*folder.glob("*/*.png"), *folder.glob("*/*.jpg")):
        path.rename(path.with_name(os.fsdecode(ODD) + path.name))
    outputs = ["--output", folder / "a.json", "--csv", folder / "a.csv"]
    outputs += ["--counts", folder / "a.npz", "--error-maps", folder / "maps"]
    outputs += ["--report", folder / "page", "--images", folder / "images"]
    assert evaluate(folder, "a", *outputs) == 0, capsys.readouterr().err
    result = json.loads((folder / "a.json").read_bytes())
    assert len(result["per_image"]) == 2
    assert main(["merge", str(folder / "a.npz"), "--output", str(folder / "again.json")]) == 0
    files = [str(folder / "a.json"), str(folder / "again.json")]
    for trust in ([], ["--trust"]):
        page = folder / f"compared{len(trust)}"
        assert main(["compare", *files, "--report", str(page), *trust]) == 0
    assert main(["figures", *files, "--output", str(folder / "figures"), "--trust"]) == 0
    broken = next((folder / "a").iterdir())
    broken.write_bytes(b"nothing")
    capsys.readouterr()
    assert evaluate(folder, "a") == 2
    assert broken.name.encode("ascii", "ignore").decode()[-6:] in capsys.readouterr().err


def test_a_prediction_of_one_row_or_column(tmp_path):
    """The least that there may be."""
    write_folders(tmp_path, count=1)
    for part in ("a", "targets"):
        (path,) = (tmp_path / part).iterdir()
        Image.fromarray(np.zeros((1, 1), np.uint8)).save(path)
    assert evaluate(tmp_path, "a", "--report", tmp_path / "page") == 0
