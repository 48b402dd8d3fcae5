import { ask, askPatiently, form, Refusal } from "./api.js";
import { dropArea } from "./drop.js";

const $ = (id) => document.getElementById(id);

/* Kept until the tab is closed, and sent to this service alone. */
const KEPT = "tunescout-token";
let token = sessionStorage.getItem(KEPT) || "";

const AT_A_TIME = 2;

// --- Who may ---------------------------------------------------------------------------------------------------------

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  open();
});

/** Show the songs, or ask for a token where one is needed. */
async function open() {
  $("token-error").textContent = "";
  try {
    await search();
    if (token) sessionStorage.setItem(KEPT, token);
    $("token-form").hidden = true;
    $("opened").hidden = false;
  } catch (refusal) {
    sessionStorage.removeItem(KEPT);
    $("opened").hidden = true;
    $("token-form").hidden = false;
    if (token || refusal.status !== 401) $("token-error").textContent = refusal.toString();
    $("token").focus();
  }
}

// --- Songs -----------------------------------------------------------------------------------------------------------

let asked = 0;
let following = null;
let typing = 0;

$("search").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => search().catch(tellOfSongs), 200);
});
$("more").addEventListener("click", () => search(following).catch(tellOfSongs));

function tellOfSongs(refusal) {
  $("songs-status").classList.add("bad");
  $("songs-status").textContent = refusal.toString();
}

/** Ask for a page of what is searched for; the first one replaces what is shown. */
async function search(after = null) {
  const number = (asked += 1);
  const query = new URLSearchParams({ query: $("search").value.trim(), ...(after ? { after } : {}) });
  const page = await ask("GET", `/api/songs?${query}`, { token });
  if (number !== asked) return; // something else is searched for by now
  const rows = page.songs.map(row);
  if (after) {
    $("songs").append(...rows);
    rows[0]?.querySelector("button").focus();
  } else {
    $("songs").replaceChildren(...rows);
  }
  following = page.next;
  $("more").hidden = !following;
  const missing = page.unavailable.length ? ` ${page.unavailable.join(", ")} cannot be reached, so some may be missing.` : "";
  $("songs-status").classList.toggle("bad", Boolean(missing));
  $("songs-status").textContent = `${page.total === 1 ? "1 song" : `${page.total} songs`}${query.get("query") ? " found" : ""}.${missing}`;
}

function row(song) {
  const item = element("li");
  const what = element("div", "what");
  const actions = element("div", "do");
  const rename = button("Rename", `Rename ${song.song_name}`, () => edit(item, song));
  const remove = button("Delete", `Delete ${song.song_name}`, () => confirmDeleting(item, song));
  const known = [song.artist, song.title, song.album].filter(Boolean).join(" · ");
  const length = song.duration_seconds === null ? "" : clock(song.duration_seconds);
  what.append(element("strong", "", song.song_name), element("p", "soft", [known, length, song.isrc].filter(Boolean).join(" · ")));
  actions.append(rename, remove);
  item.append(what, actions);
  return item;
}

/** Let a song be given another name, in its own line. */
function edit(item, song) {
  const name = element("input");
  name.value = song.song_name;
  name.setAttribute("aria-label", `New name of ${song.song_name}`);
  const status = element("p", "status bad");
  status.setAttribute("role", "alert");
  const close = (renamed = song) => {
    const fresh = row(renamed);
    item.replaceWith(fresh);
    fresh.querySelector("button").focus();
  };
  const editor = element("form", "row what");
  editor.append(name, submit("Save"), button("Cancel", "Cancel renaming", () => close()), status);
  editor.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const body = JSON.stringify({ song_name: name.value });
      close(await ask("PATCH", `/api/songs/${song.file_sha1}`, { token, body, headers: { "Content-Type": "application/json" } }));
    } catch (refusal) {
      status.textContent = refusal.toString();
    }
  });
  editor.addEventListener("keydown", (event) => event.key === "Escape" && close());
  item.replaceChildren(editor);
  name.select();
}

function confirmDeleting(item, song) {
  const dialog = $("confirm");
  $("confirm-name").textContent = song.song_name;
  dialog.returnValue = "cancel";
  dialog.addEventListener("close", () => dialog.returnValue === "delete" && remove(item, song), { once: true });
  dialog.showModal();
}

async function remove(item, song) {
  try {
    await ask("DELETE", `/api/songs/${song.file_sha1}`, { token });
    item.remove();
    await search();
  } catch (refusal) {
    tellOfSongs(refusal);
  }
}

// --- Adding ----------------------------------------------------------------------------------------------------------

const waiting = [];
let running = 0;
let finished = 0;
let all = 0;

$("files").addEventListener("change", () => {
  add($("files").files);
  $("files").value = "";
});
dropArea($("drop"), add);
window.addEventListener("beforeunload", (event) => (running || waiting.length) && event.preventDefault());

function add(files) {
  for (const file of files) {
    const item = element("li");
    const progress = element("progress");
    progress.max = 1;
    progress.value = 0;
    progress.setAttribute("aria-label", `Upload of ${file.name}`);
    item.append(element("span", "what", file.name), progress);
    $("uploads").append(item);
    enqueue({ file, item, progress });
  }
}

function enqueue(upload) {
  waiting.push(upload);
  all += 1;
  advance();
}

function advance() {
  while (running < AT_A_TIME && waiting.length) {
    running += 1;
    store(waiting.shift()).finally(() => {
      running -= 1;
      finished += 1;
      advance();
    });
  }
  const overall = $("overall");
  overall.hidden = finished === all;
  overall.value = all ? finished / all : 0;
  if (all) $("upload-status").textContent = `${finished} of ${all} files done.`;
  if (all && finished === all) search().catch(tellOfSongs);
}

async function store({ file, item, progress }) {
  const end = (text, isBad = false) => {
    progress.remove();
    item.append(element("span", isBad ? "bad" : "soft", text));
  };
  const show = (share) => (share < 1 ? (progress.value = share) : progress.removeAttribute("value"));
  try {
    await askPatiently("POST", "/api/fingerprint", { token, body: form(file, file.name), progress: show }, () => {}, 10);
    end("added");
  } catch (refusal) {
    if (refusal.body?.status === "already_fingerprinted") return end(`there already, as ${refusal.body.song_name}`);
    end(refusal instanceof Refusal ? refusal.toString() : String(refusal), true);
    const again = button("Try again", `Try ${file.name} again`, () => {
      item.replaceChildren(item.firstChild, progress);
      progress.value = 0;
      enqueue({ file, item, progress });
    });
    item.append(again);
  }
}

// --- Parts -----------------------------------------------------------------------------------------------------------

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function button(text, label, onClick) {
  const made = element("button", "plain", text);
  made.type = "button";
  made.setAttribute("aria-label", label);
  made.addEventListener("click", onClick);
  return made;
}

function submit(text) {
  const made = element("button", "primary", text);
  made.type = "submit";
  return made;
}

function clock(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

open();
