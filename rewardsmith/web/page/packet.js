// The source of a packet: sets, films and answers all lie in this one file; the answers leave it as votes.json.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const packet = JSON.parse(byId("packet").textContent);
  const place = `rewardsmith-packet:${packet.id}`;
  const films = new Map();
  let kept = { rater: packet.rater, votes: [] };
  try {
    kept = JSON.parse(localStorage.getItem(place)) || kept;
  } catch { /* some browsers let files keep nothing: then a reload begins anew */ }

  function keep() {
    try {
      localStorage.setItem(place, JSON.stringify(kept));
    } catch { /* as above */ }
    byId("stage").textContent = `${kept.votes.length} of ${packet.sets.length} answered`;
    byId("bar").firstElementChild.style.transform = `scaleX(${kept.votes.length / packet.sets.length})`;
    byId("save").disabled = !kept.votes.length;
  }

  function save() {
    const name = byId("rater");
    if (!name.reportValidity()) return;
    const { votes } = kept, rater = kept.rater.trim().replace(/\s+/g, " ");
    const file = JSON.stringify({ packet: packet.id, run: packet.run, rater, votes }, null, 1);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([file], { type: "application/json" }));
    link.download = "votes.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  window.packetSource = {
    async next() {
      const { handle, words, clips } = packet.sets[kept.votes.length] || {};
      const asked = handle ? { handle, words, clips: clips.length, episodes: clips[0].length } : null;
      return { run: packet.run, task: packet.task, rater: kept.rater, asked, last: kept.votes.at(-1)?.id || null };
    },
    async vote(answer) {
      if (!kept.votes.some((vote) => vote.asked === answer.asked)) kept.votes.push(answer);
      keep();
    },
    async undo() {
      const { asked, form, order, comment } = kept.votes.pop();
      keep();
      return { handle: asked, form, order, comment };
    },
    async film(handle, clip, episode) {
      const name = packet.sets.find((set) => set.handle === handle).clips[clip][episode];
      if (!films.has(name)) {
        const bytes = Uint8Array.from(atob(packet.films[name]), (c) => c.charCodeAt(0));
        films.set(name, new Blob([bytes], { type: "video/mp4" }));
      }
      return films.get(name);
    },
    idle(title, text) {
      title.textContent = "All is compared. Thank you!";
      text.textContent = "Save your votes now, and send the file votes.json to whoever gave you this page.";
      byId("save").focus();
    },
  };

  byId("people").remove();
  byId("who").replaceChildren();
  const name = Object.assign(document.createElement("input"), { id: "rater", maxLength: 40, required: true, value: kept.rater, placeholder: "Your name", ariaLabel: "Your name" });
  name.addEventListener("input", () => {
    kept.rater = name.value;
    keep();
  });
  const button = Object.assign(document.createElement("button"), { id: "save", type: "button", textContent: "Save votes.json" });
  button.addEventListener("click", save);
  byId("who").append(name, button);
  byId("who").classList.add("row");
  keep();
})();

