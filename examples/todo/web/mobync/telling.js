// Telling the listeners of this tab, and the other tabs, what has happened in a space.

/** @typedef {import("./types.js").Status} Status */

export class Telling {
  #link;
  #standing;
  #events;
  #space;

  /**
   * @param {import("./link.js").Link} link @param {import("./standing.js").Standing} standing @param {EventTarget} events
   * @param {string} space
   */
  constructor(link, standing, events, space) {
    this.#link = link;
    this.#standing = standing;
    this.#events = events;
    this.#space = space;
  }

  /** @param {any} message */
  tabs(message) {
    this.#link.tabs.tell({ ...message, space: this.#space });
  }

  /** @param {string} type @param {any} detail */
  event(type, detail) {
    this.#events.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** Objects have changed, as this tab knows. @param {string[]} [models] */
  here(models = Object.keys(this.#link.options.models)) {
    this.event("change", { models });
  }

  /** Objects have changed. @param {Set<string>} models @param {Partial<Status>} [change] */
  async changed(models, change = {}) {
    this.tabs({ kind: "change", models: [...models] });
    this.here([...models]);
    await this.#standing.refresh(change);
  }

  /** The status has. @param {Partial<Status>} change @param {number | null} [retryIn] */
  async status(change, retryIn) {
    this.tabs({ kind: "status", change, retryIn });
    await this.#standing.refresh(change);
  }

  /** @param {any} detail */
  traffic(detail) {
    this.tabs({ kind: "traffic", detail });
    this.event("traffic", detail);
  }
}
