/** The event log: what came over the wire, newest last, in a bounded number of nodes. */
import { byId, element, setText } from "./elements.js";

const NODES = 300;
const DATA_CHARACTERS = 160;
/** How near to the bottom still counts as there, in pixels. */
const BOTTOM = 24;

/** The fields that tell events apart, in this order; job_id is the same in all of them. */
function summarise(type, data) {
  if (type === "stream.snapshot") return `head ${data.head}`;
  const { job_id: _job, at: _at, item_id: _item, value, stages, error, ...rest } = data;
  const parts = Object.entries(rest).map(([name, content]) => `${name} ${typeof content === "object" ? JSON.stringify(content) : content}`);
  if (value) parts.push(value.reference ? "by reference" : JSON.stringify(value.result));
  if (error) parts.push(error.message ?? error.type);
  if (stages) parts.push(Object.entries(stages).map(([name, status]) => `${name} ${status}`).join(", "));
  const text = parts.join(" · ");
  return text.length > DATA_CHARACTERS ? `${text.slice(0, DATA_CHARACTERS)}…` : text;
}

export class EventLog {
  #list = byId("log");
  #button = byId("log-follow");
  #count = byId("log-count");
  #waiting = [];
  #frames = 0;
  #following = true;

  constructor() {
    this.#button.addEventListener("click", () => this.#follow(!this.#following));
    // Scrolling up is reading; scrolling back down to the end is following again.
    this.#list.addEventListener("scroll", () => {
      const { scrollHeight, scrollTop, clientHeight } = this.#list;
      const atEnd = scrollHeight - scrollTop - clientHeight < BOTTOM;
      if (atEnd !== this.#following) this.#follow(atEnd);
    }, { passive: true });
  }

  #follow(on) {
    this.#following = on;
    this.#button.dataset.following = String(on);
    setText(this.#button, on ? "Pause" : "Follow");
    if (on) this.#list.scrollTop = this.#list.scrollHeight;
  }

  clear() {
    this.#waiting = [];
    this.#frames = 0;
    this.#list.replaceChildren();
    this.#follow(true);
    setText(this.#count, "");
  }

  add(frame) {
    this.#frames += 1;
    this.#waiting.push(frame);
    if (this.#waiting.length > NODES) this.#waiting.shift();
  }

  /** Once per animation frame. */
  flush() {
    if (!this.#waiting.length) return;
    this.#list.append(...this.#waiting.map(({ id, type, data, doubled }) => element(
      "li", { "data-id": id ?? "", "data-type": type, "data-doubled": doubled || null },
      element("code", { class: "log-id" }, id ?? "–"),
      element("span", { class: "log-type" }, type),
      element("span", { class: "log-data" }, `${doubled ? "doubled, ignored · " : ""}${summarise(type, data)}`),
    )));
    this.#waiting = [];
    let surplus = this.#list.childElementCount - NODES;
    while (surplus-- > 0) this.#list.firstElementChild.remove();
    setText(this.#count, this.#frames > NODES ? `the last ${NODES} of ${this.#frames} frames` : `${this.#frames} frames`);
    if (this.#following) this.#list.scrollTop = this.#list.scrollHeight;
  }
}
