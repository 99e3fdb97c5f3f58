"""What was found of one model as tables: by subject, by crop, by column of the measured face."""

from __future__ import annotations

import numpy as np
import pandas as pd

from canemo.explain.gaps import split_gap, split_values
from canemo.explain.maps.methods import METHODS
from canemo.explain.parts import measure_parts
from canemo.explain.results import Found, measure_all_cells
from canemo.explain.shares import measure_shares
from canemo.features.poolings import GEOMETRY


def tabulate_subjects(found: Found) -> pd.DataFrame:
    """Return one row per method, subject and region, of methods whose maps have parts that add up.

    ``gap`` is the region's part of the difference between the labels, empty for subjects without
    crops of both; ``share_LABEL`` its share of the evidence for the label in crops of that label,
    and ``area_LABEL`` the region's share of their area.
    """
    (other, label), regions = found.labels, found.species.regions
    tables = []
    for name, maps in found.maps.items():
        if not METHODS[name].signed:
            continue
        cells = measure_all_cells(found.masks, maps)
        shares = measure_shares(maps, cells, found.rows, labels=found.labels, regions=regions)
        gap = split_gap(maps, cells, found.rows, first=other, second=label, regions=regions)
        keys, table = ["subject_id", "region"], gap.by_subject
        for which, rows in shares.by_subject.groupby("label", sort=True):
            own = rows[[*keys, "share", "area"]]
            named = own.rename(columns={"share": f"share_{which}", "area": f"area_{which}"})
            table = table.merge(named, on=keys, how="outer")
        tables.append(table.assign(model=found.name, method=name))
    if found.measured is not None:
        parts = found.measured.parts
        values = np.stack(list(parts.values()), axis=1)
        gap = split_values(values, found.rows, first=other, second=label, names=list(parts))
        tables.append(gap.by_subject.assign(model=found.name, method=GEOMETRY))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def tabulate_crops(found: Found) -> pd.DataFrame:
    """Return one row per crop and method, with what the map has in each region and its area."""
    tables, regions = [], found.species.regions
    if not found.maps:
        return found.rows.assign(model=found.name, method=GEOMETRY)
    for name, maps in found.maps.items():
        cells = measure_all_cells(found.masks, maps)
        parts, areas = measure_parts(maps, cells), cells.mean(axis=(2, 3))
        columns = {f"part_{region}": parts[:, i] for i, region in enumerate(regions)}
        columns |= {f"area_{region}": areas[:, i] for i, region in enumerate(regions)}
        tables.append(found.rows.assign(model=found.name, method=name, **columns))
    return pd.concat(tables, ignore_index=True)


def tabulate_columns(found: Found) -> pd.DataFrame:
    """Return one row per crop: each column of the geometry, and what it adds to the logit."""
    if found.measured is None:
        return pd.DataFrame()
    names = [column.name for column in found.measured.columns]
    keys = ["video_id", "subject_id", "label", "frame_index", "logit", "intercept"]
    values = pd.DataFrame(found.measured.values, columns=names)
    evidence = pd.DataFrame(found.measured.evidence, columns=[f"evidence_{n}" for n in names])
    return found.rows[keys].assign(model=found.name).join(values).join(evidence)
