"""Networks of other libraries, and user-defined ones: from images to scores."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from dealias.code import CodeError, call_code, find_code, takes
from dealias.models.backbones import NOT_OPTIONS, Backbone, stage_maps
from dealias.models.network import EXAMPLE_SIZE, IMAGENET_MEAN, IMAGENET_STD, ModelError
from dealias.models.segmentation import SegmentationModel, resize
from dealias.models.upernet import Classifier
from dealias.models.weight_files import read_weights
from dealias.models.weights import WeightsError, find_mismatches
from dealias.spectral import is_traced
from dealias.text import on_a_line, printable

# Names of arguments for the number of classes, the likeliest first.
CLASS_ARGUMENTS = ("num_classes", "classes", "n_classes", "num_labels")


_TIMM = "tu-"  # prefix of the name of an encoder of timm


class WrappedNetwork(SegmentationModel):
    """Any module from images to scores, as a :class:`SegmentationModel`.

    The module may return scores `[B, C, H, W]`, or a mapping that has them as "out", like
    torchvision's networks, or as "logits", like those of transformers. Logits may be smaller than
    the image, and are then resized. In training, a mapping may also have the scores of an auxiliary
    head as "aux", of any size.

    Args:
        network: takes float32 `[B, 3, H, W]`, normalised.
        num_classes: number of classes C.
        mean: mean of the images per channel of RGB in [0, 1].
        std: standard deviation of the images.
        backbone: name of the submodule that is the backbone, such as "encoder"; None for the whole
            network.
        size_divisor: height and width of the network's input are multiples of this. Images of other
            sizes are extended at the bottom and on the right by repeating their last pixels, and
            the scores are cropped to the size of the image.

    Raises:
        ModelError: the network has no such submodule.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        num_classes: int,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
        backbone: str | None = None,
        size_divisor: int = 1,
    ) -> None:
        super().__init__(num_classes=num_classes, mean=mean, std=std)
        self.network: Any = network
        self.size_divisor = size_divisor
        self._part = backbone or ""
        try:
            network.get_submodule(self._part)
        except AttributeError as error:
            parts = [name for name, _ in network.named_children()]
            raise ModelError(
                f"backbone: expected the name of a part of the network, such as "
                f"{' or '.join(parts[:4])}, got {backbone!r}"
            ) from error

    @property
    def backbone(self) -> nn.Module:  # type: ignore[override]
        """The part of `network` that may have pretrained weights."""
        module: nn.Module = self.network.get_submodule(self._part)
        return module

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Score the pixels: see :meth:`SegmentationModel.forward`.

        Raises:
            ModelError: the network returns none of the above.
        """
        height, width = images.shape[-2:]
        if self.size_divisor > 1:
            beyond = (0, -width % self.size_divisor, 0, -height % self.size_divisor)
            images = pad(images, beyond, mode="replicate")
        found = self._run(images)
        if isinstance(found, Tensor):
            found = {"out": found}
        if not isinstance(found, Mapping) or not ("out" in found or "logits" in found):
            keys = f" of {', '.join(map(str, found))}" if isinstance(found, Mapping) else ""
            raise ModelError(
                f"network: expected scores [B, C, H, W], or a mapping with 'out' or 'logits', got "
                f"{type(found).__name__}{keys}"
            )
        name = "out" if "out" in found else "logits"
        scores = {"out": found[name]}
        if self.training and found.get("aux") is not None:
            scores["aux"] = found["aux"]
        whole = {}
        for key, maps in scores.items():
            any_size = key == "aux" or name == "logits"
            self._check(maps, images, any_size=any_size)
            sized = resize(maps, images.shape[-2:]) if any_size else maps
            whole[key] = sized[..., :height, :width]
        return whole

    def _run(self, images: Tensor) -> Any:
        if is_traced():
            return self.network(images)
        try:
            return self.network(images)
        except Exception as error:
            if isinstance(error, ValueError) or type(error).__module__ != "builtins":
                raise  # PyTorch's errors about memory and devices, and our hooks
            said = on_a_line(error)
            sizes = isinstance(error, AssertionError) or "size" in said.lower()
            hint = "; size_divisor makes sizes multiples of a number" if sizes else ""
            raise ModelError(
                f"network: for images {_listed(images.shape)}: {type(error).__name__}: {said}{hint}"
            ) from error

    def _check(self, maps: Any, images: Tensor, *, any_size: bool) -> None:
        if is_traced():
            return  # of any size
        batch, _, height, width = images.shape
        expected = (batch, self.num_classes, height, width)
        if not isinstance(maps, Tensor):
            raise ModelError(f"network: expected scores [B, C, H, W], got {type(maps).__name__}")
        shape = tuple(maps.shape)
        if any_size and len(shape) == 4:
            expected = (batch, self.num_classes, *shape[2:])
        if shape != expected or not maps.is_floating_point():
            raise ModelError(
                f"network: expected scores {_listed(expected)} of {self.num_classes} classes for "
                f"images {_listed(images.shape)}, got {maps.dtype} {_listed(shape)}"
            )


class FullyConvolutional(SegmentationModel):
    """A backbone with a convolution of one pixel for each of its four maps.

    The scores are resized and added (FCN, Long et al., "Fully Convolutional Networks for Semantic
    Segmentation", CVPR 2015).

    Args:
        backbone: features at strides 4, 8, 16 and 32.
        num_classes: number of classes.
        dropout: share of channels dropped before each convolution.
    """

    def __init__(self, backbone: Backbone, *, num_classes: int, dropout: float = 0.1) -> None:
        super().__init__(num_classes=num_classes, mean=backbone.mean, std=backbone.std)
        self.backbone = backbone.network
        self._channels_last = backbone.channels_last
        self.classifiers = nn.ModuleList(
            Classifier(channels, num_classes, dropout) for channels in backbone.channels
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Score the pixels: see :meth:`SegmentationModel.forward`."""
        maps = stage_maps(self.backbone(images), self._channels_last)
        scores = [score(m) for score, m in zip(self.classifiers, maps, strict=True)]
        size = scores[0].shape[-2:]
        total = torch.stack([resize(part, size) for part in scores]).sum(0)
        return {"out": resize(total, images.shape[-2:])}


def create_smp(
    name: str, options: Mapping[str, Any], *, num_classes: int
) -> tuple[nn.Module, str, int]:
    """Build a network of segmentation_models_pytorch, with random weights.

    Args:
        name: name of its class, such as "Unet" or "DeepLabV3Plus".
        options: arguments of the class.
        num_classes: number of classes.

    Returns:
        The network, the name of its backbone and its size divisor.

    Raises:
        ModelError: the library is not installed, there is no such network, or it can't be built.
    """
    smp = _library("segmentation_models_pytorch", f"smp:{name}")
    kinds = {kind.__name__: kind for kind in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    if name not in kinds:
        raise ModelError(
            f"name: expected smp: and one of {', '.join(sorted(kinds))}, got {printable(name)!r}"
        )
    for option, why in (
        ("classes", "the data says how many classes there are"),
        ("activation", "scores are taken as they are"),
        ("aux_params", "there is nothing to train a classifier of images with"),
    ):
        if options.get(option) is not None:
            raise ModelError(f"options.{option}: expected none: {why}")
    if options.get("encoder_weights") is not None:
        raise ModelError(
            "options.encoder_weights: expected null: nothing is downloaded; backbone_weights takes "
            "a file"
        )
    encoder = str(options.get("encoder_name", ""))
    if encoder.startswith(_TIMM) and not importlib.import_module("timm").is_model(
        encoder.removeprefix(_TIMM)
    ):  # any other name may be that of a repository, which timm would download
        raise ModelError(f"options.encoder_name: timm has no such network, got {encoder!r}")
    refused = [key for key in NOT_OPTIONS if key in options]
    if refused:
        raise ModelError(f"options: {', '.join(refused)} can't be given")
    known = signature(kinds[name]).parameters
    unknown = [key for key in options if key not in known or key == "kwargs"]
    # Further options are passed to timm's encoders; other encoders would ignore them.
    if unknown and not encoder.startswith(_TIMM):
        listed = ", ".join(map(printable, unknown))
        there = ", ".join(key for key in known if key != "kwargs")
        raise ModelError(f"options: no such argument of {name}: {listed}; there are: {there}")
    given = {**options, "encoder_weights": None, "classes": num_classes}
    network = _built(f"smp:{name}", kinds[name], given)
    needs = getattr(network, "requires_divisible_input_shape", True)
    # Networks that need no divisible size return odd sizes larger by one.
    return network, "encoder", int(network.encoder.output_stride) if needs else 2


def create_torchvision(
    name: str, options: Mapping[str, Any], *, num_classes: int
) -> tuple[nn.Module, str, int]:
    """Build a segmentation network of torchvision, with random weights; see :func:`create_smp`."""
    models = _library("torchvision", f"torchvision:{name}").models
    known = models.list_models(module=models.segmentation)
    if name not in known:
        near = get_close_matches(name, known) or known
        raise ModelError(
            f"name: expected torchvision: and one of {', '.join(near)}, got {printable(name)!r}"
        )
    for option in ("weights", "weights_backbone"):
        if options.get(option) is not None:
            raise ModelError(
                f"options.{option}: expected null: nothing is downloaded; backbone_weights takes a "
                f"file"
            )
    nothing = {"weights": None, "weights_backbone": None}
    given = {**options, **nothing, "num_classes": num_classes}
    return _built(f"torchvision:{name}", models.get_model_builder(name), given), "backbone", 1


def create_from_code(path: str, arguments: Mapping[str, Any], *, num_classes: int) -> nn.Module:
    """Build a network by the path of its class, or of a function that returns one.

    Args:
        path: path of the class, such as "my.module.Net".
        arguments: arguments of the class.
        num_classes: passed to it under the name in `CLASS_ARGUMENTS` that it accepts.

    Raises:
        ModelError: there is no such class, it can't be called, or it does not return a module.
    """
    try:
        code = find_code(path)
        known = next((name for name in CLASS_ARGUMENTS if takes(code, name)), None)
        if known is not None and arguments.get(known, num_classes) != num_classes:
            raise ModelError(
                f"init_args.{known}: expected {num_classes}, as the data has, or nothing, got "
                f"{arguments[known]!r}"
            )
        network = call_code(path, arguments, **({known: num_classes} if known else {}))
    except CodeError as error:
        raise ModelError(f"class_path: {error}") from error
    if not isinstance(network, nn.Module):
        got = type(network).__name__
        raise ModelError(f"class_path: {path}: expected a module, got {got}")
    return network


def load_backbone(network: WrappedNetwork, path: Path | str) -> None:
    """Load all tensors of a backbone from a file of weights.

    Tensors of other parts, such as a classifier, are left out. These are recognised by the first
    part of their name, which does not occur in the backbone.

    Raises:
        WeightsError: the file can't be read, or belongs to another network.
    """
    own = network.backbone.state_dict()
    path = Path(path).expanduser().absolute()
    if not path.is_file():
        raise WeightsError(f"backbone_weights: {printable(path)}: no such file")
    state = read_weights(path, own)
    parts = {key.partition(".")[0] for key in own}
    others = {key for key in state if key.partition(".")[0] not in parts}
    found = find_mismatches(own, state, known={*own, *others})
    if any(found):
        raise WeightsError(
            f"backbone_weights: {printable(path)}: not the weights of this backbone: "
            f"{'; '.join(found.described(own, state))}"
        )
    network.backbone.load_state_dict({k: state.get(k, v) for k, v in own.items()})


def try_out(network: SegmentationModel, named: str) -> None:
    """Score two images, so that a network that fails is refused before it is trained.

    Args:
        network: the network, which is not changed.
        named: the option that named it, for the message.

    Raises:
        ModelError: the network fails, or does not return scores.
    """
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), _evaluation(network):
            network(torch.zeros(2, 3, *EXAMPLE_SIZE))
    except ModelError as error:
        raise ModelError(f"{named}: {error}") from error
    except Exception as error:  # may be of any kind
        said = on_a_line(error)
        raise ModelError(f"{named}: {type(error).__name__}: {said}") from error


@contextmanager
def _evaluation(network: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _library(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.replace("_", "-")
        raise ModelError(f"name {name!r}: {error}; pip install {package}") from error


def _built(name: str, build: Any, options: Mapping[str, Any]) -> Any:
    try:
        return build(**options)
    except Exception as error:  # may be of any kind for options unknown to the library
        said = on_a_line(error)
        raise ModelError(f"name {name!r}: {type(error).__name__}: {said}") from error


def _listed(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"
