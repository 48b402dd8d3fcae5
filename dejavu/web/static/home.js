import { ask, askPatiently, form, pause, Refusal } from "./api.js";
import { show } from "./answer.js";
import { dropArea } from "./drop.js";
import { hindrance, Recording, whyNot } from "./recorder.js";

/* When what was heard so far is sent, in seconds; after the last one its answer counts. */
const MARKS = [3, 6, 10];

/* Enough to stop listening: of a hundred such answers 95 are right. */
const SURE = 0.95;

const $ = (id) => document.getElementById(id);
const answer = $("answer");

// --- Listening -------------------------------------------------------------------------------------------------------

let listening = null;

$("listen").addEventListener("click", () => (listening ? listening.abort() : listen()));
if (hindrance()) {
  $("listen").disabled = true;
  $("listen-status").textContent = hindrance();
}

async function listen() {
  const control = (listening = new AbortController());
  const status = $("listen-status");
  answer.replaceChildren();
  const tell = (text, isBad = false) => {
    status.classList.toggle("bad", isBad);
    status.textContent = text;
  };
  let recording;
  tell("Waiting for the microphone …");
  try {
    recording = await Recording.begin((level) => $("level").style.setProperty("--level", level));
    $("listen-label").textContent = "Stop";
    const found = await firstSureAnswer(recording, control.signal, tell);
    tell("");
    await present(found);
  } catch (error) {
    tell(error instanceof Refusal ? error.toString() : whyNot(error), error.status !== -1);
  } finally {
    recording?.end();
    $("listen-label").textContent = "Listen";
    $("level").style.setProperty("--level", 0);
    listening = null;
  }
}

/** Show an answer, and lead to it. */
async function present(found) {
  await show(answer, found.token);
  answer.focus({ preventScroll: true });
  answer.scrollIntoView({ block: "nearest" });
}

/** Send what was heard at each mark until an answer is sure; the last one counts in any case. */
async function firstSureAnswer(recording, signal, tell) {
  const began = performance.now();
  for (const mark of MARKS) {
    for (let left; (left = began + mark * 1000 - performance.now()) > 0; ) {
      tell(`Listening … ${Math.ceil(MARKS.at(-1) - (performance.now() - began) / 1000)} s`);
      await pause(Math.min(left, 250), signal);
    }
    const isLast = mark === MARKS.at(-1);
    const heard = await recording.soFar();
    if (isLast) recording.end();
    tell(isLast ? "Looking …" : "Listening, and looking …");
    const options = { body: form(heard, "recording"), signal };
    try {
      const found = await (isLast ? askPatiently("POST", "/api/recognize", options, busy(tell)) : ask("POST", "/api/recognize", options));
      if (isLast || found.results[0]?.confidence >= SURE) return found;
    } catch (refusal) {
      // Too little was heard yet, or the service is busy: there is another mark to come.
      if (isLast || ![422, 429, 503].includes(refusal.status)) throw refusal;
    }
  }
}

const busy = (tell) => (seconds) => tell(`The service is busy; trying again in ${seconds} s …`);

// --- Files -----------------------------------------------------------------------------------------------------------

let sending = null;

const input = $("file");
input.addEventListener("change", () => nameFile());
$("cancel").addEventListener("click", () => sending?.abort());
$("file-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!sending) send();
});

dropArea($("drop"), (files) => {
  input.files = files;
  nameFile();
});

function nameFile() {
  const [file] = input.files;
  $("file-name").textContent = file ? file.name : "Drop an audio or video file here, or choose one";
}

/** Seconds of "75", "1:15" or "1:15.5"; "" where nothing is there, NaN where it is no time. */
function seconds(text) {
  const trimmed = text.trim().replace(",", ".");
  if (!trimmed) return "";
  if (!/^(\d+:){0,2}\d+(\.\d+)?$/.test(trimmed)) return NaN;
  return trimmed.split(":").reduce((sum, part) => 60 * sum + Number(part), 0);
}

async function send() {
  const [file] = input.files;
  const status = $("file-status");
  const tell = (text, isBad = false) => {
    status.classList.toggle("bad", isBad);
    status.textContent = text;
  };
  const start = seconds($("start").value);
  const duration = seconds($("duration").value);
  if (!file) return tell("Choose a file first.", true);
  if (Number.isNaN(start)) return tell("Start: write seconds such as 75, or minutes and seconds such as 1:15.", true);
  if (Number.isNaN(duration) || duration === 0) return tell("Length: write seconds such as 10, or leave it empty.", true);
  const control = (sending = new AbortController());
  answer.replaceChildren();
  $("cancel").hidden = false;
  $("send").disabled = true;
  const progress = $("progress");
  progress.hidden = false;
  const onProgress = (share) => {
    if (share < 1) progress.value = share;
    else progress.removeAttribute("value");
    tell(share < 1 ? `Sending … ${Math.floor(100 * share)} %` : "Looking …");
  };
  try {
    const options = { body: form(file, file.name, { start, duration }), progress: onProgress, signal: control.signal };
    const found = await askPatiently("POST", "/api/recognize", options, busy(tell));
    tell("");
    await present(found);
  } catch (error) {
    tell(error instanceof Refusal ? error.toString() : "The file cannot be read any more; choose it again.", error.status !== -1);
  } finally {
    sending = null;
    $("cancel").hidden = true;
    $("send").disabled = false;
    progress.hidden = true;
    progress.value = 0;
  }
}
