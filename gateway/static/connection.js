/** The connection in words and colour, and the proof that nothing is missing. */
import { byId, setData, setText } from "./elements.js";
import { parseId } from "./stagecast.js";

const WORDS = {
  idle: "Idle",
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  dropped: "Dropped by you",
  complete: "Complete",
  ended: "Ended",
};

function describeResumption({ after, received, doubled, skipped, whole, head }) {
  const events = `${received} ${received === 1 ? "event" : "events"}`;
  if (!whole) return `Resumed after ${after}: ${events} so far, until ${head}.`;
  const doubles = doubled ? `${doubled} doubled and ignored` : "none doubled";
  // Skipped ids are other jobs' until the log says otherwise, so nothing is claimed of them here.
  const missing = skipped ? "in order" : "none missing";
  return `Resumed after ${after}: ${events} came up to the head ${head}, ${missing}, ${doubles}.`;
}

/** Between two heartbeats the page has more than the server last spoke of: that head would only look like a mistake. */
function isOutdated(head, last) {
  const told = parseId(head);
  return told !== null && last !== null && told.epoch === last.epoch && told.seq < last.seq;
}

export class ConnectionView {
  #panel = byId("connection");
  #announcer = byId("announcer");
  #drop = byId("drop");
  #notice = byId("notice");
  #resume = byId("resume-report");
  #announced = "";

  /** Spoken once by a screen reader, politely. */
  announce(text) {
    if (text === this.#announced) return;
    this.#announced = text;
    this.#announcer.textContent = text;
  }

  notice(text) {
    this.#notice.hidden = !text;
    setText(this.#notice, text ?? "");
    if (text) this.announce(text);
  }

  update(stream) {
    const { detail, last, head, headSource, counters, resumption, proven } = stream;
    // The server closes old connections between two events, and the browser is back in a moment: nothing to worry about.
    const state = stream.state === "renewing" ? "live" : stream.state;
    setData(this.#panel, "state", state);
    setText(byId("connection-state"), WORDS[state]);
    const explanation = {
      live: proven ? "and up to date" : "",
      complete: "every event up to the head is here",
      dropped: "The job goes on without you. Resume when you like.",
    }[state] ?? detail;
    setText(byId("connection-detail"), explanation);

    setText(byId("last-id"), last?.id ?? "none");
    setText(byId("head-id"), head && !isOutdated(head, last) ? head : "not told yet");
    byId("head-id").title = headSource ? `as told by ${headSource}` : "";
    setData(byId("proof"), "proven", String(proven));
    setText(byId("proof-sign"), proven ? "=" : "…");

    setText(byId("received"), String(counters.received));
    setText(byId("duplicates"), String(counters.doubled));
    setText(byId("gaps"), String(counters.gaps));
    setText(byId("connections"), String(counters.connections));
    setData(byId("duplicates"), "bad", String(counters.doubled > 0));
    setData(byId("gaps"), "bad", String(counters.gaps > 0));

    this.#resume.hidden = !resumption;
    if (resumption) {
      setText(this.#resume, describeResumption(resumption));
      setData(this.#resume, "ok", String(resumption.whole));
    }
    const dropped = state === "dropped";
    setText(this.#drop, dropped ? "Resume" : "Drop connection");
    setData(this.#drop, "action", dropped ? "resume" : "drop");
    this.#drop.disabled = state === "complete" || state === "ended" || state === "idle";
    this.#announceState(state, explanation, resumption);
  }

  #announceState(state, explanation, resumption) {
    const words = `${WORDS[state]}${explanation && state !== "live" ? `: ${explanation}` : ""}`;
    this.announce(state === "live" && resumption?.whole ? describeResumption(resumption) : words);
  }
}
