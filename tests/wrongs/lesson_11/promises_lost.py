# %% Counts what was never acknowledged
# expects: it was not promised to anybody
def promises_lost(deposits, wait_replicas, promoted):
    return sum(dollars for dollars, replicas in deposits if promoted not in replicas)


# %% Counts only without waiting
# expects: node 7 does not have it
def promises_lost(deposits, wait_replicas, promoted):
    return sum(dollars for dollars, replicas in deposits if not replicas and not wait_replicas)


# %% Wants one replica too many
# expects: that node 4 has was acknowledged
def promises_lost(deposits, wait_replicas, promoted):
    lost = 0
    for dollars, replicas in deposits:
        if len(replicas) > wait_replicas and promoted not in replicas:
            lost += dollars
    return lost


# %% Expects at least one replica
# expects: every deposit is acknowledged at once
def promises_lost(deposits, wait_replicas, promoted):
    lost = 0
    for dollars, replicas in deposits:
        if replicas and len(replicas) >= wait_replicas and promoted not in replicas:
            lost += dollars
    return lost


# %% Counts what the new master has
# expects: nothing is lost, but you count $100
def promises_lost(deposits, wait_replicas, promoted):
    acknowledged = [d for d in deposits if len(d[1]) >= wait_replicas]
    return sum(dollars for dollars, replicas in acknowledged)


# %% Stops at the first loss
# expects: $75 that were acknowledged are lost, but you count $50
def promises_lost(deposits, wait_replicas, promoted):
    for dollars, replicas in deposits:
        if len(replicas) >= wait_replicas and promoted not in replicas:
            return dollars
    return 0
