# %% match
def whose_move(code):
    match code:
        case "INVALID_ARGUMENT" | "NOT_FOUND" | "ALREADY_EXISTS" | "OUT_OF_RANGE":
            return "fix the request"
        case "FAILED_PRECONDITION":
            return "fix the state"
        case "UNAVAILABLE" | "DEADLINE_EXCEEDED" | "RESOURCE_EXHAUSTED":
            return "retry"
    return "give up"


# %% A set for each move
MOVES = {
    "fix the request": {"INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "OUT_OF_RANGE"},
    "fix the state": {"FAILED_PRECONDITION"},
    "retry": {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"},
}


def whose_move(code):
    return next((move for move, codes in MOVES.items() if code in codes), "give up")


# %% A dictionary with a default, used as a function
import collections

moves = collections.defaultdict(
    lambda: "give up",
    dict.fromkeys(
        ["INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "OUT_OF_RANGE"], "fix the request"
    )
    | dict.fromkeys(["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"], "retry")
    | {"FAILED_PRECONDITION": "fix the state"},
)

whose_move = moves.__getitem__


# %% A KeyError for every other code
import grpc


def whose_move(code):
    try:
        number, _ = grpc.StatusCode[code].value
        return {
            3: "fix the request",
            4: "retry",
            5: "fix the request",
            6: "fix the request",
            8: "retry",
            9: "fix the state",
            11: "fix the request",
            14: "retry",
        }[number]
    except KeyError:
        return "give up"
