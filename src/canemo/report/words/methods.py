"""A methods paragraph written from the run, for a researcher to paste and edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from canemo.config import AugmentConfig, SweepConfig
from canemo.records import Fate
from canemo.report.words.checks import list_facts
from canemo.report.words.parts import name_pooling
from canemo.report.words.verdict import conclude, describe_coverage, explain_favourite
from canemo.report.words.wording import (
    PAPER,
    count,
    describe_fate,
    describe_frames,
    describe_interval,
    describe_split,
    format_interval,
    format_measure,
    format_percent,
    group_digits,
    join_words,
    name_in_text,
    quote,
    warn_of_drawings,
)
from canemo.study.records.run import RunMetrics, RunProtocol, StudyFacts
from canemo.trust.standing import Comparison, compare_with_chance, select_tested

_REPORTED = ("Permutation test", "Metadata alone")
_NAMED_PACKAGES = ("torch", "timm", "openvino", "scikit-learn", "numpy", "av")


def write_methods(metrics: RunMetrics, environment: Mapping[str, Any], *, parts: int = 0) -> str:
    """Return what was done and, apart, what came out, as paragraphs with the references below.

    It states only what the run recorded. How the dogs were filmed and how the conditions were
    induced is for the author to add; of `parts` clips only a part of the film was kept.
    """
    shortened = [f"Of {count(parts, 'clip')} only a part of the film was kept."] if parts else []
    material = " ".join([_state_study(metrics.study), *shortened, _state_faces(metrics)])
    protocol = metrics.protocol
    read = [_state_backbone(protocol), _state_blocks(protocol), _state_probe(protocol)]
    learning = " ".join(filter(None, read))
    results = " ".join(
        [
            _state_results(metrics),
            *(fact.text for fact in list_facts(metrics) if fact.title in _REPORTED),
        ]
    )
    testing = f"{_state_split(metrics.protocol)} {_state_software(environment)}"
    software = f"The canemo developers. canemo {environment['canemo']} [computer program]."
    return "\n\n".join([material, learning, testing, f"Results. {results}", software, PAPER])


def _state_study(study: StudyFacts) -> str:
    labels = [f"{quote(label)}, {count(n, 'clip')}" for label, n in study.labels.items()]
    return warn_of_drawings(drawn=study.drawn) + (
        f"The study comprised {count(study.videos, 'clip')} of "
        f"{count(study.subjects, 'dog')}, filmed in {len(labels)} conditions "
        f"({'; '.join(labels)})."
    )


def _state_faces(metrics: RunMetrics) -> str:
    study, protocol = metrics.study, metrics.protocol
    lost = [
        f"{describe_fate(fate)}, {group_digits(n)}"
        for fate, n in study.fates.items()
        if fate != Fate.USED and n
    ]
    left_out = f"; frames without a usable face were left out ({'; '.join(lost)})" if lost else ""
    share = format_percent(study.crops / study.frames) if study.frames else "–"
    return (
        f"Frames were sampled from each clip ({protocol.sampling}), "
        f"{count(study.frames, 'frame')} in all. The dog’s face was located with the detector "
        f"{protocol.detector} (SHA-256 {protocol.detector_sha256[:12]}) and cropped in "
        f"{count(study.crops, 'frame')} ({share}){left_out}."
    )


def _state_backbone(protocol: RunProtocol) -> str:
    offered = _list_offers(protocol)[0] or (protocol.pooling,)
    pooling = "" if len(offered) > 1 else f"{name_pooling(offered[0])}; "
    note = f"{protocol.backbone_note.rstrip('. ')}; " if protocol.backbone_note else ""
    at_hand = " It was the first of a fixed list whose weights were at hand."
    chosen = at_hand if protocol.backbone_reason else ""
    return (
        f"Each crop was embedded with the frozen pretrained network {protocol.backbone} "
        f"({note}weights from {protocol.weights_source}, SHA-256 "
        f"{protocol.weights_sha256[:12]}; {pooling}"
        f"{protocol.engine}, {protocol.precision}), whose parameters were not changed.{chosen}"
    )


def _state_blocks(protocol: RunProtocol) -> str:
    """Return what regions, geometry and mixes are; empty where none of them is read."""
    read = _list_offers(protocol)[0] or (protocol.pooling,)
    blocks = {block.partition("*")[0] for pooling in read for block in pooling.split(",")}
    told = []
    if any(block.startswith("region:") for block in blocks):
        told.append(
            "Features of a region of the face are the mean over the places of the network’s last "
            "map, each weighted by how much of it the region covers."
        )
    if "geometry" in blocks:
        told.append(
            "The geometry of a face is the places and confidences of its points, laid upright at "
            "one size by a similarity transform, and the distances and angles among them; it is "
            "read of the points, not of the network."
        )
    mixed = [pooling for pooling in read if "," in pooling]
    if mixed:
        shares = _state_shares(mixed, protocol.method)
        told.append(f"Parts read together had a share of the total variance each, {shares}.")
    return " ".join(told)


def _state_shares(mixed: Sequence[str], method: str) -> str:
    if any("*" in pooling for pooling in mixed):
        return "as stated"
    return "chosen in the inner folds" if method == "lda" else "the same for all"


def _state_probe(protocol: RunProtocol) -> str:
    method = protocol.method
    if method == "gradient":
        return _state_gradient(protocol)
    if method.startswith("sequence"):
        return _state_sequence(protocol)
    choices = " ".join(filter(None, [_state_sweep(protocol), _state_frames(protocol)]))
    probe = _state_discriminant(protocol) if method == "lda" else _state_logistic(protocol)
    return f"{probe} {choices}".strip()


def _state_logistic(protocol: RunProtocol) -> str:
    return (
        "A linear probe (logistic regression with L2 penalty) was trained on the standardised "
        f"embeddings {_state_weighting(protocol)}; {_state_penalty(protocol)}."
    )


def _state_discriminant(protocol: RunProtocol) -> str:
    labels = (
        "labels being taken as equally frequent"
        if protocol.class_weight == "balanced"
        else "labels being taken as frequent as among the training clips"
    )
    temperatures = protocol.temperature_chosen
    temperature = (
        "; the number that evidence is divided by before it becomes a probability (the "
        f"temperature) was chosen likewise ({_state_range(temperatures)})"
        if temperatures
        else ""
    )
    return (
        "A regularised linear discriminant was fitted to the standardised embeddings, each "
        "clip weighing the same, with a penalty added to the variance of the features within "
        f"conditions and {labels}; {_state_penalty(protocol)}{temperature}."
    )


def _state_range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g} in every fold" if low == high else f"{low:g} to {high:g} over the folds"


def _state_sweep(protocol: RunProtocol) -> str:
    """Return what inner folds chose from besides the penalty; empty where that was one thing."""
    poolings, frames = _list_offers(protocol)
    offers = []
    if len(poolings) > 1:
        named = [pooling.replace(",", " with ") for pooling in poolings]
        offers.append(f"what is read of each crop (from {join_words(named)})")
    if len(frames) > 1:
        rules = join_words([describe_frames(rule) for rule in frames])
        offers.append(f"the frames of a clip that count (from {rules})")
    if not offers:
        return ""
    verb = "was" if len(offers) == 1 and "frames" not in offers[0] else "were"
    offered = join_words(offers)
    return (
        f"{offered[0].upper()}{offered[1:]} {verb} chosen together with the penalty, in the same "
        "inner folds."
    )


def _state_frames(protocol: RunProtocol) -> str:
    """Return which frames of a clip counted; empty where all did or inner folds chose."""
    rules = _list_offers(protocol)[1] or (protocol.frames,)
    if len(rules) > 1 or rules[0] == "all":
        return ""
    return f"Of each clip, {describe_frames(rules[0])} counted."


def _list_offers(protocol: RunProtocol) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the poolings and the choices of frames that inner folds were offered."""
    sweep = protocol.sweep or SweepConfig()
    return sweep.poolings, sweep.frames


def _state_gradient(protocol: RunProtocol) -> str:
    settings, augment = protocol.gradient, protocol.augment
    if settings is None or augment is None:
        raise ValueError("a run of the method gradient says how it was trained")
    views = (
        "a fresh view in every epoch"
        if settings.feed == "exact"
        else f"one of {settings.feed.removeprefix('views:')} views per crop in every epoch"
    )
    return (
        f"A linear layer was trained on the embeddings for {settings.epochs} epochs with Adam "
        f"(betas {settings.betas[0]:g} and {settings.betas[1]:g}, learning rate "
        f"{settings.learning_rate:g}, batches of {settings.batch_size}, "
        f"{settings.loss.replace('_', '-')} loss), {_state_weighting(protocol)}, on augmented "
        f"crops ({_state_augmentation(augment)}; {views}). The last epoch was taken."
    )


def _state_augmentation(augment: AugmentConfig) -> str:
    names = ("brightness", "contrast", "saturation", "hue")
    strengths = {name: getattr(augment, name) for name in names}
    jitter = [f"{name} {strength:g}" for name, strength in strengths.items() if strength]
    low, high = augment.area
    parts = [
        f"horizontal flips with probability {augment.flip:g}" if augment.flip else "",
        f"colour jitter ({', '.join(jitter)})" if jitter else "",
        f"random parts of {100 * low:g} to {100 * high:g} % of the crop" if low < 1 else "",
    ]
    return join_words([part for part in parts if part]) or "no changes"


def _state_weighting(protocol: RunProtocol) -> str:
    balanced = protocol.class_weight == "balanced"
    return "with classes weighted equally" if balanced else "without class weights"


def _state_sequence(protocol: RunProtocol) -> str:
    kind, settings = protocol.method.removeprefix("sequence_"), protocol.sequence
    if settings is None:
        raise ValueError("a run of a sequence method says how it was trained")
    return (
        f"A model of the whole clip ({kind} over time, {settings.hidden} hidden units) was "
        f"trained on the standardised embeddings, {_state_weighting(protocol)}, for "
        f"{settings.epochs} epochs with AdamW (learning rate {settings.learning_rate:g}, "
        f"weight decay {settings.weight_decay:g}). The last epoch was taken."
    )


def _state_penalty(protocol: RunProtocol) -> str:
    penalties, chosen = protocol.penalties, protocol.penalty_chosen
    if len(penalties) == 1:
        return f"the penalty was fixed at {penalties[0]:g}"
    offered = join_words([f"{value:g}" for value in penalties])
    counts = {value: list(chosen).count(value) for value in sorted(set(chosen))}
    taken = join_words([f"{value:g} in {count(n, 'fold')}" for value, n in counts.items()])
    return (
        f"the penalty was chosen in each fold from {offered} by cross-validation across the "
        f"training dogs alone (chosen: {taken})"
    )


def _state_split(protocol: RunProtocol) -> str:
    resamples = group_digits(protocol.resamples)
    return (
        f"Performance was measured on dogs that took no part in training: "
        f"{describe_split(protocol.split, protocol.folds)}, seed {protocol.seed}. "
        f"The clip was the unit of analysis: {_state_clip(protocol)} Intervals are 95 % "
        f"intervals from {resamples} bootstrap resamples of dogs "
        f"({describe_interval(protocol.interval)})."
    )


def _state_clip(protocol: RunProtocol) -> str:
    if protocol.method.startswith("sequence"):
        return "the model read it as a whole and assigned it to the most probable condition."
    return (
        "the probabilities of its frames were averaged, and the clip was assigned to the condition "
        "with the highest mean probability."
    )


def _state_results(metrics: RunMetrics) -> str:
    tested = select_tested(compare_with_chance(metrics))
    facts = join_words([_state_measure(item) for item in tested])
    majority = metrics.chance.majority
    two = len(metrics.study.labels) == 2
    positive = f", with {quote(metrics.protocol.positive_label)} as positive" if two else ""
    coverage, conclusion = describe_coverage(metrics), conclude(metrics)
    return (
        f"{coverage}{' ' if coverage else ''}"
        f"{conclusion}{'. ' if conclusion else ''}"
        f"On {count(metrics.levels.video.n, 'clip')} (one answer per clip{positive}), "
        f"the results were {facts}. Always answering {quote(majority.label)} would have given "
        f"an accuracy of {format_percent(majority.video)}. "
        f"{explain_favourite(metrics.levels.video.confusion.favourite)}"
    ).strip()


def _state_measure(item: Comparison) -> str:
    text = f"{name_in_text(item.measure)} {format_measure(item.measure, item.value)}"
    if item.interval is None:
        return text
    return f"{text} (95 % interval {format_interval(item.measure, item.interval)})"


def _state_software(environment: Mapping[str, Any]) -> str:
    packages = environment["packages"]
    named = [f"{name} {packages[name]}" for name in _NAMED_PACKAGES if name in packages]
    software = join_words([f"Python {environment['python']}", *named])
    return (
        f"Computations were run with canemo {environment['canemo']} ({software}) on "
        f"{environment['platform']}. The approach, a linear probe on a frozen pretrained backbone "
        "applied to face crops, follows Boneh-Shitrit et al. (2022)."
    )
