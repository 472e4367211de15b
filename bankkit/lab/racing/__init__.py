"""Experiments with locks: races on a real bank, and scripts that drive a lock step by step."""
