"""What canemo costs on this machine, measured part by part; each part is one function here."""

from canemo.bench.lengths import measure_lengths
from canemo.bench.limit import measure_limit
from canemo.bench.measurement import Measurement
from canemo.bench.parity import ParityRow, measure_parity
from canemo.bench.reference_size import measure_cost, measure_trust
from canemo.bench.scaling import measure_scaling
from canemo.bench.speed import measure_speed
from canemo.bench.startup import measure_startup

__all__ = [
    "Measurement",
    "ParityRow",
    "measure_cost",
    "measure_lengths",
    "measure_limit",
    "measure_parity",
    "measure_scaling",
    "measure_speed",
    "measure_startup",
    "measure_trust",
]
