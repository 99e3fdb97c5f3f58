"""Where in the face: maps over a crop."""
