// Swaps in the view that the server renders, once a second, while somebody is looking.
const view = document.getElementById("view");
const live = document.getElementById("live");
const liveText = document.getElementById("live-text");
let shown = view.innerHTML;

function show(html) {
  if (html === shown) return;
  const scrolled = new Map();
  for (const box of view.querySelectorAll("[data-scroll]")) {
    scrolled.set(box.dataset.scroll, [box.scrollLeft, box.scrollTop]);
  }
  view.innerHTML = shown = html;
  for (const box of view.querySelectorAll("[data-scroll]")) {
    const place = scrolled.get(box.dataset.scroll);
    if (place) [box.scrollLeft, box.scrollTop] = place;
  }
}

async function refresh() {
  try {
    const answer = await fetch("/_sandbox/view", { cache: "no-store" });
    show(await answer.text());
    live.classList.remove("lost");
    liveText.textContent = "live";
  } catch {
    live.classList.add("lost");
    liveText.textContent = "sandbox stopped";
  }
}

setInterval(() => { if (!document.hidden) refresh(); }, 1000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
