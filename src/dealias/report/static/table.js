// Tables whose headings sort them.
dealias.parts.push(() => {
  "use strict";
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    headings.forEach((heading, column) => {
      heading.querySelector("button")?.addEventListener("click", () => {
        // Text starts from A, numbers from the largest.
        const first = heading.dataset.order ?? "descending";
        const other = first === "ascending" ? "descending" : "ascending";
        const order = heading.getAttribute("aria-sort") === first ? other : first;
        for (const one of headings) one.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", order);
        body.append(...sorted([...body.rows], column, order === "ascending" ? 1 : -1));
      });
    });
  }

  function sorted(rows, column, direction) {
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    return rows.sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === ""); // not defined: last either way
      const numbers = [Number(x), Number(y)];
      if (numbers.some(Number.isNaN)) return direction * x.localeCompare(y, "en");
      return direction * (numbers[0] - numbers[1]);
    });
  }
});
