"""The ways to learn labels from frozen features, behind one interface: rows in, classifier out."""

from __future__ import annotations

from collections.abc import Sequence

from canemo.config import Config
from canemo.errors import ConfigError
from canemo.features.poolings import POOLINGS, name_blocks
from canemo.features.views import StudyViews
from canemo.learn.gradient import (
    GradientLearner,
    choose_learning_rate,
)
from canemo.learn.lda import DiscriminantLearner
from canemo.learn.learner import Learner
from canemo.learn.logistic import LogisticLearner
from canemo.learn.material import Material
from canemo.learn.sequence import SequenceLearner


def require_choice(method: str, offered: Sequence[tuple[str, str]]) -> None:
    """Raise ConfigError where a method cannot choose among, or use, these poolings and frames.

    Mixes of the same blocks are no choice: what cannot choose takes the first, which is even.
    """
    if method == "lda":
        return
    blocks, frames = name_blocks(offered[0][0]), offered[0][1]
    if any((name_blocks(pooling), rule) != (blocks, frames) for pooling, rule in offered):
        raise ConfigError(
            f"probe.method = {method!r}: only 'lda' chooses among poolings and frames in inner "
            "folds; take the sweep out, or choose that method"
        )
    if method == "gradient" and frames != "all":
        raise ConfigError(
            f"probe.frames = {frames!r}: the method 'gradient' learns from all frames"
        )
    if method == "gradient" and blocks not in POOLINGS:
        raise ConfigError(
            f"probe.pooling = {blocks!r}: the method 'gradient' learns from augmented pictures, "
            f"whose points are not known; choose one of {', '.join(POOLINGS)}, or another method"
        )


def make_learner(
    materials: Sequence[Material], *, config: Config, views: StudyViews | None
) -> Learner:
    """Return the learner that ``probe.method`` asks for; only ``gradient`` uses the views.

    Raises
    ------
    ConfigError
        There are several materials to choose from, or frames were chosen, and the method cannot.
    """
    method, _, head = config.probe.method.partition("_")
    require_choice(config.probe.method, [(each.pooling, each.frames) for each in materials])
    if method == "lda":
        return DiscriminantLearner(tuple(materials), config.probe)
    material = materials[0]
    if method == "sequence":
        return SequenceLearner(material, config.probe, head, config.sequence)
    if method == "gradient":
        if views is None:
            raise ConfigError("the method 'gradient' learns from pictures, and there are none here")
        rate = choose_learning_rate(config.gradient, is_cnn=views.backbone.is_cnn)
        return GradientLearner(material, config.probe, config.gradient, rate, views)
    return LogisticLearner(material, config.probe)
