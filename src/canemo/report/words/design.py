"""What a study can show by its design alone, and why another cannot, in one sentence each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from canemo.report.tables import COUNT, SECONDS, Column, Table, list_lines
from canemo.report.words.verdict import NOTHING, describe_power
from canemo.report.words.wording import count, format_percent, join_words, quote
from canemo.study.circumstances import Confound
from canemo.study.design import Design

_COLUMNS = (
    Column("label", "Condition"),
    Column("subjects", "Dogs", "dogs with a clip of it", COUNT),
    Column("clips", "Clips", "rows of videos.csv", COUNT),
    Column("seconds", "Length", "of all clips together", SECONDS),
)


_MOST_NAMES = 3
DESIGN_LATER = "What these dogs and clips can show is said here once the errors are mended."


def write_design_sentence(
    design: Design, detectable: Mapping[str, Any], *, doubtful: Sequence[str] = ()
) -> str:
    """Return what the dogs and clips of a design can show.

    Parameters
    ----------
    design
        Whose clips there are.
    detectable
        As `trust.power.foretell_power` returns it; its reason says why nothing would be found.
    doubtful
        Names that may be misspelled, and count as they are.
    """
    who, often = describe_dogs(design), describe_power(detectable["power"])
    taken = _take_as_spelled(doubtful) if doubtful else ""
    least, chance = detectable["balanced_accuracy"], detectable["chance"]
    guessing = f"guessing gives {format_percent(chance, decimals=0)}"
    if least is None:
        return (
            f"{who} will hardly show anything: not even clips that are all but always classified "
            f"rightly would be told from chance in {often} studies.{taken}"
        )
    return (
        f"{who} can show a balanced accuracy of {format_percent(least, decimals=0)} or more, in "
        f"{often} studies ({guessing}).{taken}"
    )


def _take_as_spelled(doubtful: Sequence[str]) -> str:
    more = [f"{len(doubtful) - _MOST_NAMES} more"] if len(doubtful) > _MOST_NAMES else []
    names = join_words([*map(quote, doubtful[:_MOST_NAMES]), *more])
    return f" This takes {names} as spelled rightly."


def write_nothing_sentence(obstacle: str) -> str:
    """Return that nothing can be concluded, and why."""
    return f"{NOTHING}{obstacle}."


def describe_conditions(design: Design) -> Table:
    """Return clips, dogs and minutes of each condition."""
    lines = list_lines(_COLUMNS, [*design.conditions, design.total])
    lines[-1] = replace(lines[-1], is_total=True)
    return Table("What was filmed.", _COLUMNS, tuple(lines))


def describe_dogs(design: Design) -> str:
    """Return how many dogs there are, with how many clips, and how many can be compared within."""
    dogs, compared = len(design.subjects), len(design.compared)
    both = "" if compared == dogs else f", {compared} of them filmed in more than one condition,"
    clips = [sum(each.clips.values()) for each in design.subjects]
    return f"{count(dogs, 'dog')}{both} with {_describe_range(clips)}"


def explain_obstacle(
    design: Design, confounds: Sequence[Confound], least_p: float, *, level: float
) -> str | None:
    """Return why a design can show nothing, or None where it can.

    Parameters
    ----------
    design
        Whose clips there are.
    confounds
        What goes with the condition; of those that cannot be told from it, the first is named.
    least_p
        The least p that the permutation test can give.
    level
        Below which p a study counts as showing something.
    """
    if len(design.labels) < 2:
        return f"all clips are labelled {quote(design.labels[0])}"
    if len(design.subjects) < 2:
        return f"all clips are of one dog, {quote(design.subjects[0].subject_id)}"
    if not design.compared:
        return (
            "each dog was filmed in one condition only, so that dog and condition cannot be told "
            "apart"
        )
    total = next((each for each in confounds if each.is_total), None)
    if total is not None:
        return f"{quote(total.column)} and condition cannot be told apart: {_describe(total)}"
    if least_p > level + 1e-9:
        return (
            f"{describe_dogs(design)} are too few: even with every clip classified rightly, p "
            f"would be {least_p:.2g}, and {level:g} or less is asked for"
        )
    return None


def doubt_confound(confound: Confound) -> tuple[str, str]:
    """Return what is seen of a confound that may be told from the condition, and what to do."""
    if confound.is_circumstance:
        number = sum(map(len, confound.values.values()))
        return (
            f"each of {number} values goes with one condition only",
            "both conditions under each, else what differs between them may be taken for the "
            "condition",
        )
    return (
        f"goes with the condition: {_describe(confound)}",
        "fine if it is another word for the condition; if not, the two cannot be told apart",
    )


def _describe(confound: Confound) -> str:
    if all(len(values) == 1 for values in confound.values.values()):
        pairs = [
            f"{quote(values[0])} only with {quote(label)}"
            for label, values in confound.values.items()
        ]
        return join_words(pairs)
    parts = [f"{len(values)} with {quote(label)}" for label, values in confound.values.items()]
    return f"each of its values goes with one condition only, {join_words(parts)}, too few to tell"


def _describe_range(clips: Sequence[int]) -> str:
    low, high = min(clips), max(clips)
    return f"{count(low, 'clip')} each" if low == high else f"{low} to {high} clips each"
