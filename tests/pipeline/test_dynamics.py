"""The command `dynamics` on painted clips whose points came with the study."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from canemo.errors import ConfigError, OutputExistsError
from canemo.faces.geometry import place_mean
from canemo.formats.events.reading import read_events
from canemo.pipeline.dynamics import dynamics_study
from canemo.report.words.dynamics import describe_contrasts
from canemo.species import DOG
from canemo.study.records.dynamics import DynamicsRecord
from painted import PaintedFaceDetector, put_in_place, write_painted_study

FRAMES = 10  # of 5 a second
pytestmark = pytest.mark.usefixtures("painted_detector", "undrawn")


def write_landmarks(study, *, clips=None):
    """Write points of each clip; the jaw moves where the label is anticipation."""
    table = pd.read_csv(study / "videos.csv")
    rows = []
    for clip in table.to_dict("records"):
        s, c = int(clip["video_id"][1]), int(clip["video_id"][3])
        for frame in range(FRAMES):
            if (clips and clip["video_id"] not in clips) or (c == 0 and frame == 4):
                continue  # a gap of one frame
            z = place_mean(DOG).copy()
            jaw = [i for i, n in enumerate(DOG.points) if n.startswith(("lip_lower", "chin"))]
            z[jaw] += (
                0.4j * (clip["label"] == "anticipation") * (0.5 + 0.5 * np.sin(1.6 * frame + s))
            )
            z = z * 14 + 20 + 3 * s + frame + 25 + (20 + frame + 25) * 1j
            rows += [
                (clip["video_id"], frame, name, p.real, p.imag)
                for name, p in zip(DOG.points, z, strict=True)
            ]
    columns = ["video_id", "frame_index", "point", "x", "y"]
    pd.DataFrame(rows, columns=columns).to_csv(study / "landmarks.csv", index=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = write_painted_study(tmp_path_factory.mktemp("dynamics") / "Hunde", frames=FRAMES)
    write_landmarks(root)
    return root


@pytest.fixture(scope="module")
def found(study):
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(patch, PaintedFaceDetector())
        return dynamics_study(study, draws=999, command="canemo dynamics Hunde")


def test_the_jaw_moves_in_one_condition_and_nothing_else_does(found):
    record = DynamicsRecord.read(found.path)
    by_name = {each.measure: each for each in record.contrasts}
    assert by_name["muzzle_speed_95"].p < 0.01
    assert by_name["muzzle_speed_95"].means[0] > 0.1
    assert by_name["muzzle_speed_95"].means[1] == 0
    assert by_name["ears_speed_95"].means == (0, 0)
    assert by_name["ears_speed_95"].p is None  # the same in every clip
    assert record.protocol.label == "anticipation"
    assert any("noise floor" in warning for warning in record.warnings)


def test_tables_stand_beside_the_page(found):
    folder = found.path.parent
    clips = pd.read_parquet(folder / "dynamics_clips.parquet")
    assert len(clips) == len(pd.read_csv(folder / "dynamics_clips.csv")) == 16
    frames = pd.read_parquet(folder / "dynamics_frames.parquet")
    assert frames["bridged"].sum() == 4  # one of each dog's first clip
    assert not frames.loc[frames["bridged"], "measured"].any()
    page = found.report.read_text(encoding="utf-8")
    assert "speed of the muzzle" in page
    assert "landmarks of the study" in page
    assert (folder / "results.xlsx").is_file()


def test_dogs_and_clips_are_a_column_only_where_measures_rest_on_different_ones(found):
    table = describe_contrasts(found.record)
    first, *others = found.record.contrasts
    assert {(each.subjects, each.clips) for each in others} == {(first.subjects, first.clips)}
    assert f"within {first.subjects} dogs, {first.clips} clips." in table.caption
    assert "subjects" not in [column.key for column in table.columns]
    fewer = first.model_copy(update={"subjects": first.subjects - 1})
    mixed = found.record.model_copy(update={"contrasts": (fewer, *others)})
    table = describe_contrasts(mixed)
    assert table.caption.endswith("within dogs.")
    assert {"subjects", "clips"} <= {column.key for column in table.columns}


def test_events_are_read_back_as_coded_events(found):
    events = read_events(found.events, units=DOG.units).events
    assert {each.text for each in events} >= {"", "mouth_open"}
    assert {each.observer for each in events} == {"canemo"}
    assert {each.video_id for each in events} == set(found.clips["video_id"])
    assert any(each.is_point for each in events) or not found.record.events


def test_earlier_results_are_replaced_only_when_asked(found, study):
    with pytest.raises(OutputExistsError, match="--force"):
        dynamics_study(study)


def test_nothing_finds_the_points_of_a_species_without_a_model(tmp_path):
    root = write_painted_study(tmp_path / "cats", subjects=1, clips=2)
    (root / "canemo.toml").write_text('[study]\nspecies = "generic"\n[detect]\ndetector = "x"\n')
    with pytest.raises(ConfigError, match="nothing finds the points"):
        dynamics_study(root)


@pytest.mark.parametrize(
    ("subjects", "change", "reason"),
    [(1, lambda labels: labels, "one dog only"), (2, None, "no dog has clips of both")],
)
def test_a_study_that_allows_no_comparison_says_why(tmp_path, subjects, change, reason):
    root = write_painted_study(tmp_path / "few", subjects=subjects, clips=2, frames=FRAMES)
    table = pd.read_csv(root / "videos.csv")
    if change is None:
        table["label"] = np.where(table["subject_id"] == "dog0", "anticipation", "frustration")
        table.to_csv(root / "videos.csv", index=False)
    write_landmarks(root)
    record = dynamics_study(root, draws=99).record
    assert all(each.p is None and reason in each.reason for each in record.contrasts)


def test_clips_that_are_too_short_are_left_out_and_named(tmp_path):
    root = write_painted_study(tmp_path / "short", subjects=2, clips=2, frames=FRAMES)
    write_landmarks(root, clips=["s0c0", "s0c1", "s1c0"])
    result = dynamics_study(root, draws=99)
    assert [each.video_id for each in result.record.left] == ["s1c1"]
    assert "0 frame(s) with points" in result.record.left[0].reason
    assert "s1c1" not in set(pd.read_csv(result.events)["video_id"])
