CREATE TABLE drivers (
  name  TEXT NOT NULL PRIMARY KEY CHECK (trim(name) <> ''),
  token TEXT NOT NULL UNIQUE -- a real application keeps hashes
);

CREATE TABLE rounds (
  id     TEXT NOT NULL,
  driver TEXT NOT NULL REFERENCES drivers (name),
  name   TEXT NOT NULL CHECK (trim(name) <> ''),
  open   INTEGER NOT NULL DEFAULT 0, -- stops, counted by the triggers below
  PRIMARY KEY (driver, id)
);

CREATE TABLE stops (
  id        TEXT NOT NULL,
  driver    TEXT NOT NULL,
  round     TEXT NOT NULL,
  address   TEXT NOT NULL CHECK (trim(address) <> ''),
  note      TEXT NOT NULL DEFAULT '',
  delivered BOOLEAN NOT NULL DEFAULT false,
  PRIMARY KEY (driver, id),
  FOREIGN KEY (driver, round) REFERENCES rounds (driver, id) ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE TRIGGER stop_added AFTER INSERT ON stops BEGIN
  UPDATE rounds SET open = open + (NOT NEW.delivered) WHERE driver = NEW.driver AND id = NEW.round;
END;

CREATE TRIGGER stop_delivered AFTER UPDATE OF delivered ON stops BEGIN
  UPDATE rounds SET open = open + OLD.delivered - NEW.delivered
  WHERE driver = NEW.driver AND id = NEW.round;
END;

CREATE TRIGGER stop_removed AFTER DELETE ON stops BEGIN
  UPDATE rounds SET open = open - (NOT OLD.delivered) WHERE driver = OLD.driver AND id = OLD.round;
END;
