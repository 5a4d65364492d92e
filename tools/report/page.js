// What a report does by itself: tables that sort, and the number of the cell that is pointed at. Without it, it still
// says everything.
"use strict";

function sortable(table) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      const cells = (row) => row.cells[column];
      const key = (row) => cells(row).dataset.sort ?? cells(row).textContent;
      const order = (a, b) => {
        const [x, y] = [key(a), key(b)];
        // What has no value is last, whichever way.
        if ((x === "") !== (y === "")) return x === "" ? 1 : -1;
        const [p, q] = [Number(x), Number(y)];
        const less = Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y, "en", { numeric: true }) : p - q;
        return down ? -less : less;
      };
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      body.append(...[...body.rows].sort(order));
    });
  });
}

// The cells of a grid are one picture; which of them is pointed at follows from where.
function pointed(drawing) {
  const tips = JSON.parse(drawing.dataset.tips);
  const picture = drawing.querySelector("svg image");
  if (!picture || !tips.length) return;
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const cell = (event) => {
    const box = picture.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * tips.length);
    const column = Math.floor(((event.clientX - box.left) / box.width) * tips[0].length);
    return (tips[row] ?? [])[column];
  };
  drawing.addEventListener("pointermove", (event) => {
    const text = cell(event);
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const across = Math.min(event.clientX + 14, document.documentElement.clientWidth - tip.offsetWidth - 4);
    tip.style.left = `${Math.max(4, across)}px`;
    tip.style.top = `${event.clientY + 18}px`;
  });
  drawing.addEventListener("pointerleave", () => (tip.hidden = true));
  drawing.addEventListener("click", (event) => {
    const site = (cell(event) ?? "").split(":")[0];
    document.querySelectorAll("tr.picked").forEach((row) => row.classList.remove("picked"));
    // Among many experiments the row is in the table of this one.
    const own = [...document.querySelectorAll("table[data-of]")].filter((table) => table.dataset.of === drawing.dataset.of);
    const row = site && (own[0] ?? document).querySelector(`tr[data-site="${CSS.escape(site)}"]`);
    if (row) {
      if (!row.offsetParent) row.closest(".wide").nextElementSibling?.click();
      row.classList.add("picked");
      row.scrollIntoView({ block: "nearest" });
    }
  });
}

// What is wider than the page is scrolled, also by who has no pointer.
function scrolled() {
  document.querySelectorAll(".wide, .drawn, figure").forEach((box) => {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });
}

document.querySelectorAll("table.sorts").forEach(sortable);
document.querySelectorAll("[data-tips]").forEach(pointed);
