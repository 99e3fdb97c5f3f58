"""Faces measured without a study: pictures and clips, a row each, whatever is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PilImage

import canemo
from canemo.errors import ConfigError, OutputExistsError, StudyError, VideoOpenError
from canemo.faces.measured import tabulate_measured
from canemo.faces.meters import OTHER_POINTS, UNKNOWN, load_meters
from canemo.pipeline.measure import measure_faces
from canemo.records import Fate
from canemo.species import DOG
from clips import write_clip
from painted import PaintedFaceDetector, paint, painter

LARGE, SMALL = ("red", 30, 20, 60), ("blue", 110, 70, 30)
BOX = ["x0", "y0", "x1", "y1"]
FINDER = PaintedFaceDetector(red=0.9, blue=0.8)


def test_a_row_per_picture_and_the_best_face_of_each() -> None:
    table = measure_faces([paint(LARGE, SMALL), paint(SMALL), paint()], detector=FINDER)
    assert table["fate"].tolist() == ["used", "used", "no_face"]
    assert table["faces"].tolist() == [2, 1, 0]
    assert table.loc[0, BOX].tolist() == [30, 20, 90, 80]
    assert table.loc[0, "point_chin_x"] > 30
    assert table.loc[2, [measure.name for measure in DOG.measures]].isna().all()
    assert table.loc[2, "mouth_open_reason"] == UNKNOWN
    assert np.isnan(table.loc[2, "mouth_open"])


def test_too_small_and_too_faint_faces_are_not_measured() -> None:
    tiny = measure_faces(paint(("red", 10, 10, 12)), detector=FINDER)
    assert (tiny["fate"][0], tiny["faces"][0]) == (Fate.TOO_SMALL, 0)
    faint = measure_faces(paint(LARGE), detector=PaintedFaceDetector(red=0.4))
    assert faint["fate"].tolist() == [Fate.LOW_SCORE]
    small = measure_faces(paint(("red", 10, 10, 30)), detector=FINDER)
    assert small["fate"].tolist() == [Fate.USED]
    assert small["point_chin_x"].between(10, 40).all()


def test_all_faces_of_a_picture_are_found_with_their_points(tmp_path: Path) -> None:
    picture = paint(LARGE, SMALL)
    PilImage.fromarray(picture).save(tmp_path / "hünde.png")
    (given,), (read,) = (
        canemo.find_faces(each, detector=FINDER) for each in (picture, tmp_path / "hünde.png")
    )
    assert [face.box_xyxy for face in given] == [(30, 20, 90, 80), (110, 70, 140, 100)]
    assert given[0].names == DOG.points
    assert given[0].points.shape == (46, 3)
    assert np.array_equal(given[1].points, read[1].points)
    table = measure_faces(picture, detector=FINDER)
    assert table["point_chin_y"][0] == pytest.approx(given[0].points[DOG.points.index("chin"), 1])


def test_a_species_without_a_landmark_model_has_boxes_only() -> None:
    (faces,) = canemo.find_faces(paint(LARGE), "generic", detector=FINDER)
    assert faces[0].points.shape == (0, 3)
    with pytest.raises(ConfigError, match="no landmark model ships with canemo for it"):
        measure_faces(paint(LARGE), "generic", detector=FINDER)


def test_what_is_no_picture_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(VideoOpenError, match=r"text\.jpg: is not a picture"):
        measure_faces(tmp_path / "text.jpg", detector=FINDER)
    with pytest.raises(ConfigError, match=r"\(20, 20\) uint8; \(H, W, 3\) uint8, RGB, is wanted"):
        measure_faces([np.zeros((20, 20), np.uint8)], detector=FINDER)
    assert len(measure_faces([], detector=FINDER)) == 0


def test_points_of_another_source_are_measured_and_not_metered() -> None:
    points = np.full((2, len(DOG.points), 3), np.nan)
    points[0] = (
        measure_faces(paint(LARGE), detector=FINDER)
        .filter(like="point_")
        .to_numpy()[0]
        .reshape(-1, 3)
    )
    table = tabulate_measured(points, DOG, landmarks=None)
    assert table["mouth_opening"].notna().tolist() == [True, False]
    assert table["mouth_open_reason"].tolist() == [OTHER_POINTS, UNKNOWN]
    assert {f"{meter.name}_reason" for meter in load_meters(DOG)} <= set(table)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what measuring a folder of clips and pictures of all kinds wrote."""
    root = tmp_path_factory.mktemp("measured")
    for folder in ("in", "nothing"):
        (root / folder).mkdir()
    moving = painter(lambda number: [("red", 30 + number, 20, 60)])
    write_clip(root / "in" / "gehen ü.mp4", frames=10, size=(160, 120), draw=moving)
    write_clip(root / "in" / "one.mp4", frames=1, size=(160, 120), draw=moving)
    PilImage.fromarray(paint(LARGE)).save(root / "in" / "photo.webp")
    PilImage.fromarray(paint()).save(root / "in" / "empty.png")
    (root / "in" / "text.mp4").write_text("no video")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("canemo.pipeline.measure.load_detector", lambda name, engine: FINDER)
        canemo.measure_files(root / "in", root / "out", every_nth=5, video=True)
        with pytest.raises(OutputExistsError, match="holds earlier results"):
            canemo.measure_files(root / "in", root / "out")
        with pytest.raises(StudyError, match="no picture or video found"):
            canemo.measure_files(root / "nothing", root / "other")
    return root / "out"


def test_every_file_has_a_row_and_every_frame(measured: Path) -> None:
    videos = pd.read_csv(measured / "measured_videos.csv").set_index("video_id")
    assert videos["status"].to_dict() == {
        "empty": "no_face", "gehen ü": "ok", "one": "ok", "photo": "ok", "text": "failed",
    }  # fmt: skip
    assert "text.mp4" in videos.loc["text", "message"]
    frames = pd.read_parquet(measured / "measured_frames.parquet")
    assert frames.groupby("video_id").size().to_dict() == {
        "empty": 1, "gehen ü": 2, "one": 1, "photo": 1, "text": 1,
    }  # fmt: skip
    assert frames.set_index("video_id").loc["text", "fate"] == Fate.DECODE_ERROR
    walk = frames[frames["video_id"] == "gehen ü"]
    assert walk["point_chin_x"].notna().all()
    assert videos.loc["gehen ü", "jaw_drop_median"] == pytest.approx(walk["jaw_drop"].median())
    assert videos.loc["gehen ü", "mouth_open_answered"] == walk["mouth_open"].notna().sum()
    assert (frames["mouth_open"].isna() == (frames["mouth_open_reason"].fillna("-") != "")).all()


def test_clips_of_several_frames_have_a_timeline_and_all_seen_files_a_copy(measured: Path) -> None:
    assert [path.name for path in (measured / "timelines").iterdir()] == ["gehen ü.png"]
    copies = sorted(path.name for path in (measured / "annotated").iterdir())
    assert copies == ["empty.png", "gehen ü.mp4", "one.mp4", "photo.png"]
    photo = np.asarray(PilImage.open(measured / "annotated" / "photo.png"))
    assert photo.shape == (120, 160, 3)
    assert not np.array_equal(photo, paint(LARGE))
    assert not (measured / ".canemo-cache").exists()


def test_the_workbook_explains_every_column_it_shows(measured: Path) -> None:
    legend = pd.read_excel(measured / "results.xlsx", sheet_name=None)
    assert "mouth_opening" in legend["frames"]
    assert "mouth_opening_median" in legend["clips"]
    assert not [name for name in legend["frames"] if name.startswith("point_")]
