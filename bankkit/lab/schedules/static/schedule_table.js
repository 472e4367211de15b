/* The schedule so far: a row for each step, a column for each thread. */

import { element } from "../../drawing/static/dom.js";
import { threadColour } from "./thread_colour.js";
import { caption } from "./words.js";

const PREEMPTS = "A preemption: it took the turn from a thread that could have continued.";
const DECIDES = "The order of the steps with ◆ decides, as the line above says.";

/* The rows of the table; at its end are the threads that wait and that nobody will wake. */
export function scheduleRows(steps, threads) {
  const rows = steps.map(({ thread, does, at, preempts, decides }, i) => ({
    mark: [decides && "◆", preempts && "⇄", i + 1].filter(Boolean).join(" "), thread, does, at,
    title: [decides && DECIDES, preempts && PREEMPTS].filter(Boolean).join(" "),
  }));
  for (const { name, state, waits } of threads) {
    if (state === "stuck") rows.push({ mark: "∞", thread: name, does: waits, at: "", title: "" });
  }
  return rows;
}

export function showSchedule(parent, { steps = [], threads = [], preemptions = 0 }) {
  parent.replaceChildren();
  const table = element("table", "", parent);
  element("caption", "", table, { textContent: caption(steps.length, preemptions) });
  const rows = scheduleRows(steps, threads);
  if (!rows.length) return;
  const top = element("tr", "", element("thead", "", table));
  element("th", "", top, { scope: "col", textContent: "#" });
  threads.forEach(({ name }, i) => {
    element("th", threadColour(i), top, { scope: "col", textContent: name });
  });
  const body = element("tbody", "", table);
  for (const { mark, thread, does, at, title } of rows) {
    const line = element("tr", "", body);
    element("td", "bk-number", line, { textContent: mark, title });
    threads.forEach(({ name }, i) => {
      const isIts = name === thread;
      const cell = element("td", isIts ? `bk-did ${threadColour(i)}` : "", line);
      if (!isIts) return;
      cell.append(does);
      if (at) element("small", "", cell, { textContent: ` ${at}` });
    });
  }
  parent.scrollTop = parent.scrollHeight;
}
