"""Evidence comes back as it was written, and whatever is odd about it, there are numbers of it."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from canemo.config import SWEEP_POOLINGS, SweepConfig, load_config
from canemo.errors import ModelError
from canemo.features.embed import LAYERS
from canemo.features.poolings import weigh_blocks
from canemo.learn.evidence import (
    list_blocks,
    list_representations,
    make_materials,
    offer_what_is_there,
    read_evidence,
    settle,
)
from canemo.learn.splits import Fold, Split
from canemo.study.records.folders import read_run
from canemo.study.runs import pin_engines
from canemo.trust.metadata import describe_clips
from evidence_worlds import draw_evidence, lose_frames, measure, with_features, write_run
from worlds import LABELS, THREE_LABELS

ODD = {"labels": ("7", "rest/`b` é")}


def read_back(evidence, folder):
    return read_evidence(read_run(write_run(evidence, folder)))


def blocks_evidence():
    """Evidence of one block alone, and of two that are only ever mixed."""
    evidence = draw_evidence(subjects=4, clips=4)
    sweep = SweepConfig(poolings=("mean,geometry",))
    config = evidence.config.model_copy(update={"sweep": sweep})
    first = evidence.materials[0]
    geometry = np.random.default_rng(0).normal(size=(len(first.x), 3)).astype(np.float32)
    pooled = {"cls": first.x, "mean": 2 * first.x[:, ::-1], "geometry": geometry}
    materials = make_materials(
        first.origin, pooled, evidence.ledger, labels=first.labels, config=config
    )
    return replace(evidence, config=config, materials=materials), pooled


# -- there and back --------------------------------------------------------------------------------


def test_evidence_comes_back_as_it_was_written(tmp_path):
    offered = {"sweep": {"poolings": ("cls", "mean"), "frames": ("all", "even:2")}}
    evidence = draw_evidence(
        subjects=4,
        clips=4,
        overrides=offered,
        extra=lambda dog, clip: {"session": f"é{clip // 2}", "note": "" if clip else "wet, dark"},
        **ODD,
    )
    subjects = pd.DataFrame(
        {"subject_id": ["s00", "s03"], "breed": ["Pudel", None], "age": [3.5, np.nan]}
    ).set_index("subject_id")
    evidence = replace(evidence, study=replace(evidence.study, subjects=subjects))
    (tmp_path / "run").mkdir()
    run = write_run(replace(evidence, study=replace(evidence.study)), tmp_path / "run" / "a")
    again = read_evidence(read_run(run))
    assert [m.pooling for m in again.materials] == ["cls", "cls", "mean", "mean"]
    assert [m.frames for m in again.materials] == ["all", "even:2", "all", "even:2"]
    for one, other in zip(evidence.materials, again.materials, strict=True):
        np.testing.assert_array_equal(one.x, other.x)
        assert one.x.dtype == other.x.dtype == np.float32
        assert one.labels == other.labels
        pd.testing.assert_frame_equal(one.origin, other.origin)
    pd.testing.assert_frame_equal(evidence.ledger, again.ledger)
    pd.testing.assert_frame_equal(evidence.clips, again.clips)
    pd.testing.assert_frame_equal(subjects, again.study.subjects, check_dtype=False)
    for video, other in zip(evidence.study.videos, again.study.videos, strict=True):
        assert (video.video_id, video.subject_id, video.label, dict(video.extra)) == (
            other.video_id, other.subject_id, other.label, dict(other.extra),
        )  # fmt: skip
    ran = {"engine": "torch", "precision": "float32", "detector_engine": "torch"}
    assert (again.config, again.split) == (pin_engines(evidence.config, **ran), evidence.split)
    pd.testing.assert_frame_equal(describe_clips(evidence), describe_clips(again))


def test_blocks_are_kept_once_and_mixed_again(tmp_path):
    evidence, pooled = blocks_evidence()
    run = write_run(evidence, tmp_path / "run")
    assert pq.read_schema(run / "features.parquet").names[5:] == ["cls", "mean", "geometry"]
    again = read_evidence(read_run(run)).materials
    mixes = [
        f"mean*{share},geometry*{other}" for share, other in [(0.5, 0.5), (0.8, 0.2), (0.2, 0.8)]
    ]
    assert [each.pooling for each in again] == ["cls", *mixes]
    for one, other in zip(evidence.materials, again, strict=True):
        np.testing.assert_array_equal(one.x, other.x)
        assert one.widths == other.widths
    np.testing.assert_array_equal(again[1].x[:, -3:], pooled["geometry"])
    np.testing.assert_array_equal(again[2].weights, weigh_blocks(mixes[1], again[2].widths))
    assert again[0].weights is None
    assert again[1].x is again[3].x


def test_a_sweep_offers_what_there_is():
    stored, swept = ("cls", "mean", "grid", *LAYERS), {"poolings": SWEEP_POOLINGS}

    def offer(*further, **overrides):
        config = load_config(overrides={"sweep": swept, **overrides})
        return offer_what_is_there(config, stored=(*stored, *further)).sweep.poolings

    faces = [each for each in SWEEP_POOLINGS if "region" in each or "geometry" in each]
    assert offer("region", "geometry") == SWEEP_POOLINGS
    assert offer() == tuple(each for each in SWEEP_POOLINGS if each not in faces)
    assert set(offer("region")) - {*offer()} == {"region:eyes", "region:ears", "region:muzzle"}
    assert offer("region", study={"species": "generic"}) == offer()
    named = {"poolings": ("geometry",)}  # asked for by name: to be refused
    assert offer(sweep=named) == ("geometry",)


def test_a_mix_that_was_chosen_is_settled():
    evidence, _ = blocks_evidence()
    settled = settle(evidence.config, evidence.materials[3])
    assert settled.probe.pooling == "mean*0.2,geometry*0.8"
    assert list_representations(settled) == [("mean*0.2,geometry*0.8", "all")]
    assert list_blocks(settled) == ["mean", "geometry"]


def test_features_are_kept_to_the_last_bit_where_half_the_digits_do_not_do(tmp_path):
    evidence = draw_evidence(subjects=3, clips=2)
    x = evidence.materials[0].x / 3
    again = read_back(with_features(evidence, x), tmp_path / "run")
    np.testing.assert_array_equal(again.materials[0].x, x)


def test_lost_frames_and_numbers_survive(tmp_path):
    evidence = lose_frames(draw_evidence(subjects=4, clips=4), dict.fromkeys(LABELS, 0.4))
    again = read_back(evidence, tmp_path / "run")
    pd.testing.assert_frame_equal(evidence.ledger, again.ledger)
    before, after = (measure(each).to_dict() for each in (evidence, again))
    for part in (before, after):
        part["study"].pop("name")
    assert json.dumps(before) == json.dumps(after)


def test_frames_that_count_are_chosen_again_from_the_ledger(tmp_path):
    overrides = {"probe": {"frames": "score:.5"}}
    evidence = draw_evidence(subjects=4, clips=4, overrides=overrides)
    ledger = evidence.ledger.assign(score=np.random.default_rng(0).random(len(evidence.ledger)))
    evidence = replace(evidence, ledger=ledger)
    counted = read_back(evidence, tmp_path / "run").materials[0].counted
    rank = ledger.groupby("video_id")["score"].rank(ascending=False)
    np.testing.assert_array_equal(counted, rank <= 3)


def test_folder_of_an_older_run_says_what_to_give(tmp_path):
    run = write_run(draw_evidence(subjects=3, clips=2), tmp_path / "run")
    (run / "features.parquet").unlink()
    with pytest.raises(ModelError, match="of a run that this version of canemo finished"):
        read_evidence(read_run(run))


def test_nothing_is_left_to_choose_once_it_is_settled():
    offered = {"sweep": {"poolings": ("cls", "mean", "cls"), "frames": ("all", "even:2")}}
    evidence = draw_evidence(subjects=3, clips=2, overrides=offered)
    assert list_representations(evidence.config) == [
        ("cls", "all"), ("cls", "even:2"), ("mean", "all"), ("mean", "even:2"),
    ]  # fmt: skip
    settled = settle(evidence.config, evidence.materials[3])
    assert list_representations(settled) == [("mean", "even:2")]
    assert settle(settled, evidence.materials[3]) == settled


def test_features_that_are_no_numbers_name_the_video():
    evidence = draw_evidence(subjects=3, clips=2)
    (material,) = evidence.materials
    x = material.x.copy()
    x[(material.origin["video_id"] == "v01_1").to_numpy()] = np.nan
    x[-1] = np.inf
    with pytest.raises(
        ModelError, match=r"\(cls\) of 7 crop\(s\).*first in video 'v01_1'.*damaged"
    ):
        make_materials(
            material.origin, {"cls": x}, evidence.ledger, labels=LABELS, config=evidence.config
        )


# -- studies that hardly allow a test --------------------------------------------------------------


def only(evidence, keep):
    """Return the evidence with the videos that `keep` wants, of dog and clip."""
    (material,) = evidence.materials
    wanted = {v.video_id for v in evidence.study.videos if keep(v)}
    rows = material.origin["video_id"].isin(wanted).to_numpy()
    ledger = evidence.ledger
    return replace(
        evidence,
        study=replace(
            evidence.study,
            videos=tuple(v for v in evidence.study.videos if v.video_id in wanted),
        ),
        ledger=ledger[ledger["video_id"].isin(wanted)].reset_index(drop=True),
        materials=(
            replace(
                material, x=material.x[rows], origin=material.origin[rows].reset_index(drop=True)
            ),
        ),
        clips=evidence.clips[evidence.clips["video_id"].isin(wanted)].reset_index(drop=True),
    )


def one_clip():
    return only(
        draw_evidence(subjects=5, clips=4),
        lambda v: v.subject_id != "s02" or v.video_id.endswith("_1"),
    )


def one_clip_each():
    return draw_evidence(subjects=8, clips=1, label_of=lambda dog, clip: dog % 2)


def label_in_one_dog():
    return draw_evidence(
        subjects=5,
        labels=THREE_LABELS,
        label_of=lambda dog, clip: 2 if (dog, clip) == (1, 0) else clip % 2,
    )


def label_of_two_in_one_dog():
    return draw_evidence(subjects=5, label_of=lambda dog, clip: int(dog == 1 and clip % 2))


def constant():
    evidence = draw_evidence(subjects=5)
    return with_features(evidence, np.ones_like(evidence.materials[0].x))


def two_dogs():
    return draw_evidence(subjects=2, clips=4)


def one_session():
    return draw_evidence(subjects=4, extra=lambda dog, clip: {"session": "1"})


def aligned():
    return draw_evidence(
        subjects=4,
        label_of=lambda dog, clip: clip % 2,
        extra=lambda dog, clip: {"session": f"{clip % 2}"},
    )


def three_labels():
    return draw_evidence(subjects=5, labels=THREE_LABELS, effect=3.0)


def dog_without_a_crop():
    return lose_crops(draw_evidence(subjects=5, clips=4), "subject_id", "s03")


def clip_without_a_crop():
    return lose_crops(draw_evidence(subjects=4, clips=4), "video_id", "v01_2")


def lose_crops(evidence, column, value):
    """Find no face in any frame of a dog or of a clip."""
    (material,) = evidence.materials
    lost = evidence.ledger[column] == value
    rows = (material.origin[column] != value).to_numpy()
    origin = material.origin[rows].reset_index(drop=True)
    return replace(
        evidence,
        ledger=evidence.ledger.assign(fate=np.where(lost, "no_face", "used")),
        materials=(replace(material, x=material.x[rows], origin=origin),),
    )


def one_frame_each():
    return draw_evidence(subjects=4, clips=4, frames=1)


def held_out_dog_with_one_label():
    evidence = draw_evidence(subjects=4, label_of=lambda dog, clip: 0 if dog == 3 else clip % 2)
    fold = Fold(("s00", "s01", "s02"), ("s03",))
    return replace(evidence, split=Split("holdout:1", 0, (fold,)))


def unlike_dogs():
    return draw_evidence(subjects=6, label_of=lambda dog, clip: dog % 2)


def three_labels_one_per_dog():
    return draw_evidence(subjects=6, labels=THREE_LABELS, label_of=lambda dog, clip: dog % 3)


EVERY_STUDY = [
    one_clip, one_clip_each, label_in_one_dog, label_of_two_in_one_dog, constant, two_dogs,
    one_session, aligned, three_labels, dog_without_a_crop, clip_without_a_crop, one_frame_each,
    held_out_dog_with_one_label, unlike_dogs, three_labels_one_per_dog,
]  # fmt: skip


@pytest.mark.parametrize("make", EVERY_STUDY, ids=lambda make: make.__name__)
def test_odd_study_gives_a_whole_metrics_json(make):
    metrics = measure(make())
    json.dumps(metrics.to_dict(), allow_nan=False)
    p = metrics.permutation.p
    assert (p is None) == (metrics.permutation.reason is not None)
    assert p is None or 0 < p <= 1


def test_constant_features_say_nothing_and_raise_no_alarm_of_copies():
    metrics = measure(constant())
    assert metrics.levels.video.balanced_accuracy == pytest.approx(0.5)
    assert metrics.levels.video.auroc == pytest.approx(0.5)
    assert metrics.permutation.p == 1
    assert metrics.audit.duplicates.n == 0


def test_dog_without_a_crop_is_a_warning_that_names_it():
    metrics = measure(dog_without_a_crop())
    assert any("s03" in line for line in metrics.warnings)
    assert {s.subject_id for s in metrics.subjects} == {"s00", "s01", "s02", "s04"}
    assert metrics.levels.video.n == 16


def test_label_seen_in_one_dog_only_is_a_warning_that_names_it():
    metrics = measure(label_in_one_dog())
    assert any("'play'" in line for line in metrics.warnings)
