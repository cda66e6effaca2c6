"""``python -m dealias``: the same as the command ``dealias``."""

import sys

from dealias.cli import main

sys.exit(main())
