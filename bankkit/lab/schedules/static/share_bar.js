/* The schedule as a text: to copy, to save as a file, and to replay one that somebody sent. */

import { element, write } from "../../drawing/static/dom.js";

export class ShareBar {
  constructor(stepper) {
    this.stepper = stepper;
    this.shared = undefined; // the text of the schedule that is shown
    const bar = element("div", "bk-bar bk-share", stepper.root);
    const label = element("label", "bk-field", bar, { textContent: "Schedule as text " });
    this.field = element("input", "", label, { type: "text", spellcheck: false });
    this.field.autocomplete = "off";
    stepper.on(this.field, "keydown", (event) => {
      event.stopPropagation(); // letters are letters here
      if (event.key === "Enter") stepper.replay(this.field.value);
    });
    this.play = stepper.button(bar, "▷ Replay", "", () => {
      if (stepper.replaying) stepper.stop();
      else stepper.replay(this.field.value);
    });
    stepper.button(bar, "Copy", "", () => this.copy());
    stepper.button(bar, "Save", "", () => this.save()).title = "Save it as a file; lab.Schedule.from_json reads it, too";
    const file = element("input", "", bar, { type: "file", accept: ".json,.txt", hidden: true });
    stepper.on(file, "change", async () => {
      if (file.files.length) stepper.replay(await file.files[0].text());
      file.value = "";
    });
    stepper.button(bar, "Open", "", () => file.click()).title = "Open a saved file";
  }

  /* Shows another schedule; what the reader types stays as long as the schedule does. */
  show(text) {
    if (text !== this.shared) this.field.value = this.shared = text ?? "";
  }

  showReplaying(replaying) {
    write(this.play.firstChild, replaying ? "❚❚ Stop" : "▷ Replay");
  }

  async copy() {
    this.field.select();
    try {
      await navigator.clipboard.writeText(this.field.value);
      this.stepper.tell("Copied.");
    } catch {
      this.stepper.tell("Press Ctrl+C to copy.");
    }
  }

  save() {
    const { root, view } = this.stepper;
    const address = URL.createObjectURL(new Blob([view.json], { type: "application/json" }));
    const link = element("a", "", root, { href: address, download: `${view.name}.json` });
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
    this.stepper.tell(`Saved as ${view.name}.json.`);
  }
}
