"""Frames at the true times of their files."""
