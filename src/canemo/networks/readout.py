"""What is read out of a frozen network in one pass: embedding, tokens, earlier layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from canemo.errors import ConfigError

READOUT_VERSION = 1
EARLIER_LAYERS = 3


class Readout(nn.Module):
    """A network of timm that gives all that is kept of a crop, without keeping whole layers.

    Parameters
    ----------
    net
        The network, in evaluation mode, on the CPU.
    pixels
        (1, 3, S, S), any picture as the network wants it: its answer shows what the network is.
    name
        For messages.

    Attributes
    ----------
    is_cnn
        Whether the network ends in a map with the channels first.
    feature_dim
        D.
    grid_side
        The P tokens lie on a square of this side.
    prefix_tokens
        How many tokens that belong to no position come first; the first of them is the CLS token.
    layer_dims
        D of each of the earlier layers; empty where the network has no recognisable blocks.
    has_activations
        Whether `forward` gives the last block's tokens before the final norm as well; where it
        does not, there is no such norm or no such block.

    Raises
    ------
    ConfigError
        The network gives something else than tokens or a map on a square grid.
    """

    def __init__(self, net: nn.Module, pixels: Tensor, *, name: str) -> None:
        super().__init__()
        self.net = net
        self.feature_dim = int(cast(int, net.num_features))
        self.prefix_tokens = int(getattr(net, "num_prefix_tokens", 0))
        with torch.inference_mode():
            features = self.forward_net(pixels)
            self.is_cnn = features.ndim == 4 and features.shape[1] == self.feature_dim
            self.grid_side = self._measure_grid(features, name)
            self._final: tuple[nn.Module, ...] = ()  # in a tuple: it stays the net's own module
            self._layers, self.layer_dims = self._find_layers(pixels)
            blocks = getattr(net, "blocks", None)
            if isinstance(blocks, nn.Sequential | nn.ModuleList) and not self.is_cnn:
                self._final = tuple(blocks)[-1:]

    @property
    def last_block(self) -> nn.Module | None:
        """The last block (stage of a CNN), or None where there are no recognisable blocks."""
        blocks = _last_blocks(self.net)
        return blocks[0] if blocks else None

    @property
    def has_activations(self) -> bool:
        """Whether the third output is the last block's tokens before the final norm."""
        return bool(self._final)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return cls (N, D), tokens (N, P, D), perhaps activations (N, P, D), and the layers.

        The layers are the blocks (stages of a CNN) before the last, nearest to it first, (N, D)
        each: the CLS token, or mean token, through the final norm; of a CNN the mean of the map.
        """
        features, layers, kept = self._forward_watching(self._layers, pixels)
        cls, tokens = self.split(features)
        activations = [] if kept is None else [self.split(kept)[1]]
        return (cls, tokens, *activations, *(layer for layer in layers if layer is not None))

    def _find_layers(self, pixels: Tensor) -> tuple[tuple[nn.Module, ...], tuple[int, ...]]:
        """Return the blocks before the last, nearest to it first, with D of each, or none.

        There are none where a block gives something else than one vector per crop, or where the
        last block's is not the embedding: the list is not what the network ends with (CaiT).
        """
        blocks = _last_blocks(self.net)
        features, outputs, _ = self._forward_watching(blocks, pixels)
        vectors = [output for output in outputs if output is not None]
        if not vectors or len(vectors) < len(blocks):
            return (), ()
        if not self.is_cnn:  # of a CNN, convolutions may follow the last stage
            cls = self.split(features)[0]
            if not torch.allclose(vectors[0], cls, rtol=1e-3, atol=1e-3):
                return (), ()
        return blocks[1:], tuple(vector.shape[1] for vector in vectors[1:])

    def _forward_watching(
        self, blocks: Sequence[nn.Module], pixels: Tensor
    ) -> tuple[Tensor, list[Tensor | None], Tensor | None]:
        """Return the features, a vector per crop of each of `blocks`, the last block's output.

        Vectors are computed as the blocks answer, so that no whole map or row of tokens is held.
        """
        vectors: dict[nn.Module, Tensor | None] = {}
        kept: list[Tensor] = []

        def keep(block: nn.Module, _: object, output: object) -> None:
            vectors[block] = self._reduce(output)

        hooks = [block.register_forward_hook(keep) for block in blocks]
        hooks += [
            block.register_forward_hook(lambda *told: kept.append(told[2])) for block in self._final
        ]
        try:
            features = self.forward_net(pixels)
        finally:
            for hook in hooks:
                hook.remove()
        return features, [vectors.get(block) for block in blocks], kept[0] if kept else None

    def forward_net(self, pixels: Tensor) -> Tensor:
        """Return what the network gives before any head: a map, or tokens."""
        return cast(Callable[[Tensor], Tensor], self.net.forward_features)(pixels)

    def _reduce(self, output: object) -> Tensor | None:
        """Return one vector per crop of what a block gives, or None where it is something else."""
        if not isinstance(output, Tensor):
            return None
        if self.is_cnn:
            is_map = output.ndim == 4 and output.shape[2] == output.shape[3]
            return output.float().mean((2, 3)) if is_map else None
        if output.ndim != 3 or output.shape[2] != self.feature_dim:
            return None
        norm = getattr(self.net, "norm", None) or nn.Identity()
        normed: Tensor = norm(output[:, :1] if self.prefix_tokens else output)
        return normed.float().mean(1)

    def split(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return CLS token (or mean, where there is none) and tokens.

        Maps come channels first from CNNs and channels last from some transformers.
        """
        features = features.float()
        if self.is_cnn:
            features = features.permute(0, 2, 3, 1)
        if features.ndim == 4:
            features = features.flatten(1, 2)
        tokens = features[:, self.prefix_tokens :]
        return features[:, 0] if self.prefix_tokens else tokens.mean(1), tokens

    def _measure_grid(self, features: Tensor, name: str) -> int:
        rows = self.split(features)[1] if features.ndim in (3, 4) else features
        side: int = round(rows.shape[1] ** 0.5)
        if rows.ndim != 3 or rows.shape[2] != self.feature_dim or side**2 != rows.shape[1]:
            raise ConfigError(
                f"backbone {name!r} gives features of shape {tuple(features.shape)}; "
                "expected a square map or tokens on a square grid: choose another backbone"
            )
        return side


def _last_blocks(net: nn.Module) -> tuple[nn.Module, ...]:
    """Return the last block and the three before it, last first, or none where they are unknown.

    timm's names: `blocks` (ViTs, EfficientNets), `stages` (ConvNeXts), `layer1` to `layer4`
    (ResNets).
    """
    wanted = EARLIER_LAYERS + 1
    for name in ("blocks", "stages"):
        listed = getattr(net, name, None)
        if isinstance(listed, nn.Sequential | nn.ModuleList) and len(listed) >= wanted:
            return tuple(listed)[: -wanted - 1 : -1]
    layers = [getattr(net, f"layer{number}", None) for number in range(wanted, 0, -1)]
    found = tuple(layer for layer in layers if isinstance(layer, nn.Module))
    return found if len(found) == wanted else ()
