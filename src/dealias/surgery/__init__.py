"""Find where any network lowers its resolution, and put filters there."""

from dealias.surgery.apply import dealias, restore
from dealias.surgery.check import check_inserted
from dealias.surgery.downsampling import find_downsampling
from dealias.surgery.insertion import FILTER, inserted
from dealias.surgery.mixing import find_mixing
from dealias.surgery.place import Place
from dealias.surgery.plan import Excluded, MixingSite, Plan, Rate, Site, rate_text
from dealias.surgery.report import Inserted, Report
from dealias.surgery.walk import modules, submodule

__all__ = [
    "FILTER",
    "Excluded",
    "Inserted",
    "MixingSite",
    "Place",
    "Plan",
    "Rate",
    "Report",
    "Site",
    "check_inserted",
    "dealias",
    "find_downsampling",
    "find_mixing",
    "inserted",
    "modules",
    "rate_text",
    "restore",
    "submodule",
]
