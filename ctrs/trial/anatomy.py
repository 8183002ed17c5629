"""What the rest of the trial needs to know of a body: its build, its places, how it lay."""

from ctrs.trial.build import (
    AIR,
    BLOOD,
    FAT,
    LIVER,
    MUSCLE,
    SIDES,
    Anatomy,
    BonePlace,
    Grid,
    LiverPlace,
    LungPlace,
    NodePlace,
    Place,
    Posture,
    Side,
    draw_anatomy,
)
from ctrs.trial.location import hilum_mm, place_mm

__all__ = [
    "AIR",
    "BLOOD",
    "FAT",
    "LIVER",
    "MUSCLE",
    "SIDES",
    "Anatomy",
    "BonePlace",
    "Grid",
    "LiverPlace",
    "LungPlace",
    "NodePlace",
    "Place",
    "Posture",
    "Side",
    "draw_anatomy",
    "hilum_mm",
    "place_mm",
]
