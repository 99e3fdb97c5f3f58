"""What a probe makes of a measured face, and of each block that it reads, in words and tables."""

from __future__ import annotations

from canemo.report.tables import (
    P_VALUE,
    SIGNED,
    TWO_DECIMALS,
    WHOLE_PERCENT,
    Column,
    Estimate,
    Table,
    describe_records,
)
from canemo.report.words import wording
from canemo.report.words.parts import name_pooling
from canemo.study.records.explanation import (
    ExplainedModel,
    GeometryResult,
    MeasureGap,
    PointGap,
    RegionGap,
)

_SHARED = (
    "Distances, angles and points that move together share the evidence among them: a small part "
    "does not say that a measure does not matter, and what differs is not always what is read."
)


def list_measured_tables(model: ExplainedModel, number: int, *, name: str) -> dict[str, Table]:
    """Return the tables of blocks and of the geometry of a model, by name and its number."""
    tables, of_one = {}, len(model.blocks) <= 2  # the last is the whole
    if not of_one and model.is_labelled:
        tables[f"blocks_{number}"] = _describe_blocks(model, name=name)
    if model.geometry is not None:
        tables[f"measures_{number}"] = _describe_measures(model, model.geometry, name=name)
        if model.is_labelled:
            tables[f"parts_{number}"] = _describe_parts(model, model.geometry, name=name)
            tables[f"points_{number}"] = _describe_points(model, model.geometry, name=name)
    return tables


def _tell_p(row: RegionGap) -> float | None:
    return row.p if row.region == "all" else row.p_holm


def _list_gap_columns(family: str) -> tuple[Column, ...]:
    """Return the columns of a difference, whose p values are corrected for a family."""
    return (
        Column("gap", "Difference [logits]", "mean over dogs", TWO_DECIMALS, is_main=True),
        Column("interval", "95 % interval", "95 % interval over dogs", TWO_DECIMALS,
               kind="interval", at=lambda row: (row.gap_low, row.gap_high)),
        Column("percent", "Of the whole", "share of the difference", WHOLE_PERCENT,
               at=lambda row: row.percent and row.percent / 100),
        Column("p", "p (corrected)", f"corrected for the number of {family}", P_VALUE, at=_tell_p),
    )  # fmt: skip


def _describe_blocks(model: ExplainedModel, *, name: str) -> Table:
    first = Column("region", "Read", "what the probe reads", at=lambda row: _name_block(row.region))
    caption = f"How much of the difference in evidence{name} each part that the probe reads has."
    return describe_records(
        caption, (first, *_list_gap_columns("parts")), model.blocks, style="result"
    )


def _name_block(name: str) -> str:
    if name == "all":
        return name
    return f"{'pixels of the ' if name.startswith('region:') else ''}{name_pooling(name)}"


def _describe_parts(model: ExplainedModel, geometry: GeometryResult, *, name: str) -> Table:
    first = Column("region", "Region", "part of the face that a measure or point belongs to")
    caption = (
        f"Difference in the evidence of the measured face{name} between "
        f"{wording.quote(model.label)} and {wording.quote(model.other)} within a dog, by part of "
        "the face: all measures, places and confidences of its points."
    )
    return describe_records(
        caption, (first, *_list_gap_columns("parts")), geometry.regions, style="result"
    )


def _describe_measures(model: ExplainedModel, geometry: GeometryResult, *, name: str) -> Table:
    of = (
        "mean over dogs with both conditions"
        if model.is_labelled
        else "mean over those answered so"
    )
    columns = [
        Column("name", "Measure", "named distance or angle, or all else that is read of points",
               at=lambda row: name_measure(row.name)),
        Column("other", model.other, of, TWO_DECIMALS,
               at=lambda row: row.means.get(model.other)),
        Column("label", model.label, of, TWO_DECIMALS,
               at=lambda row: row.means.get(model.label)),
    ]  # fmt: skip
    if model.is_labelled:
        columns += [
            Column("differs", "Itself differs", "the measure itself, mean difference within a dog "
                   "in its own unit", TWO_DECIMALS, kind="estimate", at=_estimate_value),
            Column("p_value", "p of that", "corrected for the number of measures", P_VALUE,
                   at=lambda row: None if row.value is None else row.value.p_holm),
            Column("gap", "Evidence [logits]", "its part of the difference in evidence, mean over "
                   "dogs", TWO_DECIMALS, kind="estimate", is_main=True, at=_estimate_evidence),
            Column("percent", "Of the whole", "share of the difference of the measured face",
                   WHOLE_PERCENT, at=_take_share),
            Column("p", "p (corrected)", "of the evidence, corrected for the number of lines",
                   P_VALUE, at=lambda row: _tell_p(row.evidence)),
        ]  # fmt: skip
    columns.append(
        Column("follows", "Goes with", "correlation of the measure with the evidence of the whole "
               "measured face, within dogs", SIGNED)
    )  # fmt: skip
    caption = (
        f"Distances and angles of the face{name}: what they are, and what the probe reads off them."
    )
    return describe_records(
        caption,
        columns,
        [*_sort(geometry.measures[:-1]), geometry.measures[-1]],
        look_for=_SHARED,
        style="result",
    )


def _sort(measures: tuple[MeasureGap, ...]) -> list[MeasureGap]:
    """Return the measures with most evidence first."""
    return sorted(measures, key=lambda row: -abs(row.evidence.gap or 0))


def _estimate_value(row: MeasureGap) -> Estimate | None:
    return None if row.value is None else Estimate(row.value.gap, row.value.interval)


def _estimate_evidence(row: MeasureGap) -> Estimate:
    return Estimate(row.evidence.gap, row.evidence.interval)


def _take_share(row: MeasureGap) -> float | None:
    return None if row.evidence.percent is None else row.evidence.percent / 100


def _describe_points(model: ExplainedModel, geometry: GeometryResult, *, name: str) -> Table:
    points = sorted(geometry.points, key=lambda row: -abs(row.evidence.gap or 0))
    columns = (
        Column("name", "Point", "of the face", at=lambda row: name_measure(row.name)),
        Column("region", "Region", "part of the face"),
        Column("right", "To the right", "logits more where the point is one face unit further "
               "to the right of the picture", SIGNED, at=lambda row: row.slope[0]),
        Column("down", "Down", "logits more where it is one face unit lower", SIGNED,
               at=lambda row: row.slope[1]),
        Column("gap", "Evidence [logits]", "part of the difference that its place and confidence "
               "have, mean over dogs", TWO_DECIMALS, kind="estimate", is_main=True,
               at=_estimate_point),
        Column("p", "p (corrected)", "corrected for the number of points", P_VALUE,
               at=lambda row: row.evidence.p_holm),
    )  # fmt: skip
    caption = f"Points of the face{name}, of which named measures are made too."
    return describe_records(caption, columns, points, style="result")


def _estimate_point(row: PointGap) -> Estimate:
    return Estimate(row.evidence.gap, row.evidence.interval)


def name_measure(name: str) -> str:
    """Return the name of a measure or a point in words."""
    return name.replace("_", " ")


def tell_blocks(model: ExplainedModel) -> str:
    """Return how much of the difference each part that is read has; empty where there is one."""
    rows = [row for row in model.blocks[:-1] if row.percent is not None]
    if len(rows) < 2:
        return ""
    parts = [f"{row.percent:.0f} % come from the {_name_block(row.region)}" for row in rows]
    return f"Of the difference in evidence, {wording.join_words(parts)}."


def tell_measures(model: ExplainedModel) -> str:
    """Return which part of the face and which measure the evidence of the geometry rests on."""
    geometry = model.geometry
    if geometry is None or not model.is_labelled:
        return ""
    whole = geometry.regions[-1]
    if not whole.is_clear:
        return "The evidence of the measured face does not differ clearly between the labels."
    largest = max(geometry.regions[:-1], key=lambda row: abs(row.gap or 0))
    text = (
        f"Of what the measured face tells between {wording.quote(model.label)} and "
        f"{wording.quote(model.other)} ({whole.gap:.2f} logits), {largest.percent:.0f} % come from "
        f"the {largest.region}"
    )
    text += "" if _is_sure(largest) else ", which cannot be told from chance"
    named = [row for row in geometry.measures[:-1] if row.value is not None]
    if not named:
        return f"{text}."
    most = max(named, key=lambda row: abs(row.follows or 0))
    return (
        f"{text}. The answers go most with {name_measure(most.name)} (correlation "
        f"{most.follows or 0:.2f} within dogs), which is {most.means[model.label]:.2f} in "
        f"{wording.quote(model.label)} and {most.means[model.other]:.2f} in "
        f"{wording.quote(model.other)} [{_take_unit(most)}]."
    )


def _take_unit(row: MeasureGap) -> str:
    return row.meaning.rpartition("[")[2].removesuffix("]")


def _is_sure(row: RegionGap) -> bool:
    return row.p_holm is not None and row.p_holm <= wording.P_LEVEL
