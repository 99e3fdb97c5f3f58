"""Faces as rows of a table: measures, meters and points, each beside what it rests on."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.faces.geometry import measure_points
from canemo.faces.meters import load_meters
from canemo.species import Species

CONFIDENCE, REASON, POINT = "_confidence", "_reason", "point_"


def tabulate_measured(
    xyc: NDArray[np.floating], species: Species, *, landmarks: str | None
) -> pd.DataFrame:
    """Return a row for each of N faces.

    Parameters
    ----------
    xyc
        (N, K, 3) the species' points: x and y [pixels] and confidence.
    species
        Whose faces they are.
    landmarks
        SHA-256 of the weights of the model that found the points.

    Returns
    -------
    DataFrame
        Each measure and ``MEASURE_confidence``; each meter, NaN where ``METER_reason`` says why;
        ``point_NAME_x``, ``_y`` and ``_confidence`` of each point.
    """
    found = measure_points(xyc, species.points, species)
    columns: dict[str, object] = {}
    for place, measure in enumerate(found.measures):
        columns[measure.name] = found.values[:, place]
        columns[measure.name + CONFIDENCE] = found.trust[:, place]
    for meter in load_meters(species):
        reading = meter.read(xyc, species, landmarks=landmarks)
        columns[meter.name] = reading.probability
        columns[meter.name + REASON] = np.array(reading.reason, dtype=object)
    for place, name in enumerate(species.points):
        for axis, end in enumerate(("_x", "_y", CONFIDENCE)):
            columns[POINT + name + end] = np.asarray(xyc[:, place, axis], dtype=float)
    return pd.DataFrame(columns)
