/* Commands to the kernel: one at a time, each with a number, until the kernel answers that number. */

const PATIENCE = 5_000, LONG_PATIENCE = 60_000; // milliseconds until a silent kernel is reported
const QUEUE = 100; // keys pressed ahead of the kernel

export class Commands {
  /* `send` hands a command over; `onSilence` is called when an answer is overdue. */
  constructor(send, onSilence) {
    this.send = send;
    this.onSilence = onSilence;
    this.queue = [];
    this.awaited = undefined; // the number of the command that is not answered yet
    this.isSilent = false; // an answer is overdue
  }

  get isFree() {
    return this.awaited === undefined;
  }

  /* Calls `act` when the commands before it are answered; it may dispatch a command, or none. */
  enqueue(act) {
    if (this.queue.length < QUEUE) this.queue.push(act);
    if (this.isSilent) this.awaited = undefined; // the reader asks again
    this.next();
  }

  next() {
    while (this.isFree && this.queue.length) this.queue.shift()();
  }

  dispatch(what, more = {}) {
    this.isSilent = false;
    clearTimeout(this.alarm);
    this.awaited = crypto.getRandomValues(new Uint32Array(1))[0];
    this.alarm = setTimeout(() => this.reportSilence(), what === "explore" ? LONG_PATIENCE : PATIENCE);
    try {
      this.send({ do: what, number: this.awaited, ...more });
    } catch {
      this.reportSilence();
    }
  }

  /* Takes note of the answer to a number. Returns whether it is the one that was awaited. */
  answer(number) {
    if (number !== this.awaited) return false;
    this.awaited = undefined;
    this.isSilent = false;
    clearTimeout(this.alarm);
    return true;
  }

  /* The kernel is silent. It may answer yet, and then everything goes on. */
  reportSilence() {
    this.isSilent = true;
    this.onSilence();
  }

  close() {
    clearTimeout(this.alarm);
  }
}
