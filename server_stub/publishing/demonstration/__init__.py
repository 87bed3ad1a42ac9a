"""The detector that comes with the program: trained on rows of the project's own generator, so it
protects nobody. `python -m server_stub.cli.bundled_detector` makes it again.
"""
