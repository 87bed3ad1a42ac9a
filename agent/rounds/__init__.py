"""Takes part in rounds, from a person's consent to an acknowledged update.

`runner` runs one cycle at a time, made of the numbered `cycle_steps`; most other modules are parts
of these two. Imports inside functions keep the protocol and the privacy arithmetic out of an agent
that is idle or has no consent.
"""
