"""Coded action units as concepts: are they in the features, and does the probe lean on them."""
