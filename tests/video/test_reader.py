"""Frames are checked against the numbers drawn into their pixels."""

from __future__ import annotations

import contextlib
import gc
import itertools
import logging
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame

import canemo.video
from canemo.errors import CanemoError, ConfigError, VideoOpenError
from canemo.records import Frame
from canemo.video.container import LostFrame
from canemo.video.info import probe_video
from canemo.video.reader import VideoReader, iter_frames
from canemo.video.times import Sampling
from clips import (
    BITS,
    DARK,
    LIGHT,
    cut_short,
    damage_bytes,
    draw_number,
    read_number,
    write_clip,
    write_sound,
)

ALL = Sampling(every_nth=1)
NTSC = Fraction(30000, 1001)
B_FRAMES = {"preset": "medium"}


def read_all(path: Path, sampling: Sampling = ALL, **part: float) -> list[Frame]:
    """Read a file that must be sound."""
    with VideoReader(path, sampling=sampling, **part) as reader:
        frames = list(reader)
    assert reader.damage is None
    assert reader.lost == ()
    return frames


def assert_numbered(frames: list[Frame], expected: list[int] | range) -> None:
    assert [frame.frame_index for frame in frames] == list(expected)
    assert [read_number(frame.image_rgb) for frame in frames] == list(expected)


def times_s(frames: list[Frame]) -> list[float]:
    return [frame.time_s for frame in frames]


# -- numbers and times ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.mov", "a.flv"])
def test_each_frame_has_its_own_number_and_time(tmp_path: Path, name: str) -> None:
    clip = write_clip(tmp_path / name, frames=20, rate=25, options=B_FRAMES)
    frames = read_all(clip)
    assert_numbered(frames, range(20))
    assert times_s(frames) == pytest.approx([number / 25 for number in range(20)], abs=1e-9)


def test_frames_are_rgb_bytes(tmp_path: Path) -> None:
    frame = read_all(write_clip(tmp_path / "a.mp4", frames=1))[0]
    assert frame.image_rgb.shape == (48, 64, 3)
    assert frame.image_rgb.dtype == np.uint8
    assert frame.image_rgb.flags.c_contiguous
    assert frame.image_rgb.flags.writeable


def test_ntsc_times_do_not_drift(tmp_path: Path) -> None:
    frames = read_all(write_clip(tmp_path / "a.mp4", frames=200, size=(32, 16), rate=NTSC))
    assert_numbered(frames, range(200))
    assert times_s(frames) == pytest.approx([float(n / NTSC) for n in range(200)], abs=1e-9)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_variable_rate_keeps_every_frames_own_time(tmp_path: Path, name: str) -> None:
    own_times_s = [Fraction(number * number, 100) for number in range(12)]
    frames = read_all(write_clip(tmp_path / name, times_s=own_times_s))
    assert_numbered(frames, range(12))
    assert times_s(frames) == pytest.approx([float(time_s) for time_s in own_times_s])


def test_first_frame_is_at_zero_wherever_the_file_starts(tmp_path: Path) -> None:
    late = [Fraction(7, 2) + Fraction(number, 25) for number in range(5)]
    frames = read_all(write_clip(tmp_path / "a.ts", times_s=late))
    assert times_s(frames) == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.16])


def test_stream_without_time_stamps_follows_the_mean_rate_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = write_clip(tmp_path / "a.h264", frames=10, options=B_FRAMES)
    with caplog.at_level(logging.WARNING):
        frames = read_all(clip)
    assert_numbered(frames, range(10))
    assert times_s(frames) == pytest.approx([number / 25 for number in range(10)])
    assert caplog.text.count("without a usable time stamp") == 1


# -- sampling -------------------------------------------------------------------------------------


def test_every_nth(tmp_path: Path) -> None:
    frames = read_all(write_clip(tmp_path / "a.mp4", frames=20), Sampling(every_nth=6))
    assert_numbered(frames, [0, 6, 12, 18])


def test_grid_takes_the_frame_at_or_after_each_tick(tmp_path: Path) -> None:
    # 25 frames/s against ticks at 0, 0.1, 0.2, ...: frames 0, 3 (0.12), 5 (0.2), 8 (0.32), ...
    frames = read_all(write_clip(tmp_path / "a.mp4", frames=20), Sampling(fps=10))
    assert_numbered(frames, [0, 3, 5, 8, 10, 13, 15, 18])


def test_grid_on_avi_is_not_loosened_by_its_coarse_time_base(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", frames=20, codec="mpeg4")
    assert_numbered(read_all(clip, Sampling(fps=10)), [0, 3, 5, 8, 10, 13, 15, 18])


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
@pytest.mark.parametrize("fps", [NTSC, 29.97, 30, 1000.0])
def test_asking_for_the_files_own_rate_or_more_gives_each_frame_once(
    tmp_path: Path, name: str, fps: float
) -> None:
    clip = write_clip(tmp_path / name, frames=120, rate=NTSC, codec="mpeg4")
    assert_numbered(read_all(clip, Sampling(fps=fps)), range(120))


def test_grid_does_not_drift_over_a_long_clip(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=1000, size=(16, 16), rate=NTSC, codec="mpeg4")
    frames = read_all(clip, Sampling(fps=5))
    for tick, frame in enumerate(frames):
        assert 0 <= frame.time_s - tick / 5 < 1.001 / NTSC
    assert len(frames) == 167  # ticks at 0 .. 33.2 s of 33.37 s


def test_grid_over_a_gap_takes_the_frame_behind_it_once(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", times_s=[Fraction(t, 10) for t in (0, 1, 20, 21, 22)])
    assert_numbered(read_all(clip, Sampling(fps=5)), [0, 2, 4])


def test_only_sampled_frames_are_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[int] = []
    original = canemo.video.pictures.Converter.to_rgb

    def spy(converter: canemo.video.pictures.Converter, picture: VideoFrame) -> object:
        converted.append(1)
        return original(converter, picture)

    monkeypatch.setattr(canemo.video.pictures.Converter, "to_rgb", spy)
    read_all(write_clip(tmp_path / "a.mp4", frames=20), Sampling(every_nth=10))
    assert len(converted) == 2


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"every_nth": 2, "fps": 5.0},
        {"every_nth": 0},
        {"every_nth": -3},
        {"every_nth": 1.5},
        {"fps": 0},
        {"fps": -1.0},
        {"fps": float("nan")},
        {"fps": float("inf")},
    ],
)
def test_sampling_that_makes_no_sense_is_refused(choice: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="give"):
        Sampling(**choice)  # type: ignore[arg-type]


def test_equal_rates_are_equal_however_they_are_written() -> None:
    assert repr(Sampling(fps=5)) == repr(Sampling(fps=5.0)) == repr(Sampling(fps=Fraction(5)))
    assert Sampling(fps=29.97).fps == Fraction(2997, 100)


# -- part of a file -------------------------------------------------------------------------------


def test_part_is_half_open_and_keeps_the_files_numbers(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=20, options=B_FRAMES)
    frames = read_all(clip, start_s=0.2, end_s=0.4)
    assert_numbered(frames, range(5, 10))
    assert times_s(frames) == pytest.approx([0.2, 0.24, 0.28, 0.32, 0.36])


def test_adjoining_parts_share_no_frame_and_lose_none(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv", frames=60, size=(32, 16), rate=NTSC)
    borders = [0.0, 0.3337, 1.0, 1.5015, 9.0]
    indices = [
        frame.frame_index
        for start_s, end_s in itertools.pairwise(borders)
        for frame in read_all(clip, start_s=start_s, end_s=end_s)
    ]
    assert indices == list(range(60))


def test_sampling_starts_with_the_part(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=20)
    assert_numbered(read_all(clip, Sampling(every_nth=4), start_s=0.11), [3, 7, 11, 15, 19])
    assert_numbered(read_all(clip, Sampling(fps=5), start_s=0.11), [3, 8, 13, 18])


def test_part_behind_the_end_is_empty_and_no_damage(tmp_path: Path) -> None:
    assert read_all(write_clip(tmp_path / "a.mp4"), start_s=5.0) == []


@pytest.mark.parametrize(
    "part",
    [{"start_s": -1.0}, {"end_s": float("nan")}, {"start_s": 2.0, "end_s": 2.0}, {"end_s": 0.0}],
)
def test_part_that_makes_no_sense_is_refused(tmp_path: Path, part: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="give"):
        VideoReader(write_clip(tmp_path / "a.mp4", frames=2), sampling=ALL, **part)


# -- pixels ---------------------------------------------------------------------------------------


def draw_corner(_: int) -> np.ndarray:
    """Draw a frame that is light in its upper left quarter only."""
    pixels = np.full((48, 64, 3), DARK, dtype=np.uint8)
    pixels[:24, :32] = LIGHT
    return pixels


@pytest.mark.parametrize(
    ("counter_clockwise_deg", "mirrored", "light_corner", "clockwise_deg"),
    [
        (0, False, "top left", 0),
        (-90, False, "top right", 90),
        (180, False, "bottom right", 180),
        (90, False, "bottom left", 270),
        (0, True, "top right", 0),
    ],
)
def test_rotation_is_applied_to_the_pixels(
    tmp_path: Path,
    counter_clockwise_deg: int,
    mirrored: bool,
    light_corner: str,
    clockwise_deg: int,
) -> None:
    clip = write_clip(
        tmp_path / "a.mp4",
        frames=2,
        draw=draw_corner,
        rotation_deg=counter_clockwise_deg,
        mirrored=mirrored,
    )
    image = read_all(clip)[0].image_rgb
    info = probe_video(clip)
    height, width = image.shape[:2]
    assert (width, height) == ((48, 64) if clockwise_deg in (90, 270) else (64, 48))
    assert (info.width, info.height, info.rotation_deg) == (width, height, clockwise_deg)
    corners = {
        "top left": image[: height // 2, : width // 2],
        "top right": image[: height // 2, width // 2 :],
        "bottom left": image[height // 2 :, : width // 2],
        "bottom right": image[height // 2 :, width // 2 :],
    }
    lightness = {name: float(pixels.mean()) for name, pixels in corners.items()}
    assert max(lightness, key=lightness.__getitem__) == light_corner
    assert lightness[light_corner] == pytest.approx(LIGHT, abs=4)


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(4, 3), (85, 48)), (Fraction(3, 4), (64, 64))]
)
def test_pixels_are_made_square_by_enlarging(
    tmp_path: Path, aspect: Fraction, size: tuple[int, int]
) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=5, pixel_aspect=aspect)
    frames = read_all(clip)
    assert_numbered(frames, range(5))
    assert frames[0].image_rgb.shape == (size[1], size[0], 3)
    assert (probe_video(clip).width, probe_video(clip).height) == size


@pytest.mark.parametrize(
    ("name", "size", "codec", "pixel_format"),
    [
        ("odd.mkv", (63, 47), "ffv1", "yuv420p"),
        ("odd.mp4", (63, 47), "libx264", "yuv444p"),
        ("small.mp4", (16, 16), "libx264", "yuv420p"),
        ("ten_bit.mp4", (64, 48), "libx265", "yuv420p10le"),
        ("ten_bit.mkv", (64, 48), "ffv1", "yuv422p10le"),
        ("vp9.webm", (64, 48), "libvpx-vp9", "yuva420p"),
        ("mjpeg.mov", (64, 48), "mjpeg", "yuvj420p"),
        ("alpha.mov", (64, 48), "qtrle", "argb"),
        ("palette.gif", (64, 48), "gif", "rgb8"),
        ("grey.mkv", (64, 48), "ffv1", "gray"),
    ],
)
def test_formats_that_cameras_and_tools_write(
    tmp_path: Path, name: str, size: tuple[int, int], codec: str, pixel_format: str
) -> None:
    clip = write_clip(tmp_path / name, frames=12, size=size, codec=codec, pixel_format=pixel_format)
    frames = read_all(clip)
    assert_numbered(frames, range(12))
    assert frames[0].image_rgb.shape == (size[1], size[0], 3)
    first_bit, last_bit = np.array_split(frames[5].image_rgb, 8, axis=1)[:: BITS - 1]
    assert np.mean(first_bit) == pytest.approx(DARK, abs=12)
    assert np.mean(last_bit[:, -1:]) == pytest.approx(LIGHT, abs=12)


def test_colours_are_in_rgb_order(tmp_path: Path) -> None:
    orange = np.broadcast_to(np.array([220, 120, 30], np.uint8), (48, 64, 3)).copy()
    frame = read_all(write_clip(tmp_path / "a.mp4", frames=1, draw=lambda _: orange))[0]
    assert frame.image_rgb.mean((0, 1)) == pytest.approx([220, 120, 30], abs=4)


def test_transparency_is_shown_on_black(tmp_path: Path) -> None:
    def draw(_: int) -> np.ndarray:
        pixels = np.full((48, 64, 4), 200, dtype=np.uint8)
        pixels[:, :32, 3], pixels[:, 32:48, 3], pixels[:, 48:, 3] = 0, 128, 255
        return pixels

    clip = write_clip(
        tmp_path / "a.mov",
        frames=2,
        codec="png",
        pixel_format="rgba",
        draw=draw,
        drawn_format="rgba",
    )
    row = read_all(clip)[0].image_rgb[10, :, 0]
    assert (row[0], row[40], row[60]) == (0, 100, 200)


@pytest.mark.parametrize("first_field", ["top", "bottom"])
def test_interlaced_picture_shows_its_first_field_only(tmp_path: Path, first_field: str) -> None:
    def draw(number: int) -> np.ndarray:
        pixels = draw_number(number, width=128, height=96)
        other = slice(1, None, 2) if first_field == "top" else slice(0, None, 2)
        pixels[other] = draw_number(255 - number, width=128, height=96)[other]
        return pixels

    clip = write_clip(
        tmp_path / "a.mkv",
        frames=6,
        size=(128, 96),
        draw=draw,
        options={"x264-params": "interlaced=1"},
        first_field=first_field,
    )
    frames = read_all(clip)
    assert_numbered(frames, range(6))
    column = frames[3].image_rgb[:, 8, 0].astype(int)
    assert np.abs(np.diff(column)).max() < 20


def test_one_frame(tmp_path: Path) -> None:
    frames = read_all(write_clip(tmp_path / "a.mp4", frames=1), Sampling(fps=5))
    assert_numbered(frames, [0])
    assert times_s(frames) == [0.0]


# -- damage ---------------------------------------------------------------------------------------

LARGE = {"frames": 60, "size": (160, 96)}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {"movflags": "faststart"}),
        ("a.mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("a.mkv", {"cluster_time_limit": "400"}),
    ],
)
def test_truncated_file_gives_its_beginning_and_says_what_is_missing(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    clip = cut_short(write_clip(tmp_path / name, container_options=options, **LARGE), 0.6)
    with VideoReader(clip, sampling=ALL) as reader:
        frames = list(reader)
    assert 15 < len(frames) < 50
    assert_numbered(frames, range(len(frames)))
    assert reader.damage is not None
    assert f"the pictures end at {len(frames) / 25:.2f} s of" in reader.damage


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [("a.mp4", "libx264", "yuv420p"), ("a.mov", "mjpeg", "yuvj420p"), ("a.ts", "mpeg2video", None)],
)
def test_damage_in_the_middle_does_not_end_the_video(
    tmp_path: Path, name: str, codec: str, pixel_format: str | None
) -> None:
    clip = write_clip(tmp_path / name, codec=codec, pixel_format=pixel_format or "yuv420p", **LARGE)
    with VideoReader(damage_bytes(clip, 0.45, 0.47), sampling=ALL) as reader:
        frames = list(reader)
    assert 55 <= len(frames) < 60
    assert frames[-1].time_s == pytest.approx(59 / 25)
    assert read_number(frames[-1].image_rgb) == 59
    assert_numbered(frames[:20], range(20))
    assert reader.damage is not None
    assert "the first near 1." in reader.damage


def test_damaged_picture_is_named_with_its_place_and_not_shown(tmp_path: Path) -> None:
    clip = damage_bytes(write_clip(tmp_path / "a.mp4", **LARGE), 0.45, 0.47)
    with VideoReader(clip, sampling=ALL) as reader:
        indices = [frame.frame_index for frame in reader]
    assert len(reader.lost) == 1
    lost = reader.lost[0]
    assert lost.frame_index not in indices
    assert lost.time_s == pytest.approx(1.12, abs=0.13)


def test_lost_beginning_does_not_shift_the_times(tmp_path: Path) -> None:
    clip = damage_bytes(write_clip(tmp_path / "a.mp4", **LARGE), 0.01, 0.6)
    with VideoReader(clip, sampling=ALL) as reader:
        frames = list(reader)
    assert len(frames) > 5
    drawn = [read_number(frame.image_rgb) for frame in frames]
    assert drawn[0] > 20
    assert times_s(frames) == pytest.approx([number / 25 for number in drawn])
    assert "the first near 0.00 s" in str(reader.damage)


def test_file_without_one_good_picture_yields_nothing_and_says_so(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mov", codec="png", pixel_format="rgb24", **LARGE)
    pictures = clip.read_bytes().find(b"mdat"), clip.read_bytes().find(b"moov")
    damage_bytes(clip, *[(place + 4) / clip.stat().st_size for place in pictures], keep_last=12)
    with VideoReader(clip, sampling=ALL) as reader:
        assert list(reader) == []
    assert "no picture could be decoded" in str(reader.damage)
    with pytest.raises(VideoOpenError, match="holds no picture that can be decoded"):
        probe_video(clip)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.webm"])
def test_whatever_bytes_are_wrong_only_opening_may_fail(tmp_path: Path, name: str) -> None:
    codec = "libvpx-vp9" if name == "a.webm" else "mpeg2video" if name == "a.ts" else "libx264"
    sound = write_clip(tmp_path / name, codec=codec).read_bytes()
    rng = np.random.default_rng(0)
    opened = 0
    for _ in range(25):
        content = np.frombuffer(sound, np.uint8).copy()
        places = rng.integers(0, len(content), rng.integers(1, 30))
        content[places] = rng.integers(0, 256, len(places))
        (tmp_path / name).write_bytes(content.tobytes()[: rng.integers(1, 2 * len(content))])
        with contextlib.suppress(VideoOpenError), VideoReader(tmp_path / name, sampling=ALL) as r:
            times = times_s(list(r))
            assert times == sorted(set(times))
            opened += 1
    assert opened > 3


def test_sound_may_outlast_the_pictures(tmp_path: Path) -> None:
    assert_numbered(read_all(write_clip(tmp_path / "a.mp4", tone=True)), range(20))


def test_iter_frames_hands_damage_to_the_callback(tmp_path: Path) -> None:
    clip = damage_bytes(write_clip(tmp_path / "a.mp4", **LARGE), 0.45, 0.47)
    told: list[str] = []
    frames = list(iter_frames(clip, sampling=ALL, on_damage=told.append))
    assert len(frames) > 50
    assert len(told) == 1
    assert "damaged" in told[0]


def test_iter_frames_logs_damage_without_a_callback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = damage_bytes(write_clip(tmp_path / "a.mp4", **LARGE), 0.45, 0.47)
    list(iter_frames(clip, sampling=ALL))
    assert "a.mp4" in caplog.text
    assert "damaged" in caplog.text


def test_iter_frames_is_silent_about_a_sound_file(tmp_path: Path) -> None:
    told: list[str] = []
    clip = write_clip(tmp_path / "a.mp4", frames=5)
    frames = list(iter_frames(clip, sampling=ALL, start_s=0.08, on_damage=told.append))
    assert_numbered(frames, [2, 3, 4])
    assert told == []


def test_decoder_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    clip = damage_bytes(write_clip(tmp_path / "a.mp4", **LARGE), 0.3, 0.6)
    capfd.readouterr()
    list(iter_frames(clip, sampling=ALL, on_damage=lambda _: None))
    assert capfd.readouterr() == ("", "")


def test_decoded_pictures_do_not_pile_up(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=60, rotation_deg=90)
    gc.collect()
    gc.disable()
    try:
        read_all(clip)
        # type(), since isinstance() would ask other libraries' lazy objects for their class
        alive = sum(type(thing) is VideoFrame for thing in gc.get_objects())
    finally:
        gc.enable()
    assert alive < 5


# -- opening --------------------------------------------------------------------------------------


def test_probe_tells_what_the_file_states(tmp_path: Path) -> None:
    info = probe_video(write_clip(tmp_path / "a.mp4", frames=30, rate=NTSC))
    assert (info.width, info.height, info.fps, info.frames) == (64, 48, NTSC, 30)
    assert info.duration_s == pytest.approx(30 / NTSC, abs=1e-3)
    assert (info.rotation_deg, info.codec) == (0, "h264")


def test_probe_leaves_open_what_the_file_does_not_state(tmp_path: Path) -> None:
    info = probe_video(write_clip(tmp_path / "a.h264", frames=5))
    assert (info.duration_s, info.frames) == (None, None)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_text(path: Path) -> None:
    path.write_text("not a video\n" * 200, encoding="utf-8")


def make_empty(path: Path) -> None:
    path.touch()


def make_truncated(path: Path) -> None:
    cut_short(write_clip(path), 0.5)  # the index of a plain MP4 is at its end


def make_nothing(path: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (make_nothing, "a.mp4", "there is no such file; check the path"),
        (make_empty, "a.mp4", r"is empty \(0 bytes\); copy it again"),
        (make_folder, "a.mp4", "is a folder, not a video; check the path"),
        (make_text, "a.mp4", "is not a video or is damaged at its start; check"),
        (make_text, "a.txt", "holds no video; check"),
        (make_truncated, "a.mp4", "is not a video or is damaged at its start; check"),
        (write_sound, "a.m4a", r"holds no video \(only sound\); check"),
    ],
)
def test_file_that_cannot_be_opened_is_named_in_one_line(
    tmp_path: Path, make: object, name: str, message: str
) -> None:
    path = tmp_path / name
    make(path)  # type: ignore[operator]
    for attempt in (probe_video, lambda path: iter_frames(path, sampling=ALL)):
        with pytest.raises(VideoOpenError, match=message) as caught:
            attempt(path)
        assert caught.value.path == path
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, CanemoError | OSError)


def test_open_error_survives_a_process_border(tmp_path: Path) -> None:
    with pytest.raises(VideoOpenError) as caught:
        probe_video(tmp_path / "a.mp4")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.path, str(copy)) == (caught.value.path, str(caught.value))


def test_names_with_spaces_colons_and_accents(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=3).rename(tmp_path / "http: Zoë %d (1).mp4")
    assert_numbered(read_all(clip), range(3))


def test_lost_frame_is_a_plain_record() -> None:
    assert LostFrame(3, 0.12) == LostFrame(frame_index=3, time_s=0.12)
