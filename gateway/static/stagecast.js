/**
 * Follows a Stagecast job or session over Server-Sent Events: resumes, drops doubles, proves that nothing is missing.
 *
 * No DOM in here and no imports, so that this file alone can be copied into another page.
 *
 *   const job = new JobStream({ eventsUrl, statusUrl, logUrl, token }, { event, snapshot, frame, change, notice });
 *   const session = new SessionStream({ eventsUrl, statusUrl, token }, { event, snapshot, frame, change, notice });
 *   job.open();  job.drop();  job.resume();  job.close();
 *
 * A session's ids are 1, 2, 3 and so on: a hole is a gap, and asked for again at once. Its stream has no end.
 * A job's ids may skip, because other jobs of the session have ids too: every skip is looked up in the session's log
 * (`logUrl`, /v1/sessions/{id}/events.json) before this object says that it is complete. Without a logUrl, skips are
 * taken for other jobs' events. The head proves that nothing is missing at the end.
 *
 * Handlers, all optional:
 *   event({id, type, data})          a durable event, in order, once
 *   snapshot(snapshot)               replaces everything known before
 *   frame({id, type, data, doubled}) whatever came over the wire, for a log
 *   change(stream)                   state, ids or counters are different now
 *   notice(text)                     something that a person may want to know; null when it is over
 *
 * Options: `silenceMs` (0: no watch), `types`: names of events that a newer server may have (a browser hears only the
 * names that were asked for).
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
/** Before a connection that the browser would not make by itself: at random below a ceiling that doubles. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
/** A server that stops or is full may ask for more than that, but not for a day. */
const MOST_ASKED_MS = 300_000;
/** A connection that was closed after a proof is back within the server's `retry`; later it is trouble after all. */
const RENEWAL_MS = 6000;
/** How often the same gap is asked for again before a snapshot has to close it. */
const MOST_REPAIRS = 3;
/** How long the server may take to say how things stand. */
const ASK_MS = 15_000;
/** Refusals that may pass, besides those of 500 and above. */
const PASSING = new Set([408, 425, 429]);

function isFinal(status) {
  return status >= 400 && status < 500 && !PASSING.has(status);
}

/** `<epoch>.<seq>` as {id, epoch, seq}, or null when it is not an id. */
export function parseId(id) {
  const parts = /^([a-z0-9]{8})\.(\d{1,15})$/.exec(id ?? "");
  return parts && { id, epoch: parts[1], seq: Number(parts[2]) };
}

/** What both kinds of stream do; use JobStream or SessionStream. */
class Stream {
  /** connecting, live, renewing, reconnecting, dropped, complete (proven), ended (for good, not proven) or idle. */
  state = "idle";
  /** Why it is in that state, for a person; for complete, the job's status. */
  detail = "";
  /** The last id received, as {id, epoch, seq}. */
  last = null;
  /** The last id of what is followed as the server said it, and the frame that said it. */
  head = null;
  headSource = "";
  counters = { received: 0, doubled: 0, gaps: 0, connections: 0, snapshots: 0 };
  /** What came after the cursor of the newest resumed connection: {after, received, doubled, skipped, head, whole}. */
  resumption = null;

  _address;
  /** The id that the caller began with. */
  _start;
  #handlers;
  #options;
  #source = null;
  #watchdog = 0;
  #timer = 0;
  #renewal = 0;
  /** Raised whenever the caller or a reconnect makes what is under way obsolete. */
  #generation = 0;
  /** The position is of no use (any more): nothing but a snapshot can go on. */
  #wantsSnapshot = false;
  /** The last frame was a head that named exactly what is here. */
  #justProven = false;
  /** What the browser would name as its position if it reconnected by itself. */
  #named = null;
  /** Gaps since the last new event; reconnects since the last progress. */
  #repairs = 0;
  #failures = 0;
  /** The server has said why it closes (null: it has not), and until when it wants to be left alone. */
  #announced = null;
  #notBefore = 0;

  constructor({ eventsUrl, statusUrl, logUrl = null, token, lastEventId = null }, handlers = {}, options = {}) {
    this._address = { eventsUrl, statusUrl, logUrl, token };
    this.#handlers = handlers;
    this.#options = { silenceMs: SILENCE_MS, types: [], EventSource: globalThis.EventSource, ...options };
    this.last = this._start = parseId(lastEventId);
  }

  /** True when nothing is missing up to the head that the server named. */
  get proven() {
    return this._holds(parseId(this.head)) && !this.#wantsSnapshot;
  }

  /** The same; for a job, that it has ended, too. */
  get complete() {
    return this.proven;
  }

  /** Connects; after everything that this object has already received. */
  open() {
    this.#repairs = 0;
    this.#failures = 0;
    this.#connect(this.counters.connections ? "reconnecting" : "connecting");
  }

  resume() {
    this.open();
  }

  /** Cuts the connection as a lost network would; `resume` goes on after the last id. */
  drop() {
    this._stop();
    this._enter("dropped", "");
  }

  /** Ends for a reason that the caller found. */
  giveUp(reason) {
    this._stop();
    this._enter("ended", reason);
  }

  /** Stops for good, without a word to the handlers. */
  close() {
    this._stop();
    this.#handlers = {};
  }

  // What the two kinds do differently

  /** Whether nothing is missing up to this head. */
  _holds(head) {
    return head !== null && head.seq === (this.last?.seq ?? 0) && (!this.last || head.epoch === this.last.epoch);
  }

  /** Whether the log has lost what came before the first event that it sent. */
  _lacksBeginning() {
    return false;
  }

  /** Whether a new event can be the next one. */
  _follows() {
    return true;
  }

  /** The frame `stream.end`. Only a job's stream has one. */
  _finish() {}

  /** A heartbeat named what is here. */
  _prove() {
    this._enter("live", "");
  }

  /** The position is given up. */
  _forget() {
    this.last = null;
    this.resumption = null;
    this.#wantsSnapshot = true;
  }

  /** The stream was refused, though the server still knows what is followed, as `snapshot`. */
  _decline() {
    this._reopen("The stream was refused, but there is one.");
  }

  // The connection

  #connect(state, detail = "") {
    this._stop();
    const url = new URL(this._address.eventsUrl, globalThis.location?.href);
    this.#named = this.#wantsSnapshot ? null : this.last?.id ?? null;
    // EventSource has no way to set Last-Event-ID on its first request.
    if (this.#named) url.searchParams.set("last_event_id", this.#named);
    else if (this.#wantsSnapshot) url.searchParams.set("from", "snapshot");
    const source = new this.#options.EventSource(url.href);
    this.#source = source;
    for (const type of [...DURABLE_EVENTS, ...this.#options.types]) {
      source.addEventListener(type, (message) => this.#receive(source, type, message, this.#durable));
    }
    for (const type of CONTROL_FRAMES) {
      source.addEventListener(type, (message) => this.#receive(source, type, message, this.#control));
    }
    source.onerror = () => source === this.#source && this.#lose(source);
    this.#watch();
    this._enter(state, detail);
  }

  _stop() {
    this.#generation += 1;
    for (const timer of [this.#timer, this.#renewal, this.#watchdog]) clearTimeout(timer);
    this.#justProven = false;
    this.#source?.close();
    this.#source = null;
  }

  _enter(state, detail) {
    clearTimeout(this.#renewal);
    this.state = state;
    this.detail = detail;
    this.#handlers.change?.(this);
  }

  _notice(text) {
    this.#handlers.notice?.(text);
  }

  #watch() {
    clearTimeout(this.#watchdog);
    if (!this.#options.silenceMs) return;
    this.#watchdog = setTimeout(() => this._reopen("Nothing was heard for too long."), this.#options.silenceMs);
  }

  /** Connects anew, as the browser would not do by itself, after a random pause that grows while nothing comes of it. */
  _reopen(reason, state = "reconnecting") {
    this._stop();
    const ceiling = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(this.#failures, 30), LONGEST_PAUSE_MS);
    this.#failures += 1;
    // From zero on, so that a thousand pages do not come back at the same moment.
    const pause = Math.max(Math.random() * ceiling, this.#notBefore - Date.now());
    this.#timer = setTimeout(() => this.#connect(state, reason), pause);
    this._enter(state, reason);
  }

  /** Something is missing or broken: once more from the last id, and when that does not help, from a snapshot. */
  _repair(reason) {
    this.counters.gaps += 1;
    this.#repairs += 1;
    if (this.#repairs > MOST_REPAIRS) this._startOver(reason);
    else this._reopen(reason);
  }

  get _repairable() {
    return this.#repairs <= MOST_REPAIRS;
  }

  _startOver(reason) {
    this._forget();
    this._notice(`${reason} Loading the present state.`);
    this._reopen(reason);
  }

  #lose(source) {
    if (source.readyState === this.#options.EventSource.CLOSED) {
      this.#diagnose();
    } else if (this.#named !== (this.last?.id ?? null)) {
      // After a snapshot the browser still holds the position before it, which would only be reset once more.
      if (this.#justProven) this._reopen("", "renewing");
      else this._reopen("The connection was lost.");
    } else if (this.#justProven) {
      this.#justProven = false;
      this._enter("renewing", "");
      this.#renewal = setTimeout(() => this._enter("reconnecting", "The connection was lost."), RENEWAL_MS);
    } else {
      const detail = this.#announced ? "" : "The connection was lost; the browser tries again.";
      this._enter("reconnecting", detail);
    }
  }

  /** The browser gave up: a 204 (finished), a 404 or a broken answer look the same, so ask how things stand. */
  async #diagnose() {
    this._stop();
    const generation = this.#generation;
    this._enter("reconnecting", "Asking the server how things stand.");
    let status = 0;
    let snapshot = null;
    try {
      const response = await this._ask(this._address.statusUrl);
      status = response.status;
      if (response.ok) snapshot = await response.json();
    } catch {
      snapshot = null;
    }
    if (generation !== this.#generation) return;
    if (snapshot) this._decline(snapshot);
    else if (isFinal(status)) {
      this._enter("ended", "The server knows nothing of the kind for this token.");
    } else this._reopen("The server did not answer.");
  }

  _ask(url) {
    const { token } = this._address;
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    return fetch(url, { headers, cache: "no-store", signal: AbortSignal.timeout(ASK_MS) });
  }

  /** Runs something slow; gives whether it is still of interest. */
  async _meanwhile(slow) {
    const generation = this.#generation;
    await slow();
    return generation === this.#generation;
  }

  get _connected() {
    return this.#source !== null;
  }

  // The frames

  #receive(source, type, message, take) {
    if (source !== this.#source) return;
    this.#watch();
    this.#justProven = false;
    let data;
    try {
      data = JSON.parse(message.data);
    } catch {
      this._repair(`An event of type ${type} was not JSON.`);
      return;
    }
    take.call(this, type, data, message.lastEventId);
  }

  #durable(type, data, id) {
    this.#named = id;
    const next = parseId(id);
    if (!next || (this.last && next.epoch !== this.last.epoch) || next.epoch !== parseId(this.head)?.epoch) {
      this._startOver(`An event came with the id "${id}", which does not follow what came before.`);
      return;
    }
    if (this.#wantsSnapshot) {
      this._startOver("Events came where a snapshot was due.");
      return;
    }
    if (!this.last && this._lacksBeginning(next, type)) {
      // A replay whose beginning is no longer in the log cannot be folded; a snapshot can.
      this._startOver("The log no longer has the beginning.");
      return;
    }
    const doubled = this.last !== null && next.seq <= this.last.seq;
    this.#handlers.frame?.({ id, type, data, doubled });
    if (doubled) {
      this.counters.doubled += 1;
      if (this.resumption) this.resumption.doubled += 1;
    } else if (!this._follows(next, data)) {
      this._repair("An event was missing in the middle.");
      return;
    } else {
      this.last = next;
      this.#repairs = 0;
      this.#failures = 0;
      this.counters.received += 1;
      if (this.resumption && !this.resumption.whole) this.resumption.received += 1;
      this.#handlers.event?.({ id, type, data });
      this.#checkResumption();
    }
    this.#handlers.change?.(this);
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
      case "stream.end": return this._finish(data);
      case "stream.reset":
        this._forget();
        return this._notice(`The server started this stream over (${data.reason}).`);
      case "stream.drain":
        return this.#announceWait("The server is restarting", data.retry_ms);
      case "stream.busy":
        // Whoever comes back to a server that still stops is told that it is busy, too.
        return this.#announceWait(this.#announced ?? "The server is full", data.retry_ms);
    }
  }

  #begin({ outcome, head }) {
    this.counters.connections += 1;
    this.#announced = null;
    if (outcome !== "reset" && this.#isElsewhere()) return;
    if (this.state !== "renewing") {
      this.resumption = outcome === "resumed" && this.last
        ? { after: this.last.id, received: 0, doubled: 0, skipped: false, head, whole: false }
        : null;
    }
    this.#checkResumption();
    this._notice(null);
    this._enter("live", "");
  }

  /** Whether the head is that of another log than what is here, without a reset; then it starts over. */
  #isElsewhere() {
    if (!this.last || this.last.epoch === parseId(this.head)?.epoch) return false;
    this._startOver("The stream went on in another log.");
    return true;
  }

  #checkResumption() {
    const resumption = this.resumption;
    if (!resumption || resumption.whole) return;
    const head = parseId(resumption.head);
    resumption.whole = head !== null && head.epoch === this.last.epoch && this.last.seq >= head.seq;
  }

  /** A heartbeat. It comes after the events that it counts, so whatever it names has to be here. */
  #compare() {
    if (this.#wantsSnapshot || this.#isElsewhere()) return;
    if (!this._holds(parseId(this.head))) {
      this._repair("The server has events that did not arrive here.");
      return;
    }
    this.#justProven = true;
    this.#failures = 0;
    this._prove();
  }

  #replace(snapshot) {
    this.last = parseId(snapshot.head);
    this.counters.snapshots += 1;
    this.#wantsSnapshot = false;
    this.#handlers.snapshot?.(snapshot);
    this._enter("live", "");
  }

  #announceWait(what, milliseconds) {
    const pause = Math.min(Math.max(Number(milliseconds) || 0, 0), MOST_ASKED_MS);
    this.#notBefore = Date.now() + pause;
    const seconds = Math.max(1, Math.round(pause / 1000));
    this._notice(`${what}; the browser tries again in about ${seconds} s.`);
    this.#announced = what;
    this._enter("reconnecting", "");
  }
}

/** The events of all jobs of a session. `complete`: everything is here that the server last spoke of. */
export class SessionStream extends Stream {
  _lacksBeginning(next) {
    return next.seq !== 1;
  }

  _follows(next) {
    return next.seq === (this.last?.seq ?? 0) + 1;
  }
}

/** The events of one job, to its end. `complete`: the job has ended, and nothing is missing. */
export class JobStream extends Stream {
  #jobId = null;
  /** Skips in the ids that were not looked up yet, as [seq before, seq after]. */
  #skips = [];
  /** Some of them are being looked up. */
  #auditing = false;

  /** True when nothing is missing up to the head that the server named, and no skip is unexplained. */
  get proven() {
    return this.last !== null && super.proven && this.#skips.length === 0;
  }

  get complete() {
    return this.state === "complete";
  }

  _holds(head) {
    // The caller may have begun at an event of another job, behind this one's.
    const begunPast = head !== null && this.last !== null && this.last === this._start && head.epoch === this.last.epoch;
    return super._holds(head) || (begunPast && head.seq < this.last.seq);
  }

  _lacksBeginning(_next, type) {
    return type !== "job.accepted";
  }

  _follows(next, { job_id: jobId }) {
    this.#jobId = jobId;
    if (this.last && next.seq !== this.last.seq + 1) {
      if (this.resumption) this.resumption.skipped = true;
      if (this._address.logUrl) this.#skips.push([this.last.seq, next.seq]);
    }
    return true;
  }

  _forget() {
    super._forget();
    this.#skips = [];
  }

  _stop() {
    super._stop();
    this.#auditing = false;
  }

  _prove() {
    super._prove();
    // The connection may be lost by the time the log has answered.
    if (this.#skips.length && !this.#auditing) this.#audit(() => this.state === "live" && super._prove());
  }

  _finish({ status }) {
    this._stop();
    this._notice(null);
    this.#conclude(status);
  }

  _decline(snapshot) {
    if (!TERMINAL_STATUSES.has(snapshot.status)) {
      this._reopen("The stream was refused, but the job goes on.");
      return;
    }
    this.head = snapshot.head;
    this.headSource = "snapshot";
    this.#conclude(snapshot.status);
  }

  /** The job is over and `head` is its last id: complete if that is what we have, else fetch the rest. */
  #conclude(status) {
    if (this.#skips.length) {
      this._enter("reconnecting", "Checking the skipped ids.");
      this.#audit(() => this.#conclude(status));
    } else if (this.proven) {
      this._enter("complete", status);
    } else if (this._repairable) {
      this._repair("The stream ended before its head; asking for the rest.");
    } else {
      this._enter("ended", `The job is over (${status}), but events are missing here: its head is ${this.head}.`);
    }
  }

  /** Looks the skips up in the session's log: an event of this job in one of them is a gap, and heals by a snapshot. */
  async #audit(pass) {
    const skips = [...this.#skips];
    let found = "unknown";
    this.#auditing = true;
    const current = await this._meanwhile(async () => {
      try {
        found = await this.#findLost(skips, this.last.epoch);
      } catch {
        found = "unknown";
      }
    });
    if (!current) return;
    this.#auditing = false;
    if (found === "nothing") {
      // Others may have come meanwhile.
      this.#skips = this.#skips.filter((skip) => !skips.includes(skip));
      pass();
    } else if (found === "lost") {
      this.counters.gaps += 1;
      this._startOver("An event was missing in the middle.");
    } else if (found === "gone") {
      this._startOver("Some ids were skipped, and the log no longer has them.");
    } else if (!this._connected) {
      // With a connection, the next heartbeat asks again.
      if (found === "refused") this.giveUp("Some ids were skipped, and the log could not be asked whose they are.");
      else this._reopen("Some ids were skipped, and the log does not answer.");
    }
  }

  /** What the skips hold of this job: "nothing" or "lost"; "gone" (not in the log), "refused" for good, or "unknown". */
  async #findLost(skips, epoch) {
    const end = skips.at(-1)[1];
    let after = skips[0][0];
    while (after < end) {
      const url = new URL(this._address.logUrl, globalThis.location?.href);
      url.searchParams.set("after", `${epoch}.${after}`);
      const response = await this._ask(url);
      if (response.status === 409) return "gone";
      if (!response.ok) return isFinal(response.status) ? "refused" : "unknown";
      const page = await response.json();
      const lost = page.events.some(({ id, data }) => {
        const { seq } = parseId(id);
        return data.job_id === this.#jobId && skips.some(([from, to]) => from < seq && seq < to);
      });
      if (lost) return "lost";
      const next = parseId(page.next_after).seq;
      if (next <= after) return "unknown";
      after = next;
    }
    return "nothing";
  }
}
