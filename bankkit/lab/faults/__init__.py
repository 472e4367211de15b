"""Experiments with servers that are killed, paused and started again, each a process of its own."""
