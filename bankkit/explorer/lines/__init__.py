"""Makes each access to data in named code a step, by rewriting its source, for `lines=`."""
