// What a page of the tracker does in addition to a report: shorten long tables, copy commands, and follow a running
// study. Without this script every page is still complete.

// Show only the first rows of a long table until the user asks for all.
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

function copies(button) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

// A clock: updates each second, and at once when a part of the page is replaced.
function tick() {
  document.querySelectorAll("[data-since]").forEach((clock) => {
    const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(clock.dataset.since)) / 1000));
    clock.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    clock.parentElement.hidden = false;
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
      tick();
      say("This study is running; the page updates itself.");
    } catch (error) {
      say(`The tracker does not answer (${error.message}); trying again.`);
    }
    setTimeout(look, 2000);
  };
  look();
}

document.querySelectorAll("main table.long").forEach(shortened);
document.querySelectorAll(".copy").forEach(copies);
if (document.querySelector("[data-since]")) setInterval(tick, 1000);
document.querySelectorAll("[data-live]").forEach(follows);
