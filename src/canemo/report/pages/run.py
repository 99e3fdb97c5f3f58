"""The report of a run: one HTML file that needs nothing else, for screen, phone and paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from canemo.files import write_atomically, write_table
from canemo.learn.curves import average_curves
from canemo.records import Fate
from canemo.report.charts import evaluation
from canemo.report.charts.canvas import Chart
from canemo.report.charts.comparison import draw_curves
from canemo.report.charts.parts import list_part_charts
from canemo.report.charts.trust import list_trust_charts
from canemo.report.pages.answers import list_answers
from canemo.report.pages.material import Shown
from canemo.report.pages.page import (
    Picture,
    embed_charts,
    embed_files,
    render_page,
)
from canemo.report.rows import list_run_sheets, tabulate_clips
from canemo.report.tables import Table
from canemo.report.words import audit, parts, wording
from canemo.report.words.explanation import state_worth, write_sentence
from canemo.report.words.methods import write_methods
from canemo.report.words.run import describe_verdict, list_run_tables
from canemo.report.words.verdict import (
    describe_coverage,
    explain_verdict,
    write_first_sentence,
)
from canemo.report.words.voice import find_voice
from canemo.report.workbook import write_tables
from canemo.study.records.folders import PREDICTIONS_FILE, RunRecord, read_run
from canemo.study.records.model import Standing
from canemo.study.records.run import StudyFacts, SubjectResult
from canemo.study.records.scores import Confusion
from canemo.study.runs import CLIPS_CSV, REPORT_FILE, RESULTS_FILE
from canemo.trust.standing import judge_run

_SHEETS = {
    "result": "numbers",
    "subjects": "dogs",
    "checks": "how far to trust it",
    "splits": "careless splits",
    "removed": "dog taken out",
    "duplicates": "clips alike",
}
"""What tables are called in a workbook, where that is not their name in the page."""

MOST_PICTURES = 400
"""Of the clips in a report: about 2 MB."""

_ALTS = {
    "eigencam.png": "Face crops, each with its EigenCAM map laid over it, by condition.",
    "decision.png": "Face crops, each with what speaks for and against a condition laid over it.",
}


def write_report(run_dir: Path, *, tables_file: Path | None = None) -> Path:
    """Write report and tables from the files of a run, and return the report's path.

    The tables go to `tables_file`, .xlsx or .tex; None writes `results.xlsx` in the run, with
    every clip and frame, and `predictions.csv`.

    Raises
    ------
    ModelError
        `run_dir` is not a finished run.
    ConfigError
        `tables_file` ends otherwise.
    """
    run = read_run(run_dir)
    tables = list_run_tables(run)
    page = render_report(run, tables)
    voice, path = find_voice(run.metrics.study), tables_file or run_dir / RESULTS_FILE
    sheets = {"result": describe_verdict(run)}
    if (run_dir / PREDICTIONS_FILE).is_file():
        write_table(tabulate_clips(run), run_dir / CLIPS_CSV)
        sheets |= list_run_sheets(run)
    if path.suffix == ".xlsx":
        named = {voice.say(_SHEETS.get(name, name)): table for name, table in tables.items()}
        tables = sheets | named | sheets  # they come first, and stay
    write_tables(path, tables, voice)
    return write_atomically(run_dir / REPORT_FILE, page)


def render_report(run: RunRecord, tables: Mapping[str, Table]) -> str:
    """Return the report as one HTML page, every text of the study escaped."""
    metrics = run.metrics
    details = [explain_verdict(metrics), describe_coverage(metrics), audit.state_alarms(metrics)]
    return render_page(
        "run.html.j2",
        tables=tables,
        pictures=_draw_pictures(run),
        voice=find_voice(metrics.study),
        run=run,
        metrics=metrics,
        study=metrics.study,
        protocol=metrics.protocol,
        warnings=metrics.warnings,
        environment=run.environment,
        first_sentence=write_first_sentence(metrics),
        details=list(filter(None, details)),
        standing=str(judge_run(metrics)),
        used_shares=_share_used(metrics.study),
        methods=write_methods(metrics, run.environment, parts=_count_parts(run)).split("\n\n"),
        tell_where=write_sentence,
        state_worth=state_worth,
        failed_maps=_list_failed_maps(run),
        parts=_count_parts(run),
        describe_panels=evaluation.describe_panels,
        material=None if run.clips is None else Shown(run.clips.clips, MOST_PICTURES),
        answers=list_answers(run),
        of_audit=audit,
        of_parts=parts,
    )


def _list_failed_maps(run: RunRecord) -> dict[str, str]:
    """Return the pictures that explain no answer, and why: no result, or a map that failed."""
    standing = judge_run(run.metrics)
    fallen = "" if standing is Standing.ABOVE else "The result does not stand"
    why = dict.fromkeys(("decision.png", "eigencam.png"), fallen) if fallen else {}
    if run.explanation is not None:
        lead = run.explanation.lead
        names = {} if lead is None else {lead.name: "decision.png"}
        names["eigencam"] = "eigencam.png"
        failed = [method.name for method in run.explanation.methods if method.passed is False]
        why |= {names[name]: "Failed its tests" for name in failed if name in names}
    return why


def _count_parts(run: RunRecord) -> int:
    """Return how many clips are a part of their film only."""
    return 0 if run.clips is None else sum(clip.part_s is not None for clip in run.clips.clips)


def _share_used(study: StudyFacts) -> dict[str, float]:
    return {
        label: counts.get(Fate.USED, 0) / max(sum(counts.values()), 1)
        for label, counts in study.fates_by_label.items()
    }


def _draw_pictures(run: RunRecord) -> dict[str, Picture | None]:
    """Return the figures of the report by name; None where the run has no data for one."""
    metrics, study = run.metrics, run.metrics.study
    majority, confusion = metrics.chance.majority, metrics.levels.video.confusion
    charts: dict[str, Chart] = {
        "subjects": (
            evaluation.draw_subjects(study.subjects_table),
            f"Bar chart of the number of dogs {evaluation.describe_panels(study.subjects_table)}.",
        ),
        "label_counts": (
            evaluation.draw_label_counts(study.labels_by_subject),
            "Stacked bar chart of the number of clips of each dog by condition.",
        ),
        "ledger": (
            evaluation.draw_ledger(study.fates_by_label) if study.has_lost_frames else None,
            _describe_ledger(study),
        ),
        "subject_accuracy": (
            evaluation.draw_subject_accuracy(
                metrics.subjects, chance=majority.video, majority_label=majority.label
            ),
            _describe_subjects(metrics.subjects),
        ),
        "curves": (_draw_curves(run), "Loss and accuracy by epoch, in training and validation."),
        "confusion": (evaluation.draw_confusion(confusion), _describe_confusion(confusion)),
        **list_trust_charts(metrics),
        **list_part_charts(metrics),
    }
    return embed_charts(charts, find_voice(study)) | embed_files(run.pictures, _ALTS)


def _draw_curves(run: RunRecord) -> Figure | None:
    if run.curves.empty:
        return None
    curves = average_curves(run.curves).assign(model=run.metrics.protocol.backbone)
    return draw_curves(curves, majority=run.metrics.chance.majority.frame)


def _describe_ledger(study: StudyFacts) -> str:
    facts = [
        f"{label}: {counts.get(Fate.USED, 0)} of {sum(counts.values())} frames used"
        for label, counts in study.fates_by_label.items()
    ]
    return f"Stacked bars of what became of the frames. {'; '.join(facts)}."


def _describe_subjects(subjects: Sequence[SubjectResult]) -> str:
    values = [subject.accuracy for subject in subjects]
    return (
        f"Dot plot of the accuracy of each of {wording.count(len(values), 'dog')}, from "
        f"{wording.format_percent(min(values), decimals=0)} to "
        f"{wording.format_percent(max(values), decimals=0)}."
    )


def _describe_confusion(confusion: Confusion) -> str:
    facts = [
        f"{number} clips filmed in {true} classified as {predicted}"
        for true, row in zip(confusion.labels, confusion.counts, strict=True)
        for predicted, number in zip(confusion.labels, row, strict=True)
    ]
    return f"Confusion matrix: {'; '.join(facts)}."
