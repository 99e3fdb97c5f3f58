from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from canemo.config import VideoConfig
from canemo.explain.concepts.agreement import compare_coders, compute_kappa
from canemo.explain.concepts.coding import (
    ABSENT,
    SHOWN,
    UNKNOWN,
    Clip,
    code_frames,
    list_unknown_units,
)
from canemo.explain.concepts.matching import match_events
from canemo.formats.events.event import Event
from canemo.pipeline.concepts import list_clips
from canemo.records import Study, Video
from canemo.species import DOG

ROOT = Path("/study")


def video(name, file=None, *, dog="Rex", **part):
    return Video(name, ROOT / (file or f"videos/{name}.mp4"), dog, "play", **part)


STUDY = Study(
    ROOT,
    (
        video("v1", "videos/rex_1.mp4"),
        video("v2", "videos/rex_2.mp4"),
        video("i1", "videos/Ida/clip.mp4", dog="Ida"),
        video("i2", "videos/Max/clip.mp4", dog="Max"),
    ),
)


def event(units="AU25", start_s=0.0, end_s=1.0, *, observer="ann", file="coded.csv", **whose):
    units = (units,) if isinstance(units, str) else units
    return Event(file, 2, "+".join(units), units, start_s, end_s, observer, **whose)


# -- which video -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("whose", "found"),
    [
        ({"video_id": "v1"}, ["v1"]),
        ({"video_id": "V1"}, ["v1"]),
        ({"video_id": "rex_1"}, ["v1"]),
        ({"media": "C:\\films\\rex_2.MP4"}, ["v2"]),
        ({"media": "/home/ann/rex_2.avi"}, ["v2"]),
        ({"media": "/a/rex_1.mp4;/a/other_camera.mp4"}, ["v1"]),
        ({"media": "films/Ida/clip.mp4"}, ["i1"]),
        ({"media": "v2.mp4"}, ["v2"]),
        ({"media": "player #1:rex_1.mp4|player #2:cam.mp4"}, ["v1"]),
        ({"media": "file:///x/REX%5F1.mp4"}, ["v1"]),
        ({"observation": "rex_1"}, ["v1"]),
        ({"observation": "rex_1.mp4"}, ["v1"]),
        ({"video_id": "rex_1.mp4"}, ["v1"]),
        ({"video_id": "b/rex_1.mp4"}, ["v1"]),
        ({"video_id": "films\\Ida\\clip.mp4"}, ["i1"]),
        ({"video_id": "v2", "media": "rex_1.mp4"}, ["v2"]),
        ({"file": "rex_1.txt"}, ["v1"]),
        ({"file": "rex_1.mp4.txt"}, ["v1"]),
        ({"video_id": "v1", "subject": "rEX"}, ["v1"]),
        ({"video_id": "v1", "subject": "No focal subject"}, ["v1"]),
    ],
)
def test_video_is_found_by_id_media_observation_or_file(whose, found):
    matched = match_events([event(**whose)], STUDY)
    assert list(matched.by_video) == found
    assert matched.coded == {(name, "ann") for name in found}
    assert matched.unmatched == []


@pytest.mark.parametrize(
    ("whose", "reason"),
    [
        ({"video_id": "v9"}, "video_id 'v9' is not a video of the study"),
        ({"media": "/a/other.mp4"}, "media '/a/other.mp4' is not a video of the study"),
        ({"media": "clip.mp4"}, "could be several videos of the study (i1, i2); give a video_id"),
        ({"media": "rex_1.mp4;rex_2.mp4"}, "could be several videos of the study (v1, v2)"),
        ({"file": "all.csv"}, "file of events 'all' is not a video of the study"),
        ({"observation": "rex_1.2"}, "observation 'rex_1.2' is not a video of the study"),
        ({"video_id": "v1", "subject": "ida"}, "its subject 'ida' is not 'Rex' of the video"),
        ({"video_id": "v1", "subject": "Ida"}, "its subject 'Ida' is not 'Rex' of the video"),
    ],
)
def test_event_without_a_video_is_named_not_guessed(whose, reason):
    matched = match_events([event(**whose)], STUDY)
    assert matched.by_video == {}
    (line,) = matched.unmatched
    assert reason in line
    assert "row 2: AU25 0 to 1 s" in line


def test_subject_that_is_not_in_the_study_is_taken_for_the_videos_own_and_told():
    strange = event(video_id="v1", subject="the dog")
    matched = match_events([strange, strange, event(video_id="v2")], STUDY)
    assert list(matched.by_video) == ["v1", "v2"]
    assert matched.assumed == [
        "coded.csv: 2 row(s) of subject 'the dog', whom the study does not have"
    ]
    assert match_events([event(video_id="v1", subject="No focal subject")], STUDY).assumed == []


def test_strange_dog_beside_dogs_of_the_study_is_not_the_videos():
    rex, bello = (event(video_id="v1", subject=name) for name in ("Rex", "Bello"))
    matched = match_events([bello, rex], STUDY)
    assert matched.by_video["v1"] == [rex]
    assert matched.assumed == []
    (line,) = matched.unmatched
    assert "its subject 'Bello' is not 'Rex' of the video" in line


def match_media(*paths, videos=("videos/Ida/clip.mp4",)):
    """Match (coder, path), and return which paths found a video, and which did not."""
    study = Study(ROOT, tuple(video(name, name) for name in videos))
    events = [event(observer=who, media=path) for who, path in paths]
    matched = match_events(events, study)
    return [each.media for all_ in matched.by_video.values() for each in all_], matched.unmatched


def test_two_films_of_one_name_are_not_both_the_studys():
    one, other = "/films/Rex/clip.mp4", "/films/Max/clip.mp4"
    found, unmatched = match_media(("ann", one), ("ann", other))
    assert found == []
    assert [path in line for path, line in zip((one, other), unmatched, strict=True)] == [
        True,
        True,
    ]
    assert "is of a name that its coder has in several folders and the study in one" in unmatched[0]
    found, unmatched = match_media(("ann", "/films/Ida/clip.mp4"), ("ann", other))
    assert found == ["/films/Ida/clip.mp4"]
    assert len(unmatched) == 1
    both = ("videos/Ida/clip.mp4", "videos/Max/clip.mp4")
    assert match_media(("ann", "/f/Ida/clip.mp4"), ("ann", other), videos=both)[1] == []


def test_two_coders_may_have_a_film_in_different_folders():
    paths = ["/home/ann/clip.mp4", "C:\\films\\clip.mp4"]
    assert match_media(("ann", paths[0]), ("ben", paths[1])) == (paths, [])
    assert match_media(("ann", "clip.mp4"), ("ann", paths[1])) == (["clip.mp4", paths[1]], [])


def test_event_of_a_file_is_under_every_part_that_the_table_lists():
    parts = Study(
        ROOT,
        (video("a", "f.mp4", start_s=0, end_s=2), video("b", "f.mp4", start_s=2, end_s=4)),
    )
    matched = match_events([event(media="f.mp4", start_s=2.5, end_s=3)], parts)
    assert set(matched.by_video) == {"a", "b"}
    clips = {"a": Clip(0, 2, 0.5), "b": Clip(2, 4, 0.5)}
    frames = pd.DataFrame({"video_id": ["a"] * 4 + ["b"] * 4, "time_s": np.arange(8) / 2})
    coding = code_frames(frames, matched, clips)
    assert coding.settle("AU25").tolist() == [0, 0, 0, 0, 0, SHOWN, 0, 0]
    assert coding.outside == ()


# -- frames ----------------------------------------------------------------------------------------


def frames(*names, number=5, step_s=0.5):
    rows = [(name, place * step_s) for name in names for place in range(number)]
    return pd.DataFrame(rows, columns=["video_id", "time_s"])


def code(*events, names=("v1",), end_s=2.5, interval_s=0.5, **options):
    matched = match_events(events, STUDY)
    clips = {video.video_id: Clip(0.0, end_s, interval_s) for video in STUDY.videos}
    return code_frames(frames(*names), matched, clips, **options)


def test_state_is_shown_from_its_start_up_to_its_stop():
    coding = code(event(video_id="v1", start_s=0.5, end_s=1.5))
    assert coding.settle("AU25").tolist() == [0, 1, 1, 0, 0]


def test_point_is_shown_half_a_sampling_interval_either_side_at_least():
    point = event("AU145", 1.2, None, video_id="v1")
    assert code(point).settle("AU145").tolist() == [0, 0, 1, 0, 0]
    assert code(point, point_window_s=0.01).settle("AU145").tolist() == [0, 0, 1, 0, 0]
    assert code(point, point_window_s=0.7).settle("AU145").tolist() == [0, 1, 1, 1, 0]


def test_one_event_of_two_units_shows_both_and_others_add_up():
    coding = code(
        event(("AU25", "AU26"), 0, 1, video_id="v1"), event("AU25", 1.5, 2, video_id="v1")
    )
    assert coding.settle("AU25").tolist() == [1, 1, 0, 1, 0]
    assert coding.settle("AU26").tolist() == [1, 1, 0, 0, 0]
    assert coding.events == {"AU25": 2, "AU26": 1}


def test_event_between_frames_is_counted():
    coding = code(event(video_id="v1", start_s=0.6, end_s=0.9), event(video_id="v2"))
    assert coding.settle("AU25").tolist() == [0] * 5
    assert coding.unseen == {"AU25": 2}  # and one in a clip without crops


def test_clip_without_events_is_coded_only_where_that_is_said():
    coding = code(event(video_id="v1"), names=("v1", "v2"))
    assert coding.settle("AU25").tolist() == [1, 1, 0, 0, 0] + [UNKNOWN] * 5
    assert coding.coded_clips == ("v1",)
    assert coding.left_out == ("v2", "i1", "i2")
    said = code(event(video_id="v1"), names=("v1", "v2"), all_coded=True)
    assert said.settle("AU25").tolist() == [1, 1, 0, 0, 0] + [ABSENT] * 5
    assert said.left_out == ()


def test_row_without_a_code_says_that_its_clip_was_coded():
    nothing = Event("coded.csv", 3, "", (), None, None, "ann", video_id="v2")
    coding = code(event(video_id="v1"), nothing, names=("v1", "v2"))
    assert coding.settle("AU25").tolist() == [1, 1] + [ABSENT] * 8
    assert coding.coded_clips == ("v1", "v2")


@pytest.mark.parametrize(
    ("start_s", "end_s", "shown", "told"),
    [
        (1.5, 9.0, [0, 0, 0, 1, 1], "reaches beyond video 'v1' (0 s to 2.5 s)"),
        (3.0, 9.0, [0, 0, 0, 0, 0], "lies outside video 'v1' (0 s to 2.5 s)"),
        (3.0, None, [0, 0, 0, 0, 0], "lies outside video 'v1' (0 s to 2.5 s)"),
        (1.5, 2.6, [0, 0, 0, 1, 1], None),
    ],
)
def test_event_beyond_its_clip_is_cut_or_left_out_and_named(start_s, end_s, shown, told):
    coding = code(event(video_id="v1", start_s=start_s, end_s=end_s), event("AD19", video_id="v1"))
    if "AU25" in coding.units:
        assert coding.settle("AU25").tolist() == shown
    else:
        assert not any(shown)
    assert [told in line for line in coding.outside] == ([] if told is None else [True])


def test_part_of_a_file_keeps_the_time_of_the_file():
    part = Study(ROOT, (video("v1", start_s=10.0, end_s=12.0),))
    files = pd.DataFrame({"video_id": ["v1"], "duration_s": [2.0], "fps": [25.0]})
    clips = list_clips(part, files, VideoConfig(fps=2.0))
    assert clips == {"v1": Clip(10.0, 12.0, 0.5)}
    matched = match_events([event(video_id="v1", start_s=10.9, end_s=11.4)], part)
    table = pd.DataFrame({"video_id": "v1", "time_s": [10.0, 10.5, 11.0, 11.5]})
    assert code_frames(table, matched, clips).settle("AU25").tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize(
    ("settings", "interval_s"),
    [({"fps": 5.0}, 0.2), ({"fps": 50.0}, 0.04), ({"every_nth": 5}, 0.2)],
)
def test_sampling_interval_is_never_less_than_the_files_own(settings, interval_s):
    study = Study(ROOT, (video("v1"), video("v2")))
    files = pd.DataFrame({"video_id": ["v1"], "duration_s": [4.0], "fps": [25.0]})
    clips = list_clips(study, files, VideoConfig(**settings))
    assert clips["v1"].interval_s == pytest.approx(interval_s)
    assert clips["v2"].end_s is None  # could not be opened


def test_units_that_are_no_code_are_counted_as_written():
    events = [event("AU25"), event("yawn"), event(("yawn",)), event(("AU26", "AU9"))]
    assert list_unknown_units(events, DOG.units) == {"AU9": 1, "yawn": 2}


# -- two coders ------------------------------------------------------------------------------------


def code_twice():
    return code(
        event(video_id="v1", start_s=0, end_s=1, observer="ann"),
        event(video_id="v1", start_s=0.5, end_s=1.5, observer="ben"),
        event(video_id="v2", start_s=0, end_s=0.4, observer="ann"),
        names=("v1", "v2"),
    )


def test_frames_on_which_coders_disagree_are_left_out_and_counted():
    coding = code_twice()
    assert coding.settle("AU25").tolist() == [UNKNOWN, 1, UNKNOWN, 0, 0, 1, 0, 0, 0, 0]
    assert coding.count_disagreements("AU25") == 2


def test_all_coded_means_every_coder():
    coding = code(
        event(video_id="v1", observer="ann"),
        event(video_id="v2", observer="ben"),
        names=("v1", "v2", "i1"),
        all_coded=True,
    )
    assert coding.by_observer[:, 0].tolist() == [
        [1, 1] + [ABSENT] * 13,
        [ABSENT] * 5 + [1, 1] + [ABSENT] * 8,
    ]
    assert coding.count_disagreements("AU25") == 4


@pytest.mark.parametrize("all_coded", [False, True])
def test_coder_who_never_used_a_unit_is_no_witness_of_its_absence(all_coded):
    coding = code(
        event("AU25", video_id="v1", observer="mouth"),
        event("EAD103", video_id="v1", start_s=1, end_s=2, observer="ears"),
        all_coded=all_coded,
    )
    assert coding.settle("AU25").tolist() == [1, 1, 0, 0, 0]
    assert coding.settle("EAD103").tolist() == [0, 0, 1, 1, 0]
    assert coding.never_used == {"mouth": ("EAD103",), "ears": ("AU25",)}
    assert compare_coders(coding, np.full(5, "Rex", object)) == ()


def test_a_unit_used_in_any_video_was_looked_for_in_all():
    coding = code(
        event("AU25", video_id="v1", observer="ann"),
        event("AD19", video_id="v1", observer="ben"),
        event("AU25", video_id="not in the study", observer="ben"),
    )
    assert coding.count_disagreements("AU25") == 2
    assert coding.never_used == {"ann": ("AD19",)}


def test_agreement_is_over_the_frames_that_both_coded():
    (pair,) = compare_coders(code_twice(), np.repeat(["Rex", "Ida"], 5).astype(object))
    # v1: both in 1 frame, ann alone in 1, ben alone in 1, neither in 2
    assert pair.frames == 5
    assert pair.agreement == 3 / 5
    assert pair.prevalence == (2 / 5, 2 / 5)
    chance = 0.4 * 0.4 + 0.6 * 0.6
    assert pair.kappa == pytest.approx((0.6 - chance) / (1 - chance))
    assert pair.interval is None  # one subject
    assert pair.observers == ("ann", "ben")


def test_kappa_of_known_tables():
    assert compute_kappa(np.array([20, 5, 10, 15])) == pytest.approx(0.4)  # textbook 2 x 2
    assert compute_kappa(np.array([5, 0, 0, 5])) == 1
    assert compute_kappa(np.array([0, 5, 5, 0])) == -1
    assert np.isnan(compute_kappa(np.array([0, 0, 0, 9])))


def test_no_kappa_where_a_unit_was_never_seen_is_said():
    coding = code(
        event("AD19", video_id="v1", observer="ann"),
        event("AD19", video_id="v1", observer="ben"),
        event("AU25", video_id="v2", observer="ann"),
        event("AU25", video_id="i1", observer="ben"),
        names=("v1", "v2"),
    )
    by_unit = {row.unit: row for row in compare_coders(coding, np.full(10, "Rex", object))}
    assert by_unit["AD19"].kappa == 1
    assert by_unit["AU25"].kappa is None
    assert "neither coder saw it in any frame" in by_unit["AU25"].reason


def test_interval_of_kappa_holds_it_and_resamples_dogs():
    rng = np.random.default_rng(0)
    first = rng.random((1, 400)) < 0.4
    second = first ^ (rng.random((1, 400)) < 0.1)
    coding = code(event(video_id="v1"), event(video_id="v1", observer="ben"))
    seen = np.stack([first, second]).astype(np.int8)
    coding = coding.__class__(**{**vars(coding), "by_observer": seen})
    dogs = np.repeat([f"d{d}" for d in range(8)], 50).astype(object)
    (pair,) = compare_coders(coding, dogs, resamples=500)
    low, high = pair.interval
    assert low < pair.kappa < high
    assert high - low < 0.3
    assert pair.subjects == 8
