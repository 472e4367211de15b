"""Strategies: each decides which schedule the explorer runs next.

`explore` takes `dpor` by default, `bounded` if it is given a bound, `depth_first` without
reduction, and `pct` if it is asked for it.
"""
