/** How the eight results of a dish look. Each takes a known result and the job, and gives nodes. */
import { element, outwardLink, svgImage } from "./elements.js";

function text(value) {
  return [element("span", { dir: "auto" }, value)];
}

function translation(result, job) {
  return [element("span", { class: "translated", lang: job.target_language, dir: "auto" }, result)];
}

function category({ category: original, category_translation: translated }, job) {
  const nodes = [];
  if (translated) nodes.push(element("span", { lang: job.target_language, dir: "auto" }, translated));
  if (original && original !== translated) {
    nodes.push(element("span", { class: translated ? "muted line" : null, lang: job.source_language, dir: "auto" }, original));
  }
  return nodes;
}

const ALLERGEN_LISTS = { eu14: "EU 14", jp8: "Japan 8", jp20: "Japan 20" };
const ALLERGEN_WORDS = { contains: "contains", may_contain: "may contain", unknown: "unknown" };

function allergens({ allergens: found, note }) {
  const nodes = [];
  for (const [status, words] of Object.entries(ALLERGEN_WORDS)) {
    const group = found.filter((allergen) => allergen.status === status);
    if (!group.length) continue;
    const chips = group.map((allergen) => {
      const why = [allergen.because?.join(", "), allergen.lists?.map((list) => ALLERGEN_LISTS[list] ?? list).join(", ")];
      return element("li", { class: "chip", "data-level": status, title: why.filter(Boolean).join(" · ") }, allergen.label);
    });
    nodes.push(element("span", { class: "chips-label" }, words), element("ul", { class: "chips" }, ...chips));
  }
  if (!nodes.length) nodes.push(element("span", { class: "muted", title: note }, "none known; not the same as none"));
  return nodes;
}

function ingredients(list, job) {
  const items = list.map(({ name, original }) => element(
    "li", {}, name,
    original && original !== name
      ? element("span", { class: "muted", lang: job.source_language }, ` ${original}`)
      : null,
  ));
  return [element("ul", { class: "inline-list" }, ...items)];
}

function imageSearch(links) {
  if (!links.length) return [element("span", { class: "muted" }, "no links")];
  return [element("ul", { class: "links" }, ...links.map(({ label, url }) => element("li", {}, outwardLink(label, url))))];
}

function image({ svg, alt }) {
  return [svgImage(svg, alt, { class: "plate", width: 96, height: 66 })];
}

function price({ formatted, amount_minor: amount, tax, market, currency }) {
  const nodes = [];
  if (amount !== null && amount !== undefined) {
    nodes.push(element("span", { class: "amount", title: currency }, formatted || `${amount} ${currency}`));
  }
  if (market) nodes.push(element("span", { class: amount ? "muted line" : "" }, "market price"));
  if (tax) nodes.push(element("span", { class: "muted line" }, `tax ${tax}`));
  return nodes;
}

export const DISH = {
  translation, category, description: text, allergens, ingredients, image_search: imageSearch, image, price,
};
