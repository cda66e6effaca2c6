"""Another name of :mod:`dealias.lowlight`."""

from dealias.lowlight import *  # noqa: F403
from dealias.lowlight import __all__  # noqa: F401
