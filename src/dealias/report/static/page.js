// What the other scripts share. Text from data only ever becomes text nodes and attributes.
const dealias = (() => {
  "use strict";
  const number = new Intl.NumberFormat("en");

  // An element with attributes and children; strings are text.
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === true) made.setAttribute(name, "");
      else if (value !== false && value != null) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  function drawn(tag, attributes = {}, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  const color = (rgb) => `rgb(${rgb.join(" ")})`;

  function swatch(rgb) {
    const rect = drawn("rect", { width: 10, height: 10, fill: color(rgb) });
    return drawn("svg", { class: "swatch", viewBox: "0 0 10 10", "aria-hidden": "true" }, rect);
  }

  const percent = (value) => (value == null ? "–" : `${(100 * value).toFixed(2)} %`);
  const sign = (value) => (value < 0 ? "−" : "+");
  const difference = (value) =>
    value == null ? "–" : sign(value) + Math.abs(100 * value).toFixed(2);
  const pixels = (count) => `${number.format(count)} px`;

  function throttle(action, wait) {
    let timer = 0;
    return () => {
      if (timer) return;
      timer = setTimeout(() => {
        timer = 0;
        action();
      }, wait);
    };
  }

  // The size of a small picture.
  function small(width, height) {
    const scale = Math.min(1, 360 / width, 1440 / height);
    return [width, height].map((side) => Math.max(1, Math.round(scale * side)));
  }

  // data.js calls this; parts of the page add themselves to `parts`.
  const parts = [];
  function start(data) {
    data.rows = data.rows.map(([name, key, height, width, has, scores, counts, byClass, byPair]) => ({
      name, key, scores, counts, byClass, byPair,
      has: Object.fromEntries(has.map((layer) => [layer, true])),
      thumb: small(width, height),
    }));
    data.pairs ??= []; // [target, prediction] of the pairs that links lead to
    dealias.prepare(data);
    data.classIndex = new Map(data.classes.map((entry, index) => [entry.name, index]));
    data.byName = new Map(data.rows.map((row) => [row.name, row]));
    for (const part of parts) part(data);
    dealias.state.begin();
  }

  return {
    color, difference, drawn, element, number, parts, percent, pixels, sign, start, swatch,
    throttle,
  };
})();
