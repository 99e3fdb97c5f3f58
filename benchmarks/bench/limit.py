"""How near embedding comes to what the processor can multiply at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.measurement import Measurement, load_or_draw, measure_peak_mib, time_best
from canemo.networks.backbones import INPUT_SIDE_PX, Backbone
from canemo.networks.engines.choice import draw_pixels
from canemo.networks.engines.machine import has_bfloat16
from canemo.parallel import Progress, silent

MATRIX_SIDE = 2048
ROUNDS = 5
PICTURES = 8
BACKBONES = ("dino_vits8", "resnet50")


def measure_limit(
    backbones: Sequence[str] = (), *, progress: Progress = silent
) -> list[Measurement]:
    """Measure the rate of large matrix products, and what share of it embedding reaches.

    Parameters
    ----------
    backbones
        Their names; none takes one of the paper's transformers and one of its CNNs.
    progress
        Told how far it is.

    Returns
    -------
    list of Measurement
        ``matrix``, operations (a multiplication and an addition are two) of the largest products
        in float32, in bfloat16 where the processor has it, and in int8; for each backbone the
        ``limit``, what pictures a second that rate allows, not measured but divided, and
        ``embed``, what ``auto`` reaches.
    """
    rates = _measure_matrix_rates()
    lines = list(rates.values())
    for done, name in enumerate(backbones or BACKBONES):
        progress("limit", done, len(backbones or BACKBONES))
        backbone, note = load_or_draw(name, engine="auto", precision="auto")
        operations = count_operations(backbone)
        precision = backbone.engine.precision
        rate = rates.get(precision, rates["float32"]).items_per_second
        seconds = PICTURES * operations / rate
        reached = time_best(_embedding(backbone), rounds=ROUNDS)
        what = f"{name} {backbone.engine.name} {precision}"
        lines += [
            Measurement(
                "limit", what, PICTURES, seconds, None, f"{operations / 1e9:.1f} G operations each"
            ),
            Measurement(
                "embed",
                what,
                PICTURES,
                reached,
                measure_peak_mib(),
                f"{seconds / reached:.0%} of the limit {note}".rstrip(),
            ),
        ]
    return lines


def count_operations(backbone: Backbone) -> int:
    """Return the operations of one picture: two for each multiplication of a matrix product."""
    pixels = draw_pixels(1, INPUT_SIDE_PX)
    # The counter does not see into fused attention; the plain one has the same products.
    with (
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
        torch.inference_mode(),
    ):
        backbone.net(pixels)
    return int(counter.get_total_flops())


def _measure_matrix_rates() -> dict[str, Measurement]:
    side = MATRIX_SIDE
    kinds: dict[str, Callable[[], object]] = {}
    a = torch.randn(side, side)
    kinds["float32"] = lambda: a @ a
    if has_bfloat16():
        b = a.bfloat16()
        kinds["bfloat16"] = lambda: b @ b
    c = torch.randint(-100, 100, (side, side), dtype=torch.int8)
    kinds["int8"] = lambda: torch._int_mm(c, c)
    return {
        kind: Measurement("matrix", kind, 2 * side**3, time_best(work, rounds=ROUNDS), None)
        for kind, work in kinds.items()
    }


def _embedding(backbone: Backbone) -> Callable[[], object]:
    pixels = draw_pixels(PICTURES, INPUT_SIDE_PX)
    return lambda: backbone.engine.run(pixels)
