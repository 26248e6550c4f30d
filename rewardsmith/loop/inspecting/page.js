"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  document.documentElement.classList.add("js");
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const floats = (text) => text === null ? null : new Float32Array(bytes(text)); // both ends are little-endian
  const number = (value, digits = 4) => {
    if (!Number.isFinite(value)) return String(value);
    const size = Math.abs(value);
    const said = size !== 0 && (size < 1e-4 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(digits)));
    return said.replace("-", "\u2212");
  };
  const within = (value, low, high) => Math.min(Math.max(value, low), high);

  // --- episodes: one cursor for the video, the charts and the numbers

  function makeEpisode(article, about) {
    const video = article.querySelector("video"), tracks = article.querySelector(".tracks");
    const cursor = article.querySelector(".cursor"), now = article.querySelector(".when");
    const vals = all(".track:not(.time) .val:not(.then)", article), thens = all(".val.then", article);
    const owned = about.now.map(floats), others = about.then && about.then.map(floats);
    const features = about.features.map(floats), cells = all(".at dd.num", article);
    let step = 0, dragging = false;

    function show(to) {
      step = within(Math.round(to), 0, about.steps);
      const plot = article.querySelector(".plot").getBoundingClientRect(), left = tracks.getBoundingClientRect().left;
      cursor.style.left = `${plot.left - left + plot.width * step / about.steps}px`;
      const paid = (series) => series === null ? "\u2013" : step === 0 ? "" : number(series[step - 1], 3);
      vals.forEach((cell, row) => { cell.textContent = paid(owned[row]); });
      thens.forEach((cell, row) => { cell.textContent = paid(others[row]); });
      cells.forEach((cell, row) => { cell.textContent = number(features[row][step]); });
      const time = about.dt === null ? "" : `${(step * about.dt).toFixed(2)} s, `;
      now.textContent = `${time}after step ${step}${step === 0 ? ": nothing is paid yet" : ""}`;
      tracks.setAttribute("aria-valuenow", step);
      tracks.setAttribute("aria-valuetext", now.textContent);
    }
    function seek(to) {
      if (video) video.pause();
      show(to);
      if (!video) return;
      const frame = step === about.steps ? Math.ceil(step / about.stride) : Math.floor(step / about.stride);
      video.currentTime = (frame + 0.5) / about.fps;
    }
    function follow() { // while it plays
      if (!dragging && !video.paused) show(video.currentTime * about.fps * about.stride);
      if (!video.paused && !video.ended) requestAnimationFrame(follow);
    }
    function drag(event) {
      const plot = article.querySelector(".plot").getBoundingClientRect();
      seek((event.clientX - plot.left) / plot.width * about.steps);
    }
    tracks.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      dragging = true;
      tracks.setPointerCapture(event.pointerId);
      tracks.focus({ preventScroll: true, focusVisible: false });
      drag(event);
    });
    tracks.addEventListener("pointermove", (event) => { if (dragging) drag(event); });
    for (const kind of ["pointerup", "pointercancel"]) tracks.addEventListener(kind, () => { dragging = false; });
    tracks.addEventListener("keydown", (event) => {
      const far = event.shiftKey ? Math.max(1, Math.round(about.steps / 20)) : 1;
      const to = { ArrowLeft: step - far, ArrowRight: step + far, Home: 0, End: about.steps }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      seek(to);
    });
    if (video) {
      video.addEventListener("play", () => requestAnimationFrame(follow));
      video.addEventListener("seeked", () => { // by its own controls
        if (document.activeElement !== tracks && !dragging) show(Math.floor(video.currentTime * about.fps) * about.stride);
      });
    }
    tracks.tabIndex = 0;
    cursor.hidden = false;
    all(".hint, .at", article).forEach((item) => { item.hidden = false; });
    return () => show(step);
  }

  const articles = all("article.episode");
  const redraw = articles.map((article, index) => makeEpisode(article, data.episodes[index]));
  const tabs = document.querySelector(".tabs"), buttons = all("button", tabs);
  function choose(index) {
    articles.forEach((article, other) => {
      article.hidden = other !== index;
      const video = article.querySelector("video");
      if (video && other !== index) video.pause();
    });
    buttons.forEach((button, other) => button.setAttribute("aria-pressed", other === index));
    redraw[index]();
  }
  buttons.forEach((button, index) => button.addEventListener("click", () => choose(index)));
  tabs.hidden = buttons.length < 2;
  choose(0);

  // --- the heat map

  const heat = data.heat, map = document.getElementById("map");
  function makeMap() {
    const find = (selector) => map.querySelector(selector);
    const field = find(".field"), canvas = find(".field canvas"), pen = canvas.getContext("2d");
    const bar = find(".colors canvas").getContext("2d"), reading = find(".reading"), size = heat.size;
    const dots = heat.dots.map(({ at, paid }) => ({ at: at.map(floats), paid: paid.map(floats) }));
    const kept = new Map(), ticks = all(".dots", map);
    let across = heat.first[0], up = heat.first[1], quantity = 0, mode = heat.mode, cells, colors;
    const ALONE = 2; // no grid, recorded steps only

    function unpack(i, k, q) { // the value of cell (column, row), the row counted from below
      const name = `${mode},${i},${k},${q}`;
      if (!kept.has(name)) {
        const { low, high, levels } = heat.maps[mode][`${i},${k}`][q];
        const from = new Uint16Array(bytes(levels)), wide = high - low;
        kept.set(name, Float64Array.from(from, (level) => level === 65535 ? NaN : low + level / 65534 * wide));
      }
      return kept.get(name);
    }
    function ends() {
      if (mode !== ALONE) {
        const finite = cells.filter(Number.isFinite);
        return finite.length ? [Math.min(...finite), Math.max(...finite)] : [0, 0];
      }
      const paid = dots.flatMap((kind, n) => ticks[n].checked ? [...kind.paid[quantity]] : []);
      const sorted = Float64Array.from(paid.filter(Number.isFinite)).sort(), last = sorted.length - 1;
      return last < 0 ? [0, 0] : [sorted[Math.floor(0.02 * last)], sorted[Math.ceil(0.98 * last)]];
    }
    function scaled() { // as `scale` in page.py
      const [least, most] = ends();
      const parted = least < 0 && most > 0;
      const high = parted ? Math.max(-least, most) : most, low = parted ? -high : least;
      const stops = parted ? heat.diverging : heat.sequential;
      const color = (value) => {
        if (!Number.isFinite(value)) return heat.unknown;
        const place = (high > low ? within((value - low) / (high - low), 0, 1) : 0) * (stops.length - 1);
        const before = Math.min(Math.floor(place), stops.length - 2), part = place - before;
        return stops[before].map((c, n) => Math.round(c * (1 - part) + stops[before + 1][n] * part));
      };
      return { least, most, parted, color };
    }
    function draw() {
      cells = new Float64Array(size * size).fill(NaN);
      const values = mode === ALONE ? null : unpack(Math.min(across, up), Math.max(across, up), quantity);
      for (let row = 0; values && row < size; row++) for (let column = 0; column < size; column++) {
        cells[row * size + column] = across < up ? values[row * size + column] : values[column * size + row];
      }
      colors = scaled();
      const box = field.getBoundingClientRect(), sharp = window.devicePixelRatio || 1;
      const width = canvas.width = Math.max(1, Math.round(box.width * sharp));
      const height = canvas.height = Math.max(1, Math.round(box.height * sharp));
      const edge = (n, length) => Math.round(n * length / size);
      for (let row = 0; values && row < size; row++) for (let column = 0; column < size; column++) {
        pen.fillStyle = `rgb(${colors.color(cells[row * size + column])})`;
        const x = edge(column, width), y = edge(size - 1 - row, height);
        pen.fillRect(x, y, edge(column + 1, width) - x, edge(size - row, height) - y);
      }
      const X = heat.axes[across], Y = heat.axes[up];
      // the middle of the first and of the last cell are the ends of an axis
      const px = (value, { low, high }, length) => ((value - low) / (high - low) * (size - 1) + 0.5) / size * length;
      [...dots.keys()].reverse().forEach((kind) => {
        if (!ticks[kind].checked) return;
        const { at, paid } = dots[kind], radius = (kind ? 2.2 : 2.8) * sharp;
        at[across].forEach((value, n) => {
          const x = px(value, X, width), y = height - px(at[up][n], Y, height);
          if (!(x >= 0 && x <= width && y >= 0 && y <= height)) return;
          pen.beginPath();
          pen.arc(x, y, radius, 0, 2 * Math.PI);
          pen.fillStyle = `rgb(${colors.color(paid[quantity][n])})`;
          pen.fill();
          pen.lineWidth = (kind ? 0.6 : 0.9) * sharp;
          pen.strokeStyle = kind ? "rgba(0,0,0,0.45)" : "#111";
          pen.stroke();
        });
      });
      label(find(".across"), X);
      label(find(".up"), Y);
      for (let n = 0; n < 256; n++) {
        bar.fillStyle = `rgb(${colors.color(colors.least + n / 255 * (colors.most - colors.least))})`;
        bar.fillRect(n, 0, 1, 1);
      }
      const flat = colors.least === colors.most, zero = -colors.least / (colors.most - colors.least);
      find(".colors .from").textContent = number(colors.least) + (flat ? ", the same everywhere" : "");
      find(".colors .to").textContent = flat ? "" : number(colors.most);
      find(".colors .zero").textContent = colors.parted && zero > 0.15 && zero < 0.85 ? "0" : "";
      find(".colors .zero").style.left = `${100 * zero}%`;
      reading.textContent = values ? "Point at the map to read it." : "";
      all(".about", map).forEach((text) => { text.hidden = Number(text.dataset.mode) !== mode; });
    }
    function label(where, axis) {
      where.querySelector(".what").textContent = axis.unit ? `${axis.label} (${axis.unit})` : axis.label;
      where.querySelector(".from").textContent = number(axis.low);
      where.querySelector(".to").textContent = number(axis.high);
    }
    function read(event) {
      if (mode === ALONE) return;
      const box = canvas.getBoundingClientRect();
      const column = within(Math.floor((event.clientX - box.left) / box.width * size), 0, size - 1);
      const row = within(size - 1 - Math.floor((event.clientY - box.top) / box.height * size), 0, size - 1);
      const at = ({ label, low, high, unit }, n) => `${label} ${number(low + n / (size - 1) * (high - low))} ${unit}`.trim();
      const name = find("#quantity").selectedOptions[0].textContent;
      reading.textContent = `${name}: ${number(cells[row * size + column])} at ${at(heat.axes[across], column)}, ${at(heat.axes[up], row)}`;
    }
    find("#quantity").addEventListener("change", (event) => { quantity = Number(event.target.value); draw(); });
    find("#mode").addEventListener("change", (event) => { mode = Number(event.target.value); draw(); });
    const choices = { across: find("#across"), up: find("#up") };
    function chosen(event) { // the same feature twice: they change places
      const [was, beside] = [across, up];
      across = Number(choices.across.value);
      up = Number(choices.up.value);
      if (across === up) {
        if (event.target === choices.across) up = was; else across = beside;
        choices.across.value = across;
        choices.up.value = up;
      }
      draw();
    }
    choices.across.addEventListener("change", chosen);
    choices.up.addEventListener("change", chosen);
    ticks.forEach((tick) => tick.addEventListener("change", draw));
    canvas.addEventListener("pointermove", read);
    canvas.addEventListener("pointerdown", read);
    find("img").hidden = true;
    for (const item of [canvas, find(".choices"), find(".colors"), find(".dotted"), reading]) item.hidden = false;
    choices.across.value = across; // a browser that comes back keeps what was chosen
    choices.up.value = up;
    find("#quantity").value = 0;
    find("#mode").value = mode;
    ticks.forEach((tick) => { tick.checked = true; });
    draw();
    return draw;
  }
  const again = heat && makeMap();
  window.addEventListener("resize", () => {
    redraw[articles.findIndex((article) => !article.hidden)]();
    if (again) again();
  });
})();
