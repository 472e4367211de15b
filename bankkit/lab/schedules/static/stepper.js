/* You are the scheduler: threads side by side, each with its code and a button for its next step.

   The threads run in the kernel (stepper.py). It sends one `view`, which is everything that is
   shown; from here go commands, one at a time, each answered by a view that has its number. The
   files beside this one are joined with it into the one module that a widget takes
   (es_modules.py). */

import { element, write } from "../../drawing/static/dom.js";
import { Column } from "./column.js";
import { Commands } from "./commands.js";
import { commandOf } from "./keyboard.js";
import { showSchedule } from "./schedule_table.js";
import { ShareBar } from "./share_bar.js";
import { showProse } from "./text.js";
import { cannotStep, keysHint, SILENT, spokenWords, status } from "./words.js";

const BEAT = 500; // milliseconds between the steps of a replay

export default {
  render({ model, el }) {
    const stepper = new Stepper(model, el);
    return () => stepper.close();
  },
};

/* A button that is disabled can still have the focus, so that nobody loses their place. */
function enable(button, can) {
  button.setAttribute("aria-disabled", String(!can));
}

class Stepper {
  constructor(model, parent) {
    this.model = model;
    this.columns = [];
    this.replaying = false;
    this.closing = new AbortController();
    this.commands = new Commands(
      (command) => {
        this.root.setAttribute("aria-busy", "true");
        model.send(command);
      },
      () => {
        this.stop();
        this.say(SILENT);
      },
    );
    this.build(parent);
    this.onView = () => this.show(model.get("view"));
    model.on("change:view", this.onView);
    this.show(model.get("view"));
  }

  close() {
    this.closing.abort();
    this.model.off("change:view", this.onView);
    this.commands.close();
    clearTimeout(this.beat);
    this.root.remove();
  }

  on(target, kind, act) {
    target.addEventListener(kind, act, { signal: this.closing.signal });
  }

  build(parent) {
    this.root = element("div", "bankkit-stepper", parent, { tabIndex: 0 });
    // Otherwise keys pressed here would be JupyterLab's commands.
    this.root.dataset.lmSuppressShortcuts = "true";
    this.root.setAttribute("role", "group");
    const head = element("div", "bk-head", this.root);
    element("span", "bk-badge", head, { textContent: "☰ You are the scheduler" });
    this.goal = element("strong", "bk-goal", head);
    this.story = element("p", "bk-story", this.root);
    this.status = element("p", "bk-status", this.root);
    this.watch = element("div", "bk-watch", this.root);
    this.board = element("div", "bk-board", this.root);
    const bar = element("div", "bk-bar", this.root);
    this.undo = this.button(bar, "↶ Undo", "U", () => this.send("undo"));
    this.reset = this.button(bar, "⟲ Reset", "R", () => this.send("reset"));
    this.explore = this.button(bar, "", "E", () => this.send("explore"));
    this.hint = element("span", "bk-hint", bar);
    this.steps = element("div", "bk-steps", this.root, { tabIndex: 0 });
    this.steps.setAttribute("role", "region");
    this.steps.setAttribute("aria-label", "The schedule so far");
    this.share = new ShareBar(this);
    this.said = element("div", "bk-said", this.root);
    this.said.setAttribute("role", "status");
    this.on(this.root, "keydown", (event) => this.onKey(event));
  }

  button(parent, text, key, act) {
    const made = element("button", "", parent, { type: "button" });
    element("span", "", made, { textContent: text });
    if (key) {
      element("kbd", "", made, { textContent: key });
      made.setAttribute("aria-keyshortcuts", key);
    }
    this.on(made, "click", () => made.getAttribute("aria-disabled") === "true" || act());
    return made;
  }

  /* -- Commands ------------------------------------------------------------------------------ */

  onKey(event) {
    const [command, ...values] = commandOf(event) ?? [];
    if (!command || (command === "press" && this[values[0]].hidden)) return;
    event.preventDefault();
    event.stopPropagation();
    this[command](...values);
  }

  /* Presses one of the buttons that have a key. */
  press(name) {
    this[name].click();
  }

  send(what, more) {
    if (what !== "next") this.stop();
    this.commands.enqueue(() => this.commands.dispatch(what, more));
  }

  /* A thread's next step; `which` of its ways to go on, counted from 0. */
  step(number, which) {
    this.stop();
    this.commands.enqueue(() => {
      const thread = this.view.threads[number];
      const move = thread?.moves[which];
      if (move) this.commands.dispatch("step", { thread: thread.name, option: move.option });
      else if (thread) this.say(cannotStep(thread.name, which));
    });
  }

  replay(text) {
    if (!text.trim()) return;
    this.send("replay", { text });
    this.replaying = true;
  }

  stop() {
    this.replaying = false;
    clearTimeout(this.beat);
    if (this.view) this.showButtons();
  }

  /* -- What is shown ------------------------------------------------------------------------- */

  show(view) {
    if (!view?.goal) return;
    this.view = view;
    if (this.commands.answer(view.answered)) this.root.removeAttribute("aria-busy");
    write(this.goal, view.goal);
    this.root.setAttribute("aria-label", `You are the scheduler. Goal: ${view.goal}`);
    showProse(this.story, view.story);
    const { words, kind } = status(view);
    this.say(words, kind);
    this.showWatch();
    this.showThreads();
    showSchedule(this.steps, view);
    this.share.show(view.share);
    if (this.replaying && this.commands.isFree) this.goOn();
    this.showButtons();
    this.tell(spokenWords(view, words));
    Object.assign(this.root.dataset, {
      steps: view.steps?.length ?? 0, verdict: view.verdict.kind, replaying: this.replaying,
      ready: this.commands.isFree,
    });
    this.commands.next();
  }

  goOn() {
    if (!this.view.ahead || this.view.message) this.replaying = false;
    else this.beat = setTimeout(() => this.send("next"), BEAT);
  }

  /* Says something in the one line that is always there, so that nothing moves under the mouse. */
  say(words, kind = "trouble") {
    this.status.className = `bk-status bk-${kind}`;
    write(this.status, words);
    this.tell(words);
  }

  tell(words) {
    write(this.said, words);
  }

  showWatch() {
    const { state = [], locks = [] } = this.view;
    this.watch.replaceChildren();
    const row = (items, name) => {
      if (!items.length) return;
      const list = element("div", `bk-facts ${name}`, this.watch);
      list.setAttribute("role", "list");
      for (const [what, words] of items) {
        const fact = element("div", "", list);
        fact.setAttribute("role", "listitem");
        element("span", "bk-about", fact, { textContent: what });
        const isIdle = ["free", "nobody waits"].includes(words);
        element(isIdle ? "span" : "b", "", fact, { textContent: words });
      }
    };
    row(state, "bk-state");
    row(locks, "bk-locks");
  }

  showButtons() {
    const { view } = this;
    enable(this.undo, view.steps?.length && !view.closed);
    enable(this.reset, !view.closed);
    enable(this.explore, !view.closed && !view.busy);
    this.explore.hidden = !view.isProof;
    write(this.explore.firstChild, `⚙ Run every schedule (${view.bound})`);
    this.share.showReplaying(this.replaying);
    write(this.hint, keysHint(view.threads ?? []));
  }

  showThreads() {
    const threads = this.view.threads ?? [];
    const isSame = threads.length === this.columns.length
      && threads.every((thread, i) => this.columns[i].name === thread.name);
    if (!isSame) {
      this.board.replaceChildren();
      this.columns = threads.map((thread, i) => new Column(this, thread.name, i));
    }
    threads.forEach((thread, i) => this.columns[i].show(thread));
    const lost = document.activeElement;
    if (this.root.contains(lost) && lost.hidden) this.root.focus({ preventScroll: true });
  }
}
