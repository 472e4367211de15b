/* The clock of the playback: the moment of the recording that is shown, and how it advances. */

import { clamp } from "./numbers.js";

const SHORTEST_PLAY = 5, LONGEST_PLAY = 24; // seconds, at normal speed
const CALM_STEP = 0.5; // seconds between two frames for readers who prefer no motion
const LONGEST_STEP = 1; // seconds; a page does not play while it is hidden for longer
const GLOW = 0.45; // seconds of real time for which a moment stands out after it has happened

export class Playback {
  /* `length` is in nanoseconds; `moments` is the number of reads and commits. `calm` is a
     MediaQueryList that matches if the reader prefers no motion. */
  constructor(length, moments, calm) {
    this.length = length;
    this.calm = calm;
    this.at = length; // before playback, the whole recording is shown
    this.playing = false;
    this.speed = 1;
    this.seconds = clamp(4 + moments / 6, SHORTEST_PLAY, LONGEST_PLAY);
  }

  /* Nanoseconds of the recording per second of real time. */
  get rate() {
    return (this.length / this.seconds) * this.speed;
  }

  /* How many times slower than the recorded events the playback is at a speed. */
  slowness(speed) {
    return (this.seconds * 1e9) / this.length / speed;
  }

  go(at) {
    this.at = clamp(at, 0, this.length);
  }

  start() {
    if (this.at >= this.length) this.at = 0;
    this.playing = true;
    this.before = undefined;
  }

  pause() {
    this.playing = false;
  }

  /* Advances to the time of a frame, in milliseconds of real time, and pauses at the end. Returns
     whether it has moved. */
  advance(now) {
    const passed = this.before === undefined ? 0 : (now - this.before) / 1000;
    if (this.calm.matches && this.before !== undefined && passed < CALM_STEP) return false;
    this.before = now;
    this.go(this.at + Math.min(passed, LONGEST_STEP) * this.rate);
    if (this.at >= this.length) this.pause();
    return true;
  }

  /* The brightness of a moment: 1 when it has just happened, fading to 0. */
  glow(at) {
    if (!this.playing || this.calm.matches || at > this.at) return 0;
    return clamp(1 - (this.at - at) / (this.rate * GLOW), 0, 1);
  }
}
