"""What a study shows before any number, on painted clips with a known flaw each."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image as PilImage

from canemo.pipeline import material
from canemo.pipeline.material import show_material
from canemo.study.records.audit import DuplicatePair
from clips import write_clip
from painted import COLOURS, PaintedFaceDetector, paint, put_in_place


def draw_clip(kind: str, *, clip: int):
    """Return a painter of frames of a clip with a flaw; `clip` moves the face."""

    def draw(number: int) -> np.ndarray:
        image = paint(("red", 30 + 8 * clip + number, 30, 50))
        image[:6, 6 * clip : 6 * clip + 4] = 255
        x = 34 + 8 * clip + number
        image[36:74:8, x : x + 42] = 20
        if kind == "no_face":
            return paint()
        if kind == "two":
            image[70:110, 110:150] = (30, 30, 220)
        if kind == "cut" and number > 3:
            image = np.where(image == 128, np.uint8(10), image)[::-1].copy()
            image[:, ::9] = (0, 250, 0)
        if kind == "blurred":
            image[30:80, x - 4 : x + 46] = (220, 30, 30)
        if kind == "dark":
            image = image // 5
        return image

    return draw


class DimFaceDetector(PaintedFaceDetector):
    """Finds painted faces in the dark too."""

    fingerprint = "dim-1"

    def _find(self, image):
        lit = image.astype(int) * 255 // max(int(image.max()), 1)
        return super()._find(lit.astype(np.uint8))


KINDS = ("fine", "two", "cut", "dark", "blurred", "no_face", "one_picture", "unreadable")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory):
    """The sheet of a study whose clips are named by what is wrong with them, and its page."""
    root = tmp_path_factory.mktemp("shown") / "a <study>"
    (root / "videos").mkdir(parents=True)
    rows = ["video_id,path,subject_id,label"]
    for number, kind in enumerate(KINDS):
        path = root / "videos" / f"{kind}.mp4"
        if kind == "one_picture":
            PilImage.fromarray(draw_clip("fine", clip=9)(0)).save(path, format="png")
        elif kind == "unreadable":
            path.write_bytes(b"no film" * 50)
        else:
            draw = draw_clip(kind, clip=number)
            write_clip(path, frames=8, rate=5, size=(160, 120), draw=draw)
        rows.append(f"{kind},videos/{kind}.mp4,dog{number % 2},{('food', 'none')[number // 4]}")
    (root / "videos.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    sheets = []
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(patch, DimFaceDetector())
        render = material.render_material
        patch.setattr(
            material,
            "render_material",
            lambda sheet, **kwargs: sheets.append(sheet) or render(sheet, **kwargs),
        )
        path = show_material(root)
    return sheets[0], path


def clip_of(sheet, name: str):
    return next(clip for clip in sheet.clips if clip.video_id == name)


@pytest.mark.parametrize(
    ("kind", "doubt"),
    [
        ("two", "several_faces"),
        ("cut", "cut"),
        ("dark", "dark"),
        ("blurred", "blurred"),
        ("no_face", "no_face"),
        ("one_picture", "one_picture"),
        ("unreadable", "unreadable"),
    ],
)
def test_each_flaw_is_a_doubt_of_its_clip_and_of_no_other(shown, kind, doubt):
    sheet, _ = shown
    named = {clip.video_id for clip in sheet.clips for each in clip.doubts if each.name == doubt}
    assert named == {kind}


def test_a_cut_says_where_it_is_and_what_to_write_in_the_row(shown):
    [cut] = [each.text for each in clip_of(shown[0], "cut").doubts if each.name == "cut"]
    assert "at 0.80 s; if another dog or scene follows, end the clip there (write 0.80 " in cut


def test_a_clip_with_nothing_wrong_has_no_doubt_but_that_painted_faces_are_all_alike(shown):
    doubts = {doubt.name for doubt in clip_of(shown[0], "fine").doubts}
    assert doubts <= {"stranger", "near_copy"}


def test_a_clip_is_shown_with_its_face_and_pictures_and_counted(shown):
    clip = clip_of(shown[0], "fine")
    assert (clip.frames, clip.used, clip.seconds) == (8, 8, pytest.approx(1.6))
    assert len(clip.strip) == 6
    with PilImage.open(io.BytesIO(base64.b64decode(clip.face))) as face:
        assert np.asarray(face)[10, 40].argmax() == 0  # the red of the face
    broken = clip_of(shown[0], "unreadable")
    assert (broken.frames, broken.face, broken.strip) == (0, None, ())


def test_the_page_is_whole_in_itself_and_escapes_what_the_study_holds(shown):
    sheet, path = shown
    page = path.read_text(encoding="utf-8")
    assert path.name == "check.html"
    assert "http" not in page
    assert "a <study>" not in page
    assert "a &lt;study&gt;" in page
    assert page.count('class="clip"') == len(KINDS)
    assert page.count('<img class="face"') == sum(clip.face is not None for clip in sheet.clips)
    for clip in sheet.clips:
        for doubt in clip.doubts:
            assert doubt.text.split(";")[0].split("'")[0][1:30] in page


COATS = {
    "striped": (slice(None, None, 8), slice(None)),
    "barred": (slice(None), slice(None, None, 8)),
    "plain": (slice(20, 26), slice(10, 40)),
}


def test_two_clips_under_each_others_dog_are_doubtful_and_no_other(tmp_path, monkeypatch):
    rows = ["video_id,path,subject_id,label"]
    for number, (dog, clip) in enumerate((dog, clip) for dog in COATS for clip in range(4)):

        def draw(frame: int, *, dog=dog, clip=clip, number=number) -> np.ndarray:
            x, side = 20 + 12 * clip + frame, 50 + 6 * clip
            image = paint(("red", x, 30, side))
            image[30 : 30 + side, x : x + side][COATS[dog]] = 20 + 10 * clip
            image[30 : 30 + side, [x, x + side - 1]] = COLOURS["red"]
            image[:6, 6 * number : 6 * number + 4] = 255
            return image

        name = f"{dog}{clip}"
        write_clip(tmp_path / f"{name}.mp4", frames=4, rate=5, size=(160, 120), draw=draw)
        owner = {"striped1": "barred", "barred2": "striped"}.get(name, dog)
        rows.append(f"{name},{name}.mp4,{owner},{('food', 'none')[clip % 2]}")
    (tmp_path / "videos.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    put_in_place(monkeypatch, PaintedFaceDetector())
    page = show_material(tmp_path).read_text(encoding="utf-8")
    doubts = re.findall(
        r"The face looks more like that of (\w+) than [^<]*<a href[^>]*>(\w+)<", page
    )
    assert sorted(doubts) == [("barred", "barred2"), ("striped", "striped1")]


def test_copies_that_were_found_before_are_told_of_both_clips():
    pair = DuplicatePair(
        first="a", second="b", first_subject="Max", second_subject="Max", first_label="food",
        second_label="none", cosine=0.99,
    )  # fmt: skip
    assert dict(material._list_copies([pair])) == {
        "a": "it looks like the same film as b (Max, “none”); check both",
        "b": "it looks like the same film as a (Max, “food”); check both",
    }
