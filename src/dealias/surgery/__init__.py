"""Find the downsampling steps of any network, and insert filters at them."""

from dealias.surgery.apply import dealias, restore
from dealias.surgery.checking import check_inserted
from dealias.surgery.downsampling import find_downsampling
from dealias.surgery.insertion import Inserted, Report, keep_inserted, report_of
from dealias.surgery.mixing import find_mixing
from dealias.surgery.plan import Excluded, MixingSite, Place, Plan, Rate, Site, rate_text
from dealias.surgery.walk import modules, submodule
from dealias.surgery.work import FILTER_OPTIONS, unused_options

__all__ = [
    "FILTER_OPTIONS",
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
    "keep_inserted",
    "modules",
    "rate_text",
    "report_of",
    "restore",
    "submodule",
    "unused_options",
]
