"""What could fool the author of a study: looked for in what is cached, no pixel is read.

Every trap is measured rather than suspected: what a tempting evaluation would have claimed stands
beside the honest one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.config import EvaluateConfig
from canemo.learn.evaluate import Evaluation, evaluate_learner
from canemo.learn.evidence import Evidence
from canemo.learn.lda import DiscriminantLearner
from canemo.learn.lda_algebra import remove_directions, select_training
from canemo.learn.learner import Fitted
from canemo.learn.material import Material, Rows
from canemo.learn.predictions import read_predictions, select_level
from canemo.learn.probe import average_by_video
from canemo.learn.splits import Split, make_split
from canemo.records import Fate
from canemo.trust.chance import Chance
from canemo.trust.duplicates import find_duplicates
from canemo.trust.findings import find_alignment, judge_metadata, judge_parts
from canemo.trust.intervals import compute_scores
from canemo.trust.labellings import draw_labellings
from canemo.trust.metadata import list_categories
from canemo.trust.summaries import finite_or_none, summarise_scores

GROUPS = 10  # of the tempting splits: what most papers use
SESSIONS = ("session", "session_id", "visit", "visit_id", "day", "date")


def audit_evidence(
    evidence: Evidence,
    learner: DiscriminantLearner,
    *,
    penalty: float,
    metadata: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return what metrics.json holds under ``audit``.

    Parameters
    ----------
    evidence
        What the run's numbers are computed from.
    learner
        Linear discriminants on the run's features; the first material is audited.
    penalty
        The strength that most folds of the run chose; all of the audit's probes have it.
    metadata
        What a probe on metadata alone reached, as `score_metadata` returns it.
    """
    probe = learner.probe.model_copy(update={"penalties": (penalty,)})
    single = DiscriminantLearner((learner.material,), probe)
    settings, species = evidence.config.evaluate, evidence.config.species
    splits = measure_splits(single, evidence.split, settings)
    parts = {
        "splits": splits,
        "identity": measure_identity(single, settings),
        "centred": _score_video(centre_subjects(single), evidence.split, settings),
        "without_subjects": _score_video(SubjectFreeLearner(single), evidence.split, settings),
        "selected_outside": measure_selection(single, evidence.split, settings),
        "duplicates": find_duplicates(learner.material),
        "drops": compare_drops(evidence.ledger, evidence.study.labels, settings),
        "sessions": describe_sessions(evidence),
    }
    findings = [
        *find_alignment(evidence.study, species),
        *judge_metadata(metadata, labels=len(evidence.study.labels)),
        *judge_parts(parts, evidence.study, species),
    ]
    return {"findings": [finding.to_dict() for finding in findings], **parts, "confounds": None}


def measure_splits(
    learner: DiscriminantLearner, split: Split, settings: EvaluateConfig
) -> dict[str, Any]:
    """Return the balanced accuracy that splits by frame and by clip would have claimed.

    Ten folds of frames, or of clips, drawn without a look at whose they are; the probe is the
    same. ``subject_wise`` is what that probe reaches on the run's own folds.
    """
    material, rng = learner.material, np.random.default_rng(settings.seed)
    clip = pd.factorize(material.origin["video_id"])[0]
    by_frame = rng.permutation(np.arange(len(clip)) % GROUPS)
    honest = evaluate_learner(learner, split, seed=settings.seed).predictions
    by_clip = rng.permutation(np.arange(clip.max() + 1) % GROUPS)[clip]
    return {
        "frame_wise": _claim(learner, by_frame, settings, frames_alone=True),
        "clip_wise": _claim(learner, by_clip, settings, frames_alone=False),
        "subject_wise": {
            level: _balanced(honest, level, material.labels) for level in ("frame", "video")
        },
    }


def measure_identity(
    learner: DiscriminantLearner, settings: EvaluateConfig
) -> dict[str, Any] | None:
    """Return how often a clip's subject is named by a probe that knows the subject's other clips.

    Subjects with one clip are left out; None where fewer than two remain.
    """
    material, rng = learner.material, np.random.default_rng(settings.seed)
    clips = material.origin.drop_duplicates("video_id")
    several = clips["subject_id"].value_counts().loc[lambda number: number > 1].index
    if len(several) < 2:
        return None
    material = material.select(material.origin["subject_id"].isin(several).to_numpy())
    some = clips[clips["subject_id"].isin(several)].sample(frac=1, random_state=rng)
    turn = some.groupby("subject_id").cumcount() % GROUPS
    fold = dict(zip(some["video_id"], turn, strict=True))
    origin = material.origin.assign(
        label=material.origin["subject_id"],
        subject_id=[f"{fold[video]}" for video in material.origin["video_id"]],
    )
    subjects = replace(material, origin=origin, labels=tuple(sorted(several)))
    found = _evaluate(DiscriminantLearner((subjects,), learner.probe), settings)
    videos = select_level(found.predictions, "video", subjects.labels)
    return {
        "accuracy": compute_scores(videos)["accuracy"],
        "chance": float(np.bincount(videos.label_index).max() / len(videos.label_index)),
        "subjects": len(several),
    }


def centre_subjects(learner: DiscriminantLearner) -> DiscriminantLearner:
    """Return a learner of crops from which the mean of their subject's clips was taken.

    A tested subject's mean comes from its own clips, not from their labels.
    """
    material = learner.material
    owner = pd.factorize(material.origin["subject_id"])[0]
    means = np.stack(
        [_mean_of_clips(material, owner == number) for number in range(owner.max() + 1)]
    )
    x = (material.x - means[owner]).astype(np.float32)
    return DiscriminantLearner((replace(material, x=x),), learner.probe)


@dataclass(frozen=True)
class SubjectFreeLearner:
    """A discriminant without the directions in which training subjects differ on average.

    The directions are those of the training subjects' mean clips; `base` has one material and one
    penalty.
    """

    base: DiscriminantLearner
    independent: ClassVar[bool] = True

    @property
    def material(self) -> Material:
        """What it learns from."""
        return self.base.material

    def read(self) -> None:
        """Read the material."""
        self.base.read()

    def fit(self, rows: Rows, *, seed: int) -> Fitted:
        """Learn from the rows that are True, (N,); they must be all crops of some subjects."""
        reading, clips = self.base.readings[0], self.base.select_clips(rows)
        training = select_training(reading.moments, clips)
        owner = reading.clip_group[clips]
        means = np.stack([training.clips[owner == each].mean(axis=0) for each in np.unique(owner)])
        _, size, directions = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
        basis = directions[size > 1e-6 * max(size.max(), 1e-12)]
        probe = self.base.fit_probes(reading, training.without(basis), clips, np.ones(1))[0]
        return Fitted(replace(probe, coef=remove_directions(probe.coef, basis)), self.material)


def measure_selection(
    learner: DiscriminantLearner, split: Split, settings: EvaluateConfig
) -> dict[str, Any]:
    """Return what keeping frames that a probe fitted to all subjects is sure of would have claimed.

    Half of each clip's frames are kept, those whose own label that probe finds most probable. The
    evaluation that follows is by subject, and yet it has seen the labels of the tested subjects.
    """
    material = learner.material
    everyone = np.ones(len(material.origin), dtype=bool)
    fitted = learner.fit(everyone, seed=settings.seed)
    frames, _ = material.predict(fitted.classifier, everyone)
    sure = frames[np.arange(len(frames)), material.label_index]
    kept = np.zeros(len(sure), dtype=bool)
    for rows in material.origin.groupby("video_id", sort=False).indices.values():
        kept[rows[np.argsort(-sure[rows])[: (len(rows) + 1) // 2]]] = True
    return _score_video(
        DiscriminantLearner((replace(material, counted=kept),), learner.probe), split, settings
    )


def compare_drops(
    ledger: pd.DataFrame, labels: Sequence[str], settings: EvaluateConfig
) -> dict[str, Any]:
    """Return the share of frames lost by label, and a p value for their difference.

    The statistic is the largest difference between labels of the mean share lost per clip; whole
    clips change labels within subjects. None where no subject has clips of two labels.
    """
    clips = ledger.assign(lost=ledger["fate"] != Fate.USED).groupby("video_id", sort=False)
    table = clips.agg(
        lost=("lost", "mean"), label=("label", "first"), subject_id=("subject_id", "first")
    )
    positions = {label: number for number, label in enumerate(labels)}
    label_index = table["label"].map(positions).to_numpy(dtype=np.int64)
    groups = pd.factorize(table["subject_id"])[0]
    drawn, exact = draw_labellings(
        label_index, groups, number=settings.permutations, seed=settings.seed
    )
    lost = table["lost"].to_numpy(dtype=float)
    observed = _spread(lost, label_index[None], len(labels))[0]
    test = Chance({"lost": float(observed)}, {"lost": _spread(lost, drawn, len(labels))}, exact)
    shares = table.groupby("label")["lost"].mean()
    return {
        "shares": {str(label): float(share) for label, share in shares.items()},
        "difference": float(observed),
        "p": test.compute_p("lost"),
    }


def describe_sessions(evidence: Evidence) -> dict[str, Any]:
    """Return the sessions of videos.csv that several subjects, and so several folds, share."""
    categories = list_categories(evidence.study)
    column = next((name for name in categories if name.casefold() in SESSIONS), None)
    if column is None:
        return {"column": None, "shared": []}
    owners: dict[str, set[str]] = {}
    for video in evidence.study.videos:
        owners.setdefault(categories[column].get(video.video_id, ""), set()).add(video.subject_id)
    several = {value: sorted(who) for value, who in owners.items() if value and len(who) > 1}
    return {
        "column": column,
        "shared": [{"session": value, "subjects": subjects} for value, subjects in several.items()],
    }


def _claim(
    learner: DiscriminantLearner,
    group: NDArray[np.int64],
    settings: EvaluateConfig,
    *,
    frames_alone: bool,
) -> dict[str, float | None]:
    """Return the balanced accuracies of a split that puts whole groups of crops aside."""
    material = learner.material
    if frames_alone and material.counted is not None:  # a frame by itself counts or is not there
        group = group[material.counted]
        material = replace(material.select(material.counted), counted=None)
    origin = material.origin.assign(subject_id=[f"{number}" for number in group])
    if frames_alone:
        origin["video_id"] = [f"{number}" for number in range(len(origin))]
    moved = replace(material, origin=origin)
    table = _evaluate(DiscriminantLearner((moved,), learner.probe), settings).predictions
    answers = {"frame": _balanced(table, "frame", material.labels)}
    if not frames_alone:
        return {**answers, "video": _balanced(table, "video", material.labels)}
    rows = table.loc[table["level"] == "frame"]
    clips = material.origin["video_id"].to_numpy(dtype=object)[rows["video_id"].astype(int)]
    return {**answers, "video": _balance_by_clip(rows, clips, material.labels)}


def _balance_by_clip(
    frames: pd.DataFrame, clips: NDArray[np.object_], labels: tuple[str, ...]
) -> float | None:
    """Return the balanced accuracy of the mean answers of each clip's frames."""
    _, means = average_by_video(read_predictions(frames, labels).probability, clips)
    first = frames.assign(video_id=clips).drop_duplicates("video_id")
    predictions = replace(read_predictions(first, labels), probability=means)
    return finite_or_none(compute_scores(predictions)["balanced_accuracy"])


def _balanced(table: pd.DataFrame, level: str, labels: tuple[str, ...]) -> float | None:
    return finite_or_none(compute_scores(select_level(table, level, labels))["balanced_accuracy"])


def _evaluate(learner: DiscriminantLearner, settings: EvaluateConfig) -> Evaluation:
    """Evaluate a material whose subjects are groups, each left out once."""
    groups = sorted(learner.material.origin["subject_id"].unique())
    return evaluate_learner(learner, make_split(groups, kind="loso"), seed=settings.seed)


def _score_video(
    learner: DiscriminantLearner | SubjectFreeLearner, split: Split, settings: EvaluateConfig
) -> dict[str, Any]:
    """Return balanced accuracy by clip and its interval."""
    found = evaluate_learner(learner, split, seed=settings.seed)
    videos = select_level(found.predictions, "video", learner.material.labels)
    scores = summarise_scores(videos, evaluate=settings)
    name = "balanced_accuracy"
    return {name: scores[name], "interval": scores["interval"][name]}


def _mean_of_clips(material: Material, rows: Rows) -> NDArray[np.float32]:
    """Return the mean (F,) of the chosen crops, each clip weighing the same."""
    videos = material.origin["video_id"].to_numpy(dtype=object)[rows]
    clip = pd.factorize(videos)[0]
    weight = 1 / np.bincount(clip)[clip]
    return np.asarray(weight @ material.x[rows] / weight.sum(), dtype=np.float32)


def _spread(
    values: NDArray[np.float64], label_index: NDArray[np.integer], labels: int
) -> NDArray[np.float64]:
    """Return the largest difference of the labels' mean values, (R,), under (R, V) labellings."""
    true = label_index[:, :, None] == np.arange(labels)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.einsum("v,rvk->rk", values, true) / true.sum(axis=1)
    return np.asarray(np.nanmax(means, axis=1) - np.nanmin(means, axis=1))
