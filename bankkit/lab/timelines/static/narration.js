/* The words for what is drawn: for the tooltip, and for readers who cannot see it. */

import { after } from "./numbers.js";
import { KINDS, WAITING } from "./scene.js";
import { clientOf, dollars, duration, listed, lossWords } from "./words.js";

const MAX_TOLD = 4; // events of one moment that are told one by one
const LIVES = { up: "runs", paused: "is paused", down: "is gone" };

export function momentWords(scene, moment) {
  const { isCommit, cents } = scene.moments;
  return `${isCommit[moment] ? "wrote" : "read"} ${dollars(cents[moment])}`;
}

export function barWords(scene, bar) {
  const { bars, calls, methods } = scene;
  const long = duration(scene.end[bar] - scene.start[bar]);
  const where = bars.server[bar] ? ` at ${bars.server[bar]}` : "";
  const lines = [`${clientOf(calls[bars.call[bar]])}: ${methods[bars.method[bar]]}${where}`];
  if (scene.kind[bar] === WAITING) {
    lines.push(`waits ${long} for the lock, to ${bars.mode[bar]}`);
    const holders = [...new Set(bars.heldBy[bar].map((call) => clientOf(calls[call])))];
    if (holders.length) lines.push(`held by ${listed(holders)}`);
    if (bars.wokenBy[bar] >= 0) lines.push(`let in by ${clientOf(calls[bars.wokenBy[bar]])}`);
    return lines.join("\n");
  }
  lines.push(`${KINDS[scene.kind[bar]]} for ${long}`);
  const said = scene.during(bar).map((moment) => momentWords(scene, moment));
  if (said.length) lines.push(said.join(", "));
  const row = scene.row[bar];
  for (const loss of scene.losses) {
    if (loss.lostRow === row && scene.holds(bar, loss.lostAt)) lines.push("✗ this was lost");
    if (loss.byRow === row && scene.holds(bar, loss.wroteAt)) lines.push(`✗ ${loss.words}`);
  }
  return lines.join("\n");
}

export function serverWords(scene, { server, kind, start, end }) {
  return `${scene.servers[server]} ${LIVES[kind]}\n${duration(end - start)}`;
}

/* The balance at a time; empty if it is unknown. */
export function balanceWords(scene, at) {
  const balance = scene.balance(at);
  if (!balance || at > scene.length) return "";
  const gone = balance.expected - balance.actual;
  const words = `${duration(at)}\nbalance ${dollars(balance.actual)}`;
  return gone ? `${words}\nexpected ${dollars(balance.expected)}\n${lossWords(gone)}` : words;
}

/* The events at exactly this time; empty if there are none. */
export function eventWords(scene, at) {
  const told = [];
  const [first, last] = scene.between(at, at);
  for (let i = first; i < last; i++) {
    const who = clientOf(scene.calls[scene.bars.call[i]]);
    if (scene.start[i] === at) told.push(`${who} ${KINDS[scene.kind[i]]}`);
    else if (scene.end[i] === at && scene.kind[i] !== WAITING) told.push(`${who} is done`);
  }
  for (let i = after(scene.momentAt, at - 1); scene.momentAt[i] <= at; i++) {
    told.push(`${scene.clients[scene.moments.lane[i]]} ${momentWords(scene, i)}`);
  }
  for (const mark of scene.marks) if (mark.at === at) told.push(mark.told);
  for (const loss of scene.losses) if (loss.wroteAt === at) told.push(`lost: ${loss.words}`);
  return told.length > MAX_TOLD ? `${told.length} things happen` : told.join("; ");
}

/* The current time, its events and the balance, for a screen reader. */
export function spokenWords(scene, at) {
  const parts = [`${duration(at)}.`];
  const happens = eventWords(scene, at);
  if (happens) parts.push(`${happens}.`);
  const balance = scene.balance(at);
  if (balance) {
    parts.push(`Balance ${dollars(balance.actual)}, expected ${dollars(balance.expected)}.`);
  }
  return parts.join(" ");
}

/* The label of the plot: its content and its keys. */
export function plotLabel(scene) {
  return (
    `${scene.line} Space plays, the arrows pan, plus and minus zoom, 0 shows all, ` +
    "brackets go from event to event, Home and End go to the start and the end."
  );
}

/* The line below the plot: how much is not shown, and how to use the timeline. */
export function hintWords({ leftOut }, hidden, unseen) {
  const more = [];
  if (hidden) more.push(`${hidden} arrows`);
  if (unseen) more.push(`${unseen} reads or commits`);
  const hints = [
    leftOut ? `${leftOut} more clients are not shown.` : "",
    more.length ? `Zoom in to see ${more.join(" and ")}.` : "",
    "Click the timeline, then: space plays, wheel or + − zoom, drag or ← → pan, [ ] step.",
  ];
  return hints.filter(Boolean).join(" ");
}
