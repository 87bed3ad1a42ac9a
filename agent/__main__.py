"""`python -m agent` is the `aegis` command."""

import sys

from agent.cli import main

sys.exit(main())
