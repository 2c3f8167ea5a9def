"use strict";
// Draws the charts of the report in #report. Colours come from the style sheet
// and follow the reader's scheme.
(() => {
  const report = JSON.parse(document.getElementById("report").textContent);
  const plots = document.getElementById("plots");
  if (!plots) return;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const number = (v) => v == null ? "–" : Math.abs(v) >= 100 || Number.isInteger(v) ? Math.round(v).toLocaleString("en") : Number(v.toPrecision(3)).toString();
  const height = 250, named = 3; // a chart with more marks has their numbers, and the page the list
  let drawn = [];

  // time writes seconds, as minutes and seconds where there are many.
  const time = (s, last) => {
    if (last < 300) return number(s) + " s";
    const whole = Math.round(s);
    return Math.floor(whole / 60) + ":" + String(whole % 60).padStart(2, "0");
  };
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200]; // seconds
  // whole says that a chart is over the whole run: all such have one axis and one cursor.
  const whole = (chart) => chart.x_unit === "s" && chart.x[0] >= 0 && chart.x[chart.x.length - 1] <= report.took;
  const where = (chart) => { const last = chart.x[chart.x.length - 1]; return (v) => v == null ? "" : chart.x_unit === "s" ? time(v, last) : number(v); };

  // What went on, as grounds behind the lines.
  const spans = (list) => ({ hooks: { drawClear: [(u) => {
    const c = u.ctx, ratio = devicePixelRatio, box = u.bbox, right = box.left + box.width;
    c.save();
    c.font = `${11 * ratio}px system-ui, sans-serif`;
    (list || []).forEach((s, i) => {
      const from = Math.max(box.left, u.valToPos(s.from, "x", true)), to = Math.min(right, u.valToPos(s.to, "x", true));
      if (to <= from) return;
      c.fillStyle = colour(s.bad ? "--bad" : "--faint");
      c.globalAlpha = s.bad ? 0.13 : i % 2 ? 0.05 : 0.11;
      c.fillRect(from, box.top, to - from, box.height);
      c.globalAlpha = 1;
      c.fillStyle = colour("--faint");
      if (c.measureText(s.text).width + 8 * ratio < to - from) c.fillText(s.text, from + 4 * ratio, box.top + box.height - 5 * ratio);
    });
    c.restore();
  }] } });

  // Lines for the moments that the chart points out, with their texts or numbers.
  const marks = (list) => ({ hooks: { draw: [(u) => {
    const c = u.ctx, ratio = devicePixelRatio, box = u.bbox, few = (list || []).length <= named;
    c.save();
    c.font = `${11 * ratio}px system-ui, sans-serif`;
    let row = 0, before = -1e9;
    (list || []).forEach((m, i) => {
      const x = u.valToPos(m.x, "x", true), text = few ? m.text : String(i + 1);
      if (!(x >= box.left && x <= box.left + box.width)) return;
      row = x - before < (few ? 1e9 : 14 * ratio) ? row + 1 : 0;
      before = x;
      c.strokeStyle = c.fillStyle = colour(m.bad ? "--bad" : "--good");
      c.lineWidth = ratio;
      c.setLineDash([4 * ratio, 3 * ratio]);
      c.beginPath(); c.moveTo(x, box.top); c.lineTo(x, box.top + box.height); c.stroke();
      const width = c.measureText(text).width, y = box.top + (12 + 14 * (row % 6)) * ratio;
      const left = x + width + 8 * ratio < box.left + box.width;
      c.fillStyle = colour("--panel"); c.globalAlpha = 0.85;
      c.fillRect(left ? x + ratio : x - width - 6 * ratio, y - 11 * ratio, width + 5 * ratio, 14 * ratio);
      c.globalAlpha = 1; c.fillStyle = c.strokeStyle;
      c.textAlign = left ? "left" : "right";
      c.fillText(text, x + (left ? 4 : -4) * ratio, y);
    });
    c.restore();
  }] } });

  const options = (chart, width) => {
    const ink = colour("--faint"), grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: ink, grid, ticks: grid, font: "12px system-ui, sans-serif" };
    const bars = chart.kind === "bars", points = chart.kind === "points", at = where(chart);
    return {
      width, height, plugins: [spans(chart.spans), marks(chart.marks)], legend: { live: true }, cursor: { y: false, sync: whole(chart) ? { key: "run" } : undefined },
      scales: { x: { time: false, distr: chart.log_x ? 3 : 1, ...(whole(chart) ? { range: [0, report.took] } : {}) }, y: chart.log_y ? { distr: 3 } : { range: (u, lo, hi) => [Math.min(0, lo ?? 0), hi > 0 ? hi * 1.08 : 1] } },
      axes: [
        { ...axis, values: (u, list) => list.map(at), ...(chart.x_unit === "s" ? { incrs: steps } : {}) },
        { ...axis, size: 64, values: (u, list) => list.map((v) => v == null ? "" : number(v)) },
      ],
      series: [
        { label: chart.x_unit === "s" ? "time" : chart.x_unit, value: (u, v) => v == null ? "" : at(v) },
        ...chart.series.map((s, i) => ({
          label: s.name, stroke: colour(`--s${i % 8}`), width: bars ? 0 : 1.75,
          points: points ? { show: true, size: 4.5, width: 0, fill: colour(`--s${i % 8}`) } : { show: !bars && chart.x.length < 30 },
          fill: bars ? colour(`--s${i % 8}`) : undefined,
          paths: bars ? uPlot.paths.bars({ size: [0.9, 64] }) : points ? () => null : undefined,
          value: (u, v) => v == null ? "" : number(v), spanGaps: false,
        })),
      ],
    };
  };

  // The moments that charts only number, once for all of them.
  const moments = () => {
    const chart = (report.charts || []).find((c) => (c.marks || []).length > named);
    const list = document.getElementById("moments");
    if (!chart || !list) return;
    const last = chart.x[chart.x.length - 1];
    list.replaceChildren(...chart.marks.map((m) => {
      const item = document.createElement("li");
      item.textContent = `${m.text}, ${time(m.x, last)}`;
      item.className = m.bad ? "failed" : "passed";
      return item;
    }));
  };

  const draw = () => {
    drawn.forEach((u) => u.destroy());
    plots.replaceChildren();
    // All boxes first: how wide one is depends on how many there are.
    const boxes = (report.charts || []).map((chart) => {
      const box = document.createElement("figure");
      box.className = "plot"; box.style.margin = 0; box.id = "chart-" + chart.id;
      const title = document.createElement("h3"), unit = document.createElement("small");
      title.textContent = chart.title; unit.textContent = chart.unit; title.append(unit); box.append(title);
      plots.append(box);
      return box;
    });
    drawn = boxes.map((box, i) => {
      const chart = report.charts[i];
      const u = new uPlot(options(chart, box.clientWidth - 26), [chart.x, ...chart.series.map((s) => s.values)], box);
      if (chart.note) { const p = document.createElement("p"); p.textContent = chart.note; box.append(p); }
      return u;
    });
    document.documentElement.dataset.plots = drawn.length;
  };
  moments();
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let width = innerWidth, timer;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; clearTimeout(timer); timer = setTimeout(draw, 150); } });
})();
