/* The command of each key: a method of the timeline, and its arguments. */

export const ZOOM = 1.6; // the factor of one step

const ANYWHERE = new Map([
  ["[", ["step", -1]],
  ["]", ["step", 1]],
  ["+", ["zoom", ZOOM]],
  ["=", ["zoom", ZOOM]], // the same key without Shift
  ["-", ["zoom", 1 / ZOOM]],
  ["0", ["showAll"]],
]);

/* These keys work only in the plot: elsewhere they press a button or move the slider. */
const IN_PLOT = new Map([
  [" ", ["toggle"]],
  ["ArrowLeft", ["pan", -0.1]],
  ["ArrowRight", ["pan", 0.1]],
  ["Home", ["jump", 0]],
  ["End", ["jump", Infinity]],
]);

/* The command of a pressed key; undefined if it has none. */
export function commandOf(event, isInPlot) {
  if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
  return ANYWHERE.get(event.key) ?? (isInPlot ? IN_PLOT.get(event.key) : undefined);
}
