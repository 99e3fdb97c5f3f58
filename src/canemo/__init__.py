"""Emotional states of dogs from their faces."""
