// Label maps, loaded as scripts when they are needed.
dealias.maps = (() => {
  "use strict";
  const KEPT = 6;
  const loading = new Map(); // key -> {promise, resolve}, the latest last

  // The planes of an image, {height, width, planes: {name: Uint8Array | Uint16Array}}, and what
  // else its script has.
  function load(key) {
    const known = loading.get(key);
    if (known) {
      loading.delete(key);
      loading.set(key, known);
      return known.promise;
    }
    const entry = {};
    entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
    loading.set(key, entry);
    const script = dealias.element("script", { src: `assets/maps/${key}.js` });
    script.addEventListener("load", () => script.remove());
    script.addEventListener("error", () => {
      script.remove();
      loading.delete(key);
      entry.reject(new Error(`assets/maps/${key}.js can't be read`));
    });
    document.head.append(script);
    for (const old of loading.keys()) {
      if (loading.size <= KEPT) break;
      loading.delete(old);
    }
    return entry.promise;
  }

  // What the scripts call.
  function receive(key, packed) {
    const entry = loading.get(key);
    if (entry) unpack(packed).then(entry.resolve, entry.reject);
  }

  async function unpack({ bytes: sizes, data: text, ...others }) {
    const planes = {};
    if (!text) return { ...others, planes };
    const { height, width } = others;
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const data = await new Response(stream).arrayBuffer();
    let start = 0;
    for (const [name, size] of Object.entries(sizes)) {
      const length = height * width * size;
      const own = data.slice(start, start + length);
      const plane = size === 1 ? new Uint8Array(own) : new Uint16Array(own);
      for (let i = width; i < plane.length; i++) plane[i] ^= plane[i - width];
      planes[name] = plane;
      start += length;
    }
    return { ...others, planes };
  }

  return { load, receive };
})();
