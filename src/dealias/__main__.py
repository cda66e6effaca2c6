"""Run the command ``dealias`` as ``python -m dealias``."""

import sys

from dealias.cli import main

sys.exit(main())
