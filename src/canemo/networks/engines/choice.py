"""Which engine and precision ``auto`` means here: a measured rule, measured once per machine.

Every combination that this machine can run embeds the same drawn pictures as torch in float32. One
that differs in any output by more than its gate allows is refused, and so is one that missed a gate
on real crops; of the rest the fastest is taken, where it is at least `WORTHWHILE` times as fast as
torch in float32. The answer is kept in the machine's cache, so that a study's features do not
change with the hour. int8 is taken only where it is asked for: its gate lets more through than
features may differ by from one machine to the next without a word.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor

from canemo import environment
from canemo.errors import CanemoError, ConfigError, EngineError, MissingExtraError
from canemo.files import hash_values, write_atomically
from canemo.networks.engines.gates import GATES, compute_cosines, judge, read_refusal
from canemo.networks.engines.machine import has_bfloat16, machine_cache
from canemo.networks.engines.openvino_engine import (
    OpenVINOEngine,
    has_openvino_bfloat16,
    import_openvino,
)
from canemo.networks.engines.protocol import (
    ENGINES_VERSION,
    Engine,
    EngineName,
    FrozenNetwork,
    Precision,
)
from canemo.networks.engines.quantise import quantise_network
from canemo.networks.engines.runner import Runner
from canemo.networks.engines.timing import ALIKE, are_told_apart, measure_spread, time_in_turn
from canemo.networks.engines.torch_engine import TorchEngine

logger = logging.getLogger(__name__)

WORTHWHILE = ALIKE
BROKEN = "cannot run"
UNCLEAR = "not told apart, the machine was busy: canemo doctor --measure --again"
TIMED_PICTURES = 8


@dataclass(frozen=True)
class Trial:
    """How one engine and precision did here.

    `pictures_per_second` is the median over the rounds, `spread` how far half of them are from it
    at most [share], see `measure_spread`. `cosine` is the least over pictures and outputs;
    `refused` says why it cannot be taken, or is empty.
    """

    engine: EngineName
    precision: Precision
    pictures_per_second: float | None
    cosine: float | None
    refused: str = ""
    spread: float = 0.0

    @property
    def title(self) -> str:
        """Engine and precision in two words."""
        return f"{self.engine} {self.precision}"

    def describe(self) -> str:
        """Return the speed, or why there is none, in a few words."""
        found = self.refused or f"{self.pictures_per_second:.1f}/s ± {100 * self.spread:.0f} %"
        return f"{self.title} {found}"


@dataclass(frozen=True)
class Choice:
    """What ``auto`` means for a network on this machine, and what it was chosen from.

    `is_clear` says whether the trials were told apart.
    """

    engine: EngineName
    precision: Precision
    trials: tuple[Trial, ...]
    is_clear: bool = True

    def describe(self) -> str:
        """Return the choice and its reasons in one line."""
        if not self.trials:
            return f"{self.engine} {self.precision}, there is nothing else here"
        tried = ", ".join(trial.describe() for trial in self.trials)
        doubt = "" if self.is_clear else f"; {UNCLEAR}"
        return f"{self.engine} {self.precision} (pictures per second: {tried}{doubt})"


def make_engine(
    network: FrozenNetwork,
    *,
    engine: str = "torch",
    precision: str = "float32",
    device: str = "cpu",
) -> tuple[Engine, str]:
    """Return the engine asked for; ``"auto"``, of either, leaves it to `choose_engine`.

    The text says what ``auto`` was measured to mean; it is empty where nothing was left open.

    Raises
    ------
    ConfigError
        The engine has no such precision, or the processor has not, or it does not run on `device`.
    MissingExtraError
        OpenVINO is asked for and not installed.
    EngineError
        OpenVINO is asked for and cannot compile the network.
    """
    require_engine(engine, precision, device)
    if "auto" not in (engine, precision):
        made = build_engine(network, engine, precision, device)  # type: ignore[arg-type]
        _warn_of_refusal(network, made)
        return made, ""
    choice = choose_engine(network, engine=engine, precision=precision, device=device)
    broken = [each.title for each in choice.trials if each.refused == BROKEN]
    level = logging.WARNING if broken else logging.INFO
    logger.log(level, "%s runs on %s", network.name, choice.describe())
    made = build_engine(network, choice.engine, choice.precision, device)
    _warn_of_refusal(network, made)
    return made, choice.describe()


def require_engine(engine: str, precision: str, device: str) -> None:
    """Refuse what no machine has; ConfigError says so."""
    if engine == "openvino" and torch.device(device).type != "cpu":
        raise ConfigError(
            f"the engine openvino runs on the CPU only, the device is {device!r}; use the engine "
            "torch for it"
        )
    if engine == "torch" and precision == "int8":
        raise ConfigError("the engine torch has no int8; use the engine openvino for it")


def build_engine(
    network: FrozenNetwork, engine: EngineName, precision: Precision, device: str = "cpu"
) -> Engine:
    """Return an engine; int8 is calibrated at the first call on a machine."""
    if engine == "torch":
        return TorchEngine(network, device=device, precision=precision)
    quantised = quantise_network(network) if precision == "int8" else None
    return OpenVINOEngine(network, precision=precision, quantised=quantised)


def choose_engine(
    network: FrozenNetwork,
    *,
    engine: str = "auto",
    precision: str = "auto",
    device: str = "cpu",
    again: bool = False,
) -> Choice:
    """Return what ``auto`` means for a network here; measured at the first call on a machine.

    Parameters
    ----------
    network
        What to run.
    engine, precision
        ``"auto"``, or the one that is asked for.
    device
        A torch device; on others than ``"cpu"`` there is torch alone.
    again
        Measure anew what was measured before.

    Raises
    ------
    ConfigError
        This machine has nothing that was asked for.
    EngineError
        Nothing that was asked for can run the network.
    """
    pairs = _require_candidates(engine, precision, device)
    if len(pairs) == 1:
        return Choice(*pairs[0], ())
    path = _path_of_choice(network, pairs, device)
    known = _read_choice(path)
    if known is not None and not again:
        return known
    logger.info("%s: measuring which engine is fastest here, once", network.name)
    choice = measure_engines(network, pairs, device)
    first = _read_choice(path)  # of two runs that measured at once, the first decides
    if first != known and first is not None:
        return first
    try:
        write_atomically(path, json.dumps(asdict(choice), indent=1))
    except OSError as exc:
        logger.warning("%s: cannot be written (%s); it is measured at every start", path, exc)
    return choice


def recall_choice(
    network: FrozenNetwork, *, engine: str = "auto", precision: str = "auto", device: str = "cpu"
) -> Choice | None:
    """Return what `choose_engine` would, or None where it would measure first; it raises alike."""
    pairs = _require_candidates(engine, precision, device)
    if len(pairs) == 1:
        return Choice(*pairs[0], ())
    return _read_choice(_path_of_choice(network, pairs, device))


def describe_rule() -> str:
    """Return in one line how ``auto`` chooses."""
    gates = ", ".join(f"{precision} {gate}" for precision, gate in GATES.items())
    return (
        f"the fastest whose least cosine with torch float32 reaches its gate ({gates}), if it is "
        f"at least {WORTHWHILE} times as fast; int8 only where asked for"
    )


def describe_machine() -> dict[str, str]:
    """Return what this machine has that engines can use."""
    try:
        openvino = f"{import_openvino().__version__}, ready"
    except MissingExtraError as exc:
        openvino = f"missing: {exc}"
    return {
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "openvino": openvino,
        "bfloat16": "yes" if has_bfloat16() else "no: the processor would emulate it",
        "cuda": "yes" if torch.cuda.is_available() else "no",
    }


def _require_candidates(
    engine: str, precision: str, device: str
) -> list[tuple[EngineName, Precision]]:
    pairs = list(list_candidates(engine, precision, device))
    if not pairs:
        raise ConfigError(
            f"engine {engine!r}, precision {precision!r}, device {device!r}: this machine has no "
            "such thing; leave them at 'auto', or use engine 'torch' with precision 'float32'"
        )
    return pairs


def list_candidates(
    engine: str, precision: str, device: str
) -> Iterator[tuple[EngineName, Precision]]:
    """Yield what is worth trying on this machine, torch in float32 first; int8 where asked for."""
    on_cpu = torch.device(device).type == "cpu"
    if precision == "int8":
        if on_cpu and engine != "torch":
            yield "openvino", "int8"
        return
    offered: list[tuple[EngineName, Precision]] = [("torch", "float32")]
    if has_bfloat16(device):
        offered.append(("torch", "bfloat16"))
    if on_cpu and engine != "torch":
        offered += _list_openvino(required=engine == "openvino")
    for pair in offered:
        if engine in ("auto", pair[0]) and precision in ("auto", pair[1]):
            yield pair


def measure_engines(
    network: FrozenNetwork, pairs: Sequence[tuple[EngineName, Precision]], device: str = "cpu"
) -> Choice:
    """Compare the engines' answers to drawn pictures with torch in float32; race those alike.

    Raises
    ------
    EngineError
        None of them can be used.
    """
    pixels = draw_pixels(TIMED_PICTURES, network.side_px)
    reference = Runner(TorchEngine(network, device=device)).run(pixels)
    tried = [_try(network, pair, device, pixels, reference) for pair in pairs]
    runs = [partial(runner.run, pixels) for trial, runner in tried if runner and not trial.refused]
    if not runs:
        found = ", ".join(trial.describe() for trial, _ in tried)
        raise EngineError(f"nothing that was asked for can be used here: {found}; use 'auto'")
    seconds = time_in_turn(runs)
    columns = iter(seconds.T)
    trials = [trial if trial.refused else _rate(trial, next(columns)) for trial, _ in tried]
    return pick_fastest(trials, is_clear=are_told_apart(seconds))


def pick_fastest(trials: Sequence[Trial], *, is_clear: bool = True) -> Choice:
    """Return the fastest of those not refused, if it is worth leaving the first one for."""
    usable = [trial for trial in trials if not trial.refused]
    best = max(usable, key=_speed)
    if _speed(best) < WORTHWHILE * _speed(usable[0]):
        best = usable[0]
    return Choice(best.engine, best.precision, tuple(trials), is_clear)


def draw_pixels(number: int, side_px: int, *, seed: int = 0) -> Tensor:
    """Return (N, 3, S, S) drawn pictures with the spectrum of photographs, mean 0, deviation 1.

    The power of photographs falls with the square of the spatial frequency (Field 1987,
    doi:10.1364/JOSAA.4.002379).
    """
    rng = np.random.default_rng(seed)
    noise = np.fft.rfft2(rng.normal(size=(number, 3, side_px, side_px)))
    rows, columns = np.fft.fftfreq(side_px), np.fft.rfftfreq(side_px)
    frequency = np.hypot(rows[:, None], columns[None, :])
    frequency[0, 0] = np.inf
    pictures = np.fft.irfft2(noise / frequency, s=(side_px, side_px))
    scaled = pictures / pictures.std(axis=(2, 3), keepdims=True)
    return torch.from_numpy(scaled.astype(np.float32))


def _list_openvino(*, required: bool) -> list[tuple[EngineName, Precision]]:
    try:
        narrow = has_openvino_bfloat16()
    except (MissingExtraError, RuntimeError) as exc:
        if required:
            raise
        logger.warning("%s", exc)
        return []
    found: list[tuple[EngineName, Precision]] = [("openvino", "float32")]
    return [*found, ("openvino", "bfloat16")] if narrow else found


def _try(
    network: FrozenNetwork,
    pair: tuple[EngineName, Precision],
    device: str,
    pixels: Tensor,
    reference: Sequence[Tensor],
) -> tuple[Trial, Runner | None]:
    """Return how an engine's answers compare, and what runs it."""
    try:
        runner = Runner(build_engine(network, *pair, device))
        answers = runner.run(pixels)
    except (CanemoError, RuntimeError, MemoryError) as exc:
        logger.warning("%s cannot run %s here: %s", pair[0], network.name, exc)
        return Trial(*pair, None, None, BROKEN), None
    cosine = min(
        float(compute_cosines(a, b).min()) for a, b in zip(answers, reference, strict=True)
    )
    refused = judge(cosine, pair[1]) or read_refusal(network, *pair)
    return Trial(*pair, None, cosine, refused), runner


def _rate(trial: Trial, seconds: NDArray[np.float64]) -> Trial:
    speed = float(TIMED_PICTURES / np.median(seconds))
    return replace(trial, pictures_per_second=speed, spread=measure_spread(seconds))


def _warn_of_refusal(network: FrozenNetwork, made: Engine) -> None:
    """Say of what was asked for that ``auto`` would not take it."""
    refusal = read_refusal(network, made.name, made.precision)
    if refusal:
        logger.warning("%s in %s %s: %s", network.name, made.name, made.precision, refusal)


def _speed(trial: Trial) -> float:
    return trial.pictures_per_second or 0.0


def _path_of_choice(
    network: FrozenNetwork, pairs: Sequence[tuple[EngineName, Precision]], device: str
) -> Path:
    key = hash_values(
        rule=(ENGINES_VERSION, GATES, WORTHWHILE),
        network=network.fingerprint,
        candidates=[(pair, read_refusal(network, *pair)) for pair in pairs],
        device=device,
        processor=environment.describe_processor(),
        threads=torch.get_num_threads(),
        versions=(torch.__version__, timm.__version__, _openvino_version()),
    )
    return machine_cache() / "engines" / f"{key}.json"


def _openvino_version() -> str | None:
    try:
        return str(import_openvino().__version__)
    except MissingExtraError:
        return None


def _read_choice(path: Path) -> Choice | None:
    """Return what was kept, or None where there is nothing that can be understood."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        trials = tuple(Trial(**each) for each in content["trials"])
        return Choice(content["engine"], content["precision"], trials, content["is_clear"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
