"""The dial: what becomes of an agent's calls, and why. Its commands are those of `starter.py dial`."""
