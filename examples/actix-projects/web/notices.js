// What needs a person: changes that were refused or overridden, and projects that are gone with changes unsent.

import { button, element } from "./dom.js";

/** The notices on the page. */
export class Notices {
  #mobync;
  #place;
  #nameOf;
  #shown = "";

  /** @param {(space: string) => string} nameOf */
  constructor(mobync, place, nameOf) {
    this.#mobync = mobync;
    this.#place = place;
    this.#nameOf = nameOf;
  }

  async show() {
    const found = await notices(this.#mobync, this.#nameOf);
    const what = JSON.stringify(found);
    if (what === this.#shown) return; // buttons keep the focus
    this.#shown = what;
    this.#place.replaceChildren(...found.map((notice) => this.#draw(notice)));
  }

  end() {
    this.#place.replaceChildren();
  }

  #draw({ space, isGone, isLost, title, message, changes }) {
    const of = this.#mobync.space(space);
    const notice = element("article", { className: isLost ? "notice calm" : "notice" });
    notice.append(element("h2", {}, title), element("p", {}, message));
    if (isGone && changes.length > 0) notice.append(element("p", {}, "This was not sent, and nobody else has it:"));
    notice.append(element("ul", {}, ...changes.map(({ text }) => element("li", {}, text))));
    const act = (text, work, properties) =>
      button(text, () => work().then(() => this.show()), properties);
    const actions = [act(isLost ? "Keep theirs" : "Let it go", () => of.dismiss(isGone ? undefined : changes[0].id))];
    if (isLost) actions.unshift(act("Put mine back", () => of.putBack(changes[0].id), { className: "main" }));
    notice.append(element("div", { className: "line" }, ...actions));
    return notice;
  }
}

/** Space by space: `{ space, isGone, title, message, changes: [{ id, text }] }`. */
async function notices(mobync, nameOf) {
  const found = [];
  for (const { space, joined, message } of await mobync.spaces()) {
    const of = mobync.space(space);
    const refused = await of.refused();
    if (!joined) {
      const title = `You have no access to “${nameOf(space)}” any more`;
      const changes = refused.map((one) => ({ id: one.id, text: textOf(one) }));
      found.push({ space, isGone: true, title, message: message.replace(space, nameOf(space)), changes });
      continue;
    }
    for (const one of refused) {
      const title = `A change in “${nameOf(space)}” was not accepted`;
      found.push({ space, title, message: one.message, changes: [{ id: one.id, text: textOf(one) }] });
    }
    for (const { id, fields } of await of.overridden()) {
      const texts = Object.entries(fields).map(([field, { sent, stands }]) => `${field}: ${shownAs(sent)} → ${shownAs(stands)}`);
      const title = `Somebody else has changed the same in “${nameOf(space)}”`;
      found.push({ space, isLost: true, title, message: "", changes: [{ id, text: texts.join(", ") }] });
    }
  }
  return found;
}

function textOf({ diff: { type }, fields, row }) {
  const what = { create: "a new task", update: "a change", delete: "a deletion" }[type];
  const { id, author, created_time, ...told } = { ...(row && { title: row.title }), ...fields };
  const values = Object.entries(told).filter(([, value]) => value !== null && value !== false);
  return `${what}: ${values.map(([field, value]) => `${field} ${shownAs(value)}`).join(", ")}`;
}

const shownAs = (value) =>
  value === true ? "yes" : value === false ? "no" : value === null || value === undefined || value === "" ? "nothing" : `“${value}”`;
