"""What the agent says about itself: status, budget, ledger, doctor, export, example.

Reports import `agent.privacy`, `agent.protocol` and `agent.sandbox` when they are called, because
those load numpy or cryptography, or run only for one command.
"""
