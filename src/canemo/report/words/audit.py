"""What the audit found: what might carry a result other than the condition, worst first."""

from __future__ import annotations

from canemo.report.tables import (
    COUNT,
    FOUR_DECIMALS,
    PERCENT,
    Column,
    Table,
    describe_measures,
    describe_records,
    format_text,
)
from canemo.report.words.voice import Voice
from canemo.report.words.wording import (
    count,
    format_p,
    format_percent,
    group_digits,
    join_words,
    quote,
    write_sentence,
)
from canemo.study.records.audit import (
    Audit,
    Claim,
    Confounds,
    DuplicatePair,
    Finding,
    SharedSession,
)
from canemo.study.records.run import RunMetrics

SHOWN_PAIRS, SHOWN_SESSIONS = 20, 8
_FAR_BELOW = 0.8
ALARM = "alarm"

_SPLITS = {
    "frame_wise": "split by frame",
    "clip_wise": "split by clip",
    "subject_wise": "split by dog",
}
_PICKED = "split by dog, frames picked on all dogs"

_REMOVED = {
    "centred": "each dog’s mean removed",
    "without_subjects": "the directions that name the dog removed",
}


def format_audit(audit: Audit, voice: Voice) -> str:
    """Return the audit as a few short blocks for the terminal."""
    shown = {
        name: format_text(table, is_explained=True)
        for name, table in list_audit_tables(audit).items()
    }
    facts = [state_identity(audit), state_drops(audit), state_sessions(audit)]
    verdict = "\n".join(map(write_sentence, audit.confounds.verdict)) if audit.confounds else ""
    blocks = [
        "\n".join(map(format_finding, sort_findings(audit))) or state_nothing(audit),
        shown.get("splits"),
        shown.get("removed"),
        "\n".join(filter(None, facts)),
        shown.get("duplicates"),
        "\n".join(filter(None, [shown.get("confounds"), verdict])),
    ]
    return voice.say("\n\n".join(filter(None, blocks)))


def state_nothing(audit: Audit) -> str:
    """Return that nothing was found; empty where something was."""
    return "" if audit.findings else "The audit found nothing amiss."


def format_finding(finding: Finding) -> str:
    """Return a finding as one line that names its severity."""
    return f"{name_severity(finding)}: {write_sentence(finding.text)}"


def name_severity(finding: Finding) -> str:
    """Return how bad a finding is, in a word."""
    return "Alarm" if finding.severity == ALARM else "Note"


def sort_findings(audit: Audit) -> list[Finding]:
    """Return the findings, alarms first and else in their order."""
    return sorted(audit.findings, key=lambda finding: finding.severity != ALARM)


def state_alarms(metrics: RunMetrics) -> str:
    """Return how many alarms the audit raised, for the head of the report; empty without any."""
    alarms = sum(each.severity == ALARM for each in metrics.audit.findings)
    if not alarms:
        return ""
    return f"The audit raises {count(alarms, 'alarm')}: see “Audit” before relying on this result."


def state_identity(audit: Audit) -> str:
    """Return how often a dog is told from the features; empty where it is not known."""
    identity = audit.identity
    if identity is None:
        return ""
    return (
        f"From the features alone, clips are assigned to the right one of "
        f"{count(identity.subjects, 'dog')} in {format_percent(identity.accuracy)} "
        f"(chance {format_percent(identity.chance)})."
    )


def state_own(metrics: RunMetrics) -> str:
    """Return why the split by dog has another number in this table than in the result."""
    text = "All lines of this table were learned with one penalty, the one most rounds chose"
    here, own = metrics.audit.splits.subject_wise.video, metrics.levels.video.balanced_accuracy
    if format_percent(here) == format_percent(own):
        return f"{text}."
    return (
        f"{text}, so that they can be compared. In the result above each round chose its own: that "
        f"is why the split by dog reads {format_percent(here)} here and {format_percent(own)} "
        "there. What counts is the result above."
    )


def state_removed(audit: Audit) -> str:
    """Return why numbers without the dog are not the result; empty where there are none."""
    if "removed" not in list_audit_tables(audit):
        return ""
    return (
        "These are checks of the result, not results, and may not be reported as such, however "
        "high: a dog’s mean is taken over all its clips, the tested ones too, which nobody has of "
        "a new dog."
    )


def state_below(metrics: RunMetrics) -> str:
    """Return why a split can come out far below chance; empty where none does."""
    claims = (each.video for each in list_splits(metrics.audit).values())
    least = min((claim for claim in claims if claim is not None), default=1.0)
    if least > _FAR_BELOW / len(metrics.study.labels):
        return ""
    return (
        "A number well below chance is no slip: with so few clips of a dog, the clip that is left "
        "out takes its condition with it, the clips that remain are mostly of the other one, and "
        "the model leans to that."
    )


def state_drops(audit: Audit) -> str:
    """Return how many frames of each condition were lost."""
    if not audit.drops.shares:
        return ""
    if not any(audit.drops.shares.values()):
        return "Every frame that was looked at had a usable face."
    shares = [f"{quote(label)} {format_percent(n)}" for label, n in audit.drops.shares.items()]
    p = audit.drops.p
    difference = "" if p is None else f" (difference between them: {format_p(p)})"
    return f"Frames without a usable face: {join_words(shares)}{difference}."


def state_sessions(audit: Audit) -> str:
    """Return which sessions several dogs share, or that none was found or looked for."""
    column = audit.sessions.column
    if not column:
        return (
            "Whether dogs were filmed on the same day or in the same session was not looked at: "
            "the table of videos has no column that says it (session, day, date ...)."
        )
    if not audit.sessions.shared:
        return f"No session in the column {quote(column)} is shared between dogs."
    named = [_name_session(each) for each in audit.sessions.shared]
    left = len(named) - SHOWN_SESSIONS
    if left > 1:
        named = [*named[:SHOWN_SESSIONS], f"{left} more"]
    return f"Shared between dogs in the column {quote(column)}: {join_words(named)}."


def state_duplicates(audit: Audit) -> str:
    """Return that no clips are nearly alike, or that none could be compared; else empty."""
    if audit.duplicates.threshold is None:
        return "Whether clips are nearly alike cannot be told from these features."
    return "" if audit.duplicates.n else "No two clips are nearly alike: none was found twice."


def _name_session(shared: SharedSession) -> str:
    return f"{shared.session} ({', '.join(shared.subjects)})"


def list_audit_tables(audit: Audit) -> dict[str, Table]:
    """Return the tables of the audit that hold anything, by name."""
    tables = {
        "findings": describe_findings(audit),
        "splits": _describe_splits(audit),
        "removed": _describe_removed(audit),
        "duplicates": _describe_duplicates(audit),
    }
    if audit.confounds is not None:
        tables["confounds"] = _describe_confounds(audit.confounds)
    return {name: table for name, table in tables.items() if table.rows}


def list_splits(audit: Audit) -> dict[str, Claim]:
    """Return what each way to split would have claimed, the run's own first."""
    splits = {words: getattr(audit.splits, name) for name, words in _SPLITS.items()}
    picked = audit.selected_outside.balanced_accuracy
    return {**splits, _PICKED: Claim(video=picked, frame=None)}


def describe_findings(audit: Audit) -> Table:
    """Return the table of the findings, worst first."""
    columns = (
        Column("severity", "Severity", at=name_severity),
        Column("text", "Finding", at=lambda finding: write_sentence(finding.text)),
    )
    return describe_records("What the audit found.", columns, sort_findings(audit))


def _describe_splits(audit: Audit) -> Table:
    columns = (
        Column("name", "Split"),
        Column("video", "Clips", "balanced accuracy by clip", PERCENT, is_main=True),
        Column("frame", "Frames", "balanced accuracy by frame", PERCENT),
    )
    return describe_records(
        (
            "Balanced accuracy that each way to split would have claimed, all with one penalty, so "
            f"that the {_SPLITS['subject_wise']} may differ from the result."
        ),
        columns,
        list_splits(audit),
    )


def _describe_removed(audit: Audit) -> Table:
    columns = (
        Column("name", "Features"),
        Column("value", "Balanced accuracy", "by clip of unseen dogs", PERCENT, is_main=True,
               at="balanced_accuracy"),
        Column("interval", "95 % interval", "95 % interval over dogs", PERCENT, kind="interval"),
    )  # fmt: skip
    removed = {words: getattr(audit, name) for name, words in _REMOVED.items()}
    caption = "Result on clips with the dog taken out of the features."
    return describe_records(caption, columns, removed)


def _describe_duplicates(audit: Audit) -> Table:
    duplicates = audit.duplicates
    columns = (
        Column("first", "First clip (dog)", at=lambda pair: f"{pair.first} ({pair.first_subject})"),
        Column(
            "second", "Second clip (dog)", at=lambda pair: f"{pair.second} ({pair.second_subject})"
        ),
        Column(
            "cosine",
            "Likeness",
            "of the mean features of both clips (cosine): 1 where they are the same",
            FOUR_DECIMALS,
        ),
        Column("mark", "Trouble", "what makes them a trouble", at=_mark_pair),
    )
    above = (
        ""
        if duplicates.threshold is None
        else f", a likeness of {duplicates.threshold:.2f} or more"
    )
    left = duplicates.n - len(duplicates.pairs[:SHOWN_PAIRS])
    more = f"; {group_digits(left)} more are not shown" if left > 0 else ""
    caption = f"{count(duplicates.n, 'pair')} of clips nearly alike{above}{more}."
    return describe_records(caption, columns, duplicates.pairs[:SHOWN_PAIRS])


def _mark_pair(pair: DuplicatePair) -> str:
    """Return what makes a pair of like clips a trouble."""
    if pair.first_subject != pair.second_subject:
        return "two dogs"
    return "two conditions" if pair.first_label != pair.second_label else ""


def _describe_confounds(confounds: Confounds) -> Table:
    columns = (
        Column("title", "Seen"),
        *describe_measures("balanced_accuracy", "auroc"),
        Column("clips", "Clips", "clips that were tested", COUNT),
    )
    frames = count(confounds.frames_per_clip, "frame")
    caption = (
        f"What a model reaches that sees only this, on {frames} of each clip: to be compared "
        "line by line, not with the result above, which rests on all frames."
    )
    return describe_records(caption, columns, confounds.rows, style="result")
