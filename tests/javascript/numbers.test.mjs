import assert from "node:assert/strict";
import { test } from "node:test";

import { after, clamp, firstIndex, roundUp } from "../../bankkit/lab/timelines/static/numbers.js";

test("a number is clamped to two limits", () => {
  assert.deepEqual([-1, 0, 3, 5, 9].map((each) => clamp(each, 0, 5)), [0, 0, 3, 5, 5]);
});

test("the first index is found at every place, and the count if there is none", () => {
  for (let count = 0; count < 20; count++) {
    for (let from = 0; from <= count; from++) {
      assert.equal(firstIndex(count, (i) => i >= from), from);
    }
  }
});

test("the first later time comes after all equal ones", () => {
  const times = Float64Array.of(1, 2, 2, 2, 5);
  assert.deepEqual([0, 1, 2, 3, 5, 6].map((at) => after(times, at)), [0, 1, 4, 4, 5, 5]);
  assert.equal(after([], 3), 0);
});

test("a step of an axis is 1, 2 or 5 times a power of ten, and not less than needed", () => {
  const needed = [0.03, 0.9, 1, 1.2, 2.1, 5, 5.1, 12, 7_300];
  assert.deepEqual(needed.map(roundUp), [0.05, 1, 1, 2, 5, 5, 10, 20, 10_000]);
});
