"""The earlier place of :mod:`dealias.lowlight`."""

from dealias import lowlight
from dealias.renamed import renamed

__all__ = lowlight.__all__

__getattr__ = renamed(__name__, {name: f"dealias.lowlight.{name}" for name in lowlight.__all__})
