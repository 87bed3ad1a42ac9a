"""`python -m agent` is the `aegis` command."""

import sys

from agent.cli.main import main

sys.exit(main())
