"""The in-silico trial: simulated patients, their outcomes and their CT scans.

No outcome-labelled pair of chest CTs is public, so the shipped model learns from patients who
never lived. Everything here says so: nothing it makes may be read as evidence about people.
"""
