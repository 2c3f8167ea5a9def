"use strict";
// Draws the charts of the report in #report. Colours come from the style sheet
// and follow the reader's scheme.
(() => {
  const report = JSON.parse(document.getElementById("report").textContent);
  const plots = document.getElementById("plots");
  if (!plots) return;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const number = (v) => v == null ? "–" : Math.abs(v) >= 100 || Number.isInteger(v) ? Math.round(v).toLocaleString("en") : Number(v.toPrecision(3)).toString();
  const height = 240;
  let drawn = [];

  // Lines for the moments that the chart points out, with their texts.
  const marks = (list) => ({ hooks: { draw: [(u) => {
    const c = u.ctx, ratio = devicePixelRatio;
    c.save();
    c.font = `${11 * ratio}px system-ui, sans-serif`;
    let row = 0;
    for (const m of list || []) {
      const x = u.valToPos(m.x, "x", true);
      if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
      c.strokeStyle = c.fillStyle = colour(m.bad ? "--bad" : "--good");
      c.lineWidth = ratio;
      c.setLineDash([4 * ratio, 3 * ratio]);
      c.beginPath(); c.moveTo(x, u.bbox.top); c.lineTo(x, u.bbox.top + u.bbox.height); c.stroke();
      const width = c.measureText(m.text).width, room = u.bbox.left + u.bbox.width - x;
      c.textAlign = width + 6 * ratio > room ? "right" : "left";
      c.fillText(m.text, x + (c.textAlign === "left" ? 4 : -4) * ratio, u.bbox.top + (12 + 14 * (row++ % 5)) * ratio);
    }
    c.restore();
  }] } });

  const options = (chart, width) => {
    const ink = colour("--faint"), grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: ink, grid, ticks: grid, font: "12px system-ui, sans-serif" };
    const bars = chart.kind === "bars";
    const label = (v) => v == null ? "" : number(v);
    return {
      width, height, plugins: [marks(chart.marks)], legend: { live: true }, cursor: { y: false },
      scales: { x: { time: false, distr: chart.log_x ? 3 : 1 }, y: chart.log_y ? { distr: 3 } : { range: (u, lo, hi) => [Math.min(0, lo ?? 0), hi > 0 ? hi * 1.08 : 1] } },
      axes: [
        { ...axis, values: (u, list) => list.map((v) => v == null ? "" : label(v) + (chart.x_unit === "s" ? " s" : "")) },
        { ...axis, size: 64, values: (u, list) => list.map(label) },
      ],
      series: [
        { label: chart.x_unit || "x", value: (u, v) => number(v) },
        ...chart.series.map((s, i) => ({
          label: s.name, stroke: colour(`--s${i % 8}`), width: bars ? 0 : 1.75, points: { show: !bars && chart.x.length < 30 },
          fill: bars ? colour(`--s${i % 8}`) : undefined, paths: bars ? uPlot.paths.bars({ size: [0.9, 64] }) : undefined,
          value: (u, v) => number(v), spanGaps: false,
        })),
      ],
    };
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
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let width = innerWidth, timer;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; clearTimeout(timer); timer = setTimeout(draw, 150); } });
})();
