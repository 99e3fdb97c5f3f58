"""A model with the crops and decisions it is asked about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from canemo.explain.decision import Decision
from canemo.explain.face_finder import FaceFinder
from canemo.explain.faces import Faces, reads_pixels
from canemo.networks.backbones import Backbone
from canemo.records import Image
from canemo.species import Species
from canemo.study.records.model import ModelEvaluation

CROPS_AT_ONCE = 64


@dataclass(frozen=True)
class Inquiry:
    """A model and the N crops that it is asked about.

    Attributes
    ----------
    name
        Of the run or model.
    backbone
        What embeds the crops.
    rows
        N rows: video_id, subject_id, label, frame_index, time_s and, where known, the rectangle
        that was cut. `label` is the one that is explained or another.
    read
        Rows to their crops, (H, W, 3) uint8, RGB each.
    decisions
        subject_id -> the decision that is asked about its crops.
    shuffled
        Likewise of probes learned from shuffled labels; empty where there are none.
    labels
        The others, and the label whose evidence is mapped.
    finder
        Finds the regions of the faces; it knows whose they are.
    notes
        What a reader of the results must know.
    evaluation
        What the model gave on dogs it had not seen.
    is_labelled
        Whether `label` is the condition filmed; else it is what the model answered.
    look
        Rows and their crops to what is known of the faces beside their pixels, where a decision
        reads that, else None.
    measured_by
        Names of the points that faces are measured by; empty where no decision reads geometry.
    """

    name: str
    backbone: Backbone
    rows: pd.DataFrame
    read: Callable[[pd.DataFrame], list[Image]]
    decisions: Mapping[str, Decision]
    shuffled: Mapping[str, Decision]
    labels: tuple[str, str]
    finder: FaceFinder
    notes: tuple[str, ...]
    evaluation: ModelEvaluation
    is_labelled: bool = True
    look: Callable[[pd.DataFrame, Sequence[Image]], Faces] | None = None
    measured_by: tuple[str, ...] = ()

    @property
    def reads_pixels(self) -> bool:
        """Whether any decision reads more of a face than its measures: else there is no map."""
        return any(reads_pixels(each.pooling) for each in self.decisions.values())

    @property
    def species(self) -> Species:
        """Whose faces the crops are."""
        return self.finder.species

    @cached_property
    def places(self) -> list[tuple[str, int]]:
        """Video and frame of each crop: what two models must share to be shown side by side."""
        return list(self.rows[["video_id", "frame_index"]].itertuples(index=False, name=None))

    def iter_parts(self) -> Iterator[pd.DataFrame]:
        """Yield rows that one probe is asked about, no more at a time than fit into memory."""
        rows = self.rows.sort_values("subject_id", kind="stable")
        asked = [id(self.decisions[subject_id]) for subject_id in rows["subject_id"]]
        for _, some in rows.groupby(asked, sort=False):
            for start in range(0, len(some), CROPS_AT_ONCE):
                yield some.iloc[start : start + CROPS_AT_ONCE]
