/* The arguments of the drawing functions, made from a stored scene (scenes/*.json). */

import { readFileSync } from "node:fs";

import { Layout } from "../../../bankkit/lab/timelines/static/layout.js";
import { Playback } from "../../../bankkit/lab/timelines/static/playback.js";
import { TimeScale } from "../../../bankkit/lab/timelines/static/scale.js";
import { Scene } from "../../../bankkit/lab/timelines/static/scene.js";

export const MS = 1_000_000; // nanoseconds

/* `paused`: a server sleeps until its lease has expired, then overwrites another server's write.
   `killed`: a server dies with the lock, and another server waits until the lease expires. */
export function rawScene(name) {
  return JSON.parse(readFileSync(new URL(`../scenes/${name}.json`, import.meta.url), "utf8"));
}

export const scene = (name) => new Scene(rawScene(name));

export const CALM = { matches: true }, LIVELY = { matches: false };

/* A canvas of 812 pixels: 100 for the names, 700 for the view, 12 for the margin. */
export function viewOf(made, at = made.length) {
  const scale = new TimeScale(made.length);
  Object.assign(scale, { left: 100, width: 812 });
  const layout = new Layout(made);
  layout.range = made.range(0, made.length);
  const playback = new Playback(made.length, made.momentAt.length, LIVELY);
  playback.go(at);
  return { scene: made, scale, layout, playback, theme: theme(made) };
}

function theme({ colours }) {
  return {
    colours,
    ink: "ink",
    paper: "paper",
    stripes: "stripes",
    wake: "wake",
    font: (size) => `${size}px test`,
    looks: () => [["hatch"], ["reading"], ["writing"], ["writing", "crosses"], ["dots"]],
  };
}
