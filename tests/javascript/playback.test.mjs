import assert from "node:assert/strict";
import { test } from "node:test";

import { Playback } from "../../bankkit/lab/timelines/static/playback.js";
import { CALM, LIVELY } from "./support/views.mjs";

const LENGTH = 1_000_000_000; // nanoseconds

/* Plays in steps of a number of milliseconds; returns the times that were shown. */
function play(playback, step, pictures = 10_000) {
  const seen = [];
  for (let i = 0; i < pictures && playback.playing; i++) {
    if (playback.advance(5000 + i * step)) seen.push(playback.at);
  }
  return seen;
}

test("before playback, the whole recording is shown", () => {
  const made = new Playback(LENGTH, 0, LIVELY);
  assert.equal(made.at, LENGTH);
  assert.equal(made.playing, false);
});

test("playback takes longer if there are more moments, within limits", () => {
  const seconds = [0, 30, 5000].map((moments) => new Playback(LENGTH, moments, LIVELY).seconds);
  assert.deepEqual(seconds, [5, 9, 24]);
});

test("it plays from the start to the end in the planned time", () => {
  const made = new Playback(LENGTH, 0, LIVELY);
  made.start();
  const seen = play(made, 100);
  assert.equal(seen[0], 0, "the first frame starts the clock");
  assert.equal(seen.length, 51, "five seconds");
  assert.equal(seen.at(-1), LENGTH);
  assert.equal(made.playing, false);
  for (let i = 1; i < seen.length; i++) assert.ok(seen[i] > seen[i - 1]);
});

test("at four times the speed, playback takes a quarter of the time", () => {
  const made = new Playback(LENGTH, 0, LIVELY);
  made.speed = 4;
  made.start();
  assert.equal(play(made, 50).length, 26);
  assert.equal(made.slowness(1), 5);
  assert.equal(made.slowness(4), 1.25);
});

test("playback continues after a pause, and the pause does not count", () => {
  const made = new Playback(LENGTH, 0, LIVELY);
  made.start();
  play(made, 100, 11);
  const { at } = made;
  assert.ok(Math.abs(at - LENGTH / 5) < 1);
  made.pause();
  made.start();
  assert.equal(made.advance(999_999), true);
  assert.equal(made.at, at);
});

test("a page that was hidden for an hour advances by one second", () => {
  const made = new Playback(LENGTH, 0, LIVELY);
  made.start();
  made.advance(0);
  made.advance(3_600_000);
  assert.equal(made.at, LENGTH / 5);
});

test("a time outside the recording becomes its nearest end", () => {
  const made = new Playback(LENGTH, 0, LIVELY);
  made.go(-5);
  assert.equal(made.at, 0);
  made.go(Infinity);
  assert.equal(made.at, LENGTH);
});

test("readers who prefer no motion get two frames a second", () => {
  const made = new Playback(LENGTH, 0, CALM);
  made.start();
  const seen = play(made, 100);
  assert.equal(seen.length, 11);
  assert.equal(seen.at(-1), LENGTH);
  made.go(0);
  made.start();
  assert.equal(made.glow(0), 0);
});

test("during playback, a moment glows when it has happened, and fades", () => {
  const made = new Playback(LENGTH, 0, LIVELY);
  made.start();
  made.advance(0);
  made.advance(1000);
  assert.equal(made.glow(made.at), 1);
  assert.equal(made.glow(made.at + 1), 0, "it has not happened yet");
  const before = (ms) => made.glow(made.at - (ms / 1000) * made.rate);
  assert.ok(Math.abs(before(225) - 0.5) < 1e-9);
  assert.equal(before(450), 0);
  made.pause();
  assert.equal(made.glow(made.at), 0);
});
