"""Ratios measured in one run; results go to benchmarks/results, with what they were run on."""
