"""Puts the stand-ins into modules that know nothing of the explorer, for `patch=`."""
