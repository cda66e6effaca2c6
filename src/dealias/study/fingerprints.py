"""What the files that a study depends on hold, in digests: names and options may stay the same."""

from __future__ import annotations

import hashlib
import inspect
import os.path
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dealias.code import find_code
from dealias.evaluation import digest_file

Known = dict[Path, str]
_CLASS = "class_path"
_OF_WEIGHTS = ("model.", "init_from")  # options that may name folders of weights
_PACKAGES = Path(sysconfig.get_path("purelib")).resolve()
_LOCAL = "hf:"  # before the name of a network, which may be a folder


def digest_files(files: Iterable[Path], known: Known) -> str | None:
    """A digest of files, their order, and their names below the folder that holds them all.

    Args:
        files: regular files.
        known: digests of files that were read before; changed in place.

    Returns:
        The digest, the same wherever the files lie; or None of no files.

    Raises:
        ValueError: a file can't be read.
    """
    paths = list(files)
    if not paths:
        return None
    above = os.path.commonpath([path.parent for path in paths])
    found = hashlib.blake2b(digest_size=8)
    for path in paths:
        found.update(f"{os.path.relpath(path, above)}\0{_digest(path, known)}\0".encode())
    return found.hexdigest()


def digest_options(options: Mapping[str, Any], known: Known) -> dict[str, str]:
    """Digests of the files that options name, and of the folders of networks, by option.

    Of classes that they name, it is the file of each that is not of an installed package; what that
    file imports is not looked at.

    Args:
        options: values by full name, with absolute paths.
        known: see :func:`digest_files`.

    Raises:
        ValueError: a file can't be read.
    """
    found = {}
    for name, value in options.items():
        for path in _own_code(value, of_class=name.endswith(f".{_CLASS}")):
            found[f"{name} ({path.name})"] = _digest(path, known)
        if not isinstance(value, str):
            continue
        path = Path(value.removeprefix(_LOCAL))
        if path.is_absolute() and path.is_file():
            found[name] = _digest(path, known)
        elif name.startswith(_OF_WEIGHTS) and (path.is_absolute() or value.startswith(_LOCAL)):
            digest = digest_files(sorted(file for file in path.rglob("*") if file.is_file()), known)
            found |= {} if digest is None else {name: digest}
    return found


def _own_code(value: Any, *, of_class: bool) -> Iterator[Path]:
    """Files of the classes that a value names, but for those of installed packages."""
    if isinstance(value, Mapping):
        for key, inside in value.items():
            yield from _own_code(inside, of_class=key == _CLASS)
    elif isinstance(value, list | tuple):
        for inside in value:
            yield from _own_code(inside, of_class=False)
    elif of_class and isinstance(value, str) and "." in value:
        code: Any = inspect.unwrap(find_code(value))
        is_named = inspect.isclass(code) or inspect.isroutine(code)
        file = inspect.getsourcefile(code if is_named else type(code))
        if file is not None and not Path(file).resolve().is_relative_to(_PACKAGES):
            yield Path(file)


def _digest(path: Path, known: Known) -> str:
    if path not in known:
        known[path] = digest_file(path)
    return known[path]
