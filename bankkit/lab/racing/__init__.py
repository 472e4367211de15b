"""Experiments with locks: races on a real bank, and plays of who comes when."""
