/* You are the scheduler: threads side by side, each with its code and a button for its next step.

   All that runs, runs in the kernel (stepper.py). It sends one `view`, the whole of what is to be
   shown; from here go commands, one at a time, each answered by a view that names it. */

const PATIENCE = 5_000, LONG_PATIENCE = 60_000; // milliseconds until a silent kernel is reported
const BEAT = 500; // milliseconds between the steps of a replay
const QUEUE = 100; // keys pressed ahead of the kernel

const STATES = {
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
const COLOURS = 4; // of threads, in stepper.css

export default {
  render({ model, el }) {
    const stepper = new Stepper(model, el);
    return () => stepper.close();
  },
};

function element(kind, name, parent, properties = {}) {
  const made = document.createElement(kind);
  made.className = name;
  Object.assign(made, properties);
  parent.append(made);
  return made;
}

function write(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

/* Plain text, in which `backticks` mark code. */
function prose(node, text) {
  node.replaceChildren();
  text.split("`").forEach((part, i) => {
    if (i % 2) element("code", "", node, { textContent: part });
    else node.append(part);
  });
}

class Stepper {
  constructor(model, parent) {
    this.model = model;
    this.columns = [];
    this.queue = [];
    this.awaited = undefined; // the number of the command that is not answered yet
    this.silent = false; // for longer than anybody's patience
    this.replaying = false;
    this.share = undefined;
    this.closing = new AbortController();
    this.build(parent);
    this.onView = () => this.show(model.get("view"));
    model.on("change:view", this.onView);
    this.show(model.get("view"));
  }

  close() {
    this.closing.abort();
    this.model.off("change:view", this.onView);
    clearTimeout(this.silence);
    clearTimeout(this.beat);
    this.root.remove();
  }

  on(target, kind, act) {
    target.addEventListener(kind, act, { signal: this.closing.signal });
  }

  build(parent) {
    this.root = element("div", "bankkit-stepper", parent, { tabIndex: 0 });
    // Else keys pressed here would be JupyterLab's commands.
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
    this.buildShare();
    this.said = element("div", "bk-said", this.root);
    this.said.setAttribute("role", "status");
    this.on(this.root, "keydown", (event) => this.onKey(event));
  }

  buildShare() {
    const share = element("div", "bk-bar bk-share", this.root);
    const label = element("label", "bk-field", share, { textContent: "Schedule as text " });
    this.field = element("input", "", label, { type: "text", spellcheck: false });
    this.field.autocomplete = "off";
    this.on(this.field, "keydown", (event) => {
      event.stopPropagation(); // letters are letters here
      if (event.key === "Enter") this.replay(this.field.value);
    });
    this.play = this.button(share, "▷ Replay", "", () => {
      if (this.replaying) this.stop();
      else this.replay(this.field.value);
    });
    this.button(share, "Copy", "", () => this.copy());
    const save = this.button(share, "Save", "", () => this.save());
    save.title = "Save it as a file; lab.Schedule.from_json reads it, too";
    const file = element("input", "", share, { type: "file", accept: ".json,.txt", hidden: true });
    this.on(file, "change", async () => {
      if (file.files.length) this.replay(await file.files[0].text());
      file.value = "";
    });
    this.button(share, "Open", "", () => file.click()).title = "Open a saved file";
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

  send(what, more = {}) {
    if (what !== "next") this.stop();
    this.enqueue(() => this.dispatch(what, more));
  }

  enqueue(act) {
    if (this.queue.length < QUEUE) this.queue.push(act);
    if (this.silent) this.awaited = undefined;
    this.next();
  }

  next() {
    while (this.awaited === undefined && this.queue.length) this.queue.shift()();
  }

  dispatch(what, more) {
    this.silent = false;
    clearTimeout(this.silence);
    this.awaited = crypto.getRandomValues(new Uint32Array(1))[0];
    this.root.setAttribute("aria-busy", "true");
    const limit = what === "explore" ? LONG_PATIENCE : PATIENCE;
    this.silence = setTimeout(() => this.isSilent(), limit);
    try {
      this.model.send({ do: what, number: this.awaited, ...more });
    } catch (error) {
      this.isSilent();
    }
  }

  /* It may answer yet, and then all goes on; the next click asks again. */
  isSilent() {
    this.silent = true;
    this.stop();
    this.say("The kernel does not answer. It is busy, or it has stopped. Run this cell again.");
  }

  /* The thread's next step; `which` of its ways, counted from 0. */
  step(number, which) {
    this.stop();
    this.enqueue(() => {
      const thread = this.view.threads[number];
      const move = thread?.moves[which];
      if (move) this.dispatch("step", { thread: thread.name, option: move.option });
      else if (thread) this.say(`${thread.name} ${which ? "has no other option" : "cannot go on"} now.`);
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

  async copy() {
    this.field.select();
    try {
      await navigator.clipboard.writeText(this.field.value);
      this.tell("Copied.");
    } catch {
      this.tell("Press Ctrl+C to copy.");
    }
  }

  save() {
    const address = URL.createObjectURL(new Blob([this.view.json], { type: "application/json" }));
    const link = element("a", "", this.root, { href: address, download: `${this.view.name}.json` });
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
    this.tell(`Saved as ${this.view.name}.json.`);
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
    if (digit) this.step(Number(digit[1]) - 1, event.shiftKey ? 1 : 0);
    else if (event.key === "u" || event.key === "U" || event.key === "Backspace") this.undo.click();
    else if (event.key === "r" || event.key === "R") this.reset.click();
    else if ((event.key === "e" || event.key === "E") && !this.explore.hidden) this.explore.click();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /* -- What is shown ------------------------------------------------------------------------- */

  show(view) {
    if (!view?.goal) return;
    this.view = view;
    if (view.answered === this.awaited) {
      this.awaited = undefined;
      this.silent = false;
      clearTimeout(this.silence);
      this.root.removeAttribute("aria-busy");
    }
    write(this.goal, view.goal);
    this.root.setAttribute("aria-label", `You are the scheduler. Goal: ${view.goal}`);
    prose(this.story, view.story);
    this.showStatus();
    this.showWatch();
    this.showThreads();
    this.showSteps();
    if (view.share !== this.share) this.field.value = this.share = view.share ?? "";
    if (this.replaying && this.awaited === undefined) this.goOn();
    this.showButtons();
    this.speak();
    Object.assign(this.root.dataset, {
      steps: view.steps?.length ?? 0, verdict: view.verdict.kind, replaying: this.replaying,
      ready: this.awaited === undefined,
    });
    this.next();
  }

  goOn() {
    if (!this.view.ahead || this.view.message) this.replaying = false;
    else this.beat = setTimeout(() => this.send("next"), BEAT);
  }

  /* One line that is always there, so that nothing moves under the mouse. */
  showStatus() {
    const { closed, message, busy, verdict } = this.view;
    if (closed || message) this.say(closed || message);
    else if (busy) this.say(busy, "open");
    else if (verdict.text) this.say(`${VERDICTS[verdict.kind]} ${verdict.text}`, verdict.kind);
    else this.say("Which thread makes the next step?", "open");
  }

  say(words, kind = "trouble") {
    this.status.className = `bk-status bk-${kind}`;
    write(this.status, words);
    this.tell(words);
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
    const nothing = !view.steps?.length;
    const enable = (button, can) => button.setAttribute("aria-disabled", String(!can));
    enable(this.undo, !nothing && !view.closed);
    enable(this.reset, !view.closed);
    enable(this.explore, !view.closed && !view.busy);
    this.explore.hidden = !view.isProof;
    write(this.explore.firstChild, `⚙ Run every schedule (${view.bound})`);
    write(this.play.firstChild, this.replaying ? "❚❚ Stop" : "▷ Replay");
    const keys = (view.threads ?? []).map((_, i) => i + 1).join(" or ");
    write(this.hint, `Click into this box to use the keyboard: press ${keys} to step a thread.`);
  }

  showThreads() {
    const threads = this.view.threads ?? [];
    const same = threads.length === this.columns.length
      && threads.every((thread, i) => this.columns[i].name === thread.name);
    if (!same) {
      this.board.replaceChildren();
      this.columns = threads.map((thread, i) => new Column(this, thread.name, i));
    }
    threads.forEach((thread, i) => this.columns[i].show(thread));
    const lost = document.activeElement;
    if (this.root.contains(lost) && lost.hidden) this.root.focus({ preventScroll: true });
  }

  showSteps() {
    const { steps = [], threads = [], preemptions = 0 } = this.view;
    const names = threads.map((thread) => thread.name);
    this.steps.replaceChildren();
    const table = element("table", "", this.steps);
    const count = steps.length === 1 ? "1 step" : `${steps.length} steps`;
    const turns = preemptions === 1 ? "1 preemption ⇄" : `${preemptions} preemptions ⇄`;
    element("caption", "", table, {
      textContent: steps.length ? `Your schedule: ${count}, ${turns}` : "Your schedule: no steps yet",
    });
    const stuck = threads.filter((thread) => thread.state === "stuck");
    if (!steps.length && !stuck.length) return;
    const top = element("tr", "", element("thead", "", table));
    element("th", "", top, { scope: "col", textContent: "#" });
    names.forEach((name, i) => {
      element("th", `bk-thread-${i % COLOURS}`, top, { scope: "col", textContent: name });
    });
    const body = element("tbody", "", table);
    const row = (mark, name, words, at, title = "") => {
      const line = element("tr", "", body);
      element("td", "bk-number", line, { textContent: mark, title });
      names.forEach((each, i) => {
        const cell = element("td", each === name ? `bk-did bk-thread-${i % COLOURS}` : "", line);
        if (each !== name) return;
        cell.append(words);
        if (at) element("small", "", cell, { textContent: ` ${at}` });
      });
    };
    const why = "A preemption: it took the turn from a thread that could have continued.";
    steps.forEach(({ thread, does, at, preempts }, i) => {
      row(preempts ? `⇄ ${i + 1}` : `${i + 1}`, thread, does, at, preempts ? why : "");
    });
    for (const thread of stuck) row("∞", thread.name, thread.waits, "");
    this.steps.scrollTop = this.steps.scrollHeight;
  }

  /* For who cannot see it: what has just happened, and what that has changed. */
  speak() {
    const { view } = this;
    const last = view.steps?.at(-1);
    const told = [];
    if (last) told.push(`Step ${view.steps.length}, ${last.thread}: ${last.does}.`);
    for (const [what, words] of view.state ?? []) told.push(`${what}: ${words}.`);
    for (const { name, state, does, waits } of view.threads ?? []) {
      if (state === "ready") told.push(`${name} is about to ${does}.`);
      else told.push(`${name} ${waits || STATES[state].words}.`);
    }
    this.tell([this.status.textContent, ...told].join(" "));
  }

  tell(words) {
    write(this.said, words);
  }
}

/* One thread: what it is about to do, its buttons, its code. */
class Column {
  constructor(stepper, name, number) {
    this.stepper = stepper;
    this.name = name;
    this.number = number;
    this.buttons = [];
    this.chosen = undefined; // the call whose code was asked for
    this.root = element("section", `bk-column bk-thread-${number % COLOURS}`, stepper.board);
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
    write(this.does, DOES[thread.state]?.(thread) ?? thread.waits);
    this.showWays(thread);
    const place = thread.calls.map((call) => `${call.file}:${call.line}`).join();
    if (place !== this.at) this.chosen = undefined;
    this.at = place;
    this.thread = thread;
    this.showCode();
  }

  showWays({ moves, state }) {
    const ways = moves.length ? moves : [{ does: "" }];
    while (this.buttons.length < ways.length) {
      const which = this.buttons.length;
      const key = which < 2 ? `${which ? "Shift+" : ""}${this.number + 1}` : "";
      const made = this.stepper.button(this.ways, "", key, () => {
        this.stepper.step(this.number, which);
      });
      this.buttons.push(made);
    }
    this.buttons.forEach((button, i) => {
      button.hidden = i >= ways.length;
      if (button.hidden) return;
      const plain = ways.length === 1 && (state !== "waiting" || !moves.length);
      write(button.firstChild, plain ? "Step" : ways[i].does);
      button.setAttribute("aria-disabled", String(!moves.length || Boolean(this.stepper.view.closed)));
      const act = moves.length ? ways[i].does : "cannot go on";
      button.setAttribute("aria-label", `${plain ? "Step " : ""}${this.name}: ${act}`);
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
    let inDocstring = false;
    call.lines.forEach((text, i) => {
      const quotes = text.split('"""').length - 1;
      const quiet = inDocstring || text.trim().startsWith("#") || text.trim().startsWith('"""');
      if (quotes === 1) inDocstring = !inDocstring;
      const line = element("div", quiet ? "bk-line bk-quiet" : "bk-line", this.code);
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
