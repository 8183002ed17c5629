"""Tumours, airless lung and fluid painted into a simulated or real chest, with the truth in
every voxel.
"""
