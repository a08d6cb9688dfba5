// The app: it opens the database of whoever signs in, and shows their projects.

import * as airplane from "./airplane.js";
import { $, attempt, button, element, onSubmit, redraw } from "./dom.js";
import { watch } from "./everything.js";
import { Mobync } from "./mobync.js";
import { Notices } from "./notices.js";
import { Project, ROLES } from "./project.js";
import { teamsOf } from "./server.js";
import { together } from "./status.js";

const MODELS = {
  // The person's own data, which the server writes.
  memberships: { name: "", role: "reader" },
  invitations: { name: "", role: "reader", host: "" },
  // The data of a project.
  members: { role: "reader" },
  invited: { role: "reader" },
  tasks: { title: "", done: false, assignee: null, author: "", created_time: 0 },
};

/** @type {{ mobync: Mobync, names: { forget: () => void }, end: () => Promise<void> } | null} */
let open = null;

// ------------------------------------------------------------------------------ signing in and out

/** In this demo the token is the name. A window has a person of its own, so it is kept for the window. */
async function signIn(person) {
  const mobync = await Mobync.open({
    person,
    name: `projects-${person}`,
    url: "/sync",
    live: "/sync/live",
    models: MODELS,
    spaces: { model: "memberships", field: "id" }, // joins and leaves projects as the list says
    token: () => person,
    fetch: airplane.fetch,
  });
  sessionStorage.person = person;
  $("#welcome").hidden = true;
  $("#app").hidden = false;
  $("#who").textContent = person;
  document.title = `Projects of ${person}`;

  const teams = teamsOf(person);
  const project = new Project(mobync, teams, person);
  const names = namesOf(person);
  let chosen = sessionStorage.project;
  let memberships = [];

  const draw = () => {
    const rows = memberships.map(({ id, name, role }) => ({ id, name, role, isChosen: id === chosen }));
    redraw($("#projects"), rows, ({ id, name, role, isChosen }) => {
      const row = button(name, () => choose(id), { ariaCurrent: String(isChosen) });
      row.append(element("small", {}, ROLES[role]));
      return element("li", {}, row);
    });
    project.show(memberships.find(({ id }) => id === chosen) ?? null);
  };
  const choose = async (id) => {
    sessionStorage.project = chosen = id;
    draw();
  };
  onSubmit($("#found"), async () => choose((await teams.found($("#new-project").value)).project));

  const notices = new Notices(mobync, $("#notices"), names.of);
  const ends = [
    watch(mobync, (parts) => {
      showStatus(together(parts.map(({ status }) => status)));
      notices.show().catch(() => {}); // the database is closed
    }),
    () => notices.end(),
    mobync.subscribe("memberships", ({ records }) => {
      memberships = records.sort((a, b) => (a.name < b.name ? -1 : 1));
      names.keep(memberships);
      draw();
    }),
    mobync.subscribe("invitations", ({ records }) => showInvitations(records, teams, person)),
    () => project.end(),
  ];
  open = {
    mobync,
    names,
    end: async () => {
      for (const end of ends) end();
      delete sessionStorage.person;
      delete sessionStorage.project;
      open = null;
      document.title = "Projects";
      $("#app").hidden = true;
      $("#welcome").hidden = false;
      $("#name").focus();
    },
  };
}

/** Tells what is lost if the data is deleted, and asks. */
async function signOut() {
  const { mobync, names, end } = open;
  const unsent = await mobync.unsent();
  $("#unsent").textContent =
    unsent === 0 ? "Everything is on the server." : `${changes(unsent)} not on the server yet, and would be lost if you delete it.`;
  $("#leaving").returnValue = "";
  $("#leaving").onclose = () =>
    attempt(async () => {
      const choice = $("#leaving").returnValue;
      if (choice === "") return;
      await end();
      if (choice !== "delete") return mobync.close();
      names.forget();
      await mobync.destroy();
    });
  $("#leaving").showModal();
}

// ------------------------------------------------------------------------------------ showing

function showStatus({ state, problem, progress, pending }) {
  const waiting = pending > 0 ? `, ${changes(pending)} waiting` : "";
  const text = {
    saved: "All saved",
    syncing: progress === null ? "Syncing…" : "Fetching…",
    waiting: `${changes(pending)} waiting`,
    offline: `Offline${waiting}`,
    stopped: `Stopped${waiting}: ${problem?.message ?? ""}`,
  }[state];
  $("#status").dataset.state = state;
  if ($("#status").textContent !== text) $("#status").textContent = text;
}

const changes = (count) => (count === 1 ? "1 change is" : `${count} changes are`);

function showInvitations(invitations, teams, person) {
  redraw($("#invitations"), invitations, ({ id, name, role, host }) => {
    const notice = element("article", { className: "notice calm" });
    const accept = button("Accept", () => teams.accept(id), { className: "main" });
    const decline = button("Decline", () => teams.withdraw(id, person));
    notice.append(
      element("p", {}, `${host} invites you to “${name}” (${ROLES[role]}).`),
      element("div", { className: "line" }, accept, decline),
    );
    return notice;
  });
}

/** The names of projects, also of those that the person is not a member of any more. */
function namesOf(person) {
  const key = `projects-of-${person}`;
  const known = JSON.parse(localStorage[key] ?? "{}");
  return {
    of: (id) => known[id] ?? id,
    keep(memberships) {
      for (const { id, name } of memberships) known[id] = name;
      localStorage[key] = JSON.stringify(known);
    },
    forget: () => localStorage.removeItem(key),
  };
}

// ------------------------------------------------------------------------------------- wiring

onSubmit($("#enter"), () => signIn($("#name").value.toLowerCase()));
$("#sign-out").onclick = () => attempt(signOut);
$("#airplane").onchange = ({ target }) => {
  airplane.set(target.checked);
  if (open && target.checked) void open.mobync.sync();
};

$("#welcome").hidden = "person" in sessionStorage;
if ("person" in sessionStorage) await attempt(() => signIn(sessionStorage.person));
