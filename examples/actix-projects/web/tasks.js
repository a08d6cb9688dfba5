// The tasks of the project that is shown.

import { $, element } from "./dom.js";

export class Tasks {
  #place;
  #person;
  #actions;
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();
  #tasks = [];
  #pending = new Set();
  #role = "reader";
  #members = [];

  /** @param {{ update: (id: string, fields: object) => void, remove: (id: string) => void }} actions */
  constructor(place, person, actions) {
    this.#place = place;
    this.#person = person;
    this.#actions = actions;
  }

  /** Draws these. */
  set(tasks, pending) {
    this.#tasks = tasks.sort((a, b) => a.created_time - b.created_time || (a.id < b.id ? -1 : 1));
    this.#pending = pending;
    this.#draw();
  }

  /** Draws them for somebody with that role; they are assigned to the members. */
  drawFor(role, members) {
    [this.#role, this.#members] = [role, members];
    this.#draw();
  }

  clear() {
    this.#tasks = [];
    this.#draw();
  }

  #draw() {
    const shown = new Set(this.#tasks.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (shown.has(id)) continue;
      if (row.contains(document.activeElement)) $("#new").focus();
      row.remove();
      this.#rows.delete(id);
    }
    for (const task of this.#tasks) {
      const row = this.#rows.get(task.id) ?? this.#make(task.id);
      this.#fill(row, task);
      if (row !== this.#place.lastChild && !row.isConnected) this.#place.append(row);
    }
    $("#empty").hidden = this.#tasks.length > 0;
  }

  #make(id) {
    const row = $("#task").content.firstElementChild.cloneNode(true);
    const part = (selector) => row.querySelector(selector);
    row.dataset.id = id;
    part(".done").onchange = ({ target }) => this.#actions.update(id, { done: target.checked });
    part(".title").onchange = ({ target }) => this.#actions.update(id, { title: target.value });
    part(".title").onkeydown = ({ key, target }) => {
      if (key === "Enter") target.blur();
    };
    part(".assignee").onchange = ({ target }) => this.#actions.update(id, { assignee: target.value || null });
    part(".delete").onclick = () => this.#actions.remove(id);
    this.#rows.set(id, row);
    return row;
  }

  /** What the rules of the server forbid is not offered. It would be refused, and undone. */
  #fill(row, { id, title, done, assignee, author }) {
    const part = (selector) => row.querySelector(selector);
    const isReader = this.#role === "reader";
    row.classList.toggle("is-done", done);
    part(".done").checked = done;
    part(".done").ariaLabel = `Done: ${title}`;
    part(".done").disabled = isReader;
    if (document.activeElement !== part(".title")) part(".title").value = title;
    part(".title").readOnly = isReader;
    part(".title").title = `By ${author}`;
    const people = ["", ...this.#members, ...(this.#members.includes(assignee ?? "") || !assignee ? [] : [assignee])];
    part(".assignee").replaceChildren(...people.map((name) => element("option", { value: name }, name || "nobody")));
    part(".assignee").value = assignee ?? "";
    part(".assignee").disabled = isReader;
    part(".delete").hidden = isReader || (author !== this.#person && this.#role !== "owner");
    part(".delete").ariaLabel = `Delete ${title}`;
    const waits = this.#pending.has(id);
    part(".mark").textContent = waits ? "↑" : "";
    part(".mark").title = waits ? "Not on the server yet" : "";
  }
}
