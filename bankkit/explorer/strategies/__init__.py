"""Strategies: each decides which schedule the explorer runs next."""
