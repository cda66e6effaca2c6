// How the images of a test for instances are told of.
dealias.prepare = (data) => {
  "use strict";
  const { element, number } = dealias;
  const column = (key) => data.kinds.findIndex((kind) => kind.key === key);
  data.columns = data.kinds.map(({ key, color }) => ({ key, kind: key, color, right: key === "found" }));
  const errors = data.columns.filter(({ right }) => !right).map(({ key }) => key);
  const sum = (row, keys) => keys.reduce((all, key) => all + row.counts[column(key)], 0);
  const recall = (row) => {
    const all = sum(row, ["found", "missed"]);
    return all ? sum(row, ["found"]) / all : null;
  };
  data.most = "wrong";
  data.front = "errors";
  data.slider = ["prediction", "target"];
  data.sorts = [
    { key: "wrong", by: "count", order: "descending" },
    ...errors.map((key) => ({ key, by: "count", order: "descending", columns: [key] })),
    { key: "recall", by: "score", order: "ascending", value: recall },
    { key: "name", by: "name", order: "ascending" },
  ];
  // By the page's lowest score, or by the one that is chosen where the maps are at hand.
  data.describe = (row, chosen) => {
    const one = (key) => chosen
      ? dealias.outlines.count(data, chosen.maps, key, chosen.score)
      : row.counts[column(key)];
    const wrong = errors.filter((key) => key !== "missed").reduce((all, key) => all + one(key), 0);
    const found = one("found");
    return [element("span", {}, element("strong", {}, number.format(found)),
      ` of ${number.format(found + one("missed"))} found, `,
      element("strong", {}, number.format(wrong)), " false")];
  };
  data.sum = (row, of, columns, total) => {
    const count = total(row, of, columns);
    const noun = columns.every((i) => data.columns[i].right) ? "found" : count === 1 ? "error" : "errors";
    return `${number.format(count)} ${noun}`;
  };
  data.count = (row, key, maps, score) => number.format(dealias.outlines.count(data, maps, key, score));
  data.present = (maps) => dealias.outlines.present(maps);
  data.alternative = (row) => {
    const told = data.kinds.map(({ title }, i) => `${title.toLowerCase()} ${number.format(row.counts[i])}`);
    return `Instances of ${row.name}: ${told.join(", ")}`;
  };
};
