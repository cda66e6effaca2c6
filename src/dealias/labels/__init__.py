"""Class sets, label maps in files, and the pairing of folders."""

from dealias.labels.class_set import (
    MOST_CLASSES,
    ClassSet,
    ClassSetError,
    Role,
    builtin_class_sets,
    load_class_set,
    spread_colors,
)
from dealias.labels.folders import (
    IMAGE_SUFFIXES,
    PairingError,
    files_in,
    find_images,
    find_label_maps,
)
from dealias.labels.pairing import (
    Pair,
    Pairing,
    Sample,
    Samples,
    list_images,
    pair_folders,
    pair_images,
)
from dealias.labels.reading import LABEL_SUFFIXES, LabelFileError, read_label_map
from dealias.labels.remote import file_of, is_copied, is_url, local_folder, name_table
from dealias.labels.resizing import resize_nearest
from dealias.labels.rules import PairingRule
from dealias.labels.run_lengths import RunLengthError, read_run_lengths
from dealias.labels.writing import write_label_map
from dealias.renamed import renamed

__all__ = [
    "IMAGE_SUFFIXES",
    "LABEL_SUFFIXES",
    "MOST_CLASSES",
    "ClassSet",
    "ClassSetError",
    "LabelFileError",
    "Pair",
    "Pairing",
    "PairingError",
    "PairingRule",
    "Role",
    "RunLengthError",
    "Sample",
    "Samples",
    "builtin_class_sets",
    "file_of",
    "files_in",
    "find_images",
    "find_label_maps",
    "is_copied",
    "is_url",
    "list_images",
    "load_class_set",
    "local_folder",
    "name_table",
    "pair_folders",
    "pair_images",
    "read_label_map",
    "read_run_lengths",
    "resize_nearest",
    "spread_colors",
    "write_label_map",
]

__getattr__ = renamed(__name__, {"Sampling": "dealias.labels.Samples"})
