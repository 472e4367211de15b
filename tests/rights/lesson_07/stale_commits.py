# %% Versions
def stale_commits(steps):
    version, last, based_on = 0, None, {}
    pairs = []
    for client, what, _ in steps:
        if what == "reads":
            based_on[client] = version
        elif what == "commits":
            if based_on[client] != version:
                pairs.append((client, last))
            version, last = version + 1, client
    return pairs


# %% A set of clients whose read has become stale
def stale_commits(steps):
    stale, last, found = set(), None, []
    clients = {client for client, _, _ in steps}
    for client, what, _ in steps:
        if what == "reads":
            stale.discard(client)
        if what == "commits":
            if client in stale:
                found += [[client, last]]
            stale |= clients
            last = client
    return found


# %% Looks back from each commit
def stale_commits(steps):
    def last(what, end, by=None):
        for at in range(end - 1, -1, -1):
            if steps[at][1] == what and by in (None, steps[at][0]):
                return at
        return -1

    return [
        (client, steps[last("commits", at)][0])
        for at, (client, what, _) in enumerate(steps)
        if what == "commits" and last("reads", at, client) < last("commits", at)
    ]


# %% A class, and a generator
class History:
    def __init__(self):
        self.last = None
        self.seen = {}

    def follow(self, steps):
        for client, what, _ in steps:
            if what == "reads":
                self.seen[client] = self.last
            elif what == "commits":
                if self.seen[client] is not self.last:
                    yield client, self.last[0]
                self.last = [client]  # a new list is identical to no other


def stale_commits(steps):
    return list(History().follow(steps))


# %% Empties the list
def stale_commits(steps):
    committed, seen, pairs = [], {}, ()
    while steps:
        client, what, _ = steps.pop(0)
        if what == "commits":
            if committed[seen[client] :]:
                pairs += ((client, committed[-1]),)
            committed.append(client)
        elif what == "reads":
            seen[client] = len(committed)
    return pairs
