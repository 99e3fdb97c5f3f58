"""The linear probe of Boneh-Shitrit et al. (2022): Adam on augmented views of frozen features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn

from canemo.config import ClassWeight, GradientConfig, ProbeConfig
from canemo.errors import ConfigError
from canemo.features.views import StudyViews
from canemo.learn.learner import Epoch, Fitted
from canemo.learn.material import Material, Rows
from canemo.learn.probe import Probe

Feed: TypeAlias = Callable[[int], NDArray[np.floating]]
"""Epoch, from 0 -> (N, F) features of the N training crops as that epoch sees them."""

CNN_LEARNING_RATE, TRANSFORMER_LEARNING_RATE = 1e-4, 5e-6
STILL_FALLING = 0.02  # of the loss, in the last fifth of the epochs
SHARE_OF_FALL = 0.05  # of its whole fall, where that is small
NOTICEABLE = 0.002  # of the loss


@dataclass(frozen=True)
class GradientLearner:
    """The linear probe of the 2022 paper: Adam on augmented views; the last epoch is taken."""

    material: Material
    probe: ProbeConfig
    gradient: GradientConfig
    learning_rate: float
    views: StudyViews
    independent: ClassVar[bool] = False

    def read(self) -> None:
        """Do nothing: there is nothing that folds share."""

    def fit(self, rows: Rows, *, seed: int) -> Fitted:
        """Learn from the rows that are True, (N,); they must be whole videos."""
        videos = list(self.material.origin.loc[rows, "video_id"].unique())
        epochs = fit_gradient(
            self.views.feed(videos),
            self.material.label_index[rows],
            labels=self.material.labels,
            settings=self.gradient,
            learning_rate=self.learning_rate,
            class_weight=self.probe.class_weight,
            seed=seed,
        )
        return Fitted(
            epochs[-1].probe, self.material, epochs=tuple(epochs), warnings=self._warn(epochs)
        )

    def _warn(self, epochs: list[Epoch]) -> tuple[str, ...]:
        if not is_still_falling(epochs):
            return ()
        return (
            f"the training loss still fell when training stopped after {len(epochs)} epochs at "
            f"learning rate {self.learning_rate:g}: with fewer crops than the 2022 paper had, its "
            "recipe takes fewer steps and stops early",
        )


def choose_learning_rate(settings: GradientConfig, *, is_cnn: bool) -> float:
    """Return the learning rate asked for, else the paper's for this kind of backbone."""
    if settings.learning_rate is not None:
        return settings.learning_rate
    return CNN_LEARNING_RATE if is_cnn else TRANSFORMER_LEARNING_RATE


def fit_gradient(
    feed: Feed,
    label_index: NDArray[np.int64],
    *,
    labels: Sequence[str],
    settings: GradientConfig,
    learning_rate: float,
    class_weight: ClassWeight = "none",
    seed: int = 0,
) -> list[Epoch]:
    """Train a linear layer with Adam and return every epoch; the last one is the result.

    Parameters
    ----------
    feed
        Gives the features of an epoch.
    label_index
        (N,) positions in `labels`.
    labels, settings, learning_rate, class_weight
        The K labels; how to train; Adam's learning rate; ``"balanced"`` weighs labels equally.
    seed
        Decides the first weights and the order of the crops.

    Raises
    ------
    ConfigError
        Binary cross-entropy is asked for with more than two labels.

    Notes
    -----
    The features go in as the backbone gives them, not standardised: the paper mentions nothing of
    the kind. No epoch is chosen: that would need subjects kept aside for it.

    References
    ----------
    Boneh-Shitrit et al. (2022), section 3.2, arXiv:2206.05619.
    """
    require_loss(settings, labels)
    single = settings.loss == "binary_cross_entropy"
    target = torch.from_numpy(np.asarray(label_index))
    weight = _weigh_labels(label_index, labels, class_weight)
    generator = torch.Generator().manual_seed(seed)
    x = _to_tensor(feed(0))
    layer = _make_layer(x.shape[1], 1 if single else len(labels), settings, generator)
    optimizer = torch.optim.Adam(layer.parameters(), lr=learning_rate, betas=settings.betas)
    epochs: list[Epoch] = []
    for number in range(settings.epochs):
        x = x if number == 0 else _to_tensor(feed(number))
        order = torch.randperm(len(x), generator=generator)
        loss, right = 0.0, 0
        for rows in torch.split(order, settings.batch_size):
            logits = layer(x[rows])
            losses = _compute_losses(logits, target[rows])
            optimizer.zero_grad(set_to_none=True)
            # Divided by the number of crops: dividing by the sum of their weights, as torch does,
            # would undo the weights wherever a batch holds one label only.
            (losses * weight[target[rows]]).mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss += losses.sum().item()
            right += int((_answer(logits) == target[rows]).sum())
        epochs.append(Epoch(number + 1, loss / len(x), right / len(x), _to_probe(layer, labels)))
    return epochs


def require_loss(settings: GradientConfig, labels: Sequence[str]) -> None:
    """Raise ConfigError where the loss cannot tell that many labels apart."""
    if settings.loss == "binary_cross_entropy" and len(labels) > 2:
        raise ConfigError(
            f"gradient.loss = 'binary_cross_entropy' with {len(labels)} labels; use 'cross_entropy'"
        )


def _to_tensor(features: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.asarray(features, dtype=np.float32))


def is_still_falling(epochs: Sequence[Epoch]) -> bool:
    """Tell whether the training loss still fell noticeably in the last fifth of the epochs."""
    span = max(1, len(epochs) // 5)
    if len(epochs) <= span:
        return False
    last = epochs[-1].loss
    late, whole = epochs[-1 - span].loss - last, epochs[0].loss - last
    slowly = late > SHARE_OF_FALL * whole and late > NOTICEABLE * last
    return late > STILL_FALLING * last or slowly


def compute_log_loss(
    probe: Probe, features: NDArray[np.floating], target: NDArray[np.int64]
) -> float:
    """Return the mean log loss of a probe, unweighted, (N, F) features and (N,) labels."""
    probability = probe.predict_proba(features)[np.arange(len(target)), target]
    return float(-np.log(np.clip(probability, 1e-12, 1)).mean())


def _make_layer(
    features: int, outputs: int, settings: GradientConfig, generator: torch.Generator
) -> nn.Linear:
    layer: nn.Linear = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Linear, features, outputs
    )
    bound = 0.0 if settings.initialisation == "zeros" else features**-0.5
    with torch.no_grad():  # torch's own uniform draw, from our generator
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
    return layer


def _weigh_labels(
    label_index: NDArray[np.int64], labels: Sequence[str], class_weight: ClassWeight
) -> Tensor:
    if class_weight == "none":
        return torch.ones(len(labels))
    weights = compute_class_weight(
        "balanced", classes=np.arange(len(labels)), y=np.asarray(label_index)
    )
    return torch.from_numpy(np.asarray(weights, dtype=np.float32))


def _compute_losses(logits: Tensor, target: Tensor) -> Tensor:
    """Return the (N,) log loss of each crop."""
    if logits.shape[1] > 1:
        return nn.functional.cross_entropy(logits, target, reduction="none")
    return nn.functional.binary_cross_entropy_with_logits(
        logits[:, 0], target.to(logits.dtype), reduction="none"
    )


def _answer(logits: Tensor) -> Tensor:
    return logits.argmax(dim=1) if logits.shape[1] > 1 else (logits[:, 0] > 0).long()


def _to_probe(layer: nn.Linear, labels: Sequence[str]) -> Probe:
    coef, intercept = (p.detach().numpy().astype(np.float64) for p in (layer.weight, layer.bias))
    if len(labels) == 2 and len(coef) == 2:  # a softmax over two is a sigmoid of the difference
        coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
    f = coef.shape[1]
    return Probe(tuple(labels), np.zeros(f), np.ones(f), coef, intercept, penalty=0.0)
