"""Runs the schedules of a scenario, in the order that its settings ask for, until one fails."""
