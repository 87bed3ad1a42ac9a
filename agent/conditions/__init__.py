"""The machine's state and what follows from it: may this agent train now, may it send.

Modules that load psutil, D-Bus or X11 are imported when the first reading is taken. A command that
takes none starts without them.
"""
