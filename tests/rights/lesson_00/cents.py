# %% Adds up in the cell
cents = 1234 + 66


# %% From text
cents = int("12" + "34") + int("066")


# %% A sum over both deposits, rounded
cents = sum(round(100 * dollars) for dollars in (12.34, 0.66))


# %% Decimal, and an int at the end
from decimal import Decimal

cents = int((Decimal("12.34") + Decimal("0.66")) * 100)
