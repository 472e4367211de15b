"""The race: real clients deposit to one account at the same time, over gRPC, into Redis.

    result = lab.race("none", writers=2, mode="forced")
    print(result.verdict)
    lab.timeline(result)

`mode="free"` lets everybody go as fast as they can; whether an update gets lost is a matter of
chance. `mode="forced"` holds every deposit between its read and its commit until the others have
read as well, so that an update is lost on every run of every machine, unless the choice of
concurrency excludes it.
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
"""Of every deposit."""

MAX_CLIENTS = 64
MAX_CALLS = 100_000
MAX_HOLD_MS = 1000.0
CALL_SECONDS = 10.0
"""How long a client waits for an answer, beside the time that holds take."""


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
    """Race clients against each other on one account of a bank of their own, and report.

    concurrency  how the bank keeps operations apart (see `bankkit.teller`), or a class of your own
                 that makes a lock: with `acquire_read`, `release_read`, `acquire_write` and
                 `release_write`, or with `acquire` and `release`
    writers      clients that each deposit $100 in every round
    readers      clients that each ask for the balance in every round
    rounds       how often; in forced mode a round begins when the one before it has ended
    hold_ms      how long the server dwells after each read, with the lock held, in milliseconds
    policy       whom a read–write lock lets go first: fair, readers, writers
    mode         free or forced

    A notebook shows a progress bar when it takes longer than a second; Interrupt ends it cleanly.
    A bank that dies on the way is no error: the result says so in `problem` and has the recording
    up to there. ValueError for numbers that make no race, TypeError for an object that is no lock.
    """
    experiment = Race(
        concurrency, writers=writers, readers=readers, rounds=rounds, hold_ms=hold_ms,
        policy=policy, mode=mode,
    )  # fmt: skip
    with ProgressBar("racing", experiment.total) as bar:
        return experiment.run(bar.update)


class Race:
    """One race, to be run once; `race` makes one, runs it and shows how far it is."""

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
            adapted(concurrency())  # or TypeError, before anything is started
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
        """How many calls the clients will make."""
        self._hold = hold_ms / 1000
        self._patience = CALL_SECONDS + self._hold * self.total
        self._writers = tuple(f"client {n + 1}" for n in range(writers))
        self._names = (*self._writers, *(f"reader {n + 1}" for n in range(readers)))
        self._state = threading.Lock()  # guards the three that follow
        self._done = 0
        self._acknowledged = 0
        self._ended_by = ""
        self._stopping = threading.Event()
        self._meeting: Rendezvous | None = None
        if mode == "forced":
            self._meeting = Rendezvous(self._writers, self._look_at_lock)
        self._gate = threading.Barrier(
            len(self._names), self._meeting.begin_round if self._meeting else None
        )
        self._channel: grpc.Channel | None = None
        self.bank: Bank | None = None
        """The bank that is raced on, while it runs."""

    @property
    def done(self) -> int:
        """How many calls have been answered."""
        return self._done

    def stop(self) -> None:
        """End it now: calls in flight are cancelled, and `run` returns what there is."""
        self._stop("It was stopped")

    def run(self, on_progress: Callable[[int], object] = lambda done: None) -> RaceResult:
        """Race. `on_progress` is called about ten times a second with the calls answered so far.

        Leaves no thread, client or bank behind, however it ends.
        """
        with self._open_bank() as bank:
            bank.client.create_account(ACCOUNT)
            with grpc.insecure_channel(bank.address) as channel:
                self._warm_up(channel)
                self._channel = channel
                with record(bank) as recording, self._held_up(bank, recording):
                    self._run_clients(recording, channel, on_progress)
            return self._report(bank, recording.history)

    def _open_bank(self) -> Bank:
        # A thread for each client, or they would wait for each other where nobody sees it.
        threads = len(self._names) + 1
        make_lock = self._make_lock
        self.bank = Bank(
            "none" if make_lock else self.concurrency,
            policy=self.policy,
            locks=LockTable(lambda key: adapted(make_lock())) if make_lock else None,
            threads=threads,
            max_wait=self._patience + CALL_SECONDS,
        )
        return self.bank

    def _warm_up(self, channel: grpc.Channel) -> None:
        """Let everybody connect to everybody before the clock is looked at."""
        ask = bank_pb2_grpc.BankServiceStub(channel).GetBalance
        balance = bank_pb2.AccountRequest(account_id=ACCOUNT)
        calls = [ask.future(balance, CALL_SECONDS) for _ in self._names]
        for call in calls:
            call.result()

    def _look_at_lock(self) -> LockStatistics | None:
        return self.bank.server.teller.locks.statistics(ACCOUNT) if self.bank else None

    def _held_up(self, bank: Bank, recording: Recording) -> AbstractContextManager[None]:
        """What holds calls up: a rendezvous in a forced race, `hold_ms`, or neither."""
        if not self._meeting and not self._hold:
            return nullcontext()
        return bank.server.observe(_HoldUp(recording, self._writers, self._meeting, self._dwell))

    def _dwell(self) -> None:
        self._stopping.wait(self._hold)

    def _run_clients(
        self, recording: Recording, channel: grpc.Channel, on_progress: Callable[[int], object]
    ) -> None:
        finished = threading.Semaphore(0)

        def client(name: str) -> None:
            try:
                self._be_client(name, recording.channel(name, channel))
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
        except BaseException:  # Interrupt, most likely
            self.stop()
            raise
        finally:
            for thread in threads:
                if thread.ident is not None:
                    thread.join()

    def _be_client(self, name: str, channel: RecordedChannel) -> None:
        stub = bank_pb2_grpc.BankServiceStub(channel)
        for number in range(self.rounds):
            if number == 0 or self.mode == "forced":
                try:
                    self._gate.wait()
                except threading.BrokenBarrierError:
                    return
            if self._stopping.is_set():
                return
            try:
                self._call(name, stub)
            except grpc.RpcError as error:
                self._stop(f"{name} got {cast(grpc.Call, error).code().name}")
                return
            except ValueError:  # gRPC's word for a channel that `stop` has closed
                return
            finally:
                if self._meeting:
                    self._meeting.has_ended(name)

    def _call(self, name: str, stub: bank_pb2_grpc.BankServiceStub) -> None:
        if name in self._writers:
            deposit = bank_pb2.DepositRequest(account_id=ACCOUNT, amount=DOLLARS)
            stub.Deposit(deposit, timeout=self._patience)
        else:
            stub.GetBalance(bank_pb2.AccountRequest(account_id=ACCOUNT), timeout=self._patience)
        with self._state:
            self._done += 1
            self._acknowledged += name in self._writers

    def _stop(self, why: str) -> None:
        """`why` counts only the first time: what it sets off makes others fail."""
        with self._state:
            if not self._stopping.is_set():
                self._ended_by = why
                self._stopping.set()
        self._gate.abort()
        if self._meeting:
            self._meeting.stop()
        if self._channel is not None:
            self._channel.close()

    def _report(self, bank: Bank, history: History) -> RaceResult:
        balance: int | None = None
        lost: tuple[LostUpdate, ...] = ()
        problem = ""
        if self._ended_by:
            problem = f"{self._ended_by} after {self._done} of {self.total} calls."
        try:
            balance = bank.store.read(ACCOUNT).account.balance
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
            kept_out=bool(self._meeting and self._meeting.kept_out),
            deposits=self._acknowledged,
            expected=self._acknowledged * DOLLARS * 100,
            final=balance,
            lost_updates=lost,
            history=history,
            problem=problem,
        )


class _HoldUp(Observer):
    """After its read, a deposit waits at the rendezvous, if there is one. Then every call holds the
    lock for `hold_ms`."""

    def __init__(
        self,
        recording: Recording,
        writers: tuple[str, ...],
        meeting: Rendezvous | None,
        dwell: Callable[[], None],
    ) -> None:
        self._recording = recording
        self._writers = writers
        self._meeting = meeting
        self._dwell = dwell

    def asked(self, call: ServedCall, account_id: str, mode: LockMode) -> None:
        if self._meeting and mode == "write":
            self._meeting.asks(self._recording.client_of(call))

    def read(self, call: ServedCall, account_id: str, snapshot: Snapshot) -> None:
        client = self._recording.client_of(call)
        if self._meeting and client in self._writers:
            self._meeting.has_read(client)
        self._dwell()
