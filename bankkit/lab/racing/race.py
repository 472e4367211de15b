"""The race: real clients deposit to one account at the same time, over gRPC, into Redis.

    result = lab.race("none", writers=2, mode="forced")
    print(result.verdict)
    lab.timeline(result)

With `mode="free"` the clients go as fast as they can, and chance decides whether an update is
lost. With `mode="forced"` the server delays each deposit between its read and its commit until the
other deposits have read too. Then every run on every machine loses an update, unless the
concurrency choice prevents it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, cast, get_args

import grpc

from bankkit import teller
from bankkit.accounts import BankError
from bankkit.lab.drawing.progress_bar import ProgressBar
from bankkit.lab.racing.own_lock import adapted
from bankkit.lab.racing.race_result import RaceResult
from bankkit.lab.racing.rendezvous import Rendezvous
from bankkit.lab.recording.history import History
from bankkit.lab.recording.lost_updates import LostUpdate, lost_updates
from bankkit.lab.recording.recorder import RecordedChannel, Recording, record
from bankkit.launch.bank import Bank
from bankkit.locks import LockStatistics, LockTable
from bankkit.observer import Mode as LockMode
from bankkit.observer import Observer, ServedCall
from bankkit.pb import bank_pb2, bank_pb2_grpc
from bankkit.runtime.arguments import check_whole, is_number
from bankkit.store import Snapshot

Mode = Literal["free", "forced"]

ACCOUNT = "alice"
DOLLARS = 100
"""The amount of each deposit."""

MAX_CLIENTS = 64
MAX_CALLS = 100_000
MAX_HOLD_MS = 1000.0
CALL_SECONDS = 10.0
"""How long a client waits for a reply, in addition to the time of all holds."""


def race(
    concurrency: str | Callable[[], object] = "none",
    *,
    writers: int = 2,
    readers: int = 0,
    rounds: int = 1,
    hold_ms: float = 0.0,
    policy: str = "fair",
    mode: Mode = "free",
) -> RaceResult:
    """Start a new bank, let clients race on one account, and return the result.

    concurrency  the bank's concurrency choice (see `bankkit.teller`), or your own lock class, with
                 the methods `acquire_read`, `release_read`, `acquire_write` and `release_write`,
                 or `acquire` and `release`
    writers      number of clients that each deposit $100 in every round
    readers      number of clients that each ask for the balance in every round
    rounds       number of rounds; in forced mode a round begins when the last one has ended
    hold_ms      how long each call holds the lock after its read, in milliseconds
    policy       which threads a read–write lock prefers: fair, readers, writers
    mode         free or forced

    In a notebook, a progress bar appears after a second; the Interrupt button ends the race
    cleanly. If the bank dies during the race, no error is raised: the result names the problem in
    `problem` and has the recording up to that moment. Raises ValueError for impossible numbers or
    choices, TypeError for an object that is not a lock.
    """
    experiment = Race(
        concurrency, writers=writers, readers=readers, rounds=rounds, hold_ms=hold_ms,
        policy=policy, mode=mode,
    )  # fmt: skip
    with ProgressBar("racing", experiment.total) as bar:
        return experiment.run(bar.update)


class Race:
    """A race that runs once; `race` makes one, runs it and shows its progress."""

    def __init__(
        self,
        concurrency: str | Callable[[], object],
        *,
        writers: int,
        readers: int,
        rounds: int,
        hold_ms: float,
        policy: str,
        mode: Mode,
    ) -> None:
        self._make_lock: Callable[[], object] | None = None
        if callable(concurrency):
            self._make_lock = concurrency
            adapted(concurrency())  # raises TypeError before anything is started
            self.concurrency = getattr(concurrency, "__name__", "your lock")
        else:
            self.concurrency = concurrency
        teller.check_choice("none" if self._make_lock else self.concurrency, policy)
        if mode not in get_args(Mode):
            raise ValueError(f"mode must be free or forced, not {mode!r}.")
        check_whole("writers", writers, 2 if mode == "forced" else 0, MAX_CLIENTS)
        check_whole("readers", readers, 0, MAX_CLIENTS)
        if not 1 <= writers + readers <= MAX_CLIENTS:
            given = f"{writers} writers and {readers} readers"
            raise ValueError(f"A race has 1 to {MAX_CLIENTS} clients, not {given}.")
        most = MAX_CALLS // (writers + readers)
        check_whole("rounds", rounds, 1, most, f" with {writers + readers} clients")
        if not is_number(hold_ms) or not 0 <= hold_ms <= MAX_HOLD_MS:
            raise ValueError(f"hold_ms must be 0 to {MAX_HOLD_MS:g} milliseconds, not {hold_ms!r}.")
        self.policy = policy
        self.mode: Mode = mode
        self.rounds = rounds
        self.total = (writers + readers) * rounds
        """The number of calls that the clients will make."""
        self._hold = hold_ms / 1000
        self._call_seconds = CALL_SECONDS + self._hold * self.total
        self._writers = tuple(f"client {n + 1}" for n in range(writers))
        self._names = (*self._writers, *(f"reader {n + 1}" for n in range(readers)))
        self._state = threading.Lock()  # guards the next three attributes
        self._done = 0
        self._acknowledged = 0
        self._ended_by = ""
        self._stopping = threading.Event()
        self._rendezvous: Rendezvous | None = None
        if mode == "forced":
            self._rendezvous = Rendezvous(self._writers, self._lock_statistics)
        self._round_start = threading.Barrier(
            len(self._names), self._rendezvous.begin_round if self._rendezvous else None
        )
        self._channel: grpc.Channel | None = None
        self.bank: Bank | None = None
        """The bank of the race; None before `run`."""

    @property
    def done(self) -> int:
        """The number of calls that have been answered."""
        return self._done

    def stop(self) -> None:
        """End the race now: cancel calls in flight; `run` returns the result so far."""
        self._stop("the race was stopped")

    def run(self, on_progress: Callable[[int], object] = lambda done: None) -> RaceResult:
        """Run the race and return its result.

        Calls `on_progress` about ten times a second with the number of calls answered so far. No
        thread, client or bank remains afterwards, even if the race fails.
        """
        with self._open_bank() as bank:
            bank.client.create_account(ACCOUNT)
            with grpc.insecure_channel(bank.address) as channel:
                self._warm_up(channel)
                self._channel = channel
                with record(bank) as recording, self._delays(bank, recording):
                    self._run_clients(recording, channel, on_progress)
            return self._report(bank, recording.history)

    def _open_bank(self) -> Bank:
        # With fewer threads than clients, calls would also wait for a thread, unseen.
        threads = len(self._names) + 1
        make_lock = self._make_lock
        self.bank = Bank(
            "none" if make_lock else self.concurrency,
            policy=self.policy,
            locks=LockTable(lambda key: adapted(make_lock())) if make_lock else None,
            threads=threads,
            max_wait=self._call_seconds + CALL_SECONDS,
        )
        return self.bank

    def _warm_up(self, channel: grpc.Channel) -> None:
        """Connect the clients and start the server's threads before the recording begins."""
        ask = bank_pb2_grpc.BankServiceStub(channel).GetBalance
        balance = bank_pb2.AccountRequest(account_id=ACCOUNT)
        calls = [ask.future(balance, CALL_SECONDS) for _ in self._names]
        for call in calls:
            call.result()

    def _lock_statistics(self) -> LockStatistics | None:
        return self.bank.server.teller.locks.statistics(ACCOUNT) if self.bank else None

    def _delays(self, bank: Bank, recording: Recording) -> AbstractContextManager[None]:
        """Delay calls: at a rendezvous in a forced race, for `hold_ms`, or not at all."""
        if not self._rendezvous and not self._hold:
            return nullcontext()
        return bank.server.observe(_Delay(recording, self._writers, self._rendezvous, self._dwell))

    def _dwell(self) -> None:
        self._stopping.wait(self._hold)

    def _run_clients(
        self, recording: Recording, channel: grpc.Channel, on_progress: Callable[[int], object]
    ) -> None:
        finished = threading.Semaphore(0)

        def client(name: str) -> None:
            try:
                self._run_client(name, recording.channel(name, channel))
            finally:
                finished.release()

        threads = [
            threading.Thread(target=client, args=(name,), name=f"race {name}", daemon=True)
            for name in self._names
        ]
        try:
            for thread in threads:
                thread.start()
            for _ in threads:
                while not finished.acquire(timeout=0.1):
                    on_progress(self._done)
        except BaseException:  # most likely KeyboardInterrupt
            self.stop()
            raise
        finally:
            for thread in threads:
                if thread.ident is not None:
                    thread.join()

    def _run_client(self, name: str, channel: RecordedChannel) -> None:
        stub = bank_pb2_grpc.BankServiceStub(channel)
        for number in range(self.rounds):
            if number == 0 or self.mode == "forced":
                try:
                    self._round_start.wait()
                except threading.BrokenBarrierError:
                    return
            if self._stopping.is_set():
                return
            try:
                self._call(name, stub)
            except grpc.RpcError as error:
                code = cast(grpc.Call, error).code().name
                self._stop(f"{name} got {code} and the race ended")
                return
            except ValueError:  # raised by gRPC when `stop` has closed the channel
                return
            finally:
                if self._rendezvous:
                    self._rendezvous.has_ended(name)

    def _call(self, name: str, stub: bank_pb2_grpc.BankServiceStub) -> None:
        if name in self._writers:
            deposit = bank_pb2.DepositRequest(account_id=ACCOUNT, amount=DOLLARS)
            stub.Deposit(deposit, timeout=self._call_seconds)
        else:
            stub.GetBalance(bank_pb2.AccountRequest(account_id=ACCOUNT), timeout=self._call_seconds)
        with self._state:
            self._done += 1
            self._acknowledged += name in self._writers

    def _stop(self, why: str) -> None:
        """End the race. Only the first `why` is kept: stopping makes other clients fail too."""
        with self._state:
            if not self._stopping.is_set():
                self._ended_by = why
                self._stopping.set()
        self._round_start.abort()
        if self._rendezvous:
            self._rendezvous.stop()
        if self._channel is not None:
            self._channel.close()

    def _report(self, bank: Bank, history: History) -> RaceResult:
        balance: int | None = None
        lost: tuple[LostUpdate, ...] = ()
        problem = ""
        if self._ended_by:
            problem = f"After {self._done} of {self.total} calls, {self._ended_by}."
        try:
            balance = bank.store.read(ACCOUNT).account.balance
            history = history.with_final(ACCOUNT, balance)
            lost = lost_updates(history, ACCOUNT)
        except (BankError, ValueError) as error:
            problem = " ".join(filter(None, (problem, str(error))))
        return RaceResult(
            concurrency=self.concurrency,
            policy=self.policy,
            mode=self.mode,
            writers=len(self._writers),
            readers=len(self._names) - len(self._writers),
            rounds=self.rounds,
            kept_out=bool(self._rendezvous and self._rendezvous.kept_out),
            deposits=self._acknowledged,
            expected=self._acknowledged * DOLLARS * 100,
            final=balance,
            lost_updates=lost,
            history=history,
            problem=problem,
        )


class _Delay(Observer):
    """Delays each call after its read, while it holds the lock.

    A deposit first waits at the rendezvous, if there is one. Then every call waits for `hold_ms`.
    """

    def __init__(
        self,
        recording: Recording,
        writers: tuple[str, ...],
        rendezvous: Rendezvous | None,
        dwell: Callable[[], None],
    ) -> None:
        self._recording = recording
        self._writers = writers
        self._rendezvous = rendezvous
        self._dwell = dwell

    def asked(self, call: ServedCall, account_id: str, mode: LockMode) -> None:
        if self._rendezvous and mode == "write":
            self._rendezvous.asks(self._recording.client_of(call))

    def read(self, call: ServedCall, account_id: str, snapshot: Snapshot) -> None:
        client = self._recording.client_of(call)
        if self._rendezvous and client in self._writers:
            self._rendezvous.has_read(client)
        self._dwell()
