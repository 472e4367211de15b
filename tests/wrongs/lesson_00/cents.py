# %% Dollars
# expects: Redis holds cents
cents = 13


# %% Dollars, with a point
# expects: Redis holds cents
cents = 13.0


# %% Cents as text
# expects: without quotes
cents = "1300"


# %% Only the first deposit
# expects: only one of the two deposits
cents = 1234


# %% Cents as a float
# expects: without a point
cents = 1300.0
