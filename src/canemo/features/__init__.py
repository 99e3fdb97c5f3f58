"""Crops become vectors, once."""
