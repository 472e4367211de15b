# %% Retries everything
# expects: fails every time
def whose_move(code):
    return "retry"


# %% Retries although the account is not ready
# expects: you would loop until somebody deposits
def whose_move(code):
    if code in ("INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "OUT_OF_RANGE"):
        return "fix the request"
    return "retry"


# %% Gives up when the bank is away
# expects: under the same request id a retry is safe
def whose_move(code):
    if code in ("INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "OUT_OF_RANGE"):
        return "fix the request"
    if code == "FAILED_PRECONDITION":
        return "fix the state"
    if code == "UNAVAILABLE":
        return "give up"
    return "retry"


# %% Knows ten codes and no others
# expects: return `'give up'` for all
def whose_move(code):
    if code == "FAILED_PRECONDITION":
        return "fix the state"
    if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"):
        return "retry"
    if code in ("CANCELLED", "INTERNAL"):
        return "give up"
    if code in ("INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "OUT_OF_RANGE"):
        return "fix the request"
