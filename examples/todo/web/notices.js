// What needs a person: changes that were refused or overridden, and problems that stop syncing.

const PLAIN = {
  unauthenticated: "You are signed out",
  storage_full: "This device is full",
  clock_ahead: "The server has forgotten something",
  other_history: "The server has another history",
  other_owner: "Somebody else is signed in",
  upgrade_required: "This app is too old for the server",
  newer_data: "The app has been updated in another tab",
};

/** What a newer version of the page solves. */
const OUTDATED = ["upgrade_required", "newer_data"];

/** Shows what needs a person, in their own tasks and in those of the family, and updates it with the client's status. */
export function showNotices([mobync, family], place) {
  let shown = "";
  const show = async () => {
    const isOver = mobync.status.problem?.code === "newer_data"; // then this tab cannot even read
    const stopped = [mobync, family].find(({ status }) => status.state === "stopped");
    const [own, shared] = isOver ? [[], []] : [await toLookAt(mobync), await toLookAt(family)];
    const what = JSON.stringify([stopped?.status.problem, own, shared]);
    if (what === shown) return; // what is being typed stays
    shown = what;
    const hadFocus = place.contains(document.activeElement);
    const notices = (list, of) => list.map(({ one, isRefused }) => (isRefused ? refusedNotice : overriddenNotice)(of, one, of === family));
    place.replaceChildren(
      ...(stopped ? [problemNotice(stopped, mobync)] : []),
      ...notices(own, mobync),
      ...notices(shared, family),
    );
    // People who use the keyboard continue from here.
    if (hadFocus) (place.querySelector("button") ?? document.querySelector("#new")).focus();
  };
  const heard = () => void show().catch(() => {});
  for (const list of [mobync, family]) list.addEventListener("status", heard);
  heard();
  return () => {
    for (const list of [mobync, family]) list.removeEventListener("status", heard);
    place.replaceChildren();
  };
}

/** What was refused or overridden in a list. */
async function toLookAt(list) {
  const lost = await list.overridden();
  const isWorthAWord = ({ fields }) => Object.keys(fields).some((field) => field !== "position");
  // Where a task stands in the list is not worth a question.
  for (const one of lost) if (!isWorthAWord(one)) await list.dismiss(one.id);
  const refused = (await list.refused()).map((one) => ({ one, isRefused: true }));
  return [...refused, ...lost.filter(isWorthAWord).map((one) => ({ one, isRefused: false }))];
}

function refusedNotice(mobync, { id, diff, message, fields }, isShared) {
  const notice = element("article", "notice");
  const what = { create: "A new task", update: "A change", delete: "A deletion" }[diff.type];
  const since = Object.keys(fields).filter((field) => field !== "id" && field !== "title");
  notice.append(element("h2", "", `${what}${isShared ? " in the family’s list" : ""} was not accepted`), element("p", "", message));
  const form = element("form");
  const again = button("Send again", "main", "submit");
  const letGo = button("Let it go", "", "button");
  if ("title" in fields) {
    const title = element("input");
    title.value = fields.title ?? "";
    title.placeholder = "Another title";
    title.setAttribute("aria-label", "Another title");
    form.append(title);
    form.onsubmit = (event) => (event.preventDefault(), act(notice, mobync.mend(id, { title: title.value })));
  } else {
    if (since.length > 0)
      notice.append(element("p", "", since.map((field) => `${field}: ${fields[field]}`).join(", ")));
    form.onsubmit = (event) => (event.preventDefault(), act(notice, mobync.mend(id)));
  }
  letGo.onclick = () => act(notice, mobync.dismiss(id));
  form.append(again, letGo);
  notice.append(form);
  return notice;
}

/** Nobody knows who made the change that won; of one's own tasks it was the same person, on another device. */
function overriddenNotice(mobync, { id, object, fields, row }, isShared) {
  const notice = element("article", "notice calm");
  const values = Object.entries(fields);
  const isDeleted = values.some(([, value]) => !("stands" in value));
  const text = values.some(([field]) => field === "title") ? "text" : "change";
  const who = isShared ? "Somebody else" : "Another device";
  const title = isDeleted ? `${who} deleted what you changed` : `${who}’s ${text} replaced yours`;
  const heading = element("h2", "", title);
  heading.id = `lost-${id}`;
  notice.setAttribute("aria-labelledby", heading.id);
  notice.append(heading);
  const what = isDeleted ? { ...row, ...Object.fromEntries(values.map(([field, { sent }]) => [field, sent])) } : null;
  if (what) notice.append(element("p", "", `“${what.title ?? object}”`));
  for (const [field, { sent, stands }] of what ? [] : values) {
    const line = element("p", "", field === "title" ? "" : `${LABELS[field] ?? field}: `);
    line.append(element("del", "", shown(sent)), " → ", element("ins", "", shown(stands)));
    notice.append(line);
  }
  const actions = element("div", "actions");
  const keep = button(isDeleted ? "Leave it deleted" : "Keep theirs", "", "button");
  const mine = button("Put mine back", "main", "button");
  keep.onclick = () => act(notice, mobync.dismiss(id));
  mine.onclick = () => act(notice, mobync.putBack(id));
  actions.append(mine, keep);
  notice.append(actions);
  return notice;
}

const LABELS = { note: "Note", done: "Done", due: "Due date", position: "Place" };

/** A value as a person reads it. */
const shown = (value) =>
  value === true ? "yes" : value === false ? "no" : value === null || value === "" ? "nothing" : String(value);

function problemNotice(list, mobync) {
  const { code, message } = list.status.problem;
  const notice = element("article", "notice");
  notice.append(element("h2", "", PLAIN[code] ?? "Syncing has stopped"), element("p", "", message));
  const actions = element("div", "actions");
  const isElsewhere = code === "clock_ahead" || code === "other_history";
  if (isElsewhere) {
    notice.append(
      element("p", "", "Everything is safe on this device. If it is the right server, it can have all of it again."),
    );
    const resend = button("Send everything again", "main", "button");
    resend.onclick = () => act(notice, list.resend());
    actions.append(resend);
  }
  const isOutdated = OUTDATED.includes(code);
  const again = button(isOutdated ? "Load it again" : "Try again", isElsewhere ? "" : "main", "button");
  again.onclick = () => void (isOutdated ? loadAgain() : mobync.sync());
  actions.append(again);
  notice.append(actions);
  return notice;
}

/** Loads the page with its newest files. */
async function loadAgain() {
  const worker = await navigator.serviceWorker?.getRegistration();
  await worker?.update().catch(() => {}); // without a network
  const coming = worker?.installing;
  if (coming) await new Promise((resolve) => coming.addEventListener("statechange", resolve, { once: true }));
  location.reload();
}

async function act(notice, done) {
  try {
    await done;
  } catch (error) {
    notice.querySelector("p").textContent = error.message;
  }
}

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

function button(text, className, type) {
  return Object.assign(element("button", className, text), { type });
}
