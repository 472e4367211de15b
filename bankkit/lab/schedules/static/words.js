/* What the stepper says of threads and steps. */

export const STATES = {
  ready: { sign: "▶", words: "can go on" },
  waiting: { sign: "❚❚", words: "waits" },
  blocked: { sign: "❚❚", words: "waits" },
  stuck: { sign: "∞", words: "waits forever" },
  ended: { sign: "✓", words: "has ended" },
  failed: { sign: "✗", words: "has failed" },
  left: { sign: "□", words: "was stopped here" },
};
const DOES = {
  ready: ({ does }) => `about to ${does}`,
  left: ({ does }) => `was about to ${does}`,
  failed: ({ does }) => does,
  ended: () => "nothing more to do",
};
const VERDICTS = { reached: "✓", broken: "✗", ended: "○" };

export const SILENT =
  "The kernel does not answer. It is busy, or it has stopped. Run this cell again.";

export const doesWords = (thread) => DOES[thread.state]?.(thread) ?? thread.waits;

/* The line above the threads, and what kind of news it is. */
export function status({ closed, message, busy, verdict }) {
  if (closed || message) return { words: closed || message, kind: "trouble" };
  if (busy) return { words: busy, kind: "open" };
  if (verdict.text) {
    return { words: `${VERDICTS[verdict.kind]} ${verdict.text}`, kind: verdict.kind };
  }
  return { words: "Which thread makes the next step?", kind: "open" };
}

/* The button of one of a thread's ways to go on: what it shows, and what a screen reader says. */
export function wayWords({ name, state, moves }, which) {
  const ways = Math.max(moves.length, 1);
  const isPlain = ways === 1 && (state !== "waiting" || !moves.length);
  const does = moves[which]?.does;
  return {
    shown: isPlain ? "Step" : does,
    spoken: `${isPlain ? "Step " : ""}${name}: ${does ?? "cannot go on"}`,
  };
}

export const cannotStep = (name, which) =>
  `${name} ${which ? "has no other option" : "cannot go on"} now.`;

export function caption(steps, preemptions) {
  if (!steps) return "Your schedule: no steps yet";
  return `Your schedule: ${counted(steps, "step")}, ${counted(preemptions, "preemption")} ⇄`;
}

const counted = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;

export function keysHint(threads) {
  const keys = threads.map((_, i) => i + 1).join(" or ");
  return `Click into this box to use the keyboard: press ${keys} to step a thread.`;
}

/* What a screen reader says: what has just happened, and how everything stands after it. */
export function spokenWords({ steps = [], state = [], threads = [] }, statusLine) {
  const told = [statusLine];
  const last = steps.at(-1);
  if (last) told.push(`Step ${steps.length}, ${last.thread}: ${last.does}.`);
  for (const [what, words] of state) told.push(`${what}: ${words}.`);
  for (const { name, state: its, does, waits } of threads) {
    if (its === "ready") told.push(`${name} is about to ${does}.`);
    else told.push(`${name} ${waits || STATES[its].words}.`);
  }
  return told.join(" ");
}
