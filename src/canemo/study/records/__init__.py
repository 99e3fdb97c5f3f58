"""What lies on disk of runs, comparisons, explanations and coded units: typed, a file each."""
