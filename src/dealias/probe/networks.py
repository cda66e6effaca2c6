"""Create networks of any installed library from a specification."""

import importlib
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dealias.code import CodeError, find_code
from dealias.models import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ModelError,
    SegmentationModel,
    WeightsError,
    check_kinds,
    check_model_folder,
    convert,
    create_model,
    limited,
    load,
    offline,
    read_pretrained,
    read_weights,
    stored_normalisation,
)
from dealias.surgery import modules
from dealias.text import on_a_line, printable

SPECS = (
    "timm:NAME, torchvision:NAME, smp:NAME, hf:NAME_OR_PATH, dealias:CHECKPOINT_OR_FOLDER, a .pt2 "
    "file or module.path:factory"
)

_CLASSES = 21  # for networks of segmentation_models_pytorch, as many as torchvision's have


class NetworkError(ValueError):
    """A network can't be created from its specification."""


@dataclass(frozen=True)
class LoadedNetwork:
    """A network and the normalisation of its input.

    Attributes:
        model: the network in evaluation mode.
        mean: mean of RGB for normalisation, for values in [0, 1].
        std: standard deviation of RGB for normalisation.
        takes_list: whether the input is a list of images [C, H, W], as for detectors, and not a
            batch.
        classes: names of the classes in the order of the scores; None if they are not known.
        random: whether the weights are known to be random.
    """

    model: nn.Module
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    takes_list: bool = False
    classes: tuple[str, ...] | None = None
    random: bool = False

    def arguments(self, image: Tensor) -> Any:
        """Return the input of the network for one image [3, H, W], RGB in [0, 1]."""
        mean, std = (image.new_tensor(value)[:, None, None] for value in (self.mean, self.std))
        x = (image - mean) / std
        return [x] if self.takes_list else x[None]


def load_network(spec: str, weights: Path | None = None, *, trust: bool = False) -> LoadedNetwork:
    """Create a network, without downloading anything.

    Args:
        spec: ``timm:NAME``, ``torchvision:NAME`` or ``smp:NAME``, with random weights, and for
            ``smp`` with 21 classes; ``hf:NAME_OR_PATH``, a folder or a name in the local cache of
            transformers, with its weights if there are any; ``dealias:PATH``, a checkpoint of
            ``dealias fit`` or a folder of ``dealias convert``; a ``.pt2`` file of `torch.export`;
            or ``module.path:factory``, called without arguments.
        weights: file of weights to load, from torch.save or safetensors; see
            :func:`dealias.models.read_weights`.
        trust: whether to run code that the specification names or a file contains: a factory, a
            ``.pt2`` file, or a transformers folder with its own network code.

    Raises:
        NetworkError: the network does not exist or can't be created, its library is not installed,
            the weights do not fit, or it needs to run code and `trust` is false.

    >>> load_network("torch.nn:Identity", trust=True).model
    Identity()
    """
    kind, colon, name = spec.partition(":")
    if not spec.endswith(".pt2") and not (kind and colon and name):
        raise NetworkError(f"model: expected {SPECS}, got {spec!r}")
    if not trust and (spec.endswith(".pt2") or kind not in _BUILDERS):
        why = "can run code as it is read" if spec.endswith(".pt2") else "is a program"
        raise NetworkError(f"model {spec!r}: refused, since it {why}; --trust allows it")
    try:
        if spec.endswith(".pt2"):
            network = _from_export(spec)
        elif kind in _BUILDERS:
            network = _BUILDERS[kind](name, trust)
        else:
            network = _from_factory(kind, name)
    except NetworkError:
        raise
    except (ModelError, WeightsError) as error:
        raise NetworkError(str(error)) from error
    except ImportError as error:
        raise NetworkError(f"model {spec!r}: {error}") from error
    except Exception as error:
        # Libraries may raise anything for unknown names.
        said = on_a_line(error)
        raise NetworkError(f"model {spec!r}: {type(error).__name__}: {said}") from error
    if weights is None:
        return network
    _load_weights(network.model, weights)
    return replace(network, random=False)


def _from_timm(name: str, _: bool) -> LoadedNetwork:
    timm = importlib.import_module("timm")
    if ":" in name:  # prefixes such as hf-hub:, whose models timm looks up elsewhere
        raise NetworkError(f"model 'timm:{name}': expected a name of timm.list_models()")
    model = timm.create_model(name, pretrained=False).eval()
    config = model.pretrained_cfg
    return LoadedNetwork(model, tuple(config["mean"]), tuple(config["std"]), random=True)


def _from_torchvision(name: str, _: bool) -> LoadedNetwork:
    models = importlib.import_module("torchvision.models")
    builder = models.get_model_builder(name)
    # By default, torchvision would download the weights of the backbone.
    options = {"weights": None, "weights_backbone": None}
    if "weights_backbone" not in inspect.signature(builder).parameters:
        del options["weights_backbone"]
    model = builder(**options).eval()
    if name in models.list_models(module=models.detection):
        return LoadedNetwork(model, (0.0,) * 3, (1.0,) * 3, takes_list=True, random=True)
    return LoadedNetwork(model, random=True)


def _from_smp(name: str, _: bool) -> LoadedNetwork:
    return LoadedNetwork(create_model(f"smp:{name}", num_classes=_CLASSES).eval(), random=True)


def _from_transformers(name: str, trust: bool) -> LoadedNetwork:
    if Path(name).is_dir():
        check_model_folder(Path(name))
    transformers = importlib.import_module("transformers")
    local = {"local_files_only": True, "trust_remote_code": trust}  # None would prompt
    try:
        with offline():
            config = transformers.AutoConfig.from_pretrained(name, **local)
    except OSError as error:
        raise NetworkError(f"model 'hf:{name}': no such folder, nor in the local cache") from error
    builder = transformers.AutoModel
    for task in ("SemanticSegmentation", "UniversalSegmentation"):
        candidate = getattr(transformers, f"AutoModelFor{task}")
        if type(config) in candidate._model_mapping:
            builder = candidate
            break
    with limited(), offline():
        model = read_pretrained(builder, name, trust=trust)
        random = model is None
        if random:
            model = builder.from_config(config, trust_remote_code=trust)
    names = getattr(config, "id2label", None) or {}
    known = sorted(names) == [*range(len(names))] and len(names) > 1
    # A configuration without class names has LABEL_0, LABEL_1, ...
    known = known and any(name != f"LABEL_{index}" for index, name in names.items())
    classes = tuple(str(names[index]) for index in range(len(names))) if known else None
    return LoadedNetwork(model.eval(), *stored_normalisation(name), classes=classes, random=random)


def _from_dealias(path: str, trust: bool) -> LoadedNetwork:
    is_folder = Path(path).is_dir()
    return _own(load(path, trust=trust) if is_folder else convert(path, trust=trust).model)


def _own(model: SegmentationModel) -> LoadedNetwork:
    """A network of dealias.models, with the normalisation and class names that it stores."""
    classes = None if model.classes is None else tuple(model.classes["names"])
    return LoadedNetwork(model, model.mean, model.std, classes=classes)


def _from_export(path: str) -> LoadedNetwork:
    if not Path(path).is_file():
        raise NetworkError(f"{printable(Path(path))}: no such file")
    log = logging.getLogger("torch.export")
    level = log.level
    log.setLevel(logging.ERROR)  # it would report how each of its readers failed
    try:
        exported = torch.export.load(path)
    except Exception as error:  # other files may raise anything
        raise NetworkError(
            f"{printable(Path(path))}: expected a file of torch.export.save, got one that can't be "
            f"read ({type(error).__name__})"
        ) from error
    finally:
        log.setLevel(level)
    # The unflattened graph has modules again, so sites can be found.
    model = torch.export.unflatten(exported)
    # The metadata of the graph's values can't be copied with the network.
    for module in modules(model):
        for node in getattr(module, "graph", torch.fx.Graph()).nodes:
            node.meta.clear()
    return LoadedNetwork(model)


def _from_factory(module: str, name: str) -> LoadedNetwork:
    try:
        factory = find_code(f"{module}.{name}")
    except CodeError as error:
        raise NetworkError(f"model: {error}") from error
    model = factory()
    if not isinstance(model, nn.Module):
        raise NetworkError(
            f"model: expected a module from {module}:{name}, got {type(model).__name__}"
        )
    for part in modules(model):
        part.training = False
    return _own(model) if isinstance(model, SegmentationModel) else LoadedNetwork(model)


def _load_weights(model: nn.Module, path: Path) -> None:
    own = nn.Module.state_dict(model)
    try:
        state = read_weights(path, own)
        check_kinds(own, state, source=printable(path))
        nn.Module.load_state_dict(model, state)
    except WeightsError as error:
        raise NetworkError(str(error)) from error
    except RuntimeError as error:  # names or shapes do not fit
        raise NetworkError(f"{printable(path)}: {on_a_line(error)}") from error


_BUILDERS: dict[str, Callable[[str, bool], LoadedNetwork]] = {
    "timm": _from_timm,
    "torchvision": _from_torchvision,
    "smp": _from_smp,
    "hf": _from_transformers,
    "dealias": _from_dealias,
}
