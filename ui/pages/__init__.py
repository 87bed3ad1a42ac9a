"""The pages of the window.

Each shows what the agent reports and sends what the person asks for; none decides anything.
"""
