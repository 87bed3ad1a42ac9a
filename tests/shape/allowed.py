"""Exceptions from the measures of shape, each with its reason. An entry that is no longer needed
fails the tests.
"""

PRIVATE_READS: dict[str, str] = {}
"""`test file: name`, and why the test cannot show the same through a public name."""

TESTED_ELSEWHERE: dict[str, tuple[str, str]] = {}
"""A module with logic, the test file that covers it, and why it is not in a file of the module's
name.
"""
