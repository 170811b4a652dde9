'use strict';
{
  const tip = document.createElement('div');
  tip.id = 'tip';
  tip.setAttribute('role', 'tooltip');
  tip.hidden = true;
  document.body.append(tip);

  let shown = null;
  const hide = () => { shown = null; tip.hidden = true; };
  const show = (mark) => {
    shown = mark;
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const at = mark.getBoundingClientRect();
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    const middle = at.left + at.width / 2 - tip.offsetWidth / 2;
    const above = at.top - tip.offsetHeight - 8;
    tip.style.left = `${Math.max(8, Math.min(middle, room))}px`;
    tip.style.top = `${above < 8 ? at.bottom + 8 : above}px`;
  };
  const tipped = (event) => event.target.closest?.('[data-tip]');
  for (const type of ['pointerover', 'mouseover', 'focusin']) {
    document.addEventListener(type, (event) => { const mark = tipped(event); if (mark) show(mark); });
  }
  for (const type of ['pointerout', 'mouseout', 'focusout']) {
    document.addEventListener(type, (event) => { if (tipped(event)) hide(); });
  }
  document.addEventListener('scroll', () => shown && show(shown), { capture: true, passive: true });

  // A chart is one stop of the tab key; within it, the arrows go from mark to mark.
  const chartOf = (mark) => mark?.closest('[data-marks]') ?? mark?.closest('svg[role=group]');
  const charts = new Map();
  for (const mark of document.querySelectorAll('[data-tip]')) {
    const chart = chartOf(mark);
    if (!chart) {
      mark.setAttribute('tabindex', '0');
      mark.setAttribute('aria-describedby', 'tip');
      continue;
    }
    if (!charts.has(chart)) charts.set(chart, []);
    const marks = charts.get(chart);
    mark.setAttribute('tabindex', marks.length ? '-1' : '0');
    mark.setAttribute('aria-label', mark.dataset.tip.replaceAll('\n', ', '));
    marks.push(mark);
  }
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') hide();
    const marks = charts.get(chartOf(tipped(event)));
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const next = step && marks?.[marks.indexOf(tipped(event)) + step];
    if (!next) return;
    event.preventDefault();
    tipped(event).setAttribute('tabindex', '-1');
    next.setAttribute('tabindex', '0');
    next.focus();
  });

  const save = document.createElement('a');
  const json = document.getElementById('sockkit-result').textContent;
  save.textContent = 'Save the result as JSON';
  save.download = 'sockkit-result.json';
  save.href = URL.createObjectURL(new Blob([json], { type: 'application/json' }));
  document.getElementById('save').append(save);
}
