"""How far a result can be believed."""
