/**
 * Follows one Stagecast job over Server-Sent Events: resumes, drops doubles, and proves that nothing is missing.
 *
 * No DOM in here and no imports, so that this file alone can be copied into another page.
 *
 *   const stream = new JobStream({ eventsUrl, statusUrl, logUrl, token }, { event, snapshot, frame, change, notice });
 *   stream.open();  stream.drop();  stream.resume();  stream.close();
 *
 * The head proves that nothing is missing at the end. Inside, a job's ids may skip, because other jobs of the session
 * have ids too: every skip is looked up in the session's log (`logUrl`, /v1/sessions/{id}/events.json) before this
 * object says that it is complete. Without a logUrl, skips are taken for other jobs' events.
 *
 * Handlers, all optional:
 *   event({id, type, data})          a durable event, in order, once
 *   snapshot(snapshot)               replaces everything known before
 *   frame({id, type, data, doubled}) whatever came over the wire, for a log
 *   change(stream)                   state, ids or counters are different now
 *   notice(text)                     something that a person may want to know; null when it is over
 */

export const TERMINAL_EVENTS = new Set(["job.completed", "job.completed_partial", "job.failed", "job.cancelled"]);
export const TERMINAL_STATUSES = new Set(["completed", "completed_partial", "failed", "cancelled"]);
const DURABLE_EVENTS = [
  "job.accepted", "job.started", "stage.started", "item.updated", "stage.retrying", "stage.recovering",
  "stage.completed", "stage.failed", "stage.cancelled", ...TERMINAL_EVENTS,
];
const CONTROL_FRAMES = [
  "stream.open", "stream.head", "stream.snapshot", "stream.reset", "stream.end", "stream.drain", "stream.busy",
];

/** Three heartbeats of 15 s: a half-open connection never tells the browser that it is dead. */
const SILENCE_MS = 45_000;
/** Waits between attempts that the browser would not make by itself; the last one repeats. */
const REOPEN_MS = [500, 1000, 2000, 4000, 8000, 15_000];
/** How often a stream that ends before its own head is asked for the rest. */
const MAX_REPAIRS = 3;

/** `<epoch>.<seq>` as {id, epoch, seq}, or null when it is not an id. */
export function parseId(id) {
  const parts = /^([a-z0-9]{8})\.(\d{1,15})$/.exec(id ?? "");
  return parts && { id, epoch: parts[1], seq: Number(parts[2]) };
}

export class JobStream {
  /** connecting, live, reconnecting, dropped, complete (proven), ended (for good, not proven) or idle. */
  state = "idle";
  /** Why it is in that state, for a person; for complete, the job's status. */
  detail = "";
  /** The last id received, as {id, epoch, seq}. */
  last = null;
  /** The job's last id as the server said it, and the frame that said it. */
  head = null;
  headSource = "";
  counters = { received: 0, doubled: 0, gaps: 0, connections: 0 };
  /** What came after the cursor of the newest resumed connection: {after, received, doubled, skipped, head, whole}. */
  resumption = null;

  #address;
  #handlers;
  #options;
  #source = null;
  #watchdog = 0;
  #timer = 0;
  /** Raised whenever the caller or a reconnect makes what is under way obsolete. */
  #generation = 0;
  #fromSnapshot = false;
  #stalledAt = null;
  #repairs = 0;
  #reopens = 0;
  /** The server has said why it closes: no need to guess. */
  #waitAnnounced = false;
  #jobId = null;
  /** Skips in the ids that were not looked up yet, as [seq before, seq after]. */
  #skips = [];

  constructor({ eventsUrl, statusUrl, logUrl = null, token, lastEventId = null }, handlers = {}, options = {}) {
    this.#address = { eventsUrl, statusUrl, logUrl, token };
    this.#handlers = handlers;
    this.#options = { silenceMs: SILENCE_MS, EventSource: globalThis.EventSource, ...options };
    this.last = parseId(lastEventId);
  }

  /** True when the last id received is the head that the server named, in the same epoch, and no skip is unexplained. */
  get proven() {
    return this.last !== null && this.last.id === this.head && this.#skips.length === 0;
  }

  /** Connects; after everything that this object has already received. */
  open() {
    this.#repairs = 0;
    this.#reopens = 0;
    this.#connect(this.counters.connections ? "reconnecting" : "connecting");
  }

  resume() {
    this.open();
  }

  /** Cuts the connection as a lost network would; `resume` goes on after the last id. */
  drop() {
    this.#stop();
    this.#enter("dropped", "");
  }

  /** Ends for a reason that the caller found. */
  giveUp(reason) {
    this.#stop();
    this.#enter("ended", reason);
  }

  /** Stops for good, without a word to the handlers. */
  close() {
    this.#stop();
    this.#handlers = {};
  }

  #connect(state, detail = "") {
    this.#stop();
    const url = new URL(this.#address.eventsUrl, globalThis.location?.href);
    // EventSource has no way to set Last-Event-ID on its first request.
    if (this.last) url.searchParams.set("last_event_id", this.last.id);
    else if (this.#fromSnapshot) url.searchParams.set("from", "snapshot");
    const source = new this.#options.EventSource(url.href);
    this.#source = source;
    for (const type of DURABLE_EVENTS) {
      source.addEventListener(type, (message) => this.#receive(source, type, message, this.#durable));
    }
    for (const type of CONTROL_FRAMES) {
      source.addEventListener(type, (message) => this.#receive(source, type, message, this.#control));
    }
    source.onerror = () => source === this.#source && this.#lose(source);
    this.#watch();
    this.#enter(state, detail);
  }

  #stop() {
    this.#generation += 1;
    clearTimeout(this.#timer);
    clearTimeout(this.#watchdog);
    this.#timer = 0;
    this.#source?.close();
    this.#source = null;
  }

  #enter(state, detail) {
    this.state = state;
    this.detail = detail;
    this.#handlers.change?.(this);
  }

  #watch() {
    clearTimeout(this.#watchdog);
    if (!this.#options.silenceMs) return;
    this.#watchdog = setTimeout(
      () => this.#connect("reconnecting", "Nothing was heard for too long."),
      this.#options.silenceMs,
    );
  }

  #receive(source, type, message, take) {
    if (source !== this.#source) return;
    this.#watch();
    let data;
    try {
      data = JSON.parse(message.data);
    } catch {
      this.#startOver(`An event of type ${type} was not JSON.`);
      return;
    }
    take.call(this, type, data, message.lastEventId);
  }

  #durable(type, data, id) {
    const next = parseId(id);
    if (!next || (this.last && next.epoch !== this.last.epoch)) {
      this.#startOver(`An event came with the id "${id}", which does not follow what came before.`);
      return;
    }
    const doubled = this.last !== null && next.seq <= this.last.seq;
    // A replay whose beginning is no longer in the log cannot be folded; a snapshot can.
    if (!this.last && type !== "job.accepted") {
      this.#startOver("The log no longer has this job's beginning.");
      return;
    }
    this.#handlers.frame?.({ id, type, data, doubled });
    if (doubled) {
      this.counters.doubled += 1;
      if (this.resumption) this.resumption.doubled += 1;
    } else {
      this.#noteSkip(next, data.job_id);
      this.last = next;
      this.counters.received += 1;
      if (this.resumption && !this.resumption.whole) this.resumption.received += 1;
      this.#handlers.event?.({ id, type, data });
      this.#checkResumption();
    }
    this.#handlers.change?.(this);
  }

  #noteSkip(next, jobId) {
    this.#jobId = jobId;
    if (!this.last || next.seq === this.last.seq + 1) return;
    if (this.resumption) this.resumption.skipped = true;
    if (this.#address.logUrl) this.#skips.push([this.last.seq, next.seq]);
  }

  #control(type, data) {
    this.#handlers.frame?.({ id: null, type, data, doubled: false });
    if (data.head) {
      this.head = data.head;
      this.headSource = type;
    }
    switch (type) {
      case "stream.open": return this.#begin(data);
      case "stream.head": return this.#compare();
      case "stream.snapshot": return this.#replace(data);
      case "stream.end": return this.#finish(data);
      case "stream.reset":
        this.#forget();
        return this.#handlers.notice?.(`The server started this stream over (${data.reason}).`);
      case "stream.drain":
        return this.#announceWait("The server is restarting", data.retry_ms);
      case "stream.busy":
        return this.#announceWait("The server is full", data.retry_ms);
    }
  }

  #begin({ outcome, head }) {
    this.counters.connections += 1;
    this.#reopens = 0;
    this.#stalledAt = null;
    this.#waitAnnounced = false;
    this.resumption = outcome === "resumed" && this.last
      ? { after: this.last.id, received: 0, doubled: 0, skipped: false, head, whole: false }
      : null;
    this.#checkResumption();
    this.#handlers.notice?.(null);
    this.#enter("live", "");
  }

  #checkResumption() {
    const resumption = this.resumption;
    if (!resumption || resumption.whole) return;
    const head = parseId(resumption.head);
    resumption.whole = head !== null && head.epoch === this.last.epoch && this.last.seq >= head.seq;
  }

  /** A heartbeat. Its head may be a moment ahead of the events on their way; twice without progress is a gap. */
  #compare() {
    const head = parseId(this.head);
    const behind = head !== null && (!this.last || (head.epoch === this.last.epoch && this.last.seq < head.seq));
    const at = this.last?.id ?? "";
    if (behind && this.#stalledAt === at) {
      this.counters.gaps += 1;
      this.#connect("reconnecting", "The server has events that did not arrive here.");
      return;
    }
    this.#stalledAt = behind ? at : null;
    this.#enter("live", "");
    if (this.#skips.length) this.#audit(() => this.#enter("live", ""));
  }

  #replace(snapshot) {
    this.last = parseId(snapshot.head);
    this.#fromSnapshot = false;
    this.#handlers.snapshot?.(snapshot);
    this.#enter("live", "");
  }

  #finish({ status }) {
    this.#stop();
    this.#handlers.notice?.(null);
    this.#conclude(status);
  }

  /** The job is over and `head` is its last id: complete if that is what we have, else fetch the rest. */
  #conclude(status) {
    if (this.#skips.length) {
      this.#enter("reconnecting", "Checking the skipped ids.");
      this.#audit(() => this.#conclude(status));
    } else if (this.proven) {
      this.#enter("complete", status);
    } else if (this.#repairs < MAX_REPAIRS) {
      this.#repairs += 1;
      this.counters.gaps += 1;
      this.#connect("reconnecting", "The stream ended before its head; asking for the rest.");
    } else {
      this.#enter("ended", `The job is over (${status}), but events are missing here: its head is ${this.head}.`);
    }
  }

  /** Looks the skips up in the session's log: an event of this job in one of them is a gap, and heals by a snapshot. */
  async #audit(pass) {
    const generation = this.#generation;
    const skips = [...this.#skips];
    const { epoch } = this.last;
    const end = skips.at(-1)[1];
    let after = skips[0][0];
    try {
      while (after < end) {
        const url = new URL(this.#address.logUrl, globalThis.location?.href);
        url.searchParams.set("after", `${epoch}.${after}`);
        const page = await (await this.#ask(url)).json();
        if (generation !== this.#generation) return;
        const lost = page.events.some(({ id, data }) => {
          const { seq } = parseId(id);
          return data.job_id === this.#jobId && skips.some(([from, to]) => from < seq && seq < to);
        });
        if (lost) {
          this.counters.gaps += 1;
          this.#startOver("An event was missing in the middle.");
          return;
        }
        const next = parseId(page.next_after)?.seq ?? end;
        if (next <= after) break;
        after = next;
      }
    } catch {
      if (generation !== this.#generation) return;
      if (this.#source === null) this.giveUp("Some ids were skipped, and the log could not be asked whose they are.");
      return;
    }
    this.#skips = this.#skips.slice(skips.length);
    pass();
  }

  #ask(url) {
    return fetch(url, { headers: { Authorization: `Bearer ${this.#address.token}` }, cache: "no-store" });
  }

  #announceWait(what, milliseconds) {
    const seconds = Math.max(1, Math.round((milliseconds ?? 2000) / 1000));
    this.#handlers.notice?.(`${what}; the browser tries again in about ${seconds} s.`);
    this.#waitAnnounced = true;
    this.#enter("reconnecting", "");
  }

  #lose(source) {
    if (source.readyState !== this.#options.EventSource.CLOSED) {
      this.#enter("reconnecting", this.#waitAnnounced ? "" : "The connection was lost; the browser tries again.");
      return;
    }
    this.#stop();
    this.#diagnose();
  }

  /** The browser gave up: a 204 (finished), a 404 or a broken answer look the same, so ask the job itself. */
  async #diagnose() {
    const generation = this.#generation;
    this.#enter("reconnecting", "Asking the server how the job stands.");
    let response;
    let snapshot;
    try {
      response = await this.#ask(this.#address.statusUrl);
      if (response.ok) snapshot = await response.json();
    } catch {
      response = null;
    }
    if (generation !== this.#generation) return;
    if (response?.status === 404) {
      this.#enter("ended", "The server knows no such job for this token.");
    } else if (!snapshot) {
      this.#reopenLater("The server did not answer.");
    } else if (!TERMINAL_STATUSES.has(snapshot.status)) {
      this.#reopenLater("The stream was refused, but the job goes on.");
    } else {
      this.head = snapshot.head;
      this.headSource = "snapshot";
      this.#conclude(snapshot.status);
    }
  }

  #reopenLater(reason) {
    const step = REOPEN_MS[Math.min(this.#reopens, REOPEN_MS.length - 1)];
    this.#reopens += 1;
    // Random, so that a thousand pages do not come back at the same moment.
    const wait = step * (0.5 + Math.random() / 2);
    this.#timer = setTimeout(() => this.#connect("reconnecting", reason), wait);
    this.#enter("reconnecting", reason);
  }

  #forget() {
    this.last = null;
    this.resumption = null;
    this.#skips = [];
  }

  #startOver(reason) {
    this.#forget();
    this.#fromSnapshot = true;
    this.#handlers.notice?.(`${reason} Loading the job as it stands.`);
    this.#connect("reconnecting", reason);
  }
}
