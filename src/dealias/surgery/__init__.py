"""Find where any network lowers its resolution, and put filters there."""

from dealias.surgery.downsampling import find_downsampling
from dealias.surgery.plan import Excluded, MixingSite, Plan, Site

__all__ = ["Excluded", "MixingSite", "Plan", "Site", "find_downsampling"]
