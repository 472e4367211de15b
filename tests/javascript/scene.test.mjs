import assert from "node:assert/strict";
import { test } from "node:test";

import { Scene, STALE, WAITING, WRITING } from "../../bankkit/lab/timelines/static/scene.js";
import { MS, rawScene, scene } from "./support/views.mjs";

test("rows are counted over all lanes, first of clients and then of servers", () => {
  const raw = rawScene("paused");
  raw.rows = [3, 1];
  raw.bars.row[2] = 2;
  const made = new Scene(raw);
  assert.deepEqual(made.tops, [0, 3, 4, 5, 6]);
  assert.equal(made.height, 6);
  assert.deepEqual([...made.row], [0, 0, 2, 3, 3, 0]);
  assert.deepEqual(made.byRow, [[0, 1, 5], [], [2], [3, 4], [], []]);
  assert.deepEqual(made.marks.map(({ row }) => row), [4, 0, 4]);
  assert.deepEqual([made.losses[0].lostRow, made.losses[0].byRow], [3, 0]);
});

test("the bars in view are all bars that overlap it", () => {
  const made = scene("paused");
  for (let from = 0; from < made.length; from += 13 * MS) {
    for (const to of [from, from + 5 * MS, from + 300 * MS]) {
      const [first, last] = made.between(from, to);
      for (let i = 0; i < made.count; i++) {
        const reaches = made.end[i] >= from && made.start[i] <= to;
        if (reaches) assert.ok(first <= i && i < last, `bar ${i} from ${from} to ${to}`);
      }
    }
  }
  assert.deepEqual(made.between(made.length + 1, made.length + 2), [6, 6]);
});

test("a long bar is in view, though shorter ones after it have ended", () => {
  const raw = rawScene("paused");
  raw.bars.end[0] = 700 * MS;
  const [first] = new Scene(raw).between(650 * MS, 660 * MS);
  assert.equal(first, 0);
});

test("the balance is that of the last step, and unknown before the first", () => {
  const made = scene("paused");
  const balances = [0, 539.95, 540, 724, 725].map((ms) => made.balance(ms * MS));
  assert.deepEqual(balances.map(({ actual }) => actual), [0, 10_000, 10_000, 10_000, 10_000]);
  assert.deepEqual(balances.map(({ expected }) => expected), [0, 10_000, 10_000, 10_000, 20_000]);
  assert.equal(made.balance(-1), null);
});

test("the range of the balance includes the step that began before the view", () => {
  const made = scene("paused");
  assert.deepEqual(made.range(0, 100 * MS), [0, 0]);
  assert.deepEqual(made.range(600 * MS, 700 * MS), [10_000, 10_000]);
  assert.deepEqual(made.range(700 * MS, 742 * MS), [10_000, 20_000]);
});

test("stepping forward and back visits every event", () => {
  const made = scene("paused");
  const there = [0];
  for (let i = 1; i < made.events.length; i++) there.push(made.eventBeside(there.at(-1), 1));
  assert.deepEqual(there, [...made.events]);
  assert.equal(made.eventBeside(made.length, 1), made.length);
  const back = [made.length];
  for (let i = 1; i < made.events.length; i++) back.push(made.eventBeside(back.at(-1), -1));
  assert.deepEqual(back.toReversed(), there);
  assert.equal(made.eventBeside(0, -1), 0);
  assert.equal(made.eventBeside(30 * MS, -1), 1.95 * MS);
});

test("a bar has the moments of its own row", () => {
  const made = scene("paused");
  assert.deepEqual([...made.kind], [WAITING, WRITING, 3, WAITING, WRITING, STALE]);
  assert.deepEqual(made.during(1), [0]);
  assert.deepEqual(made.during(4), [1, 2]);
  assert.deepEqual(made.during(5), [3]);
  assert.deepEqual(made.during(0), []);
});

test("the words of a mark have room until the next thing in its row", () => {
  const made = scene("paused");
  assert.deepEqual(made.marks.map(({ until }) => until), [700 * MS, 700 * MS, Infinity]);
});

test("a scene may have a single call", () => {
  const raw = rawScene("killed");
  for (const column of Object.values(raw.steps)) column.length = 0;
  for (const column of Object.values(raw.moments)) column.length = 0;
  raw.length = 0;
  const made = new Scene(raw);
  assert.equal(made.length, 1);
  assert.equal(made.balance(0), null);
  assert.equal(made.isLossy, false);
});
