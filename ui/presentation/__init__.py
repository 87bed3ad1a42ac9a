"""How values are shown: labels, sentences and flags in plain Python, without Qt."""
