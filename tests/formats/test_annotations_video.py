from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from canemo.errors import AnnotationError
from canemo.faces.annotations.cutting import match_video
from canemo.faces.annotations.importing import ImportResult, import_annotations
from canemo.faces.annotations.key_boxes import find_nearest
from canemo.formats.boxes.coco import AnnotatedImage, load_coco
from clips import read_number, write_clip


def load(result: ImportResult) -> dict[int, AnnotatedImage]:
    return {image.extra["frame_index"]: image for image in load_coco(result.coco_file)}


def boxes(result: ImportResult) -> dict[int, tuple[tuple[float, ...], ...]]:
    return {frame_index: image.boxes_xyxy for frame_index, image in load(result).items()}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "Rex at home.mp4", frames=40, rate=25)


# CVAT for video

META = """<meta><task><name>rex</name><size>40</size><mode>interpolation</mode>{more}
<source>Rex at home.mp4</source></task></meta>"""


def key(frame: int, x: float, *, outside: int = 0, keyframe: int = 1) -> str:
    return (
        f'<box frame="{frame}" outside="{outside}" occluded="0" keyframe="{keyframe}" '
        f'xtl="{x}" ytl="4" xbr="{x + 10}" ybr="24"/>'
    )


def cvat(folder: Path, *tracks: str, more: str = "", meta: str = META) -> Path:
    parts = [f'<track id="{i}" label="dog">{track}</track>' for i, track in enumerate(tracks)]
    text = f"<annotations>{meta.format(more=more)}{''.join(parts)}</annotations>"
    path = folder / "video.xml"
    path.write_text(text, encoding="utf-8")
    return path


def test_boxes_between_key_frames_are_interpolated(tmp_path: Path, clip: Path) -> None:
    source = cvat(tmp_path, key(2, 0) + key(10, 16) + key(12, 16, outside=1))
    result = import_annotations(source, tmp_path / "out", videos={"v1": clip}, step=3)
    assert boxes(result) == {
        2: ((0, 4, 10, 24),),
        5: ((6, 4, 16, 24),),
        8: ((12, 4, 22, 24),),
        10: ((16, 4, 26, 24),),
        11: ((16, 4, 26, 24),),
        12: (),
    }
    assert (result.images, result.boxes, result.skipped) == (6, 5, ())


def test_the_pictures_are_the_frames_they_are_named_after(tmp_path: Path, clip: Path) -> None:
    source = cvat(tmp_path, key(7, 0) + key(33, 16))
    images = load(import_annotations(source, tmp_path / "out", videos={"v1": clip}, step=10))
    assert sorted(images) == [7, 17, 27, 33]
    for frame_index, image in images.items():
        assert image.path == tmp_path / "out" / "faces" / f"v1__{frame_index:06d}.jpg"
        with PIL.Image.open(image.path) as file:
            assert read_number(np.asarray(file)) == frame_index
            assert file.layer[1][1:3] == (1, 1)  # type: ignore[attr-defined]  # no subsampling
        assert (image.width, image.height) == (64, 48)
        assert image.extra == {
            "video_id": "v1",
            "frame_index": frame_index,
            "time_s": frame_index / 25,
        }
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["faces", "faces.json"]


def test_a_face_that_is_outside_is_not_marked(tmp_path: Path, clip: Path) -> None:
    track = key(0, 0) + key(5, 10, outside=1) + key(20, 30) + key(30, 40) + key(31, 40, outside=1)
    result = import_annotations(cvat(tmp_path, track), tmp_path / "out", videos={"v": clip}, step=5)
    assert boxes(result) == {
        0: ((0, 4, 10, 24),),
        5: (),
        20: ((30, 4, 40, 24),),
        25: ((35, 4, 45, 24),),
        30: ((40, 4, 50, 24),),
        31: (),
    }


def test_boxes_put_by_the_tool_are_used_but_make_no_picture(tmp_path: Path, clip: Path) -> None:
    track = key(0, 0) + key(3, 12, keyframe=0) + key(4, 12, keyframe=0) + key(8, 16)
    result = import_annotations(cvat(tmp_path, track), tmp_path / "out", videos={"v": clip}, step=2)
    found = boxes(result)
    assert sorted(found) == [0, 2, 4, 6, 8]
    assert [found[index][0][0] for index in (2, 4, 6)] == [8, 12, 14]


def test_frames_where_a_track_is_left_open_are_left_out(
    tmp_path: Path, clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended = key(0, 0) + key(4, 0) + key(5, 0, outside=1)
    left_open = key(0, 20) + key(8, 20)
    longest = key(0, 40) + key(16, 40)
    source = cvat(tmp_path, ended, left_open, longest)
    result = import_annotations(source, tmp_path / "out", videos={"v": clip}, step=4)
    assert {index: len(found) for index, found in boxes(result).items()} == {
        0: 3,
        4: 3,
        5: 2,
        8: 2,
    }
    (line,) = result.skipped
    assert "track 1: has no box after frame 8" in line
    assert "2 frames from 12 to 16 are left out" in line
    assert line in caplog.text


def test_frames_of_a_task_are_frames_of_the_video(tmp_path: Path, clip: Path) -> None:
    more = """<start_frame>10</start_frame><stop_frame>30</stop_frame>
    <frame_filter>step=5</frame_filter>"""
    source = cvat(tmp_path, key(10, 0) + key(30, 20) + key(35, 20, outside=1), more=more)
    result = import_annotations(source, tmp_path / "out", videos={"v": clip}, step=5)
    assert {index: found[0][0] for index, found in boxes(result).items()} == {
        10: 0,
        15: 5,
        20: 10,
        25: 15,
        30: 20,
    }
    for frame in (12, 5, 35):
        with pytest.raises(AnnotationError, match=f"frame {frame} is none of the task's frames"):
            import_annotations(
                cvat(tmp_path, key(frame, 0), more=more), tmp_path / "x", videos={"v": clip}
            )


def test_outlines_stay_on_the_frames_they_were_drawn_on(tmp_path: Path, clip: Path) -> None:
    outline = '<polygon frame="{}" outside="0" keyframe="1" points="{},4;20,8;12,30"/>'
    source = cvat(tmp_path, outline.format(0, 0) + outline.format(4, 8))
    result = import_annotations(source, tmp_path / "out", videos={"v": clip}, step=2)
    images = load(result)
    assert images[0].polygons == ((((0, 4), (20, 8), (12, 30)),),)
    assert images[2].boxes_xyxy == ((4, 4, 20, 30),)
    assert images[2].polygons == ((),)
    assert result.polygons == 2


def test_boxes_follow_the_size_of_the_video(tmp_path: Path, clip: Path) -> None:
    size = "<original_size><width>{}</width><height>{}</height></original_size>"
    source = cvat(tmp_path, key(0, 0), more=size.format(128, 96))
    result = import_annotations(source, tmp_path / "out", videos={"v": clip})
    assert boxes(result) == {0: ((0, 2, 5, 12),)}
    source = cvat(tmp_path, key(0, 0), more=size.format(48, 64))
    with pytest.raises(AnnotationError, match=r"frames of 48 x 64 .* displayed with 64 x 48"):
        import_annotations(source, tmp_path / "out2", videos={"v": clip})


def test_everything_wrong_with_a_track_is_told_at_once(tmp_path: Path, clip: Path) -> None:
    track = key(0, 0) + key(0, 5) + key(4, 100) + '<box frame="x"/><points frame="6" points="1,1"/>'
    source = cvat(tmp_path, track)
    told = (
        "4 entries",
        "track 0, box at frame 0: the track has another shape",
        "box at frame x: 'frame' is 'x', a whole number",
        "points at frame 6: the shape is a points",
        "box at frame 4: the box .* no area inside its image of 64 x 48",
    )
    with pytest.raises(AnnotationError, match=r"[\s\S]*".join(told)):
        import_annotations(source, tmp_path / "out", videos={"v": clip})
    result = import_annotations(
        source, tmp_path / "out", videos={"v": clip}, step=2, skip_invalid=True
    )
    assert boxes(result) == {0: ((0, 4, 10, 24),), 2: ((50, 4, 60, 24),), 4: ()}


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ("<frame_filter>every=3</frame_filter>", "'frame_filter' is 'every=3', 'step='"),
        ("<start_frame>x</start_frame>", "'start_frame' is 'x', a whole number"),
        ("</task><task>", "there are 2 tasks, one is wanted; export each by itself"),
    ],
)
def test_a_task_that_cannot_be_read_is_refused(
    tmp_path: Path, clip: Path, more: str, match: str
) -> None:
    with pytest.raises(AnnotationError, match=match):
        import_annotations(
            cvat(tmp_path, key(0, 0), more=more), tmp_path / "out", videos={"v": clip}
        )


def test_frames_the_video_does_not_have_leave_nothing_behind(tmp_path: Path, clip: Path) -> None:
    source = cvat(tmp_path, key(0, 0) + key(50, 0))
    with pytest.raises(AnnotationError, match=r"2 entries[\s\S]*frame 40 cannot .* ends before it"):
        import_annotations(source, tmp_path / "out", videos={"v": clip}, step=20)
    assert list((tmp_path / "out").iterdir()) == []
    result = import_annotations(
        source, tmp_path / "out", videos={"v": clip}, step=20, skip_invalid=True
    )
    assert sorted(boxes(result)) == [0, 20]
    assert len(result.skipped) == 2


def test_a_video_that_is_not_known_or_not_readable_is_named(tmp_path: Path, clip: Path) -> None:
    source = cvat(tmp_path, key(0, 0))
    with pytest.raises(AnnotationError, match=r"the task: 'Rex at home\.mp4' is none of the vid"):
        import_annotations(source, tmp_path / "out", videos={"v": tmp_path / "other.mp4"})
    with pytest.raises(AnnotationError, match="there is no such file"):
        import_annotations(source, tmp_path / "out", videos={"v": tmp_path / clip.name})


def test_videos_are_matched_by_name_then_without_the_ending() -> None:
    videos = {"v1": Path("a/rex.mp4"), "v2": Path("a/rex.avi"), "v3": Path("b/ace.mov")}
    assert match_video(["C:\\clips\\rex.avi"], videos) == "v2"
    assert match_video(["nothing", "ace.mp4"], videos) == "v3"
    assert match_video(["v3.webm"], videos) == "v3"
    with pytest.raises(AnnotationError, match=r"'rex' may be any of the videos \['v1', 'v2'\]"):
        match_video(["rex"], videos)


# Label Studio, videos


def sequence(*keys: tuple[int, float] | tuple[int, float, bool]) -> dict[str, Any]:
    listed = [
        {"frame": key[0], "enabled": (*key, True)[2], "x": key[1], "y": 25, "width": 25}
        | {"height": 50, "rotation": 0, "time": 0.0}
        for key in keys
    ]
    return {"type": "videorectangle", "value": {"sequence": listed, "labels": ["dog"]}}


def studio(folder: Path, *results: dict[str, Any], video: str = "Rex at home.mp4") -> Path:
    path = folder / "tasks.json"
    data = {"video": f"/data/upload/3/0a1b2c3d-{video}"}
    task = {"id": 8, "data": data, "annotations": [{"result": list(results)}]}
    path.write_text(json.dumps([task]), encoding="utf-8")
    return path


def test_frames_counted_at_another_rate_are_found_by_their_time(tmp_path: Path) -> None:
    video = write_clip(tmp_path / "Rex at home.mp4", frames=40, rate=30)
    # Labelled at 24 per second: frame 1 is at 0 s, frame 13 at 0.5 s, frame 25 at 1 s.
    source = studio(tmp_path, sequence((1, 0), (13, 25), (25, 75, False)))
    result = import_annotations(
        source, tmp_path / "out", videos={"v": video}, frame_rate=24, step=6
    )
    found = {index: one[0] for index, one in boxes(result).items()}
    assert sorted(found) == [0, 6, 12, 15, 18, 24, 30]
    assert found[0] == (0, 12, 16, 36)
    assert found[15] == (16, 12, 32, 36)
    assert found[30] == (48, 12, 64, 36)
    # 6/30 s is two fifths of the way to 0.5 s; 24/30 s three fifths of the way on to 1 s.
    assert found[6] == pytest.approx((6.4, 12, 22.4, 36), abs=1e-3)
    assert found[24] == pytest.approx((16 + 32 * 0.6, 12, 32 + 32 * 0.6, 36), abs=1e-3)
    for frame_index, image in load(result).items():
        with PIL.Image.open(image.path) as file:
            assert read_number(np.asarray(file)) == frame_index


def test_uneven_times_of_a_file_are_honoured(tmp_path: Path) -> None:
    times_s = [Fraction(tenths, 10) for tenths in (0, 1, 2, 6, 10, 11)]
    video = write_clip(tmp_path / "Rex at home.mp4", frames=6, times_s=times_s)
    source = studio(tmp_path, sequence((1, 0), (11, 50, False)))
    result = import_annotations(
        source, tmp_path / "out", videos={"v": video}, frame_rate=10, step=1
    )
    assert {index: one[0][0] for index, one in boxes(result).items()} == pytest.approx(
        {0: 0, 1: 3.2, 2: 6.4, 3: 19.2, 4: 32}, abs=1e-3
    )


def test_a_key_that_is_not_enabled_ends_the_span(tmp_path: Path, clip: Path) -> None:
    source = studio(tmp_path, sequence((1, 0), (5, 0, False), (11, 50), (15, 50, False)))
    result = import_annotations(source, tmp_path / "out", videos={"v": clip}, frame_rate=25, step=2)
    assert sorted(boxes(result)) == [0, 2, 4, 10, 12, 14]


def test_video_tasks_demand_the_rate_they_were_counted_at(tmp_path: Path, clip: Path) -> None:
    source = studio(tmp_path, sequence((1, 0)))
    with pytest.raises(AnnotationError, match=r"counts at a rate of its own \(24 .* --frame-rate"):
        import_annotations(source, tmp_path / "out", videos={"v": clip})
    with pytest.raises(AnnotationError, match="--frame-rate is 0; give a rate above 0"):
        import_annotations(source, tmp_path / "out", videos={"v": clip}, frame_rate=0)


@pytest.mark.parametrize(
    ("result", "match"),
    [
        (sequence((0, 0)), "task 8, result 0, key 0: 'frame' is 0, a whole number from 1"),
        (sequence((3, 0), (3, 1)), "task 8, result 0, key 1: frame 3 has another key"),
        (sequence((1, 120)), "task 8, result 0, key 0: the box .* no area inside"),
        (sequence((900, 0)), "task 8: the box at 35.960 s is after the last frame"),
        ({"type": "videorectangle", "value": {}}, "task 8, result 0: 'sequence' is None, a list"),
    ],
)
def test_broken_video_tasks_are_named(
    tmp_path: Path, clip: Path, result: dict[str, Any], match: str
) -> None:
    with pytest.raises(AnnotationError, match=match):
        import_annotations(
            studio(tmp_path, result), tmp_path / "out", videos={"v": clip}, frame_rate=25
        )


def test_the_nearest_frame_is_taken_and_of_two_the_earlier() -> None:
    times_s = [0.0, 0.1, 0.2]
    assert [find_nearest(time_s, times_s) for time_s in (0.0, 0.04, 0.06, 0.3)] == [0, 0, 1, 2]
    assert find_nearest(0.5, [0.0, 1.0]) == 0
