/** Builds DOM nodes. Whatever comes from a job goes in as text or as a checked attribute, never as markup. */

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "style" || name.startsWith("on")) throw new TypeError(`${name} is not set as an attribute here`);
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function drawing(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function byId(id) {
  return document.getElementById(id);
}

/** Writes only what differs: an equal write still costs a style recalculation. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setData(node, name, value) {
  if (node.dataset[name] !== value) node.dataset[name] = value;
}

/** A link to somewhere else, or plain text when the address is not http(s). */
export function outwardLink(label, address) {
  let url = null;
  try {
    url = new URL(address);
  } catch {
    // Not an address: shown as text below.
  }
  if (url?.protocol !== "https:" && url?.protocol !== "http:") return element("span", {}, label);
  return element("a", { href: url.href, target: "_blank", rel: "noopener noreferrer" }, label);
}

/** An SVG from a job, as an image: scripts and links in it are dead there. */
export function svgImage(svg, alt, attributes = {}) {
  return element("img", { src: `data:image/svg+xml,${encodeURIComponent(svg)}`, alt, decoding: "async", ...attributes });
}
