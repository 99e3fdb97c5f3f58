"""Frozen networks: which there are, where their weights come from, what runs them."""
