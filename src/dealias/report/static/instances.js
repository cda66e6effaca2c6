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
  data.describe = (row) => {
    const found = number.format(sum(row, ["found"]));
    const all = number.format(sum(row, ["found", "missed"]));
    const wrong = number.format(sum(row, errors.filter((key) => key !== "missed")));
    return [element("span", {}, element("strong", {}, found), ` of ${all} found, `,
      element("strong", {}, wrong), " false")];
  };
  data.sum = (row, index, columns, total) => {
    const count = total(row, index, columns);
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
