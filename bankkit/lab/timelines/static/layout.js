/* The vertical layout in pixels: the lanes above, the balance below them, the time axis at the
   bottom. */

import { clamp } from "./numbers.js";
import { shortened } from "./words.js";

const BALANCE = 118, GAP = 12; // pixels
export const AXIS = 30; // pixels
// The height of each kind of bar, as a share of a row: it tells the kinds apart without colours.
const HEIGHTS = [0.34, 0.46, 0.74, 0.74, 0.74];
const SERVER_HEIGHTS = { up: 0.18, paused: 0.46 };
const FLAT = 20, ROOMY = 30; // least pixels of a row with room for one line of words, and for two

export class Layout {
  constructor(scene) {
    this.scene = scene;
    this.row = clamp(460 / scene.height, 13, 52); // the height of a row
    this.lanesHeight = Math.round(scene.height * this.row);
    this.base = this.lanesHeight + GAP + BALANCE; // the height at which the time axis begins
    this.height = this.base + AXIS;
    this.range = [0, 0]; // the lowest and the highest balance in view, in cents
  }

  get hasRoomForWords() {
    return this.row >= FLAT;
  }

  middle(row) {
    return (row + 0.5) * this.row;
  }

  rowAt(y) {
    return Math.floor(y / this.row);
  }

  barHeight(kind) {
    return Math.max(HEIGHTS[kind] * this.row, 3);
  }

  /* Half the height of a bar: the distance from its middle at which an arrow may begin or end. */
  reach(kind) {
    return (HEIGHTS[kind] / 2) * this.row;
  }

  serverRow(server) {
    return this.scene.tops[this.scene.clients.length] + server;
  }

  serverHeight(kind) {
    return SERVER_HEIGHTS[kind] * this.row;
  }

  /* The height of an amount on the axis of the balance. */
  money(cents) {
    const [low, high] = this.range;
    const share = high === low ? 0.5 : (cents - low) / (high - low);
    return this.base - 8 - share * (BALANCE - 20);
  }

  /* The labels left of the lanes: a name, and below a client's name its server, if all its calls
     went to one server and there is room. */
  labels() {
    const { clients, servers, servedBy } = this.scene;
    return [...clients, ...servers].map((name, lane) => {
      const [server, other] = servedBy[lane] ?? [];
      const isTold = server && !other && this.row >= ROOMY;
      return { name: shortened(name), place: isTold ? `at ${shortened(server)}` : "" };
    });
  }
}

/* The width of the column of labels, given the width of the widest label. */
export function labelColumn(widest, width) {
  return Math.ceil(clamp(widest + 12, 64, width * 0.25));
}

export const heightOfSign = (kind) => HEIGHTS[kind] * 22; // in the legend
