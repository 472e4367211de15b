"""Every interleaving: a stand-in for `threading`, the search through schedules, their pictures."""
