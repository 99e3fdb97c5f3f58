"""Train and measure detectors on a study's own frames."""
