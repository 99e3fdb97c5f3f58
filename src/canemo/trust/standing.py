"""Whether the result of a run can be told from chance: decided here, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from canemo.study.records.model import ModelEvaluation, Standing
from canemo.study.records.run import Permutation, RunMetrics
from canemo.study.records.scores import Level, LevelName
from canemo.trust.intervals import LEVEL


@dataclass(frozen=True)
class Comparison:
    """One measure beside what a classifier that always gives the same answer would reach."""

    measure: str
    value: float | None
    interval: tuple[float, float] | None
    chance: float

    @property
    def standing(self) -> Standing:
        """`ABOVE` or `BELOW` where the whole interval is; `UNCLEAR` where it includes chance."""
        if self.interval is None:
            return Standing.UNCLEAR
        low, high = self.interval
        if low > self.chance:
            return Standing.ABOVE
        return Standing.BELOW if high < self.chance else Standing.UNCLEAR


def compare_with_chance(metrics: RunMetrics, level: LevelName = "video") -> list[Comparison]:
    """Set the measures of one level beside the answer "always the most frequent label".

    AUROC is left out where it was not computed.
    """
    return _compare(getattr(metrics.levels, level), getattr(metrics.chance.majority, level))


def _compare(numbers: Level, share: float) -> list[Comparison]:
    n_labels = len(numbers.confusion.labels)
    chance = {
        "accuracy": share,
        "balanced_accuracy": 1 / n_labels,
        # the constant answer has F1 = 2 share / (1 + share) for its own label, 0 for the others
        "macro_f1": 2 * share / (1 + share) / n_labels,
        "auroc": 0.5,
    }
    return [
        Comparison(name, numbers.of(name), numbers.interval.of(name), constant)
        for name, constant in chance.items()
        if numbers.of(name) is not None
    ]


def judge_run(metrics: RunMetrics) -> Standing:
    """Return the standing of a run: of its intervals and of its permutation test.

    Notes
    -----
    Above chance takes both. A p above 0.05, or none, leaves a result that cannot be told from
    chance wherever its intervals lie; labels that cannot be moved, or that go with something else
    throughout, leave nothing to conclude.
    """
    if find_obstacle(metrics):
        return Standing.VOID
    return judge_clips(metrics.levels.video, metrics.chance.majority.video, metrics.permutation)


def judge_clips(numbers: Level, share: float, permutation: Permutation | None) -> Standing:
    """Return the standing of one of the models of a run or a comparison.

    Parameters
    ----------
    numbers
        What it reached on clips.
    share
        The share of clips that have the most frequent label.
    permutation
        Its permutation test; None where there was none.
    """
    if permutation is None or fails_permutation(permutation):
        return Standing.UNCLEAR
    return judge(_compare(numbers, share))


def find_obstacle(metrics: RunMetrics) -> str:
    """Return why nothing can be concluded about the condition, whatever the numbers; else empty."""
    texts = [metrics.permutation.reason]
    texts += [finding.text for finding in metrics.audit.findings if finding.name == "aligned"]
    return next((text for text in texts if text), "")


def fails_permutation(permutation: Permutation) -> bool:
    """Return whether moved labels do as well too often, or no test says that they do not."""
    return permutation.p is None or permutation.p > LEVEL


def judge(comparisons: Sequence[Comparison]) -> Standing:
    """Return the standing of the whole result: above chance only if every tested measure is."""
    standings = {item.standing for item in select_tested(comparisons)}
    if Standing.UNCLEAR in standings or not standings:
        return Standing.UNCLEAR
    return Standing.MIXED if len(standings) > 1 else standings.pop()


def select_tested(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the measures that decide: accuracy, balanced accuracy and AUROC.

    Macro F1 does not: its value for guessing at random is above its value for a constant answer.
    """
    return [item for item in comparisons if item.measure != "macro_f1"]


def summarise_evaluation(metrics: RunMetrics) -> ModelEvaluation:
    """Return what a model that was made by a run carries of the run's numbers."""
    level, majority = metrics.levels.video, metrics.chance.majority
    counts = {
        label: sum(row)
        for label, row in zip(level.confusion.labels, level.confusion.counts, strict=True)
    }
    return ModelEvaluation(
        standing=judge_run(metrics),
        reason=find_obstacle(metrics),
        balanced_accuracy=level.balanced_accuracy,
        interval=level.interval.balanced_accuracy,
        accuracy=level.accuracy,
        accuracy_interval=level.interval.accuracy,
        chance=1 / len(level.confusion.labels),
        majority_label=majority.label,
        majority=majority.video,
        p=metrics.permutation.p,
        permuted=metrics.permutation.probe,
        subjects=len(metrics.subjects),
        clips=level.n,
        clips_by_label=counts,
        favourite=level.confusion.favourite,
        drawn=metrics.study.drawn,
    )


def contradicts(evaluation: ModelEvaluation) -> bool:
    """Return whether a model says that it was told from chance, and its own numbers deny it."""
    numbers = [
        Comparison("accuracy", evaluation.accuracy, evaluation.accuracy_interval,
                   evaluation.majority),
        Comparison("balanced_accuracy", evaluation.balanced_accuracy, evaluation.interval,
                   evaluation.chance),
    ]  # fmt: skip
    is_proven = evaluation.p is not None and evaluation.p <= LEVEL and not evaluation.reason
    return evaluation.is_told and not (is_proven and judge(numbers) is Standing.ABOVE)
