/** The form: kinds, samples, reading what was typed, and errors beside the field that they name. */
import { byId, element, setText } from "./elements.js";
import { Problem } from "./api.js";
import { STAGES } from "./stages.js";

const KINDS = ["menu-text", "menu-items", "prompt"];
const FIELDS = ["text", "items", "title", "content", "test_cases", "target_language", "source_language"];

/** A mistake found before anything is sent, in the shape of the server's own. */
function mistake(field, detail) {
  const problem = new Problem(400, { detail });
  problem.fields = [{ field, detail }];
  return problem;
}

function parseJson(field, text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw mistake(field, `This is not valid JSON: ${error.message}`);
  }
}

/** A JSON list, or lines of `name | price | category` (a tab will do, as pasted from a spreadsheet). */
function parseItems(text) {
  if (/^\s*[[{]/.test(text)) {
    const parsed = parseJson("items", text);
    return Array.isArray(parsed) ? parsed : (parsed.items ?? [parsed]);
  }
  return text.split("\n").filter((line) => line.trim()).map((line) => {
    const [name, price, category] = line.split(/[|\t]/).map((part) => part.trim());
    return { name, ...(price && { price }), ...(category && { category }) };
  });
}

function writeItems(items) {
  return items.map(({ name, price, category }) => [name, price ?? "", category ?? ""].join(" | ").replace(/[ |]+$/, "")).join("\n");
}

export class JobForm {
  #form = byId("compose-form");
  #sample = byId("sample");
  #samples = [];
  #loaded = new Map();
  /** The sample on its way: what is sent is what was picked. */
  #loading = null;
  /** Raised by every key: a sample that comes late must not land on top of what was typed. */
  #edits = 0;
  #onSubmit;

  constructor(onSubmit) {
    this.#onSubmit = onSubmit;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#form.requestSubmit();
    });
    this.#form.addEventListener("input", ({ target }) => {
      if (FIELDS.includes(target.name)) this.#edits += 1;
      this.#clearError(target.name);
    });
    for (const kind of KINDS) byId(`kind-${kind}`).addEventListener("change", () => this.#show());
    this.#sample.addEventListener("change", () => this.#pickSample());
  }

  /** Reads the list of samples; the form works without it. */
  async load() {
    try {
      this.#samples = await (await fetch("/static/samples/index.json")).json();
    } catch {
      this.#samples = [];
    }
    this.#show();
  }

  get #kind() {
    return this.#form.elements.kind.value;
  }

  #show() {
    const kind = this.#kind;
    for (const part of this.#form.querySelectorAll(".kind-fields")) part.hidden = part.dataset.kind !== kind;
    const options = this.#samples.filter((sample) => sample.kind === kind)
      .map(({ file, label }) => element("option", { value: file }, label));
    this.#sample.replaceChildren(element("option", { value: "" }, "An empty form"), ...options);
    const stages = STAGES[kind === "prompt" ? "prompt" : "menu"];
    byId("preview").replaceChildren(...stages.map(({ label, does }) => element("li", {}, element("b", {}, label), ` ${does}`)));
    this.#showErrors([]);
    const used = this.#loaded.get(kind);
    this.#sample.value = used ?? options[0]?.value ?? "";
    const own = kind === "prompt" ? byId("content").value : byId(kind === "menu-text" ? "text" : "items").value;
    if (used === undefined && !own.trim()) this.#pickSample();
  }

  #pickSample() {
    this.#loading = this.#useSample();
  }

  async #useSample() {
    const [kind, file, edits] = [this.#kind, this.#sample.value, this.#edits];
    this.#loaded.set(kind, file);
    let sample = {};
    if (file) {
      try {
        sample = await (await fetch(`/static/samples/${encodeURIComponent(file)}`)).json();
      } catch {
        return this.#showErrors([{ field: "", detail: "The sample could not be loaded." }]);
      }
      if (this.#loaded.get(kind) !== file || this.#kind !== kind || this.#edits !== edits) return;
    }
    if (kind === "menu-text") byId("text").value = sample.text ?? "";
    if (kind === "menu-items") byId("items").value = sample.items ? writeItems(sample.items) : "";
    if (kind === "prompt") {
      byId("title").value = sample.title ?? "";
      byId("content").value = sample.content ?? "";
      byId("test_cases").value = sample.test_cases?.length ? JSON.stringify(sample.test_cases, null, 2) : "";
    }
    byId("target_language").value = sample.target_language ?? "en";
    byId("source_language").value = sample.source_language ?? "";
    this.#showErrors([]);
  }

  /** The body of POST /v1/jobs. Throws a Problem when it cannot even be read. */
  #read() {
    const body = { kind: this.#kind === "prompt" ? "prompt" : "menu", target_language: byId("target_language").value.trim() };
    const source = byId("source_language").value.trim();
    if (source) body.source_language = source;
    if (this.#kind === "menu-text") body.text = byId("text").value;
    if (this.#kind === "menu-items") body.items = parseItems(byId("items").value);
    if (this.#kind === "prompt") {
      body.title = byId("title").value;
      body.content = byId("content").value;
      const cases = byId("test_cases").value.trim();
      if (cases) body.test_cases = parseJson("test_cases", cases);
    }
    return body;
  }

  async #send() {
    const button = byId("submit");
    if (button.disabled) return;
    button.disabled = true;
    setText(button, "Sending…");
    this.#showErrors([]);
    try {
      await this.#loading;
      await this.#onSubmit(this.#read());
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#showErrors(error.fields.length ? error.fields : [{ field: "", detail: error.message }]);
    } finally {
      button.disabled = false;
      setText(button, "Run eight stages");
    }
  }

  /** The input that a path such as `items[3].name` belongs to, among those now in sight. */
  #fieldOf(path) {
    const name = /^[a-z_]*/.exec(path ?? "")[0];
    if (name === "items" && this.#kind === "menu-text") return "text";
    const input = FIELDS.includes(name) ? byId(name) : null;
    return input && !input.closest("[hidden]") ? name : null;
  }

  #showErrors(errors) {
    const texts = new Map();
    for (const { field, detail } of errors) {
      const name = this.#fieldOf(field);
      const plain = name === field || !field;
      const text = plain ? detail : `${field}: ${detail}`;
      texts.set(name ?? "", [...(texts.get(name ?? "") ?? []), text]);
    }
    for (const name of FIELDS) this.#setError(name, byId(`${name}-error`), texts.get(name));
    this.#setError(null, byId("form-error"), texts.get(""));
    const first = FIELDS.find((name) => texts.has(name));
    if (first) byId(first).focus();
  }

  #setError(name, node, lines) {
    node.hidden = !lines;
    setText(node, lines?.join("\n") ?? "");
    if (!name) return;
    if (lines) byId(name).setAttribute("aria-invalid", "true");
    else byId(name).removeAttribute("aria-invalid");
  }

  #clearError(name) {
    if (FIELDS.includes(name)) this.#setError(name, byId(`${name}-error`));
  }
}
