// The contrast of every kind of visible text with what is behind it, as WCAG 2 reckons: [{text, where, contrast}].
() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const brush = canvas.getContext("2d", { willReadFrequently: true });

  // The colours are painted on top of each other: that understands every notation and every transparency.
  function paint(colours) {
    brush.clearRect(0, 0, 1, 1);
    for (const colour of colours) {
      brush.fillStyle = colour;
      brush.fillRect(0, 0, 1, 1);
    }
    return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3);
  }

  function luminance(colour) {
    const [red, green, blue] = colour.map((byte) => {
      const share = byte / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }

  function grounds(node) {
    const colours = [];
    for (let at = node; at; at = at.parentElement) colours.unshift(getComputedStyle(at).backgroundColor);
    return colours;
  }

  const found = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    if (!text || node.closest("noscript, datalist, :disabled") || !node.checkVisibility({ visibilityProperty: true })) continue;
    const behind = grounds(node);
    const { color } = getComputedStyle(node);
    const [one, other] = [luminance(paint(behind)), luminance(paint([...behind, color]))].sort((a, b) => b - a);
    const contrast = Math.round(((one + 0.05) / (other + 0.05)) * 100) / 100;
    const where = `${node.tagName.toLowerCase()}.${node.className}`;
    found.set(`${where} ${contrast}`, { text: text.slice(0, 40), where, contrast });
  }
  return [...found.values()];
}
