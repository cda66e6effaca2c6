// How the images of one evaluation are told of.
dealias.prepare = (data) => {
  "use strict";
  const { element, number, percent, pixels } = dealias;
  data.columns = data.kinds.map(({ key, color }) => ({ key, kind: key, color }));
  data.most = "wrong";
  data.front = "errors";
  data.slider = ["prediction", "target"];
  data.sorts = [
    { key: "miou", by: "score", order: "ascending", value: (row) => row.scores[0] },
    { key: "wrong", by: "count", order: "descending" },
    ...data.kinds.map(({ key }) => ({ key, by: "count", order: "descending", columns: [key] })),
    ...(data.fates ? [{ key: "objects", by: "fate", order: "descending" }] : []),
    { key: "name", by: "name", order: "ascending" },
  ];
  data.rows.forEach((row, place) => { row.objects = data.objects?.[place] ?? []; });
  data.describe = (row) => [
    element("span", {}, "mIoU ", element("strong", {}, percent(row.scores[0]))),
  ];
  data.sum = (row, of, columns, total) => `${pixels(total(row, of, columns))} wrong`;
  const column = (key) => data.kinds.findIndex((kind) => kind.key === key);
  data.count = (row, key) => pixels(row.counts[column(key)]);
  data.alternative = (row) => {
    const told = data.kinds.map(({ title }, i) => `${title.toLowerCase()} ${number.format(row.counts[i])}`);
    return `Errors of ${row.name} in pixels: ${told.join(", ")}`;
  };
};
