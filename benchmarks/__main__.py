"""``python -m benchmarks``: run all benchmarks, each in a fresh process."""

import pkgutil
import subprocess
import sys

import benchmarks

for module in pkgutil.iter_modules(benchmarks.__path__):
    if not module.name.startswith("_"):
        subprocess.run([sys.executable, "-m", f"benchmarks.{module.name}"], check=True)
