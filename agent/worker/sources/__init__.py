"""Sources of training samples: each says which programs it knows to be benign or malicious.

One file a source. They parse what strangers wrote (logs, package lists, signatures), so they run in
the worker, and whatever they cannot read says nothing.
"""
