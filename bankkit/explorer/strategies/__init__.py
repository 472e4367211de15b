"""Strategies: each decides which schedule the explorer runs next.

`strategy` has the interface of all of them, also for one of your own. `depth_first` runs every
schedule; its reductions are `dpor` without a bound, and `bounded` with one. `delay` runs those that
are near to round robin. `pct`, `pos`, `surw` and `random_walk` draw schedules.
"""
