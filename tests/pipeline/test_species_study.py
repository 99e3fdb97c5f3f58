"""A whole study of animals of which nothing is known but their boxes, drawn by hand."""

import contextlib
import html
import io
import json
import re
import sys

import PIL.Image
import pytest

import canemo
from canemo.cli import main
from canemo.config import load_config
from canemo.errors import ConfigError
from canemo.formats.boxes.coco import AnnotatedImage, write_coco
from canemo.networks.backbones import write_random_weights
from canemo.report.words.wording import PAPER
from canemo.species import GENERIC
from canemo.video.times import Sampling
from painted import leave_undrawn, write_painted_study

NETWORK, SUBJECTS, CLIPS, FRAMES = "timm:test_vit", 4, 2, 5
DRAWN_ON = (0, 2, 4)


def draw_boxes(study, folder):
    """Save frames of a painted study as pictures, and a COCO file of the boxes on them."""
    folder.mkdir()
    images = []
    for video in canemo.load_study(study).videos:
        subject = int(video.video_id[1])
        for frame in canemo.iter_frames(video.path, sampling=Sampling(every_nth=1)):
            number, side = frame.frame_index, 50 + 5 * subject
            if number not in DRAWN_ON:
                continue
            path = folder / f"{video.video_id}__{number:06d}.png"
            PIL.Image.fromarray(frame.image_rgb).save(path)
            x, y = 20.0 + 3 * subject + number, 20.0 + number
            images.append(AnnotatedImage(path, 160, 120, ((x, y, x + side, y + side),), ("face",)))
    return write_coco(folder / "drawn.json", images)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("herd")
    place = write_painted_study(folder / "goats", subjects=SUBJECTS, clips=CLIPS, frames=FRAMES)
    weights = write_random_weights(NETWORK, folder / "drawn.safetensors")
    (place / "canemo.toml").write_text(
        f"""
        study.species = "generic"
        detect.detector = "faces.json"
        backbone = {{ name = "{NETWORK}", weights = "{weights}" }}
        probe = {{ pooling = "mean", penalties = [1.0], inner_folds = 2 }}
        evaluate = {{ resamples = 100, permutations = 100 }}
        """,
        encoding="utf-8",
    )
    canemo.import_faces(draw_boxes(place, folder / "pictures"), place)
    return place


def call(*arguments):
    """Run the command line; return everything it says."""
    said = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        leave_undrawn(patch)
        patch.setattr(sys, "argv", ["canemo", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
    assert not caught.value.code, said.getvalue()
    return said.getvalue()


@pytest.fixture(scope="module")
def told(study):
    """Everything that a run, an audit and an explanation of it say, by where they say it."""
    run = study / "runs" / "herd"
    said = {
        "run": call("run", study, "--name", "herd"),
        "audit": call("audit", run, "--confounds"),
        "explain": call("explain", run),
    }
    files = [*run.glob("*.json"), *run.glob("*.html"), *run.glob("explain/*.json")]
    files += [*run.glob("explain/*.html"), run / "model" / "README.md"]
    return said | {str(f.relative_to(run)): f.read_text(encoding="utf-8") for f in files}


def list_dogs(text):
    """Return what is said of dogs."""
    return list(dict.fromkeys(re.findall(r".{0,60}\bdogs?\b.{0,40}", text, re.IGNORECASE)))


def read(told, name):
    return json.loads(told[name])


def test_every_frame_has_the_box_that_was_drawn_or_lies_between_two(told):
    found = read(told, "metrics.json")["study"]
    assert found["species"] == "generic"
    assert found["crops"] == found["frames"] == SUBJECTS * CLIPS * FRAMES


def test_regions_are_bands_where_no_points_are_found_which_is_said(study):
    call("run", study, "--name", "part", "--set", "probe.pooling=region:middle")
    run = study / "runs" / "part"
    crops = SUBJECTS * CLIPS * FRAMES
    warnings = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["warnings"]
    (warning,) = [text for text in warnings if "bands" in text]
    assert warning.startswith(f"{crops} of {crops} crops: nothing finds sure points")
    call("audit", run, "--confounds")
    battery = json.loads((run / "confounds.json").read_text(encoding="utf-8"))
    assert "read by the backbone's embedding of it as a whole (cls)" in battery["verdict"][-1]
    assert battery["rows"][0]["clips"] == SUBJECTS * CLIPS


def test_variants_and_regions_are_those_of_the_species(told):
    rows = [row["name"] for row in read(told, "confounds.json")["rows"]]
    assert [name for name in rows if name.startswith("without_")] == [
        f"without_{band}" for band in GENERIC.bands
    ]
    [model] = read(told, "explain/explanation.json")["models"]
    assert [row["region"] for row in model["occlusion"]] == list(GENERIC.regions)
    assert model["regions"].startswith("fixed bands of the box (")
    areas = [row["area"] for row in model["methods"][0]["gap"][:-1]]
    assert areas == pytest.approx([3 / 16, 3 / 16, 3 / 16, 7 / 16], abs=1e-3)


def test_nothing_said_is_about_dogs(told):
    keys, names = (
        re.compile(r'"dogs": |class="dogs"|dogs_0|not\(\.dogs\)'),
        (PAPER, html.escape(PAPER)),
    )
    found = {}
    for name, text in told.items():
        for paper in names:
            text = text.replace(paper, "")  # what the method is from is about dogs
        found[name] = list_dogs(keys.sub("", text))
    assert {name: lines for name, lines in found.items() if lines} == {}
    assert "animals it had never seen" in told["report.html"]
    assert "1 animal" not in told["report.html"]


def test_without_a_detector_the_study_says_what_to_give(study):
    config = load_config(study, overrides={"detect": {"detector": "auto"}})
    with pytest.raises(ConfigError, match=r"no detector ships .* faces\.json"):
        canemo.crop_study(study, config=config)


def test_there_is_no_landmark_model_to_ask(study, told):
    with pytest.raises(ConfigError, match=r"no landmark model ships .* 'generic'"):
        canemo.explain_models(study / "runs" / "herd", regions="model")


def test_a_model_that_knows_boxes_of_its_study_takes_any_detector_to_new_video(study, told):
    run, clip = study / "runs" / "herd", next(iter(sorted((study / "videos").iterdir())))
    alone = canemo.load_model(run).predict([clip])
    assert [each.summary["status"] for each in alone] == ["no_face"]
    [answer] = canemo.load_model(run, detector="whole_frame").predict([clip])
    assert answer.summary["status"] == "ok"
