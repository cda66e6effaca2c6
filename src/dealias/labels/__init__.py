"""Classes and palettes of data sets, reading label maps, pairing folders."""

from dealias.labels._class_set import (
    ClassSet,
    ClassSetError,
    Role,
    builtin_class_sets,
    load_class_set,
)
from dealias.labels._pairing import Pair, Pairing, PairingError, find_images, pair_folders
from dealias.labels._reading import (
    LABEL_SUFFIXES,
    LabelFileError,
    read_label_map,
)
from dealias.labels._writing import write_label_map

__all__ = [
    "LABEL_SUFFIXES",
    "ClassSet",
    "ClassSetError",
    "LabelFileError",
    "Pair",
    "Pairing",
    "PairingError",
    "Role",
    "builtin_class_sets",
    "find_images",
    "load_class_set",
    "pair_folders",
    "read_label_map",
    "write_label_map",
]
