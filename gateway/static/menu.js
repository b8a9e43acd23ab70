/**
 * A menu as a table: a row a dish, a column a stage.
 *
 * Rows are grids of their own (css/menu.css), so the browser skips those out of sight and a cell's change lays out one
 * row, not the table. That takes the table roles away, hence the explicit ones.
 */
import { renderCell } from "./cell.js";
import { DISH } from "./dish.js";
import { element } from "./elements.js";
import { StageHeading } from "./heading.js";

/** More changes than this in one frame are a replay: a flash per cell would only flicker. */
const FRESH_LIMIT = 64;
/** How long one frame may spend on cells; the rest waits for the next, so that typing and scrolling stay smooth. */
const FRAME_BUDGET_MS = 10;

export class MenuView {
  #state;
  #headings = new Map();
  /** The status that each stage's cells were last drawn for. */
  #shown = new Map();
  #cells = new Map();
  /** Cells still to be drawn, by their key: [row, stage name]. */
  #waiting = new Map();
  #body = element("tbody", { role: "rowgroup" });
  node;

  constructor(state) {
    this.#state = state;
    const heads = state.plan.map((plan) => {
      const heading = new StageHeading(plan);
      this.#headings.set(plan.name, heading);
      return element("th", { scope: "col", role: "columnheader", "data-stage": plan.name }, ...heading.nodes);
    });
    const table = element(
      "table", { class: "menu", role: "table", "aria-labelledby": "menu-caption" },
      element(
        "caption", { id: "menu-caption" },
        "A row for each dish and a column for each stage. The line under a result shows how sure it is. ",
        "An allergen that is not listed is unknown, never absent.",
      ),
      element(
        "thead", { role: "rowgroup" },
        element("tr", { role: "row" }, element("th", { scope: "col", role: "columnheader", class: "dish-head" }, "Dish"), ...heads),
      ),
      this.#body,
    );
    this.node = element("div", { class: "menu-frame", role: "region", tabindex: 0, "aria-label": "Results" }, table);
    this.rebuild();
    this.#draw();
  }

  rebuild() {
    this.#cells.clear();
    this.#waiting.clear();
    const { job, plan, rows } = this.#state;
    // Cloned for each dish: 500 rows are 16,000 nodes.
    const blanks = plan.map(({ name, label }) => element(
      "td", { role: "cell", class: "cell", "data-stage": name, "data-status": "pending" },
      element("span", { class: "cell-label", "aria-hidden": "true" }, label),
      element("div", { class: "cell-body" }, element("span", { class: "visually-hidden" }, "pending")),
    ));
    const lines = [...rows.values()].map((row) => {
      const cells = blanks.map((blank) => {
        const cell = blank.cloneNode(true);
        cell.dataset.item = row.item_id;
        this.#cells.set(`${row.item_id} ${cell.dataset.stage}`, cell);
        return cell;
      });
      const details = [row.input_price, row.input_category].filter(Boolean).join(" · ");
      return element(
        "tr", { role: "row", "data-item": row.item_id },
        element(
          "th", { scope: "row", role: "rowheader" },
          element("span", { class: "dish-number", "aria-hidden": "true" }, String(row.position + 1)),
          element("span", { class: "dish-name", lang: job.source_language, dir: "auto" }, row.name),
          details ? element("span", { class: "muted dish-input", lang: job.source_language }, details) : null,
        ),
        ...cells,
      );
    });
    this.#body.replaceChildren(...lines);
    for (const { name } of plan) this.#updateStage(name, false);
  }

  update(changes) {
    if (changes.rows) {
      this.rebuild();
    } else {
      for (const [itemId, names] of changes.cells) {
        for (const name of names) this.#wait(this.#state.rows.get(itemId), name);
      }
      for (const name of changes.stages) this.#updateStage(name, true);
    }
    this.#draw();
  }

  /** Some cells wait for another frame. */
  get busy() {
    return this.#waiting.size > 0;
  }

  #wait(row, name) {
    this.#waiting.set(`${row.item_id} ${name}`, [row, name]);
  }

  #draw() {
    const end = performance.now() + FRAME_BUDGET_MS;
    const fresh = this.#waiting.size <= FRESH_LIMIT;
    for (const [key, [row, name]] of this.#waiting) {
      if (performance.now() > end) return;
      this.#waiting.delete(key);
      this.#updateCell(row, name, fresh);
    }
  }

  /** The heading, and the cells whose look hangs on the stage: those without a value. */
  #updateStage(name, onlyEmpty) {
    const stage = this.#state.stages.get(name);
    const heading = this.#headings.get(name);
    heading.update(stage);
    const changed = this.#shown.get(name) !== stage.status;
    this.#shown.set(name, stage.status);
    if (onlyEmpty && !changed) return;
    for (const row of this.#state.rows.values()) {
      if (!onlyEmpty || !row.values.has(name)) this.#wait(row, name);
    }
  }

  #updateCell(row, name, fresh) {
    const plan = this.#state.plan.find((stage) => stage.name === name);
    const cell = this.#cells.get(`${row.item_id} ${name}`);
    const status = this.#state.cellStatus(row, plan);
    const value = row.values.get(name);
    if (!value && cell.dataset.status === status) return;
    renderCell(cell, { plan, status, value, job: this.#state.job, draw: DISH[name], fresh });
  }
}
