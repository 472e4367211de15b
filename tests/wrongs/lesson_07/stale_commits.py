# %% Compares the balances of two commits
# expects: though the two balances differ
def stale_commits(steps):
    commits = [step for step in steps if step[1] == "commits"]
    return [(late[0], early[0]) for early, late in zip(commits, commits[1:]) if early[2] == late[2]]


# %% Every commit between the first step and the last
# expects: a client that never commits overwrites nobody
def stale_commits(steps):
    pairs = []
    for client in sorted({step[0] for step in steps}):
        mine = [i for i, step in enumerate(steps) if step[0] == client]
        for i, (other, what, _) in enumerate(steps):
            if other != client and what == "commits" and mine[0] < i < mine[-1]:
                pairs.append((client, other))
    return pairs


# %% Each pair the other way round
# expects: the other way round
def stale_commits(steps):
    pairs, committed, seen = [], [], {}
    for client, what, balance in steps:
        if what == "reads":
            seen[client] = len(committed)
        if what == "commits":
            if len(committed) > seen[client]:
                pairs.append((committed[-1], client))
            committed.append(client)
    return pairs


# %% Compares the order of reads and commits
# expects: A read first and was slow
def stale_commits(steps):
    readers = [client for client, what, _ in steps if what == "reads"]
    committers = [client for client, what, _ in steps if what == "commits"]
    if readers[0] == committers[0] and readers[1:2] == committers[1:2]:
        return [(committers[1], committers[0])]
    return []


# %% Stops after the first pair
# expects: go on after the first pair
def stale_commits(steps):
    committed, seen = [], {}
    for client, what, balance in steps:
        if what == "reads":
            seen[client] = len(committed)
        if what == "commits":
            if len(committed) > seen[client]:
                return [(client, committed[-1])]
            committed.append(client)
    return []


# %% Compares balances
# expects: Do not compare balances
def stale_commits(steps):
    pairs, seen, now, last = [], {}, None, None
    for client, what, balance in steps:
        if what == "reads":
            seen[client] = balance
        if what == "commits":
            if last is not None and seen[client] != now:
                pairs.append((client, last))
            now, last = balance, client
    return pairs


# %% Counts from the first read
# expects: reads again before each
def stale_commits(steps):
    pairs, committed, seen = [], [], {}
    for client, what, balance in steps:
        if what == "reads":
            seen.setdefault(client, len(committed))
        if what == "commits":
            if len(committed) > seen[client]:
                pairs.append((client, committed[-1]))
            committed.append(client)
    return pairs


# %% A pair for each commit since the read
# expects: at most one pair for each commit
def stale_commits(steps):
    pairs, committed, seen = [], [], {}
    for client, what, balance in steps:
        if what == "reads":
            seen[client] = len(committed)
        if what == "commits":
            for other in committed[seen[client] :]:
                pairs.append((client, other))
            committed.append(client)
    return pairs


# %% Prints and returns nothing
# expects: must return a list
def stale_commits(steps):
    print([("B", "A")])
