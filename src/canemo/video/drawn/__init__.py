"""Drawn studies of dogs: real clips with known truth, for the demo and for tests.

A dog is a set of ellipsoids merged into a height field (`surface`), shaped and posed (`dog`),
coloured and lit (`coat`), put into a room (`scene`), set in motion (`clip`), planned (`plan`) and
written to disk (`study`).
"""

from canemo.video.drawn.study import draw_study

__all__ = ["draw_study"]
