"""The two processes with windows: their start, their single instance and their end."""
