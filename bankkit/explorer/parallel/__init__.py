"""A search in several processes at once.

`together` shares the search out, `team` starts the processes, and each of them runs `worker`.
"""
