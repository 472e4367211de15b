import assert from "node:assert/strict";
import { test } from "node:test";

import { scheduleRows } from "../../bankkit/lab/schedules/static/schedule_table.js";
import { proseParts, quietLines } from "../../bankkit/lab/schedules/static/text.js";
import { threadColour } from "../../bankkit/lab/schedules/static/thread_colour.js";
import * as words from "../../bankkit/lab/schedules/static/words.js";

const alice = { name: "alice", state: "ready", does: "call store.read", waits: "", moves: [{ option: 0, does: "call store.read" }] };
const bob = { name: "bob", state: "waiting", does: "", waits: "waits for gate", moves: [{ option: 1, does: "acquire gate: timed out" }] };
const step = { thread: "bob", does: "call store.commit", at: "store.py:12", preempts: false };

test("the status says the most urgent thing", () => {
  const open = { verdict: { kind: "open", text: "" } };
  const reached = { verdict: { kind: "reached", text: "Goal reached." } };
  assert.deepEqual(words.status(open), { words: "Which thread makes the next step?", kind: "open" });
  assert.deepEqual(words.status(reached), { words: "✓ Goal reached.", kind: "reached" });
  assert.equal(words.status({ ...reached, busy: "Exploring …" }).words, "Exploring …");
  assert.deepEqual(words.status({ ...reached, busy: "Exploring …", message: "No." }), {
    words: "No.", kind: "trouble",
  });
  assert.equal(words.status({ ...reached, message: "No.", closed: "A newer one." }).words, "A newer one.");
});

test("a thread says what it is about to do, or why it cannot", () => {
  const does = (state) => words.doesWords({ ...bob, does: "release gate", state });
  assert.equal(does("ready"), "about to release gate");
  assert.equal(does("left"), "was about to release gate");
  assert.equal(does("failed"), "release gate");
  assert.equal(does("ended"), "nothing more to do");
  for (const state of ["waiting", "blocked", "stuck"]) assert.equal(does(state), "waits for gate");
  for (const state of Object.keys(words.STATES)) assert.equal(typeof does(state), "string");
});

test("a button says Step, unless there are several ways or only the way out of a wait", () => {
  const plain = { shown: "Step", spoken: "Step alice: call store.read" };
  assert.deepEqual(words.wayWords(alice, 0), plain);
  assert.deepEqual(words.wayWords(bob, 0), {
    shown: "acquire gate: timed out", spoken: "bob: acquire gate: timed out",
  });
  const two = { ...alice, moves: [...alice.moves, { option: 1, does: "time out" }] };
  assert.deepEqual(words.wayWords(two, 1), { shown: "time out", spoken: "alice: time out" });
  const none = { ...bob, moves: [] };
  assert.deepEqual(words.wayWords(none, 0), { shown: "Step", spoken: "Step bob: cannot go on" });
});

test("the caption counts steps and preemptions", () => {
  assert.equal(words.caption(0, 0), "Your schedule: no steps yet");
  assert.equal(words.caption(1, 0), "Your schedule: 1 step, 0 preemptions ⇄");
  assert.equal(words.caption(4, 1), "Your schedule: 4 steps, 1 preemption ⇄");
});

test("a screen reader hears the status, the last step, the state and each thread", () => {
  const view = { steps: [step, step], state: [["balance", "$100"]], threads: [alice, bob] };
  assert.equal(
    words.spokenWords(view, "Which thread makes the next step?"),
    "Which thread makes the next step? Step 2, bob: call store.commit. balance: $100. " +
      "alice is about to call store.read. bob waits for gate.",
  );
  const ended = { ...bob, state: "ended", waits: "" };
  assert.equal(words.spokenWords({ threads: [ended] }, "Done."), "Done. bob has ended.");
  assert.equal(words.spokenWords({}, "Closed."), "Closed.");
});

test("the keys of the threads, and why a key did nothing", () => {
  assert.ok(words.keysHint([alice, bob]).includes("press 1 or 2 to step a thread"));
  assert.equal(words.cannotStep("bob", 0), "bob cannot go on now.");
  assert.equal(words.cannotStep("bob", 1), "bob has no other option now.");
});

test("the table lists the steps in order, and below them the threads that nobody will wake", () => {
  const stuck = { ...alice, state: "stuck", waits: "waits for changed" };
  const rows = scheduleRows([step, { ...step, thread: "alice", preempts: true }], [stuck, bob]);
  assert.deepEqual(rows.map(({ mark, thread, does }) => [mark, thread, does]), [
    ["1", "bob", "call store.commit"],
    ["⇄ 2", "alice", "call store.commit"],
    ["∞", "alice", "waits for changed"],
  ]);
  assert.deepEqual(rows.map(({ title }) => title !== ""), [false, true, false]);
  const deciding = scheduleRows([{ ...step, decides: true, preempts: true }], []);
  assert.equal(deciding[0].mark, "◆ ⇄ 1");
  assert.match(deciding[0].title, /order of the steps with ◆ decides.*A preemption/);
  assert.deepEqual(scheduleRows([], [alice, bob]), []);
});

test("backticks mark code in prose", () => {
  assert.deepEqual(proseParts("Make `lost` 100."), [
    { words: "Make ", isCode: false }, { words: "lost", isCode: true },
    { words: " 100.", isCode: false },
  ]);
  assert.deepEqual(proseParts("Plain."), [{ words: "Plain.", isCode: false }]);
});

test("comments and docstrings are dimmed, and code after them is not", () => {
  const lines = [
    "def f():", '    """One line."""', "    # why", "    x = 1  # beside", '    """Several', "    x = 2",
    '    """', "    return x", '    t = """text', '    """', "    return t",
  ];
  assert.deepEqual(quietLines(lines), [
    false, true, true, false, true, true, true, false, false, true, false,
  ]);
});

test("four colours are enough for the threads of a puzzle, and a fifth begins again", () => {
  assert.equal(threadColour(0), "bk-thread-0");
  assert.equal(threadColour(5), "bk-thread-1");
});
