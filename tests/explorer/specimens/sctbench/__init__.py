"""The programs of SCTBench's group CS, which others have measured explorers with.

Thomson, Donaldson and Betts, "Concurrency testing using schedule bounding: an empirical study",
PPoPP 2014. We wrote them anew from the C programs in `benchmarks/concurrent-software-benchmarks` of
https://github.com/mc-imperial/sctbench (MIT licence; most of them were first examples of ESBMC).
The corrections are those of its `_ok` and `_unsat` programs, or our own where it has none.

As in the study, a thread can switch at operations of locks and at variables with a data race, which
are the `shared` ones here. Two things differ. Python's `notify` needs the lock, which `signal` in
these C programs does not hold. An atomic block of ESBMC is a lock, as it is in SCTBench.
"""

from bankkit.explorer.schedules.schedule import End
from tests.explorer.specimens import Specimen
from tests.explorer.specimens.sctbench import buffers, families, locking

WRONG: End = "failed assertion"
DEADLOCK: End = "deadlock"
LOST: End = "lost wakeup"

SPECIMENS = (
    Specimen("account", locking.account, WRONG, 0),
    Specimen("arithmetic_prog", buffers.arithmetic_prog, WRONG, 0),
    Specimen("bluetooth_driver", locking.bluetooth_driver, WRONG, 1),
    Specimen("carter01", locking.carter01, DEADLOCK, 1),
    Specimen("circular_buffer", buffers.circular_buffer, WRONG, 1),
    Specimen("deadlock01", locking.deadlock01, DEADLOCK, 1),
    *(
        Specimen(f"din_phil{number}", families.philosophers(number), WRONG, 0)
        for number in (2, 3, 4, 5, 6)
    ),
    Specimen("din_phil7", families.philosophers(7), DEADLOCK, 0),
    Specimen("fsbench", locking.fsbench, WRONG, 0),
    Specimen("lazy01", locking.lazy01, WRONG, 0),
    Specimen("phase01", locking.phase01, DEADLOCK, 0),
    Specimen("queue", buffers.queue, WRONG, 1),
    Specimen("reorder_3", families.reorder(2, 1), WRONG, 1),
    Specimen("reorder_4", families.reorder(3, 1), WRONG, 1),
    Specimen("reorder_5", families.reorder(4, 1), WRONG, 1),
    Specimen("reorder_10", families.reorder(9, 1), WRONG, 1),
    Specimen("reorder_20", families.reorder(10, 10), WRONG, 1),
    Specimen("stack", buffers.stack, WRONG, 1),
    Specimen("sync01", buffers.sync01, LOST, 0),
    Specimen("sync02", buffers.sync02, LOST, 0),
    Specimen("token_ring", locking.token_ring, WRONG, 0),
    Specimen("twostage", families.twostage(1), WRONG, 1),
    Specimen("twostage_100", families.twostage(99), WRONG, 1),
    Specimen("wronglock_3", families.wronglock(3), WRONG, 1),
    Specimen("wronglock", families.wronglock(7), WRONG, 1),
)
