"""Find the images and label maps in a folder and its subfolders."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from dealias.labels.affixes import Reading, match_readings, read_files
from dealias.labels.lossless import JPEG_REASON, JPEG_SUFFIXES
from dealias.labels.naming import companion_of, endings_of, names_of, role_of, root_of
from dealias.labels.reading import LABEL_SUFFIXES
from dealias.text import printable, reason

_OFTEN_PICTURES = (".bmp", ".webp")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
FILE_SUFFIXES = tuple({*IMAGE_SUFFIXES, *LABEL_SUFFIXES})

Filter = Callable[[list[Path]], list[Path]]


class PairingError(ValueError):
    """The files of two folders can't be paired."""


def several_files(name: str, paths: list[Path]) -> PairingError:
    """Return the error for several files with the same name."""
    listed = ", ".join(printable(path) for path in paths[:4])
    return PairingError(f"{len(paths)} files are named {printable(name)!r}: {listed}")


def image_files(folder: Path) -> list[Path]:
    """List the images in a folder; raises PairingError if there are none."""
    return _list_files(folder, "images", IMAGE_SUFFIXES, _images)


def label_files(folder: Path) -> list[Path]:
    """List the label maps in a folder; raises PairingError if there are none."""
    return _list_files(folder, "label maps", LABEL_SUFFIXES, _label_maps)


def find_images(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Find the photographs of pairs in a folder and its subfolders.

    If no name matches an image, a prefix or suffix that all images share is ignored: img_1.jpg is
    then the image of 1, provided that each name gets an image and there is only one way to do so.

    Args:
        folder: folder of the images.
        names: names of pairs; the last part of each must be the name of its image. If several names
            have the same last part, their folders must be those of the images, too.

    Returns:
        The images that were found, by name.

    Raises:
        PairingError: the path is not a folder, a folder can't be read, or several images fit a name
            equally well.
    """
    return _find_named(folder, names, _images)


def find_label_maps(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Find the label maps of images in a folder and its subfolders; see :func:`find_images`."""
    return _find_named(folder, names, _label_maps)


def files_in(folder: Path, suffixes: tuple[str, ...] = ("",)) -> list[Path]:
    """List the visible files with these suffixes in a folder and its subfolders.

    Raises:
        PairingError: the path is not a folder, or a folder can't be read.
    """
    if not folder.is_dir():
        what = "not a folder" if folder.exists() else "no such folder"
        raise PairingError(f"{printable(folder)}: {what}")
    return sorted(path for path in _walk(folder) if path.name.lower().endswith(suffixes))


def jpeg_hint(files: Iterable[Path]) -> str:
    """Return a hint for messages about missing label maps that some files are JPEG."""
    found = any(path.suffix.lower() in JPEG_SUFFIXES for path in files)
    return f"; {JPEG_REASON}" if found else ""


def _list_files(folder: Path, kind: str, suffixes: tuple[str, ...], wanted: Filter) -> list[Path]:
    files = files_in(folder)
    found = wanted(files)
    if not found:
        kinds = sorted({path.suffix.lower() or "no extension" for path in files})
        got = f"got only {', '.join(kinds)}" if kinds else "it is empty"
        if suffixes == LABEL_SUFFIXES:
            got += jpeg_hint(files)
        raise PairingError(f"{printable(folder)}: expected {kind} ({', '.join(suffixes)}), {got}")
    return found


def _find_named(folder: Path, names: Iterable[str], wanted: Filter) -> dict[str, Path]:
    if not folder.is_dir():
        raise PairingError(f"{printable(folder)}: not a folder")
    names = list(names)
    times = Counter(map(_last_part, {*names}))
    listed = wanted(files_in(folder))
    found: dict[str, list[tuple[int, int, Path]]] = defaultdict(list)
    for path in listed:
        parent = path.parent.relative_to(folder)
        foreign = role_of(path) != "image"
        for taken, name in enumerate(names_of(path)):
            for key in {(parent / name).as_posix(), *([name] if times[name] == 1 else [])}:
                found[key].append((foreign * taken, taken, path))
    files = {}
    for name in names:
        last = _last_part(name)
        ranked = sorted(found.get(name) or (found.get(last, []) if times[last] == 1 else []))
        best = [path for *rank, path in ranked if rank == list(ranked[0][:2])]
        if len(best) > 1:
            raise several_files(name, best)
        if best:
            files[name] = best[0]
    return files or _find_by_affixes(folder, names, listed)


def _last_part(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _find_by_affixes(folder: Path, names: Sequence[str], files: Sequence[Path]) -> dict[str, Path]:
    """Find the file of each name, if all files share a prefix or suffix."""
    readings = read_files(folder, files)
    for keyed in (
        {name: name for name in names},
        {_last_part(name): name for name in names},
    ):
        if len(keyed) == len(names) <= len(files):
            matches = match_readings([Reading("", "", keyed)], readings)
            if len(matches) == 1:
                return dict(matches[0].files.values())
    return {}


def _images(files: list[Path]) -> list[Path]:
    return [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]


def _label_maps(files: list[Path]) -> list[Path]:
    """Select the label maps, without colour, instance or label id files next to a label map.

    BMP and WebP files next to a label map of another format are assumed to be pictures of it.
    """
    files = [path for path in files if path.suffix.lower() in LABEL_SUFFIXES]
    others = {
        path.parent / root_of(path) for path in files if path.suffix.lower() not in _OFTEN_PICTURES
    }
    files = [
        path
        for path in files
        if path.suffix.lower() not in _OFTEN_PICTURES or path.parent / root_of(path) not in others
    ]
    companions = {path: companion_of(path) for path in files}
    labels = {path.parent / root_of(path) for path, of in companions.items() if of is None}
    train_ids = {
        (path.parent / root_of(path), role_of(path))
        for path in files
        if "_labelTrainIds" in endings_of(path)
    }
    return [
        path
        for path, of in companions.items()
        if not (of is not None and path.parent / of in labels)
        and not (
            "_labelIds" in endings_of(path)
            and (path.parent / root_of(path), role_of(path)) in train_ids
        )
    ]


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the visible files of a folder and its subfolders; follow links, but no folder twice.

    The lost+found of a file system, which only its administrator may read, is passed over.
    """
    seen = set()
    for parent, subfolders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = [
            name for name in subfolders if not name.startswith(".") and name != "lost+found"
        ]
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def _refuse(error: OSError) -> None:
    raise PairingError(f"{printable(error.filename)}: can't be read: {reason(error)}") from error
