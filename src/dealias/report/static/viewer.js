// One image in layers: over one another, side by side, or with a slider between two.
dealias.parts.push((data) => {
  "use strict";
  const { element, swatch, state, throttle } = dealias;
  const dialog = document.getElementById("viewer");
  if (!dialog) return;
  const find = (name) => dialog.querySelector(`#viewer-${name}`);
  const stage = dealias.stage(find("stage"), { onPoint: tell, onSplit: moveSplit, onView: keepView });
  const MARKS = ["errors", "changes", "matches"]; // layers of the kinds of error
  const MODES = ["overlay", "slider", "panes"];
  const VALUES = ["image", "mode", "on", "panes", "left", "right", "split", "opacity", "only", "taken", "kinds",
    "score"];
  let shown = null; // {row, maps, photographs: {layer: Image}, painted: Map}
  let opener = null;
  let asked = 0;
  let wanted = {}; // the view and the divider, until they are written to the address

  // What there is for this image, bottom first.
  const layersOf = (row) => data.layers.filter((layer) => !layer.optional || row.has[layer.key]);

  function settings(row) {
    const layers = layersOf(row);
    const keys = layers.map((layer) => layer.key);
    const listed = (name, otherwise) =>
      new Set(state.get(name)?.split(",").filter((key) => keys.includes(key)) ?? otherwise);
    const ground = keys.includes("image") ? "image" : "target";
    const one = (name, otherwise) =>
      keys.includes(state.get(name)) ? state.get(name) : otherwise;
    const opacity = Object.fromEntries(
      (state.get("opacity") ?? "").split(",").map((part) => part.split(":")));
    const kinds = state.get("kinds");
    const only = data.classIndex.get(state.get("only")) ?? null;
    return {
      layers,
      mode: MODES.includes(state.get("mode")) ? state.get("mode") : "overlay",
      on: listed("on", [ground, data.front]),
      panes: listed("panes", keys),
      left: one("left", data.slider[0]),
      right: one("right", data.slider[1]),
      split: part(state.get("split"), 0.5),
      opacity: (layer) => part(opacity[layer.key], layer.opacity),
      only,
      taken: only == null ? null : data.classIndex.get(state.get("taken")) ?? null,
      kinds: new Set(kinds == null ? data.kinds.map((kind) => kind.key) : kinds.split(",")),
      score: part(state.get("score"), data.threshold),
    };
  }

  const percentOf = (value) => Math.round(100 * value);

  // A percentage of the address as a fraction.
  function part(text, otherwise) {
    const value = text == null || text === "" ? NaN : Number(text);
    return value >= 0 && value <= 100 ? value / 100 : otherwise;
  }

  async function update(names) {
    if (names && !names.some((name) => VALUES.includes(name))) return;
    if (!names || names.includes("image")) wanted = {};
    const row = data.byName.get(state.get("image"));
    if (!row) return close();
    if (!dialog.open) open();
    if (shown?.row !== row) {
      const turn = ++asked;
      head(row);
      const loaded = await load(row);
      if (turn !== asked) return undefined; // another image was asked for meanwhile
      shown = loaded;
    }
    if (shown.maps) {
      if (names?.join() !== "opacity") controls(); // new ones would end the drag of a slider
      render();
      if (!names || names.includes("image")) placeView();
    }
    return undefined;
  }

  async function load(row) {
    find("problem").hidden = true;
    try {
      const [maps, photographs] = await Promise.all([dealias.maps.load(row.key), photos(row)]);
      const next = neighbour(1);
      if (next) dealias.maps.load(next.key).catch(() => {});
      return { row, maps, photographs, painted: new Map() };
    } catch (error) {
      stage.clear();
      find("problem").textContent = `This image can't be shown: ${error.message}`;
      find("problem").hidden = false;
      return { row };
    }
  }

  async function photos(row) {
    const layers = layersOf(row).filter(({ type }) => type === "photograph");
    const loaded = layers.map(async ({ key, folder }) => {
      const image = new Image();
      image.src = `assets/${folder}/${row.key}.webp`;
      await image.decode();
      return [key, image];
    });
    return Object.fromEntries(await Promise.all(loaded));
  }

  function painted(layer, { only, taken, kinds, score }) {
    if (layer.type === "photograph") return shown.photographs[layer.key];
    const used = MARKS.includes(layer.type) ? [...kinds] : "";
    const name = `${layer.key} ${only} ${taken} ${used} ${score}`;
    if (!shown.painted.has(name)) {
      if (shown.painted.size > 24) shown.painted.clear();
      const settings = { only, taken, kinds, score };
      shown.painted.set(name, dealias.layers.paint(layer, data, shown.maps, settings));
    }
    return shown.painted.get(name);
  }

  // A layer that stands alone; some get a dark ground to be seen on.
  function alone(layer, chosen, side) {
    const own = { source: painted(layer, chosen), opacity: layer.ground ? layer.opacity : 1, side };
    if (!layer.ground) return [own];
    const plain = { ...chosen, only: null, taken: null };
    const target = data.layers.find((other) => other.key === "target");
    const ground = shown.photographs.image ?? painted(target, plain);
    return [{ source: ground, opacity: 1, side }, { source: "#000", opacity: layer.ground, side }, own];
  }

  function render() {
    const chosen = settings(shown.row);
    const canvas = () => element("canvas", { role: "img", "aria-label": "" });
    const layer = (key) => chosen.layers.find((other) => other.key === key);
    let panes;
    let split = null;
    if (chosen.mode === "slider") {
      const [left, right] = [layer(chosen.left), layer(chosen.right)];
      const layers = [...alone(left, chosen, "left"), ...alone(right, chosen, "right")];
      panes = [{ canvas: canvas(), layers, told: `${left.title}, then ${right.title}` }];
      split = chosen.split;
    } else if (chosen.mode === "panes") {
      panes = chosen.layers.filter(({ key }) => chosen.panes.has(key)).map((one) => ({
        title: one.title, canvas: canvas(), layers: alone(one, chosen), told: one.title,
      }));
    } else {
      const on = chosen.layers.filter(({ key }) => chosen.on.has(key));
      const layers = on.map((one) => ({
        source: painted(one, chosen), opacity: chosen.opacity(one),
      }));
      panes = [{ canvas: canvas(), layers, told: on.map((one) => one.title).join(" under ") }];
    }
    if (!panes.length) panes = [{ canvas: canvas(), layers: [], told: "no layer" }];
    for (const pane of panes) {
      pane.canvas.setAttribute("aria-label", `${shown.row.name}: ${pane.told || "no layer"}`);
    }
    const { width, height } = shown.maps;
    stage.show({ width, height, panes, split });
  }

  function head(row) {
    const order = dealias.gallery.order();
    const place = order.indexOf(row);
    find("name").textContent = row.name;
    find("place").textContent =
      place < 0 ? "" : `${dealias.number.format(place + 1)} of ${dealias.number.format(order.length)}`;
    find("scores").replaceChildren(...data.describe(row));
    document.title = `${row.name} – ${data.title}`;
  }

  function controls() {
    const { row, maps } = shown;
    const chosen = settings(row);
    for (const radio of dialog.querySelectorAll("input[name=viewer-mode]")) {
      radio.checked = radio.value === chosen.mode;
    }
    dialog.dataset.mode = chosen.mode;
    const set = chosen.mode === "panes" ? chosen.panes : chosen.on;
    fill(find("layers"), chosen.layers, (layer, index) => layerControl(layer, index, chosen, set));
    for (const side of ["left", "right"]) {
      const options = chosen.layers.map(({ key, title }) => element("option", { value: key }, title));
      find(side).replaceChildren(...options);
      find(side).value = chosen[side];
    }
    find("split").value = 100 * chosen.split;
    fill(find("kinds"), data.kinds, (kind) => {
      const name = [swatch(kind.color), element("span", {}, kind.title)];
      const counted = data.count(row, kind.key, maps, chosen.score);
      const count = element("span", { class: "count" }, counted);
      const pressed = chosen.kinds.has(kind.key);
      return toggle([...name, count], pressed, `kind-${kind.key}`, () => {
        const kinds = new Set(chosen.kinds);
        if (!kinds.delete(kind.key)) kinds.add(kind.key);
        state.set({ kinds: kinds.size === data.kinds.length ? null : [...kinds] });
      });
    });
    find("scores").replaceChildren(...data.describe(row, { maps, score: chosen.score }));
    if (find("score")) {
      find("score").value = percentOf(chosen.score);
      find("score").setAttribute("aria-valuetext", chosen.score.toFixed(3));
      find("lowest").textContent = chosen.score.toFixed(3);
    }
    shown.present ??= present(maps);
    const pair = chosen.taken == null ? [] : [[chosen.only, chosen.taken]];
    fill(find("classes"), [...pair, ...shown.present], (index) => {
      if (Array.isArray(index)) return pairToggle(index.map((one) => data.classes[one]));
      const { name, color } = data.classes[index];
      const pressed = chosen.only === index && chosen.taken == null;
      return toggle([swatch(color), element("span", {}, name)], pressed, `class-${index}`, () => {
        state.set({ only: pressed ? null : name, taken: null });
      });
    });
  }

  // The pair of classes that a link led to, until it is let go.
  function pairToggle([target, found]) {
    const words = element("span", {}, `${target.name} as ${found.name}`);
    const children = [swatch(target.color), swatch(found.color), words];
    return toggle(children, true, "pair", () => state.set({ only: null, taken: null }));
  }

  // Children made anew would lose the focus: it goes to the one with the same name.
  function fill(list, entries, make) {
    const focused = list.contains(document.activeElement) && document.activeElement.dataset.name;
    list.replaceChildren(...entries.map((entry, index) => element("li", {}, make(entry, index))));
    if (focused) list.querySelector(`[data-name="${CSS.escape(focused)}"]`)?.focus();
  }

  function layerControl(layer, index, chosen, set) {
    const box = element("input", { type: "checkbox", "data-name": `on-${layer.key}` });
    box.checked = set.has(layer.key);
    box.addEventListener("change", () => toggleLayer(layer.key));
    const key = element("kbd", {}, String(index + 1));
    const label = element("label", {}, box, key, " ", layer.title);
    if (chosen.mode !== "overlay") return label;
    const range = element("input", {
      type: "range", min: 0, max: 100, step: 5, "aria-label": `Opacity of ${layer.title}`,
      "data-name": `opacity-${layer.key}`,
    });
    range.value = 100 * chosen.opacity(layer);
    range.disabled = !box.checked;
    range.addEventListener("input", () => {
      const { layers, opacity } = settings(shown.row);
      const all = layers.map((other) => {
        const value = other === layer ? range.value : percentOf(opacity(other));
        return `${other.key}:${value}`;
      });
      state.set({ opacity: all.join(",") });
    });
    return element("div", { class: "layer" }, label, range);
  }

  function toggle(children, pressed, name, act) {
    const attributes = { type: "button", "aria-pressed": String(pressed), "data-name": name };
    const button = element("button", { ...attributes, class: "toggle" }, ...children);
    button.addEventListener("click", act);
    return button;
  }

  function toggleLayer(key) {
    const chosen = settings(shown.row);
    const name = chosen.mode === "panes" ? "panes" : "on";
    const set = new Set(chosen[name]);
    if (!set.delete(key)) set.add(key);
    state.set({ [name]: [...set].join(",") });
  }

  // Classes of the target or of a prediction, in order.
  function present(maps) {
    const seen = new Set(data.present?.(maps));
    for (const layer of data.layers) {
      if (layer.type !== "labels") continue;
      const plane = maps.planes[layer.plane];
      let last = -1;
      for (let i = 0; i < plane.length; i++) {
        if (plane[i] !== last) seen.add((last = plane[i]));
      }
    }
    seen.delete(data.classes.length);
    return [...seen].sort((a, b) => a - b);
  }

  function tell(point, byKeyboard) {
    const readout = find("readout");
    readout.setAttribute("aria-live", byKeyboard ? "polite" : "off");
    if (!point || !shown?.maps) {
      readout.textContent = "Point at a pixel, or move with Shift and the arrow keys, to read its labels.";
      return;
    }
    const { score } = settings(shown.row);
    const parts = dealias.layers.describe(data, shown.maps, point.x, point.y, score);
    const told = parts.map(([title, text, color]) => {
      const mark = color ? [swatch(color)] : [];
      return element("span", { class: "told" }, `${title}: `, ...mark, element("strong", {}, text));
    });
    const place = element("span", { class: "told" }, `x ${point.x}, y ${point.y}`);
    readout.replaceChildren(place, " ", ...told.flatMap((one) => [one, " "]));
  }

  const write = throttle(() => state.set(wanted), 250);
  function keepView(view) {
    if (view.fitted) Object.assign(wanted, { zoom: null, at: null });
    else {
      wanted.zoom = view.scale.toFixed(2);
      wanted.at = `${view.x.toFixed(1)},${view.y.toFixed(1)}`;
    }
    find("zoom").textContent = `${Math.round(100 * view.scale)} %`;
    write();
  }

  function placeView() {
    const scale = Number(state.get("zoom"));
    const [x, y] = (state.get("at") ?? "").split(",").map(Number);
    if (scale > 0 && Number.isFinite(x) && Number.isFinite(y)) stage.setView({ scale, x, y });
    else stage.fit();
    find("zoom").textContent = scale > 0 ? `${Math.round(100 * scale)} %` : "fit";
  }

  function moveSplit(split) {
    find("split").value = 100 * split;
    stage.setSplit(split);
    wanted.split = Math.round(find("split").value);
    write();
  }

  function neighbour(step) {
    const order = dealias.gallery.order();
    const place = order.findIndex((row) => row.name === state.get("image"));
    return place < 0 ? order[0] : order[place + step];
  }

  function go(step) {
    const row = neighbour(step);
    if (row) state.set({ ...wanted, image: row.name, zoom: null, at: null });
  }

  function open() {
    opener = document.activeElement;
    dialog.showModal();
    find("stage").focus();
  }

  function close() {
    if (dialog.open) dialog.close();
  }

  // Closing keeps the place in the gallery and forgets the rest.
  dialog.addEventListener("close", () => {
    asked++;
    shown = null;
    stage.clear();
    document.title = data.title;
    const none = Object.fromEntries([...VALUES, "zoom", "at"].map((name) => [name, null]));
    if (state.get("image") != null) state.set(none, { entry: true });
    opener?.focus?.();
  });

  const cycle = () => {
    const { mode } = settings(shown.row);
    state.set({ mode: MODES[(MODES.indexOf(mode) + 1) % MODES.length] });
  };
  const slide = (by) => {
    if (settings(shown.row).mode !== "slider") state.set({ mode: "slider" });
    moveSplit(Math.min(Math.max(settings(shown.row).split + by, 0), 1));
    state.set({ split: Math.round(find("split").value) });
  };
  const KEYS = {
    ArrowRight: () => go(1), ArrowLeft: () => go(-1), n: () => go(1), p: () => go(-1),
    m: cycle, "[": () => slide(-0.05), "]": () => slide(0.05),
    "+": () => stage.zoom(1.5), "=": () => stage.zoom(1.5), "-": () => stage.zoom(1 / 1.5),
    0: () => stage.fit(true),
  };
  const PANS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  dialog.addEventListener("keydown", (event) => {
    if (!shown?.maps || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input[type=range], input[type=radio], select")) return;
    if (event.key.length === 1 && !find("shortcuts").checked) return;
    const layer = settings(shown.row).layers[Number(event.key) - 1];
    if (event.shiftKey && PANS[event.key]) stage.pan(...PANS[event.key]);
    else if (KEYS[event.key]) KEYS[event.key]();
    else if (layer) toggleLayer(layer.key);
    else return;
    event.preventDefault();
  });

  for (const [name, act] of Object.entries({
    previous: () => go(-1), next: () => go(1), close, in: () => stage.zoom(1.5),
    out: () => stage.zoom(1 / 1.5), fit: () => stage.fit(true),
  })) find(name).addEventListener("click", act);
  for (const radio of dialog.querySelectorAll("input[name=viewer-mode]")) {
    radio.addEventListener("change", () => state.set({ mode: radio.value }));
  }
  for (const side of ["left", "right"]) {
    find(side).addEventListener("change", () => state.set({ [side]: find(side).value }));
  }
  // The step of the page's own threshold stands for it, as it lies between two.
  find("score")?.addEventListener("input", () => {
    const value = Number(find("score").value);
    state.set({ score: value === percentOf(data.threshold) ? null : value });
  });
  find("split").addEventListener("input", () => moveSplit(find("split").value / 100));
  tell(null, false);
  state.listen(update);
});
