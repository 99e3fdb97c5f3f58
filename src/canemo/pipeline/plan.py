"""What is known before the first frame is read, and all that can be refused by then."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from canemo.config import Config
from canemo.errors import (
    ConfigError,
    MissingExtraError,
    ModelError,
    SplitError,
    StudyError,
    WeightsError,
)
from canemo.faces.detect.protocol import Detector
from canemo.faces.detect.registry import load_detector, load_detector_like
from canemo.faces.points import PointFinder, choose_points
from canemo.features.embed import LAYERS
from canemo.features.extraction import Extraction
from canemo.features.poolings import GEOMETRY, REGION, require_pooling
from canemo.files import require_writable
from canemo.formats.tables import find_table
from canemo.learn.evidence import Evidence, list_representations, offer_what_is_there
from canemo.learn.gradient import require_loss
from canemo.learn.methods import require_choice
from canemo.learn.splits import Split, make_split
from canemo.networks.auto import BackboneChoice, choose_backbone, is_here, list_better
from canemo.networks.backbone_specs import AUTO
from canemo.networks.backbones import Backbone, load_backbone, load_backbone_like
from canemo.pipeline.check import warn_of_design
from canemo.pipeline.extract import Cost
from canemo.records import Study
from canemo.study.load import load_study
from canemo.study.places import VIDEOS
from canemo.study.records.run import RunMetrics
from canemo.study.runs import METRICS_FILE, list_runs
from canemo.trust.comparison import Entrant

logger = logging.getLogger(__name__)


def settle_backbone(root: Path, config: Config) -> tuple[Config, str]:
    """Return the settings with the backbone named, and why that one where ``auto`` chose it.

    What ``auto`` chose for a finished run of the study it chooses again, whatever has come since,
    so that the same command gives the same numbers. The log says what was taken.

    Raises
    ------
    WeightsError, ConfigError
        As `canemo.networks.auto.choose_backbone`.
    """
    settings = config.backbone
    if settings.name != AUTO:
        return config, ""
    known = None if settings.weights else _recall_choice(root)
    choice = known or choose_backbone(settings.weights)
    logger.info("network: %s%s", choice.name, _compare_choice(choice, is_known=known is not None))
    logger.debug("why this network: %s", choice.reason)
    named = settings.model_copy(update={"name": choice.name})
    return config.model_copy(update={"backbone": named}), choice.reason


def _recall_choice(root: Path) -> BackboneChoice | None:
    """Return what ``auto`` chose for the latest run of a study, where that can still be had."""
    for folder in list_runs(root):
        try:
            protocol = RunMetrics.read(folder / METRICS_FILE).protocol
        except ModelError:
            continue  # of another version
        if protocol.backbone_reason and is_here(protocol.backbone):
            return BackboneChoice(protocol.backbone, protocol.backbone_reason)
    return None


def _compare_choice(choice: BackboneChoice, *, is_known: bool) -> str:
    """Return what may do better than the network taken, and that one taken before stays."""
    if not is_known:
        return f" (may do better: {choice.better})" if choice.better else ""
    better = list_better(choice.name)
    came = f" (came since: {better[0]}; --backbone {better[0]} takes it)" if better else ""
    return f", as for the study's latest run{came}"


def choose_configured_points(study: Study, config: Config) -> PointFinder | None:
    """Return what finds the points of a study's faces; raises as `choose_points`."""
    return choose_points(
        config.species,
        points=config.measure.points,
        engine=config.detect.engine,
        device=config.backbone.device,
        study=study,
    )


def load_configured_detector(config: Config, *, elsewhere: bool = False) -> Detector:
    """Load the detector that the settings name; `elsewhere` as for `prepare`."""
    load = load_detector_like if elsewhere else load_detector
    settings = config.detect
    return load(config.detector, engine=settings.engine, device=config.backbone.device)


def load_configured_backbone(config: Config, *, elsewhere: bool = False) -> Backbone:
    """Load the backbone that the settings name; `elsewhere` as for `prepare`."""
    settings = config.backbone
    return (load_backbone_like if elsewhere else load_backbone)(
        settings.name,
        weights=settings.weights,
        device=settings.device,
        engine=settings.engine,
        precision=settings.precision,
    )


@dataclass(frozen=True)
class Plan:
    """A study, and all that its crops, features and numbers are made with.

    Attributes
    ----------
    study, config, split
        Its videos, the settings and the folds.
    detector
        What finds the faces.
    backbones
        By name, what embeds the crops: one, or all that are compared.
    missing
        Name of what was to be compared -> why its backbone cannot be had.
    backbone_reason
        Why that backbone, where ``auto`` chose it.
    finder
        What finds the points of the faces; None: nothing does.
    cost
        What each stage took so far.
    """

    study: Study
    config: Config
    split: Split
    detector: Detector
    backbones: Mapping[str, Backbone]
    missing: Mapping[str, str] = field(default_factory=dict)
    backbone_reason: str = ""
    finder: PointFinder | None = None
    cost: Cost = field(default_factory=Cost)

    @property
    def backbone(self) -> Backbone:
        """The backbone of the settings."""
        return self.backbones[self.config.backbone.name]

    @property
    def extraction(self) -> Extraction:
        """The stages that every video of the study goes through."""
        cache_dir = self.study.root / "cache"
        backbones = tuple(self.backbones.values())
        return Extraction(self.config, self.detector, backbones, cache_dir, self.finder)


def prepare(
    root: Path,
    config: Config,
    *,
    entrants: Sequence[Entrant] = (),
    split: Split | None = None,
    elsewhere: bool = False,
) -> Plan:
    """Load all that is needed; what can be refused is refused here.

    Parameters
    ----------
    root
        Folder with videos.csv.
    config
        Settings; those of the plan name the backbone that ``auto`` means.
    entrants
        What is compared; where a backbone among them cannot be had, that is noted in `missing`.
        None means the backbone of the settings, which must be there.
    split
        The folds of a finished run; None makes those that the settings ask for.
    elsewhere
        Whether the settings are those of a finished run, perhaps of another machine: an engine that
        is not here is then replaced, with a warning.

    Raises
    ------
    StudyError, SplitError
        The study does not allow an evaluation on unseen subjects.
    ConfigError
        The settings do not fit it, or one of the backbones.
    WeightsError, MissingExtraError
        The backbone of the settings cannot be had, a weights file that was given cannot be used,
        or there is no backbone at all.
    """
    study, cost = load_study(root), Cost()
    require_writable(root)
    for settings in [entrant.configure(config) for entrant in entrants] or [config]:
        _require_runnable(study, settings)
    is_new, split = split is None, split or _split_subjects(study, config)
    config, reason = (config, "") if entrants else settle_backbone(root, config)
    if is_new:
        warn_of_design(study, config.species)
    with cost.measure("load"):
        finder = choose_configured_points(study, config)
        detector = load_configured_detector(config, elsewhere=elsewhere)
        backbones, missing = _find_backbones(entrants, config)
        if not entrants:
            own = load_configured_backbone(config, elsewhere=elsewhere)
            backbones = {config.backbone.name: own}
    stored = {
        name: _list_stored(backbone, has_points=finder is not None)
        for name, backbone in backbones.items()
    }
    config = offer_what_is_there(config, stored=set.intersection(*map(set, stored.values())))
    _require_poolings(stored, config)
    return Plan(study, config, split, detector, backbones, missing, reason, finder, cost)


def prepare_again(run_dir: Path, evidence: Evidence) -> Plan:
    """Load all that it takes to look at the videos of a finished run again, as it did.

    Raises
    ------
    StudyError, ConfigError, WeightsError, MissingExtraError
        As `prepare`.
    """
    root = run_dir.resolve().parent.parent
    return prepare(root, evidence.config, split=evidence.split, elsewhere=True)


def _require_runnable(study: Study, config: Config) -> None:
    """Refuse a study with one label, and settings that do not fit it."""
    if len(study.labels) < 2:
        raise StudyError(
            f"{find_table(study.root, VIDEOS)}: all videos have the label {study.labels[0]!r}; "
            "expected at least two labels to tell apart"
        )
    positive = config.study.positive_label
    if positive is not None and positive not in study.labels:
        raise ConfigError(
            f"study.positive_label = {positive!r}; the labels are {', '.join(study.labels)}"
        )
    offered = list_representations(config)
    for pooling, _ in offered:
        require_pooling(pooling)
    require_choice(config.probe.method, offered)
    require_loss(config.gradient, study.labels)


def _split_subjects(study: Study, config: Config) -> Split:
    """Return the folds that ``evaluate.split`` asks for."""
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for video in study.videos:
        labels[video.subject_id][video.label] += 1
    split = make_split(
        study.subject_ids,
        kind=config.evaluate.split,
        seed=config.evaluate.seed,
        labels=labels,
    )
    shown = [{name for dog in fold.train for name in labels[dog]} for fold in split.folds]
    if all(names < set(study.labels) for names in shown):
        lacking = sorted(set(study.labels) - shown[0])
        raise SplitError(
            f"split {config.evaluate.split!r}: no fold has training subjects with every label (in "
            f"the first, none shows {lacking[0]!r}); choose another --split or --seed"
        )
    return split


def _find_backbones(
    entrants: Sequence[Entrant], config: Config
) -> tuple[dict[str, Backbone], dict[str, str]]:
    """Return the backbones that are compared, and for each missing entrant why it cannot be had.

    A weights file that was given and cannot be used is an error.
    """
    found: dict[str, Backbone] = {}
    missing: dict[str, str] = {}
    for entrant in entrants:
        if entrant.backbone in found:
            continue
        try:
            found[entrant.backbone] = load_configured_backbone(entrant.configure(config))
        except (WeightsError, MissingExtraError) as exc:
            if entrant.weights is not None:
                raise
            missing[entrant.name] = str(exc)
    if entrants and not found:
        raise WeightsError(f"no backbone can be had; {'; '.join(dict.fromkeys(missing.values()))}")
    return found, missing


def _list_stored(backbone: Backbone, *, has_points: bool) -> tuple[str, ...]:
    """Return what is kept of each crop (`Features.names`)."""
    layers = LAYERS[: len(backbone.layer_dims)]
    return ("cls", "mean", "grid", *layers, REGION, *[GEOMETRY] * has_points)


def _require_poolings(stored: Mapping[str, Collection[str]], config: Config) -> None:
    """Raise ConfigError where a backbone has not got what a pooling needs."""
    regions = config.species.regions[:-1]  # the last is no part of the face
    for name, kept in stored.items():
        for pooling, _ in list_representations(config):
            require_pooling(pooling, stored=kept, regions=regions, owner=name)
