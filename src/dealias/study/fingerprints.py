"""Digests of the files that a study depends on, whose content may change under the same name."""

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
from dealias.models import model_folder

Known = dict[Path, str]
_CLASS = "class_path"
_OF_WEIGHTS = ("model.", "init_from")  # options that may name folders of weights
_PACKAGES = Path(sysconfig.get_path("purelib")).resolve()


def digest_files(files: Iterable[Path], known: Known) -> str | None:
    """A digest of files, their order, and their names below their common folder.

    Args:
        files: regular files.
        known: digests of files that were read before; changed in place.

    Returns:
        The digest, which does not depend on where the files are; or None without files.

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

    For a class that an option names, this is the file of the class, unless it belongs to an
    installed package. Files that it imports are not included.

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
        folder = model_folder(value)
        path = folder or Path(value)
        if path.is_absolute() and path.is_file():
            found[name] = _digest(path, known)
        elif name.startswith(_OF_WEIGHTS) and (folder or path.is_absolute()):
            digest = digest_files(sorted(file for file in path.rglob("*") if file.is_file()), known)
            found |= {} if digest is None else {name: digest}
    return found


def _own_code(value: Any, *, of_class: bool) -> Iterator[Path]:
    """Files of the classes that a value names, except those of installed packages."""
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
