//! The tables of an application whose rows are authoritative: cascades, triggers, and columns that change
//! values.

pub const POSTGRES: &str = "
CREATE TABLE tasks (
  owner text NOT NULL, id text NOT NULL, a char(4), b text, c numeric(10, 2), slot text,
  g text GENERATED ALWAYS AS (upper(b)) STORED, n serial, touched int, made timestamptz DEFAULT now(),
  PRIMARY KEY (owner, id), UNIQUE (owner, slot)
);
CREATE TABLE notes (
  owner text NOT NULL, id text NOT NULL, a text, b varchar, c numeric(10, 2), slot text, parent text, friend text,
  PRIMARY KEY (owner, id), UNIQUE (owner, slot),
  FOREIGN KEY (owner, parent) REFERENCES tasks ON DELETE CASCADE ON UPDATE CASCADE,
  FOREIGN KEY (owner, friend) REFERENCES tasks ON DELETE SET NULL (friend) ON UPDATE CASCADE
);
CREATE TABLE counts (owner text NOT NULL, id text NOT NULL, n bigint, PRIMARY KEY (owner, id));
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  NEW.touched := coalesce(NEW.touched, 0) + 1;
  RETURN NEW;
END $$;
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION touch();
CREATE FUNCTION relate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  NEW.parent := (SELECT id FROM tasks WHERE owner = NEW.owner AND id = NEW.id);
  NEW.friend := (SELECT id FROM tasks WHERE owner = NEW.owner AND id = 'kept');
  RETURN NEW;
END $$;
CREATE TRIGGER relate BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION relate();
CREATE FUNCTION count_tasks() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE who text; BEGIN
  FOREACH who IN ARRAY ARRAY[OLD.owner, NEW.owner] LOOP
    IF who IS NOT NULL THEN
      INSERT INTO counts VALUES (who, 'all', (SELECT count(*) FROM tasks WHERE owner = who))
        ON CONFLICT (owner, id) DO UPDATE SET n = excluded.n WHERE counts.n <> excluded.n;
    END IF;
  END LOOP;
  RETURN NULL;
END $$;
CREATE TRIGGER count_tasks AFTER INSERT OR DELETE OR UPDATE OF owner ON tasks
  FOR EACH ROW EXECUTE FUNCTION count_tasks();
";

/// Run after a seed. It marks nothing and has no side effects.
pub const EMPTY_POSTGRES: &str = "
SET session_replication_role = replica;
DELETE FROM tasks; DELETE FROM notes; DELETE FROM counts;
DELETE FROM diffs; DELETE FROM diffs_owners; DELETE FROM diffs_marks;
SET session_replication_role = DEFAULT
";

/// Makes marks that break a law: changes of existing rows are not noticed.
pub const WRONG_MARKS_POSTGRES: [&str; 2] = [
    "DROP TRIGGER diffs_capture_moved ON tasks; DROP TRIGGER diffs_capture_moved ON notes",
    "DROP TRIGGER diffs_capture_delete ON notes",
];

pub const SQLITE: &str = "
CREATE TABLE tasks (
  owner TEXT NOT NULL, id TEXT NOT NULL, a TEXT, b TEXT, c REAL, slot TEXT,
  g TEXT GENERATED ALWAYS AS (upper(b)) VIRTUAL, n INTEGER, touched INTEGER,
  made TEXT DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (owner, id), UNIQUE (owner, slot)
);
CREATE TABLE notes (
  owner TEXT NOT NULL, id TEXT NOT NULL, a TEXT, b TEXT, c REAL, slot TEXT, parent TEXT, friend TEXT,
  g TEXT GENERATED ALWAYS AS (upper(b)) VIRTUAL,
  PRIMARY KEY (owner, id), UNIQUE (owner, slot),
  FOREIGN KEY (owner, parent) REFERENCES tasks (owner, id) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE counts (owner TEXT NOT NULL, id TEXT NOT NULL, n INTEGER, PRIMARY KEY (owner, id));
CREATE TRIGGER make AFTER INSERT ON tasks BEGIN
  UPDATE tasks SET a = upper(a), c = round(c, 1), touched = coalesce(touched, 0) + 1,
    n = (SELECT coalesce(max(n), 0) + 1 FROM tasks)
    WHERE owner = NEW.owner AND id = NEW.id;
END;
CREATE TRIGGER touch AFTER UPDATE ON tasks WHEN NEW.touched IS OLD.touched BEGIN
  UPDATE tasks SET a = upper(a), c = round(c, 1), touched = coalesce(touched, 0) + 1
    WHERE owner = NEW.owner AND id = NEW.id;
END;
CREATE TRIGGER relate AFTER INSERT ON notes BEGIN
  UPDATE notes SET
    parent = (SELECT id FROM tasks WHERE owner = NEW.owner AND id = NEW.id),
    friend = (SELECT id FROM tasks WHERE owner = NEW.owner AND id = 'kept')
    WHERE owner = NEW.owner AND id = NEW.id;
END;
CREATE TRIGGER part AFTER DELETE ON tasks BEGIN
  UPDATE notes SET friend = NULL WHERE owner = OLD.owner AND friend = OLD.id;
END;
CREATE TRIGGER count_more AFTER INSERT ON tasks BEGIN
  INSERT INTO counts VALUES (NEW.owner, 'all', (SELECT count(*) FROM tasks WHERE owner = NEW.owner))
    ON CONFLICT (owner, id) DO UPDATE SET n = excluded.n WHERE n <> excluded.n;
END;
CREATE TRIGGER count_less AFTER DELETE ON tasks BEGIN
  INSERT INTO counts VALUES (OLD.owner, 'all', (SELECT count(*) FROM tasks WHERE owner = OLD.owner))
    ON CONFLICT (owner, id) DO UPDATE SET n = excluded.n WHERE n <> excluded.n;
END;
";

/// Makes marks that break a law: changes of existing rows are not noticed.
pub const WRONG_MARKS_SQLITE: [&str; 3] = [
    "DROP TRIGGER diffs_capture_tasks_moved; DROP TRIGGER diffs_capture_notes_moved",
    "DROP TRIGGER diffs_capture_tasks_insert1; DROP TRIGGER diffs_capture_notes_insert1",
    "DROP TRIGGER diffs_capture_notes_delete",
];

pub const EMPTY_SQLITE: &str = "
BEGIN IMMEDIATE;
DELETE FROM notes; DELETE FROM tasks; DELETE FROM counts;
DELETE FROM diffs; DELETE FROM diffs_marks; DELETE FROM diffs_marked;
COMMIT
";
