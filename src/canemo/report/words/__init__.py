"""What is said of results, in sentences and tables."""
