"""Coded behaviour as observation programs write it."""
