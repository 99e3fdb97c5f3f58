"""An animal of which nothing is known."""

from __future__ import annotations

from canemo.species.species import Species

GENERIC = Species(
    name="generic",
    noun="animal",
    plural="animals",
    article="an",
    # Nothing is known of the face but its box: a rim around it, and thirds of what is within.
    regions=("upper", "middle", "lower", "background"),
    region_boxes=(
        ("upper", 0.125, 0.125, 0.875, 0.375),
        ("middle", 0.125, 0.375, 0.875, 0.625),
        ("lower", 0.125, 0.625, 0.875, 0.875),
    ),
    bands={"upper": (0.0, 1 / 3), "middle": (1 / 3, 2 / 3), "lower": (2 / 3, 1.0)},
)
