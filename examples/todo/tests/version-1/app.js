// The app: it opens the local database of a person, and connects the parts of the page.

import * as airplane from "./airplane.js";
import { showTraffic } from "./drawer.js";
import { List, byPosition } from "./list.js";
import { Mobync } from "./mobync.js";
import { showNotices } from "./notices.js";

const $ = (selector) => document.querySelector(selector);

/** `?device=2` is another device, with a separate local database. */
const device = new URLSearchParams(location.search).get("device") ?? "1";
const MODELS = { tasks: { name: "", done: false, position: 0, due: null, created_time: 0 } };
const UNDO_FOR = 8000;

/** @type {{ mobync: Mobync, records: any[], pending: Set<string>, end: (() => void)[] } | null} */
let open = null;
let opening = Promise.resolve();
let filter = "all";

const list = new List($("#tasks"), {
  update: (id, fields) => attempt(open.mobync.update("tasks", id, fields)),
  remove: (id) => attempt(remove([id])),
  move: (id, above, below) => attempt(move(id, above, below)),
});

// ------------------------------------------------------------------------------- opening

/** One switch at a time, however fast a person clicks. */
function switchTo(user) {
  const opened = opening.then(() => openAs(user));
  opening = opened.catch(() => {});
  return attempt(opened);
}

async function openAs(user) {
  const before = open;
  open = null;
  before?.end.forEach((end) => end());
  list.clear();
  hideToast();
  await before?.mobync.close();

  const mobync = await Mobync.open({
    person: user,
    name: `todo-${user}-${device}`,
    url: "/sync",
    live: "/sync/live",
    models: MODELS,
    token: () => user,
    fetch: airplane.fetch,
  });
  open = { mobync, records: [], pending: new Set(), end: [] };
  const status = () => showStatus(mobync.status);
  mobync.addEventListener("status", status);
  status();
  open.end = [
    () => mobync.removeEventListener("status", status),
    showNotices(mobync, $("#notices")),
    showTraffic(mobync, $("#rounds")),
    mobync.subscribe("tasks", ({ records, pending }) => {
      Object.assign(open, { records: records.sort(byPosition), pending });
      draw();
    }),
  ];
}

// ------------------------------------------------------------------------------- showing

function draw() {
  const { records, pending } = open;
  const shown = { all: () => true, open: ({ done }) => !done, done: ({ done }) => done }[filter];
  const tasks = records.filter(shown);
  const left = records.filter(({ done }) => !done).length;
  list.draw(tasks, pending);
  $("#count").textContent = records.length === 0 ? "" : left === 0 ? "All done" : `${left} to do`;
  if (left === records.length && document.activeElement === $("#clear")) $("#new").focus();
  $("#clear").hidden = left === records.length;
  $("#empty").hidden = tasks.length > 0;
  $("#empty").textContent =
    records.length === 0
      ? "Nothing here yet. Add a task, with or without a network."
      : filter === "done"
        ? "Nothing is done yet."
        : "Everything is done.";
}

function showStatus({ state, pending, problem, progress }) {
  $("#progress").hidden = progress === null;
  $("#progress").value = progress ?? 0;
  const waiting = pending === 1 ? "1 change waits" : `${pending} changes wait`;
  const text = {
    saved: "All saved",
    syncing: progress === null ? "Syncing…" : "Fetching…",
    waiting,
    offline: pending > 0 ? `Offline, ${waiting}` : "Offline",
    stopped: pending > 0 ? `Stopped, ${waiting}` : "Syncing has stopped",
  }[state];
  const line = $("#status");
  line.dataset.state = state;
  line.title = problem?.message ?? "";
  line.querySelector("use").setAttribute("href", `#${state}`);
  const words = line.querySelector("span");
  if (words.textContent !== text) words.textContent = text;
}

/** For screen readers. */
function say(text) {
  $("#spoken").textContent = text;
}

let toast;

/** @param {string} text @param {() => void} [undo] */
function showToast(text, undo) {
  clearTimeout(toast);
  $("#toast span").textContent = text;
  $("#toast button").hidden = !undo;
  $("#toast button").onclick = () => {
    hideToast();
    undo();
  };
  $("#toast").hidden = false;
  toast = setTimeout(hideToast, UNDO_FOR);
}

function hideToast() {
  clearTimeout(toast);
  $("#toast").hidden = true;
}

// ------------------------------------------------------------------------------ changing

async function add(name) {
  const position = Math.min(0, ...open.records.map((task) => task.position ?? 0)) - 1;
  await open.mobync.create("tasks", { name, done: false, position, due: null, created_time: Date.now() });
}

async function remove(ids) {
  const { mobync } = open;
  const rows = await mobync.change(async (change) => {
    const gone = [];
    for (const id of ids) gone.push(await change.delete("tasks", id));
    return gone;
  });
  const what = rows.length === 1 ? `“${rows[0].name}” is deleted` : `${rows.length} tasks are deleted`;
  const undo = mobync.change.bind(mobync, async (change) => {
    for (const row of rows) await change.create("tasks", row);
  });
  showToast(what, () => {
    attempt(undo());
    say("Undone");
  });
}

/** Moves a task between two others. If no number is left between their positions, all tasks get new ones. */
async function move(id, above, below) {
  const { mobync, records } = open;
  const position = (other) => records.find((task) => task.id === other)?.position ?? 0;
  const [low, high] = [
    above === null ? position(below) - 2 : position(above),
    below === null ? position(above) + 2 : position(below),
  ];
  const middle = (low + high) / 2;
  if (middle > low && middle < high) {
    await mobync.update("tasks", id, { position: middle });
  } else {
    const ids = records.map((task) => task.id).filter((other) => other !== id);
    ids.splice(above === null ? 0 : ids.indexOf(above) + 1, 0, id);
    await mobync.change(async (change) => {
      for (const [place, other] of ids.entries()) await change.update("tasks", other, { position: place });
    });
  }
  say("Moved");
}

/** Shows why something failed: the device is full, or a sync has deleted the task. */
async function attempt(done) {
  try {
    await done;
  } catch (error) {
    showToast(error.code === "not_there" ? "This task was deleted on another device" : error.message);
    if (open) draw();
  }
}

// ------------------------------------------------------------------------------- wiring

$("#add").onsubmit = (event) => {
  event.preventDefault();
  const name = $("#new").value.trim();
  if (!name) return;
  $("#new").value = "";
  const added = opening.then(() => add(name));
  added.catch(() => ($("#new").value ||= name)); // what was typed is not lost
  void attempt(added);
};

$("#clear").onclick = () => attempt(remove(open.records.filter(({ done }) => done).map(({ id }) => id)));

$("#filters").onchange = ({ target }) => {
  filter = target.value;
  if (open) draw();
};

$("#users").onchange = ({ target }) => {
  localStorage.setItem(`user-${device}`, target.value);
  void switchTo(target.value);
};

$("#airplane").onchange = ({ target }) => {
  sessionStorage.setItem(`airplane-${device}`, target.checked ? "on" : "");
  airplane.set(target.checked);
  if (open && target.checked) void open.mobync.sync();
};

const showDrawer = (shown) => {
  $("#drawer").hidden = !shown;
  $("#what").setAttribute("aria-expanded", String(shown));
  $(shown ? "#shut" : "#what").focus();
};
$("#what").onclick = () => showDrawer($("#drawer").hidden);
$("#shut").onclick = () => showDrawer(false);
$("#drawer").onkeydown = ({ key }) => key === "Escape" && showDrawer(false);

const user = localStorage.getItem(`user-${device}`) ?? "ada";
$(`#users [value="${user}"]`).checked = true;
$("#airplane").checked = sessionStorage.getItem(`airplane-${device}`) === "on";
if ($("#airplane").checked) airplane.set(true);
const isFramed = window.parent !== window;
$("#device").textContent = `Device ${device}`;
$("#device").hidden = device === "1" || isFramed;
$("#devices").hidden = isFramed;

navigator.serviceWorker?.register("/sw.js").catch((error) => console.warn("This page needs a network to load:", error));
void navigator.storage?.persist?.();
await switchTo(user);
