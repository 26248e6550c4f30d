"use strict";
// One rater's page: shows clips in step, takes an answer, saves it at once. It speaks to a source: the server (below),
// or the packet that it lies in (packet.js), with the same methods.

const $ = (id) => document.getElementById(id);
const letter = (place) => String.fromCharCode(65 + (place % 26)).repeat(1 + Math.floor(place / 26));
const plural = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
const newId = () => [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, "0")).join("");

function make(tag, set = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(set)) {
    if (key === "class") node.className = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

// --- the server ------------------------------------------------------------------------------------------------------

class Problem extends Error {
  constructor(status, message, hint) {
    super(message);
    Object.assign(this, { status, hint });
  }
}

async function call(address, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Problem(0, "the server does not answer", "");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, told.error || `the server says ${answer.status}`, told.hint || "");
}

const server = {
  enter: (token) => call("/api/enter", { token }),
  next: async () => (await call("/api/next")).json(),
  vote: (answer) => call("/api/vote", answer),
  undo: async (id) => (await call("/api/undo", { id })).json(),
  progress: async () => (await call("/api/progress")).json(),
  link: async (rater) => (await call("/api/link", { rater })).json(),
  film: async (handle, place, episode) => (await call(`/film/${handle}/${place}/${episode}`)).blob(),
};
const source = window.packetSource || server;

// --- clips in step ---------------------------------------------------------------------------------------------------

const HOLD_S = 0.7; // the last picture stays for a moment before all begin again
const DRIFT_S = 0.12;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const player = {
  videos: [],
  at: 0,
  length: 0,
  rate: 1,
  playing: false,
  last: 0,

  async load(cards, films) {
    const mine = (this.loading = {});
    this.clear();
    await Promise.all(cards.map(async (card, place) => {
      const note = card.querySelector(".note");
      card.classList.add("loading");
      note.textContent = "Drawing…";
      try {
        const blob = await films(place);
        if (this.loading !== mine) return;
        const video = make("video", { muted: "", playsinline: "", preload: "auto", disablepictureinpicture: "", tabindex: "-1" });
        video.muted = true;
        video.src = URL.createObjectURL(blob);
        await new Promise((ready, fail) => {
          video.onloadeddata = ready;
          video.onerror = () => fail(new Error("this browser cannot play it"));
        });
        if (this.loading !== mine) return URL.revokeObjectURL(video.src);
        card.querySelector(".screen").prepend(video);
        note.textContent = "";
        this.videos[place] = video;
      } catch (error) {
        if (this.loading !== mine) return;
        note.textContent = `No film: ${error.message}`;
      }
      card.classList.toggle("loading", !this.videos[place]);
    }));
    if (this.loading !== mine) return;
    const shown = this.shown();
    this.length = Math.max(0, ...shown.map((video) => video.duration));
    const shapes = shown.map((video) => video.videoWidth / video.videoHeight);
    if (shapes.length) $("clips").style.setProperty("--shape", shapes[0]);
    $("clips").classList.toggle("mixed", shapes.some((shape) => Math.abs(shape / shapes[0] - 1) > 0.01));
    this.seek(0);
    this.play(!calm.matches && shown.length > 0);
  },

  clear() {
    for (const video of this.shown()) {
      URL.revokeObjectURL(video.src);
      video.remove();
    }
    Object.assign(this, { videos: [], at: 0, length: 0 });
    this.play(false);
    this.show();
  },

  shown() {
    return this.videos.filter(Boolean);
  },

  play(on) {
    this.playing = on;
    this.last = performance.now();
    for (const video of this.shown()) {
      if (!on) video.pause();
    }
    $("play").classList.toggle("paused", !on);
    $("play").setAttribute("aria-label", on ? "Pause" : "Play");
    if (on) requestAnimationFrame((now) => this.tick(now));
  },

  seek(to) {
    this.at = Math.min(Math.max(0, to), this.length);
    for (const video of this.shown()) video.currentTime = Math.min(this.at, video.duration);
    this.show();
  },

  tick(now) {
    if (!this.playing) return;
    this.at += (Math.min(250, now - this.last) / 1000) * this.rate;
    this.last = now;
    if (this.at > this.length + HOLD_S * this.rate) this.seek(0);
    for (const video of this.shown()) {
      if (this.at >= video.duration) continue; // it stays on its last picture
      if (Math.abs(video.currentTime - this.at) > DRIFT_S * Math.max(1, this.rate) && !video.seeking) video.currentTime = this.at;
      video.playbackRate = this.rate;
      if (video.paused) video.play().catch(() => {});
    }
    this.show();
    requestAnimationFrame((next) => this.tick(next));
  },

  show() {
    $("seek").max = this.length || 1;
    $("seek").value = this.at;
    $("time").textContent = this.length ? `${Math.min(this.at, this.length).toFixed(1)} / ${this.length.toFixed(1)} s` : "";
    this.videos.forEach((video, place) => {
      const over = this.at > video.duration + 0.05 && video.duration < this.length - 0.1;
      const card = video.closest(".clip");
      if (card.classList.contains("ended") !== over) {
        card.classList.toggle("ended", over);
        card.querySelector(".note").textContent = over ? `ended after ${video.duration.toFixed(1)} s` : "";
      }
    });
  },
};

// --- the question at hand --------------------------------------------------------------------------------------------

let asked = null; // {handle, words, clips, episodes}
let answer = null; // {id, mode, best, worst, groups, tray, equal, comment, episode}: kept over a reload
let last = null; // id of the answer that can be taken back
let me = "";
let busy = false;
let mode = "best_worst";
let seenQuestions = 0;
let seenAnswers = 0;

const draftKey = (handle) => `draft:${handle}`;

function blank() {
  return { id: newId(), mode, best: null, worst: null, equal: false, groups: [], tray: [...Array(asked.clips).keys()], comment: "", episode: 0 };
}

function keep() {
  try {
    sessionStorage.setItem(draftKey(asked.handle), JSON.stringify(answer));
  } catch { /* private windows may not let us */ }
}

function kept() {
  try {
    const found = JSON.parse(sessionStorage.getItem(draftKey(asked.handle)));
    return found && [...found.groups.flat(), ...found.tray].length === asked.clips ? found : null;
  } catch {
    return null;
  }
}

function forget() {
  try {
    sessionStorage.removeItem(draftKey(asked.handle));
  } catch { /* as above */ }
}

function fromTaken(taken) {
  const found = { ...blank(), comment: taken.comment };
  if (taken.form === "ranking" && asked.clips === 2 && taken.order.length === 1) found.equal = true;
  else if (taken.form === "ranking" && asked.clips > 2) Object.assign(found, { mode: "ranking", groups: taken.order, tray: [] });
  else if (taken.order.length === 2) Object.assign(found, { mode: "best_worst", best: taken.order[0][0], worst: taken.order[1][0] });
  return found;
}

async function refresh(taken = null) {
  const state = await source.next();
  notice("");
  last = state.last;
  me = state.rater;
  $("run").textContent = state.run;
  if (state.task) $("task").textContent = state.task;
  $("undo").disabled = !last;
  const same = asked && state.asked && asked.handle === state.asked.handle;
  if (same && !taken) return;
  const waited = !asked && !$("wait").hidden;
  asked = state.asked;
  $("ask").hidden = !asked;
  $("wait").hidden = Boolean(asked);
  if (!asked) {
    player.clear();
    $("clips").replaceChildren();
    return idle();
  }
  const draft = kept();
  answer = taken && taken.handle === asked.handle ? fromTaken(taken) : draft || blank();
  mode = answer.mode;
  $("words").textContent = asked.words && asked.words !== state.task ? `What to look for: ${asked.words}` : "";
  $("words").hidden = !$("words").textContent;
  $("comment").value = answer.comment;
  $("said").textContent = "";
  build();
  draw();
  episode(answer.episode);
  if (waited && document.hidden) document.title = "● New clips · rewardsmith";
}

function build() {
  const columns = asked.clips <= 4 ? asked.clips : asked.clips <= 6 ? 3 : 4;
  const rows = Math.ceil(asked.clips / columns);
  $("clips").style.setProperty("--columns", columns);
  $("clips").style.setProperty("--tall", rows === 1 ? "46vh" : `${Math.round(66 / rows)}vh`);
  $("clips").replaceChildren(...[...Array(asked.clips).keys()].map((place) => {
    const name = letter(place);
    const pick = asked.clips === 2
      ? make("div", { class: "pick one" }, make("button", { type: "button", class: "best", onclick: () => pickPair(place) }, `${name} is better`))
      : make("div", { class: "pick" },
        make("button", { type: "button", class: "best", "aria-label": `${name} is the best`, onclick: () => choose("best", place) }, "Best"),
        make("button", { type: "button", class: "worst", "aria-label": `${name} is the worst`, onclick: () => choose("worst", place) }, "Worst"));
    const next = make("div", { class: "pick one next" }, make("button", { type: "button", class: "best", onclick: () => placeNext(place) }));
    return make("article", { class: "clip loading", "data-place": place, "aria-label": `Clip ${name}` },
      make("div", { class: "screen" }, make("span", { class: "letter" }, name), make("span", { class: "note" })), pick, next);
  }));
  $("modes").hidden = asked.clips === 2;
}

function episode(number) {
  const here = asked;
  answer.episode = asked.episodes ? number % asked.episodes : 0;
  keep();
  $("episode").hidden = asked.episodes < 2;
  $("episode").textContent = `Start ${answer.episode + 1} of ${asked.episodes}`;
  const shown = answer.episode;
  player.load([...document.querySelectorAll(".clip")], (place) => source.film(here.handle, place, shown)).then(() => {
    if (asked === here && here.episodes > 1 && source === server) {
      for (let place = 0; place < here.clips; place++) source.film(here.handle, place, (shown + 1) % here.episodes).catch(() => {});
    }
  });
}

// --- answering -------------------------------------------------------------------------------------------------------

function choose(what, place) {
  const other = what === "best" ? "worst" : "best";
  answer[what] = answer[what] === place ? null : place;
  if (answer[other] === place) answer[other] = null;
  draw();
}

function pickPair(place) {
  const undo = answer.best === place;
  Object.assign(answer, { best: undo ? null : place, worst: undo ? null : 1 - place, equal: false });
  draw();
}

function tie() {
  if (asked.clips === 2) Object.assign(answer, { equal: !answer.equal, best: null, worst: null });
  else if (answer.mode === "ranking" && answer.groups.length > 1) answer.groups.push([...answer.groups.splice(-2, 2)].flat());
  draw();
}

function take(place) {
  answer.groups = answer.groups.map((group) => group.filter((p) => p !== place)).filter((group) => group.length);
  answer.tray = answer.tray.filter((p) => p !== place);
}

function placeNext(place) {
  const placed = answer.groups.some((group) => group.includes(place));
  take(place);
  if (placed) answer.tray = [...answer.tray, place].sort((a, b) => a - b);
  else answer.groups.push([place]);
  draw();
}

function drop(place, { row, gap, tray }) {
  // row: a tie with those who are there; gap: alone, before the group of that number
  const old = answer.groups;
  const alone = (group) => group && group.length === 1 && group[0] === place;
  if (row !== undefined ? old[row].includes(place) : gap !== undefined && (alone(old[gap]) || alone(old[gap - 1]))) return draw();
  take(place);
  const left = (group) => answer.groups.findIndex((g) => group.includes(g[0])); // where a group is now
  if (tray) answer.tray = [...answer.tray, place].sort((a, b) => a - b);
  else if (row !== undefined) answer.groups[left(old[row])].push(place);
  else answer.groups.splice(gap < old.length ? left(old[gap]) : answer.groups.length, 0, [place]);
  draw();
}

function move(place, up) {
  // one step at a time: out of a tie, then into the next one
  const at = answer.groups.findIndex((group) => group.includes(place));
  if (at < 0) {
    if (up) placeNext(place);
    return;
  }
  if (answer.groups[at].length > 1) {
    answer.groups[at] = answer.groups[at].filter((p) => p !== place);
    answer.groups.splice(up ? at : at + 1, 0, [place]);
  } else {
    const other = answer.groups[up ? at - 1 : at + 1];
    if (!other) return;
    other.push(place);
    answer.groups.splice(at, 1);
  }
  draw();
}

function order() {
  // [form, groups], or null while the answer is not whole
  if (answer.mode === "ranking" && asked.clips > 2) return answer.tray.length ? null : ["ranking", answer.groups];
  if (answer.equal) return ["ranking", [[0, 1]]];
  return answer.best === null || answer.worst === null ? null : ["best_worst", [[answer.best], [answer.worst]]];
}

const ordinal = (n) => `${n}${["th", "st", "nd", "rd"][n % 100 > 10 && n % 100 < 14 ? 0 : n % 10] || "th"}`;

function places() {
  // of each group, the place it has: 1, 2, 2, 4
  let before = 0;
  return answer.groups.map((group) => {
    const place = before + 1;
    before += group.length;
    return ordinal(place) + (group.length > 1 ? " =" : "");
  });
}

function draw() {
  const ranking = answer.mode === "ranking" && asked.clips > 2;
  const names = places();
  for (const card of document.querySelectorAll(".clip")) {
    const place = Number(card.dataset.place);
    const at = answer.groups.findIndex((group) => group.includes(place));
    card.classList.toggle("best", ranking ? at === 0 : answer.best === place || answer.equal);
    card.classList.toggle("worst", ranking ? !answer.tray.length && at > 0 && at === answer.groups.length - 1 : answer.worst === place && asked.clips > 2);
    const [picks, next] = card.querySelectorAll(".pick");
    picks.hidden = ranking;
    next.hidden = !ranking;
    for (const button of picks.children) {
      button.setAttribute("aria-pressed", (button.className === "best" ? answer.best : answer.worst) === place);
    }
    next.firstChild.textContent = at < 0 ? `${ordinal(answer.groups.flat().length + 1)} place` : names[at];
    next.firstChild.setAttribute("aria-pressed", at >= 0);
    next.firstChild.setAttribute("aria-label", at < 0 ? `${letter(place)} comes next` : `${letter(place)} is ${names[at]}: take it back`);
  }
  for (const button of $("modes").children) {
    const on = button.dataset.mode === answer.mode;
    button.setAttribute("aria-checked", on);
    button.tabIndex = on ? 0 : -1;
  }
  $("board").hidden = !ranking;
  if (ranking) drawBoard(names);
  drawHow(ranking);
  $("send").disabled = busy || !order();
  $("unsure").disabled = busy;
  $("undo").disabled = busy || !last;
  let equal = $("equal");
  if (asked.clips === 2 && !equal) $("send").after((equal = make("button", { id: "equal", type: "button", onclick: tie }, "Equal")));
  if (equal) {
    equal.hidden = asked.clips !== 2;
    equal.setAttribute("aria-pressed", answer.equal);
  }
  keep();
}

function drawHow(ranking) {
  const letters = asked.clips === 2 ? "A or B" : `A to ${letter(asked.clips - 1)}`;
  const named = (place) => (place === null ? "?" : letter(place));
  const [text, keys] = asked.clips === 2
    ? (answer.equal ? ["They are equally good.", "Enter sends."]
      : answer.best !== null ? [`${named(answer.best)} is better.`, "Enter sends."] : ["Which one is better?", `Keys: ${letters}, = for equally good.`])
    : ranking ? ["Press the clips from best to worst, or drag them. Drop one onto another for a tie.", ""]
      : answer.best === null && answer.worst === null ? ["Pick the best and the worst.", `Keys: ${letters}, with Shift for the worst.`]
        : [`Best: ${named(answer.best)}  ·  Worst: ${named(answer.worst)}`, order() ? "Enter sends." : ""];
  $("how").replaceChildren(`${text} `, make("span", { class: "keys" }, keys));
}

function drawBoard(names) {
  const focused = document.activeElement && document.activeElement.dataset.chip;
  const gap = (number) => make("div", { class: "gap", "data-gap": number });
  const rows = answer.groups.flatMap((group, row) => [
    gap(row), make("div", { class: "place", "data-row": row }, make("span", {}, names[row]), make("div", {}, ...group.map(chip))),
  ]);
  const tray = make("div", { class: "place tray", "data-tray": "1" },
    make("span", {}, "Not yet"), make("div", {}, ...answer.tray.map(chip)));
  $("board").replaceChildren(...rows, gap(answer.groups.length), ...(answer.tray.length ? [tray] : []));
  if (focused) $("board").querySelector(`[data-chip="${focused}"]`)?.focus();
}

function chip(place) {
  const name = letter(place), waits = answer.tray.includes(place);
  const grip = make("button", {
    type: "button", class: "grip", "data-chip": place, onpointerdown: (event) => drag(event, place),
    "aria-label": waits ? `${name} comes next` : `${name}: arrow keys move it`,
    onclick: (event) => event.detail === 0 && waits && placeNext(place), // by a key; a pointer's press ends in drag()
  }, name);
  const step = (up) => make("button", { type: "button", "aria-label": `${name} ${up ? "up" : "down"}`, onclick: () => move(place, up) }, up ? "▲" : "▼");
  return make("span", { class: "chip" }, grip, ...(waits ? [] : [step(true), step(false)]));
}

function drag(start, place) {
  if (start.button) return;
  const grip = start.currentTarget, held = grip.parentNode, board = $("board");
  let target = null, moved = false;
  grip.setPointerCapture(start.pointerId);
  const aim = (event) => {
    const [dx, dy] = [event.clientX - start.clientX, event.clientY - start.clientY];
    moved ||= Math.hypot(dx, dy) > 5;
    if (!moved) return;
    held.classList.add("held");
    board.classList.add("dragging");
    held.style.transform = `translate(${dx}px, ${dy}px)`;
    const under = document.elementFromPoint(event.clientX, event.clientY)?.closest("#board [data-gap], #board [data-row], #board [data-tray]");
    if (under === target) return;
    target?.classList.remove("over");
    target = under;
    target?.classList.add("over");
  };
  const end = (event) => {
    for (const [name, listener] of [["pointermove", aim], ["pointerup", end], ["pointercancel", end]]) grip.removeEventListener(name, listener);
    board.classList.remove("dragging");
    held.classList.remove("held");
    held.style.transform = "";
    if (moved && target && event.type === "pointerup") {
      const { gap, row, tray } = target.dataset;
      drop(place, { gap: gap && Number(gap), row: row && Number(row), tray });
    } else {
      if (!moved && event.type === "pointerup" && answer.tray.includes(place)) placeNext(place);
      else draw();
      $("board").querySelector(`[data-chip="${place}"]`)?.focus();
    }
  };
  for (const [name, listener] of [["pointermove", aim], ["pointerup", end], ["pointercancel", end]]) grip.addEventListener(name, listener);
}

async function send(form, groups) {
  if (busy || !asked) return;
  busy = true;
  draw();
  answer.comment = $("comment").value.trim();
  keep();
  const handle = asked.handle;
  try {
    await retrying(() => source.vote({ id: answer.id, asked: handle, form, order: groups, comment: answer.comment }));
    forget();
    asked = null;
    await retrying(() => refresh());
    say("Saved.");
  } catch (error) {
    await failed(error);
  } finally {
    busy = false;
    if (asked) draw();
  }
}

async function undo() {
  if (busy || !last) return;
  busy = true;
  try {
    const taken = await retrying(() => source.undo(last));
    await retrying(() => refresh(taken));
    say("Taken back: answer again.");
  } catch (error) {
    await failed(error);
  } finally {
    busy = false;
    if (asked) draw();
  }
}

const RETRY_MS = 1000;

async function retrying(what) {
  // the server may be restarting: nothing is lost meanwhile, and the same answer sent twice counts once
  for (;;) {
    try {
      return await what();
    } catch (error) {
      if (error.status !== 0) throw error;
      notice("The server does not answer. Your answer is kept and sent as soon as it is back.");
      await new Promise((wake) => setTimeout(wake, RETRY_MS));
    }
  }
}

async function failed(error) {
  if (error.status === 409) {
    if (asked) forget();
    asked = null;
    await refresh().catch(() => {});
  }
  if (error.status === 401) return locked(error);
  notice([error.message, error.hint].filter(Boolean).join(": "));
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function notice(text) {
  $("notice").textContent = sentence(text);
  $("notice").hidden = !text;
}

function say(text) {
  $("said").textContent = text;
  setTimeout(() => $("said").textContent === text && ($("said").textContent = ""), 6000);
}

function locked(error) {
  $("ask").hidden = true;
  $("wait").hidden = false;
  document.querySelector(".below").hidden = true;
  $("wait-title").textContent = sentence(error.message);
  $("wait-text").textContent = sentence(error.hint);
}

// --- while nothing is asked, and beside it -----------------------------------------------------------------------------

let progress = null;

function idle() {
  if (source.idle) return source.idle($("wait-title"), $("wait-text"));
  if (!progress) return;
  $("wait-bar").hidden = progress.share === null;
  $("wait-bar").value = progress.share || 0;
  const done = progress.finished;
  $("wait-undo").hidden = done || !last;
  const quiet = last ? "Saved. Thank you!" : "Nothing to compare right now";
  $("wait-title").textContent = done ? "All is compared. Thank you!" : quiet;
  $("wait-text").textContent = done ? "You have seen every set of clips there is." : `${progress.stage}. New clips appear here by themselves.`;
}

function percent(share) {
  return `${Math.round(100 * share)} %`;
}

async function look() {
  progress = await source.progress();
  const { stage, share, raters, sure } = progress;
  $("stage").textContent = share === null ? stage : `${stage} · ${percent(share)}`;
  $("bar").firstElementChild.style.transform = `scaleX(${share === null ? 0 : share})`;
  $("who").textContent = me ? `${me} · ${plural(raters[me] || 0, "answer")}` : "";
  $("raters").replaceChildren(...Object.entries(raters).map(([name, count]) => make("li", {}, `${name} · ${count}`)));
  drawSure(sure);
  $("heard").hidden = progress.finished;
  if (!asked) idle();
  const changed = progress.questions !== seenQuestions || (raters[me] || 0) !== seenAnswers;
  seenQuestions = progress.questions;
  seenAnswers = raters[me] || 0;
  if (changed && !busy) await refresh();
}

function drawSure(sure) {
  $("sure").hidden = !sure;
  if (!sure) return;
  $("sure-text").textContent = `${sure.decided} of ${plural(sure.steps, "step")} from one place to the next ${sure.decided === 1 ? "is" : "are"} 95 % sure. `
    + `That the first is the best is ${percent(sure.best)} sure.`;
  const low = Math.min(...sure.rows.map((r) => r[0])), high = Math.max(...sure.rows.map((r) => r[2]));
  const at = (value) => `${(100 * (value - low)) / (high - low || 1)}%`;
  $("sure-rows").replaceChildren(...sure.rows.map(([from, point, to]) => {
    const line = make("i"), dot = make("b");
    Object.assign(line.style, { left: at(from), right: `calc(100% - ${at(to)})` });
    dot.style.left = at(point);
    return make("div", { class: "unsure" }, line, dot);
  }));
}

async function follow() {
  for (;;) {
    try {
      await look();
      if (!busy) notice($("notice").textContent.startsWith("The server") ? "" : $("notice").textContent);
    } catch (error) {
      if (error.status === 401) return locked(error);
      if (error.status === 0) notice("The server does not answer. What you chose is kept; this page goes on when it is back.");
    }
    await new Promise((wake) => setTimeout(wake, document.hidden ? 8000 : 1500));
  }
}

// --- hands and keys --------------------------------------------------------------------------------------------------

function setMode(to) {
  answer.mode = mode = to;
  draw();
}

function nextSpeed() {
  player.rate = { 1: 2, 2: 0.5, 0.5: 1 }[player.rate];
  $("speed").textContent = `${player.rate}×`;
}

function submit() {
  const whole = order();
  if (whole) send(...whole);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input:not([type=range]):not([readonly]), textarea");
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const onButton = event.target.matches("button, summary");
  const key = event.key.toLowerCase();
  if (key === "u") undo();
  else if (!asked || busy) return;
  else if (key === " " && !onButton) player.play(!player.playing);
  else if (key === "enter" && !onButton) submit();
  else if (key === "t") send("unsure", []);
  else if (key === "n" && asked.episodes > 1) episode(answer.episode + 1);
  else if (key === "s") nextSpeed();
  else if (key === "m" && asked.clips > 2) setMode(answer.mode === "ranking" ? "best_worst" : "ranking");
  else if (key === "=") tie();
  else if (key === "/") $("comment").focus();
  else if ((key === "arrowup" || key === "arrowdown") && event.target.dataset.chip) move(Number(event.target.dataset.chip), key === "arrowup");
  else if ((key === "arrowleft" || key === "arrowright") && event.target.getAttribute("role") === "radio") setMode(answer.mode === "ranking" ? "best_worst" : "ranking");
  else if ((key === "arrowleft" || key === "arrowright") && event.target !== $("seek")) player.seek(player.at + (key === "arrowleft" ? -0.2 : 0.2));
  else {
    // letters as they are written on this keyboard; digits by their place, for Shift makes other signs of them
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
    const place = digit ? Number(digit[1]) - 1 : /^[a-j]$/.test(key) ? key.charCodeAt(0) - 97 : -1;
    if (!(place >= 0 && place < asked.clips)) return;
    if (asked.clips === 2) pickPair(event.shiftKey ? 1 - place : place);
    else if (answer.mode === "ranking") placeNext(place);
    else choose(event.shiftKey ? "worst" : "best", place);
  }
  event.preventDefault();
}

function listen() {
  window.addEventListener("hashchange", () => location.reload()); // another link was opened in this window
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", (event) => {
    // after a click by hand, Enter shall send and Space play, not press the same button again
    if (event.detail > 0) event.target.closest("#ask button:not(.grip)")?.blur();
  });
  document.addEventListener("visibilitychange", () => document.hidden || (document.title = "Which is better? · rewardsmith"));
  $("play").addEventListener("click", () => player.play(!player.playing));
  $("seek").addEventListener("input", () => player.seek(Number($("seek").value)));
  $("speed").addEventListener("click", nextSpeed);
  $("episode").addEventListener("click", () => episode(answer.episode + 1));
  $("send").addEventListener("click", submit);
  $("unsure").addEventListener("click", () => send("unsure", []));
  $("undo").addEventListener("click", undo);
  $("wait-undo").addEventListener("click", undo);
  $("comment").addEventListener("input", () => {
    answer.comment = $("comment").value;
    keep();
  });
  for (const button of $("modes").children) button.addEventListener("click", () => setMode(button.dataset.mode));
  $("invite")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const made = await source.link($("name").value);
      $("made").hidden = false;
      $("link").value = made.link;
      $("link").select();
      notice("");
    } catch (error) {
      notice([error.message, error.hint].filter(Boolean).join(": "));
    }
  });
  $("copy")?.addEventListener("click", () => {
    $("link").select();
    navigator.clipboard?.writeText($("link").value).then(() => ($("copy").textContent = "Copied"), () => {});
  });
}

async function start() {
  listen();
  const token = location.hash.slice(1);
  let refused = null;
  if (token && source.enter) {
    history.replaceState(null, "", location.pathname);
    await retrying(() => source.enter(token)).catch((error) => (refused = error));
  }
  try {
    await retrying(() => refresh());
  } catch (error) {
    return locked(refused || error);
  }
  if (source.progress) follow();
}

start();
