/** Draws the API's reference from its OpenAPI document, without scripts from other hosts. */

import { byId, element, setText } from "./elements.js";

const METHODS = ["get", "post", "put", "patch", "delete"];

function parameters(operation) {
  const list = element("dl");
  for (const parameter of operation.parameters ?? []) {
    list.append(
      element("dt", {}, element("code", {}, parameter.name), ` in ${parameter.in}${parameter.required ? ", required" : ""}`),
      element("dd", {}, parameter.description ?? ""),
    );
  }
  return list.childElementCount ? [element("h3", {}, "Parameters"), list] : [];
}

function body(operation) {
  const schema = operation.requestBody?.content?.["application/json"]?.schema;
  if (!schema) return [];
  return (schema.oneOf ?? [schema]).flatMap((one) => [
    element("h3", {}, `Body${one.title ? `: ${one.title}` : ""}`),
    element("p", {}, one.description ?? ""),
    element("pre", { tabindex: "0" }, JSON.stringify(one.properties, null, 2)),
  ]);
}

function answers(operation) {
  const list = element("dl");
  for (const [status, answer] of Object.entries(operation.responses ?? {})) {
    list.append(element("dt", {}, status), element("dd", {}, answer.description ?? ""));
  }
  return [element("h3", {}, "Answers"), list];
}

function drawn(path, method, operation) {
  return element(
    "details",
    { class: "operation" },
    element("summary", {}, element("span", { class: "method" }, method.toUpperCase()), element("code", {}, path), ` ${operation.summary ?? ""}`),
    element("p", {}, operation.description ?? ""),
    ...parameters(operation),
    ...body(operation),
    ...answers(operation),
  );
}

async function draw() {
  const answer = await fetch("/docs/openapi.json");
  if (!answer.ok) throw new Error(`openapi.json: ${answer.status}`);
  const document_ = await answer.json();
  for (const [path, item] of Object.entries(document_.paths)) {
    for (const method of METHODS) {
      if (item[method]) byId("reference").append(drawn(path, method, item[method]));
    }
  }
  byId("state").remove();
}

draw().catch((error) => setText(byId("state"), `The reference could not be loaded: ${error.message}`));
