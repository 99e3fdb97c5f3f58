from __future__ import annotations

import re

import pytest

from canemo.config import AugmentConfig, GradientConfig, SequenceConfig
from canemo.report.words.methods import write_methods
from report_fixtures import make_environment, make_metrics, record


def test_numbers_are_those_of_the_run() -> None:
    metrics = make_metrics()
    text = write_methods(record(metrics), make_environment())
    study = metrics["study"]
    for fact in (
        f"{study['videos']} clips of 29 dogs",
        f"“frustration”, {study['labels']['frustration']} clips",
        "5 frames per second",
        "no face found, 340",
        "frozen pretrained network dino_vits8",
        "leave one dog out, 29 rounds, seed 0",
        "0.1 in 21 folds and 1 in 8 folds",
        "accuracy 83.1 % (95 % interval 76.1 to 89.7 %)",
        "AUROC 0.888 (95 % interval 0.821 to 0.931)",
        "with “positive anticipation” as positive",
        "2,000 bootstrap resamples of dogs",
        "canemo 0.1.0 (Python 3.11.9, torch 2.9.0",
        "arXiv:2206.05619",
    ):
        assert fact in text


def test_no_claim_of_a_choice_that_was_not_made() -> None:
    metrics = make_metrics()
    metrics["protocol"] |= {
        "method": "logistic",
        "sweep": None,
        "penalties": [0.01],
        "class_weight": None,
    }
    text = write_methods(record(metrics), make_environment())
    assert "the penalty was fixed at 0.01" in text
    assert "without class weights" in text
    assert "cross-validation" not in text


def test_three_labels_name_no_positive_one() -> None:
    text = write_methods(record(make_metrics(("food", "social", "toy"))), make_environment())
    assert "in 3 conditions" in text
    assert "as positive" not in text


def test_training_by_gradient_is_told_as_it_was_recorded() -> None:
    metrics = make_metrics()
    gradient = GradientConfig(feed="exact").model_dump(mode="json") | {"learning_rate": 5e-6}
    augment = AugmentConfig(flip=0, hue=0).model_dump(mode="json")
    metrics["protocol"] |= {
        "method": "gradient",
        "gradient": gradient,
        "augment": augment,
        "class_weight": None,
    }
    text = write_methods(record(metrics), make_environment())
    for fact in (
        "30 epochs with Adam (betas 0 and 0.999, learning rate 5e-06, batches of 64",
        "without class weights",
        "colour jitter (brightness 0.2, contrast 0.2, saturation 0.2)",
        "random parts of 80 to 100 % of the crop; a fresh view in every epoch",
        "The last epoch was taken",
    ):
        assert fact in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "flips" not in text
    assert "penalty" not in text


def test_model_of_the_whole_clip_does_not_claim_to_average_frames() -> None:
    metrics = make_metrics()
    sequence = SequenceConfig().model_dump(mode="json")
    metrics["protocol"] |= {"method": "sequence_gru", "sequence": sequence}
    text = write_methods(record(metrics), make_environment())
    assert "A model of the whole clip (gru over time, 64 hidden units)" in text
    assert "with classes weighted equally" in text
    assert "were averaged" not in text


def test_discriminant_is_described_with_its_choices() -> None:
    text = write_methods(record(make_metrics()), make_environment())
    for fact in (
        "A regularised linear discriminant was fitted to the standardised embeddings, each clip "
        "weighing the same, with a penalty added to the variance of the features within conditions "
        "and labels being taken as equally frequent; the penalty was chosen in each fold from 0.0",
        "the number that evidence is divided by before it becomes a probability (the temperature) "
        "was chosen likewise (0.5 to 1 over the folds)",
        "What is read of each crop (from cls, upper and lower) and the frames of a clip that "
        "count (from all frames and the 50 % of frames with the highest sharpness) were chosen "
        "together with the penalty, in the same inner folds.",
        "95 % intervals from 2,000 bootstrap resamples of dogs (bootstrap "
        "standard error with Student’s t, symmetric in the log-odds of a share)",
        "The labels of whole clips were moved within each dog, 1,000 times at random",
        "A probe that sees session, duration and brightness and nothing else of the picture",
    ):
        assert fact in text
    assert "Brier score" not in text
    assert "logistic" not in text
    assert "cls embedding" not in text


@pytest.mark.parametrize(
    ("pooling", "method", "told", "untold"),
    [
        ("cls", "lda", "", "region of the face|geometry of a face|read together"),
        ("region:muzzle", "lda", "Features of a region of the face are the mean", "geometry"),
        ("geometry", "lda", "The geometry of a face is the places", "region of the face"),
        ("cls,geometry", "lda", "variance each, chosen in the inner folds.", "region of the face"),
        ("cls,geometry", "logistic", "variance each, the same for all.", "inner folds."),
        ("cls*0.8,geometry*0.2", "lda", "variance each, as stated.", "region of the face"),
    ],
)
def test_regions_geometry_and_mixes_are_explained(
    pooling: str, method: str, told: str, untold: str
) -> None:
    metrics = make_metrics()
    metrics["protocol"] |= {"pooling": pooling, "sweep": None, "method": method}
    text = write_methods(record(metrics), make_environment())
    assert told in text
    assert re.search(untold, text) is None


def test_discriminant_without_class_weight_or_sweep() -> None:
    metrics = make_metrics()
    metrics["protocol"] |= {
        "class_weight": None,
        "sweep": None,
        "frames": "even:8",
        "temperature_chosen": [0.5, 0.5],
        "interval": "log-odds t",
    }
    text = write_methods(record(metrics), make_environment())
    assert "labels being taken as frequent as among the training clips" in text
    assert "Of each clip, 8 evenly spaced frames counted." in text
    assert "chosen likewise (0.5 in every fold)" in text
    assert "together with the penalty" not in text
    assert "; whole crop, summed up by the backbone; " in text
    assert (
        "(bootstrap standard error with Student’s t, symmetric in the log-odds of a share)" in text
    )


def test_logistic_regression_is_not_called_a_discriminant() -> None:
    metrics = make_metrics()
    metrics["protocol"] |= {"method": "logistic", "sweep": None, "temperature_chosen": []}
    text = write_methods(record(metrics), make_environment())
    assert "logistic regression" in text
    assert "linear discriminant was fitted" not in text


def test_results_stand_apart_from_methods_and_no_advice_to_install_is_among_them() -> None:
    metrics = make_metrics()
    metrics["protocol"]["backbone_reason"] = "first; not to be had: b (pip install 'canemo[vit]')"
    paragraphs = write_methods(record(metrics), make_environment()).split("\n\n")
    assert [text for text in paragraphs if "83.1 %" in text] == [paragraphs[3]]
    assert paragraphs[3].startswith("Results. ")
    assert "It was the first of a fixed list whose weights were at hand." in paragraphs[1]
    assert "pip install" not in " ".join(paragraphs)
    assert "macro F1" not in " ".join(paragraphs)
    assert paragraphs[4] == "The canemo developers. canemo 0.1.0 [computer program]."
