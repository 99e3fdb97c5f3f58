"""Models of a whole clip over cached frozen features: its frames in their order, one answer.

Option (ii) of Boneh-Shitrit et al. (2022), section 2, sequences of frames. The models see the order
of the frames, never their absolute time; nothing is chosen by looking at held-out subjects.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, TypeAlias, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from canemo.config import ClassWeight, ProbeConfig, SequenceConfig
from canemo.errors import ConfigError
from canemo.learn.learner import Fitted
from canemo.learn.material import Material, Rows
from canemo.learn.predictions import Array

Array32: TypeAlias = NDArray[np.float32]
HEADS = ("mean", "attention", "convolution", "gru")
SPANS_AT_ONCE = 256
_KERNEL = 3
_CONSTANT = 1e-9


@dataclass(frozen=True)
class SequenceLearner:
    """A model of the whole clip."""

    material: Material
    probe: ProbeConfig
    head: str
    sequence: SequenceConfig
    independent: ClassVar[bool] = False

    def read(self) -> None:
        """Do nothing: there is nothing that folds share."""

    def fit(self, rows: Rows, *, seed: int) -> Fitted:
        """Learn from the rows that are True, (N,)."""
        rows = self.material.restrict(rows)
        origin = self.material.origin[rows]
        classifier = fit_sequence(
            self.material.x[rows],
            self.material.label_index[rows],
            video_ids=origin["video_id"].to_numpy(dtype=object),
            time_s=origin["time_s"].to_numpy(dtype=float),
            labels=self.material.labels,
            head=self.head,
            settings=self.sequence,
            class_weight=self.probe.class_weight,
            weights=self.material.weights,
            seed=seed,
        )
        return Fitted(classifier, self.material)


@dataclass(frozen=True)
class SequenceProbe:
    """A fitted model of a clip over F features of its frames and K labels.

    Attributes
    ----------
    labels
        The K labels; columns of probabilities are in this order.
    head
        One of `HEADS`: how the frames of a clip become one answer.
    hidden
        Width in which the head works.
    window_s
        How much time [s] a frame's own probability looks at, centred on it.
    mean, scale
        (F,) of the training features; `scale` is 1 where a feature was constant, and divided by
        what the feature counts where blocks are mixed.
    state
        The fitted tensors by name.
    """

    labels: tuple[str, ...]
    head: str
    hidden: int
    window_s: float
    mean: Array32
    scale: Array32
    state: Mapping[str, Array32]

    def predict(
        self,
        features: NDArray[np.floating],
        *,
        video_ids: NDArray[np.object_],
        time_s: NDArray[np.floating],
    ) -> tuple[Array, Array]:
        """Return the probabilities of N frames, (N, K), and of their V clips, (V, K).

        A frame's are those of the window around it, which ends where the clip ends; a clip's are
        those of all its frames. Clips are in order of first appearance.

        Parameters
        ----------
        features
            (N, F) float; the frames of a clip may lie anywhere among the N.
        video_ids, time_s
            (N,) the clip of each frame and its place in it.
        """
        clips = _sort_by_clip(video_ids, time_s)
        net = self._load_net()
        with _one_thread(), torch.inference_mode():
            x = _standardise(features[clips.order], self.mean, self.scale)
            hidden = net.embed(x)
            windows = _answer(net, hidden, _windows(clips, self.window_s))
            whole = _answer(net, hidden, clips.spans)
        frames = np.empty_like(windows)
        frames[clips.order] = windows
        return frames, whole[clips.by_first_appearance]

    def _load_net(self) -> _Net:
        with torch.device("meta"):  # neither memory nor random numbers for what is replaced
            net = _Net(
                self.head, features=len(self.mean), hidden=self.hidden, labels=len(self.labels)
            )
        net.load_state_dict({k: torch.tensor(v) for k, v in self.state.items()}, assign=True)
        return net.eval()


def fit_sequence(
    features: NDArray[np.floating],
    label_index: NDArray[np.int64],
    *,
    video_ids: NDArray[np.object_],
    time_s: NDArray[np.floating],
    labels: Sequence[str],
    head: str,
    settings: SequenceConfig,
    class_weight: ClassWeight = "balanced",
    weights: Array | None = None,
    seed: int = 0,
) -> SequenceProbe:
    """Fit a model of a clip: cross-entropy over clips, AdamW, cosine decay, all epochs.

    Parameters
    ----------
    features
        (N, F) float, one row per frame; rows may be in any order.
    label_index
        (N,) positions in `labels`; the frames of a clip have one label.
    video_ids, time_s
        (N,) the clip of each frame and its place in it.
    labels, head, settings
        The K labels; one of `HEADS`; width, training and window.
    class_weight
        ``"balanced"`` weighs labels equally, counted in clips.
    weights
        (F,) what each standardised feature counts; None: all the same.
    seed
        Decides the start, the order of clips and the dropout; torch's own random state is left
        as it was.

    Raises
    ------
    ConfigError
        There is no head of that name.
    """
    if head not in HEADS:
        raise ConfigError(f"sequence head {head!r} is unknown; there are {', '.join(HEADS)}")
    clips = _sort_by_clip(video_ids, time_s)
    x = np.asarray(features)[clips.order]
    mean, scale = _measure(x)
    if weights is not None:
        scale = (scale / weights).astype(np.float32)
    truth = torch.from_numpy(label_index[clips.order][clips.spans.start])
    with _one_thread(), _own_random_numbers(seed):
        net = _Net(
            head,
            features=x.shape[1],
            hidden=settings.hidden,
            labels=len(labels),
            dropout=settings.dropout,
        )
        _forget(net, torch.from_numpy(x.min(axis=0) == x.max(axis=0)))
        _train(
            net,
            _standardise(x, mean, scale),
            clips.spans,
            truth,
            weight=_weigh(truth, len(labels), class_weight),
            settings=settings,
        )
    state = {name: tensor.detach().numpy().copy() for name, tensor in net.state_dict().items()}
    return SequenceProbe(
        tuple(labels), head, settings.hidden, settings.window_s, mean, scale, state
    )


@dataclass(frozen=True)
class _Spans:
    """Runs of neighbouring rows, from `start` up to `stop`, (S,) each."""

    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, chosen: slice | NDArray[np.int64]) -> _Spans:
        return _Spans(self.start[chosen], self.stop[chosen])

    def lay_out(self) -> tuple[Tensor, Tensor]:
        """Return row numbers and which of them count, (S, longest run) each."""
        steps = np.arange((self.stop - self.start).max())
        rows = self.start[:, None] + steps
        mask = rows < self.stop[:, None]
        return torch.from_numpy(np.where(mask, rows, 0)), torch.from_numpy(mask)


@dataclass(frozen=True)
class _Clips:
    """Rows sorted by clip and time: `order` (N,) sorts them, after which clips are `spans`.

    Clips are sorted by name, so that nothing depends on the order of the rows;
    `by_first_appearance` (V,) puts them in theirs.
    """

    order: NDArray[np.int64]
    time_s: NDArray[np.floating]
    spans: _Spans
    by_first_appearance: NDArray[np.int64]


def _sort_by_clip(video_ids: NDArray[np.object_], time_s: NDArray[np.floating]) -> _Clips:
    _, first, clip = np.unique(video_ids, return_index=True, return_inverse=True)
    order = np.lexsort((time_s, clip))
    stop = np.cumsum(np.bincount(clip, minlength=len(first)))
    start = np.concatenate([np.zeros(1, np.int64), stop])[:-1]
    return _Clips(order, time_s[order], _Spans(start, stop), np.argsort(first))


def _windows(clips: _Clips, window_s: float) -> _Spans:
    """Return the run of rows around each row of the sorted clips."""
    half_s = window_s / 2 + 1e-6  # times of an exact grid are not exact as floats
    starts, stops = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start, stop in zip(clips.spans.start, clips.spans.stop, strict=True):
        time_s = clips.time_s[start:stop]
        starts.append(start + np.searchsorted(time_s, time_s - half_s, side="left"))
        stops.append(start + np.searchsorted(time_s, time_s + half_s, side="right"))
    return _Spans(np.concatenate(starts), np.concatenate(stops))


def _measure(x: NDArray[np.floating]) -> tuple[Array32, Array32]:
    mean, scale = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    scale[scale < _CONSTANT] = 1.0
    return mean.astype(np.float32), scale.astype(np.float32)


def _standardise(x: NDArray[np.floating], mean: Array32, scale: Array32) -> Tensor:
    return torch.from_numpy(((x - mean) / scale).astype(np.float32, copy=False))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute on one thread: in many small products threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _own_random_numbers(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would reseed every accelerator as well, which fork_rng does not undo.
        torch.default_generator.manual_seed(seed)
        yield


def _train(
    net: _Net, x: Tensor, clips: _Spans, truth: Tensor, *, weight: Tensor, settings: SequenceConfig
) -> None:
    steps = settings.epochs * math.ceil(len(clips) / settings.batch_size)
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=steps)
    net.train()
    for _ in range(settings.epochs):
        for batch in torch.split(torch.randperm(len(clips)), settings.batch_size):
            logits = net(x, clips[batch.numpy()])
            losses = F.cross_entropy(logits, truth[batch], reduction="none")
            optimiser.zero_grad()
            # Divided by the number of clips: dividing by the sum of their weights, as torch does,
            # would undo the weights wherever a batch holds one label only.
            (losses * weight[truth[batch]]).mean().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            decay.step()


def _weigh(truth: Tensor, labels: int, class_weight: ClassWeight) -> Tensor:
    if class_weight == "none":
        return torch.ones(labels)
    counts = torch.bincount(truth, minlength=labels).clamp(min=1)
    return len(truth) / (labels * counts.float())


def _forget(net: _Net, constant: Tensor) -> None:
    """Take constant features out: no gradient would ever move their random weights."""
    with torch.no_grad():
        net.embed.weight[:, constant] = 0.0


def _answer(net: _Net, hidden: Tensor, spans: _Spans) -> Array:
    probability = np.empty((len(spans), net.answer.out_features))
    for first in range(0, len(spans), SPANS_AT_ONCE):
        some = slice(first, first + SPANS_AT_ONCE)
        rows, mask = spans[some].lay_out()
        logits = net.read(hidden[rows] * mask[:, :, None], mask)
        probability[some] = logits.double().softmax(1).numpy()
    return probability


class _Net(nn.Module):
    """A linear layer per frame, a head that sums up the frames, a linear layer to the labels."""

    def __init__(
        self, head: str, *, features: int, hidden: int, labels: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        kind, summaries = _KINDS[head]
        self.embed = nn.Linear(features, hidden)
        self.head = kind(hidden)
        self.answer = nn.Linear(summaries * hidden, labels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, clips: _Spans) -> Tensor:
        """Return (V, K) logits of runs of rows of `x` (N, F)."""
        rows, mask = clips.lay_out()
        embedded = self.dropout(self.embed(x[rows[mask]]))
        hidden = embedded.new_zeros(*mask.shape, embedded.shape[1])
        hidden[mask] = embedded
        return self.read(hidden, mask)

    def read(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Return (B, K) logits of (B, T, H) embedded frames, zero where `mask` (B, T) is not."""
        summary = self.dropout(self.head(hidden, mask))
        return cast(Tensor, self.answer(summary))


class _Mean(nn.Module):
    """The mean over time."""

    def __init__(self, hidden: int) -> None:
        super().__init__()

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        return _masked_mean(hidden, mask)


class _Attention(nn.Module):
    """A weighted mean over time, the weights learned.

    References
    ----------
    Ilse, Tomczak and Welling (2018), Attention-based deep multiple instance learning, equation 9.
    doi:10.48550/arXiv.1802.04712
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.content = nn.Linear(hidden, hidden)
        self.gate = nn.Linear(hidden, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        gated = torch.tanh(self.content(hidden)) * torch.sigmoid(self.gate(hidden))
        scores = self.score(gated).masked_fill(~mask[:, :, None], -torch.inf)
        return (torch.softmax(scores, dim=1) * hidden).sum(dim=1)


class _Convolution(nn.Module):
    """Two convolutions over time, then mean and largest value; padding never enters."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(hidden, hidden, _KERNEL, padding="same")
        self.second = nn.Conv1d(hidden, hidden, _KERNEL, padding="same")

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        for convolution in (self.first, self.second):
            hidden = convolution(hidden.transpose(1, 2)).transpose(1, 2)
            hidden = torch.relu(hidden) * mask[:, :, None]
        # After the rectifier nothing is below the zeros of the padding.
        return torch.cat([_masked_mean(hidden, mask), hidden.amax(dim=1)], dim=1)


class _Gru(nn.Module):
    """A gated recurrent unit: its state after the last frame, and the mean of its states."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.unit = nn.GRU(hidden, hidden, batch_first=True)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        states, _ = self.unit(hidden)  # padding comes after all that is read
        last = states[torch.arange(len(states)), mask.sum(dim=1) - 1]
        return torch.cat([last, _masked_mean(states, mask)], dim=1)


def _masked_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    return (hidden * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)


_KINDS: dict[str, tuple[type[nn.Module], int]] = {
    "mean": (_Mean, 1),
    "attention": (_Attention, 1),
    "convolution": (_Convolution, 2),
    "gru": (_Gru, 2),
}
"""Name of a head -> its network and how many summaries of `hidden` values it gives."""
