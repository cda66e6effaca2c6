// Instances, read from run lengths and outlined.
dealias.outlines = (() => {
  "use strict";
  const TYPES = ["targets", "detections", "matches"];
  const { drawing, trace } = dealias.tracing;

  // Numbers of COCO's text form: five bits a character, the lowest first; 32 goes on, 16 is the
  // sign. From the fourth on they are differences to the one before the last.
  function runs(text) {
    const found = [];
    let value = 0;
    let shift = 0;
    for (const character of text) {
      const bits = character.charCodeAt(0) - 48;
      value += (bits & 31) * 2 ** shift;
      shift += 5;
      if (bits & 32) continue;
      if (bits & 16) value -= 2 ** shift;
      found.push(value + (found.length > 2 ? found[found.length - 2] : 0));
      value = shift = 0;
    }
    return found;
  }

  // Runs go down the columns, outside first.
  function spans(text, height) {
    const found = [];
    if (!(height > 0)) return found; // else the loop below has no end
    let at = 0;
    let inside = false;
    for (const run of runs(text)) {
      for (let start = at, end = at + run; inside && start < end;) {
        const x = Math.floor(start / height);
        const stop = Math.min(end, (x + 1) * height);
        found.push([x, start - x * height, stop - x * height]);
        start = stop;
      }
      at += run;
      inside = !inside;
    }
    return found;
  }

  // A mask within its box: {left, top, width, height, mask, path}.
  function shape(text, imageHeight) {
    const found = spans(text, imageHeight);
    if (!found.length) return { left: 0, top: 0, width: 0, height: 0, mask: [], path: new Path2D() };
    const left = found[0][0];
    const width = found[found.length - 1][0] - left + 1;
    const top = found.reduce((least, [, start]) => Math.min(least, start), Infinity);
    const height = found.reduce((most, [, , stop]) => Math.max(most, stop), 0) - top;
    const mask = new Uint8Array(width * height);
    for (const [x, start, stop] of found) {
      for (let y = start - top; y < stop - top; y++) mask[y * width + x - left] = 1;
    }
    return { left, top, width, height, mask, path: trace({ left, top, width, height, mask }) };
  }

  // A box, which has no mask.
  function rectangle([left, top, right, bottom]) {
    const [width, height] = [right - left, bottom - top];
    const path = new Path2D();
    path.rect(left, top, width, height);
    return { left, top, width, height, mask: null, path };
  }

  // Targets [class, finder, crowd, shape], detections [class, score, kind, partner, IoU, shape], as
  // objects with their shapes: run lengths, or boxes; kept with the maps that they came with.
  function instances(maps) {
    const read = (given) => (Array.isArray(given) ? rectangle(given) : shape(given, maps.height));
    maps.shapes ??= {
      targets: maps.targets.map(([index, finder, crowd, given]) => (
        { index, finder, crowd: crowd === 1, ...read(given) })),
      detections: maps.detections.map(([index, score, kind, partner, overlap, given]) => (
        { index, score, kind, partner, overlap, ...read(given) })),
    };
    return maps.shapes;
  }

  const isFound = ({ finder }, detections, score) => finder >= 0 && detections[finder].score >= score;

  // Keys of the kinds of what is shown: {targets: [], detections: []}; null for neither.
  function kinds(data, maps, score) {
    const { targets, detections } = instances(maps);
    const key = (index) => data.kinds[index]?.key ?? null;
    return {
      targets: targets.map((one) => {
        if (one.crowd) return null;
        return isFound(one, detections, score) ? "found" : "missed";
      }),
      detections: detections.map((one) => (one.score >= score ? key(one.kind) : null)),
    };
  }

  function count(data, maps, wanted, score) {
    const { targets, detections } = kinds(data, maps, score);
    const list = wanted === "missed" ? targets : detections;
    return list.filter((kind) => kind === wanted).length;
  }

  const draws = ({ type }) => TYPES.includes(type);

  // A layer that draws itself.
  function paint(layer, data, maps, { only, kinds: shown, score }) {
    const { targets, detections } = instances(maps);
    const wanted = ({ index }) => only == null || only === index;
    const own = (list, dashed) => list.filter(wanted).map((one) => (
      { ...one, dashed, color: data.classes[one.index].color }));
    const sure = detections.filter((one) => one.score >= score);
    sure.sort((a, b) => a.score - b.score); // the surest on top
    if (layer.type === "targets") return drawing(own(targets, true));
    if (layer.type === "detections") return drawing(own(sure, false));
    const known = kinds(data, maps, score);
    const colors = new Map(data.kinds.map(({ key, color }) => [key, color]));
    const partner = ({ partner: index }) => only == null || targets[index]?.index === only;
    const marked = [
      ...detections.map((one, i) => ({ ...one, is: known.detections[i], dashed: false })),
      ...targets.map((one, i) => ({ ...one, is: known.targets[i], dashed: true })),
    ].filter((one) => shown.has(one.is) && (wanted(one) || (one.partner >= 0 && partner(one))));
    for (const one of marked) Object.assign(one, { color: colors.get(one.is), fill: one.is !== "found" });
    marked.sort((a, b) => a.fill - b.fill);
    return drawing(marked);
  }

  // Whether the centre of a pixel is inside.
  const holds = ({ left, top, width, height, mask }, x, y) =>
    x + 0.5 >= left && y + 0.5 >= top && x + 0.5 < left + width && y + 0.5 < top + height
      && (mask === null || mask[(y - top) * width + x - left] === 1);

  // The instances at a pixel: [title, words, colour].
  function describe(data, maps, x, y, score) {
    const { targets, detections } = instances(maps);
    const known = kinds(data, maps, score);
    const titles = new Map(data.kinds.map(({ key, title }) => [key, title.toLowerCase()]));
    const told = [];
    targets.forEach((one, i) => {
      if (!holds(one, x, y)) return;
      const { name, color } = data.classes[one.index];
      told.push(["Target", `${name}, ${titles.get(known.targets[i]) ?? "a crowd"}`, color]);
    });
    detections.forEach((one, i) => {
      if (one.score < score || !holds(one, x, y)) return;
      const { name, color } = data.classes[one.index];
      const overlap = one.partner >= 0 ? `, IoU ${one.overlap.toFixed(2)}` : "";
      const kind = titles.get(known.detections[i]) ?? "in a crowd";
      told.push(["Detection", `${name} ${one.score.toFixed(2)}, ${kind}${overlap}`, color]);
    });
    return told;
  }

  // Classes of the targets and the detections.
  const present = (maps) => [...maps.targets, ...maps.detections].map(([index]) => index);

  return { count, describe, draws, instances, paint, present };
})();
