# %% Decimal
from decimal import Decimal


def to_cents(dollars):
    return int(Decimal(str(dollars)) * 100)
