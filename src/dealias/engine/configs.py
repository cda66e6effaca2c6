"""Configuration files: finding them by name, and joining them with their bases."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import jsonargparse

import dealias
from dealias.code import no_programs
from dealias.engine.paths import place, settle
from dealias.inputs import parse_yaml, read_yaml
from dealias.text import FileError, printable

_NETWORK = ("model", "network")
_FREE = "--model.network."
LINKS = {  # options that are set by another option for the whole run
    "model.seed": "seed_everything",
    "data.seed": "seed_everything",
    "data.noise": "noise",
}
# Options whose values are objects of classes, and the pattern of a class in a module.
_CLASSES = {
    *(
        f"trainer.{name}"
        for name in ("accelerator", "callbacks", "logger", "plugins", "profiler", "strategy")
    ),
    "data.augmentation.transforms",
    "model.losses",
}
_IMPORTED = re.compile(r"[^\W\d]\w*\.[^\W\d]")
# Groups of options; the parser would read their options from any file given as the value.
GROUPS = {"trainer", "data", "model"} | {
    *(f"data.{name}" for name in ("augmentation", "dark", "scenes", "splits")),
    *(f"model.{name}" for name in ("inference", "network", "optimization")),
}
_LIBRARIES = ["dealias", "pytorch_lightning", "lightning_fabric"]
_LONGEST_CHAIN = 16  # files, each the base of the one before


class ConfigError(ValueError):
    """A configuration file does not exist, can't be read or has a wrong option."""


def config_folders() -> list[Path]:
    """Folders of the configurations that come with the library: installed, or in a checkout."""
    package = Path(dealias.__file__).parent
    return [
        path
        for path in (package / "configs", package.parents[1] / "configs")
        if path.is_dir() and (path / "scenes").is_dir()
    ]


def config_names() -> list[str]:
    """Names of the configurations that come with the library, like ``camvid/upernet_lite0``."""
    return sorted(
        {
            str(path.relative_to(folder).with_suffix("").as_posix())
            for folder in config_folders()
            for path in folder.rglob("*.yaml")
        }
    )


def find_config(name: str) -> Path:
    """Find a configuration by its path, or by its name if it comes with the library.

    Raises:
        ConfigError: there is no such file; the message lists those that come with the library.
    """
    path = Path(name)
    if path.is_file():
        return path
    for folder in config_folders():
        for candidate in (folder / name, folder / f"{name}.yaml"):
            if candidate.is_file():
                return candidate
    raise ConfigError(
        f"{printable(name)}: no such configuration file; those that come with dealias: "
        + ", ".join(config_names())
    )


def read_config(path: Path) -> dict[str, Any]:
    """Read a configuration file, joined with the file that its key ``base`` names.

    ``base`` is a path relative to the file, or an argument of :func:`find_config`. Mappings are
    joined; other values replace those of the base. Paths are returned as written.

    Raises:
        ConfigError: a file does not exist, is not YAML, or is its own base.
    """
    plain: dict[str, Any] = settle(_read(path, ()))
    return plain


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    try:
        if path.resolve() in above:
            raise ConfigError(f"{printable(path)}: adds to itself: base runs in a circle")
        if len(above) == _LONGEST_CHAIN:
            raise ConfigError(f"{printable(path)}: expected at most {_LONGEST_CHAIN} files in turn")
        content = read_yaml(path)
    except FileError as error:
        raise ConfigError(str(error)) from error
    if not isinstance(content, dict):
        raise ConfigError(f"{printable(path)}: expected a mapping of options")
    base = content.pop("base", None)
    # In configurations of the library, paths are relative to the working directory.
    if not any(path.resolve().is_relative_to(folder.resolve()) for folder in config_folders()):
        content = {key: place(value, path.parent.absolute()) for key, value in content.items()}
    if base is None:
        return content
    if (path.parent / str(base)).is_file():
        found = path.parent / str(base)
    else:
        try:
            found = find_config(str(base))
        except ConfigError as error:
            raise ConfigError(f"{printable(path)}: base: {error}") from error
    return join(_read(found, (*above, path.resolve())), content)


def join(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Join two nested mappings; where both have a value, that of `more` wins.

    If `more` names another network than `base`, none of the base's network options are kept.

    >>> join({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
    {'a': {'b': 1, 'c': 3}}
    >>> join({"model": {"network": {"name": "upernet", "channels": 64}}},
    ...      {"model": {"network": {"name": "smp:Unet"}}})
    {'model': {'network': {'name': 'smp:Unet'}}}
    """
    return _join(base, more, ())


def _join(
    base: Mapping[str, Any], more: Mapping[str, Any], place: tuple[str, ...]
) -> dict[str, Any]:
    if place == _NETWORK and _is_another(base, more):
        return dict(more)
    joined = dict(base)
    for key, value in more.items():
        both = isinstance(value, Mapping) and isinstance(joined.get(key), Mapping)
        joined[key] = _join(joined[key], value, (*place, key)) if both else value
    return joined


def _is_another(base: Mapping[str, Any], more: Mapping[str, Any]) -> bool:
    """Whether network options name another network than the options they are joined with."""
    ours, theirs = ({k: side.get(k) for k in ("name", "class_path")} for side in (base, more))
    return any(ours.values()) and any(theirs.values()) and ours != theirs


def take_configs(arguments: Sequence[str]) -> tuple[dict[str, Any], list[Path], list[str]]:
    """Separate configuration files and network options from other command line arguments.

    These are ``--config NAME``, which may be repeated, and ``--model.network.KEY... VALUE``, whose
    keys depend on the network. The value is YAML and overrides that key of the files.

    Returns:
        The joined options, the files, and the other arguments. Strings remember the folder of
        their file until :func:`dealias.engine.settle` resolves them.

    Raises:
        ConfigError: a file can't be found or read, or a value is missing or not YAML.
    """
    options: dict[str, Any] = {}
    given: dict[str, Any] = {}
    files: list[Path] = []
    others: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        option, equals, value = argument.partition("=")
        if argument.startswith("-c") and not equals and len(argument) > 2:  # -cNAME
            option, equals, value = "-c", "=", argument[2:]
        is_config = option in ("--config", "-c")
        if not is_config and not option.startswith(_FREE):
            others.append(argument)
            continue
        text = value if equals else next(rest, None)
        if text is None:
            raise ConfigError(f"{option}: expected a value after it")
        if is_config:
            files.append(find_config(text))
            options = join(options, _read(files[-1], ()))
        else:
            given = join(given, _nested(option, text))
    return join(options, given), files, others


def refuse_linked(options: Mapping[str, Any]) -> None:
    """Refuse options of a file that the parser would ignore because another option sets them.

    Raises:
        ConfigError: the options include one of `LINKS`.
    """
    for target, option in LINKS.items():
        section, _, name = target.partition(".")
        given = options.get(section)
        if isinstance(given, Mapping) and name in given:
            raise ConfigError(f"{target}: expected it as {option}, for the whole run")


def refuse_programs(options: Mapping[str, Any], arguments: Sequence[str]) -> None:
    """Refuse options that import code by name.

    Imports that this function does not recognise are blocked by :func:`no_imports`.

    Args:
        options: options from files.
        arguments: arguments from the command line.

    Raises:
        ConfigError: there is a ``class_path``, or a class of another package by its path.
    """
    found = _programs(options, ())
    for name, value in _given(arguments):
        if "class_path" in name or (name.endswith(".help") and _IMPORTED.search(value)):
            found.append(name)
        found += _programs(value, (name.rstrip("+"),))
    if found:
        raise ConfigError(
            f"{printable(found[0])}: refused: it names a class to import, which is a program; "
            f"--trust allows it"
        )


def _programs(options: Any, place: tuple[str, ...]) -> list[str]:
    """Names of the options that import classes."""
    name = ".".join(place)
    options = _unfolded(options)
    if isinstance(options, Mapping):
        found = [name] if "class_path" in options else []
        inside = ((str(key).rstrip("+"), value) for key, value in options.items())
        return found + [n for key, value in inside for n in _programs(value, (*place, key))]
    if isinstance(options, list):
        return [n for value in options for n in _programs(value, place)]
    is_class = name in _CLASSES and isinstance(options, str) and _IMPORTED.search(options)
    return [name] if is_class else []


def _unfolded(value: Any) -> Any:
    """A value as the parser sees it, which reads text as a YAML list or mapping if it looks so."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return parse_yaml(value)
    except ValueError:  # the parser reports it
        return value


def _given(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names of options on the command line, each with its possible value."""
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        option, equals, value = argument.partition("=")
        if option.startswith("--"):
            yield option[2:], value if equals else following


@contextmanager
def no_imports() -> Iterator[None]:
    """Import no classes named by options except those of Lightning and of this package."""
    settings = jsonargparse._common.parsing_settings
    before = dict(settings)
    jsonargparse.set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=_LIBRARIES)
    try:
        with no_programs():
            yield
    finally:
        settings.update(before)


def refuse_files(options: Mapping[str, Any], arguments: Sequence[str]) -> None:
    """Refuse file names as values of options: only ``--config`` reads files, within limits.

    Args:
        options: options from files.
        arguments: arguments from the command line.

    Raises:
        ConfigError: the value of one of `GROUPS` is text, or the value of an option that takes
            objects of classes is the name of a file.
    """
    given = [(name, value) for name, value in _given(arguments) if value[:2] != "--"]
    for section, value in options.items():
        given.append((section, value))
        if isinstance(value, Mapping):
            given += [(f"{section}.{name}", part) for name, part in value.items()]
    for name, value in given:
        plain = value in (None, "null", "") or isinstance(_unfolded(value), Mapping)
        is_file = name in _CLASSES and isinstance(value, str) and Path(value).is_file()
        if (name in GROUPS and not plain) or is_file:
            got = printable(str(value)[:80])
            raise ConfigError(f"{name}: expected options, got {got!r}; --config reads files")


def refuse_moved(
    options: Mapping[str, Any], arguments: Sequence[str], moved: Mapping[str, str]
) -> None:
    """Refuse data options under names from earlier versions.

    Args:
        options: options from files.
        arguments: arguments from the command line.
        moved: present names of options by earlier ones; an earlier option was never a mapping.

    Raises:
        ConfigError: an earlier name is used; the message has the present one.
    """
    data = options.get("data")
    given = dict(data) if isinstance(data, Mapping) else {}
    for option, value in _given(arguments):
        if option.startswith("data."):
            given[option.removeprefix("data.")] = value
    for name, present in moved.items():
        here = given.get(name)
        if not isinstance(here, Mapping) and not str(here).startswith(("{", "null", "None")):
            raise ConfigError(f"data.{name}: is now {present}")


def _nested(option: str, text: str) -> dict[str, Any]:
    try:
        value = parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"{printable(option)}: expected YAML, got {printable(text)}") from error
    for key in reversed(option[2:].split(".")):
        value = {key: value}
    return dict(value)
