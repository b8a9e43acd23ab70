/** One result: what it says, and how sure its provider is. */
import { element, setData } from "./elements.js";

/** Below this a result is shown with its figure, not only with the line under it. */
const DOUBTFUL = 0.6;

function percent(share) {
  return `${Math.round(share * 100)} %`;
}

function confidence(value) {
  const share = Math.min(1, Math.max(0, Number(value.confidence) || 0));
  const level = share >= 0.8 ? "high" : share >= DOUBTFUL ? "middle" : "low";
  const line = element("span", { class: "confidence-line", "aria-hidden": "true" });
  line.style.transform = `scaleX(${share})`;
  return element(
    "span",
    { class: "confidence", "data-level": level, title: `confidence ${percent(share)}, by ${value.provider ?? "an unknown provider"}` },
    element("span", { class: level === "low" ? "confidence-figure" : "visually-hidden" }, `${percent(share)} sure`),
    line,
  );
}

function reference(plan, value) {
  const size = `${Math.ceil((value.reference.bytes ?? 0) / 1024)} KiB`;
  return [
    element("p", { class: "muted" }, `Too large for an event (${size}).`),
    element("button", { type: "button", class: "button small load-reference", "data-stage": plan.name }, "Load it"),
  ];
}

/** Writes a cell anew. `draw(result, job)` gives the nodes of a known result; `unknown` is the word for none. */
export function renderCell(cell, { plan, status, value, job, draw, fresh }) {
  setData(cell, "status", status);
  cell.classList.toggle("fresh", fresh && status === "value");
  const body = cell.lastElementChild;
  switch (status) {
    case "pending": return body.replaceChildren(element("span", { class: "visually-hidden" }, "pending"));
    case "failed": return body.replaceChildren(element("span", { class: "word" }, "failed"));
    case "cancelled": return body.replaceChildren(element("span", { class: "word" }, "cancelled"));
    case "unknown": return body.replaceChildren(element("span", { class: "word", title: `by ${value.provider}` }, "unknown"));
  }
  if (value.reference) return body.replaceChildren(...reference(plan, value), confidence(value));
  let nodes;
  try {
    nodes = draw(value.result, job);
  } catch {
    // A provider's shape that this page does not know yet is still better shown than hidden.
    nodes = [element("pre", { class: "raw" }, JSON.stringify(value.result, null, 1))];
  }
  return body.replaceChildren(...nodes, confidence(value));
}
