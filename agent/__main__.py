"""`python -m agent` is the `aegis` command."""

import sys

from agent.cli.start import main

sys.exit(main())
