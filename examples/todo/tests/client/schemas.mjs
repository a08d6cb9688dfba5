// Schemas of chance, and what their steps do to what is stored: step by step, as a person would do it by hand.

/**
 * A list of steps that is valid, and the models with the fields of each version.
 * @returns {{ steps: any[], models: Record<string, string[]>[] }}  models[version - 1]
 */
export function randomSchema(random, versions = 6) {
  const pick = (from) => from[random(from.length)];
  const steps = [];
  let now = { tasks: ["a", "b"], lists: ["a"] };
  const models = [now];
  for (let since = 2; since <= versions; since += 1) {
    now = structuredClone(now);
    for (let count = 1 + random(2); count > 0; count -= 1) {
      const model = pick(Object.keys(now));
      const field = pick(now[model]);
      const fresh = `n${steps.length}`;
      const kind = random(9);
      const rest = now[model].filter((name) => name !== field);
      if (kind < 3) {
        steps.push({ since, model, add: fresh, default: pick([null, 0, "", "x", { deep: [1] }]) });
        now[model] = [...now[model], fresh];
      } else if (kind < 5 && field) {
        steps.push({ since, model, rename: field, to: fresh });
        now[model] = [...rest, fresh];
      } else if (kind < 6 && field) {
        steps.push({ since, model, remove: field, default: pick([null, 7]) });
        now[model] = rest;
      } else if (kind < 7) {
        steps.push({ since, rename: model, to: fresh });
        now[fresh] = now[model];
        delete now[model];
      } else if (kind < 8 || Object.keys(now).length === 1) {
        steps.push({ since, add: fresh });
        now[fresh] = ["a"];
      } else {
        steps.push({ since, remove: model });
        delete now[model];
      }
    }
    models.push(now);
  }
  return { steps, models };
}

/** The steps that a version has. */
export const until = (steps, version) => steps.filter(({ since }) => since <= version);

/** What the steps do to the fields of an object of the model; null if nothing is left of the model. */
export function stepped(steps, model, data) {
  let now = { ...data };
  for (const { model: of, rename, to, remove } of steps) {
    if (of === undefined && remove === model) return null;
    if (of === undefined && rename === model) model = to;
    if (of !== model) continue;
    if (rename && rename in now) {
      now[to] = now[rename];
      delete now[rename];
    }
    if (remove) delete now[remove];
  }
  return { model, data: now };
}

/** All that a store has. */
export const dump = (store) =>
  store.read(async (tx) => {
    const tables = {};
    for (const table of ["objects", "beside", "pending", "refused", "overridden", "meta"]) {
      tables[table] = await tx.all(table);
    }
    return tables;
  });

const isOnlyId = (data) => Object.keys(data).every((field) => field === "id");

/** What the tables must be after an update by these steps, but for the version and the copy. */
export function dumpStepped(steps, tables) {
  const state = { ...tables.meta.find(({ key }) => key === "state") };
  const modelOf = (model) => stepped(steps, model, {})?.model;
  const row = (model, data) => data && stepped(steps, model, data).data;
  const diffOf = (diff) => {
    const data = JSON.parse(diff.json_data);
    const now = stepped(steps, diff.model, data);
    if (!now || (diff.type === "update" && isOnlyId(now.data) && !isOnlyId(data))) return null;
    return { ...diff, model: now.model, json_data: now.data };
  };
  const expected = { objects: [], beside: [], pending: [], refused: [], overridden: [], meta: [] };
  for (const { model, id, row: data } of tables.objects) {
    const now = stepped(steps, model, data);
    if (now) expected.objects.push({ model: now.model, id, row: now.data });
  }
  const gone = new Set();
  for (const entry of tables.pending) {
    const [model, diff] = [modelOf(entry.model) ?? entry.model, diffOf(entry.diff)];
    const isSame =
      diff &&
      JSON.stringify([entry.diff.model, JSON.parse(entry.diff.json_data)]) === JSON.stringify([model, diff.json_data]);
    if (isSame) expected.pending.push(entry);
    else if (entry.seq <= (state.unanswered ?? 0)) {
      const nothing = { ...entry.diff, model, type: "update", json_data: { id: entry.id } };
      expected.pending.push({ ...entry, model, diff: diff ?? nothing, sent: entry.diff });
    } else if (diff) {
      expected.pending.push({ ...entry, model, diff });
    } else gone.add(JSON.stringify([model, entry.id]));
  }
  for (const entry of tables.refused) {
    const fields = stepped(steps, entry.diff.model, entry.fields)?.data;
    // Also what nothing is left of is of its model.
    const diff = diffOf(entry.diff) ?? { ...entry.diff, model: modelOf(entry.diff.model) ?? entry.diff.model };
    expected.refused.push({ ...entry, diff, fields: fields ?? entry.fields });
  }
  for (const entry of tables.overridden) {
    const now = stepped(steps, entry.model, entry.fields);
    if (!now || Object.keys(now.data).length === 0) continue;
    expected.overridden.push({ ...entry, model: now.model, fields: now.data, row: row(entry.model, entry.row) });
  }
  const waits = (model, id) => expected.pending.some((entry) => entry.model === model && entry.id === id);
  for (const { key, ...entry } of tables.meta) {
    if (!Array.isArray(key) || !modelOf(key[1])) continue;
    const [kind, model, id] = [key[0], modelOf(key[1]), key[2]];
    if (kind === "base" && gone.has(JSON.stringify([model, id])) && !waits(model, id)) continue;
    const made = { ...entry, key: [kind, model, id] };
    if ("row" in entry) made.row = row(key[1], entry.row);
    if (entry.diffs) made.diffs = entry.diffs.map(diffOf).filter(Boolean);
    expected.meta.push(made);
  }
  if (state.run) state.run = modelOf(state.run.model) ? { ...state.run, model: modelOf(state.run.model) } : null;
  if (state.mark) {
    state.mark = modelOf(state.mark.model) ? { ...state.mark, model: modelOf(state.mark.model) } : null;
  }
  state.deleted = (state.deleted ?? []).flatMap(([model, id]) => (modelOf(model) ? [[modelOf(model), id]] : []));
  expected.meta.push(state);
  return expected;
}

/** The same in one order, with the texts of diffs read. */
export function comparable(tables) {
  const read = (value) => {
    if (typeof value === "string" || value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map(read);
    const members = Object.entries(value).filter(([, part]) => part !== undefined);
    return Object.fromEntries(
      members
        .map(([name, part]) => [
          name,
          name === "json_data" && typeof part === "string" ? read(JSON.parse(part)) : read(part),
        ])
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  };
  const key = (value) => JSON.stringify(value);
  return Object.fromEntries(
    Object.entries(tables).map(([table, values]) => [
      table,
      values.map(read).sort((a, b) => (key(a) < key(b) ? -1 : 1)),
    ]),
  );
}
