"""The simulated patients: who they are, how their tumours go, how long they live, how they
are read.
"""
