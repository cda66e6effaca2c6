"""Folders and cached names of transformers, read without asking the Hub or running their code."""

import importlib
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dealias.inputs import open_regular, read_json
from dealias.models.network import IMAGENET_MEAN, IMAGENET_STD, ModelError, check_normalization
from dealias.text import FileError, printable

_STEMS = ("model.safetensors", "pytorch_model.bin")
_WEIGHTS = re.compile(
    r"(pytorch_|tf_|flax_)?model\b.*\.(safetensors|bin|h5|msgpack)(\.index\.json)?"
)


def model_folder(name: str) -> Path | None:
    """The folder of a network "hf:FOLDER"; None for networks of other names.

    >>> str(model_folder("hf:.")), model_folder("upernet")
    ('.', None)
    """
    kind, _, path = name.partition(":")
    if kind != "hf" or not Path(path).is_dir():
        return None
    with suppress(ImportError):
        if path in importlib.import_module("transformers").CONFIG_MAPPING:
            return None  # a type of network
    return Path(path)


@contextmanager
def offline() -> Iterator[None]:
    """Let huggingface_hub ask nobody, for libraries that look up names by themselves."""
    # The environment variable has no effect once the library is imported.
    constants = importlib.import_module("huggingface_hub").constants
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def check_model_folder(folder: Path) -> None:
    """Refuse a folder of transformers with endless files, or a configuration out of limits.

    Raises:
        ModelError: the folder contains a device or a pipe, a JSON file can't be read, or a
            configuration names a backbone that timm does not know.
    """
    try:
        for path in sorted(folder.iterdir()):
            if path.suffix == ".json":
                content = read_json(path, exact=False)
                if path.name.startswith("config"):
                    check_backbones(content, printable(path))
            elif not path.is_dir():
                with open_regular(path):
                    pass
    except FileError as error:
        raise ModelError(str(error)) from error


def check_backbones(part: Any, source: str) -> None:
    """Refuse backbones at any depth that timm does not know and would look up elsewhere.

    Args:
        part: a configuration, or a part of one.
        source: its name, for the message.

    Raises:
        ModelError: a backbone is not one of timm.
    """
    if isinstance(part, list | tuple):
        for inside in part:
            check_backbones(inside, source)
    if not isinstance(part, Mapping):
        return
    for key, value in part.items():
        named = key == ("architecture" if part.get("model_type") == "timm_wrapper" else "backbone")
        if named and isinstance(value, str) and not _is_of_timm(value):
            raise ModelError(f"{source}: {key}: expected a name of timm, got {printable(value)!r}")
        check_backbones(value, source)


def _is_of_timm(name: str) -> bool:
    try:
        return bool(importlib.import_module("timm").is_model(name))
    except ImportError:
        return False


def read_pretrained(builder: Any, name: str, *, trust: bool = False, **options: Any) -> Any:
    """The result of `builder.from_pretrained`, or None if there is a configuration alone.

    Args:
        builder: a class of transformers.
        name: a folder, or a name in the local cache.
        trust: whether to run code that a folder contains.
        options: further arguments of `from_pretrained`.

    Raises:
        OSError: there are files of weights, but not all of them, or of another library.
    """
    try:
        return builder.from_pretrained(
            name, local_files_only=True, trust_remote_code=trust, **options
        )
    except OSError:
        if _has_weights(name):
            raise
        return None


def _has_weights(name: str) -> bool:
    if Path(name).is_dir():
        return any(_WEIGHTS.fullmatch(path.name) for path in Path(name).iterdir())
    stems = [f"{stem}{index}" for stem in _STEMS for index in ("", ".index.json")]
    return any(_cached(name, stem) is not None for stem in stems)


def stored_normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and standard deviation that a folder of transformers normalises images with.

    Args:
        name: a folder, or a name in the local cache. ImageNet's values replace missing ones. A
            network that expects BGR images gets a warning.

    Raises:
        ModelError: they are not three finite numbers each.
    """
    path = _cached(name, "preprocessor_config.json")
    stored = {} if path is None else read_json(Path(path))
    if not isinstance(stored, dict):
        raise ModelError(f"{printable(path)}: expected a mapping")
    if stored.get("do_flip_channel_order"):
        warnings.warn(
            f"{printable(path)}: do_flip_channel_order: the network was trained on BGR images, and "
            f"is given RGB",
            stacklevel=2,
        )
    if stored.get("do_normalize") is False:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    mean, std = stored.get("image_mean"), stored.get("image_std")
    try:
        check_normalization(mean, std)
    except ModelError as error:
        raise ModelError(f"{printable(path)}: {error}") from error
    return tuple(mean or IMAGENET_MEAN), tuple(std or IMAGENET_STD)


def _cached(name: str, file: str) -> Any:
    """The path of a file in a folder or in the local cache; None if it is not there."""
    return importlib.import_module("transformers").utils.cached_file(
        name,
        file,
        local_files_only=True,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
