"""Measurements, as ratios of times taken in turns in one run."""
