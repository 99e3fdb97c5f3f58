import tracemalloc
from tempfile import TemporaryFile

import pytest

from canemo.faces.seen_frames import Cut, Seen, SeenFrames, Spool
from canemo.records import Face


def make_face(number):
    return Face((0.1 * number, 1 / 3, 100.25 + number, 2e9 / 7), 0.123456789)


def make_cut(number):
    return Cut((number, 2, 300, 4000), 100.1 + number, 1e-9, at=(10**12 + number, 4321))


FRAMES = [
    Seen(0, 0.0, faces=(), cuts=()),
    Seen(7, 1 / 3, faces=(make_face(0), make_face(1)), cuts=(make_cut(0), None)),
    Seen(2**40, 1e6 / 7, faces=(), cuts=(), whole=(0, 5), between=True),
    Seen(2**40 + 1, 2e5, faces=(make_face(2),), cuts=(make_cut(3),), between=True),
]


def test_frames_come_back_exactly_as_they_were_added():
    frames = SeenFrames()
    for seen in FRAMES:
        frames.add(seen)
    assert len(frames) == 4
    assert list(frames) == FRAMES
    assert [frames[place] for place in (3, -3, 0)] == [FRAMES[3], FRAMES[1], FRAMES[0]]
    assert frames[1:3] == FRAMES[1:3]
    with pytest.raises(IndexError):
        frames[4]


def test_every_face_has_a_cut_or_none():
    with pytest.raises(ValueError, match="zip"):
        SeenFrames().add(Seen(0, 0.0, faces=(make_face(0),), cuts=()))


def test_half_an_hour_at_60_frames_per_second_takes_some_tens_of_megabytes():
    frames = SeenFrames()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(10_000):
        frames.add(Seen(number, number / 60, faces=(make_face(number),), cuts=(make_cut(number),)))
    bytes_per_frame = (tracemalloc.get_traced_memory()[0] - before) / 10_000
    tracemalloc.stop()
    assert 30 * 60 * 60 * bytes_per_frame < 20e6


def test_spool_gives_back_what_was_kept_in_any_order():
    with TemporaryFile() as handle:
        spool = Spool(handle)
        at = [spool.add(bytes([number]) * number) for number in range(1, 50)]
        assert spool.get(at[30]) == bytes([31]) * 31
        at.append(spool.add(b"last"))
        assert spool.get(at[-1]) == b"last"
        assert [len(spool.get(each)) for each in at[:49]] == list(range(1, 50))
