"""Runs virtual threads on one OS thread, one step at a time, and ends each of them.

The `scheduler` knows tasks and steps, but no class of `threading`. `races` tells uses of data that
no order separates; the other files end what does not end by itself, and notice foreign threads.
"""
