"""Faces in videos: found, followed, measured, cut out."""
