/** The head of a stage, in a table or on a card: label, state, progress bar, attempt, error and the Retry button. */
import { element, setData, setText } from "./elements.js";

function describe(stage, single) {
  const count = `${stage.done} of ${stage.total}`;
  switch (stage.status) {
    case "queued": return stage.reason ? "recovering" : "waiting";
    case "running": return single ? "running" : count;
    case "retry_wait": return `retry in ${Math.max(0.1, stage.delay / 1000).toFixed(1)} s`;
    case "completed": return single ? "done" : count;
    case "failed": return single ? "failed" : `failed at ${count}`;
    default: return stage.status;
  }
}

export class StageHeading {
  #plan;
  #single;
  #label;
  #state = element("span", { class: "stage-state" });
  #fill = element("span", { class: "bar-fill" });
  #bar;
  #attempt = element("span", { class: "stage-attempt", hidden: true });
  #error = element("span", { class: "stage-error", hidden: true });
  #retry;

  /** `single`: the job has one item, so counts say nothing. `level`: a tag for the label, such as h2. */
  constructor(plan, { single = false, level = "span" } = {}) {
    this.#plan = plan;
    this.#single = single;
    this.#label = element(level, { class: "stage-label" }, plan.label);
    this.#bar = element(
      "span",
      { class: "bar", role: "progressbar", "aria-label": plan.label, "aria-valuemin": 0, "aria-valuenow": 0 },
      this.#fill,
    );
    this.#retry = element(
      "button",
      { type: "button", class: "button small retry", "data-stage": plan.name, "aria-label": `Retry ${plan.label}`, hidden: true },
      "Retry",
    );
  }

  /** The nodes to put into a th or a header. */
  get nodes() {
    return [
      element("span", { class: "stage-line" }, this.#label, this.#state),
      this.#bar,
      this.#attempt, this.#error, this.#retry,
    ];
  }

  update(stage) {
    const total = Math.max(stage.total, 1);
    const state = describe(stage, this.#single);
    setText(this.#state, state);
    this.#fill.style.transform = `scaleX(${Math.min(1, stage.done / total)})`;
    this.#bar.setAttribute("aria-valuemax", total);
    this.#bar.setAttribute("aria-valuenow", stage.done);
    this.#bar.setAttribute("aria-valuetext", `${stage.status.replace("_", " ")}, ${stage.done} of ${stage.total}`);
    this.#attempt.hidden = stage.attempt < 2;
    setText(this.#attempt, `attempt ${stage.attempt}`);
    const error = stage.error?.message ?? stage.error?.type ?? stage.reason ?? "";
    this.#error.hidden = !error;
    setText(this.#error, error);
    this.#error.title = [stage.error?.type, error].filter(Boolean).join(": ");
    const failed = stage.status === "failed";
    if (!failed && document.activeElement === this.#retry) this.#retry.closest("[tabindex]")?.focus();
    this.#retry.hidden = !failed;
    this.#retry.disabled = false;
    if (this.#bar.parentElement) setData(this.#bar.parentElement, "status", stage.status);
  }
}
