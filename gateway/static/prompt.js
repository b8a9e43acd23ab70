/** A prompt job as its text beside eight cards: one item has room for more than a table's cells. */
import { renderCell } from "./cell.js";
import { element } from "./elements.js";
import { FINDINGS } from "./findings.js";
import { StageHeading } from "./heading.js";

const PLACEHOLDER = /(\{\{[^{}]{1,100}\}\})/;

export class PromptView {
  #state;
  #headings = new Map();
  #cells = new Map();
  #source = element("pre", { class: "prose", tabindex: 0, role: "group", "aria-label": "The prompt's text" });
  node;

  constructor(state) {
    this.#state = state;
    const cards = state.plan.map((plan) => {
      const heading = new StageHeading(plan, { single: true, level: "h2" });
      const cell = element(
        "div", { class: "cell", "data-stage": plan.name, "data-status": "pending" },
        element("div", { class: "cell-body" }),
      );
      this.#headings.set(plan.name, heading);
      this.#cells.set(plan.name, cell);
      return element(
        "article", { class: "card panel", "data-stage": plan.name, "aria-label": plan.label, tabindex: -1 },
        element("header", {}, ...heading.nodes), cell,
      );
    });
    this.node = element(
      "div", { class: "prompt" },
      element("section", { class: "prompt-source panel", "aria-label": "The prompt" }, element("h2", { class: "stage-label" }, "The prompt"), this.#source),
      element("div", { class: "cards" }, ...cards),
    );
    this.rebuild();
  }

  rebuild() {
    const [row] = this.#state.rows.values();
    const pieces = (row?.content ?? "").split(PLACEHOLDER);
    this.#source.replaceChildren(...pieces.map((piece, index) => (index % 2 ? element("mark", {}, piece) : piece)));
    for (const { name } of this.#state.plan) this.#update(name, false);
  }

  /** Eight cards never take longer than a frame. */
  get busy() {
    return false;
  }

  update(changes) {
    if (changes.rows) return this.rebuild();
    const names = new Set(changes.stages);
    for (const changed of changes.cells.values()) for (const name of changed) names.add(name);
    for (const name of names) this.#update(name, true);
  }

  #update(name, fresh) {
    const stage = this.#state.stages.get(name);
    this.#headings.get(name).update(stage);
    const cell = this.#cells.get(name);
    cell.parentElement.dataset.status = stage.status;
    const [row] = this.#state.rows.values();
    if (!row) return;
    const plan = this.#state.plan.find((each) => each.name === name);
    const status = this.#state.cellStatus(row, plan);
    const value = row.values.get(name);
    // A card holds scroll positions and open details: drawn again only when it says something else.
    if (cell.shown === value && cell.dataset.status === status && cell.lastElementChild.firstChild) return;
    cell.shown = value;
    cell.dataset.item = row.item_id;
    renderCell(cell, { plan, status, value, job: this.#state.job, draw: FINDINGS[name], fresh });
  }
}
