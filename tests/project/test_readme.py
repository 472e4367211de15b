"""The examples in the README work."""
