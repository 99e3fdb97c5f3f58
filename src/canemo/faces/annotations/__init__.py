"""Faces drawn by hand in other tools: read, brought into COCO's format, told whose they are."""
