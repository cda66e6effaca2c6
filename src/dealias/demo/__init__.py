"""Aliasing doing harm: one small network with and without a low-pass where it downsamples."""

from dealias.demo._run import run
from dealias.demo._segmenter import TinySegmenter, fit

__all__ = ["TinySegmenter", "fit", "run"]
