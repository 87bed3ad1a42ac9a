"""Starts the workers, holds each to its limits from outside, and ends them.

Modules that start and govern processes are imported with the first job: they and psutil would cost
every command their start-up time.
"""
