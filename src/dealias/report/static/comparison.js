// How the images of two evaluations are told of; the second is compared with the first.
dealias.prepare = (data) => {
  "use strict";
  const { difference, element, number, percent, pixels } = dealias;
  const CHANGES = ["mended", "broken"];
  const change = (key) => data.changes.find((entry) => entry.key === key);
  data.columns = CHANGES.flatMap((key) =>
    data.kinds.map((kind) => ({ key, kind: kind.key, color: change(key).color })));
  data.most = "broken";
  data.front = "changes";
  data.slider = ["errors_a", "errors_b"];
  const gain = ({ scores: [before, after] }) =>
    before == null || after == null ? null : after - before;
  data.sorts = [
    { key: "loss", by: "score", order: "ascending", value: gain },
    { key: "gain", by: "score", order: "descending", value: gain },
    ...CHANGES.map((key) => ({ key, by: "count", order: "descending", columns: [key] })),
    { key: "name", by: "name", order: "ascending" },
  ];
  data.describe = (row) => {
    const value = gain(row);
    const way = value == null || value === 0 ? "same" : value > 0 ? "better" : "worse";
    const [before, after] = row.scores.map(percent);
    return [
      element("span", {}, "mIoU ", element("strong", { class: way }, difference(value))),
      " ", element("span", { class: "from-to" }, `${before} → ${after}`),
    ];
  };
  const both = (row, of, columns, total) => CHANGES.map((key) => {
    const own = columns.filter((i) => data.columns[i].key === key);
    return `${pixels(total(row, of, own))} ${key}`;
  });
  data.sum = (...about) => both(...about).join(", ");
  const counted = (row, key, kind) =>
    row.counts[data.columns.findIndex((one) => one.key === key && one.kind === kind)];
  data.count = (row, kind) => {
    const [mended, broken] = CHANGES.map((key) => number.format(counted(row, key, kind)));
    return `−${mended} +${broken} px`;
  };
  data.alternative = (row) => {
    const all = CHANGES.map((key) => {
      const sum = data.kinds.reduce((so, kind) => so + counted(row, key, kind.key), 0);
      return `${number.format(sum)} pixels ${key}`;
    });
    return `Changes of ${row.name}: ${all.join(", ")}`;
  };
};
