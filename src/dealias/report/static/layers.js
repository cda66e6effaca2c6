// Layers of the viewer, painted from planes of labels.
dealias.layers = (() => {
  "use strict";
  const RIGHT = 0;
  const VOID_MARK = 5;
  const TILE = 8192; // pixels a side
  const FAINT = 36; // of 255, for classes that are not looked at
  const HEAT = [[0, 0, 4], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]];
  const littleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

  const pack = ([red, green, blue], alpha) =>
    littleEndian
      ? ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0
      : ((red << 24) | (green << 16) | (blue << 8) | alpha) >>> 0;

  // A layer that draws itself, from tiles: browsers take no canvas of any length.
  function picture({ width, height }, paint) {
    const pixels = new Uint32Array(width * height);
    paint(pixels);
    const tiles = [];
    for (let top = 0; top < height; top += TILE) {
      for (let left = 0; left < width; left += TILE) {
        tiles.push({ left, top, canvas: tile(pixels, width, height, left, top) });
      }
    }
    const draw = (context) => {
      for (const { left, top, canvas } of tiles) context.drawImage(canvas, left, top);
    };
    return { draw };
  }

  function tile(pixels, width, height, left, top) {
    const across = Math.min(TILE, width - left);
    const down = Math.min(TILE, height - top);
    const canvas = dealias.element("canvas", { width: across, height: down });
    const context = canvas.getContext("2d");
    const image = context.createImageData(across, down);
    const own = new Uint32Array(image.data.buffer);
    for (let y = 0; y < down; y++) {
      const start = (top + y) * width + left;
      own.set(pixels.subarray(start, start + across), y * across);
    }
    context.putImageData(image, 0, 0);
    return canvas;
  }

  // Classes in their colours; with `only`, the others are faint.
  function labels(data, maps, plane, only) {
    const table = new Uint32Array(data.classes.length + 1);
    data.classes.forEach((entry, index) => {
      table[index] = pack(entry.color, only == null || only === index ? 255 : FAINT);
    });
    table[data.classes.length] = pack([0, 0, 0], only == null ? 255 : FAINT);
    const source = maps.planes[plane];
    return picture(maps, (out) => {
      for (let i = 0; i < out.length; i++) out[i] = table[source[i]];
    });
  }

  // Wrong pixels in the colour of their kind; right ones are clear.
  function errors(data, maps, plane, prediction, { only, taken, kinds: shown }) {
    const table = new Uint32Array(VOID_MARK + 1);
    data.kinds.forEach((kind, index) => {
      table[index + 1] = shown.has(kind.key) ? pack(kind.color, 255) : 0;
    });
    table[VOID_MARK] = pack([0, 0, 0], 170);
    const source = maps.planes[plane];
    const { target } = maps.planes;
    const found = maps.planes[prediction];
    return picture(maps, (out) => {
      for (let i = 0; i < out.length; i++) {
        const mark = source[i];
        const counts = only == null || mark === VOID_MARK
          || (taken == null ? target[i] === only || found[i] === only
            : target[i] === only && found[i] === taken);
        if (mark !== RIGHT && counts) out[i] = table[mark];
      }
    });
  }

  // Which of the two runs is wrong: 0 neither, 1 the first (mended), 2 the second (broken), 3 both.
  function change(before, after) {
    if (before === VOID_MARK) return VOID_MARK;
    return (before !== RIGHT ? 1 : 0) + (after !== RIGHT ? 2 : 0);
  }

  function changes(data, maps, only, shown) {
    const table = new Uint32Array(VOID_MARK + 1);
    data.changes.forEach((entry, index) => {
      table[index + 1] = pack(entry.color, entry.key === "both_wrong" ? 150 : 255);
    });
    table[VOID_MARK] = pack([0, 0, 0], 170);
    const { target, prediction_a: first, prediction_b: second } = maps.planes;
    const { errors_a: before, errors_b: after } = maps.planes;
    const visible = (mark) => mark === RIGHT || mark === VOID_MARK || shown.has(data.kinds[mark - 1].key);
    return picture(maps, (out) => {
      for (let i = 0; i < out.length; i++) {
        const mark = change(before[i], after[i]);
        if (mark === 0) continue;
        const concerned =
          only == null || target[i] === only || first[i] === only || second[i] === only;
        const kind = before[i] !== RIGHT ? before[i] : after[i];
        if (mark === VOID_MARK || (concerned && visible(kind))) out[i] = table[mark];
      }
    });
  }

  // Scores from clear over dark to bright; planes hold 254 times the square root of the score.
  function heat(maps, plane) {
    const table = new Uint32Array(256);
    for (let value = 0; value < 255; value++) {
      const place = (value / 254) * (HEAT.length - 1);
      const index = Math.min(Math.floor(place), HEAT.length - 2);
      const part = place - index;
      const rgb = [0, 1, 2].map((k) =>
        Math.round(HEAT[index][k] * (1 - part) + HEAT[index + 1][k] * part));
      table[value] = pack(rgb, 255);
    }
    const source = maps.planes[plane];
    return picture(maps, (out) => {
      for (let i = 0; i < out.length; i++) out[i] = table[source[i]];
    });
  }

  // Settings: {only: class index or null, taken: the class that it is taken for or null, kinds: Set
  // of keys, score: lowest of detections}.
  function paint(layer, data, maps, settings) {
    const { only, taken, kinds: shown } = settings;
    if (layer.type === "labels") {
      return labels(data, maps, layer.plane, layer.plane === "target" ? only : taken ?? only);
    }
    if (layer.type === "errors") {
      return errors(data, maps, layer.plane, layer.prediction, settings);
    }
    if (layer.type === "changes") return changes(data, maps, only, shown);
    if (layer.type === "objects") return dealias.objects.paint(layer, maps, settings);
    if (dealias.outlines?.draws(layer)) return dealias.outlines.paint(layer, data, maps, settings);
    return heat(maps, layer.plane);
  }

  // What the layers say of one pixel: [title, words, colour or nothing].
  function describe(data, maps, x, y, score) {
    const i = y * maps.width + x;
    const className = (value) => data.classes[value]?.name ?? "void";
    const mark = (value) =>
      value === RIGHT ? "right" : data.kinds[value - 1]?.single ?? "void, not counted";
    const told = [];
    for (const layer of data.layers) {
      const plane = maps.planes[layer.plane];
      if (layer.type === "labels") {
        told.push([layer.title, className(plane[i]), data.classes[plane[i]]?.color]);
      }
      else if (layer.type === "errors") told.push([layer.title, mark(plane[i])]);
      else if (layer.type === "heat" && plane && plane[i] !== 255) {
        told.push([layer.title, ((plane[i] / 254) ** 2).toFixed(3)]);
      } else if (layer.type === "objects" && plane) {
        const words = dealias.objects.describe(layer, maps, i);
        if (words) told.push([layer.title, words]);
      } else if (layer.type === "changes") {
        const found = change(maps.planes.errors_a[i], maps.planes.errors_b[i]);
        const words = found === VOID_MARK ? "void" : data.changes[found - 1]?.title ?? "none";
        told.push([layer.title, words.toLowerCase()]);
      }
    }
    if (maps.targets) told.unshift(...dealias.outlines.describe(data, maps, x, y, score));
    return told;
  }

  return { describe, paint };
})();
