// One project on the page: its tasks and its members.

import { $, attempt, button, element, onSubmit, redraw } from "./dom.js";
import { Tasks } from "./tasks.js";

/** What a role is called. */
export const ROLES = { owner: "owner", editor: "can edit", reader: "can read" };

export class Project {
  #mobync;
  #teams;
  #person;
  /** @type {{ id: string, name: string, role: string } | null} the membership of who looks at it */
  #shown = null;
  /** @type {(() => void)[]} */
  #ends = [];
  #tasks;
  #members = [];
  #invited = [];

  constructor(mobync, teams, person) {
    this.#mobync = mobync;
    this.#teams = teams;
    this.#person = person;
    this.#tasks = new Tasks($("#tasks"), person, {
      update: (id, fields) => attempt(() => this.#space().update("tasks", id, fields)),
      remove: (id) => attempt(() => this.#space().delete("tasks", id)),
    });
    onSubmit($("#add"), () =>
      this.#space().create("tasks", {
        title: $("#new").value, done: false, assignee: null, author: person, created_time: Date.now(),
      }),
    );
    onSubmit($("#invite"), () =>
      this.#teams.invite(this.#shown.id, $("#guest").value.toLowerCase(), $("#guest-role").value),
    );
    $("#leave").onclick = () => attempt(() => this.#leave());
  }

  /** Without a notice afterwards, unless something had not been sent. */
  async #leave() {
    const { id } = this.#shown;
    await this.#teams.remove(id, this.#person);
    await this.#mobync.leave(id);
    const left = this.#mobync.space(id);
    if ((await left.refused()).length === 0) await left.dismiss();
  }

  #space() {
    return this.#mobync.space(this.#shown.id);
  }

  /** Shows the project of this membership, or none. */
  show(membership) {
    const isAnother = membership?.id !== this.#shown?.id;
    this.#shown = membership;
    $("#project").hidden = membership === null;
    $("#choose").hidden = membership !== null;
    if (isAnother) this.#listen();
    if (!membership) return;
    const { name, role } = membership;
    $("#title").textContent = name;
    $("#role").textContent = ROLES[role];
    $("#leave").hidden = role === "owner";
    $("#invite").hidden = role !== "owner";
    $("#add").hidden = role === "reader";
    this.#draw();
  }

  /** Shows nothing any more. */
  end() {
    this.show(null);
  }

  #listen() {
    for (const end of this.#ends) end();
    this.#ends = [];
    this.#tasks.clear();
    [this.#members, this.#invited] = [[], []];
    if (!this.#shown) return;
    const space = this.#space();
    this.#ends = [
      space.subscribe("tasks", ({ records, pending }) => this.#tasks.set(records, pending)),
      space.subscribe("members", ({ records }) => ((this.#members = records), this.#draw())),
      space.subscribe("invited", ({ records }) => ((this.#invited = records), this.#draw())),
    ];
  }

  #draw() {
    const { id: project, role } = this.#shown;
    const isOwner = role === "owner";
    this.#tasks.drawFor(role, this.#members.map(({ id }) => id));
    const people = [
      ...this.#members.map(({ id, role }) => ({ id, role, isOwner, isInvited: false })),
      ...this.#invited.map(({ id, role }) => ({ id, role, isOwner, isInvited: true })),
    ];
    redraw($("#members"), people, (one) => this.#row(project, one));
  }

  /** A member, or somebody who is invited; with what the owner can do. */
  #row(project, { id, role, isOwner, isInvited }) {
    const name = id === this.#person ? `${id} (you)` : id;
    const row = element("li", {}, element("span", {}, name, " "));
    row.dataset.person = id;
    if (!isOwner || role === "owner" || isInvited) {
      const what = isInvited ? `invited, ${ROLES[role]}` : ROLES[role];
      row.append(element("small", {}, what));
    } else {
      const choice = element("select", { ariaLabel: `What ${id} can do` });
      for (const one of ["editor", "reader"]) choice.append(element("option", { value: one, selected: one === role }, ROLES[one]));
      choice.onchange = async () => {
        if (!(await attempt(() => this.#teams.changeRole(project, id, choice.value)))) choice.value = role;
      };
      row.append(choice);
    }
    if (isOwner && isInvited) row.append(button("Withdraw", () => this.#teams.withdraw(project, id), { ariaLabel: `Withdraw the invitation of ${id}` }));
    if (isOwner && !isInvited && role !== "owner")
      row.append(button("Remove", () => this.#teams.remove(project, id), { ariaLabel: `Remove ${id}` }));
    return row;
  }
}
