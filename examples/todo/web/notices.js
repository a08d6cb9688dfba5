// What needs a person: changes that were refused, and problems that stop syncing.

const PLAIN = {
  unauthenticated: "You are signed out",
  storage_full: "This device is full",
  clock_ahead: "The server has forgotten something",
  other_owner: "Somebody else is signed in",
};

/** Shows them while there are any. */
export function showNotices(mobync, place) {
  let shown = "";
  const show = async () => {
    const { problem, state } = mobync.status;
    const refused = await mobync.refused();
    const stopped = state === "stopped" ? problem : null;
    const what = JSON.stringify([stopped, refused]);
    if (what === shown) return; // what is being typed stays
    shown = what;
    place.replaceChildren(
      ...(stopped ? [problemNotice(mobync, stopped)] : []),
      ...refused.map((one) => refusedNotice(mobync, one)),
    );
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

function problemNotice(mobync, { code, message }) {
  const notice = element("article", "notice");
  notice.append(element("h2", "", PLAIN[code] ?? "Syncing has stopped"), element("p", "", message));
  const actions = element("div", "actions");
  if (code === "clock_ahead") {
    notice.append(
      element("p", "", "Everything is safe on this device. If it is the right server, it can have all of it again."),
    );
    const resend = button("Send everything again", "main", "button");
    resend.onclick = () => act(notice, mobync.resend());
    actions.append(resend);
  }
  const again = button("Try again", code === "clock_ahead" ? "" : "main", "button");
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
