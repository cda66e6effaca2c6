// Canvases that show parts of one picture in step: the same pixels at the same place and size.
dealias.stage = (root, told) => {
  "use strict";
  const { onView, onPoint, onSplit } = told;
  const LARGEST = 64; // screen pixels an image pixel
  const GRID_FROM = 14;
  const REACH = 16; // how far from the slider a pointer still takes it, in screen pixels
  // {width, height, panes: [{title, canvas, layers}], split}; the source of a layer is a picture, a
  // colour, or draws itself in image pixels, told how many of them a screen pixel has.
  let scene = null;
  let view = { scale: 1, x: 0, y: 0, fitted: true }; // image point in the middle, and its size
  let point = null; // the pixel that is pointed at
  let queued = false;
  const pointers = new Map();
  let gesture = null;

  const paneSize = () => {
    const box = scene.panes[0].canvas.getBoundingClientRect();
    return [Math.max(box.width, 1), Math.max(box.height, 1)];
  };
  const fitScale = () => {
    const [width, height] = paneSize();
    return Math.min(width / scene.width, height / scene.height);
  };
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  function show(next) {
    const before = scene;
    scene = next;
    root.replaceChildren(...next.panes.map(({ title, canvas }) => {
      const figure = dealias.element("figure", { class: "pane" }, canvas);
      if (title) figure.append(dealias.element("figcaption", {}, title));
      return figure;
    }));
    root.dataset.panes = Math.min(next.panes.length, 4);
    if (!before || before.width !== next.width || before.height !== next.height) fit();
    else if (view.fitted) fit();
    draw();
  }

  function draw() {
    if (queued) return;
    queued = true;
    requestAnimationFrame(() => {
      queued = false;
      if (scene) scene.panes.forEach(drawPane);
    });
  }

  function drawPane({ canvas, layers }) {
    const box = canvas.getBoundingClientRect();
    const ratio = devicePixelRatio || 1;
    const [width, height] = [box.width, box.height].map((side) => Math.round(side * ratio));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const scale = view.scale * ratio;
    const left = width / 2 - view.x * scale;
    const top = height / 2 - view.y * scale;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    context.imageSmoothingEnabled = scale < 1; // single pixels stay squares
    context.imageSmoothingQuality = "high";
    for (const { source, opacity, side } of layers) {
      if (!source || opacity === 0) continue;
      context.save();
      if (side) {
        const border = scene.split * width;
        context.beginPath();
        context.rect(side === "left" ? 0 : border, 0, side === "left" ? border : width, height);
        context.clip();
      }
      context.globalAlpha = opacity;
      context.translate(left, top);
      context.scale(scale, scale);
      if (typeof source === "string") {
        context.fillStyle = source;
        context.fillRect(0, 0, scene.width, scene.height);
      } else if (source.draw) source.draw(context, ratio / scale, opacity);
      else context.drawImage(source, 0, 0, scene.width, scene.height);
      context.restore();
    }
    if (view.scale >= GRID_FROM) drawGrid(context, { left, top, scale, width, height, ratio });
    if (point) drawPoint(context, { left, top, scale, ratio });
    if (scene.split != null) drawSplit(context, scene.split * width, height, ratio);
  }

  function drawGrid(context, { left, top, scale, width, height, ratio }) {
    context.strokeStyle = "rgb(128 128 128 / 0.45)";
    context.lineWidth = ratio;
    context.beginPath();
    const [right, bottom] = [left + scene.width * scale, top + scene.height * scale];
    for (let x = left; x <= right + 1; x += scale) {
      if (x < 0 || x > width) continue;
      context.moveTo(x, Math.max(top, 0));
      context.lineTo(x, Math.min(bottom, height));
    }
    for (let y = top; y <= bottom + 1; y += scale) {
      if (y < 0 || y > height) continue;
      context.moveTo(Math.max(left, 0), y);
      context.lineTo(Math.min(right, width), y);
    }
    context.stroke();
  }

  // A frame around the pixel that is pointed at, black in white to show on anything.
  function drawPoint(context, { left, top, scale, ratio }) {
    const side = Math.max(scale, 7 * ratio);
    const x = left + (point.x + 0.5) * scale - side / 2;
    const y = top + (point.y + 0.5) * scale - side / 2;
    for (const [color, width] of [["#fff", 3], ["#000", 1]]) {
      context.strokeStyle = color;
      context.lineWidth = width * ratio;
      context.strokeRect(x, y, side, side);
    }
  }

  function drawSplit(context, x, height, ratio) {
    for (const [color, width] of [["rgb(0 0 0 / 0.6)", 4], ["#fff", 2]]) {
      context.fillStyle = color;
      context.fillRect(x - (width * ratio) / 2, 0, width * ratio, height);
    }
    context.fillStyle = "#fff";
    context.strokeStyle = "rgb(0 0 0 / 0.6)";
    context.lineWidth = ratio;
    context.beginPath();
    context.arc(x, height / 2, 13 * ratio, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
    context.fillStyle = "#000";
    for (const way of [-1, 1]) {
      context.beginPath();
      context.moveTo(x + way * 9 * ratio, height / 2);
      context.lineTo(x + way * 3 * ratio, height / 2 - 5 * ratio);
      context.lineTo(x + way * 3 * ratio, height / 2 + 5 * ratio);
      context.fill();
    }
  }

  function setView(next, tell = true) {
    const least = fitScale();
    const scale = clamp(next.scale, Math.min(least, 1), LARGEST);
    const x = clamp(next.x, 0, scene.width);
    const y = clamp(next.y, 0, scene.height);
    view = { scale, x, y, fitted: next.fitted ?? false };
    if (tell) onView(view);
    draw();
  }

  function fit(tell = false) {
    const middle = { x: scene.width / 2, y: scene.height / 2 };
    setView({ scale: fitScale(), ...middle, fitted: true }, tell);
  }

  // Zoom by a factor; the image point at (left, top) of the pane's middle stays where it is.
  function zoom(factor, left = 0, top = 0) {
    const scale = clamp(view.scale * factor, Math.min(fitScale(), 1), LARGEST);
    if (scale <= fitScale() && factor < 1) return fit(true);
    const moved = 1 / view.scale - 1 / scale;
    return setView({ scale, x: view.x + left * moved, y: view.y + top * moved });
  }

  // Move by parts of the pane, or by single pixels once these are large.
  function pan(right, down) {
    const [width, height] = paneSize();
    const step = view.scale >= GRID_FROM ? 1 : 0;
    const x = view.x + right * (step || (0.1 * width) / view.scale);
    const y = view.y + down * (step || (0.1 * height) / view.scale);
    setView({ scale: view.scale, x, y });
    setPoint({ x: Math.floor(view.x), y: Math.floor(view.y) }, true);
  }

  function setPoint(next, byKeyboard = false) {
    const inside = next && next.x >= 0 && next.y >= 0 && next.x < scene.width && next.y < scene.height;
    point = inside ? next : null;
    onPoint(point, byKeyboard);
    draw();
  }

  // Where an event is, from the middle of its pane, and which pixel of the image that is.
  function locate(event) {
    const canvas = event.target.closest("canvas") ?? scene.panes[0].canvas;
    const box = canvas.getBoundingClientRect();
    const left = event.clientX - box.left - box.width / 2;
    const top = event.clientY - box.top - box.height / 2;
    const x = Math.floor(view.x + left / view.scale);
    const y = Math.floor(view.y + top / view.scale);
    return { left, top, x, y, across: (event.clientX - box.left) / box.width, width: box.width };
  }

  root.addEventListener("pointerdown", (event) => {
    if (!scene || (event.pointerType === "mouse" && event.button !== 0)) return;
    const place = locate(event);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    root.setPointerCapture(event.pointerId);
    const onSlider = scene.split != null && Math.abs(place.across - scene.split) * place.width < REACH;
    gesture = onSlider && pointers.size === 1 ? "split" : "move";
  });

  root.addEventListener("pointermove", (event) => {
    if (!scene) return;
    const last = pointers.get(event.pointerId);
    if (last) drag(event, last);
    if (event.target.closest("canvas")) setPoint(locate(event));
  });

  function drag(event, last) {
    const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    const now = { x: event.clientX, y: event.clientY };
    if (gesture === "split") onSplit(clamp(locate(event).across, 0, 1));
    else if (others.length === 1) {
      const apart = (a, b) => Math.hypot(a.x - b.x, a.y - b.y) || 1;
      zoom(apart(now, others[0]) / apart(last, others[0]));
    } else {
      const moved = { x: (last.x - now.x) / view.scale, y: (last.y - now.y) / view.scale };
      setView({ scale: view.scale, x: view.x + moved.x, y: view.y + moved.y });
    }
    pointers.set(event.pointerId, now);
  }

  for (const name of ["pointerup", "pointercancel"]) {
    root.addEventListener(name, (event) => {
      pointers.delete(event.pointerId);
      gesture = pointers.size ? "move" : null;
    });
  }
  root.addEventListener("pointerleave", () => scene && !pointers.size && setPoint(null));
  root.addEventListener("wheel", (event) => {
    if (!scene) return;
    event.preventDefault();
    const place = locate(event);
    zoom(2 ** (-event.deltaY / (event.deltaMode ? 6 : 200)), place.left, place.top);
  }, { passive: false });
  root.addEventListener("dblclick", (event) => {
    if (!scene) return;
    const place = locate(event);
    if (view.fitted) zoom(Math.max(4, 8 / view.scale), place.left, place.top);
    else fit(true);
  });
  new ResizeObserver(() => {
    if (!scene) return;
    if (view.fitted) fit();
    draw();
  }).observe(root);

  return {
    draw, fit, pan, setPoint, show, zoom,
    setSplit(split) {
      if (scene?.split != null) scene.split = split;
      draw();
    },
    setView: (next) => setView(next, false),
    clear() {
      scene = null;
      point = null;
      root.replaceChildren();
    },
  };
};
