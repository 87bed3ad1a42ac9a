"""Keeps an agent running: one per home, with cycles when they are due."""
