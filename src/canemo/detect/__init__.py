"""Finding the dog's face in a frame: detectors, their training and evaluation, linking over time."""
