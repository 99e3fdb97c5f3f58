"""What learning is handed and what it hands back, whichever way something is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from canemo.learn.material import Classifier, Material, Rows
from canemo.learn.probe import Probe


@dataclass(frozen=True)
class Epoch:
    """How the training stood at the end of an epoch; `number` counts from 1.

    `loss` (log loss, unweighted) and `accuracy` are means over the epoch's own augmented crops,
    taken before each step, as a training loop prints them.
    """

    number: int
    loss: float
    accuracy: float
    probe: Probe


@dataclass(frozen=True)
class Trial:
    """One setting that inner folds could choose: how it did there, and its probe."""

    material: Material
    penalty: float
    inner_loss: float
    probe: Probe


@dataclass(frozen=True)
class Fitted:
    """What came out of learning: the classifier and how it was arrived at.

    `material` is what it reads, `penalty` and `temperature` were chosen in inner folds, `trials`
    are the settings that the choice was made from (``lda``), `epochs` are all there were
    (``gradient``), `warnings` say what a reader of the numbers must know.
    """

    classifier: Classifier
    material: Material
    penalty: float | None = None
    temperature: float | None = None
    trials: tuple[Trial, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    warnings: tuple[str, ...] = ()


class Learner(Protocol):
    """Learns from some rows of its material; it never looks at the others."""

    @property
    def material(self) -> Material:
        """What it learns from."""
        ...

    @property
    def independent(self) -> bool:
        """Whether folds may be worked on side by side."""
        ...

    def read(self) -> None:
        """Do what is done once for all folds."""
        ...

    def fit(self, rows: Rows, *, seed: int) -> Fitted:
        """Learn from the rows that are True, (N,)."""
        ...
