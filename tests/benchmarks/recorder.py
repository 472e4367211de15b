"""What recording costs: `python -m tests.benchmarks.recorder`.

Rounds with and without the recorder alternate in one run; the figures are medians. The cost of an
event is taken from a lock's hold, which has three events and no Redis that would drown them.
"""

import statistics
from time import perf_counter_ns, thread_time_ns

from bankkit import Bank, lab
from bankkit.locks import LockTable
from bankkit.observed import ObservedLocks
from bankkit.observer import ServedCall, current_call
from bankkit.pb import bank_pb2

ROUNDS = 15
HOLDS = 5_000
CALLS = 300
EVENTS_IN_A_HOLD = 3  # asked, granted, released
LIMIT_NS = 3_000


def hold(locks: LockTable | ObservedLocks) -> float:
    """Nanoseconds of one hold, of processor time: others may keep the machine busy."""
    start = thread_time_ns()
    for _ in range(HOLDS):
        with locks.read("alice"):
            pass
    return (thread_time_ns() - start) / HOLDS


def hold_in_a_call(bank: Bank) -> float:
    """The same, in a thread that serves a call which is observed."""
    call = ServedCall("Deposit", (), bank.server.observers)
    before = current_call.set(call)
    for observer in call.observers:
        observer.arrived(call)
    try:
        return hold(bank.server.teller.locks)
    finally:
        for observer in call.observers:
            observer.ended(call)
        current_call.reset(before)


def deposits(bank: Bank, stub: object) -> float:
    """Nanoseconds of one deposit."""
    request = bank_pb2.DepositRequest(account_id="alice", amount=1)
    start = perf_counter_ns()
    for _ in range(CALLS):
        stub.Deposit(request)  # type: ignore[attr-defined]
    return (perf_counter_ns() - start) / CALLS


def main() -> None:
    per_event, ratios = [], []
    with Bank() as bank:
        bank.client.create_account("alice")
        deposits(bank, bank.stub)  # connect
        for _ in range(ROUNDS):
            bare = hold(bank.server.teller.locks)
            bare_call = deposits(bank, bank.stub)
            with lab.record(bank) as recording:
                recorded = hold_in_a_call(bank)
                recorded_call = deposits(bank, recording.stub)
            per_event.append((recorded - bare) / EVENTS_IN_A_HOLD)
            ratios.append(recorded_call / bare_call)
    median = statistics.median(per_event)
    print(f"one event: {median:.0f} ns (target: below {LIMIT_NS} ns)")
    print(f"a recorded Deposit takes {statistics.median(ratios):.2f} × a bare one")


if __name__ == "__main__":
    main()
