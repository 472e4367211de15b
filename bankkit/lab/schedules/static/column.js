/* One thread: what it is about to do, its buttons, its code. */

import { element, write } from "../../drawing/static/dom.js";
import { quietLines } from "./text.js";
import { threadColour } from "./thread_colour.js";
import { doesWords, STATES, wayWords } from "./words.js";

export class Column {
  constructor(stepper, name, number) {
    this.stepper = stepper;
    this.name = name;
    this.number = number;
    this.buttons = [];
    this.chosen = undefined; // the call whose code was asked for
    this.root = element("section", `bk-column ${threadColour(number)}`, stepper.board);
    this.root.setAttribute("aria-label", `Thread ${name}`);
    const head = element("div", "bk-name", this.root);
    element("span", "bk-key", head, { textContent: String(number + 1), ariaHidden: "true" });
    element("strong", "", head, { textContent: name });
    this.state = element("span", "bk-what", head);
    this.does = element("div", "bk-does", this.root);
    this.ways = element("div", "bk-ways", this.root);
    const where = element("div", "bk-where", this.root);
    this.calls = element("div", "bk-calls", where);
    this.place = element("small", "", where);
    this.code = element("div", "bk-code", this.root, { tabIndex: 0 });
    this.code.setAttribute("role", "region");
    this.code.setAttribute("aria-label", `Code of ${name}`);
    this.variables = element("div", "bk-variables", this.root);
  }

  show(thread) {
    const { sign, words } = STATES[thread.state];
    this.root.dataset.state = thread.state;
    write(this.state, `${sign} ${words}`);
    write(this.does, doesWords(thread));
    this.showWays(thread);
    const place = thread.calls.map((call) => `${call.file}:${call.line}`).join();
    if (place !== this.at) this.chosen = undefined;
    this.at = place;
    this.thread = thread;
    this.showCode();
  }

  showWays(thread) {
    const { moves } = thread;
    const ways = Math.max(moves.length, 1);
    while (this.buttons.length < ways) {
      const which = this.buttons.length;
      const key = which < 2 ? `${which ? "Shift+" : ""}${this.number + 1}` : "";
      const made = this.stepper.button(this.ways, "", key, () => {
        this.stepper.step(this.number, which);
      });
      this.buttons.push(made);
    }
    this.buttons.forEach((button, i) => {
      button.hidden = i >= ways;
      if (button.hidden) return;
      const { shown, spoken } = wayWords(thread, i);
      write(button.firstChild, shown);
      button.setAttribute("aria-disabled", String(!moves.length || Boolean(this.stepper.view.closed)));
      button.setAttribute("aria-label", spoken);
    });
  }

  showCode() {
    const { thread } = this;
    const index = this.chosen ?? thread.shown;
    const call = thread.calls[index];
    this.showCalls(index);
    this.variables.replaceChildren();
    this.code.classList.toggle("bk-over", !call);
    if (!call) {
      for (const line of this.code.children) this.mark(line, "");
      return;
    }
    const source = `${call.file}:${call.first}:${call.lines.length}`;
    if (source !== this.source) this.showSource(call);
    this.source = source;
    const lines = [...this.code.children];
    lines.forEach((line, i) => {
      this.mark(line, call.first + i === call.line ? STATES[thread.state].sign : "");
    });
    const here = lines[call.line - call.first];
    if (here) {
      const middle = here.offsetTop - (this.code.clientHeight - here.offsetHeight) / 2;
      this.code.scrollTop = Math.max(0, middle);
    }
    for (const [name, value] of call.variables) {
      const pair = element("span", "", this.variables);
      element("b", "", pair, { textContent: name });
      pair.append(` = ${value}`);
    }
  }

  mark(line, sign) {
    line.classList.toggle("bk-here", Boolean(sign));
    write(line.firstChild, sign);
    if (sign) line.setAttribute("aria-current", "step");
    else line.removeAttribute("aria-current");
  }

  showSource(call) {
    this.code.replaceChildren();
    const quiet = quietLines(call.lines);
    call.lines.forEach((text, i) => {
      const line = element("div", quiet[i] ? "bk-line bk-quiet" : "bk-line", this.code);
      element("span", "bk-mark", line);
      element("span", "bk-at", line, { textContent: String(call.first + i) });
      element("code", "", line, { textContent: text || " " });
    });
  }

  /* The calls from the outermost to the innermost; each shows its code. */
  showCalls(index) {
    const { calls } = this.thread;
    this.calls.replaceChildren();
    for (let i = calls.length - 1; i >= 0; i--) {
      const { function: name, file, line } = calls[i];
      const made = element("button", "", this.calls, {
        type: "button", textContent: name, title: `${file}:${line}`,
      });
      made.setAttribute("aria-pressed", String(i === index));
      made.addEventListener("click", () => {
        this.chosen = i;
        this.showCode();
        this.calls.children[(calls.length - 1 - i) * 2]?.focus();
      });
      if (i) element("span", "", this.calls, { textContent: "›", ariaHidden: "true" });
    }
    const call = calls[index];
    write(this.place, call ? `${call.file}:${call.line}` : "");
    this.calls.scrollLeft = this.calls.scrollWidth;
  }
}
