"""The methods of the local channel, one module per topic.

Methods import `agent.protocol` and `agent.detector` when they are called, because most commands,
such as `aegis status`, need neither.
"""
