"""The files of the running program: how they are executed, and what to do when they change."""
