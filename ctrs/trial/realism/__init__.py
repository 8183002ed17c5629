"""Simulated beside real: what is measured on both, and the report that shows it."""
