"""Runs a scenario under one schedule after the other, with its arguments checked.

The `laboratory` runs what a strategy chooses, and `replay_run` a schedule that is known already,
which `inspection` shows at each of its steps.
"""
