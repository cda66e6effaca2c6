// Outlines of masks, drawn as lines of one width at any zoom.
dealias.tracing = (() => {
  "use strict";
  const WAYS = [[1, 0], [0, 1], [-1, 0], [0, -1]]; // right, down, left, up: inside is on the right

  // Closed lines around each value of a mask but 0, holes too, that turn at corners of pixels.
  function trace({ left, top, width, height, mask }) {
    const inside = (x, y, value) =>
      x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] === value;
    const across = width + 1;
    const leaving = new Uint8Array(across * (height + 1)); // ways that lead on from a corner, bits
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const value = mask[y * width + x];
        if (!value) continue;
        const corner = y * across + x;
        if (!inside(x, y - 1, value)) leaving[corner] |= 1;
        if (!inside(x + 1, y, value)) leaving[corner + 1] |= 2;
        if (!inside(x, y + 1, value)) leaving[corner + across + 1] |= 4;
        if (!inside(x - 1, y, value)) leaving[corner + across] |= 8;
      }
    }
    const path = new Path2D();
    for (let corner = 0; corner < leaving.length; corner++) {
      while (leaving[corner]) follow(corner);
    }
    return path;

    function follow(start) {
      let x = start % across;
      let y = Math.floor(start / across);
      let way = 31 - Math.clz32(leaving[start] & -leaving[start]);
      path.moveTo(left + x, top + y);
      do {
        leaving[y * across + x] &= ~(1 << way);
        x += WAYS[way][0];
        y += WAYS[way][1];
        // Right before straight on before left: pixels that touch at a corner stay apart.
        const next = [1, 0, 3].map((turn) => (way + turn) % 4)
          .find((other) => leaving[y * across + x] & (1 << other));
        if (next !== way) path.lineTo(left + x, top + y);
        way = next;
      } while (way != null);
      path.closePath();
    }
  }

  // Lines with a dark edge, to be seen on anything; dashes for the target, as all over the page.
  function drawing(shapes) {
    const draw = (context, unit, opacity) => {
      context.lineJoin = "round";
      for (const { path, color, dashed, fill, shift = 0 } of shapes) {
        const rgb = dealias.color(color);
        if (fill) {
          context.globalAlpha = 0.22 * opacity;
          context.fillStyle = rgb;
          context.fill(path, "evenodd");
        }
        context.globalAlpha = opacity;
        context.setLineDash(dashed ? [6 * unit, 4 * unit] : []);
        context.lineDashOffset = shift * unit;
        for (const [style, width] of [["rgb(0 0 0 / 0.55)", 4], [rgb, 2]]) {
          context.strokeStyle = style;
          context.lineWidth = width * unit;
          context.stroke(path);
        }
      }
    };
    return { draw };
  }

  return { drawing, trace };
})();
