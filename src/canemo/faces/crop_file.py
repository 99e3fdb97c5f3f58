"""The file of a video's crops and ledger."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from canemo.faces.crop_images import (
    decode_jpeg,
)
from canemo.files import replacing
from canemo.records import Image, Video
from canemo.species import Species

ROW_GROUP = 64
_MOST_CUTS = 4  # that are named

_SCHEMA = pa.schema(
    [
        ("frame_index", pa.int64()),
        ("time_s", pa.float64()),
        ("fate", pa.string()),
        *[(name, pa.float32()) for name in ("x0", "y0", "x1", "y1", "score")],
        ("box_source", pa.string()),
        *[(name, pa.int32()) for name in ("crop_x0", "crop_y0", "crop_x1", "crop_y1")],
        *[(name, pa.float32()) for name in ("brightness", "sharpness")],
        ("jpeg", pa.binary()),
        ("picture", pa.binary()),
    ]
)

ORIGIN_COLUMNS = ["video_id", "subject_id", "label"]
_STORED_COLUMNS = [name for name in _SCHEMA.names if name not in ("jpeg", "picture")]
LEDGER_COLUMNS = [*ORIGIN_COLUMNS, *_STORED_COLUMNS]


@dataclass(frozen=True)
class CropFile:
    """The crops and ledger of one video.

    Attributes
    ----------
    video
        Whose they are.
    path
        Parquet file, named by the content it was made from: equal footage, equal file.
    persistent_faces
        Faces that were there for a good part of the video; above 1 the choice is not certain.
    pieces
        In how many pieces the face was seen; above 1 that they are one dog is an assumption.
    damage
        What the decoder stumbled over, or None.
    cached
        Whether the file was there already.
    cuts_s
        Where the picture changes all at once, as at a cut [s].
    """

    video: Video
    path: Path
    persistent_faces: int
    pieces: int
    damage: str | None
    cached: bool
    cuts_s: tuple[float, ...] = ()

    def read_ledger(self) -> pd.DataFrame:
        """Return one row per frame that was looked at, without pixels."""
        ledger: pd.DataFrame = pq.read_table(self.path, columns=_STORED_COLUMNS).to_pandas()
        ledger["frame_index"] = ledger["frame_index"].astype("Int64")  # the rest of a file has none
        for position, name in enumerate(ORIGIN_COLUMNS):
            ledger.insert(position, name, pd.Series(getattr(self.video, name), ledger.index, str))
        return ledger

    def describe_doubts(self, species: Species, *, has_row: bool = True) -> dict[str, str]:
        """Return what makes it uncertain that the right animal was followed, by a short name."""
        doubts = {}
        if self.persistent_faces > 1:
            doubts["several_faces"] = (
                f"{self.persistent_faces} faces are there for a good part of it; check that the "
                f"right {species.noun} was kept"
            )
        if self.pieces > 1:
            doubts["pieces"] = (
                f"the face was lost and found again, in {self.pieces} pieces; check that they "
                f"are one {species.noun}"
            )
        if self.cuts_s:
            doubts["cut"] = _describe_cuts(self.cuts_s, species, has_row=has_row)
        return doubts

    def read_strip(self) -> list[tuple[float, str, bytes]]:
        """Return small pictures from all over the video: their time [s], fate and JPEG."""
        rows = pq.read_table(self.path, columns=["time_s", "fate", "picture"]).to_pylist()
        kept = [(row["time_s"], row["fate"], row["picture"]) for row in rows]
        return [(time_s, fate, jpeg) for time_s, fate, jpeg in kept if jpeg is not None]

    def iter_crops(self, batch_size: int) -> Iterator[tuple[list[int], list[Image]]]:
        """Yield the frame numbers and crops (H, W, 3) uint8, RGB, up to `batch_size` at a time."""
        for frame_index, jpegs in self._iter_jpegs(batch_size):
            yield frame_index, [decode_jpeg(jpeg) for jpeg in jpegs]

    def read_crop(self, frame_index: int) -> Image:
        """Return the crop of one frame, (H, W, 3) uint8, RGB."""
        chosen = pq.read_table(
            self.path, columns=["jpeg"], filters=[("frame_index", "=", frame_index)]
        )
        return decode_jpeg(chosen["jpeg"][0].as_py())

    def _iter_jpegs(self, batch_size: int) -> Iterator[tuple[list[int], list[bytes]]]:
        indices: list[int] = []
        jpegs: list[bytes] = []
        with pq.ParquetFile(self.path) as file:
            for group in range(file.num_row_groups):  # iter_batches() reads ahead to the end
                part = file.read_row_group(group, columns=["frame_index", "jpeg"])
                rows = zip(part["frame_index"].to_pylist(), part["jpeg"].to_pylist(), strict=True)
                for frame_index, jpeg in rows:
                    if jpeg is None:
                        continue
                    indices.append(frame_index)
                    jpegs.append(jpeg)
                    if len(jpegs) == batch_size:
                        yield indices, jpegs
                        indices, jpegs = [], []
        if jpegs:
            yield indices, jpegs


def _describe_cuts(cuts_s: Sequence[float], species: Species, *, has_row: bool) -> str:
    """Return where a film seems to be cut and, of one in a table, how to keep what is before it."""
    times = [f"{math.floor(100 * time_s) / 100:.2f}" for time_s in cuts_s]  # not after the cut
    more = f" and {len(times) - _MOST_CUTS} more times" if len(times) > _MOST_CUTS else ""
    seen = (
        "the picture changes all at once, as where a film is cut, at "
        f"{', '.join(times[:_MOST_CUTS])} s{more}"
    )
    if not has_row:
        return f"{seen}; another {species.noun} or scene may follow"
    return (
        f"{seen}; if another {species.noun} or scene follows, end the clip there (write {times[0]} "
        "in a column end_s of videos.csv) or remove it"
    )


def write_derived(source: CropFile, path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows with other pictures of the frames of `source`, with what is known of its video.

    A row is a mapping with the columns of the ledger, ``jpeg`` and ``picture``; one left out is
    null.
    """
    write_rows(path, rows, notes=_read_notes(source.path))


def open_crop_file(video: Video, path: Path, *, cached: bool) -> CropFile:
    """Return the crops of a video as kept at `path`."""
    notes = _read_notes(path)
    return CropFile(
        video,
        path,
        persistent_faces=int(notes["persistent_faces"]),
        pieces=int(notes["pieces"]),
        damage=notes["damage"] or None,
        cached=cached,
        cuts_s=tuple(map(float, notes["cuts_s"].split())),
    )


def _read_notes(path: Path) -> dict[str, str]:
    metadata = pq.read_schema(path).metadata
    return {key.decode(): value.decode() for key, value in metadata.items()}


def write_rows(path: Path, rows: Iterable[dict[str, Any]], *, notes: dict[str, str]) -> None:
    """Write rows of crops and ledger with their notes, complete or not at all."""
    schema = _SCHEMA.with_metadata(notes)
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, schema, use_dictionary=False) as writer,
    ):
        for some in iter_batches(rows, ROW_GROUP):
            writer.write_table(pa.Table.from_pylist(list(some), schema=schema))


def iter_batches(items: Iterable[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield up to `size` items at a time; nothing is read ahead."""
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
