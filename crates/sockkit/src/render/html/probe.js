'use strict';
// Looks at every page in its frame, and leaves what it found for the test, as JSON in base64.
addEventListener('load', () => {
  const found = [...document.querySelectorAll('iframe')].map((frame) => {
    const page = frame.contentDocument;
    const view = frame.contentWindow;
    const problems = [];
    const tips = [];
    const tip = page.getElementById('tip');
    const box = (element) => element.getBoundingClientRect();
    const fire = (element, type) => element.dispatchEvent(new view.PointerEvent(type, { bubbles: true }));
    const shows = (mark, how) => {
      const [at, width] = [box(tip), view.innerWidth];
      if (tip.hidden || tip.textContent !== mark.dataset.tip) problems.push(`${how} does not show: ${mark.dataset.tip}`);
      if (at.width < 20 || at.left < 0 || at.right > width) problems.push(`${how} shows out of sight: ${mark.dataset.tip}`);
    };

    // Marks are within their charts, and there is no chart without any.
    for (const svg of page.querySelectorAll('svg.plot, td.strip svg, table.rounds svg.strip')) {
      if (svg.closest('[aria-hidden=true]')) continue;
      const marks = svg.querySelectorAll('use.mark');
      if (marks.length === 0) problems.push(`no mark in ${svg.outerHTML.slice(0, 200)}`);
      const around = box(svg);
      for (const mark of marks) {
        const at = box(mark);
        const [x, y] = [at.left + at.width / 2, at.top + at.height / 2];
        const inside = x > around.left - 1 && x < around.right + 1 && y > around.top - 1 && y < around.bottom + 1;
        if (!(at.width > 4 && at.height > 4 && inside)) problems.push(`mark not in its chart: ${mark.dataset.tip}`);
      }
      for (const line of svg.querySelectorAll('path.line')) {
        const at = box(line);
        if (!(at.width > 20 && at.top > around.top - 1 && at.bottom < around.bottom + 1)) problems.push('line not in its chart');
      }
    }

    // What is hovered shows its tip, and so does what has the focus; arrows lead on.
    for (const mark of page.querySelectorAll('[data-tip]')) {
      tips.push(mark.dataset.tip);
      fire(mark, 'pointerover');
      shows(mark, 'hover');
      fire(mark, 'pointerout');
      if (!tip.hidden) problems.push(`stays: ${mark.dataset.tip}`);
    }
    for (const chart of page.querySelectorAll('svg[role=group], [data-marks]')) {
      const stops = chart.querySelectorAll('[data-tip][tabindex="0"]');
      if (stops.length !== 1) problems.push(`${stops.length} stops in a chart`);
      stops[0]?.focus();
      if (page.activeElement !== stops[0]) problems.push('a mark that takes no focus');
      else shows(stops[0], 'focus');
      const marks = [...chart.querySelectorAll('[data-tip]')];
      if (marks.length < 2) continue;
      stops[0].dispatchEvent(new view.KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
      if (page.activeElement !== marks[1]) problems.push('an arrow leads nowhere');
      else shows(marks[1], 'arrow');
    }
    fire(page.body, 'pointerout');
    page.activeElement.blur();

    // Nothing is loaded from anywhere, and nothing points to anywhere.
    for (const element of page.querySelectorAll('[src], [href], [action], [srcset], [background]')) {
      for (const name of ['src', 'href', 'action', 'srcset', 'background']) {
        const where = element.getAttribute(name);
        if (where !== null && !/^(#|blob:)/.test(where)) problems.push(`${name} to ${where}`);
      }
    }
    for (const entry of view.performance.getEntriesByType('resource')) problems.push(`loaded ${entry.name}`);
    for (const use of page.querySelectorAll('use')) {
      if (!page.querySelector(use.getAttribute('href'))) problems.push(`no shape ${use.getAttribute('href')}`);
    }
    const { scrollWidth } = page.documentElement;
    if (scrollWidth > view.innerWidth) problems.push(`${scrollWidth} wide in ${view.innerWidth}`);
    const save = page.querySelector('#save a');
    if (!save?.href.startsWith('blob:') || !save.download) problems.push('nothing to save');
    if (view.hit !== undefined) problems.push(`script of the document ran: ${view.hit}`);
    return {
      name: frame.title,
      width: view.innerWidth,
      problems,
      tips,
      headline: page.querySelector('h1').textContent,
      lang: page.documentElement.lang,
      document: JSON.parse(page.getElementById('sockkit-result').textContent),
      figures: page.querySelectorAll('figure').length,
      lines: page.querySelectorAll('svg path.line').length,
      saturated: page.querySelectorAll('.saturated').length,
    };
  });
  const bytes = new TextEncoder().encode(JSON.stringify(found));
  const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
  document.getElementById('found').textContent = btoa(text);
});
