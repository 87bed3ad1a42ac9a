"""The device's part in secure aggregation, sans-IO: `client` is the state machine, the other
modules are its checks and its secrets.
"""
