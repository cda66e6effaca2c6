"""Find where any network lowers its resolution, and put filters there."""

from dealias.surgery._place import Place
from dealias.surgery.apply import dealias, restore
from dealias.surgery.check import check_inserted
from dealias.surgery.downsampling import find_downsampling
from dealias.surgery.mixing import find_mixing
from dealias.surgery.plan import Excluded, MixingSite, Plan, Site
from dealias.surgery.report import Inserted, Report

__all__ = [
    "Excluded",
    "Inserted",
    "MixingSite",
    "Place",
    "Plan",
    "Report",
    "Site",
    "check_inserted",
    "dealias",
    "find_downsampling",
    "find_mixing",
    "restore",
]
