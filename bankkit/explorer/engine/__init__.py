"""Runs virtual threads on one OS thread, one step at a time, and ends each of them.

The `scheduler` knows tasks and steps, but no class of `threading`. It needs help where a program
does not end by itself (`stall`, `unwinding`), or starts threads of its own (`outsiders`).
"""
