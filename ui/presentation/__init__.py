"""How values are shown: labels, sentences and flags, in plain Python.

Nothing here imports Qt or talks to the agent, so every text is tested without a window.
"""
