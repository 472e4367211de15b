# %% One sum
def promises_lost(deposits, wait_replicas, promoted):
    return sum(
        dollars
        for dollars, replicas in deposits
        if promoted not in replicas and not len(replicas) < wait_replicas
    )


# %% Acknowledged deposits minus kept deposits
def promises_lost(deposits, wait_replicas, promoted):
    promised = [(dollars, has) for dollars, has in deposits if len(has) >= wait_replicas]
    kept = [dollars for dollars, has in promised if promoted in has]
    return sum(dollars for dollars, _ in promised) - sum(kept)


# %% Recursion that empties the list
def promises_lost(deposits, wait_replicas, promoted):
    if not deposits:
        return 0.0
    dollars, replicas = deposits.pop()
    replicas = {*replicas}
    is_lost = len(replicas) >= wait_replicas and not replicas & {promoted}
    return dollars * is_lost + promises_lost(deposits, wait_replicas, promoted)


# %% reduce
from functools import reduce


def promises_lost(deposits, wait_replicas, promoted):
    def add(lost, deposit):
        dollars, replicas = deposit
        return lost + (dollars if replicas.count(promoted) == 0 else 0)

    acknowledged = filter(lambda deposit: len(deposit[1]) >= wait_replicas, deposits)
    return reduce(add, acknowledged, 0)
