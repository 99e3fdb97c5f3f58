import numpy as np
import pandas as pd
import pytest

from canemo.faces.frame_choice import choose_frames


def crops_of(**clips):
    """Rows of crops: clip -> its frame indices."""
    rows = [(video_id, frame) for video_id, frames in clips.items() for frame in frames]
    return pd.DataFrame(rows, columns=["video_id", "frame_index"])


def ledger_of(origin, *, score=None, sharpness=None):
    nothing = np.zeros(len(origin))
    return origin.assign(
        score=nothing if score is None else score,
        sharpness=nothing if sharpness is None else sharpness,
    )


def frames_that_count(origin, rule, ledger=None):
    counted = choose_frames(origin, pd.DataFrame() if ledger is None else ledger, rule)
    rows = origin[counted]
    return {name: part["frame_index"].tolist() for name, part in rows.groupby("video_id")}


def test_all_are_all():
    origin = crops_of(a=[0, 6], b=[3])
    assert frames_that_count(origin, "all") == {"a": [0, 6], "b": [3]}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("even:1", [5]),
        ("even:2", [2, 7]),
        ("even:3", [1, 5, 8]),
        ("even:10", list(range(10))),
        ("even:99", list(range(10))),
    ],
)
def test_even_takes_the_middles_of_equal_parts(rule, expected):
    assert frames_that_count(crops_of(a=range(10)), rule) == {"a": expected}


def test_even_counts_crops_not_frame_indices():
    origin = crops_of(a=[0, 1, 2, 500, 900], b=[7], c=[4, 9])
    assert frames_that_count(origin, "even:3") == {"a": [0, 2, 900], "b": [7], "c": [4, 9]}


@pytest.mark.parametrize("frames", range(1, 40))
@pytest.mark.parametrize("number", [1, 2, 5, 8])
def test_even_takes_as_many_as_asked_spread_over_the_clip(frames, number):
    taken = frames_that_count(crops_of(a=range(frames)), f"even:{number}")["a"]
    assert len(set(taken)) == min(number, frames)
    # As far from the start as from the end, to within a frame, and no gap twice another.
    assert abs(taken[0] - (frames - 1 - taken[-1])) <= 1
    if len(taken) > 1:
        assert np.ptp(np.diff(taken)) <= 1


@pytest.mark.parametrize(("kind", "column"), [("score", "score"), ("sharp", "sharpness")])
def test_best_share_of_each_clip_by_itself(kind, column):
    origin = crops_of(a=range(4), b=range(4))
    # Clip b is worse throughout; it keeps as many.
    ledger = ledger_of(origin, **{column: [0.9, 0.6, 0.8, 0.7, 0.1, 0.3, 0.2, 0.4]})
    assert frames_that_count(origin, f"{kind}:0.5", ledger) == {"a": [0, 2], "b": [1, 3]}


def test_shares_are_rounded_up_and_leave_one_at_least():
    origin = crops_of(a=range(5), b=[2])
    ledger = ledger_of(origin, score=[1, 2, 3, 4, 5, 0])
    assert frames_that_count(origin, "score:.5", ledger) == {"a": [2, 3, 4], "b": [2]}
    assert frames_that_count(origin, "score:0.000001", ledger) == {"a": [4], "b": [2]}
    assert frames_that_count(origin, "score:1.0", ledger) == {"a": [0, 1, 2, 3, 4], "b": [2]}


@pytest.mark.parametrize(("share", "frames"), [("0.55", 20), ("0.07", 100), ("0.28", 25)])
def test_share_that_comes_out_even_is_not_rounded_up(share, frames):
    # 0.55 * 20 is 11.000000000000002 in floating point.
    origin = crops_of(a=range(frames))
    taken = frames_that_count(origin, f"sharp:{share}", ledger_of(origin))["a"]
    assert len(taken) == round(float(share) * frames)


def test_of_equals_the_earlier_counts():
    origin = crops_of(a=range(6))
    ledger = ledger_of(origin, score=[0.5, 0.9, 0.9, 0.9, 0.1, 0.9])
    assert frames_that_count(origin, "score:0.5", ledger) == {"a": [1, 2, 3]}


def test_crop_that_the_ledger_does_not_know_comes_last():
    origin = crops_of(a=range(4))
    ledger = ledger_of(origin, sharpness=[np.nan, 5.0, 0.0, 7.0]).iloc[:3]
    assert frames_that_count(origin, "sharp:0.5", ledger) == {"a": [1, 2]}
    assert frames_that_count(origin, "sharp:0.75", ledger) == {"a": [0, 1, 2]}


def test_ledger_in_another_order_with_other_rows_and_missing_frames():
    origin = crops_of(a=[3, 9], b=[3, 9])
    ledger = pd.DataFrame(
        {
            "video_id": ["b", "z", "a", "a", "b", "c"],
            "frame_index": pd.array([9, 3, 9, 3, 3, None], dtype="Int64"),
            "score": [0.1, 1.0, 0.9, 0.2, 0.8, np.nan],
            "sharpness": 0.0,
        }
    )
    assert frames_that_count(origin, "score:0.5", ledger) == {"a": [9], "b": [3]}


def test_crops_of_clips_that_are_mixed_up():
    origin = pd.DataFrame({"video_id": list("abab"), "frame_index": [0, 0, 1, 1]})
    ledger = ledger_of(origin, score=[0.1, 0.9, 0.2, 0.3])
    assert choose_frames(origin, ledger, "score:0.5").tolist() == [False, True, True, False]
    assert choose_frames(origin, ledger, "even:1").tolist() == [False, False, True, True]


def test_nothing_given_is_changed():
    origin = crops_of(a=range(4))
    ledger = ledger_of(origin, score=[3, 1, 2, 0])
    before = origin.copy(), ledger.copy()
    choose_frames(origin, ledger, "score:0.5")
    pd.testing.assert_frame_equal(origin, before[0])
    pd.testing.assert_frame_equal(ledger, before[1])
