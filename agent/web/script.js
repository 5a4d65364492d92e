// What a page does by itself: tables that sort, the number of the cell that is pointed at, commands to copy, and a
// study that is going on. Without it every page still says everything.
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

// Of a long table the first rows, as it is sorted, until somebody wants all.
function shortened(table) {
  const count = table.tBodies[0].rows.length;
  if (count <= 30) return;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = `Show all ${count}`;
  button.addEventListener("click", () => {
    table.classList.remove("few");
    button.remove();
  });
  table.classList.add("few");
  table.parentElement.after(button);
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
    const row = site && document.querySelector(`tr[data-site="${CSS.escape(site)}"]`);
    if (row) {
      if (!row.offsetParent) row.closest(".wide").nextElementSibling.click();
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

function copies(button) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

function follows(story) {
  const now = story.querySelector(".now");
  const shown = {};
  const say = (text) => {
    now.hidden = false;
    if (now.textContent !== text) now.textContent = text;
  };
  const look = async () => {
    try {
      const answer = await fetch(story.dataset.live, { cache: "no-store" });
      const found = await answer.json();
      if (!answer.ok) throw new Error(found.error);
      if (found.status !== story.dataset.status) {
        location.reload();
        return;
      }
      for (const [name, html] of Object.entries(found.parts)) {
        if (shown[name] !== undefined && shown[name] !== html) {
          story.querySelector(`[data-part="${name}"]`).innerHTML = html;
        }
        shown[name] = html;
      }
      say("This study is going on; the page follows it.");
    } catch (error) {
      say(`The tracker does not answer (${error.message}); asking again.`);
    }
    setTimeout(look, 2000);
  };
  look();
}

document.querySelectorAll("table.sorts").forEach(sortable);
document.querySelectorAll("main table.long").forEach(shortened);
document.querySelectorAll("[data-tips]").forEach(pointed);
document.querySelectorAll(".copy").forEach(copies);
addEventListener("resize", scrolled);
scrolled();
document.querySelectorAll("[data-live]").forEach(follows);
