"""A schedule as data, what it was made with, how it ended, and the check of its history."""
