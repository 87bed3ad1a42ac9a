"""The agent: everything that runs on a person's device.

It imports neither `ui` nor `server_stub`.
"""

__version__ = "0.1.0"
