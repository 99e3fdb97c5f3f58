"""Named points of faces: canemo's own model, and tables of a study's own."""
