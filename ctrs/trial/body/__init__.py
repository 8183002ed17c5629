"""The simulated body: the build of a patient, and every tissue of the thorax on the grid of
a scan.
"""
