"""Who is excluded from rounds, and for how long: evidence → verdict → exclusion.

Pure. Whoever finds evidence (`server_stub.secagg` today) brings a judge for it. Nobody is excluded
without a verdict, and anybody can judge the stored evidence again.
"""
