# %% Cuts the fraction off
# expects: do not cut, round
def to_cents(dollars):
    return int(dollars * 100)


# %% Returns a float
# expects: must be a whole number
def to_cents(dollars):
    return dollars * 100


# %% Prints and returns nothing
# expects: is NoneType
def to_cents(dollars):
    print(dollars * 100)
