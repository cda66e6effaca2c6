// Outlines of objects that vanished, were merged or split, and of false predicted ones.
dealias.objects = (() => {
  "use strict";
  const { drawing, trace } = dealias.tracing;

  // Pixels of a fate by their class, from 1: neighbours of one class are of one object.
  function mask({ planes }, plane, { bit, plane: labels }, only) {
    const marks = planes[plane];
    const found = new Uint16Array(marks.length);
    for (let i = 0; i < marks.length; i++) {
      const label = planes[labels][i];
      if (marks[i] & bit && (only == null || label === only)) found[i] = label + 1;
    }
    return found;
  }

  // A layer that draws itself. Objects of the target are dashed; the dashes of an object that was
  // both merged and split take turns.
  function paint(layer, maps, { only, taken }) {
    const { width, height } = maps;
    return drawing(layer.fates.map((fate) => {
      const dashed = fate.plane === "target";
      const pixels = mask(maps, layer.plane, fate, dashed ? only : taken ?? only);
      const path = trace({ left: 0, top: 0, width, height, mask: pixels });
      return { path, color: fate.color, dashed, shift: fate.title === "split" ? 5 : 0 };
    }));
  }

  // What became of the objects of a pixel, in words; empty if there is nothing to say.
  const describe = (layer, maps, i) => layer.fates
    .filter(({ bit }) => maps.planes[layer.plane][i] & bit).map(({ title }) => title).join(", ");

  return { describe, paint };
})();
