"""Ratios measured in one run; benchmarks/results has them with hardware and versions."""
