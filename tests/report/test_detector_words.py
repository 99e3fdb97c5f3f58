from types import SimpleNamespace

from canemo.report.words.detector import format_columns, format_training


def test_detectors_stand_side_by_side() -> None:
    records = [
        {"detector": "dog_head", "images": 12, "recall_50": 0.98765, "note": None},
        {"detector": "own.pt", "images": 12, "recall_50": 1.0, "note": "slow"},
    ]
    assert format_columns(records).splitlines() == [
        "detector    dog_head   own.pt",
        "images            12       12",
        "recall_50      0.988    1.000",
        "note               –     slow",
    ]


def test_training_shows_every_epoch_and_says_which_is_kept() -> None:
    def make_epoch(number: int, score: float) -> SimpleNamespace:
        return SimpleNamespace(
            epoch=number, average_precision=score, average_precision_50=0.9, recall_50=0.95,
            recall_75=0.8, false_positives_per_image=0.125,
        )  # fmt: skip

    epochs = [make_epoch(1, 0.5), make_epoch(2, 0.625)]
    record = SimpleNamespace(
        started_from="dog_head", epochs=epochs, best_epoch=epochs[1],
        train_counts=SimpleNamespace(images=80), held_out_counts=SimpleNamespace(images=20),
        train_subjects=["a", "b"], held_out_subjects=["c"],
    )  # fmt: skip
    heading, columns, first, second = format_training(record).splitlines()
    assert heading == (
        "Started from dog_head; trained on 80 images of 2 subjects, measured on 20 images of 1 "
        "others. Epoch 2 is kept."
    )
    assert columns.split() == ["Epoch", "AP", "AP50", "Recall", "at", "0.75", "False"]
    assert first.split() == ["1", "0.500", "0.900", "0.950", "0.800", "0.125"]
    assert second.split() == ["2", "0.625", "0.900", "0.950", "0.800", "0.125"]
