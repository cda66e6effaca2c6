"""Reading files of weights within limits, without running any code in them."""

import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from dealias.inputs import LARGEST_DIRECTORY, open_regular, open_zip
from dealias.models.weights import WeightsError, match_names
from dealias.text import FileError, printable, reason

# Keys of the weights to use if a file has several; the state of an optimizer is not among them.
_HOLDERS = ("state_dict", "model_state_dict", "model", "teacher")
_LARGEST_HEADER = 2**24  # bytes of a safetensors header
_MOST_STEPS = 2**21  # steps of a pickle; a tensor takes about 30
_MOST_VALUES = 2**20  # values in a file, counting repetitions
_DEEPEST = 64  # levels of containers
_LARGEST_INTEGER = 2**128  # states of random generators have 128 bits
_LEGACY_PICKLES = 5  # magic number, version, system, content, keys of storages
# Kinds of tensors that PyTorch would read, but that networks do not have.
_REFUSED = {
    "torch._utils _rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils _rebuild_qtensor": "a quantised tensor",
    "torch._utils _rebuild_meta_tensor_no_storage": "a tensor without values (device meta)",
    "torch._utils _rebuild_nested_tensor": "a nested tensor",
    "torch._utils _rebuild_wrapper_subclass": "a tensor of a class of its own",
    "builtins bytearray": "a bytearray",
    "__builtin__ bytearray": "a bytearray",
}


def read_weights(path: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """Read the weights of a network from a file of any kind, by the network's own names.

    Args:
        path: as for :func:`read_state_dict`.
        names: names of the network's tensors, as in its state dict.

    Returns:
        The tensors, as from :func:`match_names`.

    Raises:
        WeightsError: see :func:`read_state_dict` and :func:`match_names`.
    """
    return match_names(read_state_dict(path), names, source=printable(path))


def read_checkpoint(path: Path) -> Any:
    """Read a file of safetensors or torch.save: tensors, numbers, text and containers of them.

    The format is recognised by the content, not by the name.

    Raises:
        WeightsError: there is no such file, it has another format, it contains objects of other
            kinds, or its tensors represent more values than it stores. Objects are refused because
            reading them could run code; tensors that are not dense are refused, too.
    """
    try:
        with open_regular(path) as file:
            start = file.read(9)
            if start[8:] == b"{" and int.from_bytes(start[:8], "little") <= _LARGEST_HEADER:
                return _load_safetensors(file, path)
            size = file.seek(0, 2)
            file.seek(0)
            return _load_pickled(file, size, path)
    except FileError as error:
        raise WeightsError(str(error)) from error


def _load_pickled(file: IO[bytes], size: int, path: Path) -> Any:
    try:
        with warnings.catch_warnings(), _unfilled():
            warnings.simplefilter("ignore")
            _check_pickles(file, size, path)
            file.seek(0)
            # For an open file, torch.load also goes by the content. It warns about other pickles.
            content = torch.load(file, map_location="cpu", weights_only=True)
    except FileError:
        raise
    except Exception as error:  # files of other kinds may raise any error
        raise FileError(path, _problem(error)) from error
    try:
        storages: dict[int, int] = {}
        _count(content, {}, storages, 0)
        held = sum(storages.values())
        if held > size:
            raise ValueError(f"expected tensors of at most its {size:,} bytes, got {held:,}")
    except ValueError as error:
        raise FileError(path, str(error)) from error
    return content


@contextmanager
def _unfilled() -> Iterator[None]:
    """Do not fill new memory, which PyTorch does when algorithms must be deterministic."""
    settings: Any = torch.utils.deterministic
    before, settings.fill_uninitialized_memory = settings.fill_uninitialized_memory, False
    try:
        yield
    finally:
        settings.fill_uninitialized_memory = before


def _check_pickles(file: IO[bytes], size: int, path: Path) -> None:
    """Refuse files that would take far more memory or time to read than their size suggests."""
    if file.read(4) != b"PK\x03\x04":  # how PyTorch distinguishes its two formats
        file.seek(0)
        _check_steps((file,) * _LEGACY_PICKLES, path)
        return
    with open_zip(file, LARGEST_DIRECTORY) as archive:
        entries = archive.infolist()
        # Not `filename`, which may differ from the name that PyTorch reads.
        if any(entry.orig_filename.endswith("/constants.pkl") for entry in entries):
            raise FileError(
                path,
                "refused: it holds a TorchScript program; expected the state dict of a network",
            )
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        if not stored or sum(entry.file_size for entry in entries) > size:
            raise FileError(path, "expected a file of torch.save, got a compressed archive")
        pickles = [entry for entry in entries if entry.orig_filename.endswith("/data.pkl")]
        _check_steps((archive.open(entry) for entry in pickles), path)


def _check_steps(pickles: Iterable[IO[bytes]], path: Path) -> None:
    steps = 0
    for file in pickles:
        for code, argument, _ in pickletools.genops(file):
            steps += 1
            if steps > _MOST_STEPS:
                raise FileError(path, f"expected a pickle of at most {_MOST_STEPS:,} steps")
            if code.name == "GLOBAL" and argument in _REFUSED:
                raise FileError(
                    path, f"refused: it holds {_REFUSED[argument]}; expected dense tensors"
                )


def _count(value: Any, known: dict[int, int], storages: dict[int, int], depth: int) -> int:
    """The number of values in something, counting repetitions.

    Args:
        value: value from a file.
        known: these numbers for known containers, by identity.
        storages: bytes of the storages of tensors, by address; new ones are added.
        depth: number of containers around the value.
    """
    if isinstance(value, Tensor):
        _check_dense(value)
        storage = value.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return 1
    if isinstance(value, int) and abs(value) >= _LARGEST_INTEGER:
        raise ValueError("refused: it holds an integer of more than 128 bits")
    if not isinstance(value, Mapping | list | tuple | set):
        return 1
    if depth > _DEEPEST:
        raise ValueError(f"expected at most {_DEEPEST} levels of nesting")
    if id(value) not in known:
        total = 1 + sum(_count(v, known, storages, depth + 1) for v in _inside(value))
        if total > _MOST_VALUES:
            raise ValueError(f"expected at most {_MOST_VALUES:,} values, with those repeated")
        known[id(value)] = total
    return known[id(value)]


def _inside(value: Any) -> Iterator[Any]:
    yield from value  # for a mapping, the keys
    if isinstance(value, Mapping):
        yield from value.values()


def _check_dense(value: Tensor) -> None:
    dense = value.layout is torch.strided and not (value.is_quantized or value.is_nested)
    if not dense or value.device.type != "cpu":
        raise ValueError(f"expected dense tensors, got one that is {value.layout}, {value.device}")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise ValueError(
            f"expected tensors whose values are all there, got one of {tuple(value.shape)} that "
            f"repeats a few"
        )


def _problem(error: Exception) -> str:
    """The message of an error, without PyTorch's advice to read the file anyway."""
    kind = re.search(r"GLOBAL ([^\s,]+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and kind:
        return (
            f"refused: it holds {printable(kind[1])}. Only tensors, numbers, text and containers "
            f"of them are read, since reading anything else can run code"
        )
    said = reason(error).partition("\\n")[0]
    detail = "" if "weights_only" in said else f": {said}"
    return (
        f"expected a file of torch.save or safetensors, got one that can't be read "
        f"({type(error).__name__}{detail})"
    )


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file of safetensors or torch.save, by name.

    Raises:
        WeightsError: see :func:`read_checkpoint` and :func:`state_dict_of`.
    """
    return state_dict_of(read_checkpoint(path), source=printable(path))


def state_dict_of(content: Any, *, source: str) -> dict[str, Tensor]:
    """Find the state dict in the content of a file, at the top level or below a key.

    Args:
        content: content of the file.
        source: name of the file, for messages.

    Returns:
        Tensors by name. If there are several state dicts, the one below the first of the keys
        "state_dict", "model_state_dict", "model" and "teacher".

    Raises:
        WeightsError: there is no state dict, or there are several below other keys.

    >>> state_dict_of({"epoch": 3, "net": {"weight": torch.ones(2)}}, source="a.pth")
    {'weight': tensor([1., 1.])}
    """
    found = _states(content)
    if not found:
        raise WeightsError(f"{source}: expected tensors by name, got no state dict")
    key = next(key for key in (*_HOLDERS, *found) if key in found)
    if len(found) > 1 and key not in _HOLDERS:
        raise WeightsError(
            f"{source}: expected one state dict, or one as {', '.join(_HOLDERS)}, got "
            f"{', '.join(map(printable, found))}"
        )
    return found[key]


def _states(content: Any) -> dict[str, dict[str, Tensor]]:
    """State dicts in a file by key; a file that is itself a state dict has the key ""."""
    if not isinstance(content, Mapping) or not content:
        return {}
    if all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
        return {"": dict(content)}
    inner = {key: _states(value) for key, value in content.items() if isinstance(key, str)}
    # In {"model": {"state_dict": ...}}, the key is "model".
    return {key: next(iter(held.values())) for key, held in inner.items() if len(held) == 1}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a .safetensors file, by name.

    Raises:
        WeightsError: there is no such file, or it is not a safetensors file.
    """
    try:
        with open_regular(path) as file:
            if int.from_bytes(file.read(8), "little") > _LARGEST_HEADER:
                raise FileError(path, "can't be read: expected a file of safetensors")
            return _load_safetensors(file, path)
    except FileError as error:
        raise WeightsError(str(error)) from error


def _load_safetensors(file: IO[bytes], path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    # The open file, even if its path now leads elsewhere; Windows has no such names.
    opened = Path(f"/dev/fd/{file.fileno()}")
    try:
        return load_file(opened if opened.exists() else path)
    except Exception as error:  # from the library, the system or PyTorch
        raise FileError(path, f"can't be read: {reason(error)}") from error
