"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;
  // Okabe and Ito's colours, which stay apart for people who do not see all of them.
  const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#b5a300", "#7a5cc0", "#8c6d4f"];
  const USABLE = 7, ANY_MODE = 3;
  const COLUMNS = 128, MOST_ROWS = 48;
  const PAGE = 4096n;

  const hex = (frame) => "0x" + (BigInt(frame) * PAGE).toString(16);
  const span = (first, count) => hex(first) + "–0x" + ((BigInt(first) + BigInt(count)) * PAGE - 1n).toString(16);
  const count = (n, word) => n.toLocaleString("en") + " " + word + (n === 1 ? "" : "s");
  const letters = (code) => ["R", "W", "X"].filter((_, bit) => code >> bit & 1).join("") || "–";
  const modes = (code) => {
    const all = code >> ANY_MODE, user = code & USABLE;
    return all === user ? letters(all) : user ? `${letters(user)}, kernel ${letters(all)}` : `${letters(all)} (kernel only)`;
  };
  const colour = (d) => COLOURS[d % COLOURS.length];
  const ink = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const element = (tag, content = "", attributes = {}) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...[].concat(content));
    return made;
  };

  // Frames are drawn without the wide gaps that nobody reaches: `place` numbers the frames that are left.
  const regions = data.regions.map(([first, end]) => ({ first, end, at: 0 }));
  let total = 0;
  for (const region of regions) { region.at = total; total += region.end - region.first; }
  const regionOf = (key, value) => {
    let low = 0, high = regions.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (regions[middle][key] <= value) low = middle; else high = middle - 1;
    }
    return regions[low];
  };
  const place = (frame) => { const r = regionOf("first", frame); return r.at + frame - r.first; };
  const frameAt = (position) => { const r = regionOf("at", position); return r.first + position - r.at; };
  const placed = (ranges) => ranges.map(([first, n, code]) => [place(first), n, code]);
  const domains = data.domains.map((d, n) => ({ ...d, colour: colour(n), on: true, at: placed(d.ranges), own: placed(d.tables) }));
  const findings = data.findings.map((f) => ({ ...f, at: place(f.first) }));
  const bad = findings.map((f) => [f.at, f.count]).sort((a, b) => a[0] - b[0]);

  const view = { from: 0, grain: 1, cursor: 0 };
  const rows = () => Math.max(1, Math.min(MOST_ROWS, Math.ceil((total - view.from) / (COLUMNS * view.grain))));
  const widest = () => { let g = 1; while (g * COLUMNS * MOST_ROWS < total) g *= 2; return g; };
  const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

  // What each cell holds: for each domain the frames that it may use, and those that only its kernel reaches.
  const tally = (from, grain, cells) => {
    const use = domains.map(() => new Float64Array(cells)), kernel = new Float64Array(cells);
    const tables = new Float64Array(cells), wrong = new Float64Array(cells);
    const spread = (ranges, into, wanted) => {
      for (const [at, n, code] of ranges) {
        if (wanted && !wanted(code)) continue;
        const low = Math.max(at, from), high = Math.min(at + n, from + cells * grain);
        for (let cell = Math.floor((low - from) / grain); low < high && cell * grain + from < high; cell++)
          into[cell] += Math.min(high, from + (cell + 1) * grain) - Math.max(low, from + cell * grain);
      }
    };
    domains.forEach((domain, d) => {
      if (!domain.on) return;
      spread(domain.at, use[d], (code) => code & USABLE);
      spread(domain.at, kernel, (code) => !(code & USABLE));
      spread(domain.own, tables);
    });
    spread(bad, wrong);
    return { use, kernel, tables, wrong };
  };

  const sharpen = (canvas, width, height) => {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = height + "px";
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    return pen;
  };

  const paint = (pen, held, cell, grain, x, y, width, height) => {
    pen.fillStyle = ink.free;
    pen.fillRect(x, y, width, height);
    const fill = (paper, share, left, wide) => {
      pen.globalAlpha = 0.35 + 0.65 * Math.min(1, share);
      pen.fillStyle = paper;
      pen.fillRect(left, y, wide, height);
      pen.globalAlpha = 1;
    };
    if (held.kernel[cell]) fill(ink.kernel, held.kernel[cell] / grain, x, width);
    const users = domains.map((_, d) => d).filter((d) => held.use[d][cell]);
    users.forEach((d, n) => fill(domains[d].colour, held.use[d][cell] / grain, x + n * width / users.length, width / users.length));
    if (held.tables[cell] && width > 4) {
      pen.fillStyle = ink.ink;
      const dot = Math.max(2, Math.min(width, height) / 3.2);
      pen.fillRect(x + (width - dot) / 2, y + (height - dot) / 2, dot, dot);
    }
    if (held.wrong[cell]) {
      pen.strokeStyle = ink.bad;
      pen.lineWidth = Math.min(2, width / 4);
      pen.strokeRect(x + pen.lineWidth / 2, y + pen.lineWidth / 2, width - pen.lineWidth, height - pen.lineWidth);
    }
  };

  const grid = byId("grid"), overview = byId("overview");
  const LABEL = 104;
  const cellSize = () => ({ width: (grid.clientWidth - LABEL) / COLUMNS, height: clamp((grid.clientWidth - LABEL) / COLUMNS * 1.8, 11, 18) });

  const drawGrid = () => {
    const { width, height } = cellSize();
    const lines = rows(), pen = sharpen(grid, grid.clientWidth, lines * height + 2);
    const held = tally(view.from, view.grain, COLUMNS * lines);
    const starts = new Set(regions.map((r) => Math.floor((r.at - view.from) / view.grain)));
    pen.font = "11px ui-monospace, monospace";
    pen.textBaseline = "middle";
    for (let line = 0; line < lines; line++) {
      const first = view.from + line * COLUMNS * view.grain;
      if (height >= 14 || line % 2 === 0) {
        pen.fillStyle = ink.muted;
        pen.fillText(hex(frameAt(first)), 0, line * height + height / 2 + 1);
      }
      for (let column = 0; column < COLUMNS; column++) {
        const cell = line * COLUMNS + column;
        if (view.from + cell * view.grain >= total) break;
        paint(pen, held, cell, view.grain, LABEL + column * width + 0.5, line * height + 0.5, width - 1, height - 1);
        if (starts.has(cell) && cell) {
          pen.fillStyle = ink.ink;
          pen.fillRect(LABEL + column * width - 0.5, line * height, 1.5, height * 0.45);
        }
      }
    }
    const cell = cursorCell();
    pen.strokeStyle = ink.focus;
    pen.lineWidth = 2.5;
    pen.strokeRect(LABEL + (cell % COLUMNS) * width - 1, Math.floor(cell / COLUMNS) * height - 0.5, width + 2, height + 1);
    const shown = Math.min(total - view.from, lines * COLUMNS * view.grain);
    byId("scale").textContent = `one cell is ${count(view.grain, "frame")}, ${count(view.grain * 4, "KiB").replace("KiBs", "KiB")}; ${count(shown, "frame")} shown`;
  };

  const drawOverview = () => {
    const width = overview.clientWidth, pen = sharpen(overview, width, 44);
    const cells = Math.max(1, Math.min(total, Math.floor(width / 2))), grain = total / cells;
    const held = tally(0, grain, cells);
    for (let cell = 0; cell < cells; cell++) {
      const x = cell * width / cells;
      paint(pen, { ...held, tables: [], wrong: [] }, cell, grain, x, 8, Math.ceil(width / cells), 28);
      if (held.wrong[cell]) { pen.fillStyle = ink.bad; pen.fillRect(x - 1, 0, 3, 44); }
    }
    const from = view.from / total * width, wide = Math.max(4, Math.min(1 - view.from / total, rows() * COLUMNS * view.grain / total) * width);
    pen.strokeStyle = ink.focus;
    pen.lineWidth = 2;
    pen.strokeRect(from + 1, 5, wide - 2, 34);
  };

  const cursorCell = () => Math.floor((view.cursor - view.from) / view.grain);

  const showCell = () => {
    const first = view.from + cursorCell() * view.grain;
    const end = Math.min(total, first + view.grain, regionOf("at", first).at + regionOf("at", first).end - regionOf("at", first).first);
    const box = byId("cell"), body = element("tbody");
    const overlap = ([at, n]) => Math.min(end, at + n) - Math.max(first, at);
    for (const domain of domains) {
      const parts = new Map();
      for (const range of domain.at) {
        const n = overlap(range);
        if (n > 0) parts.set(range[2], (parts.get(range[2]) || 0) + n);
      }
      for (const [code, n] of parts)
        body.append(element("tr", [
          element("td", [element("span", "", { class: "swatch", style: `background:${domain.colour}` }), domain.name]),
          element("td", modes(code)),
          element("td", count(n, "frame"), { class: "number" }),
        ]));
      const own = domain.own.reduce((sum, range) => sum + Math.max(0, overlap(range)), 0);
      if (own) body.append(element("tr", [element("td", domain.name), element("td", "page tables"), element("td", count(own, "frame"), { class: "number" })]));
    }
    const wrong = findings.filter((f) => overlap([f.at, f.count]) > 0);
    box.replaceChildren(
      element("p", [element("code", span(frameAt(first), end - first)), ` ${count(end - first, "frame")}`]),
      body.childElementCount ? element("table", body) : element("p", "Nobody reaches it.", { class: "muted" }),
      ...wrong.slice(0, 4).map((f) => element("p", data.rulings[f.ruling].words, { class: "violated" })),
    );
  };

  const draw = () => {
    if (!total) return;
    for (const name of ["free", "kernel", "bad", "ink", "muted", "focus"]) ink[name] = ink(name);
    drawGrid();
    drawOverview();
    showCell();
  };
  const look = (from, grain, cursor) => {
    view.grain = clamp(grain, 1, widest());
    const row = COLUMNS * view.grain, window_ = row * MOST_ROWS;
    view.from = clamp(Math.floor(from / row) * row, 0, Math.max(0, Math.ceil((total - window_) / row) * row));
    view.cursor = clamp(cursor, 0, total - 1);
    if (view.cursor < view.from) view.from = Math.floor(view.cursor / row) * row;
    if (view.cursor >= view.from + window_) view.from = Math.floor(view.cursor / row) * row - window_ + row;
    draw();
  };
  const everything = () => look(0, widest(), view.cursor);
  const zoom = (factor) => {
    const grain = clamp(view.grain * factor, 1, widest());
    look(view.cursor - grain * COLUMNS * MOST_ROWS / 2, grain, view.cursor);
  };
  const goTo = (finding) => {
    let grain = 1;
    while (grain * COLUMNS * MOST_ROWS / 4 < finding.count) grain *= 2;
    look(finding.at - grain * COLUMNS * MOST_ROWS / 3, grain, finding.at);
  };
  let next = -1;
  const keys = {
    ArrowLeft: () => look(view.from, view.grain, view.cursor - view.grain),
    ArrowRight: () => look(view.from, view.grain, view.cursor + view.grain),
    ArrowUp: () => look(view.from, view.grain, view.cursor - COLUMNS * view.grain),
    ArrowDown: () => look(view.from, view.grain, view.cursor + COLUMNS * view.grain),
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), "0": everything,
    n: () => { if (findings.length) { next = (next + 1) % findings.length; goTo(findings[next]); } },
  };
  grid.addEventListener("keydown", (event) => {
    const act = keys[event.key] || keys[event.key.toLowerCase()];
    if (act && !event.ctrlKey && !event.metaKey && !event.altKey) { act(); event.preventDefault(); }
  });
  grid.addEventListener("click", (event) => {
    const { width, height } = cellSize(), box = grid.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - LABEL) / width), line = Math.floor((event.clientY - box.top) / height);
    if (column >= 0) look(view.from, view.grain, view.from + (line * COLUMNS + column) * view.grain);
  });
  grid.addEventListener("dblclick", () => zoom(0.25));
  overview.addEventListener("click", (event) => {
    const at = event.offsetX / overview.clientWidth * total;
    look(at - rows() * COLUMNS * view.grain / 2, view.grain, Math.floor(at));
  });
  document.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () =>
    ({ in: () => zoom(0.5), out: () => zoom(2), all: everything })[button.dataset.zoom]()));

  domains.forEach((domain) => {
    const button = element("button", [element("span", "", { class: "swatch", style: `background:${domain.colour}` }), domain.name], { type: "button", "aria-pressed": "true" });
    button.addEventListener("click", () => { domain.on = !domain.on; button.setAttribute("aria-pressed", domain.on); draw(); });
    byId("legend").append(button);
  });
  const coarse = Math.max(...domains.map((domain) => domain.grain));
  if (coarse > 1) byId("legend").append(element("p", `There are too many ranges to draw each: blocks of ${coarse} frames are drawn whole.`, { class: "muted" }));
  for (const [paper, words] of [["var(--kernel)", "kernel only"], ["var(--free)", "nobody"]])
    byId("legend").append(element("span", [element("span", "", { class: "swatch", style: `background:${paper}` }), words], { class: "key" }));
  byId("legend").append(element("span", "■ page table", { class: "key" }));
  byId("legend").append(element("span", [element("span", "", { class: "swatch", style: "border:2px solid var(--bad)" }), "violation"], { class: "key" }));

  const path = (side, way) => element("table", [
    element("caption", [`${side.domain}: ${way.root.name} (${way.root.kind}), address `, element("code", way.address), ` → `, element("code", way.first), ` with ${way.rights}`]),
    element("thead", element("tr", ["level", "table", "entry", "value", "bits"].map((w) => element("th", w)))),
    element("tbody", way.steps.map((s) => element("tr", [
      element("td", String(s.level)), element("td", s.table + (s.guest_table ? ` (guest ${s.guest_table})` : ""), { class: "mono" }),
      element("td", String(s.index)), element("td", s.entry, { class: "mono" }), element("td", s.bits, { class: "mono bits" }),
    ]))),
  ], { class: "path" });
  const list = byId("findings");
  findings.forEach((finding) => {
    const ruling = data.rulings[finding.ruling];
    const go = element("button", "Show on the map", { type: "button" });
    go.addEventListener("click", () => { goTo(finding); grid.focus(); });
    list.append(element("details", [
      element("summary", [element("code", span(finding.first, finding.count)), ` ${count(finding.count, "frame")}: `, finding.sides.map((s) => `${s.domain} ${s.rights}`).join(", ")]),
      element("div", [element("p", `${ruling.id}: ${ruling.words}` + (ruling.theorem ? `. ${ruling.theorem} excludes the same between enclaves.` : "."), { class: "muted" }), go,
        ...finding.sides.flatMap((side) => side.paths.map((way) => element("div", path(side, way), { class: "scroll" })))]),
    ]));
  });
  if (!findings.length) list.append(element("p", "None was found.", { class: "muted" }));
  if (data.more) list.append(element("p", `And ${count(data.more, "more frame")}; the JSON output lists more of them.`, { class: "muted" }));
  const opened = list.querySelector("details");
  if (opened) opened.open = true;

  const theme = byId("theme"), dark = window.matchMedia("(prefers-color-scheme: dark)");
  const dress = (on) => {
    root.dataset.theme = on ? "dark" : "light";
    theme.setAttribute("aria-pressed", on);
    theme.textContent = on ? "Light" : "Dark";
    draw();
  };
  theme.addEventListener("click", () => dress(root.dataset.theme !== "dark"));
  dark.addEventListener("change", (event) => dress(event.matches));
  window.addEventListener("resize", draw);
  view.grain = widest();
  if (findings.length) view.cursor = findings[0].at;
  dress(dark.matches);
})();
