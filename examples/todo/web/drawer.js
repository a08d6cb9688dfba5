// "What happens": the diffs that are sent and received, for people who want to watch the protocol.

const MOST = 40;

/** Lists the traffic of the person's own tasks and of the family's, newest first. */
export function showTraffic([mobync, family], list) {
  const heard = ({ detail, target }) => {
    list.prepend(round(detail, target === family ? "Family: " : ""));
    while (list.children.length > MOST) list.lastChild.remove();
  };
  for (const one of [mobync, family]) one.addEventListener("traffic", heard);
  return () => {
    for (const one of [mobync, family]) one.removeEventListener("traffic", heard);
    list.replaceChildren();
  };
}

function round({ direction, at, clock, diffs, refused = [], problem }, whose) {
  const item = document.createElement("li");
  const head = item.appendChild(make("div", "head"));
  const up = direction === "up";
  const title = problem ? `✕ ${problem.code}` : up ? `↑ sent at clock ${clock}` : `↓ now at clock ${clock}`;
  head.append(make("span", problem ? "failed" : direction, whose + title), time(at));
  if (problem) item.append(make("p", "quiet-line", problem.message));
  else if (diffs.length === 0)
    item.append(make("p", "quiet-line", up ? "No changes here. What is new?" : "Nothing new"));
  const lines = item.appendChild(make("ul"));
  for (const diff of diffs) lines.append(line(diff));
  for (const { diff_id, code, message } of refused)
    lines.append(row("refused", `diff ${short(diff_id)}`, `${code}: ${message}`));
  return item;
}

function line({ type, model, json_data }) {
  const { id, ...fields } = JSON.parse(json_data);
  const text = Object.entries(fields)
    .map(([field, value]) => `${field}: ${JSON.stringify(value)}`)
    .join(", ");
  return row(type, `${model} ${short(id)}`, text);
}

function row(what, which, text) {
  const item = make("li");
  item.append(make("b", "", what), make("code", "", which), make("span", "", text));
  return item;
}

/** The part of an id that a person compares. */
const short = (id) => (id.length > 12 ? `${id.slice(0, 8)}…` : id);

function time(at) {
  return make("time", "", new Date(at).toLocaleTimeString());
}

function make(name, className = "", text = "") {
  return Object.assign(document.createElement(name), { className, textContent: text });
}
