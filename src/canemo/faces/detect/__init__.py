"""Detectors of faces behind one protocol."""
