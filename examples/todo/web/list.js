// The list of tasks: it draws them, and turns a person's actions into changes.

const template = document.querySelector("#task");

/**
 * The order of tasks: by position, which is any number. Of equal ones, the newest is first.
 * @param {any} a @param {any} b
 */
export const byPosition = (a, b) =>
  (a.position ?? 0) - (b.position ?? 0) || (b.created_time ?? 0) - (a.created_time ?? 0) || (a.id < b.id ? -1 : 1);

export class List {
  #place;
  #actions;
  /** @type {Map<string, Item>} */
  #items = new Map();

  /**
   * @param {HTMLElement} place
   * @param {{ update: (id: string, fields: object) => void, remove: (id: string) => void,
   *   move: (id: string, before: string | null, after: string | null) => void }} actions
   */
  constructor(place, actions) {
    this.#place = place;
    this.#actions = actions;
  }

  /** Draws these tasks. A text that is being edited and a task that is being dragged are left alone. */
  draw(tasks, pending) {
    const shown = new Set(tasks.map(({ id }) => id));
    for (const [id, item] of this.#items) {
      if (!shown.has(id)) {
        this.#items.delete(id);
        this.#leave(item.node);
      }
    }
    tasks.forEach((task, place) => {
      let item = this.#items.get(task.id);
      if (!item) {
        item = new Item(
          task.id,
          this.#actions,
          (step) => this.#step(task.id, step),
          (event) => this.#drag(task.id, event),
        );
        this.#items.set(task.id, item);
      }
      item.draw(task, pending.has(task.id));
      const there = this.#place.children[place];
      // A node that is moved loses the focus.
      if (there !== item.node) keepFocus(item.node, () => this.#place.insertBefore(item.node, there ?? null));
    });
  }

  clear() {
    this.#items.clear();
    this.#place.replaceChildren();
  }

  /** Removes a task. If it had the focus, its neighbour gets it. */
  #leave(node) {
    const neighbour = node.nextElementSibling ?? node.previousElementSibling;
    const hadFocus = node.contains(document.activeElement);
    node.remove();
    if (hadFocus) (neighbour?.querySelector(".delete") ?? document.querySelector("#new")).focus();
  }

  /** Moves a task up (-1) or down (1). */
  #step(id, step) {
    const nodes = [...this.#place.children];
    const from = nodes.indexOf(this.#items.get(id).node);
    if (nodes[from + step]) this.#drop(id, nodes, from, from + step);
  }

  #drag(id, start) {
    const { node } = this.#items.get(id);
    const grip = start.currentTarget;
    const nodes = [...this.#place.children];
    const from = nodes.indexOf(node);
    const middles = nodes.map((other) => other.offsetTop + other.offsetHeight / 2);
    let to = from;
    grip.setPointerCapture(start.pointerId);
    node.classList.add("moving");
    const follow = ({ clientY }) => {
      const way = clientY - start.clientY;
      const middle = middles[from] + way;
      to = middles.filter((other, place) => place !== from && other < middle).length;
      node.style.translate = `0 ${way}px`;
      nodes.forEach((other, place) => {
        if (other === node) return;
        const gap = place > from && place <= to ? -1 : place < from && place >= to ? 1 : 0;
        other.style.translate = `0 ${gap * node.offsetHeight}px`;
      });
    };
    const end = ({ type }) => {
      grip.removeEventListener("pointermove", follow);
      node.classList.remove("moving");
      for (const other of nodes) other.style.translate = "";
      if (type === "pointerup" && to !== from) this.#drop(id, nodes, from, to);
    };
    grip.addEventListener("pointermove", follow);
    for (const type of ["pointerup", "pointercancel"]) grip.addEventListener(type, end, { once: true });
  }

  #drop(id, nodes, from, to) {
    const others = nodes.filter((_, place) => place !== from);
    this.#actions.move(id, others[to - 1]?.dataset.id ?? null, others[to]?.dataset.id ?? null);
  }
}

/** One task on the page. */
class Item {
  node = template.content.firstElementChild.cloneNode(true);
  #part = (selector) => this.node.querySelector(selector);
  #task = {};

  constructor(id, actions, step, drag) {
    const [grip, check, due] = [".grip", ".check", ".due input"].map(this.#part);
    this.node.dataset.id = id;

    check.onchange = () => actions.update(id, { done: check.checked });
    this.#part(".delete").onclick = () => actions.remove(id);

    this.#edit("title", (title) => actions.update(id, { title }));
    this.#edit("note", (note) => actions.update(id, { note }));

    due.onchange = () => actions.update(id, { due: due.value || null });
    this.#part(".due").onclick = (event) => {
      event.preventDefault();
      due.showPicker?.();
    };

    grip.onpointerdown = (event) => event.button === 0 && drag(event);
    grip.onkeydown = (event) => {
      const way = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!way) return;
      event.preventDefault();
      step(way);
    };
  }

  /** A text that grows with what is typed. Enter and leaving it keep what was typed, Escape what was there. */
  #edit(field, keep) {
    const text = this.#part(`.${field} textarea`);
    text.oninput = () => this.#fit(field);
    text.onblur = () => {
      const typed = text.value.trim();
      text.value = typed;
      this.#fit(field);
      if (typed !== (this.#task[field] ?? "")) keep(typed);
    };
    text.onkeydown = (event) => {
      if (event.key === "Escape") text.value = this.#task[field] ?? "";
      if (event.key === "Escape" || (event.key === "Enter" && !event.isComposing)) {
        event.preventDefault();
        text.blur();
        this.#part(".check").focus();
      }
    };
  }

  draw(task, isPending) {
    this.#task = task;
    const { title, note, done, due } = task;
    const [grip, check, date, mark, remove] = [".grip", ".check", ".due input", ".mark", ".delete"].map(this.#part);
    for (const field of ["title", "note"]) {
      const text = this.#part(`.${field} textarea`);
      if (document.activeElement !== text) text.value = task[field] ?? "";
      this.#fit(field);
    }
    this.#part(".note").classList.toggle("set", Boolean(note));
    check.checked = done === true;
    this.node.classList.toggle("done", done === true);

    if (document.activeElement !== date) date.value = due ?? "";
    const chip = this.#part(".due");
    chip.classList.toggle("set", Boolean(due));
    chip.classList.toggle("late", Boolean(due) && !done && due < today());
    chip.title = due ? "Change the date" : "Set a date";
    chip.querySelector("span").textContent = due ? inWords(due) : "";

    mark.classList.toggle("waiting", isPending);
    mark.querySelector("use").setAttribute("href", isPending ? "#waiting" : "#saved");
    const stands = isPending ? "Not on the server yet" : "Saved on the server";
    for (const attribute of ["aria-label", "title"]) mark.setAttribute(attribute, stands);

    check.setAttribute("aria-label", `Done: ${title}`);
    this.#part(".title textarea").setAttribute("aria-label", "Title");
    this.#part(".note textarea").setAttribute("aria-label", `Note on ${title}`);
    date.setAttribute("aria-label", `Due date of ${title}`);
    grip.setAttribute("aria-label", `Move ${title}: arrow up or down`);
    grip.title = "Drag, or use the arrow keys";
    remove.setAttribute("aria-label", `Delete ${title}`);
    remove.title = "Delete";
  }

  /** Makes the field as tall as its text. */
  #fit(field) {
    this.#part(`.${field}`).dataset.value = this.#part(`.${field} textarea`).value;
  }
}

function keepFocus(node, move) {
  const focused = node.contains(document.activeElement) ? document.activeElement : null;
  move();
  focused?.focus({ preventScroll: true });
}

const DAY = 24 * 60 * 60 * 1000;

/** The local date, for example 2030-12-31. */
function today(offset = 0) {
  const date = new Date(Date.now() + offset * DAY);
  return [date.getFullYear(), date.getMonth() + 1, date.getDate()]
    .map((part) => String(part).padStart(2, "0"))
    .join("-");
}

function inWords(due) {
  const near = { [today(-1)]: "Yesterday", [today()]: "Today", [today(1)]: "Tomorrow" }[due];
  if (near) return near;
  const date = new Date(`${due}T12:00`);
  if (Number.isNaN(date.getTime())) return String(due);
  const year = due.slice(0, 4) === today().slice(0, 4) ? undefined : "numeric";
  return date.toLocaleDateString(undefined, { weekday: "short", day: "numeric", month: "short", year });
}
