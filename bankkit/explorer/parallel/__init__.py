"""A search in several processes at once."""
