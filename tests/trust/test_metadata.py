from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from canemo.records import Study
from canemo.trust.metadata import describe_clips, list_categories, name_columns, score_metadata
from evidence_worlds import draw_evidence


def test_numbers_of_a_clip_are_those_of_its_ledger():
    evidence = draw_evidence(subjects=2, clips=2, frames=3, label_of=lambda dog, clip: clip)
    ledger = evidence.ledger.copy()
    of_first = ledger["video_id"] == "v00_0"
    ledger.loc[of_first, ["x0", "y0", "x1", "y1"]] = [
        [0, 0, 64, 48],
        [64, 0, 128, 48],
        [0, 0, 9, 9],
    ]
    ledger.loc[of_first, "fate"] = ["used", "used", "too_small"]
    ledger.loc[of_first, "brightness"] = [90.0, 110.0, 0.0]
    ledger.loc[of_first, "sharpness"] = [10.0, 20.0, 0.0]
    row = describe_clips(replace(evidence, ledger=ledger)).loc["v00_0"]
    side = np.sqrt(0.1 * 0.1)
    assert row["box_x"] == pytest.approx((0.05 + 0.15) / 2)
    assert row["box_y"] == pytest.approx(0.05)
    assert row["box_size"] == pytest.approx(side)
    assert row["box_aspect"] == pytest.approx(1)
    assert row["box_motion"] == pytest.approx(np.std([0.05, 0.15], ddof=1) / 2)
    assert row["used_share"] == pytest.approx(2 / 3)
    assert row["brightness"] == 100
    assert row["brightness_change"] == pytest.approx(np.std([90, 110], ddof=1))
    assert row["sharpness"] == pytest.approx(np.log1p(15))


def test_clips_without_a_crop_are_no_rows_and_what_never_varies_is_no_column():
    evidence = draw_evidence(subjects=2, clips=3)
    fate = np.where(evidence.ledger["video_id"] == "v01_1", "no_face", "used")
    table = describe_clips(replace(evidence, ledger=evidence.ledger.assign(fate=fate)))
    assert "v01_1" not in table.index
    assert len(table) == 5
    assert not {"fps", "width", "height", "used_share"} & set(table)
    assert "duration_s" in table


def test_further_columns_are_categories_or_numbers_unless_each_clip_has_its_own():
    evidence = draw_evidence(
        subjects=4,
        clips=4,
        extra=lambda dog, clip: {
            "place": ("yard", "house")[clip % 2],
            "minutes": str(10 * (clip // 2)),
            "file": f"{dog}-{clip}",
            "same": "x",
            "note": "" if clip else "wet",
        },
    )
    assert set(list_categories(evidence.study)) == {"place", "minutes"}  # a note has one value
    table = describe_clips(evidence)
    assert table.loc["v01_1", ["place=yard", "place=house", "minutes"]].tolist() == [0, 1, 0]
    assert table.loc["v03_2", ["place=yard", "place=house", "minutes"]].tolist() == [1, 0, 10]
    assert name_columns(["place=yard", "place=house", "minutes"]) == ["place", "minutes"]


def test_missing_facts_of_a_file_are_filled_in_not_passed_on():
    evidence = draw_evidence(subjects=2, clips=2)
    clips = evidence.clips.copy()
    clips.loc[0, "duration_s"] = None
    table = describe_clips(replace(evidence, clips=clips))
    assert np.isfinite(table.to_numpy()).all()
    assert table.loc["v00_0", "duration_s"] == clips["duration_s"].median()


def test_a_column_that_is_unknown_for_all_is_left_out():
    evidence = draw_evidence(subjects=2, clips=2)
    table = describe_clips(replace(evidence, clips=evidence.clips.assign(duration_s=np.nan)))
    assert "duration_s" not in table
    assert np.isfinite(table.to_numpy()).all()


def test_clips_of_one_frame_have_no_motion_and_stay_in():
    evidence = draw_evidence(subjects=4, clips=4, frames=1)
    table = describe_clips(evidence)
    assert "box_motion" not in table
    assert score_metadata(evidence, evidence.materials[0])["accuracy"] is not None


def test_labels_are_no_part_of_what_is_described():
    evidence = draw_evidence(subjects=4, clips=4)
    turned = {"anticipation": "frustration", "frustration": "anticipation"}
    videos = tuple(replace(v, label=turned[v.label]) for v in evidence.study.videos)
    ledger = evidence.ledger.assign(label=evidence.ledger["label"].map(turned))
    other = replace(evidence, study=Study(evidence.study.root, videos), ledger=ledger)
    pd.testing.assert_frame_equal(describe_clips(evidence), describe_clips(other))


def test_without_any_column_there_is_no_score(monkeypatch):
    evidence = draw_evidence(subjects=2, clips=2)
    nothing = pd.DataFrame(index=describe_clips(evidence).index)
    monkeypatch.setattr("canemo.trust.metadata.describe_clips", lambda evidence: nothing)
    assert score_metadata(evidence, evidence.materials[0]) is None


def test_order_of_rows_counts_unless_they_are_sorted_by_label():
    evidence = draw_evidence(subjects=2, clips=4)
    shuffled = replace(evidence.study, videos=tuple(_alternate(evidence.study.videos)))
    table = describe_clips(replace(evidence, study=shuffled))
    order = [table.loc[video.video_id, "order"] for video in shuffled.videos[:4]]
    assert order == [0, 1, 2, 3]
    by_label = sorted(evidence.study.videos, key=lambda video: (video.subject_id, video.label))
    table = describe_clips(replace(evidence, study=replace(evidence.study, videos=tuple(by_label))))
    assert "order" not in table


def _alternate(videos):
    """Each dog's clips with labels in turn."""
    for dog in sorted({video.subject_id for video in videos}):
        mine = [video for video in videos if video.subject_id == dog]
        labels = sorted({video.label for video in mine})
        columns = [[video for video in mine if video.label == label] for label in labels]
        for pair in zip(*columns, strict=True):
            yield from pair
