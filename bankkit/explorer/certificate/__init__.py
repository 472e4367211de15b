"""What an `ok` rests on: a survey of what threads have in common, and of what was not seen.

The `survey` runs a few schedules again. Meanwhile `plain_data` and `contents` watch the data that
is not tracked.
"""
