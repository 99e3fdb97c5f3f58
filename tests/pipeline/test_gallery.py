import numpy as np
import pytest
from PIL import Image as PilImage

import canemo
from canemo.errors import NoFacesError, StudyError
from canemo.parallel import silent
from canemo.pipeline.gallery import open_gallery
from explained_runs import EXACT, FRAMES
from painted import paint, write_painted_study

pytestmark = pytest.mark.usefixtures("painted_detector")


@pytest.fixture
def model(explainable_study):
    return canemo.load_model(explainable_study / "runs" / EXACT)


@pytest.fixture
def gather(model, tmp_path):
    def call(place, *, per_clip=1, progress=silent):
        return open_gallery(
            place, model, per_clip=per_clip, cache_dir=tmp_path / "cache", progress=progress
        )

    return call


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    PilImage.fromarray(image).save(path, **options)
    return path


def noise(seed=0, size=(30, 40)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def test_pictures_are_taken_as_they_are(gather, tmp_path):
    images = {"b": noise(1), "a": noise(2, (50, 20))}
    for name, image in images.items():
        save(tmp_path / "in" / "deep" / f"{name}.png", image)
    found = gather(tmp_path / "in")
    assert found.rows.to_dict("list") == {"video_id": ["a", "b"], "frame_index": [0, 0]}
    for name, image in zip(found.rows["video_id"], found.read(found.rows), strict=True):
        np.testing.assert_array_equal(image, images[name])


def test_grey_and_transparent_pictures_become_rgb(gather, tmp_path):
    grey = noise()[..., 0]
    save(tmp_path / "in" / "grey.PNG", grey)
    save(tmp_path / "in" / "seen_through.png", np.dstack([noise(), grey]))
    first, second = gather(tmp_path / "in").read(gather(tmp_path / "in").rows)
    np.testing.assert_array_equal(first, np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(second, noise())


def test_photograph_is_turned_as_its_camera_says(gather, tmp_path):
    image, turned = noise(), PilImage.Exif()
    turned[0x0112] = 6  # to be shown turned to the right by 90 degrees
    path = save(tmp_path / "held upright.png", image, exif=turned)
    found = gather(path)
    np.testing.assert_array_equal(found.read(found.rows)[0], np.rot90(image, -1))


def test_two_files_of_one_name_are_kept_apart(gather, tmp_path):
    for seed, name in enumerate(["x/face.png", "y/face.png", "y/FACE.bmp"]):
        save(tmp_path / "in" / name, noise(seed))
    found = gather(tmp_path / "in")
    assert len(set(found.rows["video_id"].str.casefold())) == 3
    images = found.read(found.rows)
    assert len({image.tobytes() for image in images}) == 3


@pytest.mark.parametrize("per_clip", [1, 2, 99])
def test_faces_of_videos_are_found_and_evenly_chosen(gather, explainable_study, per_clip):
    found = gather(explainable_study / "videos" / "dog1 clip0.mp4", per_clip=per_clip)
    number = min(per_clip, FRAMES)
    assert found.rows["video_id"].tolist() == ["dog1 clip0"] * number
    assert found.rows["frame_index"].is_monotonic_increasing
    assert found.rows["frame_index"].is_unique
    for image in found.read(found.rows):
        assert image.shape == pytest.approx((55, 55, 3), abs=3)
        assert image[2, 2, 0] > 150  # red: the face fills the crop


def test_pictures_and_videos_may_lie_together(gather, tmp_path, explainable_study):
    save(tmp_path / "in" / "still.png", paint(("red", 0, 0, 40), size=(40, 40)))
    clip = explainable_study / "videos" / "dog0 clip1.mp4"
    (tmp_path / "in" / "clip.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    told = []
    found = gather(tmp_path / "in", progress=lambda *step: told.append(step))
    assert sorted(found.rows["video_id"]) == ["clip", "still"]
    assert [image.shape[0] for image in found.read(found.rows)] == pytest.approx([40, 50], abs=3)
    assert told[-1] == ("crop", 2, 2)


def test_unreadable_picture_is_named(gather, tmp_path):
    save(tmp_path / "in" / "good.png", noise())
    (tmp_path / "in" / "bad.jpg").write_bytes(b"\xff\xd8 no picture")
    found = gather(tmp_path / "in")
    with pytest.raises(StudyError, match=r"bad\.jpg: cannot be read as a picture .*take it out"):
        found.read(found.rows)


def test_unreadable_video_is_told_and_left_out(gather, tmp_path, caplog):
    save(tmp_path / "in" / "good.png", noise())
    (tmp_path / "in" / "bad.mp4").write_bytes(b"no video")
    found = gather(tmp_path / "in")
    assert found.rows["video_id"].tolist() == ["good"]
    assert "bad.mp4" in caplog.text
    [note] = found.notes
    assert note.startswith("bad is left out: ")


def test_video_without_a_face_is_told_beside_others(gather, tmp_path):
    blank = write_painted_study(tmp_path / "blank", subjects=1, clips=1, faces=False)
    save(blank / "videos" / "good.png", noise())
    [note] = gather(blank / "videos").notes
    assert note == "dog0 clip0 is left out: no face is found in it"


def test_hidden_files_and_an_earlier_explanation_are_passed_over(gather, tmp_path):
    place = tmp_path / ".in" / "photos"  # the hidden folder is the one that was asked for
    for name in ("a.png", "._a.png", ".trash/b.png", "out/overlays/a_000000.png"):
        save(place / name, noise())
    (place / "out" / "explanation.json").write_text("{}", encoding="utf-8")
    assert gather(place).rows["video_id"].tolist() == ["a"]


@pytest.mark.parametrize("kind", [np.uint16, np.float32, np.int32])
def test_grey_of_more_than_8_bits_is_refused(gather, tmp_path, kind):
    save(tmp_path / "in" / "deep.tiff", np.full((30, 40), 1000, kind))
    found = gather(tmp_path / "in")
    with pytest.raises(StudyError, match=r"deep\.tiff: its grey values are not of 8 bits"):
        found.read(found.rows)


def test_picture_too_large_to_decode_is_named(gather, tmp_path, monkeypatch):
    save(tmp_path / "in" / "huge.png", noise())
    monkeypatch.setattr(PilImage, "MAX_IMAGE_PIXELS", 100)
    found = gather(tmp_path / "in")
    with pytest.raises(StudyError, match=r"huge\.png: cannot be read as a picture"):
        found.read(found.rows)


def test_nothing_to_look_at_says_what_to_give(gather, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    for place in (tmp_path / "in", tmp_path / "in" / "notes.txt", tmp_path / "nowhere"):
        with pytest.raises(StudyError, match=r"no picture and no video is there; give .*\.png"):
            gather(place)


def test_videos_without_any_face_are_refused(gather, tmp_path):
    blank = write_painted_study(tmp_path / "blank", subjects=1, clips=1, faces=False)
    with pytest.raises(NoFacesError, match="no face is found in any of the videos"):
        gather(blank / "videos")
