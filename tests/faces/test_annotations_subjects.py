from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from canemo.errors import AnnotationError
from canemo.faces.annotations.subjects import find_subjects, parse_frame_name
from canemo.formats.boxes.coco import AnnotatedImage

VIDEOS = {"v1": "rex", "v2": "ace", "a__b": "kim"}


def image(path: Path, **extra: Any) -> AnnotatedImage:
    return AnnotatedImage(path, 9, 9, extra=extra)


def test_the_entrys_own_word_comes_first(tmp_path: Path) -> None:
    (tmp_path / "frames.csv").write_text("file_name,subject_id\nv1__000001.jpg,table\n")
    path = tmp_path / "v1__000001.jpg"
    images = [
        image(path, subject_id="own", video_id="v2"),
        image(path, subject_id=7),
        image(path, subject_id="", video_id="v2"),
        image(path, video_id="unknown"),
        image(tmp_path / "v1__000002.jpg"),
        image(tmp_path / "a__b__000002.jpg"),
    ]
    found = find_subjects(images, subjects_by_video=VIDEOS)
    assert found == ("own", "7", "ace", "table", "rex", "kim")


def test_the_table_may_be_beside_above_or_with_the_coco_file(tmp_path: Path) -> None:
    below, elsewhere = tmp_path / "faces" / "x.jpg", tmp_path / "deep" / "down" / "below" / "y.jpg"
    table = "file_name,video_id,subject_id\nfaces\\x.jpg,v1,\ny.jpg,v2,\nz/y2.jpg,v1,ace\n"
    (tmp_path / "frames.csv").write_text(table)
    assert find_subjects([image(below)], subjects_by_video=VIDEOS) == ("rex",)
    with pytest.raises(AnnotationError, match=r"not known .* 1 images"):
        find_subjects([image(elsewhere)], subjects_by_video=VIDEOS)
    found = find_subjects(
        [image(elsewhere)], subjects_by_video=VIDEOS, coco_file=tmp_path / "faces.json"
    )
    assert found == ("ace",)


def test_images_without_a_subject_are_listed_with_the_ways_out(tmp_path: Path) -> None:
    images = [image(tmp_path / f"{number:02}.jpg") for number in range(12)]
    images[3] = image(tmp_path / "v1__3.jpg")
    with pytest.raises(AnnotationError, match=r"is on 11 images:\n- .*00\.jpg") as caught:
        find_subjects(images, subjects_by_video=VIDEOS)
    told = str(caught.value)
    assert "10.jpg\n- and 1 more\n" in told
    assert "03.jpg" not in told
    for way_out in ("'subject_id'", "'video_id'", "frames.csv", "VIDEOID__000123.jpg"):
        assert way_out in told


def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "frames.csv").write_text("filename,subject_id\nx.jpg,rex\n")
    with pytest.raises(AnnotationError, match=r"frames\.csv.*rename 'filename' to 'file_name'"):
        find_subjects([image(tmp_path / "x.jpg")], subjects_by_video=VIDEOS)


def test_only_names_of_known_videos_are_split() -> None:
    assert parse_frame_name("v1__000123", VIDEOS) == ("v1", 123)
    assert parse_frame_name("v9__000123", VIDEOS) is None
    assert parse_frame_name("v1_000123", VIDEOS) is None
