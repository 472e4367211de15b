"""Finds loops in which a thread only looks and waits, and lets it sleep until something changes."""
