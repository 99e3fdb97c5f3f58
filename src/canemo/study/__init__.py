"""A study and its runs on disk."""
