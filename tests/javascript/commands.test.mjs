import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { Commands } from "../../bankkit/lab/schedules/static/commands.js";

let commands, sent, silences, isGone;

beforeEach((context) => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  sent = [];
  silences = 0;
  isGone = false;
  commands = new Commands(
    (command) => {
      if (isGone) throw new Error(`gone in ${context.name}`);
      sent.push(command);
    },
    () => {
      silences += 1;
    },
  );
});

const ask = (what, more) => commands.enqueue(() => commands.dispatch(what, more));

/* The kernel answers the last command. */
function answered() {
  const known = commands.answer(sent.at(-1).number);
  commands.next();
  return known;
}

const kinds = () => sent.map((command) => command.do);

test("a command is sent at once, with its own number", () => {
  ask("step", { thread: "alice", option: 0 });
  const [{ number, ...rest }] = sent;
  assert.deepEqual(rest, { do: "step", thread: "alice", option: 0 });
  assert.ok(Number.isInteger(number));
  assert.equal(commands.isFree, false);
});

test("the next one waits until the first is answered", () => {
  ask("step");
  ask("undo");
  ask("reset");
  assert.deepEqual(kinds(), ["step"]);
  assert.equal(answered(), true);
  assert.deepEqual(kinds(), ["step", "undo"]);
  answered();
  answered();
  assert.deepEqual(kinds(), ["step", "undo", "reset"]);
  assert.equal(commands.isFree, true);
});

test("an answer with another number changes nothing", () => {
  ask("step");
  ask("undo");
  assert.equal(commands.answer(sent[0].number + 1), false);
  commands.next();
  assert.deepEqual(kinds(), ["step"]);
});

test("a command that has no effect at its turn is skipped", () => {
  ask("step");
  commands.enqueue(() => {});
  ask("undo");
  answered();
  assert.deepEqual(kinds(), ["step", "undo"]);
});

test("up to a hundred keys wait, and the others are dropped", () => {
  ask("step");
  for (let i = 0; i < 150; i++) ask("step");
  while (!commands.isFree) answered();
  assert.equal(sent.length, 101);
});

test("a silent kernel is reported once, and a proof has more time", () => {
  ask("step");
  mock.timers.tick(4_999);
  assert.equal(silences, 0);
  mock.timers.tick(1);
  assert.equal(silences, 1);
  mock.timers.tick(100_000);
  assert.equal(silences, 1);
  answered();
  ask("explore");
  mock.timers.tick(59_999);
  assert.equal(silences, 1);
  mock.timers.tick(1);
  assert.equal(silences, 2);
});

test("a kernel that answers in time is not reported", () => {
  ask("step");
  mock.timers.tick(4_000);
  answered();
  ask("undo");
  mock.timers.tick(4_000);
  assert.equal(silences, 0);
});

test("after silence the next click asks again, and a late answer goes on", () => {
  ask("step");
  mock.timers.tick(5_000);
  ask("reset");
  assert.deepEqual(kinds(), ["step", "reset"]);
  assert.equal(commands.answer(sent[0].number), false, "the old command is forgotten");
  assert.equal(answered(), true);
});

test("a closed channel counts as silence", () => {
  isGone = true;
  ask("step");
  assert.equal(silences, 1);
  assert.deepEqual(sent, []);
  isGone = false;
  ask("reset");
  assert.deepEqual(kinds(), ["reset"]);
});

test("after close, nothing is reported", () => {
  ask("step");
  commands.close();
  mock.timers.tick(100_000);
  assert.equal(silences, 0);
});
