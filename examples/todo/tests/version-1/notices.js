// What needs a person: changes that were refused or overridden, and problems that stop syncing.

const PLAIN = {
  unauthenticated: "You are signed out",
  storage_full: "This device is full",
  clock_ahead: "The server has forgotten something",
  other_history: "The server has another history",
  other_owner: "Somebody else is signed in",
};

/** Shows what needs a person, and updates it with the client's status. */
export function showNotices(mobync, place) {
  let shown = "";
  const show = async () => {
    const { problem, state } = mobync.status;
    const [refused, lost] = [await mobync.refused(), await mobync.overridden()];
    const overridden = lost.filter(isWorthAWord);
    for (const { id } of lost) if (!overridden.some((one) => one.id === id)) await mobync.dismiss(id);
    const stopped = state === "stopped" ? problem : null;
    const what = JSON.stringify([stopped, refused, overridden]);
    if (what === shown) return; // what is being typed stays
    shown = what;
    const hadFocus = place.contains(document.activeElement);
    place.replaceChildren(
      ...(stopped ? [problemNotice(mobync, stopped)] : []),
      ...refused.map((one) => refusedNotice(mobync, one)),
      ...overridden.map((one) => overriddenNotice(mobync, one)),
    );
    // People who use the keyboard continue from here.
    if (hadFocus) (place.querySelector("button") ?? document.querySelector("#new")).focus();
  };
  const heard = () => void show().catch(() => {});
  mobync.addEventListener("status", heard);
  heard();
  return () => {
    mobync.removeEventListener("status", heard);
    place.replaceChildren();
  };
}

function refusedNotice(mobync, { id, diff, message, fields }) {
  const notice = element("article", "notice");
  const what = { create: "A new task", update: "A change", delete: "A deletion" }[diff.type];
  const since = Object.keys(fields).filter((field) => field !== "id" && field !== "name");
  notice.append(element("h2", "", `${what} was not accepted`), element("p", "", message));
  const form = element("form");
  const again = button("Send again", "main", "submit");
  const letGo = button("Let it go", "", "button");
  if ("name" in fields) {
    const name = element("input");
    name.value = fields.name ?? "";
    name.placeholder = "Another name";
    name.setAttribute("aria-label", "Another name");
    form.append(name);
    form.onsubmit = (event) => (event.preventDefault(), act(notice, mobync.mend(id, { name: name.value })));
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

/** Where a task stands in the list is not worth a question. @param {any} lost */
const isWorthAWord = ({ fields }) => Object.keys(fields).some((field) => field !== "position");

/** Nobody knows who made the change that won; in this app it was the same person, on another device. */
function overriddenNotice(mobync, { id, object, fields, row }) {
  const notice = element("article", "notice calm");
  const values = Object.entries(fields);
  const isDeleted = values.some(([, value]) => !("stands" in value));
  const text = values.some(([field]) => field === "name") ? "text" : "change";
  const title = isDeleted ? "Another device deleted what you changed" : `Another device’s ${text} replaced yours`;
  const heading = element("h2", "", title);
  heading.id = `lost-${id}`;
  notice.setAttribute("aria-labelledby", heading.id);
  notice.append(heading);
  const what = isDeleted ? { ...row, ...Object.fromEntries(values.map(([field, { sent }]) => [field, sent])) } : null;
  if (what) notice.append(element("p", "", `“${what.name ?? object}”`));
  for (const [field, { sent, stands }] of what ? [] : values) {
    const line = element("p", "", field === "name" ? "" : `${LABELS[field] ?? field}: `);
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

const LABELS = { done: "Done", due: "Due date", position: "Place" };

/** A value as a person reads it. */
const shown = (value) =>
  value === true ? "yes" : value === false ? "no" : value === null || value === "" ? "nothing" : String(value);

function problemNotice(mobync, { code, message }) {
  const notice = element("article", "notice");
  notice.append(element("h2", "", PLAIN[code] ?? "Syncing has stopped"), element("p", "", message));
  const actions = element("div", "actions");
  const isElsewhere = code === "clock_ahead" || code === "other_history";
  if (isElsewhere) {
    notice.append(
      element("p", "", "Everything is safe on this device. If it is the right server, it can have all of it again."),
    );
    const resend = button("Send everything again", "main", "button");
    resend.onclick = () => act(notice, mobync.resend());
    actions.append(resend);
  }
  const again = button("Try again", isElsewhere ? "" : "main", "button");
  again.onclick = () => void mobync.sync();
  actions.append(again);
  notice.append(actions);
  return notice;
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
