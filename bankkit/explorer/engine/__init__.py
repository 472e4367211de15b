"""Runs virtual threads on one OS thread, one step at a time, and ends each of them.

The `scheduler` knows tasks and steps, but no class of `threading`. The other files end what does
not end by itself, and notice threads and code that are not the scheduler's.
"""
