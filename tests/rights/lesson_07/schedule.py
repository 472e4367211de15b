# %% C comes first, and A reads at the last moment
schedule = "CCCABBBAA"


# %% C overwrites, and A comes first
schedule = "AAACBBBCC"


# %% All three meet, and C is the last to read
schedule = "ABABBACCC"


# %% Joined from parts
a, b, c = ("A" + "BBB" + "AA", "", "CCC")
schedule = a + b + c


# %% Searched for
import itertools


def balance_is_made_of(schedule):
    account, read = frozenset(), {}
    for at, client in enumerate(schedule):
        match schedule[:at].count(client):
            case 0:
                read[client] = account
            case 2:
                account = read[client] | {client}
    return account


schedule = next(
    order
    for order in map("".join, itertools.permutations("AAABBBCCC"))
    if balance_is_made_of(order) == {"A", "C"}
)
