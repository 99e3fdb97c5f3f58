"""What an explanation says in words and tables, for its page, the report and the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from canemo.report.tables import (
    P_VALUE,
    TWO_DECIMALS,
    WHOLE_PERCENT,
    Column,
    Estimate,
    Line,
    Noted,
    Table,
    describe_records,
    describe_texts,
    format_text,
    show_value,
)
from canemo.report.words import wording
from canemo.report.words.measured import list_measured_tables, tell_blocks, tell_measures
from canemo.report.words.model import state_verdict
from canemo.report.words.voice import Voice, name_voice
from canemo.study.records.explanation import (
    ExplainedModel,
    ExplanationRecord,
    MapCheck,
    MapResult,
    RegionGap,
)

_EVIDENCE = "0 is undecided, each 1 multiplies the odds by 2.7"

_CHECKS = {
    "deletion": ("Covering", "logits of evidence lost sooner than by the same map moved elsewhere"),
    "insertion": ("Showing", "logits of evidence gained sooner than by the same map elsewhere"),
    "like_random_probe": ("Untrained probe", "likeness to the map of a probe that learned nothing"),
    "like_shuffled": (
        "Shuffled labels",
        "likeness to that of one learned from shuffled labels",
    ),
    "like_random_backbone": ("Untrained network", "likeness to that of an untrained network"),
    "pointing": ("Pointing", "how much more often than its area the true part is hit"),
}


def format_explanation(record: ExplanationRecord) -> str:
    """Return what was found as plain text for a terminal."""
    tables = list_explanation_tables(record)
    lines = []
    for number, model in enumerate(record.models):
        lines += [
            *filter(None, [write_verdict(model)]),
            f"{model.name}: {write_sentence(model)}",
            f"regions: {model.regions}",
        ]
        lines += [f"note: {wording.write_sentence(note)}" for note in model.notes]
        lines += [f"map {each.title}: {state_worth(each)}" for each in model.methods]
        lines += [
            format_text(
                tables[name].pick("region", "gap", "interval", "percent", "p"), is_explained=True
            )
            for name in (f"blocks_{number}", f"gap_{number}", f"losses_{number}", f"parts_{number}")
            if name in tables
        ]
        if f"measures_{number}" in tables:
            lines.append(
                format_text(
                    tables[f"measures_{number}"].pick(
                        "name", "other", "label", "gap", "p", "follows"
                    ),
                    is_explained=True,
                )
            )
    return find_explanation_voice(record.models).say("\n".join(lines))


def find_explanation_voice(models: Sequence[ExplainedModel]) -> Voice:
    """Return the voice in which models of one study are spoken of."""
    names = [name for each in models for name in (each.name, each.label, each.other)]
    return name_voice(models[0].species, names)


def write_verdict(model: ExplainedModel) -> str:
    """Return that a model could not be told from chance, and what follows; else empty."""
    if model.evaluation.is_told:
        return ""
    return (
        f"{state_verdict(model.evaluation)}. The maps show what its answers rest on; that says "
        "nothing about the condition."
    )


def state_worth(method: MapResult) -> str:
    """Return what the tests of a map say, and which were not made."""
    verdict = method.verdict.replace("FAILS:", "fails its tests:")
    unmade = [check.reason for check in method.checks if check.passed is None]
    return f"{verdict}. Not made: {'; '.join(unmade)}." if unmade else f"{verdict}."


def describe_explanation(record: ExplanationRecord) -> Table:
    """Return what was found and what it is worth, for whoever gets the workbook only."""
    texts: dict[str, str] = {}
    for model in record.models:
        of = f"{model.name}: " if len(record.models) > 1 else ""
        texts |= {f"{of}Verdict": write_verdict(model), f"{of}Found": write_sentence(model)}
        texts |= {f"{of}Map {each.title}": state_worth(each) for each in model.methods}
        texts |= {f"{of}Regions": model.regions, f"{of}Notes": "\n".join(model.notes)}
    texts["More"] = "The sheet columns says what the columns of the other sheets mean."
    return describe_texts("What was found.", {name: text for name, text in texts.items() if text})


def list_explanation_tables(record: ExplanationRecord) -> dict[str, Table]:
    """Return the tables of each model, by name and the model's number."""
    tables: dict[str, Table] = {}
    of_several = len(record.models) > 1
    for number, model in enumerate(record.models):
        name = f" of {model.name}" if of_several else ""
        tables |= list_measured_tables(model, number, name=name)
        lead = model.lead
        if lead is None:
            continue
        checks = [key for key in _CHECKS if key != "pointing" or record.truth]
        tables[f"card_{number}"] = _describe_card(model, checks, name=name)
        if model.is_labelled:
            if lead.gap:
                tables[f"gap_{number}"] = _describe_gap(model, lead, name=name)
            tables[f"losses_{number}"] = _describe_losses(model, name=name)
        if lead.shares:
            tables[f"shares_{number}"] = _describe_shares(model, lead, name=name)
    return tables


def _describe_card(model: ExplainedModel, checks: Sequence[str], *, name: str) -> Table:
    unit = "dog" if model.is_labelled else "file"
    columns = [Column("map", "Map", "the map that was tested", kind="noted", ends="Explains")]
    columns += [
        Column(key, *_CHECKS[key], TWO_DECIMALS, kind="tested", is_main=True) for key in checks
    ]
    rows = [
        Line({"map": Noted(method.title, f"explains the {method.explains}")}
            | {each.name: _read_check(each) for each in method.checks
               if each.name in checks})
        for method in model.methods
    ]  # fmt: skip
    caption = f"Report card{name}: mean over {unit}s and 95 % interval."
    return Table(caption, tuple(columns), tuple(rows), style="result")


def _read_check(check: MapCheck) -> Estimate:
    mark = {True: "pass", False: "FAIL", None: ""}[check.passed]
    return Estimate(check.value, check.interval, mark if check.value is not None else "")


_REGION = Column("region", "Region", "part of the face, or all")
_AREA = Column("area", "Area", "share of the crop", WHOLE_PERCENT)
_P = Column("p", "p (corrected)", "corrected for the number of regions", P_VALUE,
            at=lambda row: row.p_holm if row.region != "all" else row.p)  # fmt: skip
_INTERVAL = Column("interval", "95 % interval", "95 % interval over dogs", TWO_DECIMALS,
                   kind="interval", at=lambda row: (row.gap_low, row.gap_high))  # fmt: skip
_PERCENT = Column("percent", "Of the whole", "share of the difference", WHOLE_PERCENT,
                  at=lambda row: row.percent and row.percent / 100)  # fmt: skip


def _describe_gap(model: ExplainedModel, lead: MapResult, *, name: str) -> Table:
    labels = (model.label, model.other)
    gap = "Difference [logits]" if lead.exact else "Held by the map"
    moved = "of it, what comes of a region that is larger or lies elsewhere"
    columns = (
        _REGION,
        _AREA,
        Column("gap", gap, "mean over dogs", TWO_DECIMALS, is_main=True),
        _INTERVAL,
        Column("moved", "Moved", moved, TWO_DECIMALS),
        _PERCENT,
        _P,
    )
    caption = (
        f"Difference in evidence{name} between {' and '.join(map(wording.quote, labels))} within a "
        f"dog, by region ({lead.title}: {lead.values})."
    )
    if not lead.exact:
        difference = _state_difference(model)
        caption += f" It differs by {difference} logits; percentages are of what this map holds."
    look_for = (
        "What a model reads in every picture cancels, but where a region is larger or lies "
        "elsewhere in one condition: that part is given as moved. p is the larger of those with "
        "and without it."
    )
    return describe_records(caption, columns, lead.gap or (), look_for=look_for, style="result")


def _describe_losses(model: ExplainedModel, *, name: str) -> Table:
    lost = Column("gap", "Lost [logits]", "mean over dogs", TWO_DECIMALS, is_main=True)
    caption = (
        f"How much of the difference in evidence{name}, {_state_difference(model)} logits, is lost "
        "when a region is covered (blurred beyond recognition)."
    )
    look_for = "Losses need not add up: regions can stand in for each other."
    columns, rows = (_REGION, lost, _INTERVAL, _PERCENT, _P), model.occlusion
    return describe_records(caption, columns, rows, look_for=look_for, style="result")


def _state_difference(model: ExplainedModel) -> str:
    row = model.difference
    return str(show_value(Estimate(row.gap, row.interval), TWO_DECIMALS))


def _describe_shares(model: ExplainedModel, lead: MapResult, *, name: str) -> Table:
    kind = "condition" if model.is_labelled else "answer"
    columns = (
        Column("label", kind.capitalize()),
        _REGION,
        Column("share", "Share", "share of the evidence", WHOLE_PERCENT, is_main=True),
        Column("interval", "95 % interval", "95 % interval of the share", WHOLE_PERCENT,
               kind="interval", at=lambda row: (row.share_low, row.share_high)),
        _AREA,
        Column("ratio", "Share / area", "1: as dense as on average", TWO_DECIMALS),
    )  # fmt: skip
    caption = f"Of the evidence for a crop’s own {kind}{name}, the share in each region."
    look_for = (
        "1 means as dense as on average. A share says where support is found, which may be the "
        "same in every picture."
    )
    rows = lead.shares or ()
    return describe_records(caption, columns, rows, look_for=look_for, style="result")


def write_sentence(model: ExplainedModel) -> str:
    """Return where the difference between the labels lies, claiming no more than was found."""
    measured = " ".join(filter(None, [tell_blocks(model), tell_measures(model)]))
    told = "" if model.lead is None else _tell_map(model, model.lead)
    if not model.is_labelled and model.lead is None:
        return (
            "These pictures have no known condition: the table shows what the measures are where "
            "the model answers one or the other, and no difference between conditions."
        )
    return " ".join(filter(None, [measured, told]))


def _tell_map(model: ExplainedModel, lead: MapResult) -> str:
    """Return what the leading map says."""
    if lead.passed is False:
        return (
            f"The leading map ({lead.title}) failed a test it was put to: "
            f"{lead.verdict.removeprefix('FAILS: ')}. Do not read the pictures as an "
            "explanation of the decision."
        )
    if not model.is_labelled:
        return (
            "These pictures have no known condition: the maps show what the answers rest on, "
            "picture by picture, and no difference between conditions can be told from them."
        )
    if lead.gap is None:
        return f"The leading map ({lead.title}) has no parts that add up to numbers by region."
    if model.difference.gap_low is None:
        return f"How the labels differ is not known: {model.difference.reason}."
    untested = f" This map is {lead.verdict}." if lead.passed is None else ""
    told = _tell_parts(model, lead) if lead.exact else _tell_sure_parts(model, lead)
    return f"{told}{untested}"


def _tell_parts(model: ExplainedModel, lead: MapResult) -> str:
    """Return where most of the difference lies, of a map whose parts sum to it."""
    rows = [row for row in lead.gap or () if row.percent is not None]
    if not rows:
        return "The evidence of the two labels does not differ clearly on these crops."
    parts = [row for row in rows if row.region != "all" and row.area]
    largest = max(parts, key=lambda row: row.percent or 0)
    densest = max(parts, key=lambda row: (row.percent or 0) / (row.area or 1))
    whole, is_all = rows[-1].gap, model.geometry is None
    text = (
        f"Of the difference in evidence{'' if is_all else ' that pixels have'} between "
        f"{wording.quote(model.label)} and {wording.quote(model.other)} "
        f"({whole:.2f} logits; {_EVIDENCE}), {_state_part(largest)}"
    )
    if densest is not largest:
        text += f"; relative to its area most is in another part: {_state_part(densest)}"
    return f"{text}."


def _tell_sure_parts(model: ExplainedModel, lead: MapResult) -> str:
    """Return which parts can be told from chance, of a map whose parts sum to no logit."""
    text = (
        f"The evidence ({_EVIDENCE}) of {wording.quote(model.label)} and "
        f"{wording.quote(model.other)} differs by {model.difference.gap:.2f} logits; the "
        f"parts of the leading map ({lead.title}) do not sum to that. "
    )
    sure = [
        f"the {row.region} ({row.gap:+.2f} in {_state_area(row)})"
        for row in sorted(lead.gap or (), key=lambda row: -abs(row.gap or 0))
        if row.region != "all" and _is_sure(row)
    ]
    if not sure:
        return f"{text}By this map no part of the face can be told from chance."
    return f"{text}Told from chance: {', '.join(sure)}."


def _is_sure(row: RegionGap) -> bool:
    return row.p_holm is not None and row.p_holm <= wording.P_LEVEL


def _state_part(row: RegionGap) -> str:
    """Return a region's part of the difference, and whether it can be told from chance."""
    part = f"{row.percent:.0f} % lies in the {row.region}, {_state_area(row)}"
    return part if _is_sure(row) else f"{part} (which cannot be told from chance)"


def _state_area(row: RegionGap) -> str:
    return f"{wording.format_percent(row.area, decimals=0)} of the area"
