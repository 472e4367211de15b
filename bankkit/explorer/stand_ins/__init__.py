"""Stand-ins for what threads share: the classes of `threading` and `queue`, the clock, plain data.

Each of their operations is a step. `stand_in` is the `threading` that a scenario is given.
"""
