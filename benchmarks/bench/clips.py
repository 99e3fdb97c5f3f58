"""Clips to measure with: given or drawn, looped to any length, copied in any number."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from canemo.pipeline.model import find_videos
from canemo.records import Study, Video
from canemo.video.drawn import draw_study

LABEL = "clip"


def choose_clips(given: Sequence[Path], folder: Path) -> list[Path]:
    """Return the video files meant by paths, or of a drawn study in `folder` where none is given.

    Raises
    ------
    StudyError
        Nothing that looks like a video is found.
    """
    if given:
        return find_videos(list(given))
    draw_study(folder, subjects=3, clips_per_subject=2, seconds=3.0)
    return sorted(folder.rglob("*.mp4"))


def as_study(clips: Sequence[Path], root: Path, *, end_s: float | None = None) -> Study:
    """Return clips as a study of one dog whose cache is under `root`; `end_s` cuts each short."""
    videos = [
        Video(f"clip{number:03}", path.absolute(), "dog", LABEL, end_s=end_s)
        for number, path in enumerate(clips)
    ]
    return Study(root, tuple(videos))


def copy_clip(source: Path, path: Path, number: int) -> Path:
    """Copy a clip so that its bytes differ from those of every other copy: other footage."""
    shutil.copyfile(source, path)
    with path.open("ab") as handle:  # a box of type `free`, which readers of MP4 skip
        payload = number.to_bytes(8, "big")
        handle.write((8 + len(payload)).to_bytes(4, "big") + b"free" + payload)
    return path


def loop_clip(source: Path, path: Path, seconds: float) -> Path:
    """Write a clip of about that length that repeats the packets of `source`, not re-encoded."""
    shift, done = 0, False
    with av.open(str(path), "w") as target:
        stream_out = None
        while not done:
            with av.open(str(source)) as container:
                stream = container.streams.video[0]
                if stream_out is None:
                    stream_out = target.add_stream_from_template(stream)
                end = 0
                for packet in container.demux(stream):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    end = max(end, packet.pts + (packet.duration or 0))
                    unit_s = packet.time_base or Fraction(1, 1000)
                    packet.stream = stream_out
                    target.mux(packet)
                shift = end
                done = shift * unit_s >= seconds
    return path
