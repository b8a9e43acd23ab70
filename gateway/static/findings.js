/** How the eight results of a prompt look. Each takes a known result and gives nodes. */
import { drawing, element } from "./elements.js";

function meter(label, share) {
  const figure = `${Math.round(share * 100)} %`;
  const line = element("span", { class: "meter-fill" });
  line.style.transform = `scaleX(${Math.min(1, Math.max(0, share))})`;
  return element(
    "li", { class: "meter" },
    element("span", { class: "meter-label" }, label.replaceAll("_", " ")),
    element("span", { class: "meter-bar", "aria-hidden": "true" }, line),
    element("span", { class: "meter-figure" }, figure),
  );
}

function score(share, label) {
  return element("p", { class: "score" }, element("b", {}, String(Math.round(share * 100))), element("span", {}, ` of 100 ${label}`));
}

function chips(list, level) {
  return element("ul", { class: "chips" }, ...list.map((item) => element("li", { class: "chip", "data-level": level }, item)));
}

/** Scrolls, so it takes the focus, so it has a name. */
function longText(label, content, lang) {
  return element("pre", { class: "prose", lang, dir: "auto", tabindex: 0, role: "group", "aria-label": label }, content);
}

function analysis({ parts, overall }) {
  return [score(overall, "overall"), element("ul", { class: "meters" }, ...Object.entries(parts).map(([part, share]) => meter(part, share)))];
}

function variables(schema) {
  const properties = Object.entries(schema.properties ?? {});
  const nodes = [];
  if (properties.length) {
    const lines = properties.map(([name, { type, description }]) => element(
      "li", {},
      element("code", {}, name),
      element("span", { class: "muted" }, [type].flat().join(" or ") || "any"),
      schema.required?.includes(name) ? element("span", { class: "chip" }, "required") : null,
      description ? element("span", { class: "muted line" }, description) : null,
    ));
    nodes.push(element("ul", { class: "variables" }, ...lines));
  } else {
    nodes.push(element("p", { class: "muted" }, "No placeholders."));
  }
  nodes.push(element(
    "details", {}, element("summary", {}, "JSON Schema"),
    element("pre", { class: "raw", tabindex: 0, role: "group", "aria-label": "JSON Schema" }, JSON.stringify(schema, null, 2)),
  ));
  return nodes;
}

const FINDING_WORDS = { secret: "secret", personal_data: "personal data", injection: "injection" };

function safety({ findings }) {
  if (!findings.length) {
    return [element("p", {}, "No known pattern was found."), element("p", { class: "muted" }, "That does not prove the prompt safe.")];
  }
  const lines = findings.map(({ kind, rule, start, end, excerpt }) => element(
    "li", {},
    element("span", { class: "chip", "data-level": kind === "secret" ? "contains" : "may_contain" }, FINDING_WORDS[kind] ?? kind),
    element("code", {}, excerpt),
    element("span", { class: "muted line" }, `${rule}, characters ${start} to ${end}`),
  ));
  return [element("ul", { class: "findings" }, ...lines)];
}

function tags({ category, language, tags: list }) {
  const facts = [category, language].filter(Boolean).join(" · ");
  return [facts ? element("p", {}, facts) : null, list?.length ? chips(list) : null].filter(Boolean);
}

/** The vector as a strip of bars around a middle line: similar prompts look alike. */
function spectrum(vector) {
  const peak = Math.max(...vector.map(Math.abs), 1e-9);
  const path = vector
    .map((part, index) => `M${index + 0.5} 20V${(20 - (part / peak) * 19).toFixed(2)}`)
    .join("");
  return drawing(
    "svg",
    { class: "spectrum", viewBox: `0 0 ${vector.length} 40`, preserveAspectRatio: "none", role: "img", "aria-label": `a vector of ${vector.length} numbers` },
    drawing("path", { d: path }),
  );
}

function embedding({ vector, similar }) {
  const nodes = [spectrum(vector)];
  if (similar?.length) {
    nodes.push(
      element("p", { class: "chips-label" }, "nearest prompts of this session"),
      element("ul", { class: "meters" }, ...similar.map(({ title, version, score: share }) => meter(`${title} v${version}`, share))),
    );
  } else {
    nodes.push(element("p", { class: "muted" }, `${vector.length} numbers. No other prompt in this session to compare with.`));
  }
  return nodes;
}

function improvement({ content, added, child_id: child }) {
  const nodes = [];
  if (added?.length) nodes.push(element("p", { class: "chips-label" }, "added"), chips(added.map((part) => part.replaceAll("_", " "))));
  nodes.push(longText("The improved prompt", content));
  if (child) nodes.push(element("p", { class: "muted" }, "Stored as a new version, ", element("code", {}, child)));
  return nodes;
}

function evaluation({ overall, cases }) {
  const lines = cases.map(({ name, score: share, passed, assertions }) => element(
    "li", { class: "case", "data-passed": String(passed) },
    element("p", { class: "case-head" }, element("span", { class: "mark" }, passed ? "passed" : "failed"), element("b", {}, name), element("span", { class: "muted" }, `${Math.round(share * 100)} %`)),
    element("ul", {}, ...(assertions ?? []).map(({ type, value, passed: held, detail }) => element(
      "li", { "data-passed": String(held), title: detail },
      element("span", { class: "mark" }, held ? "✓" : "✕"), element("span", { class: "visually-hidden" }, held ? "passed: " : "failed: "),
      `${type.replaceAll("_", " ")} `, element("code", {}, String(value)),
      !held && detail ? element("span", { class: "muted line" }, detail) : null,
    ))),
  ));
  return [score(overall, "overall"), element("ul", { class: "cases" }, ...lines)];
}

export const FINDINGS = {
  analysis, variables, safety, tags, embedding, improvement, evaluation,
  translation: (result, job) => [longText("The translated prompt", result, job.target_language)],
};

