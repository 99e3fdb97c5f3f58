"""What is true of one kind of animal only: its words, its face, the codes of its movements.

`left` and `right` are sides of the picture of an upright animal that looks into the camera, not of
the animal.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from canemo.errors import ConfigError
from canemo.species.dog import DOG
from canemo.species.generic import GENERIC
from canemo.species.measure import DEGREES, FACE_UNITS, Group, Measure
from canemo.species.point_names import mirror_point, side_of_point, spell_point
from canemo.species.species import Species

__all__ = [
    "DEGREES",
    "DOG",
    "FACE_UNITS",
    "GENERIC",
    "SPECIES",
    "Group",
    "Measure",
    "Species",
    "get_species",
    "mirror_point",
    "side_of_point",
    "spell_point",
]

SPECIES: Mapping[str, Species] = MappingProxyType(
    {species.name: species for species in (DOG, GENERIC)}
)
"""Name -> species."""


def get_species(name: str) -> Species:
    """Return the species of that name.

    Raises
    ------
    ConfigError
        There is none; the message names the known ones.
    """
    if name not in SPECIES:
        near = difflib.get_close_matches(name, SPECIES, n=1, cutoff=0.0)[0]
        raise ConfigError(
            f"species {name!r} is unknown, the nearest is {near!r}; there are {', '.join(SPECIES)}"
        )
    return SPECIES[name]
