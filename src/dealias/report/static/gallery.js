// The images as cards: filtered, sorted and paged.
dealias.gallery = {};
dealias.parts.push((data) => {
  "use strict";
  const { drawn, element, number, state } = dealias;
  const PAGE = 24;
  const section = document.getElementById("gallery");
  const find = (name) => section.querySelector(`#gallery-${name}`);
  const VALUES = ["sort", "order", "kind", "class", "as", "fate", "find", "page"];
  const width = data.columns.length; // counts of a row: in all, and again for each class
  let order = data.rows;

  // The counts of a row: in all, of one class, or of one pair of classes.
  function counts(row, { index, pair }) {
    if (index == null) return row.counts;
    const [flat, wanted] = pair == null ? [row.byClass, index] : [row.byPair, pair];
    for (let at = 0; at < flat.length; at += width + 1) {
      if (flat[at] === wanted) return flat.slice(at + 1, at + 1 + width);
    }
    return [];
  }

  // The objects of a row with a fate: in all, or of one class.
  function fated(row, { fate, index }) {
    const place = 1 + data.fates.indexOf(fate ?? data.fates[0]);
    const own = row.objects.filter(([label]) => index == null || label === index);
    return own.reduce((sum, counts) => sum + counts[place], 0);
  }

  function total(row, of, columns) {
    const found = counts(row, of);
    return columns.reduce((sum, column) => sum + (found[column] ?? 0), 0);
  }

  function settings() {
    const sort = data.sorts.find(({ key }) => key === state.get("sort")) ?? data.sorts[0];
    const kind = data.kinds.find(({ key }) => key === state.get("kind"))?.key ?? null;
    const index = data.classIndex.get(state.get("class")) ?? null;
    const as = data.classIndex.get(state.get("as"));
    const pair = data.pairs.findIndex((one) => one[0] === index && one[1] === as);
    const counted = (column) => (kind ? column.kind === kind : !column.right);
    const columns = [...data.columns.keys()].filter((i) => counted(data.columns[i]));
    return {
      sort, kind, index, columns,
      fate: data.fates?.find((fate) => fate === state.get("fate")) ?? null,
      of: { index, pair: pair < 0 ? null : pair },
      only: index == null ? null : data.classes[index].name,
      taken: pair < 0 ? null : data.classes[as].name,
      text: (state.get("find") ?? "").toLowerCase(),
      reversed: state.get("order") === "reversed",
      page: Math.max(1, Math.trunc(Number(state.get("page"))) || 1),
    };
  }

  // What a row is sorted by; null comes last.
  function measure(chosen) {
    const { sort, of, columns } = chosen;
    if (sort.by === "name") return null;
    if (sort.by === "fate") return (row) => fated(row, chosen);
    if (sort.by === "score") return (row) => sort.value(row);
    const wanted = (i) => !sort.columns || sort.columns.includes(data.columns[i].key);
    const own = columns.filter(wanted);
    const used = own.length ? own : [...data.columns.keys()].filter(wanted);
    return (row) => total(row, of, used);
  }

  function arrange() {
    const chosen = settings();
    const { index, of, columns, kind, fate, text, sort } = chosen;
    let rows = data.rows;
    if (fate != null) rows = rows.filter((row) => fated(row, chosen) > 0);
    if (kind != null || (index != null && fate == null)) {
      rows = rows.filter((row) => total(row, of, columns) > 0);
    }
    if (text) rows = rows.filter((row) => row.name.toLowerCase().includes(text));
    const value = measure(chosen);
    const down = (sort.order === "descending") !== chosen.reversed ? -1 : 1;
    if (value == null) order = down > 0 ? [...rows] : [...rows].reverse();
    else {
      const keyed = rows.map((row, place) => ({ row, place, value: value(row) }));
      keyed.sort((a, b) => {
        if (a.value == null || b.value == null) return (a.value == null) - (b.value == null);
        return down * (a.value - b.value) || a.place - b.place;
      });
      order = keyed.map(({ row }) => row);
    }
    return chosen;
  }

  function update(names) {
    if (names && !names.some((name) => VALUES.includes(name))) return;
    const chosen = arrange();
    const pages = Math.max(1, Math.ceil(order.length / PAGE));
    const page = Math.min(chosen.page, pages);
    const first = (page - 1) * PAGE;
    find("sort").value = chosen.sort.key;
    find("kind").value = chosen.kind ?? "";
    find("class").value = chosen.only ?? "";
    if (data.fates) find("fate").value = chosen.fate ?? "";
    const takers = data.pairs.filter(([target]) => target === chosen.index);
    const named = takers.map(([, as]) => element("option", {}, data.classes[as].name));
    find("as").replaceChildren(element("option", { value: "" }, "any"), ...named);
    find("as").value = chosen.taken ?? "";
    find("taken").hidden = !takers.length;
    if (find("find") !== document.activeElement) find("find").value = state.get("find") ?? "";
    find("order").setAttribute("aria-pressed", String(chosen.reversed));
    const part = order.slice(first, first + PAGE);
    find("cards").replaceChildren(...part.map((row) => card(row, chosen)));
    const all = order.length === data.rows.length ? "" : ` of ${number.format(data.rows.length)}`;
    find("found").textContent = order.length
      ? `${number.format(order.length)}${all} images, ${first + 1} to ${first + part.length} shown`
      : "No images match.";
    find("page").textContent = `Page ${number.format(page)} of ${number.format(pages)}`;
    find("previous").disabled = page <= 1;
    find("next").disabled = page >= pages;
    find("pages").hidden = pages === 1;
  }

  function card(row, chosen) {
    const name = element("span", { class: "card-name" }, row.name);
    const about = element("span", { class: "card-scores" }, ...data.describe(row));
    if (chosen.fate) about.append(`, ${number.format(fated(row, chosen))} ${chosen.fate}`);
    if (!data.pictures) return element("li", {}, element("div", { class: "card" }, name, about));
    const bar = shares(row, chosen);
    const picture = element("img", {
      src: `assets/thumbs/${row.key}.webp`, loading: "lazy", decoding: "async",
      width: row.thumb[0], height: row.thumb[1], alt: data.alternative(row),
    });
    if (row.thumb[0] < 200) picture.classList.add("coarse");
    const { only, taken, kind: kinds } = chosen;
    const shown = { image: row.name, only, taken, kinds };
    const href = state.address(shown);
    const link = element("a", { class: "card", href }, picture, name, about, bar);
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      state.set(shown, { entry: true });
    });
    return element("li", {}, link);
  }

  // A bar of the counts by column, and the number of pixels that the filters let through.
  function shares(row, { of, columns }) {
    const found = counts(row, of);
    const sum = total(row, of, columns);
    const svg = drawn("svg", {
      class: "shares", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true",
    });
    let at = 0;
    for (const column of columns) {
      const length = sum ? (100 * (found[column] ?? 0)) / sum : 0;
      const fill = dealias.color(data.columns[column].color);
      svg.append(drawn("rect", { x: at, y: 0, width: length, height: 6, fill }));
      at += length;
    }
    const text = element("span", { class: "count" }, data.sum(row, of, columns, total));
    return element("span", { class: "card-bar" }, svg, text);
  }

  // Asking for a kind or a class of errors means to see where there are most of them.
  function filter(changes) {
    const sorted = data.sorts.find(({ key }) => key === state.get("sort"));
    const most = sorted ? {} : { sort: data.most };
    state.set({ ...changes, ...most, page: null });
  }

  find("sort").addEventListener("change", () => state.set({ sort: find("sort").value, page: null }));
  find("order").addEventListener("click", () => {
    state.set({ order: state.get("order") ? null : "reversed", page: null });
  });
  find("kind").addEventListener("change", () => filter({ kind: find("kind").value || null }));
  find("class").addEventListener("change", () => filter({ class: find("class").value || null, as: null }));
  find("fate")?.addEventListener("change", () => {
    const fate = find("fate").value || null;
    state.set({ fate, sort: fate ? "objects" : null, page: null });
  });
  find("as").addEventListener("change", () => filter({ as: find("as").value || null }));
  find("find").addEventListener("input", () => state.set({ find: find("find").value || null, page: null }));
  find("clear").addEventListener("click", () => {
    find("find").value = "";
    state.set(Object.fromEntries(VALUES.map((name) => [name, null])));
  });
  const turn = (step) => {
    state.set({ page: settings().page + step });
    find("found").scrollIntoView({ block: "start" });
  };
  find("previous").addEventListener("click", () => turn(-1));
  find("next").addEventListener("click", () => turn(1));
  section.querySelector("form").addEventListener("submit", (event) => event.preventDefault());

  // Links elsewhere on the page that filter the gallery.
  for (const link of document.querySelectorAll("[data-filter-class]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const { filterKind: kind, filterClass, filterAs: as, filterFate: fate } = link.dataset;
      const chosen = { kind, class: filterClass, as, fate, find: null };
      state.set({ ...chosen, sort: fate ? "objects" : data.most, page: null, order: null });
      section.scrollIntoView();
      section.querySelector("h2").focus();
    });
  }

  dealias.gallery.order = () => order;
  state.listen(update);
});
