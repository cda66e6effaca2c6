"""Outputs of commands: claimed by one process, and replaced only if dealias wrote the old ones."""

from dealias.outputs.claims import check_apart, claim, claim_outputs, folders_above
from dealias.outputs.folders import OutputFolder, fill_folder
from dealias.outputs.manifests import MANIFEST, check_folder
from dealias.outputs.places import part_of

__all__ = [
    "MANIFEST",
    "OutputFolder",
    "check_apart",
    "check_folder",
    "claim",
    "claim_outputs",
    "fill_folder",
    "folders_above",
    "part_of",
]
