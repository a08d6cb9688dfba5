// What a store promises. It runs in Node on the one in memory, and in a browser on IndexedDB.

const pending = (id, more) => ({ model: "tasks", id, diff: { id: `d-${id}` }, ...more });
const object = (model, id, row = { id }) => ({ model, id, row });

function equal(actual, expected) {
  const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (left !== right) throw new Error(`${left} is not ${right}`);
}

async function fails(promise, code) {
  const error = await promise.then(
    () => null,
    (error) => error,
  );
  if (error?.code !== code) throw new Error(`expected ${code}, got ${error}`);
}

export const promises = {
  "what was put is there, until it is deleted": async (store) => {
    await store.write(async (tx) => {
      await tx.put("objects", object("tasks", "t1"));
      await tx.put("meta", { key: "state", clock: 3 });
      await tx.put("refused", { id: "d1", code: "forbidden" });
    });
    await store.read(async (tx) => {
      equal(await tx.get("objects", ["tasks", "t1"]), object("tasks", "t1"));
      equal((await tx.get("meta", "state")).clock, 3);
      equal(await tx.get("objects", ["tasks", "t2"]), undefined);
      equal((await tx.all("refused")).length, 1);
    });
    await store.write((tx) => tx.delete("objects", ["tasks", "t1"]));
    equal(await store.read((tx) => tx.get("objects", ["tasks", "t1"])), undefined);
  },

  "a put of what is there replaces it": async (store) => {
    await store.write(async (tx) => {
      await tx.put("objects", object("tasks", "t1", { id: "t1", name: "Milk" }));
      await tx.put("objects", object("tasks", "t1", { id: "t1" }));
    });
    equal(await store.read((tx) => tx.all("objects")), [object("tasks", "t1")]);
  },

  "objects are found by model, and by model and id, in the order of their ids": async (store) => {
    await store.write(async (tx) => {
      for (const [model, id] of [
        ["tasks", "b"],
        ["task", "z"],
        ["tasks", "a"],
        ["tasks2", "a"],
        ["tasks", "B"],
        ["", "x"],
      ]) {
        await tx.put("objects", object(model, id));
      }
    });
    await store.read(async (tx) => {
      equal(
        (await tx.all("objects", "tasks")).map(({ id }) => id),
        ["B", "a", "b"],
      );
      equal(await tx.all("objects", "tasks", "a"), [object("tasks", "a")]);
      equal(await tx.all("objects", "nothing"), []);
      equal((await tx.all("objects")).length, 6);
    });
  },

  "pending changes keep the order made, and a place is not given twice": async (store) => {
    await store.write(async (tx) => {
      for (const id of ["c", "a", "b", "a"]) await tx.put("pending", pending(id));
    });
    const before = await store.read((tx) => tx.all("pending"));
    equal(
      before.map(({ id }) => id),
      ["c", "a", "b", "a"],
    );
    await store.write(async (tx) => {
      equal(
        (await tx.all("pending", "tasks", "a")).map(({ seq }) => seq),
        [before[1].seq, before[3].seq],
      );
      equal(
        (await tx.first("pending", 2)).map(({ id }) => id),
        ["c", "a"],
      );
      await tx.delete("pending", before[3].seq);
      await tx.put("pending", { ...before[0], diff: { id: "changed" } });
      await tx.put("pending", pending("d"));
    });
    const after = await store.read((tx) => tx.all("pending"));
    equal(
      after.map(({ id, diff }) => `${id} ${diff.id}`),
      ["c changed", "a d-a", "b d-b", "d d-d"],
    );
    equal(after[3].seq > before[3].seq, true);
    equal(await store.read((tx) => tx.count("pending")), 4);
  },

  "a write that throws leaves nothing behind": async (store) => {
    await store.write((tx) => tx.put("objects", object("tasks", "t1")));
    const broken = store.write(async (tx) => {
      await tx.delete("objects", ["tasks", "t1"]);
      await tx.put("pending", pending("t2"));
      throw new Error("broken");
    });
    await fails(broken, "storage_failed");
    equal(await store.read(async (tx) => [await tx.count("objects"), await tx.count("pending")]), [1, 0]);
  },

  "writes come one after another": async (store) => {
    const count = () =>
      store.write(async (tx) => {
        const { value = 0 } = (await tx.get("meta", "count")) ?? {};
        await tx.put("meta", { key: "count", value: value + 1 });
      });
    await Promise.all(Array.from({ length: 20 }, count));
    equal((await store.read((tx) => tx.get("meta", "count"))).value, 20);
  },

  "each space is by itself, with the same keys": async (store) => {
    const spaces = ["", "a", "ab", "b"];
    await store.write(async (tx) => {
      for (const space of spaces) {
        const of = tx.of(space);
        for (const id of ["y", "x", "y"]) await of.put("pending", pending(id, { from: space }));
        for (const model of ["tasks", "lists"]) await of.put("objects", object(model, "t1", { id: "t1", from: space }));
        await of.put("refused", { id: "d1", from: space });
        await of.put("meta", { key: "state", from: space });
        await of.put("meta", { key: ["base", "tasks", "t1"], from: space });
      }
    });
    const from = (values) => [...new Set(values.map(({ from, row }) => from ?? row.from))].join();
    const look = (space, counts) =>
      store.read(async (tx) => {
        const of = tx.of(space);
        const all = await Promise.all(["pending", "objects", "refused", "meta"].map((table) => of.all(table)));
        equal(
          all.map(({ length }) => length),
          counts,
        );
        equal(from(all.flat()), counts[3] ? space : "");
        equal([await of.count("pending"), await of.count("meta")], [counts[0], counts[3]]);
      });
    for (const space of spaces) await look(space, [3, 2, 1, 2]);
    await store.read(async (tx) => {
      const of = tx.of("a");
      equal(
        (await of.first("pending", 2)).map(({ id }) => id),
        ["y", "x"],
      );
      equal((await of.all("pending", "tasks", "y")).length, 2);
      equal((await of.all("objects", "lists")).length, 1);
      equal((await of.get("objects", ["tasks", "t1"])).row.from, "a");
      equal((await of.get("meta", ["base", "tasks", "t1"])).from, "a");
      equal((await of.get("refused", "d1")).from, "a");
      equal(await of.get("refused", "d2"), undefined);
      equal((await of.of("").get("meta", "state")).from, "");
    });
    await store.write(async (tx) => {
      const of = tx.of("a");
      const [first] = await of.first("pending", 1);
      await of.delete("pending", first.seq);
      await of.put("pending", { ...(await of.first("pending", 1))[0], id: "z" });
      await of.delete("objects", ["tasks", "t1"]);
      await of.delete("meta", ["base", "tasks", "t1"]);
    });
    await look("a", [2, 1, 1, 1]);
    equal((await store.read((tx) => tx.of("a").first("pending", 1)))[0].id, "z");
    await store.write(async (tx) => {
      for (const table of ["pending", "objects", "refused", "meta"]) await tx.of("a").clear(table);
    });
    await look("a", [0, 0, 0, 0]);
    for (const space of ["", "ab", "b"]) await look(space, [3, 2, 1, 2]);
    await store.write((tx) => tx.clear("pending"));
    await look("", [0, 2, 1, 2]);
    await look("ab", [3, 2, 1, 2]);
  },

  "a write that throws leaves nothing behind in any space": async (store) => {
    await store.write((tx) => tx.of("a").put("objects", object("tasks", "t1")));
    const broken = store.write(async (tx) => {
      await tx.of("a").clear("objects");
      await tx.of("b").put("objects", object("tasks", "t2"));
      throw new Error("broken");
    });
    await fails(broken, "storage_failed");
    equal(
      await store.read(async (tx) => [await tx.of("a").count("objects"), await tx.of("b").count("objects")]),
      [1, 0],
    );
  },

  "what was read is the reader's own": async (store) => {
    await store.write((tx) => tx.put("objects", object("tasks", "t1", { id: "t1", name: "Milk" })));
    (await store.read((tx) => tx.get("objects", ["tasks", "t1"]))).row.name = "Bread";
    equal((await store.read((tx) => tx.get("objects", ["tasks", "t1"]))).row.name, "Milk");
  },
};

/** Which promises a store breaks, and how. */
export async function broken(open) {
  const found = [];
  for (const [promise, keeps] of Object.entries(promises)) {
    const store = await open(promise);
    await keeps(store).catch((error) => found.push(`${promise}: ${error.message}`));
    store.close();
  }
  return found;
}
