// What a report does by itself: tables that sort, and the number of the mark that is pointed at. Without it, it still
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

// What a mark of a drawing says, to the pointer and to the arrow keys: left and right go through the marks, up and down to
// the next one there. A mark is its name, what is said of it, and x, y, width and height of each of its boxes.
const NEAR = 16;
const tip = document.createElement("div");
const spot = document.createElement("div");
tip.className = "tip";
tip.setAttribute("role", "status");
spot.className = "spot";

function pointed(drawing) {
  const svg = drawing.querySelector("svg");
  const marks = JSON.parse(drawing.dataset.tips).map(([name, said, ...ends]) => ({
    name,
    said,
    boxes: Array.from({ length: ends.length / 4 }, (_, k) => ends.slice(4 * k, 4 * k + 4)),
  }));
  let at = -1;
  const scale = () => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  const away = ([x, y, width, height], px, py) =>
    Math.hypot(Math.max(x - px, 0, px - x - width), Math.max(y - py, 0, py - y - height));
  const under = (event) => {
    const [box, by] = [svg.getBoundingClientRect(), scale()];
    const [x, y] = [(event.clientX - box.left) / by, (event.clientY - box.top) / by];
    const far = marks.map((mark) => Math.min(...mark.boxes.map((one) => away(one, x, y))));
    const nearest = far.indexOf(Math.min(...far));
    return far[nearest] * by <= NEAR ? nearest : -1;
  };
  // Below the pointer, or below the mark that a key has reached.
  const show = (next, event) => {
    at = next;
    tip.hidden = spot.hidden = at < 0;
    if (at < 0) return;
    const { name, said, boxes } = marks[at];
    const by = scale();
    const [x, y, width, height] = boxes[Math.floor(boxes.length / 2)].map((end) => end * by);
    const [least, room] = [width && height ? 0 : 12, drawing.getBoundingClientRect()];
    const [left, top] = [svg.getBoundingClientRect().left, svg.getBoundingClientRect().top];
    drawing.append(spot);
    spot.classList.toggle("round", least > 0);
    spot.style.left = `${left - room.left + drawing.scrollLeft + x + width / 2 - Math.max(width, least) / 2}px`;
    spot.style.top = `${top - room.top + drawing.scrollTop + y + height / 2 - Math.max(height, least) / 2}px`;
    spot.style.width = `${Math.max(width, least)}px`;
    spot.style.height = `${Math.max(height, least)}px`;
    if (!event) spot.scrollIntoView({ block: "nearest", inline: "nearest" });
    // A name in letters from right to left leaves the number where it is.
    const who = document.createElement("bdi");
    who.dir = "ltr";
    who.textContent = name;
    tip.replaceChildren(who, `: ${said}`);
    const here = spot.getBoundingClientRect();
    const [px, py] = event ? [event.clientX + 14, event.clientY + 18] : [here.right, here.bottom + 6];
    const [wide, tall] = [document.documentElement.clientWidth, document.documentElement.clientHeight];
    tip.style.left = `${Math.max(4, Math.min(px, wide - tip.offsetWidth - 4))}px`;
    tip.style.top = `${py + tip.offsetHeight < tall ? py : (event ? event.clientY : here.top) - tip.offsetHeight - 8}px`;
  };
  const below = (sign) => {
    const middle = ([x, y, width, height]) => [x + width / 2, y + height / 2];
    const [x, y] = middle(marks[at].boxes[0]);
    const far = marks.map((mark) => {
      const [nx, ny] = middle(mark.boxes[0]);
      return sign * (ny - y) > 0.5 ? sign * (ny - y) + 3 * Math.abs(nx - x) : Infinity;
    });
    const nearest = far.indexOf(Math.min(...far));
    return far[nearest] < Infinity ? nearest : at;
  };
  const pick = () => {
    document.querySelectorAll("tr.picked").forEach((row) => row.classList.remove("picked"));
    // Among many experiments the row is in the table of this one.
    const own = [...document.querySelectorAll("table[data-of]")].filter((table) => table.dataset.of === drawing.dataset.of);
    const row = at >= 0 && (own[0] ?? document).querySelector(`tr[data-site="${CSS.escape(marks[at].name)}"]`);
    if (!row) return;
    if (!row.offsetParent) row.closest(".wide").nextElementSibling?.click();
    row.classList.add("picked");
    row.scrollIntoView({ block: "nearest" });
  };
  const last = marks.length - 1;
  const keys = {
    ArrowRight: () => Math.min(at + 1, last),
    ArrowLeft: () => Math.max(at - 1, 0),
    ArrowDown: () => (at < 0 ? 0 : below(1)),
    ArrowUp: () => (at < 0 ? 0 : below(-1)),
    Home: () => 0,
    End: () => last,
    Escape: () => -1,
  };
  drawing.tabIndex = 0;
  drawing.setAttribute("role", "application");
  drawing.setAttribute("aria-label", `${svg.querySelector("title").textContent}. Arrow keys tell the numbers.`);
  drawing.addEventListener("pointermove", (event) => event.pointerType !== "touch" && show(under(event), event));
  drawing.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && show(-1));
  drawing.addEventListener("blur", () => show(-1));
  drawing.addEventListener("click", (event) => {
    // A finger that points asks first; the second time it goes to the row.
    const [before, next] = [at, under(event)];
    show(next, event);
    if (event.pointerType !== "touch" || before === next) pick();
  });
  drawing.addEventListener("keydown", (event) => {
    if (event.key === "Enter") pick();
    else if (keys[event.key] && !event.ctrlKey && !event.altKey && !event.metaKey) show(keys[event.key]());
    else return;
    event.preventDefault();
  });
}

// What is wider than the page is scrolled, also by who has no pointer.
function scrolled() {
  document.querySelectorAll(".wide, .drawn, figure").forEach((box) => {
    if (box.scrollWidth > box.clientWidth || box.dataset.tips) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });
}

document.querySelectorAll("table.sorts").forEach(sortable);
tip.hidden = spot.hidden = true;
document.body.append(tip);
document.querySelectorAll("[data-tips]").forEach(pointed);
document.querySelectorAll(".hint").forEach((hint) => (hint.hidden = false));
addEventListener("resize", scrolled);
scrolled();
