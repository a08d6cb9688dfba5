// Small helpers for the page.

/** @param {string} selector @returns {any} */
export const $ = (selector) => document.querySelector(selector);

/** An element with a text or with others in it. */
export function element(name, properties = {}, ...content) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...content);
  return made;
}

/** A button that is off while what it has started goes on. */
export function button(text, action, properties = {}) {
  const made = element("button", { type: "button", ...properties }, text);
  made.onclick = async () => {
    made.disabled = true;
    await attempt(action);
    made.disabled = false;
  };
  return made;
}

/** Calls the action when the form is sent; what was typed stays if it fails. */
export function onSubmit(form, action) {
  form.onsubmit = async (event) => {
    event.preventDefault();
    if (await attempt(action)) form.reset();
  };
}

/** Shows why something failed. @param {() => Promise<any>} action */
export async function attempt(action) {
  const problem = $("#problem");
  problem.hidden = true;
  try {
    await action();
    return true;
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
    return false;
  }
}

/** Replaces the content of a list if it has changed, and keeps the focus where it was. */
export function redraw(place, what, draw) {
  const state = JSON.stringify(what);
  if (place.dataset.state === state) return;
  place.dataset.state = state;
  const focused = [...place.querySelectorAll("button, select, input")].indexOf(document.activeElement);
  place.replaceChildren(...what.map(draw));
  if (focused >= 0) place.querySelectorAll("button, select, input")[focused]?.focus();
}
