"""Finding the dog's face in a frame: detectors, training, evaluation, linking over time."""
