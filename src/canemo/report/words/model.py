"""What is said of a saved model: its verdict in a sentence, in a word, and on its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from canemo.learn.classifier_files import describe_classifier
from canemo.learn.material import Classifier
from canemo.learn.saved_model import SavedModel
from canemo.learn.sequence import SequenceProbe
from canemo.report.tables import Column, Line, Table
from canemo.report.words.verdict import choose_decimals, continue_sentence, describe_favourite
from canemo.report.words.voice import Voice
from canemo.report.words.wording import (
    count,
    describe_split,
    format_p,
    format_percent,
    join_ends,
    join_words,
    quote,
)
from canemo.study.records.model import ModelEvaluation, Standing
from canemo.study.records.scores import Interval
from canemo.trust.standing import Comparison

VERDICTS: Mapping[Standing, str] = {
    Standing.ABOVE: "told from chance",
    Standing.UNCLEAR: "not told from chance",
    Standing.MIXED: "above and below chance",
    Standing.BELOW: "worse than chance",
    Standing.VOID: "nothing can be concluded",
}
"""What stands in tables and pictures."""

_OPENINGS: Mapping[Standing, str] = {
    Standing.ABOVE: "This model could be told from chance",
    Standing.UNCLEAR: "This model could not be told from chance",
    Standing.MIXED: "This model was above chance by one measure and below it by another",
    Standing.BELOW: "This model was worse than chance",
    Standing.VOID: "Nothing can be concluded about the condition from this model",
}

_WITHHELD = "its answers are not used unless you ask with --anyway"
_ASKED_FOR = "its answers are used only because you asked with --anyway"


def name_verdict(evaluation: ModelEvaluation) -> str:
    """Return in a few words whether a model could be told from chance."""
    return VERDICTS[evaluation.standing] + (" on drawn dogs" if evaluation.drawn else "")


def write_model_sentence(evaluation: ModelEvaluation, *, anyway: bool = False) -> str:
    """Return whether a model could be told from chance, and what becomes of its answers.

    `anyway` says that they were asked for whatever the verdict.
    """
    verdict = state_verdict(evaluation)
    if evaluation.answers:
        return f"{verdict}."
    return f"{verdict}: {_ASKED_FOR if anyway else _WITHHELD}."


def state_verdict(evaluation: ModelEvaluation) -> str:
    """Return whether a model could be told from chance, without a full stop."""
    reason = f", for {continue_sentence(evaluation.reason)}" if evaluation.reason else ""
    return f"{_open(evaluation)} ({_state_numbers(evaluation)}){reason}"


def explain_withheld(evaluation: ModelEvaluation) -> str:
    """Return why a clip was left undecided, as its message says it."""
    opening = _open(evaluation)
    return f"left undecided: {opening[0].lower()}{opening[1:]}"


def _open(evaluation: ModelEvaluation) -> str:
    drawn = " on dogs drawn by a program, which says nothing about real ones"
    return _OPENINGS[evaluation.standing] + (drawn if evaluation.drawn else "")


def list_facts(model: SavedModel) -> dict[str, str]:
    """Return what a model was tested on and made from, by name."""
    found, training = model.evaluation, model.training
    labels = join_words([f"{n} {quote(label)}" for label, n in found.clips_by_label.items()])
    split = describe_split(training.split, training.folds)
    return {
        "Verdict": name_verdict(found),
        "Balanced accuracy": _state_balanced(found),
        "Accuracy": (
            f"{_state(found, found.accuracy, found.accuracy_interval, chance=found.majority)}; "
            f"always answering {quote(found.majority_label)} gives "
            f"{format_percent(found.majority)}"
        ),
        "Permutation test": _state_p(found) or "no p",
        "Tested on": (
            f"{count(found.subjects, 'dog')} it had not seen ({split}), "
            f"{count(found.clips, 'clip')}: {labels}"
        ),
        "Then made from": (
            f"all {count(training.videos, 'clip')} of {count(training.subjects, 'dog')} of the "
            f"study {quote(training.study)}"
        ),
        "Backbone": training.backbone,
        "Made": f"{training.created}, canemo {training.canemo}",
    }


def describe_model(model: SavedModel) -> Table:
    """Return the table of what a model rests on, and of the settings it treats video with."""
    settings = {
        f"{section}.{name}": str(value)
        for section, entries in model.config.model_dump(mode="json", exclude_none=True).items()
        if isinstance(entries, dict)
        for name, value in entries.items()
    }
    lines = [
        Line({"name": name, "text": text}, group=group)
        for group, texts in (("evaluation", list_facts(model)), ("setting", settings))
        for name, text in texts.items()
    ]
    return Table(
        "The model that classified the clips.",
        (Column("name", "Name"), Column("text", "Value")),
        tuple(lines),
        look_for=write_model_sentence(model.evaluation),
        groups="What it is",
    )


def write_card(model: SavedModel) -> str:
    """Return the model card, in Markdown."""
    config, classifier = model.config, model.classifier
    voice = Voice(config.species, (model.training.study, *classifier.labels))
    facts = "\n".join(f"- {name}: {text}" for name, text in list_facts(model).items())
    return f"""---
library_name: canemo
tags: [animal-behaviour, facial-expression, {config.species.noun}]
---
# Model card

{voice.say(write_model_sentence(model.evaluation))}

{_name_classifier(classifier)} on the frozen backbone {config.backbone.name}, fitted on face crops.

## Uses

Classifies video of a face into the conditions it was trained on:

{_list_labels(classifier.labels)}

It says under which condition the footage looks filmed. It does not say what an animal feels, and it
is no diagnosis. Where it could not be told from chance, or only on drawings, `canemo predict`
answers "undecided", unless it is asked for its answers with `--anyway`.

## Evaluation

{voice.say(facts)}

## Limits

Other breeds, cameras, rooms or ways to induce a condition than those of the study are untested. The
face detector that ships with canemo is for non-commercial research only.

## Technical details

- method {config.probe.method}, pooling {config.probe.pooling}
- {_name_settings(classifier)}
- backbone weights SHA-256 {model.backbone_sha256}
- detector {PurePath(config.detector).name}, fingerprint {model.detector_sha256}
"""


def _state_numbers(found: ModelEvaluation) -> str:
    same = describe_favourite(found.favourite)
    facts = [f"balanced accuracy {_state_balanced(found)}", _state_p(found)]
    tested = f"{count(found.subjects, 'dog')}, {count(found.clips, 'clip')}"
    return f"{same and f'it {same}; '}{', '.join(filter(None, facts))}; {tested}"


def _state_balanced(found: ModelEvaluation) -> str:
    stated = _state(found, found.balanced_accuracy, found.interval, chance=found.chance)
    return f"{stated}, guessing gives {100 * found.chance:.3g} %"


def _state(
    found: ModelEvaluation, value: float | None, interval: Interval | None, *, chance: float
) -> str:
    """Return a share with its interval; as exactly as it takes to see on which side chance lies.

    Where nearly all answers were the same the interval says nothing, and is not said.
    """
    decimals = choose_decimals(Comparison("", value, interval, chance))
    if found.favourite is not None:
        return f"{format_percent(value, decimals=decimals)}, no interval that says anything"
    if interval is None:
        return f"{format_percent(value, decimals=decimals)}, no interval could be computed"
    ends = join_ends(*(format_percent(end, decimals=decimals) for end in interval))
    return f"{format_percent(value, decimals=decimals)}, 95 % interval {ends}"


def _state_p(found: ModelEvaluation) -> str:
    """Return p, and whose it is where it was not the model's own method that was permuted."""
    if found.p is None:
        return ""
    whose = "" if found.permuted == "own" else " of the closed-form discriminant"
    return f"{format_p(found.p)}{whose}"


def _name_classifier(classifier: Classifier) -> str:
    if isinstance(classifier, SequenceProbe):
        return f"A model of the whole clip ({classifier.head})"
    return "A linear probe"


def _name_settings(classifier: Classifier) -> str:
    return ", ".join(f"{k} {v}" for k, v in describe_classifier(classifier).items())


def _list_labels(labels: Sequence[str]) -> str:
    """Return the labels indented, which Markdown shows as they are, whatever they hold."""
    return "\n".join(f"    {label}" for label in labels)
