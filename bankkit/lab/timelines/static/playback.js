/* The clock of the playback: which moment of the recording is shown, and how it moves on. */

import { clamp } from "./numbers.js";

const SHORTEST_PLAY = 5, LONGEST_PLAY = 24; // seconds, at normal speed
const CALM_STEP = 0.5; // seconds between two pictures for readers who want no motion
const LONGEST_STEP = 1; // second; a page that was hidden for longer has not played meanwhile
const GLOW = 0.45; // seconds of the reader for which what has just happened stands out

export class Playback {
  /* `length` is in nanoseconds, `moments` is how many reads and commits there are to follow. Of
     `calm`, a MediaQueryList, `matches` says whether the reader wants no motion. */
  constructor(length, moments, calm) {
    this.length = length;
    this.calm = calm;
    this.at = length; // all of it has happened, until it is played
    this.playing = false;
    this.speed = 1;
    this.seconds = clamp(4 + moments / 6, SHORTEST_PLAY, LONGEST_PLAY);
  }

  /* Nanoseconds of the recording in a second of the reader's. */
  get rate() {
    return (this.length / this.seconds) * this.speed;
  }

  /* How many times slower than what really happened a speed is. */
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

  /* Moves on to the time of a picture, in milliseconds of the reader's clock; pauses at the end.
     Returns whether it has moved. */
  advance(now) {
    const passed = this.before === undefined ? 0 : (now - this.before) / 1000;
    if (this.calm.matches && this.before !== undefined && passed < CALM_STEP) return false;
    this.before = now;
    this.go(this.at + Math.min(passed, LONGEST_STEP) * this.rate);
    if (this.at >= this.length) this.pause();
    return true;
  }

  /* How brightly something shines that happened at a time: 1 if just now, 0 if it is past. */
  glow(at) {
    if (!this.playing || this.calm.matches || at > this.at) return 0;
    return clamp(1 - (this.at - at) / (this.rate * GLOW), 0, 1);
  }
}
