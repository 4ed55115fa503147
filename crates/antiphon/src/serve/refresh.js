(() => {
  const root = document.documentElement;
  let live = document.getElementById('live');
  let misses = 0;
  const wait = () => Number(live.dataset.refresh || 0) * 1000 * Math.min(2 ** misses, 20);
  const plan = () => { if (wait()) setTimeout(tick, wait()); };
  const busy = () => {
    const chosen = getSelection();
    return document.hidden || (chosen && !chosen.isCollapsed && live.contains(chosen.anchorNode));
  };
  const swap = (next) => {
    const open = new Map([...live.querySelectorAll('details[id]')].map((it) => [it.id, it.open]));
    const places = [...live.querySelectorAll('[data-scroll]')].map((it) =>
      [it.id, it.scrollTop, it.scrollLeft, it.scrollTop + it.clientHeight > it.scrollHeight - 4]);
    const active = document.activeElement;
    const focus = live.contains(active) && (active.id ? '#' + CSS.escape(active.id)
      : active.getAttribute('href') ? `a[href="${CSS.escape(active.getAttribute('href'))}"]` : null);
    live.replaceWith(next);
    live = next;
    open.forEach((is, id) => { const it = document.getElementById(id); if (it) it.open = is; });
    places.forEach(([id, top, left, end]) => {
      const it = document.getElementById(id);
      if (it) { it.scrollTop = end ? it.scrollHeight : top; it.scrollLeft = left; }
    });
    if (focus) { const it = live.querySelector(focus); if (it) it.focus({ preventScroll: true }); }
  };
  const tick = async () => {
    if (busy()) { plan(); return; }
    try {
      const answer = await fetch(location.href, { headers: { 'X-Fragment': '1' }, cache: 'no-store' });
      if (answer.status === 401) { location.reload(); return; }
      const text = await answer.text();
      const next = new DOMParser().parseFromString(text, 'text/html').getElementById('live');
      if (next) swap(document.adoptNode(next));
      misses = answer.ok ? 0 : misses + 1;
      root.dataset.refreshed = Number(root.dataset.refreshed || 0) + 1;
      root.classList.remove('away');
    } catch {
      misses += 1;
      root.classList.add('away');
    }
    plan();
  };
  for (const it of live.querySelectorAll('[data-scroll]')) it.scrollTop = it.scrollHeight;
  plan();
})();
