// The app: it opens the local database of a person, and connects the parts of the page.
// A person has their own tasks, and a list that all share: a space of which they are a member.

import * as airplane from "./airplane.js";
import { showTraffic } from "./drawer.js";
import { List, byPosition } from "./list.js";
import { Mobync } from "./mobync.js";
import { showNotices } from "./notices.js";
import { together } from "./status.js";

const $ = (selector) => document.querySelector(selector);

/** `?device=2` is another device, with a separate local database; `?user=grace` begins with Grace. */
const address = new URLSearchParams(location.search);
const device = address.get("device") ?? "1";
const MODELS = { tasks: { title: "", done: false, position: 0, due: null, created_time: 0 } };

/** How the tasks have changed since the first version of the app; the server has the same file. */
const schema = await (await fetch("schema.json")).json();
const UNDO_FOR = 8000;

/** The space that is the shared list. */
const FAMILY = "family";

/**
 * What is open: the database, and the list that is shown, which is all of the person's own, or the space.
 * @type {{ mobync: Mobync, list: any, records: any[], pending: Set<string>, end: (() => void)[], leave: () => void } | null}
 */
let open = null;
let opening = Promise.resolve();
let filter = "all";
let which = address.get("list") ?? sessionStorage.getItem(`list-${device}`) ?? "own";

const list = new List($("#tasks"), {
  update: (id, fields) => attempt(open.list.update("tasks", id, fields)),
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
  before?.leave();
  list.clear();
  hideToast();
  await before?.mobync.close();

  const mobync = await Mobync.open({
    person: user,
    name: `todo-${user}-${device}`,
    url: "/sync",
    live: "/sync/live",
    models: MODELS,
    schema,
    token: () => user,
    fetch: airplane.fetch,
  });
  const lists = [mobync, await mobync.join(FAMILY)];
  const status = () => showStatus(together(lists.map((one) => one.status)));
  for (const one of lists) one.addEventListener("status", status);
  status();
  const end = [
    () => lists.forEach((one) => one.removeEventListener("status", status)),
    showNotices(lists, $("#notices")),
    showTraffic(lists, $("#rounds")),
  ];
  open = { mobync, list: mobync, records: [], pending: new Set(), end, leave: () => {} };
  showList();
}

/** Shows the person's own tasks, or those of the family. */
function showList() {
  open.leave();
  list.clear();
  hideToast();
  const shown = which === FAMILY ? open.mobync.space(FAMILY) : open.mobync;
  Object.assign(open, { list: shown, records: [], pending: new Set() });
  open.leave = shown.subscribe("tasks", ({ records, pending }) => {
    Object.assign(open, { records: records.sort(byPosition), pending });
    draw();
  });
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

async function add(title) {
  const position = Math.min(0, ...open.records.map((task) => task.position ?? 0)) - 1;
  await open.list.create("tasks", { title, done: false, position, due: null, created_time: Date.now() });
}

async function remove(ids) {
  const tasks = open.list;
  const rows = await tasks.change(async (change) => {
    const gone = [];
    for (const id of ids) gone.push(await change.delete("tasks", id));
    return gone;
  });
  const what = rows.length === 1 ? `“${rows[0].title}” is deleted` : `${rows.length} tasks are deleted`;
  const undo = tasks.change.bind(tasks, async (change) => {
    for (const row of rows) await change.create("tasks", row);
  });
  showToast(what, () => {
    attempt(undo());
    say("Undone");
  });
}

/** Moves a task between two others. If no number is left between their positions, all tasks get new ones. */
async function move(id, above, below) {
  const { list: tasks, records } = open;
  const position = (other) => records.find((task) => task.id === other)?.position ?? 0;
  const [low, high] = [
    above === null ? position(below) - 2 : position(above),
    below === null ? position(above) + 2 : position(below),
  ];
  const middle = (low + high) / 2;
  if (middle > low && middle < high) {
    await tasks.update("tasks", id, { position: middle });
  } else {
    const ids = records.map((task) => task.id).filter((other) => other !== id);
    ids.splice(above === null ? 0 : ids.indexOf(above) + 1, 0, id);
    await tasks.change(async (change) => {
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
  const title = $("#new").value.trim();
  if (!title) return;
  $("#new").value = "";
  const added = opening.then(() => add(title));
  added.catch(() => ($("#new").value ||= title)); // what was typed is not lost
  void attempt(added);
};

$("#clear").onclick = () => attempt(remove(open.records.filter(({ done }) => done).map(({ id }) => id)));

$("#filters").onchange = ({ target }) => {
  filter = target.value;
  if (open) draw();
};

$("#lists").onchange = ({ target }) => {
  which = target.value;
  sessionStorage.setItem(`list-${device}`, which);
  if (open) showList();
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

const user = address.get("user") ?? localStorage.getItem(`user-${device}`) ?? "ada";
$(`#users [value="${user}"]`).checked = true;
$(`#lists [value="${which}"]`).checked = true;
$("#airplane").checked = sessionStorage.getItem(`airplane-${device}`) === "on";
if ($("#airplane").checked) airplane.set(true);
const isFramed = window.parent !== window;
$("#device").textContent = `Device ${device}`;
$("#device").hidden = device === "1" || isFramed;
$("#others").hidden = isFramed;

navigator.serviceWorker?.register("/sw.js").catch((error) => console.warn("This page needs a network to load:", error));
void navigator.storage?.persist?.();
await switchTo(user);
