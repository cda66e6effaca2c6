// What is shown, kept in the fragment of the address so that it can be shared.
dealias.state = (() => {
  "use strict";
  let values = new URLSearchParams();
  const listeners = [];

  // Fragments without "=" are places on the page.
  function parse() {
    const text = location.hash.slice(1);
    if (text === "" || text.includes("=")) values = new URLSearchParams(text);
  }

  function changed(names) {
    for (const listener of listeners) listener(names);
  }

  // Change values, null to remove. A new entry of the history is for opening and closing.
  function set(changes, { entry = false } = {}) {
    const names = [];
    for (const [name, value] of Object.entries(changes)) {
      const text = value == null ? null : String(value);
      if (values.get(name) === text) continue;
      if (text == null) values.delete(name);
      else values.set(name, text);
      names.push(name);
    }
    if (!names.length) return;
    history[entry ? "pushState" : "replaceState"](null, "", address());
    changed(names);
  }

  const address = (changes = {}) => {
    const next = new URLSearchParams(values);
    for (const [name, value] of Object.entries(changes)) {
      if (value == null) next.delete(name);
      else next.set(name, value);
    }
    return `#${next}`;
  };

  function begin() {
    parse();
    changed(null);
    addEventListener("popstate", () => {
      parse();
      changed(null);
    });
  }

  return {
    address, begin, set,
    get: (name) => values.get(name),
    listen: (listener) => listeners.push(listener),
  };
})();
