"""Asks for consent, records the answer, and decides what it covers."""
