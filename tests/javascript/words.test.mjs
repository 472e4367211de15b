import assert from "node:assert/strict";
import { test } from "node:test";

import * as words from "../../bankkit/lab/timelines/static/words.js";

test("amounts are written in dollars, with cents only if there are any", () => {
  const cents = [0, 5, 100, 12_345, -10_000, 123_456_700];
  assert.deepEqual(cents.map(words.dollars), [
    "$0", "$0.05", "$1", "$123.45", "-$100", "$1,234,567",
  ]);
});

test("a duration has three digits and the unit that fits them", () => {
  const times = [0, 999, 1000, 1234, 999_499, 999_500, 12_345_678, 999_500_000, 61_000_000_000];
  assert.deepEqual(times.map(words.duration), [
    "0 ns", "999 ns", "1 µs", "1.23 µs", "999 µs", "1 ms", "12.3 ms", "1 s", "61 s",
  ]);
});

test("a loss, and a surplus", () => {
  assert.equal(words.lossWords(10_000), "✗ $100 lost");
  assert.equal(words.lossWords(-50), "✗ $0.50 too much");
});

test("a speed is compared with the recorded events", () => {
  assert.equal(words.speedWords(12_345), "12,000× slower");
  assert.equal(words.speedWords(1), "1× slower");
  assert.equal(words.speedWords(0.04), "25× faster");
});

test("up to four names are listed, and more are counted", () => {
  const names = ["ann", "ben", "cleo", "dora", "eve"];
  assert.deepEqual([0, 1, 2, 3, 4, 5].map((count) => words.listed(names.slice(0, count))), [
    "", "ann", "ann and ben", "ann, ben, cleo", "ann, ben, cleo, dora", "ann, ben, cleo and 2 more",
  ]);
});

test("a long name is shortened, and a call's id gives its client for any name", () => {
  assert.equal(words.shortened("sixteen letters!"), "sixteen letters!");
  assert.equal(words.shortened("a client with a long name"), "a client with a…");
  assert.equal(words.clientOf("client #2#17"), "client #2");
});
