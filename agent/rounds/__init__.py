"""Taking part in rounds, from a person's consent to an acknowledged update.

`runner` makes one cycle at a time, out of the numbered `cycle_steps`; most other modules are parts
of these. Imports inside functions keep
the protocol and the privacy arithmetic out of an agent that is idle or has no consent.
"""
