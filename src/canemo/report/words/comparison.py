"""What is said of a comparison."""

from __future__ import annotations

from collections.abc import Sequence

from canemo.report.tables import (
    COUNT,
    P_VALUE,
    PERCENT,
    SIGNED,
    Column,
    Line,
    Table,
    describe_measures,
    describe_records,
    describe_texts,
    list_lines,
)
from canemo.report.words import wording
from canemo.report.words.run import describe_versions
from canemo.study.records.comparison import ComparedModel, ComparisonRecord, Pair
from canemo.study.records.folders import ComparisonFolder
from canemo.study.records.model import Standing
from canemo.study.records.run import Majority
from canemo.trust.standing import judge_clips

_MEASURES = ("accuracy", "balanced_accuracy", "auroc")
_NO_RESULT = "random weights, no result"

PICTURES = {
    "crops.png": "Sheet of example face crops, grouped by condition.",
    "eigencam.png": "Face crops, each with the EigenCAM map of every model beside it.",
}


def write_comparison_sentence(content: ComparisonRecord) -> str:
    """Return what the comparison found, claiming no more than dogs and number of models allow."""
    return wording.warn_of_drawings(drawn=content.study.drawn) + _state_models(content)


def _state_models(content: ComparisonRecord) -> str:
    real = [model for model in content.models if not model.random_weights]
    if not real:
        return "Every line rests on random weights: this page shows cost and architecture only."
    best = max(real, key=lambda model: model.video.accuracy or 0.0)
    majority = content.chance.majority
    told = [model.name for model in real if _is_told(model, majority.video)]
    sentences = [] if told else ["No model can be told from chance."]
    sentences.append(_state_best(best, len(real), majority))
    if told and best.name not in told:
        others = wording.join_words(told)
        sentences.append(f"It cannot be told from chance, but {others} can.")
    return " ".join([*sentences, *_state_leads(best, real, content)])


def list_reasons(content: ComparisonRecord) -> list[str]:
    """Return why models are missing, each reason once."""
    return list(dict.fromkeys(each.reason for each in content.missing))


def _is_told(model: ComparedModel, share: float) -> bool:
    return judge_clips(model.video, share, model.permutation) is Standing.ABOVE


def _read_p(model: ComparedModel) -> float | None:
    return None if model.permutation is None else model.permutation.p


def _state_best(best: ComparedModel, number: int, majority: Majority) -> str:
    chosen = f", the best of {number} on these dogs and for that a little flattered,"
    interval = best.video.interval.accuracy
    return (
        f"{best.name}{chosen if number > 1 else ''} classified "
        f"{wording.format_percent(best.video.accuracy)} of the clips of unseen dogs into the "
        "condition they were filmed in (95 % interval "
        f"{wording.format_interval('accuracy', interval)}); always answering "
        f"{wording.quote(majority.label)} would give {wording.format_percent(majority.video)}."
    )


def _state_leads(
    best: ComparedModel, real: Sequence[ComparedModel], content: ComparisonRecord
) -> list[str]:
    """Return from whom the best can be told apart, corrected for the number of pairs."""
    others = {model.name for model in real} - {best.name}
    pairs = {
        other: pair
        for pair in content.pairs
        if best.name in (pair.first, pair.second) and (other := _other(pair, best.name)) in others
    }
    apart = [name for name, pair in pairs.items() if _is_apart(pair)]
    alike = [name for name, pair in pairs.items() if not _is_apart(pair)]
    lead = f"Its lead over {wording.join_words(apart)} stands, corrected for the number of pairs."
    tie = f"From {wording.join_words(alike)} these dogs cannot tell it apart."
    return [text for text, names in ((lead, apart), (tie, alike)) if names]


def _is_apart(pair: Pair) -> bool:
    """Tell whether interval and corrected test both say that two models differ."""
    interval = pair.interval.accuracy
    if interval is None or pair.p_holm is None:
        return False
    return (interval[0] > 0 or interval[1] < 0) and pair.p_holm < wording.P_LEVEL


def _other(pair: Pair, name: str) -> str:
    return pair.second if pair.first == name else pair.first


def list_comparison_tables(record: ComparisonFolder) -> dict[str, Table]:
    """Return the tables of a comparison that hold anything, by name."""
    content = record.comparison
    tables = {
        "frames": describe_frames(content),
        "clips": describe_clips(content),
        "pairs": describe_pairs(content.pairs),
        "models": describe_texts(
            "The models.", {model.name: _describe_model(model) for model in content.models}
        ),
        "versions": describe_versions(record.environment),
    }
    return {name: table for name, table in tables.items() if table.rows}


def describe_frames(content: ComparisonRecord) -> Table:
    """Return the columns of table 1 of Boneh-Shitrit et al. (2022)."""
    has_epochs = shows_epochs(content)
    last = "Val. accuracy, last epoch (chosen)" if has_epochs else "Val. accuracy"
    columns = [
        Column("model", "Model", at=_name),
        Column("train", "Train accuracy", "of frames of dogs that were learned from", PERCENT,
               short="train", at=_read_train_accuracy),
        Column("last", last, "of frames of dogs that were not learned from", PERCENT,
               short="val.", is_main=True, at="frame.accuracy"),
    ]  # fmt: skip
    if has_epochs:
        best, found = "Val. accuracy, best epoch (not chosen)", "found by looking at the test dogs"
        columns += [
            Column("best", best, found, PERCENT, short="best epoch, not chosen",
                   at="best_epoch.test_accuracy"),
            Column("epoch", "Best epoch", "which one it was", COUNT, at="best_epoch.epoch"),
        ]  # fmt: skip
    lines = list_lines(columns, content.models)
    lines += [Line({"model": each.name, "last": "missing"}) for each in content.missing]
    majority = content.chance.majority
    lines.append(Line({"model": _state_always(majority), "last": majority.frame}, is_total=True))
    caption = "Accuracy by frame, the columns of table 1 of Boneh-Shitrit et al. (2022)."
    return Table(caption, tuple(columns), tuple(lines), style="result")


def describe_clips(content: ComparisonRecord) -> Table:
    """Return the results by clip, the unit of a claim."""
    columns = [
        Column("model", "Model", at=_name),
        *describe_measures(*_MEASURES, of="video.", ends_of="video.interval."),
    ]
    if shows_p(content):
        meaning = "how often labels moved within each dog do as well"
        columns.append(Column("p", "Permutation p", meaning, P_VALUE, at=_read_p))
    majority = content.chance.majority
    chance = {
        "model": _state_always(majority),
        "accuracy": majority.video,
        "balanced_accuracy": 1 / len(content.study.labels),
        "auroc": 0.5,
    }
    lines = [*list_lines(columns, content.models), Line(chance, is_total=True)]
    caption = "Clips of unseen dogs, with what the paper’s table lacks."
    return Table(caption, tuple(columns), tuple(lines), style="result")


def describe_pairs(pairs: Sequence[Pair]) -> Table:
    """Return the differences between two models, or two runs, by clip."""
    columns = (
        Column("pair", "Pair", at=_name_pair),
        *describe_measures(*_MEASURES, of="difference.", is_signed=True),
        Column(
            "p",
            "p (accuracy)",
            "how often chance gives as large a difference (sign-flip test over dogs)",
            P_VALUE,
            short="sign-flip p",
        ),
        Column("p_holm", "corrected", "for the number of pairs (Holm)", P_VALUE),
        Column(
            "effect_size",
            "Effect size",
            "mean difference over dogs by how much it varies, Cohen’s d_z",
            SIGNED,
            short="d_z",
        ),
    )
    caption = "First minus second, by clip; accuracies in percentage points."
    return describe_records(caption, columns, pairs, style="result")


def _state_always(majority: Majority) -> str:
    return f"always {wording.quote(majority.label)}"


def _read_train_accuracy(model: ComparedModel) -> float | None:
    last = model.last_epoch
    return model.train_accuracy if last is None else last.train_accuracy


def _name_pair(pair: Pair) -> str:
    name = f"{pair.first} – {pair.second}"
    return f"{name} ({_NO_RESULT})" if pair.random_weights else name


def _name(model: ComparedModel) -> str:
    return f"{model.name} – {_NO_RESULT}" if model.random_weights else model.name


def shows_p(content: ComparisonRecord) -> bool:
    """Tell whether any model has a permutation p."""
    return any(model.permutation is not None for model in content.models)


def shows_epochs(content: ComparisonRecord) -> bool:
    """Tell whether any model was trained in epochs."""
    return any(model.best_epoch is not None for model in content.models)


def _describe_model(model: ComparedModel) -> str:
    seconds = wording.format_seconds(sum(stage.seconds for stage in model.cost.values()))
    return (
        f"{model.backbone} ({model.backbone_note}), method {model.method}, "
        f"{wording.group_digits(model.parameters)} parameters, {model.feature_dim} features; "
        f"weights from {model.weights_source}, SHA-256 {model.weights_sha256}; {seconds}"
    )
